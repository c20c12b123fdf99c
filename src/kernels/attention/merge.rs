//! What splits of the keys came to, made one.
//!
//! output\[b, h, i, :\] = Σ_s w_s · parts\[s, b, h, i, :\], w_s = exp(sums_s − S), S = log(Σ_s exp(sums_s) + exp(sink))
//! (Dao et al. 2023, *Flash-Decoding*). The parts `[splits, B, H, Lq, Dv]` are
//! dense, and the sums of each split are followed by what its rows have seen, `[splits, 2, B, H, Lq]` in all; the output lies
//! anywhere. f32. A row that has seen no key is 0; one that has seen nothing but −∞, or a NaN or +∞, is NaN.
//!
//! Ladder: 4 columns for each invocation, the splits one after the other, their sums read twice.

use super::flash::Seen;
use super::{NONE, Parameters};
use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry,
};
use crate::reference::{largest, rounding_floor};

/// The kernel.
pub struct Merge;

/// Its variant.
pub fn invocation() -> Variant {
    Variant::new("invocation", 64)
}

fn rows(p: &Parameters) -> u64 {
    u64::from(p.batches) * u64::from(p.heads) * u64::from(p.query_length)
}

const BINDINGS: &[Binding] = &[
    Binding::read("parts"),
    Binding::read("part_sums"),
    Binding::read("items"),
    Binding::read("head_terms"),
    Binding::write("output"),
    Binding::write("sums"),
];

