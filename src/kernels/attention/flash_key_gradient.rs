//! The gradient of fused attention's keys, and of its values.
//!
//! Of keys: gradient\[b, h′, j, :\] += Σ_h Σᵢ dS\[h, i, j\] · q\[b, h, i, :\] over the heads h of the key-value head h′, with dS as in
//! [`flash_gradient`]; of values (`OF_VALUES`) with the weights in the place of dS and the output's gradient in that
//! of q (Dao 2023, algorithm 2). f32; the gradient lies as the keys do, or the values. A dispatch takes the queries from `first_query` on, `queries`
//! of them, and adds what they come to.
//!
//! Ladder: as [`flash_query_gradient`](super::flash_query_gradient), a workgroup for 32 keys, which goes over the heads of its group and their
//! queries: no workgroup adds to what another one writes, so that the sums have one order. Keys and values in dispatches of
//! their own, since both gradients would be nine storage buffers, one more than WebGPU promises; that computes q·k once more.

use super::Parameters;
use super::flash::{Form, LARGEST_DIM};
use super::flash_gradient::{self, Gives, TILING, TwinInputs};
use super::flash_query_gradient::BINDINGS;
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant, geometry};

/// The kernel.
pub struct FlashKeyGradient;

/// The variant for the gradient of keys, or of values, of that many elements.
pub fn tiled(form: Form, columns: u32, of_values: bool) -> Variant {
    flash_gradient::variant(form, columns, of_values)
}

/// The tiles of all keys.
pub fn tiles(p: &Parameters) -> u64 {
    let heads = u64::from(p.heads / p.heads_per_key.max(1));
    u64::from(p.key_length.div_ceil(TILING.keys)) * heads * u64::from(p.batches)
}

/// Item, key-value head and key of a tile's rows.
pub(super) fn tile(p: &Parameters, tile: u32, items: &[u32]) -> Vec<[u32; 3]> {
    let (key_tiles, heads) = (p.key_length.div_ceil(TILING.keys), p.heads / p.heads_per_key);
    let first = tile % key_tiles * TILING.keys;
    let (head, batch) = (tile / key_tiles % heads, tile / key_tiles / heads);
    (first..(first + TILING.keys).min(p.keys_of(batch, items))).map(|key| [batch, head, key]).collect()
}

impl Kernel for FlashKeyGradient {
    fn about(&self) -> About {
        const { About::ours("attention/flash_key_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let forms = [true, false].map(|aligned| Form { half: false, aligned });
        let dims = [32, 64, 128, LARGEST_DIM];
        let all = forms.into_iter().flat_map(|form| dims.map(|dim| (form, dim)));
        all.flat_map(|(form, dim)| [false, true].map(|of_values| tiled(form, dim, of_values))).collect()
    }

    fn quick(&self, variant: &Variant) -> bool {
        let sizes = variant.u32("COLUMN_BLOCKS") << u32::from(variant.flag("OF_VALUES"));
        Form::from_variant(variant).quick(sizes, 4)
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        geometry::fold(Parameters::from_bytes(parameters).tiles.into(), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let of_values = variant.flag("OF_VALUES");
        let gradient = arguments.f32_mut(7);
        let inputs = TwinInputs::new(&p, &arguments);
        let columns = if of_values { p.value_dim } else { p.head_dim } as usize;
        let tiles = p.first_tile..p.first_tile + p.tiles;
        let mut sums = vec![0.0; gradient.len()];
        let place = |at: [u32; 3]| match of_values {
            true => p.v_place(at, inputs.items),
            false => p.k_place(at, inputs.items),
        };
        let mine: Vec<[u32; 3]> = tiles.flat_map(|number| tile(&p, number, inputs.items)).collect();
        for batch in 0..p.batches {
            let queries = p.queries_of(batch, inputs.items).0;
            let queries = p.first_query.min(queries)..(p.first_query + p.queries).min(queries);
            for (head, query) in (0..p.heads).flat_map(|head| queries.clone().map(move |query| (head, query)))
            {
                let at = [batch, head, query];
                let summand = match of_values {
                    true => &inputs.upstream[p.output_place(at, inputs.items)..][..columns],
                    false => &inputs.q[p.q_place(at, inputs.items)..][..columns],
                };
                for (key, weight) in inputs.pairs(at, of_values) {
                    let to = sums[place([batch, head / p.heads_per_key, key])..].iter_mut();
                    to.zip(summand).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
        for first in mine.into_iter().map(place) {
            let to = gradient[first..][..columns].iter_mut();
            to.zip(&sums[first..]).for_each(|(to, sum)| *to += sum);
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let (blocks, of_values) = (u64::from(variant.u32("COLUMN_BLOCKS")), variant.flag("OF_VALUES"));
        let products = if of_values { 2 } else { 3 };
        let [queries, keys] = [p.queries.min(p.query_length), p.key_length].map(u64::from);
        let part =
            |amount: u64| (u128::from(amount) * u128::from(p.tiles) / u128::from(tiles(&p).max(1))) as u64;
        let dims = u64::from(p.head_dim.max(p.value_dim));
        let pairs = u64::from(p.batches) * u64::from(p.heads) * queries * keys;
        let squares = u64::from(p.heads_per_key) * queries.div_ceil(TILING.rows.into());
        let each = flash_gradient::square_iterations(&p, of_values) + blocks * (4 + 32 + 1) + 1;
        Cost {
            flops: part(2 * pairs * dims * products),
            bytes: part(4 * u64::from(p.batches) * u64::from(p.heads) * (2 * queries + 3 * keys) * dims),
            iterations: squares * each + blocks * 21,
        }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let (of_values, largest) = (variant.flag("OF_VALUES"), 32 * variant.u32("COLUMN_BLOCKS"));
        let (gives, dims) = match of_values {
            true => (Gives::Values, [LARGEST_DIM, largest]),
            false => (Gives::Keys, [largest, LARGEST_DIM]),
        };
        flash_gradient::cases(gives, Form::from_variant(variant), dims, depth)
    }
}
