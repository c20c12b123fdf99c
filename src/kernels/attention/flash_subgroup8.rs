//! Fused attention for subgroups of exactly 8, a lane for 4 queries: lavapipe, the software adapter.
//!
//! output = softmax(scale · q·kᵀ + mask) · v, as the other fused kernels; q, k and v of up to 128 elements a row, f32 or
//! keys and values in f16.
//!
//! Ladder (lavapipe, Mesa 22.3.6, LLVM 15, 2 cores that other work shared; milliseconds of processor time, medians of 5 in
//! turns with what was there before: QKᵀ by one dispatch, softmax and values by another, tiles as those of
//! [`gemm_subgroup8`](crate::kernels::linear::gemm_subgroup8)):
//!
//! | | \[1,12,512,64\] | \[8,12,128,32\] | \[1,12,128,64\] | first call, s |
//! |---|---|---|---|---|
//! | two dispatches | 41 | 17 | 2.9 | 1.2 |
//! | 4 keys a trip (predicted 21: half of the loads, and no scores in memory) | 39 | 31 | 3.0 | 3.4 |
//! | 2 keys a trip | 43 | 11 | 2.9 | 1.1 |
//! | … and without a division for where a key's block lies, where there are none | 34 | 8.0 | 2.5 | 1.1 |
//! | 1 key a trip for more than 32 elements | 28 | 8.0 | 2.0 | 0.9 |
//!
//! The instructions of a trip over 4 keys of 64 elements take 66 KB, of 2 keys 37 KB, of 1 key some 25 KB, and a core's first
//! cache for them holds 32: this is what the prediction did not know. Branches on parameters cost what is in them, taken or
//! not, since lanes are only masked; so masks and blocks are variants. Rows of 128 elements are as fast as the two
//! dispatches were (13.5 for 14 at \[1,8,256,128\]).
//!
//! First calls of later steps, `[1,8,256,D]` with Mesa's cache off on a quieter machine, seconds for D = 32, 64, 128:
//!
//! | | 32 | 64 | 128 |
//! |---|---|---|---|
//! | as above | 0.62 | 0.68 | 1.42 |
//! | what an item has is read once, and the ends of the rows are a loop over them | 0.58 | 0.65 | 1.38 |
//! | q's registers and the sums go down a place in each step, where a chain of ifs chose one | 0.48 | 0.61 | 1.13 |
//!
//! The bound of that loop must not be a compile-time constant, or Mesa unrolls it and the first call takes 0.58, 1.0 and 2.5 s. The
//! loop costs 4 % at 128 elements, nothing at others. Dropped: selects for the ifs (no change); an array with an index (1.5 to 8 s). Without the three phases for
//! values that are not finite it would be 0.05, 0.07 and 0.15 s less. What is left is LLVM's time for 80 vector operations of each 4 elements.

use super::flash::{BINDINGS, Form, Tiling};
use super::parameters::{NONE, Parameters};
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};

/// The largest head_dim and value_dim.
pub const LARGEST_DIM: u32 = 128;

/// How the work is divided.
pub const TILING: Tiling = Tiling { rows: 32, keys: 16, grouped: false, rounded: false };

/// The kernel.
pub struct FlashSubgroup8;

/// Which terms stand between a score and its weight, and where keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// A scale and a band.
    None,
    /// More than these.
    Some,
    /// The same, and keys may lie in blocks.
    Paged,
}

impl Terms {
    const ALL: [Self; 3] = [Self::None, Self::Some, Self::Paged];

    /// The terms that these parameters ask for.
    fn of(p: &Parameters) -> Self {
        let absent = [p.slopes_at, p.relative_at].iter().all(|&at| at == NONE);
        let plain = absent && p.softcap == 0.0 && p.mask_kind == 0 && p.key_padding != 2;
        match (p.pages_at, plain) {
            (NONE, true) => Self::None,
            (NONE, false) => Self::Some,
            _ => Self::Paged,
        }
    }

    fn of_variant(variant: &Variant) -> Self {
        match (variant.flag("TERMS"), variant.flag("PAGED")) {
            (false, _) => Self::None,
            (true, false) => Self::Some,
            (true, true) => Self::Paged,
        }
    }

    /// Whether a variant for these can compute those parameters: what needs less, it can.
    fn take(self, p: &Parameters) -> bool {
        match self {
            Self::None => Self::of(p) == Self::None,
            Self::Some => Self::of(p) != Self::Paged,
            Self::Paged => true,
        }
    }
}

/// The variant for rows of up to `dim` elements.
pub fn subgroup8(form: Form, dim: u32, terms: Terms) -> Variant {
    let variant = Variant::new("subgroup8", 8)
        .enable("subgroups")
        .branching_by_subgroup()
        .with("SUBGROUP_SIZE", 8)
        .with("DIM_BLOCKS", dim.div_ceil(32).next_power_of_two())
        .with("TERMS", terms != Terms::None)
        .with("PAGED", terms == Terms::Paged);
    form.add_to(variant)
}

/// The variant for these parameters, of keys and values in f16 if `half`.
pub fn subgroup8_for(p: &Parameters, half: bool) -> Variant {
    subgroup8(Form::with_output(p, half), p.head_dim.max(p.value_dim), Terms::of(p))
}

impl Kernel for FlashSubgroup8 {
    fn about(&self) -> About {
        const { About::ours("attention/flash_subgroup8", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let forms = Form::all().flat_map(|form| [32, 64, LARGEST_DIM].map(|dim| (form, dim)));
        forms.flat_map(|(form, dim)| Terms::ALL.map(|terms| subgroup8(form, dim, terms))).collect()
    }

    fn quick(&self, variant: &Variant) -> bool {
        // Each form, each size and each kind of terms with each other two.
        let terms = u32::from(variant.flag("TERMS")) + u32::from(variant.flag("PAGED"));
        // Of 1, 2 and 8 blocks the logarithms would be 0, 1 and 3.
        let size = variant.u32("DIM_BLOCKS").min(4);
        Form::from_variant(variant).quick(size << terms, 3)
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        TILING.workgroups(parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        TILING.twin(Form::from_variant(variant).half, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        // Up to four turns over the keys, four at a time.
        TILING.cost(&Parameters::from_bytes(parameters), Form::from_variant(variant).half, [32, 20])
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let dim = 32 * variant.u32("DIM_BLOCKS");
        let cases = TILING.cases(Form::from_variant(variant), [dim; 2], true, depth);
        let takes = |case: &Case| Terms::of_variant(variant).take(&Parameters::from_bytes(&case.parameters));
        cases.into_iter().filter(takes).collect()
    }
}
