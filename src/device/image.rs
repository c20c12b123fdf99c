//! Images: a buffer's words in a texture, for kernels that read them as texels.
//!
//! llvmpipe loads a storage buffer in a loop over its 8 lanes, with a test for each component; a texel it loads for all
//! lanes side by side, in about a third of the instructions. So a variant may read one of its bindings as an image
//! ([`Variant::through_image`](crate::kernel::Variant::through_image)), and the executor copies the buffer into a texture
//! before the dispatch.

/// Texels in a row of an image: texel i of a buffer is in column i % 512 of row i / 512. With 16,384 rows, lavapipe's limit, that
/// is all that a binding there may hold.
pub const IMAGE_COLUMNS: u32 = 512;

/// A texture's rows are longer by a cache line, so that texels one below the other, at the same place in rows of a large
/// power of two, do not fall on each other in a cache.
const PADDING_BYTES: u32 = 64;

/// The content of an image's texel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texel {
    /// Four f32, `rgba32float`.
    F32x4,
    /// Two u32, `rg32uint`.
    U32x2,
}

impl Texel {
    /// Its bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::F32x4 => 16,
            Self::U32x2 => 8,
        }
    }

    pub(super) fn format(self) -> wgpu::TextureFormat {
        match self {
            Self::F32x4 => wgpu::TextureFormat::Rgba32Float,
            Self::U32x2 => wgpu::TextureFormat::Rg32Uint,
        }
    }

    /// Rows of an image of so many words. What fills no whole texel is left out: no kernel reads it.
    pub(crate) fn rows(self, words: u64) -> u64 {
        (words * 4 / u64::from(self.bytes())).div_ceil(IMAGE_COLUMNS.into())
    }

    /// Bytes of a texture of so many rows.
    pub(crate) fn texture_bytes(self, rows: u32) -> u64 {
        u64::from(IMAGE_COLUMNS * self.bytes() + PADDING_BYTES) * u64::from(rows)
    }
}

/// Rows that an image may have; 0 where a shader may read none, or none that is wide enough.
pub(super) fn most_rows(limits: &wgpu::Limits) -> u32 {
    let widest = IMAGE_COLUMNS + PADDING_BYTES / Texel::U32x2.bytes();
    let most = limits.max_texture_dimension_2d;
    // x and W.
    if limits.max_storage_textures_per_shader_stage < 2 || most < widest { 0 } else { most }
}

/// A texture of ours, with the number of its making.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    texture: wgpu::Texture,
    pub view: wgpu::TextureView,
    pub texel: Texel,
    pub number: u64,
}

impl Image {
    pub(super) fn new(device: &wgpu::Device, texel: Texel, rows: u32, number: u64) -> Self {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("attentive"),
            size: wgpu::Extent3d {
                width: IMAGE_COLUMNS + PADDING_BYTES / texel.bytes(),
                height: rows,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: texel.format(),
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&Default::default());
        Self { texture, view, texel, number }
    }

    pub fn rows(&self) -> u32 {
        self.texture.height()
    }

    pub fn bytes(&self) -> u64 {
        self.texel.texture_bytes(self.rows())
    }

    /// Copies the first `words` of a buffer into it.
    pub fn copy_from(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer, words: u64) {
        let texels = words * 4 / u64::from(self.texel.bytes());
        let row_bytes = IMAGE_COLUMNS * self.texel.bytes();
        let whole = (texels / u64::from(IMAGE_COLUMNS)) as u32;
        let rest = (texels % u64::from(IMAGE_COLUMNS)) as u32;
        // The whole rows, then what begins one more.
        for (first, width, height) in [(0, IMAGE_COLUMNS, whole), (whole, rest, 1)] {
            if width == 0 || height == 0 {
                continue;
            }
            let layout = wgpu::TexelCopyBufferLayout {
                offset: u64::from(first) * u64::from(row_bytes),
                bytes_per_row: Some(row_bytes),
                rows_per_image: None,
            };
            let target = wgpu::TexelCopyTextureInfo {
                texture: &self.texture,
                mip_level: 0,
                origin: wgpu::Origin3d { x: 0, y: first, z: 0 },
                aspect: wgpu::TextureAspect::All,
            };
            let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
            encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, target, size);
        }
    }
}
