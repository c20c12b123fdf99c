//! RMS normalization.

use super::axes::{affine, axis_of, product};
use super::choice::choose_rows;
use super::norm_gradient::NormGradient;
use super::{expect_dtype, expect_epsilon};
use crate::error::{Error, Result};
use crate::kernels::normalization::rms_norm::{Parameters, RmsNorm};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "rms_norm";

/// Records x / √(mean(x²) + ε) · γ, the mean over all axes from `axis` on (counted from the back if negative); the
/// result has x's shape. γ is broadcast to x by NumPy's rule. f32. A NaN makes what it is averaged with NaN.
///
/// Zhang and Sennrich 2019; ONNX's RMSNormalization (opset 23).
///
/// # Errors
/// [`Error::Argument`] for shapes, an axis, dtypes or an ε that do not fit, or nothing to average;
/// [`Error::Limit`], [`Error::Implementation`].
pub fn rms_norm(
    recording: &mut Recording,
    x: &Value,
    gamma: &Value,
    axis: isize,
    epsilon: f32,
) -> Result<Value> {
    expect_epsilon(OP, epsilon)?;
    expect_dtype(OP, "x", x, &[DType::F32])?;
    expect_dtype(OP, "gamma", gamma, &[DType::F32])?;
    let given = axis;
    let axis = axis_of(OP, "x", x, axis)?;
    let (rows, columns) = x.shape().dims().split_at(axis);
    let (rows, columns) = (product(OP, "the rows of x", rows)?, product(OP, "the columns of x", columns)?);
    if columns == 0 {
        let expected = format!("not empty from axis {axis} on");
        return Err(Error::argument(OP, "x", expected, x.shape().to_string()));
    }
    let variant = choose_rows(recording.device(), OP, columns as usize, false)?;
    recording.differentiable(
        &[x, gamma],
        |recording| {
            let (gamma, gamma_row) = affine(recording, OP, "gamma", gamma, (x, axis))?;
            let parameters = Parameters { rows, columns, epsilon, gamma_row };
            let y = recording.temporary(x.shape().clone(), DType::F32)?;
            recording.dispatch_trusted(&RmsNorm, variant, &parameters, &[x, &gamma, &y])?;
            Ok(y)
        },
        |_| {
            let (x, gamma) = (x.clone(), gamma.clone());
            let norm =
                NormGradient { op: OP, centered: false, x, residual: None, gamma, axis: given, epsilon };
            Box::new(move |recording, gradients, upstream| norm.record(recording, gradients, upstream))
        },
    )
}
