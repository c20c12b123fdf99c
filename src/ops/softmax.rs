//! Softmax.

use super::axes::{axis_of, product};
use super::choice::choose_rows;
use super::expect_dtype;
use crate::error::Result;
use crate::kernels::normalization::softmax::{Parameters, Softmax};
use crate::kernels::normalization::softmax_gradient::SoftmaxGradient;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "softmax";

/// Records exp(x) / Σ exp(x), the sum along `axis` (counted from the back if negative), as exp(x − max(x)) so that no x is
/// too large; the result has x's shape. f32.
///
/// A NaN or +∞ makes all that it is summed with NaN, and so do −∞ alone; beside a finite element −∞ gives 0. ONNX's
/// Softmax (opset 13).
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for an axis or dtype that does not fit,
/// [`Error::Limit`](crate::Error::Limit), [`Error::Implementation`](crate::Error::Implementation).
pub fn softmax(recording: &mut Recording, x: &Value, axis: isize) -> Result<Value> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    let axis = axis_of(OP, "x", x, axis)?;
    let dims = x.shape().dims();
    let (columns, others) = (dims[axis], [&dims[..axis], &dims[axis + 1..]].concat());
    let parameters = Parameters {
        rows: product(OP, "the rows of x", &others)?,
        columns: product(OP, "the columns of x", &[columns])?,
        stride: product(OP, "the axes of x behind the axis", &dims[axis + 1..])?,
    };
    let variant = choose_rows(recording.device(), OP, columns, false)?;
    recording.differentiable(
        &[x],
        |recording| {
            let y = recording.temporary(x.shape().clone(), DType::F32)?;
            recording.dispatch_trusted(&Softmax, variant.clone(), &parameters, &[x, &y])?;
            Ok(y)
        },
        |y| {
            let (x, y, variant) = (x.clone(), y.clone(), variant.clone());
            Box::new(move |recording, gradients, upstream| {
                let dx = recording.temporary(y.shape().clone(), DType::F32)?;
                recording.dispatch_trusted(&SoftmaxGradient, variant, &parameters, &[upstream, &y, &dx])?;
                gradients.add(recording, &x, dx)
            })
        },
    )
}
