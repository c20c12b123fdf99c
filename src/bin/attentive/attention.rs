//! `attentive attention`: where a model attends.

use std::time::{Duration, Instant};

use attentive::layers::LayerCapture;
use attentive::models::{Attended, AttentionMaps, MapToken};
use attentive::{Embedder, Error};
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::draw::{self, Drawing, PictureArguments, Target, View, Writer};
use crate::model::ModelArguments;
use crate::open::{OpenArguments, say_if_slow};
use crate::output::{Failure, Result, bytes, count, note, print, say, thousands};
use crate::table::shortened;
use crate::{model, open};

/// Look at where a model attends: the weights of its heads, captured during a run, as a page, a picture or numbers
///
/// Without --output it prints what the tokens attend to most, or with --from what that one attends to. Layers, heads and
/// tokens are counted from 0.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive attention -m all-MiniLM-L6-v2 \"The animal didn't cross the street because it was too tired.\" --from it
  attentive attention -m all-MiniLM-L6-v2 \"He sat on the bank.\" --layers 4,5 -o heads.html -o heads.svg
  attentive attention -m all-MiniLM-L6-v2 \"A man eats.\" \"Somebody has a meal.\" --view pair -o pair.png
  attentive attention -m ./my-model \"One text.\" -o weights.npy")]
pub struct Arguments {
    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is sentence-transformers/NAME), which is
    /// downloaded into its cache (HF_HOME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: String,

    /// The text
    #[arg(value_name = "TEXT")]
    text: String,

    /// The second text of a pair
    #[arg(value_name = "SECOND")]
    second: Option<String>,

    /// Where the weights go, by the name's end: .html (a page to look around in), .svg, .png, or .npy ([layers, heads,
    /// queries, keys], f32); may be repeated
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = Target::parse)]
    output: Vec<Target>,

    /// What this token attends to: a token or word of the text, or #N by its place
    #[arg(long, env = "ATTENTIVE_FROM", hide_env_values = true, value_name = "TOKEN")]
    from: Option<String>,

    /// Merge the pieces of a word: what is attended to is summed, what attends is averaged
    #[arg(long, env = "ATTENTIVE_WORDS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    words: bool,

    /// Leave out special tokens such as [CLS] and [SEP], which often take most of the weight; nothing is rescaled
    #[arg(long, env = "ATTENTIVE_WITHOUT_SPECIAL", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    without_special: bool,

    /// Bytes that the captured weights may take, such as 64MiB
    #[arg(long, env = "ATTENTIVE_MAX_CAPTURE_BYTES", hide_env_values = true, value_name = "BYTES")]
    #[arg(value_parser = byte_count, default_value = "256MiB")]
    max_capture_bytes: u64,

    #[command(flatten)]
    picture: PictureArguments,

    /// auto, gpu, gpu:N, gpu:name=TEXT, vulkan, metal, dx12, gl or cpu (see `attentive devices`)
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC")]
    #[arg(default_value = "auto", value_parser = open::device_spec)]
    device: String,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

fn byte_count(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" | "k" => Some(1 << 10),
        "mib" | "m" => Some(1 << 20),
        "gib" | "g" => Some(1_u64 << 30),
        _ => None,
    };
    let number = digits.trim().parse::<u64>().ok();
    let bytes = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| "it should be bytes, such as 1000000, 64MiB or 1GiB".to_owned())
}

/// Bytes of weights from which on a page opens slowly.
const SLOW_PAGE: usize = 32 << 20;
/// Tokens named in an error.
const NAMED: usize = 40;

pub fn run(arguments: &Arguments) -> Result<()> {
    let outputs = arguments.output.iter().map(Writer::create).collect::<Result<Vec<_>>>()?;
    let folder = model::find(&arguments.model, model::SENTENCE_TRANSFORMERS, arguments.hub.offline)?;
    let start = Instant::now();
    let device = arguments.open.open(&arguments.device)?;
    say_if_slow(&device);
    let embedder = Embedder::from_dir(&device, &folder)?;
    for notice in embedder.notices() {
        note(notice);
    }
    let load = start.elapsed();
    let start = Instant::now();
    let attended = attend(arguments, &embedder)?;
    let took = start.elapsed();
    if let Some(cut) = &attended.truncation {
        let (limit, source) = embedder.max_tokens();
        note(format_args!(
            "the text is cut to {limit} tokens (the model's limit, by {source}); it has {}",
            thousands(cut.tokens as u64)
        ));
    }

    let (maps, unnumbered) = arguments.chosen(&attended.maps);
    let from = arguments.from.as_deref().map(|from| find(&maps, from)).transpose()?;
    if arguments.picture.view == Some(View::From) && from.is_none() {
        return Err(Failure::Usage("--view from needs --from: the token whose weights are drawn".to_owned()));
    }
    if arguments.picture.view == Some(View::Pair) && arguments.second.is_none() {
        return Err(Failure::Usage("--view pair needs two texts".to_owned()));
    }
    let drawing = Drawing {
        title: arguments.title(),
        caption: arguments.caption(&attended.maps),
        maps: &maps,
        sides: ["from", "to"],
        unnumbered,
        from,
        most: arguments.picture.scale,
        theme: arguments.picture.theme,
        view: arguments.picture.view,
    };
    let summary = summary(&embedder, &attended, [load, took]);
    if outputs.is_empty() {
        return print(&format!("{}\n\n{}\n{summary}", drawing.title, draw::text(&drawing)));
    }
    for output in outputs {
        if output.is_page() && 4 * maps.weights().len() > SLOW_PAGE {
            note(format_args!(
                "the page holds {} of weights and opens slowly: --layers and --heads narrow it",
                bytes(4 * maps.weights().len() as u64)
            ));
        }
        output.write(&drawing)?;
    }
    say(summary.trim_end());
    Ok(())
}

