//! attentive beside its rivals: the same shapes and inputs, in turns, in one run, each round
//! beginning with another library.
//!
//!     cargo run --release                                       # burn on the same adapter, candle on the CPU
//!     cargo run --release -- --python /path/to/python           # and PyTorch and ONNX Runtime, where it has them
//!     cargo run --release -- gemm --rounds 15                   # gemm, attention or layer alone
//!
//! Wall and processor time are medians over the rounds (quartiles behind them); a rival whose result is not that of
//! attentive's CPU device has no time. Ratios are times over those of attentive on the same kind of device, of wall and of
//! processor time: these are the ones to read where an adapter is the CPU and other work shares it.

mod burn_wgpu;
mod candle_cpu;
mod inputs;
mod ours;
mod python;
mod task;

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use task::Task;

type Error = Box<dyn std::error::Error>;

/// A task on a rival: so many calls, to their end.
pub trait Run {
    fn calls(&mut self, count: usize) -> Result<Taken, Error>;
    fn output(&mut self) -> Result<Vec<f32>, Error>;
}

/// Seconds.
#[derive(Clone, Copy, Default)]
pub struct Taken {
    wall: f64,
    processor: f64,
}

impl Taken {
    /// Of what runs in this process.
    pub fn of(work: impl FnOnce() -> Result<(), Error>) -> Result<Self, Error> {
        let (wall, processor) = (Instant::now(), ProcessTime::try_now()?);
        work()?;
        Ok(Self { wall: wall.elapsed().as_secs_f64(), processor: processor.try_elapsed()?.as_secs_f64() })
    }
}

pub trait Rival {
    fn name(&self) -> String;
    /// Whether it runs where attentive's GPU device does, and not on the CPU.
    fn on_adapter(&self) -> bool;
    fn prepare(&mut self, task: Task) -> Result<Box<dyn Run + '_>, Error>;
}

/// What one round should take.
const ROUND_SECONDS: f64 = 0.25;
/// Before each turn: OpenMP's and ONNX Runtime's threads spin for a while after their work, on cores that the next would need.
const PAUSE: Duration = Duration::from_millis(300);

fn main() -> Result<(), Error> {
    let (mut wanted, mut rounds, mut python) = (Vec::new(), 7, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().ok_or("--rounds needs a number")?.parse()?,
            "--python" => python = Some(words.next().ok_or("--python needs a program")?),
            "gemm" | "attention" | "layer" => wanted.push(word),
            _ => {
                return Err(
                    format!("`{word}`: there are gemm, attention, layer, --rounds N, --python FILE").into()
                );
            }
        }
    }
    let mut rivals: Vec<Box<dyn Rival>> = vec![
        Box::new(ours::Ours::new("auto")?),
        Box::new(burn_wgpu::BurnWgpu::new()),
        Box::new(ours::Ours::new("cpu")?),
        Box::new(candle_cpu::CandleCpu),
    ];
    if let Some(python) = python {
        for library in ["torch", "onnxruntime"] {
            match python::Python::new(&python, library) {
                Ok(rival) => rivals.push(Box::new(rival)),
                Err(error) => eprintln!("{library}: {error}"),
            }
        }
    }
    println!(
        "| task | library | wall ms | quartiles | processor ms | GFLOP/s | first call s | against attentive | by processor time |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for task in task::ALL {
        if wanted.is_empty() || wanted.iter().any(|word| word == task.family()) {
            measure(task, &mut rivals, rounds)?;
        }
    }
    Ok(())
}

struct Row<'a> {
    name: String,
    on_adapter: bool,
    run: Result<Box<dyn Run + 'a>, String>,
    calls: usize,
    first: f64,
    taken: Vec<Taken>,
}

impl Row<'_> {
    /// Of all rounds, for one call.
    fn medians(&self) -> Taken {
        let median = |of: fn(&Taken) -> f64| quartiles(self.taken.iter().map(of))[1];
        Taken { wall: median(|taken| taken.wall), processor: median(|taken| taken.processor) }
    }
}

fn measure(task: Task, rivals: &mut [Box<dyn Rival>], rounds: usize) -> Result<(), Error> {
    let expected = ours::Ours::new("cpu")?.prepare(task)?.output()?;
    let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let mut rows = Vec::new();
    for rival in rivals {
        eprintln!("{task}: {}", rival.name());
        let (name, on_adapter) = (rival.name(), rival.on_adapter());
        let start = Instant::now();
        let mut first = 0.0;
        let mut calls = 1;
        let run = rival.prepare(task).and_then(|mut run| {
            let output = run.output()?;
            first = start.elapsed().as_secs_f64();
            let near = |(got, expected): (&f32, &f32)| (got - expected).abs() <= 1e-3 * scale;
            if output.len() != expected.len() || !output.iter().zip(&expected).all(near) {
                return Err("its result is another".into());
            }
            let once = run.calls(1)?.wall.min(run.calls(1)?.wall);
            calls = (ROUND_SECONDS / once).ceil().clamp(1.0, 1000.0) as usize;
            Ok(run)
        });
        let run = run.map_err(|error| error.to_string());
        rows.push(Row { name, on_adapter, run, calls, first, taken: Vec::new() });
    }
    let count = rows.len();
    for round in 0..rounds {
        // Each round begins with the next library, and each turn once the threads of the one before have stopped spinning.
        for place in (round..round + count).map(|place| place % count) {
            let row = &mut rows[place];
            if let Ok(run) = &mut row.run {
                std::thread::sleep(PAUSE);
                let taken = run.calls(row.calls)?;
                let count = row.calls as f64;
                row.taken.push(Taken { wall: taken.wall / count, processor: taken.processor / count });
            }
        }
    }
    let ours: Vec<(bool, Taken)> = rows
        .iter()
        .filter(|row| row.name.starts_with("attentive") && row.run.is_ok())
        .map(|row| (row.on_adapter, row.medians()))
        .collect();
    for row in &rows {
        let name = &row.name;
        if let Err(problem) = &row.run {
            println!("| {task} | {name} | – | {problem} | | | | | |");
            continue;
        }
        let [low, _, high] = quartiles(row.taken.iter().map(|taken| taken.wall));
        let median = row.medians();
        let against = ours.iter().find(|(on_adapter, _)| *on_adapter == row.on_adapter);
        let ratio = |of: fn(Taken) -> f64| {
            against.map_or(String::new(), |(_, ours)| format!("{:.2}×", of(median) / of(*ours)))
        };
        println!(
            "| {task} | {name} | {:.2} | {:.2}–{:.2} | {:.2} | {:.1} | {:.2} | {} | {} |",
            1e3 * median.wall,
            1e3 * low,
            1e3 * high,
            1e3 * median.processor,
            task.flops() / median.wall / 1e9,
            row.first,
            ratio(|taken| taken.wall),
            ratio(|taken| taken.processor),
        );
    }
    Ok(())
}

fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}
