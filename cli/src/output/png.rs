//! Pixels as PNG.

/// A PNG of RGB pixels, `[height, width, 3]`.
pub fn png(width: usize, height: usize, rgb: &[u8]) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let side = |length: usize| u32::try_from(length).map_err(|error| error.to_string());
    let mut encoder = png::Encoder::new(&mut file, side(width)?, side(height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(rgb).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(file)
}
