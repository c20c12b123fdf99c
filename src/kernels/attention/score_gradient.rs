//! The gradient of attention's scores, from its weights.
//!
//! Of the logits: g\[r, j\] = w\[r, j\] · (u\[r, j\] − Σₖ w\[r, k\] · u\[r, k\]), w the weights, u their gradient (the softmax's Jacobian; a sink has
//! a part of the weights and no gradient of its own). Of the products q·k: g · (1 − tanh²(s / c)) · s′, with s = s′ · q·k the scaled
//! score, s′ = scale · τ\[h\] and c the softcap (Dao et al. 2022, appendix B.4, for the rest). f32, dense `[rows, keys]`, a row for
//! each query of each head of a part of the batch-heads.
//!
//! A weight of 0 has a gradient of exactly 0, whatever u is there: keys that are masked out may hold anything. A NaN among the
//! other weights or gradients makes its row NaN.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::attention::NONE;
use crate::kernels::{parallel, reduce};
use crate::reference::{self, largest, rounding_floor};

parameters! {
    /// Sizes, and what scores are made of.
    pub struct Parameters {
        /// Batch-heads of the part, times its queries.
        pub rows: u32,
        /// Keys of a row.
        pub keys: u32,
        /// Rows of one head.
        pub queries: u32,
        /// The first of the batch-heads.
        pub first_batch_head: u32,
        /// Heads of a batch item.
        pub heads: u32,
        /// The factor of products.
        pub scale: f32,
        /// c in c·tanh(s / c); 0 for none.
        pub softcap: f32,
        /// Where in `head_terms` the heads' factors of the scale stand; or [`NONE`].
        pub scales_at: u32,
        /// 1 for the gradient of the products, 0 for that of the logits.
        pub of_products: u32,
    }
}

/// The kernel.
pub struct ScoreGradient;

const BINDINGS: &[Binding] = &[
    Binding::read("weights"),
    Binding::read("upstream"),
    Binding::read("products"),
    Binding::read("head_terms"),
    Binding::write("gradient"),
];

