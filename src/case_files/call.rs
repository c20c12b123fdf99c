//! One run of a case: its tensors go into a recording, its answers come out.

use std::collections::BTreeSet;

use super::CaseFile;
use super::file::Attributes;
use super::gradients::Origin;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::Mask;
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor, checked_words};
use crate::weights::files::bad;

/// Floats on the host.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    /// The first two axes exchanged.
    pub(super) fn swapped(self) -> Self {
        let &[first, second, ref rest @ ..] = self.shape.as_slice() else { return self };
        let shape = [&[second, first], rest].concat();
        if self.values.is_empty() {
            return Self { shape, values: self.values };
        }
        let inner: usize = rest.iter().product();
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..second {
            for row in 0..first {
                let start = (row * second + column) * inner;
                values.extend_from_slice(&self.values[start..start + inner]);
            }
        }
        Self { shape, values }
    }
}

/// How a mask of the file is written.
#[derive(Clone, Debug)]
pub(super) enum HostMask {
    Bool(Vec<bool>),
    Float(Vec<f32>),
}

/// A mask on the device.
pub(super) struct DeviceMask(Value);

impl DeviceMask {
    /// Says that it is the mask of that name, where its gradient is asked for: one of floats, with the file's elements.
    pub(super) fn differentiate(&self, call: &mut Call<'_>, name: &str) -> Result<()> {
        call.differentiate(name, &self.0, |array| array)
    }

    pub(super) fn get(&self) -> Mask<'_> {
        match self.0.dtype() {
            DType::U32 => Mask::Bool(&self.0),
            _ => Mask::Float(&self.0),
        }
    }
}

/// What is done to an answer on its way out: its axes change places.
pub(super) type Finish = fn(Array) -> Array;

pub(super) struct Call<'a> {
    case: &'a CaseFile,
    pub(super) recording: Recording,
    used: BTreeSet<String>,
    answers: Vec<(&'static str, Answer)>,
    /// What the tensors have become whose gradients are asked for.
    pub(super) origins: Vec<(String, Origin)>,
}

/// What a run gives.
pub(super) struct Computed {
    pub(super) answers: Vec<(&'static str, Array)>,
    /// By the names of the tensors that they are gradients of.
    pub(super) gradients: Vec<(String, Array)>,
}

pub(super) enum Answer {
    Value(Value, Finish),
    /// One behind the other along a new first axis.
    Stack(Vec<Value>),
    /// Written by the run.
    Tensor(Tensor),
}

impl<'a> Call<'a> {
    pub(super) fn new(case: &'a CaseFile, device: &Device) -> Result<Self> {
        let recording = match case.gradients().next() {
            Some(_) => Recording::training(device, [])?,
            None => Recording::new(device),
        };
        Ok(Self { case, recording, used: BTreeSet::new(), answers: Vec::new(), origins: Vec::new() })
    }

    pub(super) fn case(&self) -> &'a CaseFile {
        self.case
    }

    pub(super) fn answers(&self) -> &[(&'static str, Answer)] {
        &self.answers
    }

    pub(super) fn attributes(&self) -> &'a Attributes {
        self.case.attributes()
    }

