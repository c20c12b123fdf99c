//! The linear layer: y = activation(x · W + bias) + residual.

use std::ops::Range;

use super::{
    Activation, Gemm, activate, add, cast, expect_dtype, expect_shape, expect_weight_dtype, part_rows,
    product, size, slice, sum,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::linear::gemm::{Form, Parameters};
use crate::kernels::shared::WeightStorage;
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::{DType, Tensor};

/// The weights of a linear layer: W, in parts where it passes the device's binding limit, and a bias.
#[derive(Clone, Debug)]
pub struct LinearWeights {
    parts: Vec<Tensor>,
    bias: Option<Tensor>,
    inputs: usize,
    outputs: usize,
    transposed: bool,
}

impl LinearWeights {
    /// From W as `[outputs, inputs]` (PyTorch's `Linear`) in f32, stored as `dtype` (f32 or f16), and a bias
    /// `[outputs]`. A W above the device's binding limit is split by outputs.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths do not fit or for another dtype, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        [outputs, inputs]: [usize; 2],
        weight: &[f32],
        bias: Option<&[f32]>,
        dtype: DType,
    ) -> Result<Self> {
        expect_weight_dtype("linear", dtype)?;
        if Some(weight.len()) != outputs.checked_mul(inputs) {
            let expected = format!("[{outputs}, {inputs}], {} elements", outputs.saturating_mul(inputs));
            return Err(Error::argument("linear", "weight", expected, format!("{} elements", weight.len())));
        }
        if let Some(bias) = bias.filter(|bias| bias.len() != outputs) {
            let found = format!("{} elements", bias.len());
            return Err(Error::argument("linear", "bias", format!("[{outputs}]"), found));
        }
        let part_rows = part_rows(device, inputs, dtype);
        let parts = weight.chunks(part_rows.saturating_mul(inputs.max(1)).max(1)).map(|part| {
            let shape = [part.len() / inputs.max(1), inputs];
            match dtype {
                DType::F16 => Tensor::from_f32_as_f16(device, shape, part),
                _ => Tensor::from_f32(device, shape, part),
            }
        });
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        if inputs == 0 {
            // Nothing to multiply, but the bias and the residual are to be written.
            parts.push(Tensor::from_f32(device, [outputs, 0], &[])?);
        }
        let bias = bias.map(|bias| Tensor::from_f32(device, [outputs], bias)).transpose()?;
        Ok(Self { parts, bias, inputs, outputs, transposed: true })
    }

    /// From tensors that are on the device already: W `[outputs, inputs]` if `transposed`, `[inputs, outputs]` if not.
    ///
    /// # Errors
    /// [`Error::Argument`] if W has not two axes or another dtype than f32 and f16, or the bias does not fit it;
    /// [`Error::WrongDevice`] for a bias that lives elsewhere.
    pub fn from_tensors(weight: &Tensor, bias: Option<&Tensor>, transposed: bool) -> Result<Self> {
        let dims = weight.shape().dims();
        let &[first, second] = dims else {
            return Err(Error::argument("linear", "weight", "of rank 2", weight.shape().to_string()));
        };
        if !matches!(weight.dtype(), DType::F32 | DType::F16) {
            return Err(Error::argument("linear", "weight", "f32 or f16", weight.dtype().to_string()));
        }
        let (outputs, inputs) = if transposed { (first, second) } else { (second, first) };
        if let Some(bias) = bias.filter(|bias| bias.shape().dims() != [outputs] || bias.dtype() != DType::F32)
        {
            let found = format!("{} {}", bias.dtype(), bias.shape());
            return Err(Error::argument("linear", "bias", format!("f32 [{outputs}]"), found));
        }
        if let Some(bias) = bias {
            weight.device().expect_same("linear", || "bias".to_owned(), bias.device())?;
        }
        Ok(Self { parts: vec![weight.clone()], bias: bias.cloned(), inputs, outputs, transposed })
    }

    /// From parts of W `[outputs, inputs]` that are on the device already, by outputs.
    pub(crate) fn from_parts(device: &Device, parts: Vec<Tensor>, bias: Option<&[f32]>) -> Result<Self> {
        let inputs = parts.first().map_or(0, |part| part.shape().last());
        let outputs = parts.iter().map(|part| part.shape()[0]).sum();
        if let Some(bias) = bias.filter(|bias| bias.len() != outputs) {
            let found = format!("{} elements", bias.len());
            return Err(Error::argument("linear", "bias", format!("[{outputs}]"), found));
        }
        let bias = bias.map(|bias| Tensor::from_f32(device, [outputs], bias)).transpose()?;
        Ok(Self { parts, bias, inputs, outputs, transposed: true })
    }

    /// Columns of x.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns of y.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The parts of W, and the bias.
    pub(crate) fn tensors(&self) -> (&[Tensor], Option<&Tensor>) {
        (&self.parts, self.bias.as_ref())
    }

    /// Tensors that W is split into.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Bytes of W and the bias on the device.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().chain(&self.bias).map(Tensor::bytes).sum()
    }
}

