//! Values joined along an axis.

use super::axes::{axis_of, product, through_f32};
use super::{cast, expect_dtype, slice};
use crate::error::{Error, Result};
use crate::kernels::elementwise::strided_copy::{AXES, Parameters, StridedCopy, variant};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "concat";

/// Records values joined along an axis, counted from the back if negative. They have one dtype, any, and one shape but for
/// that axis, which may be of any size in each, 0 among them. (f16 whose pairs would be parted go through f32 and back, which
/// makes a signalling NaN a quiet one.)
///
/// ```
/// # fn main() -> attentive::Result<()> {
/// use attentive::{Device, Recording, Tensor, ops};
///
/// let mut recording = Recording::new(&Device::cpu());
/// let a = Tensor::from_u32(recording.device(), [2, 1], &[1, 4])?;
/// let b = Tensor::from_u32(recording.device(), [2, 2], &[2, 3, 5, 6])?;
/// let (a, b) = (recording.tensor(&a)?, recording.tensor(&b)?);
/// let y = ops::concat(&mut recording, &[&a, &b], -1)?;
/// recording.output(&y)?;
/// assert_eq!(recording.run()?.tensor(&y)?.to_u32()?, [1, 2, 3, 4, 5, 6]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] for no values, an axis that they have not, other dtypes, or shapes that differ elsewhere (both are
/// named); [`Error::Limit`].
pub fn concat(recording: &mut Recording, values: &[&Value], axis: isize) -> Result<Value> {
    let Some(first) = values.first() else {
        return Err(Error::argument(OP, "the values", "at least one", "none"));
    };
    let axis = axis_of(OP, "values[0]", first, axis)?;
    let mut dims = first.shape().dims().to_vec();
    for (place, value) in values.iter().enumerate().skip(1) {
        let name = format!("values[{place}]");
        expect_dtype(OP, &name, value, &[first.dtype()])?;
        let own = value.shape().dims();
        if own.len() != dims.len() || (0..dims.len()).any(|other| other != axis && own[other] != dims[other])
        {
            let expected = format!("of the sizes of values[0] {} but for axis {axis}", first.shape());
            return Err(Error::argument(OP, name, expected, value.shape().to_string()));
        }
        dims[axis] = dims[axis].saturating_add(own[axis]);
    }
    product(OP, "the elements of the result", &dims)?;
    let parts: Vec<&Value> = values.iter().copied().filter(|value| value.shape().elements() > 0).collect();
    match parts[..] {
        [] => recording.temporary(&*dims, first.dtype()),
        [only] => Ok(only.clone()),
        _ => recording.differentiable(
            &parts,
            |recording| joined(recording, &parts, axis, &dims),
            |_| {
                let parts: Vec<Value> = parts.iter().map(|&part| part.clone()).collect();
                Box::new(move |recording, gradients, upstream| {
                    let mut first = 0;
                    for part in parts {
                        let range = first..first + part.shape()[axis];
                        first = range.end;
                        if recording.is_tracked(&part) {
                            let gradient = slice(recording, upstream, axis as isize, range)?;
                            gradients.add(recording, &part, gradient)?;
                        }
                    }
                    Ok(())
                })
            },
        ),
    }
}

/// The values that are not empty, joined to one of those sizes.
fn joined(recording: &mut Recording, parts: &[&Value], axis: usize, dims: &[usize]) -> Result<Value> {
    let dtype = parts[0].dtype();
    // A row of the result is one of each part, side by side.
    let columns_of = |dims: &[usize]| dims[axis..].iter().product::<usize>();
    let mut elements_of_word = 1;
    if dtype == DType::F16 {
        if parts.iter().any(|part| columns_of(part.shape().dims()) % 2 == 1) {
            return through_f32(recording, |recording| {
                let wide: Result<Vec<Value>> =
                    parts.iter().map(|part| cast(recording, part, DType::F32)).collect();
                let wide = wide?;
                joined(recording, &wide.iter().collect::<Vec<_>>(), axis, dims)
            });
        }
        elements_of_word = 2;
    }
    let words = |elements: usize| (elements / elements_of_word) as u32;
    let y = recording.temporary(dims, dtype)?;
    let mut y_first = 0;
    recording.atomically(|recording| {
        for part in parts {
            let mut axes = [[1, 0]; AXES];
            let elements = words(part.shape().elements() as usize);
            axes[0] = [elements, 1];
            let y_columns = words(columns_of(part.shape().dims()));
            let y_row = words(columns_of(dims));
            let parameters = Parameters { y_first, y_columns, y_row, ..Parameters::new(elements, axes) };
            recording.dispatch_trusted(&StridedCopy, variant(), &parameters, &[part, &y])?;
            y_first += y_columns;
        }
        Ok(y)
    })
}
