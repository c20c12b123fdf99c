//! What the steps of training a Transformer take: `training_step CONFIG [DEVICE [STEPS [PAIRS [SOURCE [TARGET]]]]]`, where CONFIG is
//! the `config.json` of a Marian folder, PAIRS are those of a step, and SOURCE and TARGET their lengths in tokens. Weights and tokens
//! are random. Wall time, and on Linux the processor's time, which other programs disturb less.

use std::time::Instant;

use attentive::Device;
use attentive::models::TransformerSeq2Seq;
use attentive::train::{AdamW, Trainer};
use attentive::weights::MarianConfig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let config = MarianConfig::open(arguments.first().ok_or("name a config.json")?)?;
    let device = Device::open(arguments.get(1).map_or("auto", String::as_str))?;
    let number = |place: usize, default: usize| arguments.get(place).map_or(Ok(default), |text| text.parse());
    let (steps, pairs, source, target) = (number(2, 6)?, number(3, 96)?, number(4, 32)?, number(5, 11)?);
    let texts = |length: usize, step: usize| -> Vec<Vec<u32>> {
        let id = |place: usize| (place.wrapping_mul(2_654_435_761).wrapping_add(step * 97) >> 7) % 90 + 5;
        (0..pairs).map(|text| (0..length).map(|token| id(text * length + token) as u32).collect()).collect()
    };
    let model = TransformerSeq2Seq::random(&device, &config, 1)?;
    let algorithm = AdamW { learning_rate: 1e-3, betas: [0.9, 0.98], weight_decay: 0.0, ..AdamW::default() };
    let mut trainer = Trainer::new(&device, algorithm, model.parameters())?.clip(1.0)?;
    println!("{}", device.name());
    for step in 1..=steps {
        let (sources, targets) = (texts(source, step), texts(target, step));
        let sources: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
        let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
        let (start, before) = (Instant::now(), processor());
        let taken = trainer.step(|recording| model.record_loss(recording, &sources, &targets))?;
        let wall = start.elapsed().as_secs_f64() * 1e3;
        let processor = processor().zip(before).map(|(now, before)| (now - before) * 1e3);
        let processor = processor.map_or(String::new(), |processor| format!(", processor {processor:.0} ms"));
        println!("call {step}, loss {:.4}: {wall:.1} ms{processor}", taken.loss);
    }
    Ok(())
}

/// Seconds of all threads of this process, in hundredths.
fn processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
