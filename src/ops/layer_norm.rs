//! Layer normalization.

use super::axes::{affine, axis_of, expect_broadcast, product, sum_to};
use super::choice::choose_rows;
use super::norm_gradient::NormGradient;
use super::{expect_dtype, expect_epsilon, expect_shape};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::normalization::layer_norm::{self as kernel, Parameters};
use crate::recording::{Recording, Rule, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "layer_norm";

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
    /// [`Error::Argument`] if their lengths differ or ε is negative or not finite, [`Error::OutOfMemory`].
    pub fn new(device: &Device, gamma: &[f32], beta: &[f32], epsilon: f32) -> Result<Self> {
        expect_epsilon(OP, epsilon)?;
        if gamma.len() != beta.len() {
            let expected = format!("[{}], as gamma", gamma.len());
            return Err(Error::argument("layer_norm", "beta", expected, format!("[{}]", beta.len())));
        }
        let gamma = Tensor::from_f32(device, [gamma.len()], gamma)?;
        let beta = Tensor::from_f32(device, [beta.len()], beta)?;
        Ok(Self { gamma, beta, epsilon })
    }

    /// The device that they live on.
    pub(crate) fn device(&self) -> &Device {
        self.gamma.device()
    }

    /// The row length that they are for.
    pub fn columns(&self) -> usize {
        self.gamma.shape().last()
    }
}

/// Records layer norm over the last axis of x (+ residual) `[…, columns]`; the result has x's shape. [`LayerNorm`] has
/// more to choose.
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
    expect_dtype(OP, "x", x, &[DType::F32])?;
    if x.shape().last() != columns || x.shape().rank() == 0 || columns == 0 {
        let expected = format!("[…, {columns}] for gamma [{columns}], not empty");
        return Err(Error::argument(OP, "x", expected, x.shape().to_string()));
    }
    let (gamma, beta) = (recording.tensor(&weights.gamma)?, recording.tensor(&weights.beta)?);
    let norm = LayerNorm { residual, ..LayerNorm::new(&gamma).beta(&beta).epsilon(weights.epsilon) };
    Ok(norm.record(recording, x)?.output)
}

/// Layer normalization to be recorded: y = (a − mean(a)) / √(var(a) + ε) · γ + β with a = x + residual (Ba, Kiros and
/// Hinton 2016; ONNX's LayerNormalization, opset 17).
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    gamma: &'a Value,
    beta: Option<&'a Value>,
    residual: Option<&'a Value>,
    axis: isize,
    epsilon: f32,
    moments: bool,
}

/// The values of a recorded layer norm.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerNormValues {
    /// Of x's shape.
    pub output: Value,
    /// The means, of x's shape with 1 for every axis from the first normalized one on, if asked for.
    pub mean: Option<Value>,
    /// 1 / √(var + ε), of the same shape, if asked for.
    pub inv_std_dev: Option<Value>,
}

impl<'a> LayerNorm<'a> {
    /// Over the last axis with that γ, no β, and ε = 1e-5.
    pub fn new(gamma: &'a Value) -> Self {
        Self { gamma, beta: None, residual: None, axis: -1, epsilon: 1e-5, moments: false }
    }

    /// With a β.
    #[must_use]
    pub fn beta(mut self, beta: &'a Value) -> Self {
        self.beta = Some(beta);
        self
    }

    /// With a residual of x's shape, added to x first.
    #[must_use]
    pub fn residual(mut self, residual: &'a Value) -> Self {
        self.residual = Some(residual);
        self
    }

