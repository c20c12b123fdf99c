//! Activations by themselves.

use super::axes::product;
use super::{Activation, expect_dtype};
use crate::error::Result;
use crate::kernels::elementwise::activate::{Activate, Parameters, variant};
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
    let y = recording.temporary(x.shape().clone(), DType::F32)?;
    recording.dispatch_trusted(&Activate, variant(activation), &parameters, &[x, &y])?;
    Ok(y)
}
