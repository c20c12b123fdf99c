//! The loss of a run, step by step, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;
/// Points of a line at most.
const POINTS: usize = 400;

/// Each loss, and over it a mean of those near it, on a logarithmic axis.
pub fn svg(losses: &[(u64, f32)]) -> String {
    let known: Vec<(f64, f64)> = losses
        .iter()
        .filter(|(_, loss)| loss.is_finite() && *loss > 0.0)
        .map(|&(step, loss)| (step as f64, f64::from(loss)))
        .collect();
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"Loss by step\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)))
    };
    let (first, last) = ends(&mut known.iter().map(|point| point.0));
    let (low, high) = ends(&mut known.iter().map(|point| point.1));
    if known.is_empty() {
        picture.push_str("<text x=\"20\" y=\"40\">no step has a finite loss</text>\n</svg>\n");
        return picture;
    }
    // Whole powers of ten around all of them.
    let (low, high) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let x = |step: f64| LEFT + (step - first) / (last - first).max(1.0) * (WIDTH - LEFT - RIGHT);
    let y = |loss: f64| TOP + (high - loss.log10()) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let mut power = low;
    while power <= high {
        let at = y(10_f64.powf(power));
        let _ = writeln!(
            picture,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            10_f64.powf(power)
        );
        power += 1.0;
    }
    for part in 0..=4 {
        let step = first + (last - first) * f64::from(part) / 4.0;
        let _ = writeln!(
            picture,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{step:.0}</text>",
            x(step),
            HEIGHT - BOTTOM + 20.0
        );
    }
    let line = |points: &[(f64, f64)]| {
        let places: Vec<String> =
            points.iter().map(|&(step, loss)| format!("{:.1} {:.1}", x(step), y(loss))).collect();
        format!("M{}", places.join("L"))
    };
    let chunk = known.len().div_ceil(POINTS);
    let mean = |part: &[(f64, f64)]| {
        let count = part.len() as f64;
        (
            part.iter().map(|point| point.0).sum::<f64>() / count,
            part.iter().map(|point| point.1).sum::<f64>() / count,
        )
    };
    let thin: Vec<(f64, f64)> = known.chunks(chunk).map(|part| part[part.len() / 2]).collect();
    let smooth: Vec<(f64, f64)> = known.chunks((known.len() / 60).max(1)).map(mean).collect();
    let _ = writeln!(picture, "<path d=\"{}\" fill=\"none\" stroke=\"#9ecae1\"/>", line(&thin));
    let _ = writeln!(
        picture,
        "<path d=\"{}\" fill=\"none\" stroke=\"#08519c\" stroke-width=\"2\"/>",
        line(&smooth)
    );
    let _ = writeln!(
        picture,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step</text>\n<text transform=\"translate(18 {:.1}) rotate(-90)\" \
         text-anchor=\"middle\">loss</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    picture
}

#[cfg(test)]
mod tests {
    use super::svg;

    #[test]
    fn a_picture_of_any_losses() {
        assert!(svg(&[]).contains("no step has a finite loss"));
        assert!(svg(&[(1, f32::NAN)]).contains("no step has a finite loss"));
        let losses: Vec<(u64, f32)> = (1..=5000).map(|step| (step, 5.0 / step as f32)).collect();
        let picture = svg(&losses);
        assert!(picture.ends_with("</svg>\n") && picture.contains("0.001") && picture.contains(">5000<"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert!(!svg(&[(7, 0.5)]).contains("NaN"));
    }
}
