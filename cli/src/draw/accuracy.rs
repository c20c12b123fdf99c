//! Accuracy by length, a line for each of several models.

use std::fmt::Write as _;

use super::Theme;
use super::label::escaped;
use super::svg::FONTS;
use crate::output::ByLength;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 58.0;
/// Of the marks at the points.
const SIZE: f64 = 4.5;

/// The picture of lines that have names; `mark` is a number of words at which a line stands, with what it says.
pub fn accuracy_by_length(lines: &[(&str, &ByLength)], mark: Option<(usize, &str)>, theme: Theme) -> String {
    let palette = theme.palette();
    let (text, faint, line) = (palette.text, palette.faint, palette.line);
    let middle = |words: &std::ops::RangeInclusive<usize>| (words.start() + words.end()) as f64 / 2.0;
    let lengths = lines.iter().flat_map(|(_, of)| of.rows()).map(|row| middle(&row.words));
    let longest = lengths.chain(mark.map(|(words, _)| words as f64)).fold(1.0, f64::max);
    let x = |words: f64| LEFT + words / longest * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"{FONTS}\" font-size=\"13\" role=\"img\">\n<title>Exact answers by the source's length</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{}\"/>\n",
        palette.background
    );
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let (at, label) = (y(share), 25 * quarter);
        let _ = writeln!(
            picture,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"{line}\" stroke-width=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"{faint}\" \
             text-anchor=\"end\">{label} %</text>",
            WIDTH - RIGHT,
            if quarter == 0 { 1.5 } else { 0.75 },
            LEFT - 8.0,
            at + 4.5
        );
    }
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|step| longest / step <= 12.0);
    let step = step.unwrap_or_else(|| (longest / 10.0).ceil());
    for tick in 0..=(longest / step) as usize {
        let words = tick as f64 * step;
        let _ = writeln!(
            picture,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{faint}\" text-anchor=\"middle\">{words}</text>",
            x(words),
            HEIGHT - BOTTOM + 20.0
        );
    }
    if let Some((words, says)) = mark {
        let at = x(words as f64);
        let _ = writeln!(
            picture,
            "<path d=\"M{at:.1} {:.1}V{:.1}\" stroke=\"{faint}\" stroke-dasharray=\"2 4\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
             fill=\"{faint}\" text-anchor=\"middle\">{}</text>",
            TOP - 4.0,
            HEIGHT - BOTTOM,
            TOP - 8.0,
            escaped(says)
        );
    }
    for (place, (name, of)) in lines.iter().enumerate() {
        let color = [palette.parts[0], palette.parts[1], palette.parts[2], text][place % 4];
        let points: Vec<[f64; 2]> =
            of.rows().iter().map(|row| [x(middle(&row.words)), y(row.accuracy())]).collect();
        let path: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1} {y:.1}")).collect();
        let dashes = ["", "7 4", "2 3", "9 3 2 3"][place % 4];
        if path.len() > 1 {
            let _ = writeln!(
                picture,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2.25\" stroke-dasharray=\"{dashes}\"/>",
                path.join("L")
            );
        }
        for (point, row) in points.iter().zip(of.rows()) {
            let title = format!(
                "{name}, {} words: {} of {} exact, {:.1} %",
                row.name(),
                row.right,
                row.pairs,
                100.0 * row.accuracy()
            );
            picture += &mark_of(place, *point, color, &title);
        }
        // Two names a line of the legend.
        let first = if lines.len() > 1 { 22.0 } else { 24.0 };
        let at = [LEFT + 9.0 + 330.0 * (place % 2) as f64, first + 19.0 * (place / 2) as f64];
        let _ = writeln!(
            picture,
            "<path d=\"M{:.1} {:.1}h26\" stroke=\"{color}\" stroke-width=\"2.25\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{text}\">{}</text>",
            at[0] - 13.0,
            at[1],
            at[0] + 22.0,
            at[1] + 4.5,
            escaped(name)
        );
        picture += &mark_of(place, at, color, name);
    }
    let _ = writeln!(
        picture,
        "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{text}\" text-anchor=\"middle\">words of the source</text>\n\
         <text transform=\"translate(17 {:.1}) rotate(-90)\" fill=\"{text}\" text-anchor=\"middle\">exact answers</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 14.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    picture
}

/// A point of a line: of the first a disc, of the others a square, a diamond and a triangle.
fn mark_of(place: usize, [x, y]: [f64; 2], color: &str, title: &str) -> String {
    let s = SIZE;
    let shape = match place % 4 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{s}\" fill=\"{color}\">"),
        1 => format!("<path d=\"M{:.1} {:.1}h{w}v{w}h-{w}z\" fill=\"{color}\">", x - s, y - s, w = 2.0 * s),
        2 => format!("<path d=\"M{x:.1} {:.1}l{s} {s}l-{s} {s}l-{s} -{s}z\" fill=\"{color}\">", y - s),
        _ => format!("<path d=\"M{x:.1} {:.1}l{s} {w}h-{w}z\" fill=\"{color}\">", y - s, w = 2.0 * s),
    };
    let end = if shape.starts_with("<circle") { "circle" } else { "path" };
    format!("{shape}<title>{}</title></{end}>\n", escaped(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_any_accuracies() {
        let of =
            |right: usize| ByLength::of((1..=9).map(|n| (&"a b c d e f g h i"[..2 * n - 1], n <= right)));
        let (good, bad) = (of(9), of(3));
        let lines = [("with <attention>", &good), ("without", &bad)];
        for theme in [Theme::Light, Theme::Dark] {
            let picture = accuracy_by_length(&lines, Some((5, "longest in training")), theme);
            assert!(picture.ends_with("</svg>\n") && picture.contains("with &lt;attention&gt;"));
            assert!(
                picture.contains("without, 4 words: 0 of 1 exact, 0.0 %") && picture.contains("longest in")
            );
            assert!(!picture.contains("NaN") && !picture.contains("inf"));
        }
        let none = ByLength::of([]);
        for lines in [&[][..], &[("nothing", &none)]] {
            let picture = accuracy_by_length(lines, None, Theme::Light);
            assert!(picture.ends_with("</svg>\n") && !picture.contains("NaN"));
        }
    }
}
