//! Additive attention, fused: neither the `[Lq, Lk, A]` tensor of tanh nor, unless they are asked for, the weights are ever
//! in memory.
//!
//! output\[b, i\] = Σⱼ softmaxⱼ(Σ_a w\[a\] · tanh(q\[b, i, a\] + k\[b, j, a\])) · v\[b, j\] (Bahdanau et al. 2015, appendix
//! A.1.2), over the first `lengths[b]` keys. f32, dense: q `[items, rows, width]`, k `[items, key_length, width]`, v
//! `[items, key_length, value_dim]`, the score's weight w `[width]`. The queries of an item are all that share its keys:
//! those of one text, or one from each beam that reads the same text.
//!
//! Keys from the length on weigh 0 and are not read; a query without keys gives 0. A NaN or +∞ among a query's scores makes
//! its output and weights NaN, and so do scores of −∞ alone. A weight that is 0 in f32 takes nothing from v, not even a
//! NaN. With `has_weights` the weights are written too, `[items, rows, key_length]`: scores first, which each lane makes
//! weights of at the end.
//!
//! Ladder: a workgroup of 64 for one query, or for four that share what is read of k and v. Eight lanes for each key, so
//! that a few keys keep all lanes busy and neighbours read neighbouring words. Running sums of the values lie in the output:
//! one load and store for each column and tile, and `value_dim` has no bound.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry, parameters,
};
use crate::kernels::activation::tanh;
use crate::kernels::parallel;
use crate::kernels::wide::wide;
use crate::reference::additive::{self as oracle, Dims};
use crate::reference::rounding_floor;

parameters! {
    /// Sizes, and what is there.
    pub struct Parameters {
        /// Items, each with keys of its own.
        pub items: u32,
        /// Queries of each item.
        pub rows: u32,
        /// Keys of each item, padding included.
        pub key_length: u32,
        /// Columns of q and k.
        pub width: u32,
        /// Columns of v.
        pub value_dim: u32,
        /// 1 if there are key lengths.
        pub has_lengths: u32,
        /// 1 if the weights are to be written.
        pub has_weights: u32,
    }
}

/// The kernel.
pub struct Additive;

/// Invocations of a workgroup, and keys of a tile.
const WORKGROUP: u32 = 64;
/// Lanes that share a key's score.
const SHARES: u64 = 8;

/// The variant for items of that many queries.
pub(crate) fn variant(rows: u32) -> Variant {
    let rows = if rows > 1 { 4 } else { 1 };
    Variant::new("tiled", WORKGROUP).with("QUERY_ROWS", rows)
}

/// Queries of a workgroup.
fn tile_rows(variant: &Variant) -> u32 {
    variant.u32("QUERY_ROWS")
}

const BINDINGS: &[Binding] = &[
    Binding::read("q"),
    Binding::read("k"),
    Binding::read("v"),
    Binding::read("score_weight"),
    Binding::read("lengths"),
    Binding::write("output"),
    Binding::write("weights"),
];

