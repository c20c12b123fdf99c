//! A run of training: step after step, each one recording.

use super::{Algorithm, Control, Lora, Optimizer, Schedule};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::Parameter;
use crate::recording::{Gradients, Outputs, Recording, RunStatistics, Value};

/// Steps in a row that may be left out because a norm is not finite: more are no accident.
const MOST_SKIPPED: u64 = 10;

/// Trains parameters step by step. A step records the loss of a batch by a closure, its gradients, their norm and the update, and runs
/// all of it as one submission.
///
/// ```
/// use attentive::layers::Parameters;
/// use attentive::ops::{CrossEntropy, Linear, LinearWeights};
/// use attentive::train::{AdamW, Trainer};
/// use attentive::{DType, Device, Tensor};
///
/// # fn main() -> attentive::Result<()> {
/// let device = Device::cpu();
/// let layer = LinearWeights::new(&device, [2, 2], &[0.1, 0.2, -0.3, 0.4], Some(&[0.0; 2]), DType::F32)?;
/// let mut parameters = Parameters::new();
/// parameters.linear("layer", &layer);
/// let algorithm = AdamW { learning_rate: 0.1, ..AdamW::default() };
/// let mut trainer = Trainer::new(&device, algorithm, parameters.into_vec())?;
/// let x = Tensor::from_f32(&device, [2, 2], &[1.0, 0.0, 0.0, 1.0])?;
/// let mut losses = Vec::new();
/// for _ in 0..20 {
///     let step = trainer.step(|recording| {
///         let x = recording.tensor(&x)?;
///         let logits = Linear::new(&layer).record(recording, &x)?;
///         CrossEntropy::new(&[1, 0]).record(recording, &logits)
///     })?;
///     losses.push(step.loss);
/// }
/// assert!(losses[19] < 0.1 * losses[0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Trainer {
    device: Device,
    pub(super) optimizer: Optimizer,
    /// What stands between the parameters and the layers' tensors, where there is something.
    lora: Option<Lora>,
    schedule: Schedule,
    /// Steps that were begun, those that were left out too.
    pub(super) steps: u64,
    /// How many of the last ones were left out.
    skipped: u64,
}

/// What a step of training came to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TrainingStep {
    /// Its number, from 1 on.
    pub number: u64,
    /// The loss before the update.
    pub loss: f32,
    /// The norm of all gradients together, before they were clipped.
    pub norm: f32,
    /// The learning rate that it was taken with.
    pub learning_rate: f32,
    /// Whether it was left out because the norm is not finite. Then nothing has changed.
    pub skipped: bool,
    /// The figures of its run.
    pub statistics: RunStatistics,
}

impl Trainer {
    /// A trainer of those parameters that has taken no step, with a constant learning rate.
    ///
    /// # Errors
    /// As [`Optimizer::new`].
    pub fn new(device: &Device, algorithm: impl Into<Algorithm>, parameters: Vec<Parameter>) -> Result<Self> {
        let optimizer = Optimizer::new(device, algorithm, parameters)?;
        let device = device.clone();
        Ok(Self { device, optimizer, lora: None, schedule: Schedule::Constant, steps: 0, skipped: 0 })
    }

    /// A trainer of low-rank products, and of what is trained whole beside them: [`Lora::parameters`]. All else stays as it is.
    ///
    /// # Errors
    /// As [`Optimizer::new`].
    pub fn with_lora(device: &Device, algorithm: impl Into<Algorithm>, lora: Lora) -> Result<Self> {
        let trainer = Self::new(device, algorithm, lora.parameters().to_vec())?;
        Ok(Self { lora: Some(lora), ..trainer })
    }

    /// With a schedule.
    ///
    /// # Errors
    /// As [`Schedule::check`].
    pub fn schedule(mut self, schedule: Schedule) -> Result<Self> {
        schedule.check()?;
        self.schedule = schedule;
        Ok(self)
    }

    /// Scales gradients down where their norm is above that: [`Optimizer::clip`].
    ///
    /// # Errors
    /// As there.
    pub fn clip(mut self, largest_norm: f32) -> Result<Self> {
        self.optimizer = self.optimizer.clip(largest_norm)?;
        Ok(self)
    }

