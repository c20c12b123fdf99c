//! Products, one side broadcast.

use super::axes::{broadcast_strides, product};
use super::{expect_dtype, size};
use crate::error::{Error, Result};
use crate::kernels::elementwise::multiply::{Multiply, Parameters, variant};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "multiply";

/// Records x · factors element by element, f32 of up to 4 axes; the factors are broadcast to x by NumPy's rule, and the
/// result has x's shape. Of x `[batch, channels, height, width]`, factors `[batch, channels, 1, 1]` weigh channels, and
/// `[batch, 1, height, width]` places.
///
/// # Errors
/// [`Error::Argument`] for shapes or dtypes that do not fit, or more than 4 axes; [`Error::Limit`].
pub fn multiply(recording: &mut Recording, x: &Value, factors: &Value) -> Result<Value> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    expect_dtype(OP, "the factors", factors, &[DType::F32])?;
    let dims = x.shape().dims();
    if dims.len() > 4 {
        return Err(Error::argument(OP, "x", "of at most 4 axes", x.shape().to_string()));
    }
    let Some(strides) = broadcast_strides(factors.shape().dims(), dims) else {
        let expected = format!("broadcastable to {}", x.shape());
        return Err(Error::argument(OP, "the factors", expected, factors.shape().to_string()));
    };
    let elements = product(OP, "the elements of x", dims)?;
    // From the last axis to the first; those that x has not are of size 1.
    let mut axes = [[1, 0]; 4];
    if elements > 0 {
        for (axis, (&length, &stride)) in axes.iter_mut().zip(dims.iter().zip(&strides).rev()) {
            *axis = [size(OP, "an axis", length)?, size(OP, "a stride", stride)?];
        }
    }
    let [last, third, second, first] = axes;
    let parameters = Parameters {
        elements,
        size_0: last[0],
        size_1: third[0],
        size_2: second[0],
        stride_0: last[1],
        stride_1: third[1],
        stride_2: second[1],
        stride_3: first[1],
    };
    let y = recording.temporary(x.shape().clone(), DType::F32)?;
    recording.dispatch(&Multiply, variant(), &parameters, &[x, factors, &y])?;
    Ok(y)
}
