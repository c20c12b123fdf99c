//! Tuning: which implementation is fastest here, over a grid of sizes.

use std::collections::HashMap;
use std::time::Instant;

use super::shape::{AttentionSizes, Group, Masking, Shape, Work};
use super::timer::{Candidate, time};
use super::{Bench, is_broken, op};
use crate::device::{Device, DeviceOptions, TunedChoice, TunedSize, Tuning};
use crate::error::{Error, Result};
use crate::progress::{IntoControlFlow, obey};
use crate::tensor::DType;

/// Rounds of each implementation, and about what each takes.
const ROUNDS: usize = 3;
const ROUND: f64 = 0.01;
/// A size whose best implementation would take longer, by what the sizes before took, is left out.
const LONGEST: f64 = 0.05;
/// Seconds after which no further size is begun, and of a quick tuning: what is left out is chosen by what is nearest.
const LONGEST_OF_ALL: [f64; 2] = [60.0, 20.0];
/// An implementation whose first call takes so many times as long as another's is not timed further.
const HOPELESS: f64 = 4.0;

/// One size that was measured: each implementation that ran and was right, with the seconds of a call, fastest first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunedRow {
    /// The op.
    pub op: &'static str,
    /// The sizes.
    pub size: TunedSize,
    /// Names and times.
    pub times: Vec<(&'static str, f64)>,
}

/// The measurements of [`tune`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tuned {
    /// The fastest implementation at each size.
    pub tuning: Tuning,
    /// Every size that was measured.
    pub rows: Vec<TunedRow>,
    /// Shapes that were not measured, and why.
    pub left_out: Vec<LeftOut>,
}

/// A size that was not measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeftOut {
    /// The op.
    pub op: &'static str,
    /// The sizes.
    pub size: TunedSize,
    /// Why.
    pub reason: &'static str,
}

/// The sizes of `linear` and `attention` that are measured, for `quick` a few in f32 alone; those with least to compute first.
pub fn tuned_shapes(quick: bool) -> Vec<Shape> {
    let dtypes: &[DType] = if quick { &[DType::F32] } else { &[DType::F32, DType::F16] };
    let rows: &[usize] = if quick { &[1, 64, 512] } else { &[1, 8, 64, 512, 4096] };
    let widths: &[[usize; 2]] =
        if quick { &[[384, 1536]] } else { &[[384, 384], [384, 1536], [3072, 768], [4096, 4096]] };
    let queries: &[usize] = if quick { &[1, 9, 512] } else { &[1, 8, 9, 64, 512] };
    let head_dims: &[usize] = if quick { &[64] } else { &[32, 64, 128] };
    let mut shapes = Vec::new();
    for &dtype in dtypes {
        let shape = |group, work| Shape { group, work, dtype, quick, sweep: None };
        for &[depth, columns] in widths {
            shapes.extend(rows.iter().map(|&rows| shape(Group::Gemm, Work::Gemm { rows, depth, columns })));
        }
        for &head_dim in head_dims {
            shapes.extend(queries.iter().map(|&queries| {
                let (keys, masking) = (512, Masking::None);
                let sizes =
                    AttentionSizes { batch: 1, heads: 12, key_heads: 12, queries, keys, head_dim, masking };
                shape(Group::Attention, Work::Attention(sizes))
            }));
        }
    }
    shapes.sort_by_key(Shape::flops);
    shapes
}

