//! The pictures of docs/gallery, made again.

use crate::call::Call;
use crate::{Options, Result, fetch, place};

/// A picture's name, and what `attentive` is called with beside the model and the outputs.
struct Picture {
    name: &'static str,
    texts: &'static [&'static str],
    options: &'static str,
}

const TIRED: &str = "The animal didn't cross the street because it was too tired.";
const NARROW: &str = "The animal didn't cross the street because it was too narrow.";

const PICTURES: [Picture; 6] = [
    // What "it" attends to: the mean over all 72 heads and over each layer's, on one scale.
    Picture { name: "it-tired", texts: &[TIRED], options: "--from it --average heads --scale 0.6" },
    Picture { name: "it-narrow", texts: &[NARROW], options: "--from it --average heads --scale 0.6" },
    // Without the special tokens, which take most, and in words.
    Picture {
        name: "it-tired-heads",
        texts: &[TIRED],
        options: "--from it --words --without-special --layers 3,4 --scale 0.7",
    },
    Picture {
        name: "it-narrow-heads",
        texts: &[NARROW],
        options: "--from it --words --without-special --layers 3,4 --scale 0.7",
    },
    Picture { name: "heads", texts: &[TIRED], options: "--view heads" },
    Picture {
        name: "pair",
        texts: &["A man is eating food.", "Somebody has a meal."],
        options: "--view pair --average heads",
    },
];

/// Draws each as SVG and PNG. The numbers are those of any device; the PNG's text has this machine's fonts.
pub fn run(options: &Options) -> Result<()> {
    let model = fetch::run(options)?;
    Call::cargo().words("build --all-features").run()?;
    for Picture { name, texts, options } in PICTURES {
        let call = Call::new(place::attentive("debug")).words("attention -m").arg(place::from_root(&model));
        let call = texts.iter().fold(call, Call::arg).words(options);
        let call = [".svg", ".png"]
            .iter()
            .fold(call, |call, end| call.arg("-o").arg(format!("docs/gallery/{name}{end}")));
        call.run()?;
    }
    Ok(())
}
