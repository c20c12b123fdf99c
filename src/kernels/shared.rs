//! What the variants, the twins and the costs of several kernels have in common.

use crate::kernel::Variant;
use crate::tensor::DType;

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

    /// The variant with weights read this way; `HALF_WEIGHTS` tells shader and twin.
    pub fn add_to(self, variant: Variant) -> Variant {
        let variant = variant.with("HALF_WEIGHTS", self != Self::F32);
        if self == Self::F16 { variant.enable("f16") } else { variant }
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
