//! SVG to PNG, with the system's fonts and one of the program's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use super::gaze::Tile;
use crate::output::count;

/// Pixels of a picture drawn at twice its size, and of any picture.
const FINE: f32 = 24e6;
const MOST: f32 = 64e6;
/// Characters named in a notice.
const NAMED: usize = 12;

/// The picture with tiles over it, and which characters no font here has.
pub fn png(svg: &str, tiles: &[Tile]) -> Result<(Vec<u8>, Option<String>), String> {
    let mut options = usvg::Options { font_family: "DejaVu Sans".to_owned(), ..usvg::Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_system_fonts();
    // Latin, Greek, Cyrillic, Hebrew, Arabic, signs: enough where a machine has no fonts at all.
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| format!("the picture: {error}"))?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let area = width * height;
    let scale = if 4.0 * area <= FINE { 2.0 } else { (MOST / area).sqrt().min(1.0) };
    let side = |side: f32| ((side * scale).ceil() as u32).max(1);
    let mut pixels = tiny_skia::Pixmap::new(side(width), side(height))
        .ok_or_else(|| format!("a picture of {width} by {height} points is too large"))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    tiles.iter().for_each(|tile| lay(&mut pixels, tile, f64::from(scale)));
    let bytes = pixels.encode_png().map_err(|error| error.to_string())?;
    let mut missing = BTreeSet::new();
    missing_in(tree.root(), &mut missing);
    Ok((bytes, notice(&missing)))
}

/// Draws a tile's pixels as squares.
fn lay(pixels: &mut tiny_skia::Pixmap, tile: &Tile, scale: f64) {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let [left, top] = tile.at.map(|place| (place * scale).round() as usize);
    let size = (tile.size * scale).round() as usize;
    let to = pixels.pixels_mut();
    for row in 0..size.min(height.saturating_sub(top)) {
        for column in 0..size.min(width.saturating_sub(left)) {
            let from = (row * tile.side / size * tile.side + column * tile.side / size) * 3;
            let [red, green, blue] = [0, 1, 2].map(|channel| tile.rgb[from + channel]);
            let opaque = tiny_skia::ColorU8::from_rgba(red, green, blue, u8::MAX).premultiply();
            to[(top + row) * width + left + column] = opaque;
        }
    }
}

/// The characters of texts that were laid out without a glyph.
fn missing_in(group: &usvg::Group, missing: &mut BTreeSet<char>) {
    for node in group.children() {
        match node {
            usvg::Node::Group(group) => missing_in(group, missing),
            usvg::Node::Text(text) => {
                let glyphs = text.layouted().iter().flat_map(|span| &span.positioned_glyphs);
                let without = glyphs.filter(|glyph| glyph.id.0 == 0);
                missing.extend(without.flat_map(|glyph| glyph.text.chars()));
            }
            _ => {}
        }
    }
}

fn notice(missing: &BTreeSet<char>) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let named = missing.iter().take(NAMED);
    let mut list: Vec<String> = named.map(|&c| format!("{c} (U+{:04X})", u32::from(c))).collect();
    if missing.len() > NAMED {
        list.push(format!("{} more", missing.len() - NAMED));
    }
    Some(format!(
        "no font on this machine has {}, drawn as boxes in the PNG: {}. A font such as Noto would have them; in .html and \
         .svg the reader's fonts are used",
        count(missing.len(), "character"),
        list.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(text: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"60\" height=\"30\" font-family=\"{}\">\
             <text x=\"5\" y=\"20\" font-size=\"16\">{text}</text></svg>",
            super::super::svg::FONTS
        )
    }

    #[test]
    fn text_is_drawn_with_the_fonts_there_are() {
        let (bytes, missing) = png(&picture("Aβж שלום"), &[]).unwrap();
        assert_eq!(missing, None);
        let pixels = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (120, 60));
        let inked = pixels.pixels().iter().filter(|pixel| pixel.alpha() > 128).count();
        assert!(inked > 300, "{inked}");
    }

    #[test]
    fn characters_without_a_glyph_are_named() {
        // A noncharacter, which no font has.
        let (_, missing) = png(&picture("a\u{fdd0}"), &[]).unwrap();
        assert!(missing.unwrap().contains("U+FDD0"));
    }

    #[test]
    fn large_pictures_are_made_smaller() {
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40000\" height=\"20000\"></svg>";
        let (bytes, _) = png(svg, &[]).unwrap();
        let pixels = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
        assert!(u64::from(pixels.width()) * u64::from(pixels.height()) < 65_000_000);
        assert!(png("<svg", &[]).is_err());
    }
}
