//! Colour maps for weights: even steps of lightness from the page's background on, so that they order colours for
//! everybody, in print and for the colour-blind, and hues that tell more of them apart.

/// Light or dark pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

/// The colours of a theme, as `#rrggbb`.
pub struct Palette {
    pub background: &'static str,
    pub text: &'static str,
    /// Of secondary text: at least 4.5 : 1 on the background.
    pub faint: &'static str,
    /// Of frames and ticks.
    pub line: &'static str,
    /// For what is no number.
    pub nan: &'static str,
    /// Of links and bars: it can be seen beside the text.
    pub accent: &'static str,
    /// The parts of a sentence pair: the first text, the second, special tokens (after Okabe and Ito).
    pub parts: [&'static str; 3],
    /// On these.
    pub on_parts: &'static str,
    map: [[u8; 3]; STEPS],
}

/// Colours in a map.
pub const STEPS: usize = 256;

impl Theme {
    pub fn palette(self) -> Palette {
        match self {
            Self::Light => Palette {
                background: "#ffffff",
                text: "#1a1d21",
                faint: "#5b626b",
                line: "#c9ced4",
                nan: "#b9a7b0",
                accent: "#1f5fa8",
                parts: ["#0072b2", "#a85100", "#6b7178"],
                on_parts: "#ffffff",
                // White over green and teal to dark blue.
                map: std::array::from_fn(|step| {
                    let t = step as f64 / (STEPS - 1) as f64;
                    oklch(0.985 - 0.70 * t, 0.01 + 0.08 * bump(t) + 0.06 * t, 140.0 + 125.0 * t)
                }),
            },
            Self::Dark => Palette {
                background: "#15181c",
                text: "#e8eaed",
                faint: "#a3abb5",
                line: "#454c55",
                nan: "#6d5a66",
                accent: "#7fb8ff",
                parts: ["#56b4e9", "#e69f00", "#8f969e"],
                on_parts: "#000000",
                // Near black over purple and orange to light yellow.
                map: std::array::from_fn(|step| {
                    let t = step as f64 / (STEPS - 1) as f64;
                    oklch(0.22 + 0.74 * t, 0.02 + 0.15 * bump(t), 265.0 + 200.0 * t)
                }),
            },
        }
    }
}

impl Palette {
    /// The place in the map of a weight, where `most` is its end; none for what is no number.
    pub fn step(&self, weight: f32, most: f32) -> Option<usize> {
        let share = f64::from(weight) / f64::from(most);
        let share = if weight == 0.0 { 0.0 } else { share };
        (!share.is_nan()).then(|| (share.clamp(0.0, 1.0) * (STEPS - 1) as f64).round() as usize)
    }

    /// The colour of a place in the map.
    pub fn color(&self, step: usize) -> String {
        let [red, green, blue] = self.map[step.min(STEPS - 1)];
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Black or white, whichever is seen better on the colour of a place in the map.
    pub fn ink(&self, step: usize) -> &'static str {
        // At this luminance both have the same contrast.
        if luminance(self.map[step.min(STEPS - 1)]) > 0.179 { "#000000" } else { "#ffffff" }
    }

    /// All colours of the map, six hexadecimal digits each.
    pub fn digits(&self) -> String {
        (0..STEPS).map(|step| self.color(step)[1..].to_owned()).collect()
    }
}

/// 0 at both ends, 1 between.
fn bump(t: f64) -> f64 {
    (t * std::f64::consts::PI).sin().powf(0.7)
}

/// OKLCh (Ottosson 2020) as 8-bit sRGB; a chroma that no screen has is lowered.
fn oklch(lightness: f64, chroma: f64, degrees: f64) -> [u8; 3] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let mut chroma = chroma;
    loop {
        let rgb = linear_rgb(lightness, chroma * cos, chroma * sin);
        if chroma < 1e-4 || rgb.iter().all(|value| (-1e-6..=1.0 + 1e-6).contains(value)) {
            return rgb.map(|value| (encode(value.clamp(0.0, 1.0)) * 255.0).round() as u8);
        }
        chroma *= 0.97;
    }
}

fn linear_rgb(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// sRGB's transfer function.
fn encode(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

fn decode(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

fn luminance([red, green, blue]: [u8; 3]) -> f64 {
    0.2126 * decode(red) + 0.7152 * decode(green) + 0.0722 * decode(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness(rgb: [u8; 3]) -> f64 {
        let [r, g, b] = rgb.map(decode);
        let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
        let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
        let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
        0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s
    }

    fn rgb(hex: &str) -> [u8; 3] {
        [1, 3, 5].map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap())
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(rgb(a)) + 0.05, luminance(rgb(b)) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn steps_of_lightness_are_even() {
        for theme in [Theme::Light, Theme::Dark] {
            let map = theme.palette().map;
            let ends = lightness(map[STEPS - 1]) - lightness(map[0]);
            assert!(ends.abs() > 0.65, "{theme:?}: {ends}");
            // Of sixteen steps at once, so that rounding to 8 bits does not show.
            for step in 0..STEPS - 16 {
                let part = (lightness(map[step + 16]) - lightness(map[step])) / (ends * 16.0 / 255.0);
                assert!((0.93..1.07).contains(&part), "{theme:?}, step {step}: {part}");
            }
        }
    }

    #[test]
    fn the_order_stays_for_the_colour_blind() {
        // Protanopia, deuteranopia and tritanopia (Machado et al. 2009).
        let blind = [
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ];
        for theme in [Theme::Light, Theme::Dark] {
            let map = theme.palette().map;
            for matrix in blind {
                let seen = |color: [u8; 3]| {
                    let color = color.map(decode);
                    let mixed = matrix.map(|row| row.iter().zip(color).map(|(a, b)| a * b).sum::<f64>());
                    0.2126 * mixed[0] + 0.7152 * mixed[1] + 0.0722 * mixed[2]
                };
                let falls = theme == Theme::Light;
                for step in 0..STEPS - 8 {
                    let (now, later) = (seen(map[step]), seen(map[step + 8]));
                    assert!(if falls { later < now } else { later > now }, "{theme:?}, step {step}");
                }
            }
        }
    }

    #[test]
    fn text_can_be_read() {
        for theme in [Theme::Light, Theme::Dark] {
            let palette = theme.palette();
            for color in [palette.text, palette.faint, palette.accent] {
                assert!(contrast(color, palette.background) >= 4.5, "{theme:?} {color}");
            }
            for part in palette.parts {
                assert!(contrast(part, palette.on_parts) >= 4.5, "{theme:?} {part}");
            }
            for step in 0..STEPS {
                let (color, ink) = (palette.color(step), palette.ink(step));
                assert!(contrast(&color, ink) >= 4.5, "{theme:?}, step {step}: {color} {ink}");
            }
            // The map begins where the page ends.
            let start = lightness(palette.map[0]) - lightness(rgb(palette.background));
            assert!(start.abs() < 0.05, "{theme:?}: {start}");
        }
    }

    #[test]
    fn weights_have_their_places() {
        let palette = Theme::Light.palette();
        assert_eq!(
            [0.0, 0.25, 0.5, 0.7].map(|weight| palette.step(weight, 0.5).unwrap()),
            [0, 128, 255, 255]
        );
        assert_eq!(palette.step(0.0, 0.0), Some(0));
        assert_eq!(palette.step(f32::NAN, 1.0), None);
        assert_eq!(palette.digits().len(), 6 * STEPS);
    }
}
