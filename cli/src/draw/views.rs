//! The pictures, as SVG.

use attentive::models::{AttentionMaps, MapToken};

use super::label::{ems, label, whole};
use super::svg::{ABOUT_NUMBERS, Anchor, MARGIN, Style, Svg, in_cell, ink, number};
use super::{Drawing, View, pair};

/// Columns that a token's name may take.
const LABEL: usize = 18;
/// sin 45° = cos 45°.
const SLANT: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// Points on a side of a small map; larger ones are made smaller.
const SMALL: usize = 96;

pub fn svg(drawing: &Drawing<'_>) -> String {
    match drawing.view() {
        View::Map => map(drawing),
        View::Heads => heads(drawing),
        View::From => from(drawing),
        View::Links => links(drawing),
        View::Pair => pair::svg(drawing),
    }
}

fn labels(tokens: &[MapToken]) -> Vec<String> {
    tokens.iter().map(|token| label(token, LABEL)).collect()
}

fn widest(labels: &[String]) -> f64 {
    labels.iter().map(|label| ems(label)).fold(0.0, f64::max)
}

/// Names over columns, slanted; what they need above, and behind the last column.
struct Heads {
    labels: Vec<String>,
    font: f64,
    cell: f64,
    /// Each how manieth is named.
    every: usize,
}

impl Heads {
    fn new(tokens: &[MapToken], cell: f64) -> Self {
        let font = (cell * 0.62).clamp(9.0, 12.5);
        let every = ((font + 1.5) / cell).ceil().max(1.0) as usize;
        Self { labels: labels(tokens), font, cell, every }
    }

    fn height(&self) -> f64 {
        widest(&self.labels) * self.font * SLANT + self.font
    }

    fn behind(&self) -> f64 {
        let named = self.labels.iter().enumerate().step_by(self.every);
        let ends = named.map(|(place, label)| {
            let from_end = (self.labels.len() - place) as f64 * self.cell - self.cell / 2.0;
            ems(label) * self.font * SLANT + self.font - from_end
        });
        ends.fold(0.0, f64::max)
    }

    /// Draws them with their feet at `y`.
    fn draw(&self, svg: &mut Svg, tokens: &[MapToken], x: f64, y: f64) {
        for (place, text) in self.labels.iter().enumerate().step_by(self.every) {
            let at = (x + (place as f64 + 0.5) * self.cell + self.font * 0.25, y - 4.0);
            let style = Style { turn: -45.0, ..Style::new(self.font, svg.palette.text) };
            svg.titled(at, style, text, tokens.get(place).map(whole).as_deref());
        }
    }
}

/// The one map of a picture, with its name. Several maps are one picture each elsewhere; here it is their mean.
fn one_map(drawing: &Drawing<'_>) -> (AttentionMaps, String) {
    let [layers, heads, ..] = drawing.maps.shape();
    match layers * heads {
        1 => (drawing.maps.clone(), drawing.name(0, 0)),
        several => (drawing.maps.mean(), format!("mean of {several} heads ({})", numbers(drawing))),
    }
}

