//! The gradients of a case: what of the file is differentiated by, and how what the tape gives becomes a gradient of the file's
//! tensor.
//!
//! The loss is Σ upstream · output over the outputs that have an upstream gradient, recorded by the public ops; its gradients are
//! [`Recording::backward`]'s.

use super::CaseFile;
use super::call::{Answer, Array, Call, Finish};
use crate::error::Result;
use crate::layers::{Parameter, Slice};
use crate::ops::{add, multiply, sum};
use crate::recording::{Outputs, Recording, Value};
use crate::tensor::Tensor;

/// What a tensor of the file has become in the recording.
pub(super) enum Origin {
    /// A value, whose axes were changed on the way in as `Finish` changes them back.
    Value(Value, Finish),
    /// Values, each of them an index of the tensor's first axis.
    Stack(Vec<Value>),
    /// Parts of a layer's parameters, whose axes are changed last.
    Parameters(Vec<(Tensor, Slice)>, Finish),
}

/// The gradients of an origin's parts, in its order; `None` where the loss does not depend on one.
pub(super) struct Recorded {
    name: String,
    origin: Origin,
    parts: Vec<Option<Value>>,
}

/// A layer's parameters under the names that the file has for them: `place` tells of each own name the file's, and the row and the
/// column at which the part begins there.
pub(super) fn renamed(
    mut parameters: Vec<Parameter>,
    place: impl Fn(&str) -> (String, [usize; 2]),
) -> Vec<Parameter> {
    for slice in parameters.iter_mut().flat_map(|parameter| &mut parameter.slices) {
        let (name, [row, column]) = place(&slice.name);
        slice.name = name;
        slice.at = [slice.at[0] + row, slice.at[1] + column];
    }
    parameters
}

impl Call<'_> {
    /// Whether the gradient of that tensor is to be compared.
    pub(super) fn asks_gradient(&self, name: &str) -> bool {
        self.has(&format!("gradient.{name}"))
    }

    /// Says that the tensor of that name is this value, where its gradient is asked for. `finish` gives the value's gradient the axes
    /// of the tensor.
    pub(super) fn differentiate(&mut self, name: &str, value: &Value, finish: Finish) -> Result<()> {
        if self.asks_gradient(name) {
            self.recording.track(value)?;
            self.origins.push((name.to_owned(), Origin::Value(value.clone(), finish)));
        }
        Ok(())
    }

    /// The same of a tensor of which each index of the first axis is a value.
    pub(super) fn differentiate_stacked(&mut self, name: &str, values: &[Value]) -> Result<()> {
        if self.asks_gradient(name) {
            values.iter().try_for_each(|value| self.recording.track(value))?;
            self.origins.push((name.to_owned(), Origin::Stack(values.to_vec())));
        }
        Ok(())
    }

    /// Begins the recording anew with those of a layer's parameters whose gradients are asked for; they have the file's names
    /// ([`renamed`]). So it comes before anything is uploaded into the recording.
    pub(super) fn train(&mut self, parameters: &[Parameter], finish: Finish) -> Result<()> {
        let mut tensors = Vec::new();
        for parameter in parameters {
            let asked = parameter.slices.iter().filter(|slice| self.asks_gradient(&slice.name));
            let asked: Vec<Slice> = asked.cloned().collect();
            if !asked.is_empty() {
                tensors.push(parameter.tensor.clone());
            }
            for slice in asked {
                let part = (parameter.tensor.clone(), slice);
                let name = &part.1.name;
                match self.origins.iter_mut().find(|(known, _)| known == name) {
                    Some((_, Origin::Parameters(parts, _))) => parts.push(part),
                    _ => self.origins.push((name.clone(), Origin::Parameters(vec![part], finish))),
                }
            }
        }
        if !tensors.is_empty() {
            let device = self.recording.device().clone();
            self.recording = Recording::training(&device, &tensors)?;
        }
        Ok(())
    }

    /// Records the loss and the gradients of all that is asked for.
    pub(super) fn record_gradients(&mut self) -> Result<Vec<Recorded>> {
        let case = self.case();
        let origin = |name: &&str| self.origins.iter().any(|(known, _)| known == name);
        if let Some(name) = case.gradients().find(|name| !origin(name)) {
            let op = case.op_name();
            let problem = format!(
                "`gradient.{name}` is asked for, but {op} with these attributes and tensors gives no gradient by `{name}`"
            );
            return Err(self.wrong(problem));
        }
        let mut loss: Option<Value> = None;
        for name in case.upstreams() {
            let term = self.upstream_times_output(name)?;
            loss = Some(match loss {
                Some(loss) => add(&mut self.recording, &loss, &term)?,
                None => term,
            });
        }
        let Some(loss) = loss else { return Ok(Vec::new()) };
        let gradients = self.recording.backward(&loss)?;
        let mut recorded = Vec::new();
        for (name, origin) in std::mem::take(&mut self.origins) {
            let recording = &mut self.recording;
            let parts: Vec<Option<Value>> = match &origin {
                Origin::Value(value, _) => vec![gradients.of(recording, value)],
                Origin::Stack(values) => values.iter().map(|value| gradients.of(recording, value)).collect(),
                Origin::Parameters(parts, _) => {
                    parts.iter().map(|(tensor, _)| gradients.of_parameter(recording, tensor)).collect()
                }
            };
            parts.iter().flatten().try_for_each(|part| recording.output(part))?;
            recorded.push(Recorded { name, origin, parts });
        }
        Ok(recorded)
    }

    /// Σ upstream · output of the output of that name, a scalar.
    fn upstream_times_output(&mut self, name: &str) -> Result<Value> {
        let case = self.case();
        let full = format!("upstream.{name}");
        let (upstream, _) = case.array(&full)?;
        let Some((_, answer)) = self.answers().iter().find(|(answer, _)| *answer == name) else {
            return Err(self.wrong(format!("the op has no `{name}` with these attributes")));
        };
        let (values, finish): (Vec<Value>, Finish) = match answer {
            Answer::Value(value, finish) => (vec![value.clone()], *finish),
            Answer::Stack(values) => (values.clone(), |array| array),
            Answer::Tensor(_) => {
                return Err(self.wrong(format!("`{name}` has no gradient here, so there can be no `{full}`")));
            }
        };
        let inner = values.first().map_or(&[][..], |value| value.shape().dims());
        let shape = match answer {
            Answer::Stack(_) => [&[values.len()], inner].concat(),
            _ => finish(Array { shape: inner.to_vec(), values: Vec::new() }).shape,
        };
        if upstream.shape != shape {
            let problem = format!("`{full}` is {:?}, but `{name}` is {shape:?}", upstream.shape);
            return Err(self.wrong(problem));
        }
        // Axes that change places do so in both directions alike.
        let upstream = finish(upstream).values;
        let mut total: Option<Value> = None;
        let size = upstream.len() / values.len().max(1);
        for (place, value) in values.iter().enumerate() {
            let upstream = self.upload_floats(&[size], &upstream[place * size..(place + 1) * size])?;
            let terms = multiply(&mut self.recording, &value.reshape([size])?, &upstream)?;
            let term = sum(&mut self.recording, &terms, 0..1)?;
            total = Some(match total {
                Some(total) => add(&mut self.recording, &total, &term)?,
                None => term,
            });
        }
        total.ok_or_else(|| self.wrong(format!("`{name}` is empty and has no gradient")))
    }
}

