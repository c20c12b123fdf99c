//! The linear layer for subgroups of exactly 8: lavapipe, the software adapter.
//!
//! y = activation(x · W + bias) + residual, with the parameters, the bindings and the twin of
//! [`gemm`](super::gemm). W is `[columns, depth]` or `[depth, columns]`, f32 or f16; x and y are f32. Rows of x and of
//! W must be whole vec4s: depth and `x_row` divisible by 4, and for `[depth, columns]` columns too. Rows and columns
//! of y are free. NaN passes through.

use crate::kernel::{Arguments, Binding, Case, Cost, Depth, Field, Kernel, Variant};
use crate::kernels::linear::gemm::{self, Form, Gemm, Parameters};
use crate::kernels::shared::{ACTIVATION, INDEXING, WEIGHT4_F16_PACKED, WEIGHT4_F32, WeightStorage};

/// Rows of x and of W are read this many elements at a time.
const DEPTH_MULTIPLE: u32 = 4;

/// The kernel.
pub struct GemmLanes;

/// Tiles of `rows` (8, 16 or 32) × 32.
pub(crate) fn lanes(rows: u32, form: Form) -> Variant {
    let variant = Variant::new("lanes")
        .enable("subgroups")
        .with("SUBGROUP_SIZE", 8)
        .with("TILE_ROWS", rows)
        .with("TILE_COLUMNS", 32)
        .with("DEPTH_MULTIPLE", DEPTH_MULTIPLE)
        .with("RIGHT_TRANSPOSED", form.transposed)
        .with("ACTIVATION", form.activation.code())
        .sharing(INDEXING)
        .sharing(ACTIVATION);
    match form.storage {
        WeightStorage::F32 => variant.sharing(WEIGHT4_F32),
        // Words even where f16 could be read as such: two loads for four weights instead of four.
        WeightStorage::F16 | WeightStorage::F16Packed => {
            variant.with("HALF_WEIGHTS", true).sharing(WEIGHT4_F16_PACKED)
        }
    }
}

/// Rows of the tile to take for a product of that many rows.
pub(crate) fn tile_rows(rows: u32) -> u32 {
    match rows {
        0..=8 => 8,
        9..512 => 16,
        _ => 32,
    }
}

/// Why a product of these sizes cannot be computed here, if so.
pub(crate) fn misfit(parameters: &Parameters, transposed: bool) -> Option<String> {
    let whole = |size: u32| size > 0 && size.is_multiple_of(DEPTH_MULTIPLE);
    let &Parameters { depth, x_row, columns, .. } = parameters;
    if !whole(depth) || !whole(x_row) {
        return Some(format!("it needs rows of x divisible by {DEPTH_MULTIPLE}, they have {depth}"));
    }
    if !transposed && !whole(columns) {
        return Some(format!("it needs rows of W divisible by {DEPTH_MULTIPLE}, they have {columns}"));
    }
    None
}

impl Kernel for GemmLanes {
    fn name(&self) -> &'static str {
        "linear/gemm_lanes"
    }

    fn formula(&self) -> &'static str {
        "y = activation(x·W + bias) + residual"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/linear/gemm_lanes.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        Gemm.bindings()
    }

    fn parameters(&self) -> &'static [Field] {
        Parameters::FIELDS
    }

    fn variants(&self) -> Vec<Variant> {
        let forms = Form::all().filter(|form| form.storage != WeightStorage::F16);
        forms.flat_map(|form| [8, 16, 32].map(|rows| lanes(rows, form))).collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        Gemm.workgroups(variant, parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        gemm::twin(variant, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let trips = u64::from(Parameters::from_bytes(parameters).depth.div_ceil(DEPTH_MULTIPLE));
        Cost { iterations: trips + u64::from(variant.u32("TILE_ROWS")), ..gemm::cost(variant, parameters) }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes: Vec<[usize; 3]> = vec![[1, 1, 4], [3, 70, 16], [33, 31, 48], [70, 131, 100]];
        if depth == Depth::Full {
            for rows in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 257] {
                for columns in [1, 3, 4, 29, 32, 36, 63, 384] {
                    sizes.extend([4, 8, 20, 64, 384].map(|depth| [rows, columns, depth]));
                }
            }
        }
        if !variant.flag("RIGHT_TRANSPOSED") {
            sizes.iter_mut().for_each(|size| size[1] = size[1].next_multiple_of(DEPTH_MULTIPLE as usize));
        }
        gemm::cases(variant, &sizes)
    }
}
