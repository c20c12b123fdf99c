//! Pictures from files: PNG and JPEG of any kind, as RGB. Nothing in them is trusted: a size is looked at before memory is taken.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::output::{bytes, thousands};

/// The most bytes of a file.
const MOST_BYTES: u64 = 256 << 20;
/// The most pixels of a picture, and those on a side.
const MOST_PIXELS: u64 = 64_000_000;
const MOST_SIDE: u32 = 32_768;

/// First bytes of files that are often taken for one of the two kinds, and what they are.
const OTHERS: [(&[u8], &str); 9] = [
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"<svg", "an SVG"),
    (b"<?xml", "XML, perhaps an SVG"),
    (b"%PDF-", "a PDF"),
    (b"\0\0\x01\0", "an icon"),
    (b"8BPS", "a Photoshop document"),
];

/// A picture: RGB, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    /// `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Image {
    /// Reads a file, by what is in it and not by its name. What is transparent lies on white.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut content = Vec::new();
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut content);
        read.map_err(|error| error.to_string())?;
        Self::decode(&content)
    }

    /// The picture that a file's content is.
    fn decode(content: &[u8]) -> Result<Self, String> {
        if content.len() as u64 > MOST_BYTES {
            return Err(format!(
                "it has more than {}, the most that is read of a picture",
                bytes(MOST_BYTES)
            ));
        }
        match content {
            [] => Err("it is empty, where a PNG or a JPEG is needed".to_owned()),
            [0x89, b'P', b'N', b'G', ..] => png(content).map_err(|problem| format!("a PNG, but {problem}")),
            [0xff, 0xd8, 0xff, ..] => jpeg(content).map_err(|problem| format!("a JPEG, but {problem}")),
            _ => Err(format!("it is {}, where a PNG or a JPEG is needed", kind(content))),
        }
    }

    /// The picture in a square of that side, its sides in the same proportion, in the middle of a square of its mean colour. Each pixel
    /// is the mean of what it covers.
    pub fn fitted(&self, side: usize) -> Vec<u8> {
        let longer = self.width.max(self.height) as f64;
        let scaled = |length: usize| ((length as f64 / longer * side as f64).round() as usize).clamp(1, side);
        let (wide, high) = (scaled(self.width), scaled(self.height));
        let (left, top) = ((side - wide) / 2, (side - high) / 2);
        let columns: Vec<Vec<(usize, f64)>> =
            (0..wide).map(|place| covered(place, wide, self.width)).collect();
        let mut fitted = vec![[0.0; 3]; wide * high];
        for (row, pixels) in fitted.chunks_mut(wide).enumerate() {
            for (from, down) in covered(row, high, self.height) {
                let line = &self.rgb[from * self.width * 3..][..self.width * 3];
                for (pixel, columns) in pixels.iter_mut().zip(&columns) {
                    for &(column, across) in columns {
                        for (value, &added) in pixel.iter_mut().zip(&line[column * 3..][..3]) {
                            *value += down * across * f64::from(added);
                        }
                    }
                }
            }
        }
        let mean: [f64; 3] = std::array::from_fn(|channel| {
            fitted.iter().map(|pixel: &[f64; 3]| pixel[channel]).sum::<f64>() / fitted.len() as f64
        });
        let mut square = vec![mean; side * side];
        for (row, pixels) in fitted.chunks(wide).enumerate() {
            square[(top + row) * side + left..][..wide].copy_from_slice(pixels);
        }
        square.into_iter().flatten().map(|value| value.round().clamp(0.0, 255.0) as u8).collect()
    }
}

/// The places that one of `count` equal parts covers of `length`, with the share that each has of it.
fn covered(part: usize, count: usize, length: usize) -> Vec<(usize, f64)> {
    let size = length as f64 / count as f64;
    let (from, to) = (part as f64 * size, (part + 1) as f64 * size);
    let places = from as usize..(to.ceil() as usize).min(length);
    let share = |place: usize| (to.min(place as f64 + 1.0) - from.max(place as f64)) / size;
    places.map(|place| (place, share(place))).filter(|&(_, share)| share > 0.0).collect()
}

/// What a file is that is neither.
fn kind(content: &[u8]) -> &'static str {
    let known = OTHERS.iter().find(|(magic, _)| content.starts_with(magic));
    match (known, content) {
        (Some((_, name)), _) => name,
        (None, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..]) => "a WebP",
        (None, [_, _, _, _, b'f', b't', b'y', b'p', ..]) => "a HEIF, an AVIF or a film",
        _ if content.iter().take(1024).all(|byte| !matches!(byte, 0..=8 | 14..=26)) => "text",
        _ => "no picture that is known here",
    }
}

