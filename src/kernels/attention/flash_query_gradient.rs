//! The gradient of fused attention's queries.
//!
//! gradient\[b, h, i, :\] += Σⱼ dS\[i, j\] · k\[b, h′, j, :\], with dS as in [`flash_gradient`] (Dao 2023,
//! algorithm 2). f32; the gradient lies as the queries do. With splits a dispatch takes those keys alone that its tiles' split has.
//!
//! Ladder: squares of 32 queries and 32 keys for 64 invocations, the products u·v and then q·k by panels of 32 elements, 4 × 4 for each
//! invocation; u·v waits in the panel of queries while two lanes make dS of a row, so that 12 KiB of workgroup memory are enough. The
//! sums leave products with 0 out one by one, since a key that is masked out may hold a NaN.

use super::Parameters;
use super::flash::{Form, LARGEST_DIM};
use super::flash_gradient::{self, Gives, TILING, TwinInputs};
use crate::kernel::{About, Arguments, Binding, Case, Cost, Depth, Kernel, Variant};

/// The kernel.
pub struct FlashQueryGradient;

/// The variant for queries of that many elements.
pub fn tiled(form: Form, head_dim: u32) -> Variant {
    flash_gradient::variant(form, head_dim, false)
}

pub(super) const BINDINGS: &[Binding] = &[
    Binding::read("q"),
    Binding::read("k"),
    Binding::read("v"),
    Binding::read("mask"),
    Binding::read("items"),
    Binding::read("head_terms"),
    Binding::read("upstream"),
    Binding::update("gradient"),
];

impl Kernel for FlashQueryGradient {
    fn about(&self) -> About {
        const { About::ours("attention/flash_query_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let forms = [true, false].map(|aligned| Form { half: false, aligned });
        forms.into_iter().flat_map(|form| [32, 64, 128, LARGEST_DIM].map(|dim| tiled(form, dim))).collect()
    }

    fn quick(&self, variant: &Variant) -> bool {
        Form::from_variant(variant).quick(variant.u32("COLUMN_BLOCKS"), 4)
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        TILING.workgroups(parameters, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let gradient = arguments.f32_mut(7);
        let inputs = TwinInputs::new(&p, &arguments);
        let columns = p.head_dim as usize;
        for tile in p.first_tile..p.first_tile + p.tiles {
            let tile = TILING.tile(&p, tile, inputs.items);
            let keys = match p.splits > 1 {
                true => tile.split * p.split_keys..(tile.split + 1) * p.split_keys,
                false => 0..u32::MAX,
            };
            for [head, query] in tile.rows {
                let at = [tile.batch, head, query];
                let mut sums = vec![0.0; columns];
                let pairs = inputs.pairs(at, false).into_iter();
                for (key, weight) in pairs.filter(|(key, _)| keys.contains(key)) {
                    let k = &inputs.k[p.k_place([tile.batch, tile.key_head, key], inputs.items)..][..columns];
                    sums.iter_mut().zip(k).for_each(|(sum, k)| *sum += weight * k);
                }
                let to = gradient[p.q_place(at, inputs.items)..].iter_mut();
                to.zip(sums).for_each(|(to, sum)| *to += sum);
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let blocks = u64::from(variant.u32("COLUMN_BLOCKS"));
        let each = flash_gradient::square_iterations(&p, false) + blocks * (4 + 4 * 9) + 1;
        let cost = TILING.cost(&p, false, [each, blocks * 21]);
        // Three products in place of two, or four where values are as wide as queries.
        Cost { flops: cost.flops + cost.flops / 2, bytes: 2 * cost.bytes, ..cost }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let dims = [32 * variant.u32("COLUMN_BLOCKS"), LARGEST_DIM];
        flash_gradient::cases(Gives::Queries, Form::from_variant(variant), dims, depth)
    }
}