impl Kernel for Merge {
    fn about(&self) -> About {
        const { About::ours("attention/merge", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![invocation()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let invocations = rows(&p) * u64::from(p.value_dim.div_ceil(4));
        geometry::fold(invocations.div_ceil(variant.u32("WORKGROUP").into()), per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (parts, part_sums, items, head_terms) =
            (arguments.f32(0), arguments.f32(1), arguments.words(2), arguments.f32(3));
        let (output, sums) = (arguments.f32_mut(4), arguments.f32_mut(5));
        let (rows, columns) = (rows(&p) as usize, p.value_dim as usize);
        for row in 0..rows {
            let [query, rest] = [row as u32 % p.query_length, row as u32 / p.query_length];
            let at = [rest / p.heads, rest % p.heads, query];
            if query >= p.queries_of(at[0], items).0 {
                continue;
            }
            let of = |split: u32| part_sums[2 * split as usize * rows + row];
            let kind = |split: u32| Seen::from_number(part_sums[(2 * split as usize + 1) * rows + row]);
            let numbers = || (0..p.splits).filter(|&split| kind(split) == Seen::Numbers);
            let sink = p.sink(at[1], head_terms);
            let kinds = (0..p.splits).map(kind).chain(sink.map(|sink| Seen::of(sink.into())));
            let seen = kinds.max().unwrap_or(Seen::Nothing);
            let largest = numbers().map(of).chain(sink).fold(f32::NEG_INFINITY, f32::max);
            let place = p.output_place(at, items);
            let to = &mut output[place..place + columns];
            to.fill(0.0);
            let mut whole = sink.map_or(0.0, |sink| (sink - largest).exp());
            for split in numbers() {
                let weight = (of(split) - largest).exp();
                whole += weight;
                let part = &parts[(split as usize * rows + row) * columns..][..columns];
                if weight != 0.0 {
                    to.iter_mut().zip(part).for_each(|(to, part)| *to += weight * part);
                }
            }
            let (factor, sum) = match seen {
                Seen::Nothing => (0.0, f32::NEG_INFINITY),
                Seen::Numbers => (1.0 / whole, largest + whole.ln()),
                Seen::Infinities | Seen::Poison => (f32::NAN, f32::NAN),
            };
            to.iter_mut().for_each(|to| *to *= factor);
            if p.has_sums != 0 {
                sums[p.sums_place(at, items)] = sum;
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = rows(&p) * u64::from(p.value_dim) * u64::from(p.splits);
        Cost { flops: 2 * elements, bytes: 4 * elements, iterations: 2 * u64::from(p.splits) + 4 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let sizes: &[[u32; 5]] = match depth {
            Depth::Quick => {
                &[[1, 1, 1, 1, 2], [2, 3, 9, 21, 3], [1, 4, 1, 64, 9], [3, 2, 2, 7, 4], [1, 2, 7, 61, 2]]
            }
            Depth::Full => &[
                [1, 1, 1, 1, 2],
                [2, 3, 5, 21, 3],
                [1, 4, 1, 64, 9],
                [3, 2, 2, 7, 4],
                [1, 12, 8, 128, 33],
                [4, 8, 3, 59, 5],
                [1, 1, 300, 256, 2],
                [2, 2, 1, 203, 64],
            ],
        };
        let seeds = 0..6;
        sizes.iter().flat_map(|&size| seeds.clone().map(move |seed| case(size, seed))).collect()
    }
}

/// Odd seeds have sinks, every third packs queries of different lengths, seed 4 wants no sums. In the first rows all splits, some or none saw
/// a key, one saw nothing but −∞, one a NaN, and one or all of them nothing but scores of f32's lowest number: with another
/// beside it, its values have a weight of 0, and may be NaN. One head's sink is −∞, which is none, and one's is far below the
/// scores. Behind the last split lies one that is not to be read.
fn case([batch, heads, queries, value_dim, splits]: [u32; 5], seed: u64) -> Case {
    let mut inputs = Inputs::new(seed + 100 * u64::from(queries * value_dim + splits));
    let rows = (batch * heads * queries) as usize;
    let columns = value_dim as usize;
    let mut parts = inputs.values(splits as usize * rows * columns, 1.0);
    let mut logs = inputs.values(splits as usize * rows, [1.0, 4.0, 30.0][seed as usize % 3]);
    let mut kinds = vec![Seen::Numbers; logs.len()];
    for row in 0..rows {
        for split in 0..splits as usize {
            let at = split * rows + row;
            match (row + seed as usize) % 7 {
                1 if split % 2 == 0 => kinds[at] = Seen::Nothing,
                // What saw nothing says 0 for the logarithm, far above that.
                1 if seed == 4 => logs[at] = f32::MIN,
                2 => kinds[at] = Seen::Nothing,
                3 => kinds[at] = if split == 0 { Seen::Infinities } else { Seen::Nothing },
                4 if split == 1 => kinds[at] = Seen::Poison,
                5 if split == 0 => {
                    logs[at] = f32::MIN;
                    parts[at * columns..][..columns].fill([f32::NAN, f32::INFINITY][row % 2]);
                }
                6 => logs[at] = [f32::MIN, -3.4e38][usize::from(seed >= 3)],
                _ => {}
            }
            if kinds[at] != Seen::Numbers {
                logs[at] = 0.0;
                let value = if kinds[at] == Seen::Poison { f32::NAN } else { 0.0 };
                parts[at * columns..][..columns].fill(value);
            }
        }
    }
    let splits_of = |logs: &[f32]| -> Vec<f32> {
        let of_split = |split: usize| {
            let rows = split * rows..(split + 1) * rows;
            let kinds = kinds[rows.clone()].iter().map(|kind| kind.number());
            logs[rows].iter().copied().chain(kinds).collect::<Vec<f32>>()
        };
        (0..splits as usize).flat_map(of_split).collect()
    };
    let mut sums = splits_of(&logs);
    sums.extend(std::iter::repeat_n(9.0, rows).chain(std::iter::repeat_n(Seen::Numbers.number(), rows)));
    parts.extend(std::iter::repeat_n(5.0, rows * columns));
    // The first is nobody's.
    let mut sinks = inputs.values(1 + heads as usize, 2.0);
    sinks[heads as usize] = -300.0;
    sinks[1] = if seed == 5 { f32::NEG_INFINITY } else { sinks[1] };
    let has_sinks = seed % 2 == 1;
    let packed = seed % 3 == 2;
    let mut lengths =
        if packed { inputs.below(batch as usize, queries + 1) } else { vec![queries; batch as usize] };
    lengths[0] = queries;
    let mut items = vec![0; 2 * batch as usize + 2];
    for (item, &length) in lengths.iter().enumerate() {
        items[item + 1] = items[item] + length;
    }
    let total = items[batch as usize];
    let dense = Parameters {
        output_offset: 3,
        output_batch: heads * queries * (value_dim + 1),
        output_head: queries * (value_dim + 1),
        output_row: value_dim + 1,
        sums_offset: 2,
        sums_batch: heads * queries,
        sums_head: queries,
        ..Parameters::new()
    };
    let rows_first = Parameters {
        output_head: value_dim,
        output_row: heads * value_dim,
        sums_head: total,
        sequences_at: 0,
        ..Parameters::new()
    };
    let p = Parameters {
        batches: batch,
        heads,
        heads_per_key: 1,
        query_length: queries,
        value_dim,
        splits,
        has_sums: u32::from(seed != 4),
        sinks_at: if has_sinks { 1 } else { NONE },
        ..if packed { rows_first } else { dense }
    };
    let mut output =
        vec![None; (p.output_offset + batch.max(1) * heads * queries * (value_dim + 1)) as usize];
    let mut expected_sums = vec![None; rows + p.sums_offset as usize];
    let (mut values, mut of_rows) = (Vec::new(), Vec::new());
    for row in 0..rows as u32 {
        let at = [row / queries / heads, row / queries % heads, row % queries];
        if at[2] >= lengths[at[0] as usize] {
            continue;
        }
        let logits: Vec<(u32, f64)> = (0..splits)
            .filter_map(|split| {
                let at = split as usize * rows + row as usize;
                let logit = match kinds[at] {
                    Seen::Nothing => return None,
                    Seen::Infinities => f64::NEG_INFINITY,
                    Seen::Numbers => logs[at].into(),
                    Seen::Poison => f64::NAN,
                };
                Some((split, logit))
            })
            .collect();
        let sink = has_sinks.then(|| f64::from(sinks[1 + at[1] as usize])).filter(|sink| sink.is_finite());
        let maximum = logits.iter().map(|logit| logit.1).chain(sink).fold(f64::NEG_INFINITY, f64::max);
        let whole: f64 = logits.iter().map(|logit| logit.1).chain(sink).map(|s| (s - maximum).exp()).sum();
        let nothing = logits.is_empty() && sink.is_none();
        let log = if nothing { f64::NEG_INFINITY } else { maximum + whole.ln() };
        expected_sums[p.sums_place(at, &items)] = Some(log).filter(|_| p.has_sums != 0);
        of_rows.push(log);
        for column in 0..columns {
            let part =
                |split: u32| f64::from(parts[(split as usize * rows + row as usize) * columns + column]);
            let weighted = |weight: f64, split| if weight == 0.0 { 0.0 } else { weight * part(split) };
            let sum: f64 = logits.iter().map(|&(split, s)| weighted((s - maximum).exp(), split)).sum();
            // A sum that is no number makes the row so, sink or not.
            let value = if nothing || logits.is_empty() { 0.0 } else { sum / whole };
            output[p.output_place(at, &items) + column] = Some(value);
            values.push(value);
        }
    }
    let eps = f64::from(f32::EPSILON);
    // Nothing that is added to f32's lowest number moves it.
    let counted: Vec<f64> = of_rows.into_iter().filter(|log: &f64| log.abs() < 1e30).collect();
    // As in the fused kernels: exp is good to 3 + 2·|x| units in the last place.
    let of_exp = (3.0 + 2.0 * 40.0) * eps * 0.25;
    Case {
        label: format!("B={batch} H={heads} Lq={queries} Dv={value_dim} splits={splits} seed {seed}"),
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: (rounding_floor(splits as usize, 1.0) + of_exp) * largest(&values).max(1.0),
        arguments: vec![
            CaseArgument::F32(parts),
            CaseArgument::F32(sums),
            CaseArgument::Words(items),
            CaseArgument::F32(sinks),
            CaseArgument::output(output),
            CaseArgument::output_within(expected_sums, 4.0 * of_exp + 4.0 * eps * largest(&counted)),
        ],
    }
}
