//! How the attention of a pair's texts is split: to the first, to the second, to special tokens.

use attentive::models::{AttentionMaps, MapToken};

use super::Drawing;
use super::label::ems;
use super::svg::{Anchor, MARGIN, Style, Svg};

/// The parts of a pair.
pub const PARTS: [&str; 3] = ["A", "B", "special"];

/// The part that a token belongs to.
pub fn part(token: &MapToken) -> usize {
    if token.is_special() { 2 } else { token.text.min(1) }
}

/// Whether there are two texts.
pub fn is_pair(maps: &AttentionMaps) -> bool {
    maps.rows().iter().any(|token| token.text == 1) && maps.is_self_attention()
}

/// For the tokens of A, and for those of B: the weight that goes to each part, as the mean over them.
pub fn split(maps: &AttentionMaps, layer: usize, head: usize) -> [[f64; 3]; 2] {
    let mut shares = [[0.0; 3]; 2];
    let mut counts = [0.0; 2];
    for (row, token) in maps.rows().iter().enumerate() {
        let from = part(token);
        if from == 2 {
            continue;
        }
        counts[from] += 1.0;
        for (&weight, token) in maps.row(layer, head, row).iter().zip(maps.columns()) {
            shares[from][part(token)] += f64::from(weight);
        }
    }
    for (shares, count) in shares.iter_mut().zip(counts) {
        for share in shares {
            *share /= f64::max(count, 1.0);
        }
    }
    shares
}

pub fn svg(drawing: &Drawing<'_>) -> String {
    let maps = drawing.maps;
    let [layers, heads, ..] = maps.shape();
    let mut all = Vec::new();
    if layers * heads > 1 {
        all.push((format!("mean of these {}", layers * heads), split(&maps.mean(), 0, 0)));
    }
    for layer in 0..layers {
        for head in 0..heads {
            all.push((drawing.name(layer, head), split(maps, layer, head)));
        }
    }
    let (wide, gap, high) = (280.0, 24.0, 20.0);
    let left = all.iter().map(|(name, _)| ems(name) * 12.5).fold(60.0, f64::max) + 12.0;
    let mut svg = Svg::new(drawing.theme.palette(), left + 2.0 * wide + gap);
    svg.heading(drawing, "Of what the tokens of each text attend to, how much lies in each text");
    let (text, faint) = (svg.palette.text, svg.palette.faint);
    svg.y += 12.0;
    let y = svg.y;
    for (place, side) in ["from the tokens of A", "from the tokens of B"].into_iter().enumerate() {
        let x = MARGIN + left + place as f64 * (wide + gap);
        svg.text((x, y), Style::new(12.0, text).bold(), side);
    }
    svg.y += 8.0;
    for (place, (name, shares)) in all.iter().enumerate() {
        let y = svg.y;
        let style = Style::new(12.0, text);
        let style = if place == 0 && all.len() > 1 { style.bold() } else { style };
        svg.text((MARGIN, y + 14.0), style, name);
        for (side, shares) in shares.iter().enumerate() {
            let mut x = MARGIN + left + side as f64 * (wide + gap);
            if shares.iter().any(|share| !share.is_finite()) {
                let nan = svg.palette.nan;
                svg.rect([x, y, wide - 1.0, high - 2.0], nan);
                svg.text((x + wide / 2.0, y + 13.0), Style::new(10.5, "#000000").at(Anchor::Middle), "NaN");
                continue;
            }
            for (part, share) in shares.iter().enumerate() {
                let size = (wide * share).clamp(0.0, wide);
                let fill = svg.palette.parts[part];
                svg.rect([x, y, (size - 1.0).max(0.0), high - 2.0], fill);
                if size >= 22.0 {
                    let style = Style::new(10.5, "#ffffff").at(Anchor::Middle);
                    let style = Style { fill: svg.palette.on_parts, ..style };
                    svg.text((x + size / 2.0, y + 13.0), style, &format!("{:.0}%", 100.0 * share));
                }
                x += size;
            }
        }
        svg.y += high;
    }
    svg.y += 14.0;
    let mut x = MARGIN + left;
    for (part, name) in ["to A", "to B", "to special tokens"].into_iter().enumerate() {
        let fill = svg.palette.parts[part];
        svg.rect([x, svg.y, 12.0, 12.0], fill);
        svg.text((x + 18.0, svg.y + 10.5), Style::new(12.0, text), name);
        x += 76.0;
    }
    svg.y += 24.0;
    svg.paragraph(Style::new(11.5, faint), &drawing.about_sums());
    svg.finish(drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_means_over_what_attends() {
        let token = |text, word| MapToken { text, word, ..MapToken::default() };
        let tokens = vec![token(0, None), token(0, Some(0)), token(0, Some(1)), token(1, Some(0))];
        let weights = vec![1.0, 0.0, 0.0, 0.0, 0.5, 0.25, 0.25, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 1.0];
        let maps = AttentionMaps::new([tokens.clone(), tokens], vec![None], vec![None], weights).unwrap();
        assert!(is_pair(&maps));
        assert_eq!(split(&maps, 0, 0), [[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]]);
    }
}