fn map(drawing: &Drawing<'_>) -> String {
    let maps = drawing.maps;
    let [.., rows, columns] = maps.shape();
    let (one, name) = one_map(drawing);
    let cell = match rows.max(columns) {
        0..=16 => 34.0,
        17..=28 => 27.0,
        29..=48 => 18.0,
        49..=96 => 13.0,
        97..=200 => 10.0,
        _ => 6.0,
    };
    let most = drawing.most(one.weights());
    let top = Heads::new(maps.columns(), cell);
    let names = labels(maps.rows());
    let left = widest(&names) * top.font + 10.0;
    let mut svg = Svg::new(drawing.theme.palette(), left + columns as f64 * cell + top.behind());
    let [row_side, column_side] = drawing.sides;
    svg.heading(drawing, &format!("{}; rows: {row_side}, columns: {column_side}", sentence(&name)));
    svg.y += top.height();
    let (x, y) = (MARGIN + left, svg.y);
    top.draw(&mut svg, maps.columns(), x, y);
    let weights = one.map(0, 0);
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let cells = places.clone().zip(weights).map(|((row, column), &weight)| ([column, row], weight));
    let gap = if cell >= 10.0 { 1.0 } else { 0.0 };
    let size = cell - gap;
    svg.cells(([x, y], [cell, cell], gap), cells, most);

    for (row, name) in names.iter().enumerate().step_by(top.every) {
        let at = (x - 6.0, y + (row as f64 + 0.5) * cell + top.font * 0.35);
        let style = Style::new(top.font, svg.palette.text).at(Anchor::End);
        let style = if drawing.from == Some(row) { style.bold() } else { style };
        svg.titled(at, style, name, maps.rows().get(row).map(whole).as_deref());
    }
    if cell >= 27.0 {
        for ((row, column), &weight) in places.zip(weights) {
            let at = (x + column as f64 * cell + size / 2.0, y + row as f64 * cell + size / 2.0 + 3.5);
            let style = Style::new(10.0, ink(&svg.palette, weight, most)).at(Anchor::Middle);
            let text = in_cell(weight);
            if !text.is_empty() {
                svg.text(at, style, &text);
            }
        }
    }
    if let Some(row) = drawing.from.filter(|row| *row < rows) {
        let frame = [x - 1.0, y + row as f64 * cell - 1.0, columns as f64 * cell + 1.0, cell + 1.0];
        let accent = svg.palette.accent;
        svg.frame(frame, accent, 2.0);
    }
    svg.y += rows as f64 * cell;
    let every = match top.every {
        1 if cell >= 27.0 => ABOUT_NUMBERS.to_owned(),
        1 => String::new(),
        every => format!("Of {every} tokens one is named."),
    };
    svg.legend(drawing, most, &every);
    svg.finish(drawing)
}

/// Which layers and heads are drawn, in words.
fn numbers(drawing: &Drawing<'_>) -> String {
    let list = |numbers: &[Option<usize>]| {
        let known: Vec<usize> = numbers.iter().copied().flatten().collect();
        match known.as_slice() {
            [] => String::new(),
            [first, .., last] if known.is_sorted() && last - first + 1 == known.len() => {
                format!("{first} to {last}")
            }
            _ => known.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
        }
    };
    let named = |what: &str, numbers: &[Option<usize>]| {
        let list = list(numbers);
        let plural = if numbers.len() > 1 { "s" } else { "" };
        (!list.is_empty()).then(|| format!("{what}{plural} {list}"))
    };
    let parts = [named("layer", drawing.maps.layers()), named("head", drawing.maps.heads())];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// With a large first letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let text = first + chars.as_str();
    if text.is_empty() { "Weights".to_owned() } else { text }
}

fn heads(drawing: &Drawing<'_>) -> String {
    let maps = drawing.maps;
    let [layers, heads, rows, columns] = maps.shape();
    let most = drawing.most(maps.weights());
    // So many weights on a side are one point.
    let pooled = rows.max(columns).div_ceil(SMALL).max(1);
    let (across, down) = (columns.div_ceil(pooled), rows.div_ceil(pooled));
    let cell = (96.0 / across.max(down).max(1) as f64).floor().clamp(1.0, 12.0);
    // A gap of whole points, so that all maps lie on one grid.
    let apart = (10.0 / cell).ceil() as usize;
    let (wide, high, gap) = (across as f64 * cell, down as f64 * cell, apart as f64 * cell);
    let left = 62.0;
    let mut svg = Svg::new(drawing.theme.palette(), left + heads as f64 * (wide + gap) - gap);
    let [row_side, column_side] = drawing.sides;
    let what = format!(
        "Layers from top to bottom, heads from left to right; in each, rows: {row_side}, columns: {column_side}"
    );
    svg.heading(drawing, &what);
    svg.y += 10.0;
    let (text, line) = (svg.palette.text, svg.palette.line);
    for head in 0..heads {
        let x = MARGIN + left + head as f64 * (wide + gap) + wide / 2.0;
        let name = match maps.heads().get(head).copied().flatten() {
            Some(head) => format!("head {head}"),
            None => drawing.unnumbered.clone(),
        };
        svg.text((x, svg.y), Style::new(11.5, text).at(Anchor::Middle), &name);
    }
    svg.y += 8.0;
    let begin = svg.y;
    let mut points = Vec::new();
    for layer in 0..layers {
        let y = svg.y;
        if let Some(layer) = maps.layers().get(layer).copied().flatten() {
            svg.text((MARGIN, y + high / 2.0 + 4.0), Style::new(11.5, text), &format!("layer {layer}"));
        }
        for head in 0..heads {
            let x = MARGIN + left + head as f64 * (wide + gap);
            let small = pool(maps.map(layer, head), [rows, columns], pooled);
            points.extend(small.into_iter().enumerate().map(|(place, weight)| {
                let (row, column) = (place / across.max(1), place % across.max(1));
                ([head * (across + apart) + column, layer * (down + apart) + row], weight)
            }));
            svg.frame([x - 0.5, y - 0.5, wide + 1.0, high + 1.0], line, 1.0);
        }
        svg.y += high + gap;
    }
    svg.cells(([MARGIN + left, begin], [cell, cell], 0.0), points, most);
    let more = match pooled {
        1 => String::new(),
        side => format!("Each point is the largest of {side} · {side} weights."),
    };
    svg.legend(drawing, most, &more);
    svg.finish(drawing)
}

