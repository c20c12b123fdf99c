//! Where a captioner looked for each word: the picture once for each, faded where it did not look.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Drawing;
use super::label::{escaped, plain};
use super::svg::{Anchor, MARGIN, Style, Svg, number};
use crate::output;

/// A picture whose places a drawing's columns are, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Photo<'a> {
    /// Pixels on a side.
    pub side: usize,
    /// RGB, `[side, side, 3]`.
    pub rgb: &'a [u8],
}

/// A square of pixels at a place of a drawing.
pub struct Tile {
    /// Its left and upper end, and its side.
    pub at: [f64; 2],
    pub size: f64,
    /// Pixels on a side, and RGB of them.
    pub side: usize,
    pub rgb: Vec<u8>,
}

/// Points on a side of a tile, from one to the next, and how many stand side by side.
const TILE: f64 = 128.0;
const APART: f64 = 14.0;
const ACROSS: usize = 5;
/// For the word over a tile, and for the number under it.
const OVER: f64 = 20.0;
const UNDER: f64 = 18.0;
/// What is still seen of what was not looked at.
const FAINTEST: f32 = 0.12;

/// The picture as SVG, with the tiles in it.
pub fn svg(drawing: &Drawing<'_>, photo: Photo<'_>) -> Result<String, String> {
    let (mut svg, tiles) = drawn(drawing, photo);
    for tile in &tiles {
        let file = output::png(tile.side, tile.side, &tile.rgb)?;
        svg.image(tile.at, tile.size, &STANDARD.encode(file));
    }
    Ok(svg.finish(drawing))
}

/// The same without the tiles, and these: for who draws them by itself.
#[cfg(feature = "pictures")]
pub fn parts(drawing: &Drawing<'_>, photo: Photo<'_>) -> (String, Vec<Tile>) {
    let (svg, tiles) = drawn(drawing, photo);
    (svg.finish(drawing), tiles)
}

/// A page that holds the drawing, and needs nothing else.
pub fn page(drawing: &Drawing<'_>, photo: Photo<'_>) -> Result<String, String> {
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{}</title>\n<style>body {{ margin: 0; background: {} }} svg {{ display: block; margin: auto; max-width: 100%; \
         height: auto }}</style>\n{}</html>\n",
        escaped(&drawing.title()),
        drawing.theme.palette().background,
        svg(drawing, photo)?,
    ))
}

/// The words that are drawn: those that are no end.
fn words(drawing: &Drawing<'_>) -> Vec<usize> {
    let tokens = drawing.maps.rows().iter().enumerate();
    tokens.filter(|(_, token)| !token.is_special()).map(|(row, _)| row).collect()
}

/// Where the tile of that number lies below the heading: the first is the picture as it is.
fn place(tile: usize, top: f64) -> [f64; 2] {
    let (column, row) = (tile % ACROSS, tile / ACROSS);
    [MARGIN + column as f64 * (TILE + APART), top + OVER + row as f64 * (OVER + TILE + UNDER + 6.0)]
}

fn drawn(drawing: &Drawing<'_>, photo: Photo<'_>) -> (Svg, Vec<Tile>) {
    let words = words(drawing);
    let across = (words.len() + 1).min(ACROSS) as f64;
    let mut svg = Svg::new(drawing.theme.palette(), across * (TILE + APART) - APART);
    svg.heading(drawing, "Where the model looked for each word");
    let (text, faint) = (svg.palette.text, svg.palette.faint);
    let [background, accent] = [svg.palette.background, svg.palette.accent].map(rgb);
    let top = svg.y;
    let mut tiles = vec![tile(place(0, top), photo, photo.rgb.to_vec())];
    let middle = |[x, y]: [f64; 2], down: f64| (x + TILE / 2.0, y + down);
    svg.text(middle(tiles[0].at, -6.0), Style::new(12.5, faint).at(Anchor::Middle), "the picture");
    for (number_of_tile, &row) in (1..).zip(&words) {
        let at = place(number_of_tile, top);
        let weights = drawing.maps.row(0, 0, row);
        let most = drawing.most(weights);
        let word = plain(&drawing.maps.rows()[row], 18);
        svg.text(middle(at, -6.0), Style::new(13.5, text).at(Anchor::Middle).bold(), &word);
        let largest = weights.iter().copied().fold(0.0, f32::max);
        let told = format!("at most {}", number(largest.into()));
        svg.text(middle(at, TILE + 13.0), Style::new(11.0, faint).at(Anchor::Middle), &told);
        let mut pixels = faded(photo, weights, most, background);
        frame(&mut pixels, photo.side, weights, accent);
        tiles.push(tile(at, photo, pixels));
    }
    svg.y = place(words.len(), top)[1] + TILE + UNDER + 12.0;
    let side = drawing.maps.columns().len().isqrt();
    let about = format!(
        "The picture is {side} by {side} places. It is as clear as the weight of each place is large, wholly at the word's largest, \
         which is framed. The weights of a word sum to 1."
    );
    svg.paragraph(Style::new(11.5, faint), &about);
    (svg, tiles)
}

