//! The files of `shaders/shared/`, and the variants that several kernels have in common.

pub(crate) use crate::kernel::geometry::INDEXING;
use crate::kernel::{Shared, Variant};
use crate::tensor::DType;

macro_rules! shared_files {
    ($($name:ident = $stem:literal;)*) => {
        $(pub(crate) const $name: Shared =
            Shared { name: $stem, source: include_str!(concat!("../../shaders/shared/", $stem, ".wgsl")) };)*

        /// All texts.
        pub(crate) const TEXTS: &[&str] = &[INDEXING.source, $($name.source),*];
    };
}

shared_files! {
    ACTIVATION = "activation";
    ATTENTION = "attention";
    ATTENTION_MASKING = "attention_masking";
    COMPONENT = "component";
    EIGHT = "eight";
    FLASH = "flash";
    FLASH_TILE = "flash_tile";
    HALF = "half";
    IS_NAN = "is_nan";
    KINDS = "kinds";
    KEYS_F16 = "keys_f16";
    KEYS_F16_UNALIGNED = "keys_f16_unaligned";
    KEYS_F32 = "keys_f32";
    KEYS_F32_UNALIGNED = "keys_f32_unaligned";
    LANE_SUMS_SUBGROUP = "lane_sums_subgroup";
    LANE_SUMS_WORKGROUP = "lane_sums_workgroup";
    LINEAR = "linear";
    MATRICES_16 = "matrices_16";
    MATRICES_8 = "matrices_8";
    MULTIPLY_TILE = "multiply_tile";
    OUTPUT_BLOCKS = "output_blocks";
    OUTPUT_ELEMENTS = "output_elements";
    PANEL = "panel";
    PANEL_BLOCKS = "panel_blocks";
    PANEL_ELEMENTS = "panel_elements";
    PRODUCT = "product";
    QUERIES = "queries";
    QUERIES_UNALIGNED = "queries_unaligned";
    QUERY_ROWS_1 = "query_rows_1";
    QUERY_ROWS_4 = "query_rows_4";
    ROWS_INVOCATION = "rows_invocation";
    ROWS_SUBGROUP = "rows_subgroup";
    ROWS_WORKGROUP = "rows_workgroup";
    TANH = "tanh";
    TEXEL = "texel";
    VALUES_F16 = "values_f16";
    VALUES_F16_UNALIGNED = "values_f16_unaligned";
    VALUES_F32 = "values_f32";
    VALUES_F32_UNALIGNED = "values_f32_unaligned";
    WEIGHT4_BUFFER = "weight4_buffer";
    WEIGHT4_F16_IMAGE = "weight4_f16_image";
    WEIGHT4_F16_PACKED = "weight4_f16_packed";
    WEIGHT4_F32 = "weight4_f32";
    WEIGHT4_F32_IMAGE = "weight4_f32_image";
    WEIGHT_F16 = "weight_f16";
    WEIGHT_F16_PACKED = "weight_f16_packed";
    WEIGHT_F32 = "weight_f32";
    X4_BUFFER = "x4_buffer";
    X4_IMAGE = "x4_image";
}

/// How a kernel reads its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightStorage {
    F32,
    /// f16, read as such.
    F16,
    /// f16, read as words: on any adapter.
    F16Packed,
}

impl WeightStorage {
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::F16Packed];

    /// How weights of that dtype are read best.
    pub fn of(dtype: DType, shader_f16: bool) -> Self {
        match dtype {
            DType::F16 if shader_f16 => Self::F16,
            DType::F16 => Self::F16Packed,
            DType::F32 | DType::U32 => Self::F32,
        }
    }

    /// The variant with weights read this way; `HALF_WEIGHTS` tells the twin.
    pub fn share(self, variant: Variant) -> Variant {
        match self {
            Self::F32 => variant.sharing(WEIGHT_F32),
            Self::F16 => variant.enable("f16").with("HALF_WEIGHTS", true).sharing(WEIGHT_F16),
            Self::F16Packed => variant.with("HALF_WEIGHTS", true).sharing(WEIGHT_F16_PACKED),
        }
    }
}

/// The weights of a twin as f32, whatever they are stored as.
pub(crate) fn weights_f32<'a>(variant: &Variant, words: &'a [u32]) -> std::borrow::Cow<'a, [f32]> {
    if variant.flag("HALF_WEIGHTS") {
        crate::tensor::unpack_f16(words, words.len() * 2).into()
    } else {
        bytemuck::cast_slice::<u32, f32>(words).into()
    }
}

/// A row of a twin's table of so many columns as f32, whatever it is stored as.
pub(crate) fn row_f32<'a>(
    variant: &Variant,
    words: &'a [u32],
    row: usize,
    columns: usize,
) -> std::borrow::Cow<'a, [f32]> {
    let elements = row * columns..(row + 1) * columns;
    if variant.flag("HALF_WEIGHTS") {
        // It may begin and end within a word.
        let words = &words[elements.start / 2..elements.end.div_ceil(2)];
        let first = elements.start % 2;
        crate::tensor::unpack_f16(words, words.len() * 2)[first..][..columns].to_vec().into()
    } else {
        bytemuck::cast_slice::<u32, f32>(&words[elements]).into()
    }
}

/// Loop iterations of an invocation of `multiply_tile` over that depth, its stores included.
pub(crate) fn tile_iterations(variant: &Variant, depth: u64) -> u64 {
    const TILE_DEPTH: u64 = 16;
    let [rows, columns] = ["TILE_ROWS", "TILE_COLUMNS"].map(|name| u64::from(variant.u32(name).max(1)));
    let lanes = (rows * columns / 16).max(1);
    let loads = (TILE_DEPTH * rows).div_ceil(lanes) + (TILE_DEPTH * columns).div_ceil(lanes);
    depth.div_ceil(TILE_DEPTH) * (1 + loads + TILE_DEPTH) + 16
}
