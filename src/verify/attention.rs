//! Attention through the op, over a matrix of sizes, options and data that is sampled by seed.

use std::ops::Range;

use super::compare::Tolerance;
use super::{CaseOutcome, POISON, judge};
use crate::device::{Device, implementations_of};
use crate::error::{Error, Result};
use crate::kernels::attention::flash_subgroup8::LARGEST_DIM;
use crate::kernels::attention::problem::{Padding, Placement, Position, Problem};
use crate::kernels::attention::problem_data::Data;
use crate::ops::{
    Alignment, Attention, Capture, Causal, HeadTerms, Heads, Mask, RelativePositionBias, Stage,
};
use crate::progress::{IntoControlFlow, obey};
use crate::recording::Recording;
use crate::tensor::{DType, Tensor};

/// The implementation that is not sampled: its results are those of inputs rounded to f16, and
/// [`cooperative`](super::cooperative()) has cases of its own.
const ROUNDED: &str = "cooperative";

/// About the most products of a query's and a key's element in one case.
const WORK: u64 = 150_000;

/// How the sampled matrix fared on a device.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AttentionReport {
    /// Cases run.
    pub cases: usize,
    /// Cases that each implementation took, by its name.
    pub taken: Vec<(&'static str, usize)>,
    /// Those that failed: a line that names and reproduces the case, and the reason.
    pub failures: Vec<(String, String)>,
    /// Largest absolute error against the oracle over all cases.
    pub largest_error: f64,
    /// The twins'.
    pub twin_error: f64,
}

/// Runs the cases of these seeds: outputs, logarithms of the sums, and a captured stage against the f64 oracle, each
/// within twice the twin's error. `progress` is told of each case before it runs.
///
/// # Errors
/// [`Error::DeviceLost`] and [`Error::Timeout`], after which nothing more can be run; other errors are failures of their
/// case.
pub async fn verify_attention<A: IntoControlFlow>(
    device: &Device,
    seeds: Range<u64>,
    mut progress: impl FnMut(u64) -> A,
) -> Result<AttentionReport> {
    let mut report = AttentionReport::default();
    let total = usize::try_from(seeds.end.saturating_sub(seeds.start)).unwrap_or(usize::MAX);
    for (done, seed) in seeds.enumerate() {
        obey(progress(seed), "verify", [done, total])?;
        let problem = Problem::sample(seed, WORK);
        let implementation = implementation(device, seed, &problem);
        report.cases += 1;
        match report.taken.iter_mut().find(|(name, _)| *name == implementation) {
            Some((_, count)) => *count += 1,
            None => report.taken.push((implementation, 1)),
        }
        let line = format!("attention {implementation} {problem}");
        match run_problem(device, implementation, &problem).await {
            Ok(outcome) => {
                report.largest_error = report.largest_error.max(outcome.largest_error);
                report.twin_error = report.twin_error.max(outcome.twin_error);
                if let Some(reason) = outcome.failure {
                    report.failures.push((line, reason));
                }
            }
            Err(error @ (Error::DeviceLost { .. } | Error::Timeout { .. })) => return Err(error),
            Err(error) => report.failures.push((line, error.to_string())),
        }
    }
    Ok(report)
}

/// That of the seed, or the one that every device has.
fn implementation(device: &Device, seed: u64, problem: &Problem) -> &'static str {
    let names = implementations_of("attention").iter().copied().filter(|name| *name != ROUNDED);
    let names: Vec<&str> = names.collect();
    let name = names[(seed % names.len() as u64) as usize];
    let size = match device.capabilities().subgroups {
        Some((min, max)) if min == max && !device.is_cpu() => min,
        _ => 0,
    };
    let widest = problem.head_dim.max(problem.value_dim);
    match name {
        "subgroup8" if size == 8 && widest <= LARGEST_DIM => "subgroup8",
        "subgroup8" | "subgroup" if (4..=64).contains(&size) => "subgroup",
        "subgroup8" | "subgroup" => "tiled",
        _ => name,
    }
}

