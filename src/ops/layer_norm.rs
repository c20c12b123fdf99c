//! Layer normalization.

use super::{choose_rows, expect_dtype, expect_shape, size};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::normalization::layer_norm::{LayerNorm, Parameters};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

/// γ, β and ε.
#[derive(Clone, Debug)]
pub struct LayerNormWeights {
    pub(crate) gamma: Tensor,
    pub(crate) beta: Tensor,
    pub(crate) epsilon: f32,
}

impl LayerNormWeights {
    /// γ and β `[columns]` with ε.
    ///
    /// # Errors
    /// [`Error::Argument`] if their lengths differ, [`Error::OutOfMemory`].
    pub fn new(device: &Device, gamma: &[f32], beta: &[f32], epsilon: f32) -> Result<Self> {
        if gamma.len() != beta.len() {
            let expected = format!("[{}], as gamma", gamma.len());
            return Err(Error::argument("layer_norm", "beta", expected, format!("[{}]", beta.len())));
        }
        let gamma = Tensor::from_f32(device, [gamma.len()], gamma)?;
        let beta = Tensor::from_f32(device, [beta.len()], beta)?;
        Ok(Self { gamma, beta, epsilon })
    }

    /// The row length that they are for.
    pub fn columns(&self) -> usize {
        self.gamma.shape().last()
    }
}

/// Records layer norm over the last axis of x (+ residual) `[…, columns]`; the result has x's shape.
///
/// # Errors
/// [`Error::Argument`] for shapes or dtypes that do not fit, [`Error::Limit`], [`Error::Implementation`].
pub fn layer_norm(
    recording: &mut Recording,
    x: &Value,
    residual: Option<&Value>,
    weights: &LayerNormWeights,
) -> Result<Value> {
    let columns = weights.columns();
    expect_dtype("layer_norm", "x", x, &[DType::F32])?;
    if x.shape().last() != columns || x.shape().rank() == 0 || columns == 0 {
        let expected = format!("[…, {columns}] for gamma [{columns}], not empty");
        return Err(Error::argument("layer_norm", "x", expected, x.shape().to_string()));
    }
    if let Some(residual) = residual {
        expect_dtype("layer_norm", "residual", residual, &[DType::F32])?;
        expect_shape("layer_norm", "residual", residual, x.shape().dims())?;
    }
    let parameters = Parameters {
        rows: size("layer_norm", "the rows of x", x.shape().rows())?,
        columns: size("layer_norm", "the columns of x", columns)?,
        epsilon: weights.epsilon,
        has_residual: residual.is_some().into(),
    };
    let variant = choose_rows(recording.device(), "layer_norm", columns)?;
    let y = recording.temporary(x.shape().clone(), DType::F32)?;
    let absent = recording.absent()?;
    let (gamma, beta) = (recording.tensor(&weights.gamma)?, recording.tensor(&weights.beta)?);
    let bindings = [x, residual.unwrap_or(&absent), &gamma, &beta, &y];
    recording.dispatch(&LayerNorm, variant, &parameters, &bindings)?;
    Ok(y)
}