impl Kernel for Additive {
    fn about(&self) -> About {
        const { About::ours("attention/additive", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant(1), variant(4)]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let tiles = u64::from(p.rows.div_ceil(tile_rows(variant)));
        geometry::fold(u64::from(p.items) * tiles, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let [rows, keys, width, columns] =
            [p.rows, p.key_length, p.width, p.value_dim].map(|size| size as usize);
        let [q, k, v, w] = [0, 1, 2, 3].map(|place| arguments.f32(place));
        let (lengths, output, weights) = (arguments.words(4), arguments.f32_mut(5), arguments.f32_mut(6));
        // tanh takes most of it.
        let operations = self.cost(variant, parameters).flops;
        let weights_of = |row: usize| -> (Vec<f32>, f32) {
            let item = row / rows;
            let there = if p.has_lengths != 0 { keys.min(lengths[item] as usize) } else { keys };
            let query = &q[row * width..][..width];
            let key = |key: usize| &k[(item * keys + key) * width..][..width];
            let mut products = vec![0.0; width];
            let score = |place: usize| {
                // The sum in order, behind a loop that the compiler can make several values at a time.
                let sides = query.iter().zip(key(place)).zip(w);
                wide(|| products.iter_mut().zip(sides).for_each(|(to, ((q, k), w))| *to = w * tanh(q + k)));
                products.iter().sum::<f32>()
            };
            let mut scores: Vec<f32> = (0..there).map(score).collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
            let sum: f32 = scores.iter().sum();
            scores.iter_mut().for_each(|weight| *weight /= sum);
            (scores, sum)
        };
        let of_rows = parallel::map(p.items as usize * rows, operations, weights_of);
        for (row, (scores, sum)) in of_rows.into_iter().enumerate() {
            let (item, there) = (row / rows, scores.len());
            let out = &mut output[row * columns..][..columns];
            out.fill(0.0);
            for (key, &weight) in scores.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                let value = &v[(item * keys + key) * columns..][..columns];
                out.iter_mut().zip(value).for_each(|(out, value)| *out += weight * value);
            }
            if p.has_weights != 0 {
                let (first, padding) = weights[row * keys..][..keys].split_at_mut(there);
                first.copy_from_slice(&scores);
                padding.fill(if sum.is_nan() { f32::NAN } else { 0.0 });
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [items, rows, keys, width, columns] =
            [p.items, p.rows, p.key_length, p.width, p.value_dim].map(u64::from);
        let lanes = u64::from(WORKGROUP);
        let passes = columns.div_ceil(lanes);
        // tanh is counted as 10.
        let flops = items * rows * keys * (13 * width + 2 * columns + 5);
        let each = SHARES * width.div_ceil(SHARES) + SHARES + 4 + lanes * (2 + passes) + 4 * passes;
        Cost {
            flops,
            bytes: 4 * items * (rows * (width + columns) + keys * (width + columns)),
            iterations: keys.div_ceil(lanes) * (each + 12) + 5 * passes + 8,
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Items, queries, keys, width, value_dim.
        let mut sizes = vec![
            [1, 1, 1, 1, 1],
            [3, 1, 7, 16, 20],
            [2, 5, 64, 9, 65],
            [2, 4, 65, 33, 3],
            [1, 3, 150, 8, 130],
            [70, 1, 3, 2, 2],
        ];
        if depth == Depth::Full {
            for keys in [2, 8, 63, 127, 129, 257, 700] {
                sizes.extend([[1, 1, keys, 100, 64], [3, 6, keys, 31, 70], [2, 2, keys, 7, 200]]);
            }
            sizes.extend([[1, 9, 130, 513, 5], [2, 67, 67, 64, 64], [66_000, 1, 2, 1, 1]]);
        }
        let mut cases: Vec<Case> = sizes
            .into_iter()
            .enumerate()
            .map(|(index, sizes)| {
                let options =
                    Options { lengths: index % 2 == 1, weights: index % 3 != 0, ..Options::default() };
                case(sizes, options)
            })
            .collect();
        let all = Options { lengths: true, weights: true, ..Options::default() };
        cases.push(case([5, 6, 67, 5, 3], Options { weights: false, lengths: true, ..all }));
        cases.push(case([5, 2, 130, 3, 5], all));
        // Scores that leave one key alone: whose weight is found in any of three tiles.
        cases.push(case([3, 2, 140, 4, 2], Options { spread: 60.0, ..all }));
        cases.push(case([3, 2, 140, 4, 2], Options { spread: 1e4, lengths: false, ..all }));
        cases.push(case([10, 2, 70, 3, 66], Options { strange: true, ..all }));
        cases.push(case([9, 5, 4, 3, 2], Options { strange: true, ..all }));
        cases.push(case([6, 1, 66, 1, 3], Options { infinite_weight: true, ..all }));
        cases.extend([
            ends("at both ends of f32", f32::MAX, |key| [if key % 3 == 1 { 1.0 } else { -1.0 }, 0.0]),
            ends("of f32's lowest number", f32::MAX, |_| [-1.0, 0.0]),
            ends("of −3.4e38", 3.4e38, |_| [-1.0, 0.0]),
            ends("of f32's largest number", f32::MAX, |_| [1.0, 0.0]),
            // A score beyond f32 is infinite.
            ends("of f32's lowest number and −∞", f32::MAX, |key| {
                [-1.0, -f32::from(u8::from(key % 3 > 0))]
            }),
            ends("of −∞ in the first tile", f32::MAX, |key| [-1.0, -f32::from(u8::from(key < 67))]),
            ends("of −∞ for a tile's first lanes", f32::MAX, |key| {
                [-1.0, -f32::from(u8::from(key % 64 < 8))]
            }),
        ]);
        cases
    }
}

/// The options of a case beside its sizes.
#[derive(Clone, Copy)]
struct Options {
    lengths: bool,
    weights: bool,
    /// The size of w, and so of the scores.
    spread: f32,
    /// NaN and infinities.
    strange: bool,
    /// The first weight is −∞, so that all scores are ±∞.
    infinite_weight: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { lengths: false, weights: false, spread: 1.0, strange: false, infinite_weight: false }
    }
}

fn case(
    [items, queries, keys, width, value_dim]: [usize; 5],
    Options { lengths: has_lengths, weights: has_weights, spread, strange, infinite_weight }: Options,
) -> Case {
    let mut inputs = Inputs::new((items * 1_000_003 + keys * 1009 + width * 31 + queries) as u64);
    let mut q = inputs.values(items * queries * width, 1.0);
    let mut k = inputs.values(items * keys * width, 1.0);
    let mut v = inputs.values(items * keys * value_dim, 1.0);
    let mut w = inputs.values(width, spread);
    let mut lengths: Vec<u32> = inputs.below(items, keys as u32 + 3).into_iter().map(|n| n.max(1)).collect();
    if items > 1 {
        lengths[1] = 0;
    }
    if strange {
        lengths[2..].fill(keys as u32);
        let at = |item: usize, key: usize, column: usize| (item * keys + key) * width + column;
        k[at(2, keys - 1, 0)] = f32::NAN;
        k[at(3, 0, 1)] = -f32::NAN;
        q[7 * queries * width + 1] = f32::NAN;
        // tanh's ends, and ∞ − ∞ in one query alone.
        k[at(4, 1, 0)] = f32::INFINITY;
        q[4 * queries * width] = f32::NEG_INFINITY;
        k[at(5, keys / 2, 0)] = f32::NEG_INFINITY;
        q[(5 * queries + 1) * width + 1] = f32::INFINITY;
        v[(6 * keys + 1) * value_dim] = f32::NAN;
        v[(6 * keys + keys - 1) * value_dim + 1] = f32::INFINITY;
    }
    if infinite_weight {
        w[0] = f32::NEG_INFINITY;
    }
    if has_lengths {
        for (item, &length) in lengths.iter().enumerate() {
            let first = (length as usize).min(keys);
            k[(item * keys + first) * width..(item + 1) * keys * width].fill(f32::NAN);
            v[(item * keys + first) * value_dim..(item + 1) * keys * value_dim].fill(f32::NAN);
        }
    }
    let dims = Dims { items, queries, keys, width, value_dim };
    let expected = oracle::additive(&q, &k, &v, &w, has_lengths.then_some(&lengths[..]), dims);
    let parameters = Parameters {
        items: items as u32,
        rows: queries as u32,
        key_length: keys as u32,
        width: width as u32,
        value_dim: value_dim as u32,
        has_lengths: has_lengths.into(),
        has_weights: has_weights.into(),
    };
    // Each tanh is off by up to four roundings, and each sum by its own; a weight p moves by p · (1 − p) of its score's
    // error, and an output by that of its values, which are at most about 4.
    let spread = f64::from(spread);
    let of_score =
        rounding_floor(width, 4.0 * spread) + rounding_floor(width, spread * (width as f64).sqrt());
    let floor = rounding_floor(keys, 2.0) + 4.0 * of_score;
    Case {
        label: format!(
            "[{items}, {queries}, {keys}, {width}, {value_dim}] ×{spread}{}{}{}",
            if has_lengths { " lengths" } else { "" },
            if has_weights { " weights" } else { "" },
            match (strange, infinite_weight) {
                (true, _) => " with NaN and infinities",
                (_, true) => " with a weight of −∞",
                _ => "",
            }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor,
        arguments: vec![
            CaseArgument::F32(q),
            CaseArgument::F32(k),
            CaseArgument::F32(v),
            CaseArgument::F32(w),
            CaseArgument::Words(lengths),
            CaseArgument::output(expected.output.into_iter().map(Some).collect()),
            CaseArgument::output(match has_weights {
                true => expected.weights.into_iter().map(Some).collect(),
                // Nothing may be written.
                false => vec![None; 4],
            }),
        ],
    }
}

/// Scores of the sum of `times` times `size`, each of which is 0, 1 or −1.
fn ends(of: &str, size: f32, times: fn(usize) -> [f32; 2]) -> Case {
    let dims = Dims { items: 1, queries: 2, keys: 70, width: 2, value_dim: 2 };
    let mut inputs = Inputs::new(70);
    let k: Vec<f32> = (0..70).flat_map(times).map(|times| 100.0 * times).collect();
    let (q, v, w) = ([0.0, 0.0, 1.0, 0.0], inputs.values(140, 1.0), [size; 2]);
    let expected = oracle::additive(&q, &k, &v, &w, None, dims);
    let parameters = Parameters {
        items: 1,
        rows: 2,
        key_length: 70,
        width: 2,
        value_dim: 2,
        has_lengths: 0,
        has_weights: 1,
    };
    Case {
        label: format!("[1, 2, 70, 2, 2] with scores {of}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(70, 1.0),
        arguments: vec![
            CaseArgument::F32(q.to_vec()),
            CaseArgument::F32(k),
            CaseArgument::F32(v),
            CaseArgument::F32(w.to_vec()),
            CaseArgument::Words(vec![0]),
            CaseArgument::output(expected.output.into_iter().map(Some).collect()),
            CaseArgument::output(expected.weights.into_iter().map(Some).collect()),
        ],
    }
}
