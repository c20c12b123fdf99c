//! A part of a value along one axis.

use std::ops::Range;

use super::axes::{View, add_strided, axis_of, dense_strides, strided};
use crate::error::{Error, Result};
use crate::recording::{Recording, Value};

/// Records the part `range` of x along an axis, counted from the back if negative; of any shape and dtype. The result has
/// x's shape but for that axis, which is as long as the range. It is a copy, and x itself where the range is all of the axis.
/// (f16 whose pairs a copy would part go through f32 and back, which makes a signalling NaN a quiet one.)
///
/// ```
/// # fn main() -> attentive::Result<()> {
/// use attentive::{Device, Recording, Tensor, ops};
///
/// let mut recording = Recording::new(&Device::cpu());
/// let x = Tensor::from_u32(recording.device(), [2, 3], &[1, 2, 3, 4, 5, 6])?;
/// let x = recording.tensor(&x)?;
/// let y = ops::slice(&mut recording, &x, -1, 1..3)?;
/// recording.output(&y)?;
/// assert_eq!(recording.run()?.tensor(&y)?.to_u32()?, [2, 3, 5, 6]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] for an axis that x has not or a range that leads out of it; [`Error::Limit`].
pub fn slice(recording: &mut Recording, x: &Value, axis: isize, range: Range<usize>) -> Result<Value> {
    const OP: &str = "slice";
    let axis = axis_of(OP, "x", x, axis)?;
    let mut dims = x.shape().dims().to_vec();
    if range.start > range.end || range.end > dims[axis] {
        let expected = format!("within 0..{}, axis {axis} of x {}", dims[axis], x.shape());
        return Err(Error::argument(OP, "the range", expected, format!("{range:?}")));
    }
    let strides = dense_strides(&dims);
    dims[axis] = range.len();
    let first = range.start.saturating_mul(strides[axis]);
    recording.differentiable(
        &[x],
        |recording| strided(recording, OP, "x", x, &View { dims: &dims, first, strides: &strides }),
        |_| {
            let (x, dims, strides) = (x.clone(), dims.clone(), strides.clone());
            Box::new(move |recording, gradients, upstream| {
                let to = gradients.in_parts(recording, &x)?;
                add_strided(recording, OP, upstream, &to, &View { dims: &dims, first, strides: &strides })
            })
        },
    )
}
