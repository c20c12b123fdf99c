//! The picture of a bench: the roofline, and times by length.

use std::collections::BTreeMap;
use std::ops::Range;

use attentive::bench::{Group, Row};
use plotters::prelude::*;

use super::DeviceReport;
use crate::output::{Failure, Result};

/// Colours that the colour-blind tell apart (Okabe and Ito).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];
const GRAY: RGBColor = RGBColor(150, 150, 150);
const WIDTH: u32 = 1000;
const HEIGHT: u32 = 480;

type Drawn<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One panel row for each device: operations a second by intensity, and milliseconds by length.
pub fn draw(reports: &[DeviceReport]) -> Result<String> {
    let drawable: Vec<_> =
        reports.iter().filter(|report| report.rows.iter().any(|row| row.times().is_some())).collect();
    let mut svg = String::new();
    let draw = |svg: &mut String| -> Drawn {
        let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT * drawable.len().max(1) as u32));
        let area = area.into_drawing_area();
        area.fill(&WHITE)?;
        for (report, area) in drawable.iter().zip(area.split_evenly((drawable.len().max(1), 1))) {
            let area = area.titled(&report.name, ("sans-serif", 17))?;
            let (left, right) = area.split_horizontally(WIDTH / 2);
            roofline(&left, report)?;
            lengths(&right, report)?;
        }
        area.present()?;
        Ok(())
    };
    draw(&mut svg).map_err(|error| Failure::Failed(format!("the picture: {error}")))?;
    Ok(svg)
}

/// The range of some positive numbers, a factor wider on both sides.
fn around(values: impl Iterator<Item = f64>, factor: f64) -> Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if high > 0.0 { low / factor..high * factor } else { 0.1..10.0 }
}

/// The op's chosen implementations by operations for each byte; the ceilings lie above them.
fn roofline<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    report: &DeviceReport,
) -> std::result::Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let point = |row: &Row| Some((row.flops as f64 / row.bytes as f64, row.rate()? / 1e9));
    let mut groups: BTreeMap<Group, Vec<(f64, f64)>> = BTreeMap::new();
    for row in report.rows.iter().filter(|row| row.chosen && row.flops > 0 && row.bytes > 0) {
        groups.entry(row.group).or_default().extend(point(row));
    }
    let all = || groups.values().flatten();
    let intensities = around(all().map(|point| point.0), 3.0);
    let bandwidth = report.ceilings.bandwidth.map(|rate| rate / 1e9);
    let arithmetic = report.ceilings.arithmetic.map(|rate| rate / 1e9);
    let rates = around(all().map(|point| point.1).chain(arithmetic), 2.0);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(intensities.clone().log_scale(), rates.clone().log_scale())?;
    mesh(&mut chart, "operations for each byte", "GFLOP/s")?;
    let at = |intensity: f64| {
        let memory = bandwidth.map(|rate| rate * intensity);
        memory.into_iter().chain(arithmetic).fold(f64::INFINITY, f64::min)
    };
    if bandwidth.or(arithmetic).is_some() {
        let steps = (0..=100).map(|step| {
            let part = f64::from(step) / 100.0;
            intensities.start * (intensities.end / intensities.start).powf(part)
        });
        let line = steps.map(|x| (x, at(x))).filter(|(_, y)| rates.contains(y));
        chart
            .draw_series(LineSeries::new(line, GRAY.stroke_width(2)))?
            .label("ceilings")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], GRAY.stroke_width(2)));
    }
    for ((group, points), color) in groups.iter().zip(COLORS) {
        let circles = points.iter().map(|&point| Circle::new(point, 4, color.mix(0.8).filled()));
        chart
            .draw_series(circles)?
            .label(group.name())
            .legend(move |(x, y)| Circle::new((x + 9, y), 4, color.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

/// Milliseconds of each implementation by the length of a sweep, f32; all attention, or matrix products where there is none.
fn lengths<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    report: &DeviceReport,
) -> std::result::Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let mut lines: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for row in report.rows.iter().filter(|row| row.dtype == attentive::DType::F32) {
        if let (Some((sweep, length)), Some(times)) = (row.sweep, row.times()) {
            let line = lines.entry((sweep, &row.implementation)).or_default();
            line.push((length as f64, times.best().median * 1e3));
        }
    }
    if lines.keys().any(|(sweep, _)| *sweep == "attention") {
        lines.retain(|(sweep, _), _| *sweep == "attention");
    }
    let all = || lines.values().flatten();
    let mut chart =
        ChartBuilder::on(area).margin(12).x_label_area_size(40).y_label_area_size(64).build_cartesian_2d(
            around(all().map(|point| point.0), 1.3).log_scale(),
            around(all().map(|point| point.1), 2.0).log_scale(),
        )?;
    mesh(&mut chart, "length", "milliseconds")?;
    for (((sweep, implementation), points), color) in lines.iter().zip(COLORS.into_iter().cycle()) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(format!("{sweep}, {implementation}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

type Logarithmic =
    Cartesian2d<plotters::coord::combinators::LogCoord<f64>, plotters::coord::combinators::LogCoord<f64>>;
type Charted<DB> = std::result::Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn mesh<DB: DrawingBackend>(chart: &mut ChartContext<'_, DB, Logarithmic>, x: &str, y: &str) -> Charted<DB> {
    let number = |value: &f64| if *value >= 1.0 { format!("{value}") } else { format!("{value:.3}") };
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .draw()
}

fn legend<'a, DB: DrawingBackend + 'a>(
    chart: &mut ChartContext<'a, DB, Logarithmic>,
    position: SeriesLabelPosition,
) -> Charted<DB> {
    chart
        .configure_series_labels()
        .position(position)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.8))
        .draw()
}
