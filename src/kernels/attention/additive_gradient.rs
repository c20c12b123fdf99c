//! The gradients of additive scores e\[i, j\] = Σₐ w\[a\] · tanh(q\[i, a\] + k\[j, a\]) (Bahdanau et al. 2015, appendix A.1.2).
//!
//! With g the scores' gradient, of the queries Σⱼ g\[i, j\] · w\[a\] · (1 − tanh²(q\[i, a\] + k\[j, a\])), of the keys the same sum over i, and of
//! w Σᵢⱼ g\[i, j\] · tanh(q\[i, a\] + k\[j, a\]). The kernel takes one side, own rows `[items, rows, width]`, and sums over the other's, `[items,
//! others, width]`; a sum over the own rows of its `parts` is w's gradient. f32, dense; g is `[items, queries, keys]`, and steps say which
//! of its axes are the own rows. No atomics, so that the same call gives the same bits.
//!
//! A g of exactly 0 takes nothing from the other row: what is masked out may be NaN there. A NaN in another g, or in a q + k where g is
//! not 0, makes the sums that it is in NaN.
//!
//! Ladder: an invocation for each column of each own row, so that neighbours read neighbouring words of both sides; the tanh is computed
//! again for each side, since `[Lq, Lk, A]` of them are never in memory.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::activation::{Activation, tanh};
use crate::kernels::wide::wide;
use crate::kernels::{elementwise, parallel};
use crate::reference::additive::{self as oracle, Dims};
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes, and how the scores' gradient lies.
    pub struct Parameters {
        /// Items, each with queries and keys of its own.
        pub items: u32,
        /// Own rows of each item.
        pub rows: u32,
        /// Rows of the other side.
        pub others: u32,
        /// Columns of both.
        pub width: u32,
        /// In the scores' gradient, from one own row to the next.
        pub row_step: u32,
        /// And from one row of the other side to the next.
        pub other_step: u32,
        /// 1 if the parts of w's gradient are to be written.
        pub has_parts: u32,
    }
}

/// The kernel.
pub struct AdditiveGradient;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("own"),
    Binding::read("other"),
    Binding::read("score_weight"),
    Binding::read("of_scores"),
    Binding::write("of_own"),
    Binding::write("parts"),
];

