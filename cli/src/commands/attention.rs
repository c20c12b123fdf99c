//! `attentive attention`: where a model attends.

use std::time::{Duration, Instant};

use attentive::models::{AttentionMaps, MapToken, Seq2SeqAttention, Translator};
use attentive::{DType, Embedder};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use crate::arguments::{
    DeviceArgument, ModelArguments, OpenArguments, PictureArguments, Place, SENTENCE_TRANSFORMERS, caption,
    capture_failure,
};
use crate::draw::{self, Drawing, Picture};
use crate::output::{Failure, NotFinite, Result, bytes, count, note, print, say, shortened, thousands};

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
  attentive attention -m dates-transformer \"le 3 mai 1979\" --of decoder -o own.svg
  attentive attention -m ./my-model \"One text.\" -o weights.npy")]
pub struct Arguments {
    /// A folder of an encoder or of an encoder–decoder model; a model of the Hugging Face hub (ORG/NAME; NAME is
    /// sentence-transformers/NAME), which is downloaded into its cache (HF_HOME); dates-transformer, dates-gru or
    /// english-french, which the program holds
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: String,

    /// The text
    #[arg(value_name = "TEXT")]
    text: String,

    /// The second text of a pair
    #[arg(value_name = "SECOND")]
    second: Option<String>,

    /// Which attention of an encoder–decoder model [default: cross]
    #[arg(long, env = "ATTENTIVE_OF", hide_env_values = true, value_enum)]
    of: Option<Of>,

    /// Where the weights go, by the name's end: .html (a page to look around in), .svg, .png, or .npy ([layers, heads,
    /// queries, keys], f32); may be repeated
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = draw::target)]
    output: Vec<draw::Target>,

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

    #[command(flatten)]
    picture: PictureArguments,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// The encoder's self-attention
    Encoder,
    /// The decoder's self-attention: from each token it writes to what it had read of its own
    Decoder,
    /// From each token it writes to the source's: cross-attention, or Bahdanau's
    Cross,
}

impl Of {
    fn attention(self) -> Seq2SeqAttention {
        match self {
            Self::Encoder => Seq2SeqAttention::Encoder,
            Self::Decoder => Seq2SeqAttention::Decoder,
            Self::Cross => Seq2SeqAttention::Cross,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
            Self::Cross => "cross",
        }
    }
}

/// Bytes of weights from which on a page opens slowly.
const SLOW_PAGE: usize = 32 << 20;
/// Tokens named in an error.
const NAMED: usize = 40;