/// The columns `part` of a row-major W with rows of that many columns, which part is within.
pub(crate) fn cut_columns(weight: &[f32], columns: usize, part: Range<usize>) -> Vec<f32> {
    weight.chunks_exact(columns.max(1)).flat_map(|row| &row[part.clone()]).copied().collect()
}

/// A linear layer to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    weights: &'a LinearWeights,
    activation: Activation,
    residual: Option<&'a Value>,
}

impl<'a> Linear<'a> {
    /// x · W + bias.
    pub fn new(weights: &'a LinearWeights) -> Self {
        Self { weights, activation: Activation::None, residual: None }
    }

    /// With an activation.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// With a residual of y's shape, added last.
    #[must_use]
    pub fn residual(mut self, residual: &'a Value) -> Self {
        self.residual = Some(residual);
        self
    }

    /// Records it: x `[…, inputs]` gives `[…, outputs]` f32. x, and a residual, are f32, or f16, which is widened in a dispatch
    /// of its own before: sums are in f32, whatever is stored.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes or dtypes that do not fit, [`Error::Limit`], [`Error::Implementation`].
    pub fn record(self, recording: &mut Recording, x: &Value) -> Result<Value> {
        recording.atomically(|recording| {
            let values = self.values(recording)?;
            let given = [Some(x), self.residual, values.bias.as_ref()].into_iter().flatten();
            let inputs: Vec<&Value> = given.chain(&values.parts).collect();
            let is_tracked = recording.is_taping() && inputs.iter().any(|input| recording.is_tracked(input));
            if is_tracked && self.activation != Activation::None {
                // An activation's gradient needs its argument, which the fused form does not keep.
                let sums =
                    Self { activation: Activation::None, residual: None, ..self }.record(recording, x)?;
                let y = activate(recording, &sums, self.activation)?;
                let Some(residual) = self.residual else { return Ok(y) };
                let residual = cast(recording, residual, DType::F32)?;
                expect_shape("linear", "residual", &residual, y.shape().dims())?;
                return add(recording, &y, &residual);
            }
            recording.differentiable(
                &inputs,
                |recording| self.record_widened(recording, x, &values),
                |_| {
                    let (x, residual, values) = (x.clone(), self.residual.cloned(), values.clone());
                    Box::new(move |recording, gradients, upstream| {
                        if let Some(residual) = residual.filter(|residual| recording.is_tracked(residual)) {
                            gradients.add(recording, &residual, upstream.clone())?;
                        }
                        values.record_gradients(recording, gradients, &x, upstream)
                    })
                },
            )
        })
    }

    fn values(&self, recording: &mut Recording) -> Result<LinearValues> {
        LinearValues::of(recording, self.weights)
    }

