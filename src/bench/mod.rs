//! Speed, measured: ops and encoders over sizes that models have, every implementation, against what the device can do.
//!
//! [`Bench::open`] takes an adapter and [`Bench::ceilings`] measures it; [`Bench::run`] takes a [`Shape`] and gives a
//! [`Row`] for each implementation. What a call gives is checked in the same run, and a wrong result has no time. Many calls follow
//! one another in one pass between two timestamps of the GPU, over the same buffers: what fits a cache comes from it. Native
//! alone, and blocking.

mod ceilings;
mod encoder;
mod inputs;
mod problem;
mod shape;
mod timer;
mod tune;

use std::time::Instant;

pub use ceilings::Ceilings;
pub use shape::{
    AttentionSizes, BERT_BASE, EncoderSizes, GROUPS, Group, MINI_LM, Masking, RowOp, Shape, Work,
    kernel_shapes, shapes,
};
pub use timer::{Spread, Times};
pub use tune::{LeftOut, Tuned, TunedRow, tune, tuned_shapes};

use crate::device::{Device, DeviceOptions, DeviceSpec, choose_adapter, implementations_of};
use crate::error::{Error, Result};
use crate::recording::PreparedRecording;
use problem::Problem;
use timer::{Candidate, ROUND, processor_time, time};

/// Calls take about so many times the least that the ceilings allow, over all implementations.
const FROM_CEILING: f64 = 3.0;
/// About the seconds of a new device, its pipelines and the check of what was computed.
const FIRST_CALL: f64 = 0.25;

/// The name in a row for what an op chooses, where that is none of its implementations alone.
pub const CHOICE: &str = "choice";

/// An adapter, or the CPU device, to be measured.
#[derive(Debug)]
pub struct Bench {
    adapter: Option<wgpu::Adapter>,
    device: Device,
    options: DeviceOptions,
    /// Rounds of each implementation.
    pub rounds: usize,
    /// Seconds that one call may take at the ceilings; a shape above that is left out.
    pub longest: f64,
}

/// One implementation over one shape.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The shape's family.
    pub group: Group,
    /// The sizes, and for a kernel its case and variant.
    pub shape: String,
    /// `f32` or `f16`.
    pub dtype: crate::tensor::DType,
    /// The implementation's name, or [`CHOICE`].
    pub implementation: String,
    /// Whether the op chooses it here.
    pub chosen: bool,
    /// The sweep that the shape is part of, and its length in that.
    pub sweep: Option<(&'static str, usize)>,
    /// Floating-point operations of a call, by the sizes.
    pub flops: u64,
    /// Bytes that a call must move at least.
    pub bytes: u64,
    /// Bytes of temporaries and outputs at the peak.
    pub peak_bytes: u64,
    /// The outcome.
    pub outcome: Outcome,
}

/// A row's outcome.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is right, and took this.
    Timed(Times),
    /// The implementation cannot run on this device, or cannot take this shape.
    Unavailable(String),
    /// Memory, a limit, or the time that it would take forbids the shape.
    LeftOut(String),
    /// It gave something else than it should.
    Wrong(String),
}

impl Row {
    /// The times, where there are any.
    pub fn times(&self) -> Option<&Times> {
        match &self.outcome {
            Outcome::Timed(times) => Some(times),
            _ => None,
        }
    }

    /// Operations a second.
    pub fn rate(&self) -> Option<f64> {
        self.times().map(|times| self.flops as f64 / times.best().median)
    }

    /// Bytes a second, of those that must be moved.
    pub fn bandwidth(&self) -> Option<f64> {
        self.times().map(|times| self.bytes as f64 / times.best().median)
    }

    /// The least time that the ceilings allow, as a part of what it took.
    pub fn share(&self, ceilings: &Ceilings) -> Option<f64> {
        Some(ceilings.least_seconds(self.flops, self.bytes)? / self.times()?.best().median)
    }
}

/// True for what ends all work on an adapter.
pub(crate) fn is_broken(error: &Error) -> bool {
    matches!(error.root(), Error::DeviceLost { .. } | Error::Timeout { .. })
}