fn attend(arguments: &Arguments, embedder: &Embedder) -> Result<Attended> {
    let mut capture = LayerCapture::all().max_bytes(arguments.max_capture_bytes);
    if let Some(layers) = arguments.picture.layers.these() {
        capture = capture.layers(layers);
    }
    if let Some(heads) = arguments.picture.heads.these() {
        capture = capture.heads(heads);
    }
    let attended = embedder.attention(&arguments.text, arguments.second.as_deref(), &capture);
    attended.map_err(|error| match &error {
        Error::Argument { op, argument, .. } if op == "capture" && argument.contains("weights") => {
            Failure::Failed(format!(
                "{error} (--layers and --heads narrow it, --max-capture-bytes allows more)"
            ))
        }
        Error::Argument { op, .. } if op == "capture" => Failure::Usage(error.to_string()),
        _ => error.into(),
    })
}

impl Arguments {
    /// The maps that are looked at, and what one without a number is.
    fn chosen(&self, maps: &AttentionMaps) -> (AttentionMaps, String) {
        let (mut chosen, unnumbered) = self.picture.averaged(maps);
        if self.words {
            chosen = chosen.words();
        }
        if self.without_special {
            chosen = chosen.only(|token| !token.is_special());
        }
        (chosen, unnumbered)
    }

    fn title(&self) -> String {
        match &self.second {
            None => shortened(&self.text, 300),
            Some(second) => format!("A: {}   B: {}", shortened(&self.text, 150), shortened(second, 150)),
        }
    }

    fn caption(&self, maps: &AttentionMaps) -> String {
        let model = self.model.trim_end_matches(['/', '\\']);
        let model = model.rsplit(['/', '\\']).next().unwrap_or(model);
        let mut caption = model.to_owned();
        if self.words {
            caption += "; pieces merged to words";
        }
        if self.without_special {
            let mut special: Vec<&str> = Vec::new();
            for token in maps.columns().iter().filter(|token| token.is_special()) {
                if !special.contains(&token.label.as_str()) {
                    special.push(&token.label);
                }
            }
            caption += &format!("; {} left out", special.join(" and "));
        }
        caption
    }
}

/// The row that is meant: by its place, or by its text, which then must be there once.
fn find(maps: &AttentionMaps, from: &str) -> Result<usize> {
    let rows = maps.rows();
    let listed = |places: &mut dyn Iterator<Item = (usize, &MapToken)>| {
        let named = places.take(NAMED).map(|(place, token)| format!("#{place} {}", draw::label(token, 24)));
        named.collect::<Vec<_>>().join(", ")
    };
    if let Some(place) = from.strip_prefix('#').and_then(|place| place.parse::<usize>().ok()) {
        if place < rows.len() {
            return Ok(place);
        }
        let last = rows.len().saturating_sub(1);
        return Err(Failure::Usage(format!("--from: there is no token #{place}; there are #0 to #{last}")));
    }
    let same = |text: &str| text.trim().to_lowercase() == from.trim().to_lowercase();
    let bare =
        |token: &MapToken| token.label.trim_start_matches(['▁', 'Ġ']).trim_start_matches("##").to_owned();
    let is = |token: &MapToken| same(&token.label) || same(&token.source) || same(&bare(token));
    let found: Vec<usize> = (0..rows.len()).filter(|&place| is(&rows[place])).collect();
    match found.as_slice() {
        [place] => Ok(*place),
        [] => Err(Failure::Usage(format!(
            "--from: there is no token `{}`; there are {}",
            shortened(from, 60),
            listed(&mut rows.iter().enumerate())
        ))),
        places => Err(Failure::Usage(format!(
            "--from: `{}` is there {} times; say which by its place: {}",
            shortened(from, 60),
            places.len(),
            listed(&mut places.iter().map(|&place| (place, &rows[place])))
        ))),
    }
}

/// Device, sizes, memory and times.
fn summary(embedder: &Embedder, attended: &Attended, [load, took]: [Duration; 2]) -> String {
    let [layers, heads, rows, columns] = attended.maps.shape();
    let captured = 4 * attended.maps.weights().len() as u64;
    format!(
        "device  {}\nweights {}, {}, {rows} × {columns} tokens, captured in one run\n\
         memory  captured {}, {} at the peak with them\n\
         time    loading {:.2} s, run {:.2} s\n",
        embedder.device().name(),
        count(layers, "layer"),
        count(heads, "head"),
        bytes(captured),
        bytes(attended.statistics.peak_bytes),
        load.as_secs_f64(),
        took.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!(
            ["17", "64MiB", "1g", "2 KiB"].map(byte_count),
            [Ok(17), Ok(64 << 20), Ok(1 << 30), Ok(2048)]
        );
        for wrong in ["", "MiB", "1TB", "-1", "99999999999G"] {
            assert!(byte_count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tokens_are_found_by_text_or_place() {
        let tokens: Vec<MapToken> = ["[CLS]", "The", "it", "##it", "the"].map(MapToken::new).into();
        let count = tokens.len() * tokens.len();
        let maps =
            AttentionMaps::new([tokens.clone(), tokens], vec![None], vec![None], vec![0.0; count]).unwrap();
        assert_eq!(find(&maps, "[cls]").unwrap(), 0);
        assert_eq!(find(&maps, "#3").unwrap(), 3);
        let Err(Failure::Usage(several)) = find(&maps, "the") else { panic!() };
        assert!(several.contains("2 times") && several.contains("#1 The, #4 the"), "{several}");
        let Err(Failure::Usage(none)) = find(&maps, "cat") else { panic!() };
        assert!(none.contains("#0 [CLS]"), "{none}");
        assert!(find(&maps, "#5").is_err() && find(&maps, "").is_err());
    }
}