impl Recorded {
    /// What was computed, as the file has the tensor, under the tensor's name.
    pub(super) async fn read(self, case: &CaseFile, outputs: &Outputs) -> Result<(String, Array)> {
        let Self { name, origin, parts } = self;
        let shape = case.checkpoint().shape(&name).unwrap_or_default().to_vec();
        let mut found = Vec::new();
        for part in parts {
            found.push(match part {
                Some(part) => Some(outputs.tensor(&part)?.to_f32_async().await?),
                None => None,
            });
        }
        let or_zeros = |part: &Option<Vec<f32>>, size: usize| part.clone().unwrap_or_else(|| vec![0.0; size]);
        let elements = product(&shape);
        let values = match origin {
            Origin::Value(value, finish) => {
                let own = value.shape().dims().to_vec();
                let values = found.iter().flat_map(|part| or_zeros(part, elements)).collect();
                finish(Array { shape: own, values }).values
            }
            Origin::Stack(values) => {
                let size = elements / values.len().max(1);
                found.iter().flat_map(|part| or_zeros(part, size)).collect()
            }
            Origin::Parameters(parts, finish) => {
                let own = finish(Array { shape: shape.clone(), values: Vec::new() }).shape;
                let mut all = vec![0.0; elements];
                for ((tensor, slice), part) in parts.iter().zip(&found) {
                    if let Some(part) = part {
                        let columns =
                            [&own, tensor.shape().dims()].map(|dims| product(&dims[1.min(dims.len())..]));
                        copy_rows(part, slice, &mut all, columns);
                    }
                }
                finish(Array { shape: own, values: all }).values
            }
        };
        Ok((name, Array { shape, values }))
    }
}

/// The elements of a tensor of those sizes, of which one may be 0 and others past what their product could hold.
fn product(sizes: &[usize]) -> usize {
    if sizes.contains(&0) { 0 } else { sizes.iter().product() }
}

/// Copies a slice's rows of a parameter's gradient into a tensor; both have rows of `columns`, the tensor's first.
fn copy_rows(gradient: &[f32], slice: &Slice, tensor: &mut [f32], columns: [usize; 2]) {
    for (row, own_row) in slice.rows.clone().enumerate() {
        let to = (slice.at[0] + row) * columns[0] + slice.at[1];
        let from = own_row * columns[1];
        let to = tensor.get_mut(to..to + columns[1]);
        if let (Some(to), Some(from)) = (to, gradient.get(from..from + columns[1])) {
            to.copy_from_slice(from);
        }
    }
}