impl Bench {
    /// Opens the adapter that `spec` names. Each implementation then gets a device of its own on it, so that its first call
    /// is one.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn open(spec: &str, options: DeviceOptions) -> Result<Self> {
        let parsed: DeviceSpec = spec.parse()?;
        let adapter = match &parsed {
            DeviceSpec::Cpu => None,
            parsed => Some(crate::waiting::block_on(choose_adapter(parsed))?),
        };
        let device = open(adapter.as_ref(), options.clone())?;
        Ok(Self { adapter, device, options, rounds: 7, longest: 0.2 })
    }

    /// The device that the ceilings are measured on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Measures what the device can do at most.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`].
    pub fn ceilings(&self) -> Result<Ceilings> {
        Ceilings::measure(&self.device)
    }

    /// About how many seconds [`Bench::run`] takes for all of these, and how many rows they come to: no promise, since how far
    /// an implementation is from its ceiling is what is measured.
    pub fn estimate(&self, shapes: &[Shape], ceilings: &Ceilings) -> (f64, usize) {
        let mut all = (0.0, 0);
        for shape in shapes {
            let least = ceilings.least_seconds(shape.flops(), shape.bytes()).unwrap_or(0.0);
            if least > self.longest {
                all.1 += 1;
                continue;
            }
            // A kernel's shape has one row.
            let rows = self.names(shape).len().max(1);
            let call = FROM_CEILING * least;
            let rounds = (self.rounds as f64).min((timer::ALL_ROUNDS / call.max(1e-9)).max(1.0));
            let of_a_row = FIRST_CALL + 3.0 * call + rounds * call.max(ROUND);
            all = (all.0 + rows as f64 * of_a_row, all.1 + rows);
        }
        all
    }

    /// Times a shape by each implementation in turns, and by what the op chooses.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] and [`Error::Timeout`], after which nothing more can be run here; other errors are the
    /// row's.
    pub fn run(&self, shape: &Shape, ceilings: &Ceilings) -> Result<Vec<Row>> {
        let least = ceilings.least_seconds(shape.flops(), shape.bytes());
        if let Some(least) = least.filter(|least| *least > self.longest) {
            let reason =
                format!("a call takes at least {least:.1} s, the bench allows {:.1} s", self.longest);
            return Ok(vec![self.row(shape, None, CHOICE, Outcome::LeftOut(reason))]);
        }
        let problem = Problem::new(shape);
        if let Work::Kernel { variant, .. } = &shape.work {
            let run = self.prepare(&problem, shape, None)?;
            return self.timed(shape, &problem, vec![(variant.name().to_owned(), run)], None);
        }
        let mut runs: Vec<(String, Result<Candidate, Outcome>)> = Vec::new();
        for name in self.names(shape) {
            runs.push((name.to_owned(), self.prepare(&problem, shape, Some(name))?));
        }
        // What the op chooses is most often one of them.
        let choice = self.prepare(&problem, shape, None)?;
        let dispatches = |run: &Result<Candidate, Outcome>| -> Option<Vec<_>> {
            Some(run.as_ref().ok()?.repeated.dispatches().collect())
        };
        let chosen = dispatches(&choice);
        let same = runs.iter().position(|(_, run)| chosen.is_some() && dispatches(run) == chosen);
        let chosen = same.unwrap_or(runs.len());
        if same.is_none() {
            runs.push((CHOICE.to_owned(), choice));
        }
        self.timed(shape, &problem, runs, Some(chosen))
    }

    /// The rows of what was prepared.
    fn timed(
        &self,
        shape: &Shape,
        problem: &Problem,
        runs: Vec<(String, Result<Candidate, Outcome>)>,
        chosen: Option<usize>,
    ) -> Result<Vec<Row>> {
        let mut candidates = Vec::new();
        let mut places = Vec::new();
        let mut rows = Vec::new();
        for (place, (name, run)) in runs.into_iter().enumerate() {
            let (outcome, statistics) = match run {
                Ok(candidate) => {
                    let statistics = candidate.repeated.statistics();
                    candidates.push(candidate);
                    places.push(place);
                    // Replaced by the times.
                    (Outcome::Unavailable(String::new()), statistics)
                }
                Err(outcome) => (outcome, Default::default()),
            };
            let row = self.row(shape, Some(problem), &name, outcome);
            rows.push(Row { chosen: chosen == Some(place), peak_bytes: statistics.peak_bytes, ..row });
        }
        match time(&candidates, self.rounds, ROUND) {
            Ok(times) => {
                for (place, times) in places.into_iter().zip(times) {
                    rows[place].outcome = Outcome::Timed(times);
                }
            }
            Err(error) if is_broken(&error) => return Err(error),
            Err(error) => {
                for place in places {
                    rows[place].outcome = refusal(&error);
                }
            }
        }
        Ok(rows)
    }

    /// What [`Bench::run`] times for a shape: the names of its implementations, then `None` for what the op chooses.
    pub fn implementations(&self, shape: &Shape) -> Vec<Option<&'static str>> {
        self.names(shape).into_iter().map(Some).chain([None]).collect()
    }

    /// One of [`Bench::implementations`], run and checked once, to be timed by the caller.
    ///
    /// # Errors
    /// Why it does not run, or how its result is wrong.
    pub fn repeated(
        &self,
        shape: &Shape,
        implementation: Option<&str>,
    ) -> Result<Result<PreparedRecording, Outcome>> {
        let prepared = self.prepare(&Problem::new(shape), shape, implementation)?;
        Ok(prepared.map(|candidate| candidate.repeated))
    }

    /// The implementations of the shape's op. Products of the CPU device are one twin, whatever they are forced to.
    fn names(&self, shape: &Shape) -> Vec<&'static str> {
        let op = op(shape);
        let names = op.map_or(&[][..], implementations_of);
        let one_twin = self.device.is_cpu() && op == Some("linear");
        names.iter().copied().filter(|name| !one_twin || *name == "tiled").collect()
    }

    fn row(&self, shape: &Shape, problem: Option<&Problem>, name: &str, outcome: Outcome) -> Row {
        let (flops, bytes) = problem.map_or((shape.flops(), shape.bytes()), Problem::cost);
        Row {
            group: shape.group,
            shape: problem.map_or_else(|| shape.to_string(), Problem::label),
            dtype: shape.dtype,
            implementation: name.to_owned(),
            chosen: true,
            sweep: shape.sweep,
            flops,
            bytes,
            peak_bytes: 0,
            outcome,
        }
    }

    /// Records, runs and checks it once on a new device.
    fn prepare(
        &self,
        problem: &Problem,
        shape: &Shape,
        implementation: Option<&str>,
    ) -> Result<Result<Candidate, Outcome>> {
        match self.first_call(problem, shape, implementation) {
            Ok(outcome) => Ok(outcome),
            Err(error) if is_broken(&error) => Err(error),
            Err(error) => Ok(Err(refusal(&error))),
        }
    }

    fn first_call(
        &self,
        problem: &Problem,
        shape: &Shape,
        implementation: Option<&str>,
    ) -> Result<Result<Candidate, Outcome>> {
        let forced = implementation.zip(op(shape)).map(|(name, op)| format!("{op}={name}"));
        self.first_call_on(&self.device_with(forced)?, problem, shape)
    }

    /// Another device on the adapter, with an implementation forced.
    fn device_with(&self, forced: Option<String>) -> Result<Device> {
        let mut options = self.options.clone();
        options.implementations.extend(forced);
        open(self.adapter.as_ref(), options)
    }

    fn first_call_on(
        &self,
        device: &Device,
        problem: &Problem,
        shape: &Shape,
    ) -> Result<Result<Candidate, Outcome>> {
        if let Work::Kernel { variant, .. } = &shape.work
            && !device.is_cpu()
            && let Err(reason) = variant.runs_on(device.capabilities())
        {
            return Ok(Err(Outcome::Unavailable(reason)));
        }
        let (recording, output) = problem.record(device)?;
        if recording.dispatches.is_empty() {
            return Ok(Err(Outcome::LeftOut("there is nothing to run".to_owned())));
        }
        let (start, before) = (Instant::now(), processor_time());
        let repeated = crate::waiting::block_on(PreparedRecording::new(recording))?;
        crate::waiting::block_on(repeated.run(1))?;
        let first_call = start.elapsed();
        let first_call_processor = before.zip(processor_time()).map(|(before, after)| after - before);
        let output = output.map(|output| repeated.tensor(&output)).transpose()?;
        Ok(match problem.fault(device, output.as_ref())? {
            Some(fault) => Err(Outcome::Wrong(fault)),
            None => Ok(Candidate { repeated, first_call, first_call_processor }),
        })
    }
}

fn open(adapter: Option<&wgpu::Adapter>, options: DeviceOptions) -> Result<Device> {
    match adapter {
        Some(adapter) => crate::waiting::block_on(Device::from_adapter(adapter, options)),
        None => Device::open_with("cpu", options),
    }
}

/// The op whose implementations a shape is timed by.
fn op(shape: &Shape) -> Option<&'static str> {
    match &shape.work {
        Work::Gemm { .. } => Some("linear"),
        Work::Attention(_) => Some("attention"),
        Work::Rows { op, .. } => Some(match op {
            RowOp::LayerNorm | RowOp::ResidualLayerNorm => "layer_norm",
            RowOp::RmsNorm => "rms_norm",
            RowOp::Softmax => "softmax",
        }),
        Work::Encoder { .. } | Work::Kernel { .. } => None,
    }
}

fn refusal(error: &Error) -> Outcome {
    match error.root() {
        Error::Implementation { reason, .. } => Outcome::Unavailable(reason.clone()),
        _ => Outcome::LeftOut(error.to_string()),
    }
}