async fn run_problem(device: &Device, implementation: &str, problem: &Problem) -> Result<CaseOutcome> {
    let data = problem.data();
    let got = run(device, Some(implementation), problem, &data).await?;
    let twin = run(&Device::cpu(), None, problem, &data).await?;
    let mut outcome = CaseOutcome::default();
    let (stage, open) = captured(problem, &data);
    let known = |words: &[u32]| -> Vec<u32> {
        let known = words.iter().zip(&open).filter(|(_, expected)| expected.is_some());
        known.map(|(word, _)| *word).collect()
    };
    if got.captured.len() != open.len() {
        return Err(Error::argument(
            "verify",
            "the capture",
            format!("{} elements", open.len()),
            got.captured.len().to_string(),
        ));
    }
    let (got_captured, twin_captured) = (known(&got.captured), known(&twin.captured));
    let captured: Vec<Option<f64>> = open.iter().copied().filter(Option::is_some).collect();
    let stage_floor = if stage == 3 { data.weights_floor } else { data.logit_floor };
    for (name, floor, expected, got, twin) in [
        ("output", data.floor, &data.output, &got.output, &twin.output),
        ("log-sum-exp", data.sums_floor, &data.sums, &got.sums, &twin.sums),
        ("captured", stage_floor, &captured, &got_captured, &twin_captured),
    ] {
        let before = outcome.failure.is_some();
        judge(
            &mut outcome,
            device.is_cpu(),
            Tolerance { floor, ..Tolerance::default() },
            (&[], expected),
            got,
            twin,
        );
        if let (false, Some(reason)) = (before, &outcome.failure) {
            outcome.failure = Some(format!("{name}: {reason}"));
        }
    }
    Ok(outcome)
}

/// Words of a run.
struct Words {
    output: Vec<u32>,
    sums: Vec<u32>,
    captured: Vec<u32>,
}

/// Which heads and queries a problem captures, and the stage.
fn capture(problem: &Problem) -> (Vec<usize>, Range<usize>, u32) {
    let heads = (problem.key_heads * problem.heads_per_key) as usize;
    let queries = problem.queries as usize;
    // The last head, then every other one.
    let chosen = std::iter::once(heads - 1).chain((0..heads - 1).step_by(2)).collect();
    (chosen, queries / 3..queries - queries / 4, (problem.seed / 4 % 4) as u32)
}

/// The oracle's answer for what is captured; `None` for what no packed item has, which may be anything.
fn captured(problem: &Problem, data: &Data) -> (u32, Vec<Option<f64>>) {
    let (heads, queries, stage) = capture(problem);
    let mut expected = Vec::new();
    for item in &data.items_scores {
        for &head in &heads {
            for query in queries.clone() {
                for key in 0..problem.keys as usize {
                    let there = query < item.dims.queries && key < item.dims.keys;
                    let place = (head * item.dims.queries + query) * item.dims.keys + key;
                    expected.push(there.then(|| item.stages[stage as usize][place]));
                }
            }
        }
    }
    (stage, expected)
}

/// A flat tensor of words.
fn flat(device: &Device, dtype: DType, elements: usize, words: &[u32]) -> Result<Tensor> {
    Tensor::from_words(device, [elements].into(), dtype, words)
}