impl Kernel for AdditiveGradient {
    fn about(&self) -> About {
        const { About::ours("attention/additive_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        elementwise::workgroups(p.items * p.rows * p.width, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let [rows, others, width] = [p.rows, p.others, p.width].map(|size| size as usize);
        let [own, other, weight, of_scores] = [0, 1, 2, 3].map(|place| arguments.f32(place));
        let (of_own, parts) = (arguments.f32_mut(4), arguments.f32_mut(5));
        let operations = self.cost(variant, parameters).flops;
        let sums_of = |row: usize| {
            let (item, mut sums) = (row / rows, vec![[0.0_f32; 2]; width]);
            for place in 0..others {
                let at = row % rows * p.row_step as usize + place * p.other_step as usize;
                let gradient = of_scores[item * rows * others + at];
                if gradient == 0.0 {
                    continue;
                }
                let other = &other[(item * others + place) * width..][..width];
                wide(|| {
                    for ((sums, own), other) in sums.iter_mut().zip(&own[row * width..]).zip(other) {
                        let x = own + other;
                        sums[0] += gradient * Activation::Tanh.slope(x);
                        sums[1] += gradient * tanh(x);
                    }
                });
            }
            sums
        };
        let all = parallel::map(p.items as usize * rows, operations, sums_of);
        for (place, [sum, part]) in all.into_iter().flatten().enumerate() {
            of_own[place] = if part.is_nan() { part } else { sum * weight[place % width] };
            if p.has_parts != 0 {
                parts[place] = part;
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [items, rows, others, width] = [p.items, p.rows, p.others, p.width].map(u64::from);
        Cost {
            // tanh and its slope are counted as 10 each.
            flops: items * rows * others * width * 25,
            bytes: 4 * items * (3 * rows * width + others * width + rows * others),
            iterations: others,
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Items, queries, keys, width.
        let mut sizes = vec![[1, 1, 1, 1], [3, 1, 7, 16], [2, 5, 64, 9], [2, 4, 3, 65], [70, 2, 3, 2]];
        if depth == Depth::Full {
            for keys in [2, 63, 129, 700] {
                sizes.extend([[1, 1, keys, 100], [3, 6, keys, 31]]);
            }
            sizes.extend([[1, 9, 2, 513], [66_000, 1, 2, 64]]);
        }
        let mut cases: Vec<Case> = sizes
            .into_iter()
            .enumerate()
            .flat_map(|(index, sizes)| [false, true].map(|keys| case(sizes, keys, index % 2 == 0, "")))
            .collect();
        for of_keys in [false, true] {
            cases.push(case([2, 3, 5, 4], of_keys, true, ""));
            cases.push(case([2, 3, 5, 4], of_keys, false, ""));
            cases.push(case([4, 3, 6, 5], of_keys, true, " with NaN and infinities"));
            cases.push(case([2, 3, 5, 7], of_keys, true, " far from 0"));
        }
        cases
    }
}

/// Of the queries, or of the keys.
fn case([items, queries, keys, width]: [usize; 4], of_keys: bool, has_parts: bool, what: &str) -> Case {
    let mut inputs = Inputs::new((items * 1_000_003 + keys * 1009 + width * 31 + queries) as u64);
    let spread = if what.contains("far") { 12.0 } else { 1.0 };
    let mut q = inputs.values(items * queries * width, spread);
    let mut k = inputs.values(items * keys * width, spread);
    let w = inputs.values(width, 1.0);
    let mut g = inputs.values(items * queries * keys, 1.0);
    // The last key of each item is masked out, but where it is the only one; a 0 may have a sign.
    if keys > 1 {
        for item in 0..items {
            let zero = if item % 2 == 0 { 0.0 } else { -0.0 };
            (0..queries).for_each(|query| g[(item * queries + query) * keys + keys - 1] = zero);
            k[(item * keys + keys - 1) * width..][..width].fill(f32::NAN);
        }
    }
    if what.contains("NaN") {
        q[1] = f32::NAN;
        k[(keys + 1) * width + 2] = -f32::NAN;
        g[2 * queries * keys + keys] = f32::NAN;
        // tanh's ends.
        q[3 * queries * width] = f32::INFINITY;
        k[(3 * keys + 1) * width + 1] = f32::NEG_INFINITY;
        k[(3 * keys + 2) * width + 2] = 3e38;
    }
    let dims = Dims { items, queries, keys, width, value_dim: 0 };
    let found = oracle::score_gradients(&q, &k, &w, &g, dims);
    let (own, other, rows, others) = if of_keys { (k, q, keys, queries) } else { (q, k, queries, keys) };
    let [of_own, parts] = if of_keys { found.of_keys } else { found.of_queries };
    let [row_step, other_step] = if of_keys { [1, keys] } else { [keys, 1] };
    let parameters = Parameters {
        items: items as u32,
        rows: rows as u32,
        others: others as u32,
        width: width as u32,
        row_step: row_step as u32,
        other_step: other_step as u32,
        has_parts: has_parts.into(),
    };
    // g and w of up to 4; tanh is good to four roundings, and exp to 3 + 2·|x| units, and so the slope to 4e-7.
    let magnitude = largest(&of_own).max(largest(&parts)).max(4.0);
    Case {
        label: format!(
            "[{items}, {queries}, {keys}, {width}] of {}{}{what}",
            if of_keys { "keys" } else { "queries" },
            if has_parts { "" } else { " without parts" },
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(others, magnitude) + 4e-7 * 4.0 * (others as f64).sqrt().max(4.0),
        arguments: vec![
            CaseArgument::F32(own),
            CaseArgument::F32(other),
            CaseArgument::F32(w),
            CaseArgument::F32(g),
            CaseArgument::output(of_own.into_iter().map(Some).collect()),
            CaseArgument::output(match has_parts {
                true => parts.into_iter().map(Some).collect(),
                // Nothing may be written.
                false => vec![None; 4],
            }),
        ],
    }
}
