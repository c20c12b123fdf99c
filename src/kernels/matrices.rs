//! What kernels of cooperative matrices have in common: which matrices, and how f16 is staged for them.

use crate::device::Cooperative;
use crate::kernel::Variant;

/// Which matrices a variant is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Rows and columns of a matrix: 8 or 16.
    pub side: u32,
    /// Invocations of a subgroup.
    pub subgroup_size: u32,
    /// Whether panels are words of four elements. Metal's matrices come from single ones.
    pub blocks: bool,
}

impl Geometry {
    /// Lavapipe's as Metal's are staged, so that this way is run somewhere.
    pub const ELEMENTS: Self = Self { side: 8, subgroup_size: 8, blocks: false };

    /// Lavapipe's, Apple's, NVIDIA's, and those of AMD's cards with subgroups of 64.
    pub const ALL: [Self; 4] = [
        Self { side: 8, subgroup_size: 8, blocks: true },
        Self { side: 8, subgroup_size: 32, blocks: false },
        Self { side: 16, subgroup_size: 32, blocks: true },
        Self { side: 16, subgroup_size: 64, blocks: true },
    ];

    /// The one for a device's matrices.
    pub fn of(has: Cooperative) -> Option<Self> {
        let fits =
            |geometry: &&Self| (geometry.side, geometry.subgroup_size) == (has.side, has.subgroup_size);
        Self::ALL.iter().find(fits).copied()
    }

    /// The variant with them.
    pub fn add_to(self, variant: Variant) -> Variant {
        let variant = variant.enable("f16").enable("subgroups").enable("wgpu_cooperative_matrix");
        variant.with("SIDE", self.side).with("PANEL_BLOCKS", self.blocks)
    }
}

/// The nearest f16, as f32.
pub(crate) fn rounded_to_f16(value: f32) -> f32 {
    half::f16::from_f32(value).to_f32()
}