fn tile(at: [f64; 2], photo: Photo<'_>, rgb: Vec<u8>) -> Tile {
    Tile { at, size: TILE, side: photo.side, rgb }
}

/// Frames the place of the largest weight.
fn frame(pixels: &mut [u8], side: usize, weights: &[f32], colour: [f32; 3]) {
    let places = weights.len().isqrt();
    let largest = weights.iter().copied().fold(0.0, f32::max);
    let Some(place) = weights.iter().position(|&weight| weight == largest && weight > 0.0) else { return };
    let ends = |place: usize| (place * side / places, ((place + 1) * side / places).max(1) - 1);
    let ((left, right), (top, bottom)) = (ends(place % places), ends(place / places));
    for row in top..=bottom {
        for column in left..=right {
            if row == top || row == bottom || column == left || column == right {
                pixels[(row * side + column) * 3..][..3].copy_from_slice(&colour.map(|value| value as u8));
            }
        }
    }
}

/// The red, green and blue of `#rrggbb`.
fn rgb(colour: &str) -> [f32; 3] {
    let value = u32::from_str_radix(colour.trim_start_matches('#'), 16).unwrap_or_default();
    [16, 8, 0].map(|shift| f32::from((value >> shift) as u8))
}

/// The picture, fading into the background where the weights, bilinear between the middles of the places, are small.
fn faded(photo: Photo<'_>, weights: &[f32], most: f32, background: [f32; 3]) -> Vec<u8> {
    let places = weights.len().isqrt();
    if places == 0 || places * places != weights.len() {
        return photo.rgb.to_vec();
    }
    // The places before and after a pixel's middle, and how near it is to the latter.
    let between = |pixel: usize| {
        let at = (pixel as f32 + 0.5) / photo.side as f32 * places as f32 - 0.5;
        let first = at.floor().clamp(0.0, places as f32 - 1.0);
        (first as usize, (first as usize + 1).min(places - 1), (at - first).clamp(0.0, 1.0))
    };
    let mut faded = Vec::with_capacity(photo.rgb.len());
    for (row, pixels) in photo.rgb.chunks_exact(photo.side * 3).enumerate() {
        let (above, below, down) = between(row);
        for (column, pixel) in pixels.chunks_exact(3).enumerate() {
            let (left, right, along) = between(column);
            let line = |row: usize| {
                let (a, b) = (weights[row * places + left], weights[row * places + right]);
                a + along * (b - a)
            };
            let weight = line(above) + down * (line(below) - line(above));
            let share = (weight / most).clamp(0.0, 1.0);
            let share = if share.is_nan() { 0.0 } else { share };
            let clear = FAINTEST + (1.0 - FAINTEST) * share;
            faded.extend(pixel.iter().zip(background).map(|(&value, background)| {
                (background + clear * (f32::from(value) - background)).round() as u8
            }));
        }
    }
    faded
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: [f32; 3] = [255.0; 3];

    #[test]
    fn a_picture_is_as_clear_as_its_weights() {
        let rgb = vec![55; 4 * 4 * 3];
        let photo = Photo { side: 4, rgb: &rgb };
        assert_eq!(faded(photo, &[0.25; 4], 0.25, WHITE), rgb);
        // What nobody looked at is a shade of the background, and what is no number too.
        for nothing in [0.0, f32::NAN] {
            assert_eq!(faded(photo, &[nothing; 4], 1.0, WHITE), vec![231; 48]);
        }
        // Between the middles of two places it changes evenly, and before and behind them not at all.
        let line: Vec<u8> = faded(photo, &[1.0, 0.0, 1.0, 0.0], 1.0, WHITE)[..12].to_vec();
        assert_eq!(line, [55, 55, 55, 99, 99, 99, 187, 187, 187, 231, 231, 231]);
        // A larger picture than there are places for is left alone.
        assert_eq!(faded(photo, &[], 1.0, WHITE), rgb);
    }

    #[test]
    fn the_place_that_was_looked_at_most_is_framed() {
        let mut pixels = vec![0; 6 * 6 * 3];
        frame(&mut pixels, 6, &[0.1, 0.2, 0.6, 0.1], [1.0, 2.0, 3.0]);
        let rows: Vec<String> = pixels
            .chunks(18)
            .map(|row| row.chunks(3).map(|pixel| if pixel == [1, 2, 3] { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(rows, ["......", "......", "......", "###...", "#.#...", "###..."]);
        let mut pixels = vec![0; 12];
        frame(&mut pixels, 2, &[f32::NAN; 4], [1.0; 3]);
        assert_eq!(pixels, vec![0; 12]);
        assert_eq!(rgb("#0102ff"), [1.0, 2.0, 255.0]);
    }
}
