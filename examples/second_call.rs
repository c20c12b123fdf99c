//! What a first, a second and later calls of an embedder take: `second_call MODEL [DEVICE [TEXTS [WORDS [CALLS]]]]`.
//! Wall time, and on Linux the processor's time, which other programs disturb less.

use std::time::Instant;

use attentive::{Device, Embedder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = arguments.first().ok_or("name a model folder")?;
    let spec = arguments.get(1).map_or("auto", String::as_str);
    let number = |place: usize, default: usize| arguments.get(place).map_or(Ok(default), |text| text.parse());
    let (texts, words, calls) = (number(2, 3)?, number(3, 6)?, number(4, 6)?);
    let texts = vec![vec!["word"; words].join(" "); texts];
    let device = Device::open(spec)?;
    let (start, before) = (Instant::now(), processor());
    let embedder = Embedder::from_dir(&device, model)?;
    println!("{}", device.name());
    report("load", start, before);
    for call in 1..=calls {
        let (start, before, made) = (Instant::now(), processor(), device.created());
        let embeddings = embedder.encode(&texts).run()?;
        report(&format!("call {call}, {} tokens", embeddings.statistics.tokens), start, before);
        let now = device.created();
        println!(
            "  made: {} buffers, {} bind groups, {} pipelines",
            now.buffers - made.buffers,
            now.bind_groups - made.bind_groups,
            now.pipelines - made.pipelines
        );
    }
    Ok(())
}

fn report(what: &str, start: Instant, before: Option<f64>) {
    let wall = start.elapsed().as_secs_f64() * 1e3;
    match processor().zip(before) {
        Some((now, before)) => println!("{what}: {wall:.1} ms, processor {:.0} ms", (now - before) * 1e3),
        None => println!("{what}: {wall:.1} ms"),
    }
}

/// Seconds of all threads of this process, in hundredths.
fn processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