/// Measures the adapter that `spec` names, in about a minute at most (20 s for `quick`). `progress` is told how many of how
/// many sizes are done, and the next; its answer may end the run ([`IntoControlFlow`]). What gives a wrong result is not chosen.
///
/// # Errors
/// As [`Device::open`]; [`Error::Tuning`] for the CPU device, which has nothing to tune; [`Error::Interrupted`],
/// [`Error::DeviceLost`] and [`Error::Timeout`].
pub fn tune<A: IntoControlFlow>(
    spec: &str,
    options: DeviceOptions,
    quick: bool,
    mut progress: impl FnMut(usize, usize, &str) -> A,
) -> Result<Tuned> {
    // An earlier tuning and forced implementations must not decide what is measured.
    let options = DeviceOptions { tuning: None, implementations: Vec::new(), ..options };
    let bench = Bench::open(spec, options)?;
    let none = || Error::Tuning { reason: "the CPU device has nothing to tune".to_owned() };
    // Cooperative matrices stay unverified: a check of their own must say so.
    let mut tuning = Tuning::new(bench.device()).ok_or_else(none)?;
    let shapes = tuned_shapes(quick);
    let mut tuner = Tuner { bench, devices: HashMap::new(), rates: HashMap::new() };
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for (done, shape) in shapes.iter().enumerate() {
        let Some((op, size)) = op(shape).zip(size(shape)) else { continue };
        let mut leave_out = |reason| left_out.push(LeftOut { op, size, reason });
        if begun.elapsed().as_secs_f64() > LONGEST_OF_ALL[usize::from(quick)] {
            leave_out("the time was up");
            continue;
        }
        obey(progress(done, shapes.len(), &format!("{shape:?}")), "tune", [done, shapes.len()])?;
        let Some(row) = tuner.row(shape, op, size)? else {
            leave_out("a call takes too long");
            continue;
        };
        match row.times.first() {
            Some(&(name, seconds)) => {
                tuning.choices.push(TunedChoice::new(row.op, row.size, name, seconds));
                rows.push(row);
            }
            None => leave_out("no implementation gave a right result"),
        }
    }
    Ok(Tuned { tuning, rows, left_out })
}

/// A device for each forced implementation, so that pipelines are made once.
struct Tuner {
    bench: Bench,
    devices: HashMap<(&'static str, &'static str), Device>,
    /// Operations a second of the fastest so far, for each op and its first size.
    rates: HashMap<(&'static str, u32), f64>,
}

impl Tuner {
    /// One size, unless a call would take too long.
    fn row(&mut self, shape: &Shape, op: &'static str, size: TunedSize) -> Result<Option<TunedRow>> {
        let flops = shape.flops() as f64;
        // Of fewer rows where there is nothing of as many yet: those are slower.
        let known = |rows: u32| self.rates.get(&(op, rows)).copied();
        let rate = known(size.dims[0]).or_else(|| {
            let fewer = self.rates.iter().filter(|((of, rows), _)| *of == op && *rows < size.dims[0]);
            fewer.map(|(_, &rate)| rate).max_by(f64::total_cmp)
        });
        if rate.is_some_and(|rate| flops / rate > LONGEST) {
            return Ok(None);
        }
        let problem = super::Problem::new(shape);
        let (mut candidates, mut best) = (Vec::new(), f64::INFINITY);
        for name in self.bench.names(shape) {
            let device = match self.devices.get(&(op, name)) {
                Some(device) => device.clone(),
                None => {
                    let device = self.bench.device_with(Some(format!("{op}={name}")))?;
                    self.devices.insert((op, name), device.clone());
                    device
                }
            };
            match self.bench.first_call_on(&device, &problem, shape) {
                Ok(Ok(candidate)) => {
                    // The first call compiled; the shorter of two more is less disturbed.
                    let run = || crate::waiting::block_on(candidate.repeated.run(1));
                    let took = run()?.wall.min(run()?.wall).as_secs_f64();
                    best = best.min(took);
                    candidates.push((name, took, candidate));
                }
                // It cannot, it would be too large, or it is wrong here.
                Ok(Err(_)) => {}
                Err(error) if is_broken(&error) => return Err(error),
                Err(_) => {}
            }
        }
        candidates.retain(|(_, took, _)| *took <= HOPELESS * best);
        let (names, runs): (Vec<&'static str>, Vec<Candidate>) =
            candidates.into_iter().map(|(name, _, candidate)| (name, candidate)).unzip();
        let times = time(&runs, ROUNDS, ROUND)?;
        let seconds = times.iter().map(|times| times.best().median);
        let mut times: Vec<(&'static str, f64)> = names.into_iter().zip(seconds).collect();
        times.retain(|(_, seconds)| *seconds > 0.0);
        times.sort_by(|a, b| a.1.total_cmp(&b.1));
        if let Some(&(_, seconds)) = times.first() {
            let rate = self.rates.entry((op, size.dims[0])).or_insert(0.0);
            *rate = rate.max(flops / seconds);
        }
        Ok(Some(TunedRow { op, size, times }))
    }
}

/// The sizes that an op would ask a tuning for.
fn size(shape: &Shape) -> Option<TunedSize> {
    let dims = match &shape.work {
        &Work::Gemm { rows, depth, columns } => [rows, columns, depth],
        Work::Attention(sizes) => [sizes.queries, sizes.head_dim, 1],
        _ => return None,
    };
    Some(TunedSize { half: shape.dtype == DType::F16, dims: dims.map(|size| size as u32) })
}