    /// Its parameters.
    pub fn parameters(&self) -> &[Parameter] {
        self.optimizer.parameters()
    }

    /// The low-rank products, where the trainer was made with them.
    pub fn lora(&self) -> Option<&Lora> {
        self.lora.as_ref()
    }

    /// Steps that were begun: the place in a schedule, and in the data.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes a step: `record` records the loss of a batch, a value of one element.
    ///
    /// A step whose norm is not finite is left out: nothing has changed, and [`TrainingStep::skipped`] says so. Ten of them in a row
    /// are an error.
    ///
    /// # Errors
    /// Those of `record`, [`Recording::backward`] and [`Recording::run_async`]; [`Error::Diverged`].
    pub async fn step_async(
        &mut self,
        record: impl FnOnce(&mut Recording) -> Result<Value>,
    ) -> Result<TrainingStep> {
        // Of a step that was dropped before its end.
        self.optimizer.forget_parts();
        self.end_step(0.0, |recording| record(recording).map(Objective::Loss)).await
    }

    /// [`Trainer::step_async`] of a batch that memory does not hold at once: `record` records the loss of each of its parts, from 0 on,
    /// which add up to that of the batch, and each part is a submission of its own. The gradients are summed on the device, and the norm,
    /// the clipping and the update are those of the whole.
    ///
    /// A mean over all tokens of the batch is what the parts' losses add up to where each is divided by all of them
    /// ([`CrossEntropy::divisor`](crate::ops::CrossEntropy::divisor)); a mean of the parts' means is another loss where they have
    /// different numbers of tokens.
    ///
    /// # Errors
    /// As there, and [`Error::Argument`] for no parts. Then nothing has changed.
    pub async fn step_in_parts_async(
        &mut self,
        parts: usize,
        mut record: impl FnMut(&mut Recording, usize) -> Result<Value>,
    ) -> Result<TrainingStep> {
        self.run_parts(0.0, parts, |recording, part| record(recording, part).map(Objective::Loss)).await
    }

    /// [`Trainer::step_in_parts_async`] of a loss that is no sum over its parts, and that the caller knows already, with its gradient by
    /// the outputs of each part: `record` records a part, and gives the outputs and that gradient, as [`Recording::backward_from`] takes
    /// them (Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*).
    /// `Embedder::ranking_step_async` is such a step.
    ///
    /// # Errors
    /// As there.
    pub async fn step_from_outputs_async(
        &mut self,
        loss: f32,
        parts: usize,
        mut record: impl FnMut(&mut Recording, usize) -> Result<(Value, Value)>,
    ) -> Result<TrainingStep> {
        let objective = |(outputs, gradient)| Objective::Outputs { outputs, gradient };
        self.run_parts(loss, parts, |recording, part| record(recording, part).map(objective)).await
    }

    /// Takes a step part by part, whose losses add up behind `sum`.
    async fn run_parts(
        &mut self,
        mut sum: f32,
        parts: usize,
        mut record: impl FnMut(&mut Recording, usize) -> Result<Objective>,
    ) -> Result<TrainingStep> {
        if parts == 0 {
            return Err(Error::argument("trainer", "the parts of a step", "at least 1", "none"));
        }
        self.optimizer.forget_parts();
        for part in 0..parts - 1 {
            let ran = self.run_part(|recording| record(recording, part)).await;
            sum += ran.inspect_err(|_| self.optimizer.forget_parts())?;
        }
        self.end_step(sum, |recording| record(recording, parts - 1)).await
    }

    /// The last part of a step, or all of it, behind parts whose losses came to `sum`.
    async fn end_step(
        &mut self,
        sum: f32,
        record: impl FnOnce(&mut Recording) -> Result<Objective>,
    ) -> Result<TrainingStep> {
        let learning_rate =
            (f64::from(self.optimizer.learning_rate()) * self.schedule.factor(self.steps + 1)) as f32;
        let ran = self.run_last(record, learning_rate).await;
        let (loss, control, statistics) = ran.inspect_err(|_| self.optimizer.forget_parts())?;
        let loss = sum + loss;
        self.steps += 1;
        self.skipped = if control.finite { 0 } else { self.skipped + 1 };
        if !control.finite {
            self.optimizer.take_back();
        }
        if self.skipped >= MOST_SKIPPED {
            return Err(Error::Diverged { step: self.steps, skipped: self.skipped, loss, learning_rate });
        }
        Ok(TrainingStep {
            number: self.steps,
            loss,
            norm: control.norm,
            learning_rate,
            skipped: !control.finite,
            statistics,
        })
    }