impl Kernel for ScoreGradient {
    fn about(&self) -> About {
        const { About::ours("attention/score_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        reduce::workgroups(variant, if p.keys == 0 { 0 } else { p.rows }, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (weights, upstream, products) = (arguments.f32(0), arguments.f32(1), arguments.f32(2));
        let (head_terms, gradient) = (arguments.f32(3), arguments.f32_mut(4));
        let (rows, keys) = (p.rows as usize, p.keys as usize);
        parallel::rows(&mut gradient[..rows * keys], keys, 8, |first, gradient| {
            for (row, gradient) in (first..).zip(gradient.chunks_exact_mut(keys.max(1))) {
                let [weights, upstream] = [weights, upstream].map(|values| &values[row * keys..][..keys]);
                let pairs = || weights.iter().zip(upstream);
                let mean: f32 =
                    pairs().filter(|(weight, _)| **weight != 0.0).map(|(weight, u)| weight * u).sum();
                let head = (p.first_batch_head + row as u32 / p.queries) % p.heads;
                let factor = match p.scales_at {
                    NONE => 1.0,
                    at => head_terms[(at + head) as usize],
                };
                let scale = p.scale * factor;
                for ((key, gradient), (weight, u)) in gradient.iter_mut().enumerate().zip(pairs()) {
                    if *weight == 0.0 {
                        *gradient = 0.0;
                        continue;
                    }
                    *gradient = weight * (u - mean);
                    if p.of_products != 0 {
                        *gradient *= scale;
                        if p.softcap > 0.0 {
                            let e = (-2.0 * (products[row * keys + key] * scale / p.softcap).abs()).exp();
                            *gradient *= 4.0 * e / ((1.0 + e) * (1.0 + e));
                        }
                    }
                }
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.keys);
        let reads = if p.softcap > 0.0 { 3 } else { 2 };
        let iterations = reduce::iterations(variant, p.keys.into(), 2, 1);
        Cost { flops: 5 * elements, bytes: 4 * (reads + 1) * elements, iterations }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Batch-heads, queries and keys.
        let mut sizes = vec![[1, 1, 1], [3, 5, 7], [4, 33, 64], [2, 3, 130], [1, 1, 1025]];
        if depth == Depth::Full {
            for keys in [2, 31, 32, 33, 63, 65, 128, 1024, 4096] {
                sizes.extend([[6, 1, keys], [2, 65, keys]]);
            }
        }
        let options = [
            (0.0, false, true),
            (2.0, false, true),
            (0.0, true, true),
            (0.75, true, true),
            (0.0, true, false),
        ];
        let all = sizes.iter().enumerate();
        let ordinary = all.map(|(index, &size)| case(size, options[index % options.len()], false));
        let each = options.into_iter().map(|options| case([3, 4, 21], options, false));
        ordinary.chain(each).chain([case([2, 4, 9], (2.0, true, true), true)]).collect()
    }
}

/// With `strange`, a NaN lies among the gradients of a row, and of another among its weights.
fn case(
    [heads, queries, keys]: [usize; 3],
    (softcap, scaled, of_products): (f32, bool, bool),
    strange: bool,
) -> Case {
    let mut inputs = Inputs::new((heads * 1009 + queries * 31 + keys) as u64 ^ u64::from(softcap.to_bits()));
    let rows = heads * queries;
    let mut weights: Vec<f32> = inputs.values(rows * keys, 1.0).into_iter().map(f32::abs).collect();
    for (place, (weight, keep)) in weights.iter_mut().zip(inputs.mask(rows * keys)).enumerate() {
        // The first key of each row stays, and a row in the middle has none.
        *weight *= (keep as f32).max(f32::from(u8::from(place % keys == 0)));
        *weight *= f32::from(u8::from(rows < 3 || place / keys != 1));
    }
    for row in weights.chunks_exact_mut(keys) {
        // A sink has the rest.
        let sum = 1.25 * row.iter().sum::<f32>();
        row.iter_mut().for_each(|weight| *weight /= sum.max(f32::MIN_POSITIVE));
    }
    let mut upstream = inputs.values(rows * keys, 1.0);
    let mut products = inputs.values(rows * keys, 2.0);
    // So far below that exp of it is beyond f32, where the slope of the softcap is 0.
    products[(rows - 1) * keys] = -200.0;
    // What has no weight must not show, whatever it is.
    let poison = [f32::NAN, f32::INFINITY, 1e38];
    for (place, (u, weight)) in upstream.iter_mut().zip(&weights).enumerate() {
        if *weight == 0.0 {
            *u = poison[place % 3];
        }
    }
    if strange {
        upstream[0] = f32::NAN;
        weights[3 * keys] = f32::NAN;
    }
    // The part begins within a batch item of four heads.
    let (first, of_item, scale) = (2, 4, 0.75_f32);
    let gap = 3;
    let mut head_terms = vec![f32::NAN; gap];
    head_terms.extend(inputs.values(of_item, 0.5).into_iter().map(|term| term + 1.0));
    let factor = |row: usize| match scaled {
        true => head_terms[gap + (first + row / queries) % of_item].into(),
        false => 1.0,
    };
    let of_logits = reference::attention_gradient::logit_gradient(&weights, &upstream, keys);
    let expected: Vec<f64> = of_logits
        .iter()
        .zip(&products)
        .enumerate()
        .map(|(place, (&gradient, &product))| {
            let scale = f64::from(scale) * factor(place / keys);
            let slope = match softcap > 0.0 {
                true => 1.0 / (f64::from(product) * scale / f64::from(softcap)).cosh().powi(2),
                false => 1.0,
            };
            if gradient == 0.0 || !of_products { gradient } else { gradient * scale * slope }
        })
        .collect();
    let parameters = Parameters {
        rows: rows as u32,
        keys: keys as u32,
        queries: queries as u32,
        first_batch_head: first as u32,
        heads: of_item as u32,
        scale,
        softcap,
        scales_at: if scaled { gap as u32 } else { NONE },
        of_products: of_products.into(),
    };
    let names =
        [(softcap > 0.0, " softcap"), (scaled, " factors"), (!of_products, " logits"), (strange, " NaN")];
    let names: String = names.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    // What a gradient is subtracted from has the sum's error; exp is good to 3 + 2·|x| units, |x| up to some 16.
    let floor = rounding_floor(keys, largest(&expected).max(1.0)) + 4e-6 * largest(&expected);
    Case {
        label: format!("[{heads} · {queries}, {keys}]{names}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor,
        arguments: vec![
            CaseArgument::F32(weights),
            CaseArgument::F32(upstream),
            CaseArgument::F32(products),
            CaseArgument::F32(head_terms),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
