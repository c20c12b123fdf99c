//! What attention costs by the sequence's length n and the head's width d: O(n² · d) operations, and memory that grows
//! with n² where the weights are kept, with n where they are not. A table, and a picture of it.

use std::ops::Range;

use attentive::ops::Attention;
use attentive::{Device, Result};
use plotters::prelude::*;

use crate::{Bench, Sizes, quartiles};

const ROUNDS: usize = 5;
const HEADS: usize = 8;
/// Above so many bytes of weights the chain is not run.
const CHAIN_BYTES: usize = 1 << 30;

/// What one implementation took: length, milliseconds (quartiles), bytes of temporaries and output.
struct Line {
    name: String,
    head_dim: usize,
    color: RGBColor,
    points: Vec<(usize, [f64; 3], u64)>,
}

pub fn cost(device: &Device, picture: Option<&str>) -> Result<()> {
    println!(
        "\nmilliseconds: median (quartiles); the exponent of n from one length to the next; bytes beside q, k and v"
    );
    let lines = [
        ("fused, d = 64", 64, None, RGBColor(0, 114, 178)),
        ("fused, d = 128", 128, None, RGBColor(86, 180, 233)),
        ("chained, d = 64", 64, Some("chained"), RGBColor(213, 94, 0)),
    ];
    let lines = lines.into_iter().map(|(name, head_dim, implementation, color)| {
        let mut line = Line { name: name.to_owned(), head_dim, color, points: Vec::new() };
        for length in [128, 256, 512, 1024, 2048, 4096, 8192] {
            if implementation.is_some() && HEADS * length * length * 4 > CHAIN_BYTES {
                continue;
            }
            let sizes = Sizes::new(1, [HEADS, HEADS], [length, length], head_dim);
            let bench = Bench::new(device, sizes, Attention::new())?;
            // The first run makes pipelines.
            bench.run(implementation)?;
            let mut times = Vec::new();
            let mut bytes = 0;
            for _ in 0..ROUNDS {
                let (took, _, statistics) = bench.run(implementation)?;
                times.push(took.as_secs_f64() * 1e3);
                bytes = statistics.peak_bytes;
            }
            let [low, median, high] = quartiles(times);
            let exponent = match line.points.last() {
                Some((before, [_, earlier, _], _)) => {
                    format!("{:.2}", (median / earlier).ln() / (length as f64 / *before as f64).ln())
                }
                None => "–".to_owned(),
            };
            println!(
                "{name:<16} n = {length:<5} {median:>10.2} ({low:.2}–{high:.2}) {exponent:>6} {:>8.1} MiB",
                bytes as f64 / f64::from(1 << 20)
            );
            line.points.push((length, [low, median, high], bytes));
        }
        Ok(line)
    });
    let lines = lines.collect::<Result<Vec<_>>>()?;
    if let Some(path) = picture {
        draw(path, device.name(), &lines).expect("the picture can be written");
        println!("{path}");
    }
    Ok(())
}

fn draw(path: &str, device: &str, lines: &[Line]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (900, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let area =
        area.titled(&format!("Attention over n tokens, 8 heads, f32: {device}"), ("sans-serif", 18))?;
    let (left, right) = area.split_horizontally(450);
    let times = |point: &(usize, [f64; 3], u64)| point.1[1];
    let bytes = |point: &(usize, [f64; 3], u64)| point.2 as f64 / f64::from(1 << 20);
    chart(&left, "milliseconds", lines, times, "n²")?;
    // At d = 64 alone: the widths differ by their factor.
    let lines: Vec<&Line> = lines.iter().filter(|line| line.head_dim == 64).collect();
    chart(&right, "MiB beside q, k and v", &lines, bytes, "n")?;
    area.present()?;
    Ok(())
}

/// Logarithms on both axes, so that a power of n is a straight line; and such a line to compare with.
fn chart<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    what: &str,
    lines: &[impl std::borrow::Borrow<Line>],
    value: impl Fn(&(usize, [f64; 3], u64)) -> f64,
    guide: &str,
) -> std::result::Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let all: Vec<f64> = lines.iter().flat_map(|line| line.borrow().points.iter().map(&value)).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(0.0, f64::max);
    let range: Range<f64> = low / 3.0..high * 3.0;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(28)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((100.0..10_000.0_f64).log_scale(), range.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("n, tokens")
        .y_desc(what)
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| if *y >= 1.0 { format!("{y}") } else { format!("{y:.2}") })
        .draw()?;
    for line in lines {
        let line = line.borrow();
        let color = line.color;
        let points: Vec<(f64, f64)> =
            line.points.iter().map(|point| (point.0 as f64, value(point))).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    // Through the first line's last point.
    if let Some(&(length, _, _)) = lines.first().and_then(|line| line.borrow().points.last()) {
        let last = value(&lines[0].borrow().points[lines[0].borrow().points.len() - 1]);
        let power = if guide == "n²" { 2.0 } else { 1.0 };
        let at = |n: f64| (n, last * (n / length as f64).powf(power));
        let gray = RGBColor(150, 150, 150);
        chart
            .draw_series(DashedLineSeries::new([at(128.0), at(8192.0)], 4, 4, gray.stroke_width(1)))?
            .label(guide)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], gray.stroke_width(1)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 13))
        .background_style(WHITE)
        .draw()
}
