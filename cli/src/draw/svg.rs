//! The parts that the pictures are made of: text, cells, a legend, a heading.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Drawing;
use super::colours::{Palette, STEPS};
use super::label::{ems, escaped, right_to_left};

/// Fonts by what is often there; the program's own comes last where it rasterizes.
pub const FONTS: &str = "'DejaVu Sans','Noto Sans','Segoe UI','Helvetica Neue',Arial,sans-serif";
/// Around everything.
pub const MARGIN: f64 = 16.0;
/// Pictures are not narrower: the legend and the sentences need it.
const NARROWEST: f64 = 440.0;

/// A picture that grows downwards.
pub struct Svg {
    pub palette: Palette,
    /// Of the content, without margins.
    pub width: f64,
    /// Where the next thing goes.
    pub y: f64,
    body: String,
}

/// At which point of a text its place is.
#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is written.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    pub size: f64,
    pub fill: &'a str,
    pub anchor: Anchor,
    pub bold: bool,
    /// Degrees, against the clock where negative.
    pub turn: f64,
}

impl<'a> Style<'a> {
    pub fn new(size: f64, fill: &'a str) -> Self {
        Self { size, fill, anchor: Anchor::Start, bold: false, turn: 0.0 }
    }

    pub fn at(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// At most two decimals, without zeros at the end.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Svg {
    pub fn new(palette: Palette, width: f64) -> Self {
        Self { palette, width: width.max(NARROWEST), y: MARGIN, body: String::new() }
    }

    pub fn text(&mut self, (x, y): (f64, f64), style: Style<'_>, text: &str) {
        self.titled((x, y), style, text, None);
    }

    /// A text with another that a browser shows where the pointer rests on it.
    pub fn titled(&mut self, (x, y): (f64, f64), style: Style<'_>, text: &str, title: Option<&str>) {
        let Style { size, fill, anchor, bold, turn } = style;
        let _ =
            write!(self.body, "<text x=\"{}\" y=\"{}\" font-size=\"{}\"", short(x), short(y), short(size));
        let _ = write!(self.body, " fill=\"{fill}\"");
        match anchor {
            Anchor::Start => {}
            Anchor::Middle => self.body += " text-anchor=\"middle\"",
            Anchor::End => self.body += " text-anchor=\"end\"",
        }
        if bold {
            self.body += " font-weight=\"bold\"";
        }
        if turn != 0.0 {
            let _ = write!(self.body, " transform=\"rotate({} {} {})\"", short(turn), short(x), short(y));
        }
        self.body.push('>');
        if let Some(title) = title.filter(|title| *title != text) {
            let _ = write!(self.body, "<title>{}</title>", escaped(title));
        }
        let _ = writeln!(self.body, "{}</text>", escaped(text));
    }

    pub fn rect(&mut self, [x, y, width, height]: [f64; 4], fill: &str) {
        let [x, y, width, height] = [x, y, width, height].map(short);
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>"
        );
    }