fn check_size(width: u32, height: u32) -> Result<(), String> {
    let size = || format!("{} by {} pixels", thousands(width.into()), thousands(height.into()));
    if width == 0 || height == 0 {
        return Err(format!("it has {}, and needs one at least", size()));
    }
    if width.max(height) > MOST_SIDE || u64::from(width) * u64::from(height) > MOST_PIXELS {
        let (side, all) = (thousands(MOST_SIDE.into()), thousands(MOST_PIXELS));
        return Err(format!("it has {}; at most {side} on a side and {all} in all are read", size()));
    }
    Ok(())
}

fn png(content: &[u8]) -> Result<Image, String> {
    let mut decoder = png::Decoder::new(Cursor::new(content));
    // Palettes, greys of few bits and 16 bits become 8 bits a channel.
    decoder.set_transformations(Transformations::normalize_to_color8());
    let damaged = |error: png::DecodingError| format!("it cannot be read: {error}");
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width, header.height);
    check_size(width, height)?;
    // Of all that the decoder takes, beside the picture itself.
    decoder.set_limits(png::Limits { bytes: 8 * MOST_PIXELS as usize });
    let mut reader = decoder.read_info().map_err(damaged)?;
    let size = reader.output_buffer_size().ok_or("its size is too large for this machine")?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(damaged)?;
    pixels.truncate(info.buffer_size());
    let on_white = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let rgb = match info.color_type {
        ColorType::Rgb => pixels,
        ColorType::Rgba => {
            pixels.chunks_exact(4).flat_map(|p| [0, 1, 2].map(|channel| on_white(p[channel], p[3]))).collect()
        }
        ColorType::Grayscale => pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
        ColorType::GrayscaleAlpha => pixels.chunks_exact(2).flat_map(|p| [on_white(p[0], p[1]); 3]).collect(),
        ColorType::Indexed => return Err("its palette could not be applied".to_owned()),
    };
    whole(width as usize, height as usize, rgb)
}

fn jpeg(content: &[u8]) -> Result<Image, String> {
    // Of a picture that is cut short the rest would be grey without a word.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(content), options);
    let damaged = |error| format!("it cannot be read: {error}");
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or("it does not say its size")?;
    check_size(width as u32, height as u32)?;
    let pixels = decoder.decode().map_err(damaged)?;
    let rgb = match decoder.output_colorspace() {
        Some(ColorSpace::RGB) => pixels,
        Some(ColorSpace::Luma) => pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
        other => return Err(format!("its colours became {other:?}, not RGB")),
    };
    whole(width, height, rgb)
}

fn whole(width: usize, height: usize, rgb: Vec<u8>) -> Result<Image, String> {
    if rgb.len() != width * height * 3 {
        return Err(format!("{} of its {} bytes were read", rgb.len(), width * height * 3));
    }
    Ok(Image { width, height, rgb })
}

#[cfg(test)]
mod tests {
    use png::BitDepth;

    use super::*;