    fn record_widened(self, recording: &mut Recording, x: &Value, values: &LinearValues) -> Result<Value> {
        let weights = self.weights;
        expect_dtype("linear", "x", x, &[DType::F32, DType::F16])?;
        if x.shape().last() != weights.inputs || x.shape().rank() == 0 {
            let expected = format!("[…, {}] for weight [{}, {0}]", weights.inputs, weights.outputs);
            return Err(Error::argument("linear", "x", expected, x.shape().to_string()));
        }
        let y = recording.temporary(x.shape().with_last(weights.outputs), DType::F32)?;
        if let Some(residual) = self.residual {
            expect_dtype("linear", "residual", residual, &[DType::F32, DType::F16])?;
            expect_shape("linear", "residual", residual, y.shape().dims())?;
        }
        let x = &cast(recording, x, DType::F32)?;
        let residual = match self.residual {
            Some(residual) => Some(cast(recording, residual, DType::F32)?),
            None => None,
        };
        let absent = recording.absent()?;
        let bias = values.bias.as_ref().unwrap_or(&absent);
        let rows = size("linear", "the rows of x", x.shape().rows())?;
        let depth = size("linear", "the columns of x", weights.inputs)?;
        let y_row = size("linear", "the columns of y", weights.outputs)?;
        let shader_f16 = recording.device().capabilities().shader_f16;
        let mut first_column = 0;
        for part in &values.parts {
            let columns = part.shape()[usize::from(!weights.transposed)] as u32;
            let form = Form {
                activation: self.activation,
                transposed: weights.transposed,
                storage: WeightStorage::of(part.dtype(), shader_f16),
                general: false,
            };
            let parameters = Parameters {
                rows,
                columns,
                depth,
                x_row: depth,
                y_row,
                first_column,
                has_bias: values.bias.is_some().into(),
                has_residual: residual.is_some().into(),
                batches: 1,
                alpha: 1.0,
                beta: 1.0,
                activation: self.activation.code(),
            };
            let residual = residual.as_ref().unwrap_or(&absent);
            product::record(recording, form, &parameters, [x, part, bias, residual, &absent, &y])?;
            first_column += columns;
        }
        Ok(y)
    }
}

/// The weights of a linear layer in a recording.
#[derive(Clone)]
pub(crate) struct LinearValues {
    parts: Vec<Value>,
    bias: Option<Value>,
    transposed: bool,
}

impl LinearValues {
    /// Takes them in.
    pub fn of(recording: &mut Recording, weights: &LinearWeights) -> Result<Self> {
        let LinearWeights { parts, bias, transposed, .. } = weights;
        let parts = parts.iter().map(|part| recording.tensor(part)).collect::<Result<_>>()?;
        let bias = bias.as_ref().map(|bias| recording.tensor(bias)).transpose()?;
        Ok(Self { parts, bias, transposed: *transposed })
    }

    /// The parts of W and the bias.
    pub fn all(&self) -> impl Iterator<Item = &Value> {
        self.parts.iter().chain(&self.bias)
    }

    /// Records dX = dY · W + what there is of it already, for dY `[rows, outputs]`.
    pub fn record_input_gradient(
        &self,
        recording: &mut Recording,
        upstream: &Value,
        earlier: Option<Value>,
    ) -> Result<Option<Value>> {
        let product = if self.transposed { Gemm::new() } else { Gemm::new().transpose_b() };
        let (mut gradient, mut first) = (earlier, 0);
        for part in &self.parts {
            let columns = part.shape()[usize::from(!self.transposed)];
            let upstream = slice(recording, upstream, -1, first..first + columns)?;
            first += columns;
            let weight = cast(recording, part, DType::F32)?;
            gradient = Some(product.plus(gradient.as_ref()).record(recording, &upstream, &weight)?);
        }
        Ok(gradient)
    }

    /// Records, of y = x · Wᵀ + bias with the gradient dY: dX = dY · W, dW = dYᵀ · X, and the bias's, the sum of dY's rows.
    pub fn record_gradients(
        &self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        x: &Value,
        upstream: &Value,
    ) -> Result<()> {
        let rows = x.shape().rows();
        let upstream = upstream.reshape([rows, upstream.shape().last()])?;
        if let Some(bias) = self.bias.as_ref().filter(|bias| recording.is_tracked(bias)) {
            let gradient = sum(recording, &upstream, 0..1)?;
            gradients.add(recording, bias, gradient)?;
        }
        if recording.is_tracked(x) {
            let earlier = gradients.take(recording, x);
            let earlier = earlier.map(|earlier| earlier.reshape([rows, x.shape().last()])).transpose()?;
            if let Some(gradient) = self.record_input_gradient(recording, &upstream, earlier)? {
                gradients.set(recording, x, gradient);
            }
        }
        let mut first = 0;
        for part in &self.parts {
            let columns = part.shape()[usize::from(!self.transposed)];
            let upstream = slice(recording, &upstream, -1, first..first + columns)?;
            first += columns;
            if recording.is_tracked(part) {
                let x = cast(recording, x, DType::F32)?.reshape([rows, x.shape().last()])?;
                let earlier = gradients.take(recording, part);
                let [left, right] = if self.transposed { [&upstream, &x] } else { [&x, &upstream] };
                let product = Gemm::new().transpose_a().plus(earlier.as_ref());
                let gradient = product.record(recording, left, right)?;
                gradients.set(recording, part, gradient);
            }
        }
        Ok(())
    }
}