    pub fn frame(&mut self, [x, y, width, height]: [f64; 4], stroke: &str, thick: f64) {
        let [x, y, width, height] = [x, y, width, height].map(short);
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{}\"/>",
            short(thick)
        );
    }

    /// A square of pixels, which is a PNG in base64.
    pub fn image(&mut self, [x, y]: [f64; 2], side: f64, png: &str) {
        let [x, y, side] = [x, y, side].map(short);
        let _ = writeln!(
            self.body,
            "<image x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" image-rendering=\"optimizeSpeed\" \
             style=\"image-rendering: pixelated\" href=\"data:image/png;base64,{png}\"/>"
        );
    }

    /// A curve between two points, leaving and arriving level.
    pub fn link(&mut self, [x, y]: [f64; 2], [to_x, to_y]: [f64; 2], thick: f64, opacity: f64) {
        let middle = short((x + to_x) / 2.0);
        let [x, y, to_x, to_y] = [x, y, to_x, to_y].map(short);
        let _ = writeln!(
            self.body,
            "<path d=\"M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"{}\"/>",
            self.palette.accent,
            short(thick),
            short(opacity)
        );
    }

    /// Rectangles of weights, at places of a grid that begins at `x` and `y`, `gap` apart. Those of one colour are one
    /// path of lines, as thick as a row, so that large maps stay small files.
    pub fn cells(
        &mut self,
        ([x, y], [width, height], gap): ([f64; 2], [f64; 2], f64),
        cells: impl IntoIterator<Item = ([usize; 2], f32)>,
        most: f32,
    ) {
        let mut paths: BTreeMap<Option<usize>, Vec<[usize; 3]>> = BTreeMap::new();
        for ([column, row], weight) in cells {
            let runs = paths.entry(self.palette.step(weight, most)).or_default();
            match runs.last_mut() {
                Some([first, its_row, length])
                    if gap == 0.0 && *its_row == row && *first + *length == column =>
                {
                    *length += 1;
                }
                _ => runs.push([column, row, 1]),
            }
        }
        let thick = format!("{:.4}", (height - gap) / height);
        let end = if gap == 0.0 { 0.0 } else { gap / width };
        let _ = writeln!(
            self.body,
            "<g transform=\"translate({} {}) scale({} {})\" stroke-width=\"{thick}\" shape-rendering=\"crispEdges\">",
            short(x),
            short(y + (height - gap) / 2.0),
            short(width),
            short(height)
        );
        for (step, runs) in paths {
            let color = step.map_or_else(|| self.palette.nan.to_owned(), |step| self.palette.color(step));
            let _ = write!(self.body, "<path stroke=\"{color}\" d=\"");
            for [column, row, length] in runs {
                let length = format!("{:.3}", length as f64 - end);
                let length = length.trim_end_matches('0').trim_end_matches('.').trim_start_matches('0');
                let _ = write!(self.body, "M{column} {row}h{length}");
            }
            self.body += "\"/>\n";
        }
        self.body += "</g>\n";
    }

    /// Lines of text, broken where they are too long.
    pub fn paragraph(&mut self, style: Style<'_>, text: &str) {
        let room = self.width / style.size / if style.bold { 1.12 } else { 1.0 };
        for mut line in wrapped(text, room) {
            // Lines run from left to right; between two letters that do not, a full stop at the end stays with them.
            if right_to_left(&line) {
                line.push('\u{200f}');
            }
            self.y += style.size * 1.35;
            self.text((MARGIN, self.y - style.size * 0.35), style, &line);
        }
    }

    pub fn heading(&mut self, drawing: &Drawing<'_>, what: &str) {
        let Palette { text, faint, .. } = self.palette;
        self.paragraph(Style::new(16.0, text).bold(), &drawing.title());
        self.paragraph(Style::new(12.5, faint), what);
        if !drawing.caption.is_empty() {
            self.paragraph(Style::new(12.5, faint), &drawing.caption);
        }
        self.y += 12.0;
    }

    /// The colours with their numbers, and what the rows sum to.
    pub fn legend(&mut self, drawing: &Drawing<'_>, most: f32, more: &str) {
        let Palette { text, faint, line, nan, .. } = self.palette;
        self.y += 18.0;
        let (wide, high, x) = (256.0, 12.0, MARGIN);
        let steps = (0..128).map(|step| ([step, 0], most * step as f32 / 127.0));
        self.cells(([x, self.y], [wide / 128.0, high], 0.0), steps, most);
        self.frame([x, self.y, wide, high], line, 1.0);
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let at = x + wide * share;
            self.rect([at - 0.5, self.y + high, 1.0, 4.0], faint);
            let number = number(f64::from(most) * share);
            self.text((at, self.y + high + 16.0), Style::new(11.0, text).at(Anchor::Middle), &number);
        }
        self.text((x + wide + 18.0, self.y + 10.0), Style::new(12.0, text), "weight");
        if drawing.maps.weights().iter().any(|weight| weight.is_nan()) {
            self.rect([x + wide + 78.0, self.y, high, high], nan);
            self.text((x + wide + 96.0, self.y + 10.0), Style::new(12.0, text), "NaN");
        }
        self.y += high + 24.0;
        self.paragraph(Style::new(11.5, faint), &drawing.about_sums());
        if !more.is_empty() {
            self.paragraph(Style::new(11.5, faint), more);
        }
    }

    /// The whole file.
    pub fn finish(self, drawing: &Drawing<'_>) -> String {
        let (width, height) = (short(self.width + 2.0 * MARGIN), short(self.y + MARGIN));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FONTS}\" role=\"img\">\n<title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n{}</svg>\n",
            escaped(&drawing.title()),
            self.palette.background,
            self.body,
        )
    }
}

/// Lines of at most so many em, broken at spaces, and inside of words that are longer.
pub fn wrapped(text: &str, room: f64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if ems(&longer) <= room {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && ems(&line) + ems(c.encode_utf8(&mut [0; 4])) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A weight with three decimals; a smaller one with two digits.
pub fn number(weight: f64) -> String {
    if weight.is_nan() {
        return "NaN".to_owned();
    }
    if weight == 0.0 {
        return "0".to_owned();
    }
    if weight.abs() < 0.001 { format!("{weight:.1e}") } else { format!("{weight:.3}") }
}

/// The least weight whose number is written into its cell, and the sentence that says so.
const WRITTEN: f32 = 0.015;
pub const ABOUT_NUMBERS: &str = "Numbers below .02 are not written.";

/// A weight in a cell: `.42`; nothing for a small one.
pub fn in_cell(weight: f32) -> String {
    if weight.is_nan() {
        return "NaN".to_owned();
    }
    if weight < WRITTEN {
        return String::new();
    }
    let text = format!("{weight:.2}");
    match text.strip_prefix("0.") {
        Some(decimals) => format!(".{decimals}"),
        None => text.chars().take(4).collect(),
    }
}

/// The contrast to a cell of that weight.
pub fn ink(palette: &Palette, weight: f32, most: f32) -> &'static str {
    palette.step(weight, most).map_or("#000000", |step| palette.ink(step.min(STEPS - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.25, 1.0, 0.00012].map(number), ["0", "0.250", "1.000", "1.2e-4"]);
        assert_eq!([0.0, 0.014, 0.42, 1.0, f32::NAN].map(in_cell), ["", "", ".42", "1.00", "NaN"]);
        assert_eq!([1.0, 1.25, 0.1, -2.5].map(short), ["1", "1.25", "0.1", "-2.5"]);
    }

    #[test]
    fn lines_are_broken() {
        assert_eq!(wrapped("aa bb cc", 3.5), ["aa bb", "cc"]);
        assert!(wrapped(&"x".repeat(100), 10.0).iter().all(|line| ems(line) <= 10.0));
        assert!(wrapped("", 10.0).is_empty());
    }
}