async fn run(device: &Device, implementation: Option<&str>, problem: &Problem, data: &Data) -> Result<Words> {
    let p = &data.parameters;
    let mut recording = Recording::new(device);
    let key_dtype = if problem.half { DType::F16 } else { DType::F32 };
    let q = flat(device, DType::F32, data.q.len(), bytemuck::cast_slice(&data.q))?;
    let k = flat(device, key_dtype, data.elements[0], &data.k)?;
    let v = flat(device, key_dtype, data.elements[1], &data.v)?;
    let output = flat(device, DType::F32, data.output.len(), &vec![POISON; data.output.len()])?;
    let values = [&q, &k, &v, &output].map(|tensor| recording.tensor(tensor));
    let [q, k, v, output_value] = values;
    let (q, k, v, output_value) = (q?, k?, v?, output_value?);
    let sized = |size: u32| size as usize;
    let [batch, heads, key_heads] =
        [problem.batch, problem.key_heads * problem.heads_per_key, problem.key_heads].map(sized);
    let packed = problem.placement == Placement::Packed;
    let (q_batch, q_rows) =
        if packed { (1, sized(data.sequences[0][batch])) } else { (batch, sized(problem.queries)) };
    let (k_batch, k_rows) = match problem.placement {
        Placement::Packed => (1, sized(data.sequences[1][batch])),
        Placement::Paged(_) => (sized(p.page_count), sized(p.page_size)),
        _ => (batch, sized(problem.keys)),
    };
    let [head_dim, value_dim] = [problem.head_dim, problem.value_dim].map(sized);
    let strides = |strides: [u32; 3]| strides.map(sized);
    let q = Heads::strided(
        &q,
        [q_batch, heads, q_rows, head_dim],
        sized(p.q_offset),
        strides([p.q_batch, p.q_head, p.q_row]),
    )?;
    let k = Heads::strided(
        &k,
        [k_batch, key_heads, k_rows, head_dim],
        sized(p.k_offset),
        strides([p.k_batch, p.k_head, p.k_row]),
    )?;
    let v = Heads::strided(
        &v,
        [k_batch, key_heads, k_rows, value_dim],
        sized(p.v_offset),
        strides([p.v_batch, p.v_head, p.v_row]),
    )?;
    let to = Heads::strided(
        &output_value,
        [q_batch, heads, q_rows, value_dim],
        sized(p.output_offset),
        strides([p.output_batch, p.output_head, p.output_row]),
    )?;

    let alignment = match problem.position {
        Position::Start => Alignment::TopLeft,
        Position::End => Alignment::BottomRight,
        Position::Offset(offset) => Alignment::Offset(offset),
    };
    let causal = match (problem.causal, problem.position) {
        (false, _) => Causal::None,
        (true, Position::Start) => Causal::TopLeft,
        (true, Position::End) => Causal::BottomRight,
        (true, Position::Offset(offset)) => Causal::Offset(offset),
    };
    let (chosen, queries, stage) = capture(problem);
    let stage = [Stage::Scores, Stage::Softcapped, Stage::Biased, Stage::Weights][stage as usize];
    let mut attention = Attention::new()
        .scale(p.scale)
        .softcap(problem.softcap)
        .causal(causal)
        .alignment(alignment)
        .window(problem.window[0], problem.window[1])
        .with_log_sum_exp()
        .capture(Capture::new(stage).heads(&chosen).queries(queries));
    if let Some(name) = implementation {
        attention = attention.implementation(name);
    }
    let mask = match problem.mask {
        None => None,
        Some((float, _)) => {
            let dtype = if float { DType::F32 } else { DType::U32 };
            let tensor = Tensor::from_words(device, data.mask_shape.into(), dtype, &data.mask)?;
            Some((float, recording.tensor(&tensor)?))
        }
    };
    attention = match &mask {
        None => attention,
        Some((true, mask)) => attention.mask(Mask::Float(mask)),
        Some((false, mask)) => attention.mask(Mask::Bool(mask)),
    };
    let padding = match problem.padding {
        Padding::Mask => {
            let words = &data.items[..batch * sized(problem.keys)];
            let tensor = Tensor::from_u32(device, [batch, sized(problem.keys)], words)?;
            Some(recording.tensor(&tensor)?)
        }
        Padding::Lengths => {
            // The device's form, since some lengths are past the end.
            let tensor = Tensor::from_u32(device, [batch], &data.lengths)?;
            Some(recording.tensor(&tensor)?)
        }
        Padding::None => None,
    };
    if let Some(padding) = &padding {
        attention = match problem.padding {
            Padding::Mask => attention.key_padding_mask(padding),
            _ => attention.key_lengths_value(padding),
        };
    }
    if packed {
        attention = attention.packed(&data.sequences[0], &data.sequences[1]);
    }
    if matches!(problem.placement, Placement::Paged(_)) {
        attention = attention.page_table(&data.table);
    }
    attention =
        attention.per_head(data.per_head.as_ref().map(|_, terms| terms.as_deref().map(HeadTerms::Host)));
    let relative = problem.relative.map(|_| RelativePositionBias::from_distances(&data.relative, heads));
    let relative = relative.transpose()?;
    if let Some(relative) = &relative {
        attention = attention.relative_bias(relative);
    }
    let made = attention.record_into(&mut recording, &q, &k, &v, &to)?;
    let missing = || Error::argument("verify", "a value", "what was asked for", "nothing");
    let sums = made.log_sum_exp.ok_or_else(missing)?;
    let captured = made.captured.ok_or_else(missing)?;
    recording.output(&sums)?;
    recording.output(&captured)?;
    let outputs = recording.run_async().await?;
    Ok(Words {
        output: output.to_words().await?,
        sums: outputs.tensor(&sums)?.to_words().await?,
        captured: outputs.tensor(&captured)?.to_words().await?,
    })
}