    /// An error about the file.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> Error {
        bad(self.case.path(), problem)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.case.checkpoint().contains(name)
    }

    /// Whether an answer of that name is to be compared.
    pub(super) fn expects(&self, name: &str) -> bool {
        self.has(&format!("expected.{name}"))
    }

    /// A tensor's shape; [`Error::MissingTensor`] without the tensor.
    pub(super) fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        self.used.insert(name.to_owned());
        match self.case.checkpoint().shape(name) {
            Some(shape) => Ok(shape.to_vec()),
            None => Err(self.case.checkpoint().missing(name)),
        }
    }

    /// A tensor of floats.
    pub(super) fn array(&mut self, name: &str) -> Result<Array> {
        let shape = self.shape(name)?;
        let values = self.case.checkpoint().tensor_f32(name, &shape)?;
        Ok(Array { shape, values })
    }

    /// The values of a tensor of floats of that shape.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.used.insert(name.to_owned());
        self.case.checkpoint().tensor_f32(name, shape)
    }

    /// A tensor of integers that are lengths or positions, and its shape.
    pub(super) fn counts(&mut self, name: &str) -> Result<(Vec<usize>, Vec<u32>)> {
        let shape = self.shape(name)?;
        let values = self.case.checkpoint().tensor_i64(name, &shape)?;
        let counts = values.into_iter().map(|value| {
            u32::try_from(value)
                .map_err(|_| self.wrong(format!("`{name}` must count from 0, but holds {value}")))
        });
        Ok((shape, counts.collect::<Result<_>>()?))
    }

    /// The values of a tensor of integers of that shape.
    pub(super) fn integers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        self.used.insert(name.to_owned());
        self.case.checkpoint().tensor_i64(name, shape)
    }

    /// A mask, booleans or floats, and its shape.
    pub(super) fn mask(&mut self, name: &str) -> Result<(Vec<usize>, HostMask)> {
        let shape = self.shape(name)?;
        let checkpoint = self.case.checkpoint();
        let mask = match checkpoint.dtype(name).as_deref() {
            Some("BOOL") => {
                let values = checkpoint.tensor_i64(name, &shape)?;
                HostMask::Bool(values.into_iter().map(|value| value != 0).collect())
            }
            _ => HostMask::Float(checkpoint.tensor_f32(name, &shape)?),
        };
        Ok((shape, mask))
    }

    /// [`Error::Limit`] if the device could not hold so much: a small file may ask for a large mask.
    pub(super) fn room(&self, shape: &[usize], what: &str) -> Result<()> {
        checked_words(self.recording.device(), &shape.into(), DType::F32, what).map(|_| ())
    }

    pub(super) fn upload(&mut self, array: &Array) -> Result<Value> {
        self.upload_floats(&array.shape, &array.values)
    }

    pub(super) fn upload_floats(&mut self, shape: &[usize], values: &[f32]) -> Result<Value> {
        let tensor = Tensor::from_f32(self.recording.device(), shape, values)?;
        self.recording.tensor(&tensor)
    }

    /// Booleans as the kernels have them, nonzero for true.
    pub(super) fn upload_bools(&mut self, shape: &[usize], values: &[bool]) -> Result<Value> {
        let words: Vec<u32> = values.iter().map(|&value| value.into()).collect();
        let tensor = Tensor::from_u32(self.recording.device(), shape, &words)?;
        self.recording.tensor(&tensor)
    }

    /// A mask in which true takes part.
    pub(super) fn upload_mask(&mut self, shape: &[usize], mask: &HostMask) -> Result<DeviceMask> {
        Ok(DeviceMask(match mask {
            HostMask::Bool(values) => self.upload_bools(shape, values)?,
            HostMask::Float(values) => self.upload_floats(shape, values)?,
        }))
    }

    /// A tensor of floats in the recording, as it is in the file.
    pub(super) fn value(&mut self, name: &str) -> Result<Value> {
        let array = self.array(name)?;
        let value = self.upload(&array)?;
        self.differentiate(name, &value, |array| array)?;
        Ok(value)
    }

    /// The same, if it is there.
    pub(super) fn optional_value(&mut self, name: &str) -> Result<Option<Value>> {
        self.has(name).then(|| self.value(name)).transpose()
    }

    /// What the op computed under that name.
    pub(super) fn answer(&mut self, name: &'static str, value: &Value) -> Result<()> {
        self.answer_as(name, value, |array| array)
    }

    /// The same, its axes to be changed.
    pub(super) fn answer_as(&mut self, name: &'static str, value: &Value, finish: Finish) -> Result<()> {
        self.recording.output(value)?;
        self.answers.push((name, Answer::Value(value.clone(), finish)));
        Ok(())
    }

    /// Values of one shape, one behind the other along a new first axis.
    pub(super) fn answer_stacked(&mut self, name: &'static str, values: &[Value]) -> Result<()> {
        values.iter().try_for_each(|value| self.recording.output(value))?;
        self.answers.push((name, Answer::Stack(values.to_vec())));
        Ok(())
    }

    /// A tensor that the recording writes.
    pub(super) fn answer_tensor(&mut self, name: &'static str, tensor: &Tensor) {
        self.answers.push((name, Answer::Tensor(tensor.clone())));
    }

    /// Records the gradients that are asked for, runs the recording and gives its answers.
    pub(super) async fn run(mut self) -> Result<Computed> {
        let is_input = |name: &&str| {
            !["expected.", "upstream.", "gradient."].iter().any(|prefix| name.starts_with(prefix))
        };
        let mut names = self.case.checkpoint().names().filter(is_input);
        if let Some(name) = names.find(|&name| !self.used.contains(name)) {
            let op = self.case.op_name();
            let problem = format!("{op} with these attributes and tensors does not take the tensor `{name}`");
            return Err(self.wrong(problem));
        }
        let recorded = self.record_gradients()?;
        let Self { case, recording, answers, .. } = self;
        let outputs = recording.run_async().await?;
        let mut gradients = Vec::new();
        for gradient in recorded {
            gradients.push(gradient.read(case, &outputs).await?);
        }
        let mut arrays = Vec::new();
        for (name, answer) in answers {
            let (tensor, finish) = match answer {
                Answer::Value(value, finish) => (outputs.tensor(&value)?, finish),
                Answer::Tensor(tensor) => (tensor, (|array| array) as Finish),
                Answer::Stack(values) => {
                    let mut all = Array { shape: vec![values.len()], values: Vec::new() };
                    all.shape.extend(values.first().map_or(&[][..], |value| value.shape().dims()));
                    for value in &values {
                        all.values.extend(outputs.tensor(value)?.to_f32_async().await?);
                    }
                    arrays.push((name, all));
                    continue;
                }
            };
            let values = tensor.to_f32_async().await?;
            arrays.push((name, finish(Array { shape: tensor.shape().dims().to_vec(), values })));
        }
        Ok(Computed { answers: arrays, gradients })
    }
}
