//! Activations by themselves.

use super::axes::product;
use super::{Activation, expect_dtype};
use crate::error::Result;
use crate::kernels::elementwise::activate::{Activate, Parameters, variant};
use crate::kernels::elementwise::activation_gradient::ActivationGradient;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "activate";

/// Records the activation of each element of x, f32 of any shape; the result has x's shape.
///
/// [`Activation::Gelu`] and [`Activation::GeluTanh`] are ONNX's Gelu (opset 20). [`Linear`](super::Linear) applies one to
/// its own sums. NaN stays NaN; at −∞ the products of GELU and SiLU are −∞ · 0, and so NaN.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if x is not f32, [`Error::Limit`](crate::Error::Limit).
pub fn activate(recording: &mut Recording, x: &Value, activation: Activation) -> Result<Value> {
    expect_dtype(OP, "x", x, &[DType::F32])?;
    let parameters = Parameters { elements: product(OP, "the elements of x", x.shape().dims())? };
    recording.differentiable(
        &[x],
        |recording| {
            let y = recording.temporary(x.shape().clone(), DType::F32)?;
            recording.dispatch_trusted(&Activate, variant(activation), &parameters, &[x, &y])?;
            Ok(y)
        },
        |_| {
            let x = x.clone();
            Box::new(move |recording, gradients, upstream| {
                let dx = activation_gradient(recording, upstream, &x, activation)?;
                gradients.add(recording, &x, dx)
            })
        },
    )
}

/// Records upstream · f′(x) for the activation f of each element of x; both f32 of one shape, dense. For ops that apply one to their
/// own sums, too: x is what the activation was applied to.
pub(super) fn activation_gradient(
    recording: &mut Recording,
    upstream: &Value,
    x: &Value,
    activation: Activation,
) -> Result<Value> {
    if activation == Activation::None {
        return Ok(upstream.clone());
    }
    let parameters = Parameters { elements: product(OP, "the elements of x", x.shape().dims())? };
    let dx = recording.temporary(x.shape().clone(), DType::F32)?;
    recording.dispatch_trusted(&ActivationGradient, variant(activation), &parameters, &[upstream, x, &dx])?;
    Ok(dx)
}
