//! A small model of one's own, trained: points on two spirals, told apart by three linear layers.
//!
//! ```text
//! cargo run --release --example train            on the CPU and on the first adapter
//! cargo run --release --example train vulkan     on that device
//! ```
//!
//! A layer holds its weights on a device and records itself; a [`Trainer`] records the loss of a batch, its gradients and the
//! update, and runs all of it as one submission. The same seed gives the same bits each time on a device.

use attentive::kernel::Inputs;
use attentive::layers::Parameters;
use attentive::ops::{Activation, CrossEntropy, Linear, LinearWeights};
use attentive::recording::{Recording, Value};
use attentive::train::{AdamW, Schedule, Trainer};
use attentive::{DType, Device, Result, Tensor};

const POINTS: usize = 256;
const HIDDEN: usize = 48;
const STEPS: u64 = 600;

/// Three linear layers with a GELU between them: [2] → [HIDDEN] → [HIDDEN] → [2].
struct Model([LinearWeights; 3]);

impl Model {
    fn new(device: &Device, seed: u64) -> Result<Self> {
        let mut inputs = Inputs::new(seed);
        let mut layer = |outputs: usize, columns: usize| {
            let weight = inputs.values(outputs * columns, (2.0 / (outputs + columns) as f32).sqrt());
            LinearWeights::new(device, [outputs, columns], &weight, Some(&vec![0.0; outputs]), DType::F32)
        };
        Ok(Self([layer(HIDDEN, 2)?, layer(HIDDEN, HIDDEN)?, layer(2, HIDDEN)?]))
    }

    /// Records the logits of points `[points, 2]`.
    fn record(&self, recording: &mut Recording, points: &Value) -> Result<Value> {
        let [first, second, last] = &self.0;
        let hidden = Linear::new(first).activation(Activation::Gelu).record(recording, points)?;
        let hidden = Linear::new(second).activation(Activation::Gelu).record(recording, &hidden)?;
        Linear::new(last).record(recording, &hidden)
    }

    /// What is trained, by the names that a file would have.
    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::new();
        self.0
            .iter()
            .enumerate()
            .for_each(|(place, layer)| parameters.linear(&format!("layer.{place}"), layer));
        parameters
    }
}

/// Points on two spirals that wind around each other, and which of them each is on.
fn spirals() -> (Vec<f32>, Vec<u32>) {
    let point = |place: usize| {
        let (turn, class) = ((place / 2) as f32 / (POINTS / 2) as f32, place % 2);
        let angle = 9.0 * turn + class as f32 * std::f32::consts::PI;
        ([(turn + 0.1) * angle.cos(), (turn + 0.1) * angle.sin()], class as u32)
    };
    let (points, classes): (Vec<_>, _) = (0..POINTS).map(point).unzip();
    (points.concat(), classes)
}

fn train(device: &Device) -> Result<()> {
    let (points, classes) = spirals();
    let points = Tensor::from_f32(device, [POINTS, 2], &points)?;
    let model = Model::new(device, 1)?;
    let algorithm = AdamW { learning_rate: 0.01, ..AdamW::default() };
    let mut trainer = Trainer::new(device, algorithm, model.parameters().into_vec())?
        .schedule(Schedule::Cosine { warmup: 20, steps: STEPS })?
        .clip(1.0)?;
    println!("{}", device.name());
    for number in 1..=STEPS {
        let step = trainer.step(|recording| {
            let points = recording.tensor(&points)?;
            let logits = model.record(recording, &points)?;
            CrossEntropy::new(&classes).record(recording, &logits)
        })?;
        if number.is_power_of_two() || number == STEPS {
            println!("  step {number:3}: loss {:.4}, norm {:.3}", step.loss, step.norm);
        }
    }
    let mut recording = Recording::new(device);
    let points = recording.tensor(&points)?;
    let logits = model.record(&mut recording, &points)?;
    recording.output(&logits)?;
    let logits = recording.run()?.tensor(&logits)?.to_f32()?;
    let right =
        logits.chunks_exact(2).zip(&classes).filter(|(row, class)| u32::from(row[1] > row[0]) == **class);
    println!("  {} of {POINTS} points on the right spiral", right.count());
    Ok(())
}

fn main() -> Result<()> {
    match std::env::args().nth(1) {
        Some(device) => train(&Device::open(&device)?),
        None => {
            train(&Device::cpu())?;
            Device::open("gpu:0").map_or(Ok(()), |device| train(&device))
        }
    }
}
