//! The features and limits that kernels may use on a device, and those to ask an adapter for.

/// The features and limits that kernels may use on a device; an implementation states its needs against them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `f16` in shaders (`SHADER_F16`). Without it f16 storage is read through `unpack2x16float`.
    pub shader_f16: bool,
    /// Smallest and largest subgroup, where subgroup operations are there.
    pub subgroups: Option<(u32, u32)>,
    /// GPU timestamps at pass boundaries.
    pub timestamps: bool,
    /// Bytes that one storage binding may hold.
    pub storage_binding_bytes: u64,
    /// Bytes that one buffer may hold.
    pub buffer_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// Workgroups in one dimension of a dispatch.
    pub workgroups_per_dimension: u32,
    /// Storage buffers that one kernel may bind.
    pub storage_buffers: u32,
    /// Rows that an image ([`Texel`](super::Texel)) may have, 0 where kernels have none.
    pub image_rows: u32,
    /// Alignment of a uniform binding's offset, in bytes.
    pub uniform_alignment: u32,
    /// Loop iterations that one invocation may take in all, where the driver stops there (see
    /// [`DEFECTS`](super::DEFECTS)).
    pub loop_iterations: Option<u64>,
    /// Cooperative matrices, of a device that was asked for them (see
    /// [`DeviceOptions::cooperative`](super::DeviceOptions::cooperative)); of an adapter, what it has.
    pub cooperative: Option<Cooperative>,
}

/// Matrices that a subgroup multiplies together, f16 in and f32 out (tensor cores), as far as kernels are written for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cooperative {
    /// Rows and columns of a matrix: 8 or 16.
    pub side: u32,
    /// Invocations in the subgroups that hold one.
    pub subgroup_size: u32,
}

impl Capabilities {
    /// The CPU device: no feature of a GPU, and memory as the only limit. Buffer sizes stay within what a GPU
    /// could address, so that a recording made here could run there.
    pub(super) fn cpu() -> Self {
        Self {
            shader_f16: false,
            subgroups: None,
            timestamps: false,
            storage_binding_bytes: (1 << 31) - 4,
            buffer_bytes: (1 << 31) - 4,
            workgroup_bytes: 16384,
            workgroup_invocations: 256,
            workgroups_per_dimension: 65535,
            storage_buffers: 8,
            image_rows: 0,
            uniform_alignment: 256,
            loop_iterations: None,
            cooperative: None,
        }
    }

    pub(super) fn of(device: &wgpu::Device, adapter: &wgpu::Adapter) -> Self {
        let features = device.features();
        let asked = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        let cooperative = if asked { cooperative(adapter) } else { None };
        Self { cooperative, ..Self::from_parts(features, &device.limits(), &adapter.get_info()) }
    }

    pub(super) fn from_parts(
        features: wgpu::Features,
        limits: &wgpu::Limits,
        info: &wgpu::AdapterInfo,
    ) -> Self {
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        Self {
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            storage_binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            image_rows: super::image::most_rows(limits),
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
            loop_iterations: super::drivers::loop_iterations(info),
            cooperative: None,
        }
    }

    /// Bytes that one tensor may hold: it must fit one buffer and one binding, and shaders count its bytes in 32 bits
    /// (Metal allows bindings beyond that).
    pub fn tensor_bytes(&self) -> u64 {
        const ADDRESSABLE: u64 = (1 << 32) - 4;
        self.storage_binding_bytes.min(self.buffer_bytes).min(ADDRESSABLE)
    }
}

/// The optional features that this crate uses, as far as the adapter has them: what a host should ask for before
/// [`Device::from_wgpu`](super::Device::from_wgpu). All may be absent.
pub fn required_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY;
    adapter.features() & wanted
}

/// The limits to ask for: WebGPU's defaults (or less, where the adapter has less), and with `baseline` false the
/// adapter's own for buffer sizes and compute.
pub fn required_limits(adapter: &wgpu::Adapter, baseline: bool) -> wgpu::Limits {
    let has = adapter.limits();
    let mut limits = wgpu::Limits::defaults().or_worse_values_from(&has);
    // Alignments are met, not lowered: an adapter's own value is the finest that it allows.
    limits.min_uniform_buffer_offset_alignment = has.min_uniform_buffer_offset_alignment.max(256);
    limits.min_storage_buffer_offset_alignment = has.min_storage_buffer_offset_alignment.max(256);
    if !baseline {
        limits.max_buffer_size = has.max_buffer_size;
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        limits.max_compute_workgroup_storage_size = has.max_compute_workgroup_storage_size;
        limits.max_compute_invocations_per_workgroup = has.max_compute_invocations_per_workgroup;
        limits.max_compute_workgroup_size_x = has.max_compute_workgroup_size_x;
        limits.max_texture_dimension_2d = has.max_texture_dimension_2d;
    }
    limits
}

/// The cooperative matrices of an adapter that kernels are written for, the larger side first.
pub(super) fn cooperative(adapter: &wgpu::Adapter) -> Option<Cooperative> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP;
    if !adapter.features().contains(needed) {
        return None;
    }
    let info = adapter.get_info();
    let subgroup_size = match info.backend {
        // wgpu tells a range there, and the adapters that have such matrices (Apple's) have subgroups of 32.
        wgpu::Backend::Metal => 32,
        _ if info.subgroup_min_size == info.subgroup_max_size => info.subgroup_min_size,
        _ => return None,
    };
    let shapes = adapter.cooperative_matrix_properties();
    let side = [16, 8].into_iter().find(|&side| {
        shapes.iter().any(|shape| {
            [shape.m_size, shape.n_size, shape.k_size] == [side; 3]
                && (shape.ab_type, shape.cr_type) == (F16, F32)
        })
    })?;
    Some(Cooperative { side, subgroup_size })
}