    /// A recording with the gradients of what is trained, and with the loss as an output, where there is one.
    fn differentiated(
        &self,
        record: impl FnOnce(&mut Recording) -> Result<Objective>,
    ) -> Result<(Recording, Gradients, Option<Value>)> {
        let mut recording = match &self.lora {
            Some(lora) => Recording::training(&self.device, lora.tensors())?,
            None => Recording::training(&self.device, self.optimizer.tensors())?,
        };
        let (mut gradients, loss) = record(&mut recording)?.backward(&mut recording)?;
        if let Some(lora) = &self.lora {
            lora.record_gradients(&mut recording, &mut gradients)?;
        }
        Ok((recording, gradients, loss))
    }

    /// The loss of a part, whose gradients are kept.
    async fn run_part(&mut self, record: impl FnOnce(&mut Recording) -> Result<Objective>) -> Result<f32> {
        let (mut recording, gradients, loss) = self.differentiated(record)?;
        self.optimizer.record_part(&mut recording, &gradients)?;
        read(loss.as_ref(), &recording.run_async().await?).await
    }

    /// The loss of the last part, and what came of the step.
    async fn run_last(
        &mut self,
        record: impl FnOnce(&mut Recording) -> Result<Objective>,
        learning_rate: f32,
    ) -> Result<(f32, Control, RunStatistics)> {
        let (mut recording, gradients, loss) = self.differentiated(record)?;
        let control = self.optimizer.record(&mut recording, &gradients, learning_rate)?;
        let ran = async {
            self.lora.as_ref().map_or(Ok(()), |lora| lora.record_merge(&mut recording))?;
            recording.output(&control)?;
            let outputs = recording.run_async().await?;
            let control = Control::new(&outputs.tensor(&control)?.to_f32_async().await?)?;
            Ok((read(loss.as_ref(), &outputs).await?, control, outputs.statistics))
        };
        let ran: Result<_> = ran.await;
        ran.inspect_err(|_| self.optimizer.take_back())
    }

    /// The blocking form of [`Trainer::step_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn step(&mut self, record: impl FnOnce(&mut Recording) -> Result<Value>) -> Result<TrainingStep> {
        crate::waiting::block_on(self.step_async(record))
    }

    /// The blocking form of [`Trainer::step_in_parts_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn step_in_parts(
        &mut self,
        parts: usize,
        record: impl FnMut(&mut Recording, usize) -> Result<Value>,
    ) -> Result<TrainingStep> {
        crate::waiting::block_on(self.step_in_parts_async(parts, record))
    }

    /// The blocking form of [`Trainer::step_from_outputs_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn step_from_outputs(
        &mut self,
        loss: f32,
        parts: usize,
        record: impl FnMut(&mut Recording, usize) -> Result<(Value, Value)>,
    ) -> Result<TrainingStep> {
        crate::waiting::block_on(self.step_from_outputs_async(loss, parts, record))
    }
}

/// What a part of a step is differentiated from.
enum Objective {
    /// A value of one element.
    Loss(Value),
    /// Values whose gradient is known.
    Outputs { outputs: Value, gradient: Value },
}

impl Objective {
    /// Records the gradients; gives the loss, an output now, where there is one.
    fn backward(self, recording: &mut Recording) -> Result<(Gradients, Option<Value>)> {
        match self {
            Self::Loss(loss) => {
                let gradients = recording.backward(&loss)?;
                recording.output(&loss)?;
                Ok((gradients, Some(loss)))
            }
            Self::Outputs { outputs, gradient } => Ok((recording.backward_from(&outputs, &gradient)?, None)),
        }
    }
}

/// The element of a loss; 0 without one.
async fn read(loss: Option<&Value>, outputs: &Outputs) -> Result<f32> {
    let Some(loss) = loss else { return Ok(0.0) };
    let loss = outputs.tensor(loss)?.to_f32_async().await?;
    let found = || Error::argument("trainer", "the loss", "of 1 element", "none");
    loss.first().copied().ok_or_else(found)
}
