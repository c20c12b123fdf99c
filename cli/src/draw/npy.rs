//! Weights as a NumPy array.

use std::io::Write;

use attentive::models::AttentionMaps;
use npyz::WriterBuilder;

/// `[layers, heads, queries, keys]`, f32, little-endian.
pub fn write(out: &mut dyn Write, maps: &AttentionMaps) -> std::io::Result<()> {
    let little = npyz::DType::new_scalar("<f4".parse().map_err(std::io::Error::other)?);
    let shape = maps.shape().map(|size| size as u64);
    let mut writer = npyz::WriteOptions::new().dtype(little).shape(&shape).writer(out).begin_nd()?;
    writer.extend(maps.weights().iter().copied())?;
    writer.finish()
}
