//! Fused attention for few queries over many keys, as in decoding with a cache (Dao et al. 2023, *Flash-Decoding*).
//!
//! The same as [`flash_tiled`](super::flash_tiled), but the rows of a workgroup are the queries of all the heads that
//! share a key-value head, so that grouped heads read each key once, and the keys are split among workgroups.
//!
//! Ladder: 8 rows × 64 keys for 64 invocations; a lane for each key in the products, then 4 columns of a share of the
//! keys for each lane; keys and values are read from memory once and kept nowhere. On lavapipe a tile takes as long as three
//! heads of `flash_subgroup` (`attentive bench attention`), so it is chosen there for groups that fill it.

use super::Parameters;
use super::flash::{BINDINGS, Form, LARGEST_DIM, Tiling};
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};

/// The kernel.
pub struct FlashDecode;

/// How it divides its work.
pub const TILING: Tiling = Tiling { rows: 8, keys: 64, grouped: true, rounded: false };

/// The variant for that form and values of that size.
pub fn decode(form: Form, value_dim: u32) -> Variant {
    let lanes = value_dim.div_ceil(4).next_power_of_two().max(16);
    form.add_to(Variant::new("decode", 64).with("VALUE_LANES", lanes))
}

impl Kernel for FlashDecode {
    fn about(&self) -> About {
        const { About::ours("attention/flash_decode", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        Form::all().flat_map(|form| [64, 128, LARGEST_DIM].map(|dim| decode(form, dim))).collect()
    }

    fn quick(&self, variant: &Variant) -> bool {
        Form::from_variant(variant).quick(variant.u32("VALUE_LANES"), 2)
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        TILING.workgroups(parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        TILING.twin(Form::from_variant(variant).half, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let depth4 = u64::from(p.head_dim.div_ceil(4));
        let each = depth4 + 8 + 8 + 8 + 8 + u64::from(variant.u32("VALUE_LANES")) + 1;
        TILING.cost(&p, Form::from_variant(variant).half, [each, depth4 + 200])
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let smallest = variant.u32("VALUE_LANES") == 16;
        TILING.cases(
            Form::from_variant(variant),
            [LARGEST_DIM, variant.u32("VALUE_LANES") * 4],
            smallest,
            depth,
        )
    }
}