    /// Over all axes from this one on, counted from the back if negative.
    #[must_use]
    pub fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }

    /// Another ε.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Gives the means and the inverse standard deviations too.
    #[must_use]
    pub fn with_moments(mut self) -> Self {
        self.moments = true;
        self
    }

    /// Records it. x is f32 of any shape with an axis; γ and β f32, broadcast to x by NumPy's rule. A NaN makes what it
    /// is averaged with NaN.
    ///
    /// Of gradients: x, the residual, γ and β have theirs, that of the output. The moments have none: whatever reads them where one of
    /// the inputs is differentiated is [`Error::NoGradient`].
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes, an axis, dtypes or an ε that do not fit, or nothing to average; [`Error::Limit`],
    /// [`Error::Implementation`].
    pub fn record(self, recording: &mut Recording, x: &Value) -> Result<LayerNormValues> {
        let inputs: Vec<&Value> =
            [Some(x), self.residual, Some(self.gamma), self.beta].into_iter().flatten().collect();
        let is_tracked = recording.is_taping() && inputs.iter().any(|input| recording.is_tracked(input));
        let record = |recording: &mut Recording| {
            let values = self.compute(recording, x)?;
            Ok((values.output.clone(), values))
        };
        let (_, values) = recording.differentiable_with(&inputs, record, |_, _| self.rule(x))?;
        if is_tracked {
            let moments = [&values.mean, &values.inv_std_dev];
            moments.into_iter().flatten().for_each(|value| recording.refuse_gradient(value));
        }
        Ok(values)
    }

    fn rule(self, x: &Value) -> Rule {
        let norm = NormGradient {
            op: OP,
            centered: true,
            x: x.clone(),
            residual: self.residual.cloned(),
            gamma: self.gamma.clone(),
            axis: self.axis,
            epsilon: self.epsilon,
        };
        let beta = self.beta.cloned();
        Box::new(move |recording, gradients, upstream| {
            norm.record(recording, gradients, upstream)?;
            let Some(beta) = beta.filter(|beta| recording.is_tracked(beta)) else { return Ok(()) };
            let of_beta = sum_to(recording, OP, upstream, beta.shape().dims())?;
            gradients.add(recording, &beta, of_beta)
        })
    }

    fn compute(self, recording: &mut Recording, x: &Value) -> Result<LayerNormValues> {
        recording.atomically(|recording| {
            expect_epsilon(OP, self.epsilon)?;
            let given = [
                ("x", Some(x)),
                ("residual", self.residual),
                ("gamma", Some(self.gamma)),
                ("beta", self.beta),
            ];
            for (name, value) in given {
                value.map_or(Ok(()), |value| expect_dtype(OP, name, value, &[DType::F32]))?;
            }
            if let Some(residual) = self.residual {
                expect_shape(OP, "residual", residual, x.shape().dims())?;
            }
            let axis = axis_of(OP, "x", x, self.axis)?;
            let (outer, inner) = x.shape().dims().split_at(axis);
            let (rows, columns) =
                (product(OP, "the rows of x", outer)?, product(OP, "the columns of x", inner)?);
            if columns == 0 {
                let expected = format!("not empty from axis {axis} on");
                return Err(Error::argument(OP, "x", expected, x.shape().to_string()));
            }
            if let Some(beta) = self.beta {
                expect_broadcast(OP, "beta", beta, x.shape().dims())?;
            }
            let variant = choose_rows(recording.device(), OP, columns as usize, false)?;
            let absent = recording.absent()?;
            let (gamma, gamma_row) = affine(recording, OP, "gamma", self.gamma, (x, axis))?;
            let (beta, beta_row) = match self.beta {
                Some(beta) => affine(recording, OP, "beta", beta, (x, axis))?,
                None => (absent.clone(), 0),
            };
            let y = recording.temporary(x.shape().clone(), DType::F32)?;
            // An output that nobody asks for is bound too, and is not written.
            let moments = if self.moments { [outer, &vec![1; inner.len()]].concat() } else { vec![1] };
            let mean = recording.temporary(moments.clone(), DType::F32)?;
            let inv_std_dev = recording.temporary(moments, DType::F32)?;
            let parameters = Parameters {
                rows,
                columns,
                epsilon: self.epsilon,
                has_residual: self.residual.is_some().into(),
                has_beta: self.beta.is_some().into(),
                has_moments: self.moments.into(),
                gamma_row,
                beta_row,
            };
            let residual = self.residual.unwrap_or(&absent);
            let bindings = [x, residual, &gamma, &beta, &y, &mean, &inv_std_dev];
            recording.dispatch_trusted(&kernel::LayerNorm, variant, &parameters, &bindings)?;
            let asked = |value| self.moments.then_some(value);
            Ok(LayerNormValues { output: y, mean: asked(mean), inv_std_dev: asked(inv_std_dev) })
        })
    }
}
