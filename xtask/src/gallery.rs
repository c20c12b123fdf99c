//! The pictures of docs/gallery, made again.

use crate::call::Call;
use crate::{Options, Result, fetch, place};

/// A picture's name, and what `attentive` is called with beside the model and the outputs.
struct Picture {
    name: &'static str,
    command: Command,
    texts: &'static [&'static str],
    options: &'static str,
}

/// Which command draws it.
enum Command {
    /// `attention`, with all-MiniLM-L6-v2.
    Attention,
    /// `translate`, with a model that the program holds.
    Translate,
    /// `evaluate`, of models that the program holds.
    Evaluate,
    /// `caption`, with the model that the program holds, of a picture that the repository has.
    Caption,
}
use Command::{Attention, Caption, Evaluate, Translate};

const TIRED: &str = "The animal didn't cross the street because it was too tired.";
const NARROW: &str = "The animal didn't cross the street because it was too narrow.";

const DUCKS: &str = "the blue duck that the old king sees follows the three horses but my sisters do not like the yellow birds";

const PICTURES: [Picture; 11] = [
    // What "it" attends to: the mean over all 72 heads and over each layer's, on one scale.
    Picture {
        name: "it-tired",
        command: Attention,
        texts: &[TIRED],
        options: "--from it --average heads --scale 0.6",
    },
    Picture {
        name: "it-narrow",
        command: Attention,
        texts: &[NARROW],
        options: "--from it --average heads --scale 0.6",
    },
    // Without the special tokens, which take most, and in words.
    Picture {
        name: "it-tired-heads",
        command: Attention,
        texts: &[TIRED],
        options: "--from it --words --without-special --layers 3,4 --scale 0.7",
    },
    Picture {
        name: "it-narrow-heads",
        command: Attention,
        texts: &[NARROW],
        options: "--from it --words --without-special --layers 3,4 --scale 0.7",
    },
    Picture { name: "heads", command: Attention, texts: &[TIRED], options: "--view heads" },
    Picture {
        name: "pair",
        command: Attention,
        texts: &["A man is eating food.", "Somebody has a meal."],
        options: "--view pair --average heads",
    },
    // Where a decoder looks while it writes.
    Picture {
        name: "dates-gru",
        command: Translate,
        texts: &["le 3 mai 1979"],
        options: "--model dates-gru --view map",
    },
    Picture {
        name: "dates-transformer",
        command: Translate,
        texts: &["Thursday, May 3rd 1979"],
        options: "",
    },
    Picture {
        name: "english-french",
        command: Translate,
        texts: &[DUCKS],
        options: "--model english-french --view map",
    },
    // What a fixed vector loses of long sentences.
    Picture {
        name: "accuracy-by-length",
        command: Evaluate,
        texts: &["models/sentences/held_out.tsv"],
        options: "-m english-french --against english-french-without-attention --trained 20",
    },
    // Where a captioner looks for each word.
    Picture { name: "ducks", command: Caption, texts: &["tests/fixtures/pictures/duck.png"], options: "" },
];

/// Draws each as SVG and PNG. The numbers are those of any device; the PNG's text has this machine's fonts.
pub fn run(options: &Options) -> Result<()> {
    let model = fetch::run(options)?;
    Call::cargo().words("build").run()?;
    for Picture { name, command, texts, options } in PICTURES {
        let call = Call::new(place::attentive("debug"));
        let (call, output) = match command {
            Attention => (call.words("attention -m").arg(place::from_root(&model)), "-o"),
            Translate => (call.words("translate"), "--alignment"),
            Evaluate => (call.words("evaluate"), "--picture"),
            Caption => (call.words("caption"), "-o"),
        };
        let call = texts.iter().fold(call, Call::arg).words(options);
        let call = [".svg", ".png"]
            .iter()
            .fold(call, |call, end| call.arg(output).arg(format!("docs/gallery/{name}{end}")));
        call.run()?;
    }
    Ok(())
}