/// The maps of a run, with their texts.
struct Seen {
    maps: AttentionMaps,
    /// What rows and columns are.
    sides: [&'static str; 2],
    title: String,
    device: String,
    /// Bytes on the device at the peak, where one recording was all of the run.
    peak: Option<u64>,
    load: Duration,
    run: Duration,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let outputs = arguments.output.iter().map(Picture::create).collect::<Result<Vec<_>>>()?;
    let device = || arguments.device.open(&arguments.open);
    arguments.picture.check(arguments.from.is_some(), arguments.second.is_some())?;
    let place = arguments.hub.place(&arguments.model, SENTENCE_TRANSFORMERS)?;
    let start = Instant::now();
    let seen = match &place {
        Place::Folder(folder) if !place.is_translator() => {
            arguments.encoded(&Embedder::from_dir(&device()?, folder)?, start)?
        }
        place => arguments.translated(&place.translator(&device()?, DType::F32)?, start)?,
    };

    let not_finite = NotFinite::say_of("the attention weights are", seen.maps.is_finite());
    let (maps, unnumbered) = arguments.chosen(&seen.maps);
    let from = arguments.from.as_deref().map(|from| find(&maps, from)).transpose()?;
    let drawing = Drawing {
        title: seen.title.clone(),
        caption: arguments.caption(&seen.maps),
        maps: &maps,
        sides: seen.sides,
        unnumbered,
        from,
        most: arguments.picture.scale,
        photo: None,
        theme: arguments.picture.theme,
        view: arguments.picture.view,
    };
    let summary = summary(&seen);
    if outputs.is_empty() {
        print(&format!("{}\n\n{}\n{summary}", drawing.title, draw::text(&drawing)))?;
        return not_finite.end();
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
    not_finite.end()
}

impl Arguments {
    /// The self-attention of an encoder over a text or a pair.
    fn encoded(&self, embedder: &Embedder, start: Instant) -> Result<Seen> {
        if let Some(of) = self.of.filter(|of| *of != Of::Encoder) {
            let problem = format!("--of {}: {} is an encoder and has no other", of.name(), self.model);
            return Err(Failure::Usage(problem));
        }
        embedder.notices().iter().for_each(note);
        let load = start.elapsed();
        let start = Instant::now();
        let capture = self.picture.capture();
        let attended = embedder.attention(&self.text, self.second.as_deref(), &capture);
        let attended = attended.map_err(capture_failure)?;
        if let Some(cut) = &attended.truncation {
            let (limit, source) = embedder.max_tokens();
            note(format_args!(
                "the text is cut to {limit} tokens (the model's limit, by {source}); it has {}",
                thousands(cut.tokens as u64)
            ));
        }
        Ok(Seen {
            maps: attended.maps,
            sides: ["from", "to"],
            title: self.title(),
            device: embedder.device().name().to_owned(),
            peak: Some(attended.statistics.peak_bytes),
            load,
            run: start.elapsed(),
        })
    }

    /// An attention of an encoder–decoder model while it writes.
    fn translated(&self, translator: &Translator, start: Instant) -> Result<Seen> {
        if self.second.is_some() {
            let problem = format!("{} reads one text, and there are two", self.model);
            return Err(Failure::Usage(problem));
        }
        translator.notices().iter().for_each(note);
        let load = start.elapsed();
        let start = Instant::now();
        let of = self.of.map_or(Seq2SeqAttention::Cross, Of::attention);
        let texts = [self.text.as_str()];
        let translations = translator.translate(&texts).capture(of, self.picture.capture()).run();
        let translations = translations.map_err(capture_failure)?;
        let best = translations.texts.into_iter().flatten().next();
        if best.as_ref().is_some_and(|best| best.score.is_nan()) {
            return Err(Failure::Failed(format!("the scores of {} are NaN for this text", self.model)));
        }
        let Some((Some(maps), text, stopped)) = best.map(|best| (best.attention, best.text, best.stopped))
        else {
            return Err(Failure::Failed(format!("{} wrote nothing", self.model)));
        };
        if !stopped {
            let limit = count(translator.options().max_tokens, "token");
            note(format_args!("the output is cut at {limit}, before the model was done"));
        }
        Ok(Seen {
            maps,
            sides: match of {
                Seq2SeqAttention::Encoder => ["from", "to"],
                Seq2SeqAttention::Decoder => ["written", "read"],
                Seq2SeqAttention::Cross => ["target", "source"],
            },
            title: format!("{} → {}", self.title(), shortened(&text, 300)),
            device: translator.device().name().to_owned(),
            peak: None,
            load,
            run: start.elapsed(),
        })
    }

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
        let mut caption = caption(&self.model).to_owned();
        if self.words && maps.rows().iter().chain(maps.columns()).any(|token| token.word.is_some()) {
            caption += "; pieces merged to words";
        }
        if self.without_special {
            let mut special: Vec<&str> = Vec::new();
            for token in maps.columns().iter().filter(|token| token.is_special()) {
                if !special.contains(&token.label.as_str()) {
                    special.push(&token.label);
                }
            }
            if !special.is_empty() {
                caption += &format!("; {} left out", special.join(" and "));
            }
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
fn summary(seen: &Seen) -> String {
    let [layers, heads, rows, columns] = seen.maps.shape();
    let peak = seen.peak.map(|peak| format!(", {} at the peak with them", bytes(peak)));
    format!(
        "device  {}\nweights {}, {}, {rows} × {columns} tokens, captured in one run\n\
         memory  captured {}{}\n\
         time    loading {:.2} s, run {:.2} s\n",
        seen.device,
        count(layers, "layer"),
        count(heads, "head"),
        bytes(4 * seen.maps.weights().len() as u64),
        peak.unwrap_or_default(),
        seen.load.as_secs_f64(),
        seen.run.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