/// The largest weight of each square of `side` rows and columns; NaN where there is one.
fn pool(map: &[f32], [rows, columns]: [usize; 2], side: usize) -> Vec<f32> {
    let (across, down) = (columns.div_ceil(side), rows.div_ceil(side));
    let mut points = vec![0.0_f32; across * down];
    for (place, &weight) in map.iter().enumerate() {
        let point = &mut points[place / columns / side * across + place % columns / side];
        if weight.is_nan() || weight > *point {
            *point = weight;
        }
    }
    points
}

/// A map that the rows of the view `from` show: its name, and the row of weights.
struct Strip {
    name: String,
    weights: Vec<f32>,
}

/// The mean over all maps, and each of them.
fn strips(drawing: &Drawing<'_>, row: usize) -> Vec<Strip> {
    let maps = drawing.maps;
    let [layers, heads, ..] = maps.shape();
    let mut strips = Vec::new();
    if layers * heads > 1 {
        let name = format!("Mean of these {}", layers * heads);
        strips.push(Strip { name, weights: maps.mean().row(0, 0, row).to_vec() });
    }
    for layer in 0..layers {
        for head in 0..heads {
            strips.push(Strip {
                name: sentence(&drawing.name(layer, head)),
                weights: maps.row(layer, head, row).to_vec(),
            });
        }
    }
    strips
}

fn from(drawing: &Drawing<'_>) -> String {
    let maps = drawing.maps;
    let [.., rows, columns] = maps.shape();
    let row = drawing.from.unwrap_or(0).min(rows.saturating_sub(1));
    let strips = strips(drawing, row);
    let all: Vec<f32> = strips.iter().flat_map(|strip| strip.weights.iter().copied()).collect();
    let most = drawing.most(&all);
    let cell = match columns {
        0..=16 => 44.0,
        17..=24 => 34.0,
        25..=64 => 20.0,
        65..=128 => 13.0,
        _ => 8.0,
    };
    let high = if strips.len() <= 24 { 24.0 } else { 17.0 };
    let top = Heads::new(maps.columns(), cell);
    let names: Vec<String> = strips.iter().map(|strip| strip.name.clone()).collect();
    // The mean is bold, and wider for it.
    let left = widest(&names) * 12.0 * 1.1 + 12.0;
    let mut svg = Svg::new(drawing.theme.palette(), left + columns as f64 * cell + top.behind());
    let token = maps.rows().get(row).map(|token| label(token, 40)).unwrap_or_default();
    let [row_side, column_side] = drawing.sides;
    let what = format!("The weights {row_side} “{token}” (token {row}) {column_side} each token");
    svg.heading(drawing, &what);
    svg.y += top.height();
    let (x, mut y) = (MARGIN + left, svg.y);
    top.draw(&mut svg, maps.columns(), x, y);
    for (place, strip) in strips.iter().enumerate() {
        let cells = strip.weights.iter().enumerate().map(|(column, &weight)| ([column, 0], weight));
        svg.cells(([x, y], [cell, high], 1.0), cells, most);
        let style = Style::new(12.0, svg.palette.text).at(Anchor::End);
        let mean = place == 0 && strips.len() > 1;
        let style = if mean { style.bold() } else { style };
        svg.text((x - 8.0, y + high / 2.0 + 4.0), style, &strip.name);
        if cell >= 30.0 {
            for (column, &weight) in strip.weights.iter().enumerate() {
                let at = (x + column as f64 * cell + (cell - 1.0) / 2.0, y + high / 2.0 + 3.5);
                let text = in_cell(weight);
                if !text.is_empty() {
                    let style = Style::new(10.5, ink(&svg.palette, weight, most)).at(Anchor::Middle);
                    svg.text(at, style, &text);
                }
            }
        }
        // The mean stands apart.
        y += high + if mean { 6.0 } else { 0.0 };
    }
    svg.y = y;
    svg.legend(drawing, most, if cell >= 30.0 { ABOUT_NUMBERS } else { "" });
    svg.finish(drawing)
}