    /// A PNG of 2 by 1 pixels.
    fn encoded(color: ColorType, depth: BitDepth, palette: &[u8], data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if !palette.is_empty() {
            encoder.set_palette(palette.to_vec());
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file
    }

    #[test]
    fn every_kind_of_png_is_rgb() {
        use BitDepth::{Eight, One, Sixteen};
        let read = |file: &[u8]| Image::decode(file).unwrap().rgb;
        let of = |color, depth, data: &[u8]| read(&encoded(color, depth, &[], data));
        assert_eq!(of(ColorType::Rgb, Eight, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(of(ColorType::Grayscale, Eight, &[7, 9]), [7, 7, 7, 9, 9, 9]);
        assert_eq!(of(ColorType::Grayscale, One, &[0b0100_0000]), [0, 0, 0, 255, 255, 255]);
        assert_eq!(of(ColorType::Grayscale, Sixteen, &[7, 200, 9, 0]), [7, 7, 7, 9, 9, 9]);
        // Half of black over white, and nothing of red.
        assert_eq!(of(ColorType::GrayscaleAlpha, Eight, &[0, 128, 0, 255]), [127, 127, 127, 0, 0, 0]);
        assert_eq!(of(ColorType::Rgba, Eight, &[9, 8, 7, 255, 255, 0, 0, 0]), [9, 8, 7, 255, 255, 255]);
        let wide = [1, 0, 2, 0, 3, 0, 255, 255, 4, 0, 5, 0, 6, 0, 255, 255];
        assert_eq!(of(ColorType::Rgba, Sixteen, &wide), [1, 2, 3, 4, 5, 6]);
        let indexed = encoded(ColorType::Indexed, One, &[10, 20, 30, 40, 50, 60], &[0b0100_0000]);
        assert_eq!(read(&indexed), [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn a_png_that_is_damaged_or_huge_is_refused() {
        let file = encoded(ColorType::Rgb, BitDepth::Eight, &[], &[1, 2, 3, 4, 5, 6]);
        for length in 1..file.len() {
            // The last chunk says only that nothing follows.
            if length < file.len() - 12 {
                assert!(Image::decode(&file[..length]).is_err(), "{length}");
            }
        }
        for place in 8..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 0x10;
            // It may be another picture, and is never a panic.
            let _ = Image::decode(&damaged);
        }
        // The size of a picture of 60 GB, with its checksum.
        let mut huge = file[..33].to_vec();
        huge[16..24].copy_from_slice(&[0, 2, 0, 0, 0, 2, 0, 0]);
        let sum = crc32fast::hash(&huge[12..29]);
        huge[29..33].copy_from_slice(&sum.to_be_bytes());
        let problem = Image::decode(&huge).unwrap_err();
        assert!(problem.contains("131,072 by 131,072 pixels; at most 32,768 on a side"), "{problem}");
    }

    #[test]
    fn a_jpeg_that_says_it_is_huge_is_refused_before_it_is_read() {
        // A frame of 65,535 by 65,535 and nothing else.
        let frame = [0xff, 0xc0, 0, 11, 8, 255, 255, 255, 255, 1, 1, 0x11, 0];
        let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
        let file = [&[0xff, 0xd8][..], &frame, &scan].concat();
        let problem = Image::decode(&file).unwrap_err();
        assert!(problem.contains("65,535 by 65,535 pixels"), "{problem}");
        assert!(Image::decode(&file[..9]).is_err());
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let of = |content: &[u8]| Image::decode(content).unwrap_err();
        assert_eq!(of(b""), "it is empty, where a PNG or a JPEG is needed");
        assert_eq!(of(b"a duck"), "it is text, where a PNG or a JPEG is needed");
        assert_eq!(of(b"GIF89a\0\0"), "it is a GIF, where a PNG or a JPEG is needed");
        assert_eq!(of(b"RIFF\0\0\0\0WEBPVP8 "), "it is a WebP, where a PNG or a JPEG is needed");
        assert_eq!(of(&[0, 1, 2, 3]), "it is no picture that is known here, where a PNG or a JPEG is needed");
        assert!(of(b"\x89PNG\r\n\x1a\n").starts_with("a PNG, but it cannot be read"));
        assert!(of(&[0xff, 0xd8, 0xff]).starts_with("a JPEG, but it cannot be read"));
    }

    #[test]
    fn pictures_are_fitted_into_a_square() {
        let picture = |width: usize, height: usize, rgb: Vec<u8>| Image { width, height, rgb };
        let own: Vec<u8> = (0..27).collect();
        assert_eq!(picture(3, 3, own.clone()).fitted(3), own);
        // Halved: means of four.
        let grey = |values: &[u8]| values.iter().flat_map(|&value| [value; 3]).collect::<Vec<u8>>();
        assert_eq!(picture(2, 2, grey(&[0, 10, 20, 30])).fitted(1), grey(&[15]));
        // Larger: each pixel four times.
        let large = picture(2, 2, grey(&[1, 2, 3, 4])).fitted(4);
        assert_eq!(large, grey(&[1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]));
        // A wide one has bars of its mean colour over and under it.
        assert_eq!(picture(4, 1, grey(&[0, 10, 20, 30])).fitted(2)[..6], grey(&[5, 25]));
        let barred = picture(4, 2, grey(&[0, 10, 20, 30, 0, 10, 20, 30])).fitted(4);
        assert_eq!(barred, grey(&[15, 15, 15, 15, 0, 10, 20, 30, 0, 10, 20, 30, 15, 15, 15, 15]));
        assert_eq!(picture(1, 10_000, vec![7; 30_000]).fitted(64).len(), 64 * 64 * 3);
    }
}
