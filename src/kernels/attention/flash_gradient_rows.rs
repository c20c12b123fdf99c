//! What the gradient of fused attention takes of each query.
//!
//! rows\[b, h, i, :\] = its largest logit m, the factor 1 / Σⱼ exp(logitⱼ − m) of its weights (with the sink, if there is one, in the sum),
//! and D = Σ_d u ⊙ output, u the output's gradient (Dao et al. 2022, appendix B.4). `[B, H, Lq, 3]`, f32, dense; what an item has not is not
//! written. The factor is 0 for a row that sees no key and NaN for one that a NaN, +∞ or nothing but −∞ makes NaN.
//!
//! Ladder: as [`flash_tiled`](super::flash_tiled) without values; two lanes share a row, each with a maximum and a sum of its own until
//! the end.

use super::Parameters;
use super::flash::{Form, Tiling};
use super::flash_gradient::{self, Gives, ROW_NUMBERS, TILING};
use super::parameters::Row;
use crate::kernel::{About, Arguments, Binding, Case, Cost, Depth, Kernel, Variant};
use crate::kernels::attention::flash::LARGEST_DIM;

/// The kernel.
pub struct FlashGradientRows;

/// The variant for that form of queries and keys.
pub fn tiled(form: Form) -> Variant {
    let variant = Variant::new("tiled", TILING.rows * TILING.keys / 16);
    form.add_to(variant.with("TILE_ROWS", TILING.rows).with("TILE_COLUMNS", TILING.keys))
}

const BINDINGS: &[Binding] = &[
    Binding::read("q"),
    Binding::read("k"),
    Binding::read("mask"),
    Binding::read("items"),
    Binding::read("head_terms"),
    Binding::read("output"),
    Binding::read("upstream"),
    Binding::write("rows"),
];

impl Kernel for FlashGradientRows {
    fn about(&self) -> About {
        const { About::ours("attention/flash_gradient_rows", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        [true, false].map(|aligned| tiled(Form { half: false, aligned })).into()
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        TILING.workgroups(parameters, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (q, k, mask, items) =
            (arguments.f32(0), arguments.f32(1), arguments.words(2), arguments.words(3));
        let (head_terms, output, upstream) = (arguments.f32(4), arguments.f32(5), arguments.f32(6));
        let rows = arguments.f32_mut(7);
        let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(a, b)| a * b).sum::<f32>();
        for tile in p.first_tile..p.first_tile + p.tiles {
            let tile = TILING.tile(&p, tile, items);
            for [head, query] in tile.rows {
                let at = [tile.batch, head, query];
                let row = Row::new(&p, at, mask, items, head_terms);
                let q = &q[p.q_place(at, items)..][..p.head_dim as usize];
                let logits = (row.begin..row.end).filter_map(|key| {
                    let k = &k[p.k_place([tile.batch, tile.key_head, key], items)..][..p.head_dim as usize];
                    row.allowed(key).then(|| row.logit(key, dot(q, k))).flatten()
                });
                let logits: Vec<f32> = logits.collect();
                let columns = p.value_dim as usize;
                let place = p.output_place(at, items);
                let mean = dot(&upstream[place..][..columns], &output[place..][..columns]);
                let place = ROW_NUMBERS * ((tile.batch * p.heads + head) * p.query_length + query);
                let (largest, factor) = of_logits(&logits, p.sink(head, head_terms));
                rows[place as usize..][..ROW_NUMBERS as usize].copy_from_slice(&[largest, factor, mean]);
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        // One product in place of two.
        let of_keys = Parameters { value_dim: 0, ..p };
        let each = flash_gradient::square_iterations(&p, true) + 5;
        Tiling::cost(&TILING, &of_keys, false, [each, u64::from(p.value_dim.div_ceil(2))])
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let form = Form::from_variant(variant);
        flash_gradient::cases(Gives::Rows, form, [LARGEST_DIM, LARGEST_DIM], depth)
    }
}

/// The largest of a row's logits and the factor of its weights.
fn of_logits(logits: &[f32], sink: Option<f32>) -> (f32, f32) {
    let finite = || logits.iter().copied().filter(|logit| logit.is_finite());
    let largest = finite().fold(f32::MIN, f32::max);
    let moved = sink.map_or(largest, |sink| sink.max(largest));
    let sum = finite().map(|logit| (logit - moved).exp()).sum::<f32>()
        + sink.map_or(0.0, |sink| (sink - moved).exp());
    let poisoned = logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY)
        || (!logits.is_empty() && finite().next().is_none() && sink.is_none());
    match finite().next() {
        _ if poisoned => (largest, f32::NAN),
        None => (largest, 0.0),
        Some(_) => (largest, (largest - moved).exp() / sum),
    }
}