fn links(drawing: &Drawing<'_>) -> String {
    let maps = drawing.maps;
    let [.., rows, columns] = maps.shape();
    let (one, name) = one_map(drawing);
    let most = drawing.most(drawing.from.map_or(one.weights(), |row| one.row(0, 0, row)));
    let (font, line) = (13.0, 22.0);
    let [left_names, right_names] = [labels(maps.rows()), labels(maps.columns())];
    let left = widest(&left_names) * font + 8.0;
    let numbers = if drawing.from.is_some() { 56.0 } else { 0.0 };
    let between = 220.0;
    let right = widest(&right_names) * font + 8.0 + numbers;
    let mut svg = Svg::new(drawing.theme.palette(), left + between + right);
    let what = match drawing.from.and_then(|row| maps.rows().get(row)) {
        Some(token) => format!("{}: the weights from “{}”", sentence(&name), label(token, 40)),
        None => sentence(&name),
    };
    svg.heading(drawing, &what);
    let (text, faint) = (svg.palette.text, svg.palette.faint);
    // The columns stand in the middle of what may be wider.
    let x = MARGIN + (svg.width - left - between - right) / 2.0 + left;
    svg.y += 14.0;
    let [row_side, column_side] = drawing.sides;
    svg.text((x - 6.0, svg.y), Style::new(11.5, faint).at(Anchor::End), row_side);
    svg.text((x + between + 6.0, svg.y), Style::new(11.5, faint), column_side);
    svg.y += 8.0;
    let y = svg.y;
    let middle = |place: usize| y + (place as f64 + 0.5) * line;
    for row in (0..rows).filter(|row| drawing.from.is_none_or(|from| from == *row)) {
        for (column, &weight) in one.row(0, 0, row).iter().enumerate() {
            let share = f64::from(weight / most);
            // A thinner line could not be seen.
            if share.is_finite() && share >= 0.02 {
                let share = share.min(1.0);
                let ends = [[x, middle(row)], [x + between, middle(column)]];
                svg.link(ends[0], ends[1], 0.5 + 5.0 * share, 0.15 + 0.75 * share);
            }
        }
    }
    for (row, name) in left_names.iter().enumerate() {
        let chosen = drawing.from.is_none_or(|from| from == row);
        let style = Style::new(font, if chosen { text } else { faint }).at(Anchor::End);
        let style = if drawing.from == Some(row) { style.bold() } else { style };
        svg.titled((x - 6.0, middle(row) + 4.5), style, name, maps.rows().get(row).map(whole).as_deref());
    }
    for (column, name) in right_names.iter().enumerate() {
        let at = x + between + 6.0;
        let title = maps.columns().get(column).map(whole);
        svg.titled((at, middle(column) + 4.5), Style::new(font, text), name, title.as_deref());
        if let Some(&weight) = drawing.from.and_then(|row| one.row(0, 0, row).get(column)) {
            let style = Style::new(11.0, faint).at(Anchor::End);
            svg.text((x + between + right, middle(column) + 4.0), style, &number(weight.into()));
        }
    }
    svg.y += rows.max(columns) as f64 * line + 10.0;
    let style = Style::new(11.5, faint);
    let least = number(f64::from(most) * 0.02);
    svg.paragraph(
        style,
        &format!(
            "Thickness and strength grow with the weight, up to {}; lines below {least} are left out. {}",
            number(most.into()),
            drawing.about_sums()
        ),
    );
    svg.finish(drawing)
}

#[cfg(test)]
mod tests {
    use super::pool;

    #[test]
    fn small_maps_keep_the_largest() {
        assert_eq!(pool(&[0.0, 0.1, 0.2, 0.3, 0.9, 0.0, 0.0, 0.0, 0.4], [3, 3], 2), [0.9, 0.2, 0.0, 0.4]);
        assert!(pool(&[0.0, f32::NAN], [1, 2], 2)[0].is_nan());
        assert_eq!(pool(&[], [0, 0], 1), [0.0; 0]);
    }
}
