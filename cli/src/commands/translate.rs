//! `attentive translate`: texts in, another language or form out.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attentive::models::{
    EarlyStopping, EmbeddedModel, Seq2SeqAttention, Strategy, Translation, TranslationProgress, Translations,
    Translator,
};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;

use crate::arguments::{
    DTypeArgument, DeviceArgument, HELSINKI, ModelArguments, OpenArguments, PictureArguments, Place,
    TextArguments, caption, capture_failure,
};
use crate::draw::{self, Drawing, Picture};
use crate::input::{Format, Row, check_rows};
use crate::output::{Answers, BadRows, Failure, NotFinite, Result, Writer, bar, count, note, say};

/// Translate texts: a line in, a line out
///
/// Without --model it is dates-transformer, which the program holds: written dates and numbers in English, French and
/// Chinese, to ISO 8601 and digits. Other models are MarianMT folders as Hugging Face ships them, such as
/// Helsinki-NLP/opus-mt-en-fr.
///
/// The translations go to stdout, one line for each text (--n-best: so many, best first, each after its score and a
/// tab). How sure the model is of them is told on stderr, and with --scores before each line.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive translate \"le 3 mai 1979\"
  attentive translate --model dates-gru \"Thursday, May 3rd 1979\" \"一九七九年五月三日\"
  attentive translate --model english-french \"the blue duck follows the horses\" --alignment look.html
  attentive translate -m Helsinki-NLP/opus-mt-en-fr --beams 4 --n-best 2 \"The cat sat on the mat.\"
  attentive translate -m ./opus-mt-en-fr --input english.txt -o french.txt
  attentive translate \"le 3 mai 1979\" --alignment look.html --alignment look.svg
  attentive translate --sample --temperature 1.5 --seed 7 --n-best 3 \"the third of May\"")]
pub struct Arguments {
    /// dates-transformer, dates-gru, english-french or english-french-without-attention, which need no download; a folder; or a model of the Hugging Face hub (ORG/NAME)
    #[arg(short, long, env = "ATTENTIVE_TRANSLATE_MODEL", hide_env_values = true, value_name = "MODEL")]
    #[arg(default_value = EmbeddedModel::DatesTransformer.name())]
    model: String,

    #[command(flatten)]
    texts: TextArguments,

    /// Where the translations go: NAME.jsonl (as --json has them), or any other name for lines [default: stdout]
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Draw where the decoder looks in the source while it writes, by the name's end: .html (a page to look around in),
    /// .svg, .png, or .npy ([layers, heads, target, source], f32); of one text; may be repeated
    #[arg(long, env = "ATTENTIVE_ALIGNMENT", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = draw::target)]
    alignment: Vec<draw::Target>,

    /// Write the translations as JSON (with ids and scores), an object a line, into a file, or to standard output (-) in
    /// place of the lines
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Put each translation's score and a tab before it
    #[arg(long, env = "ATTENTIVE_SCORES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    scores: bool,

    /// Hypotheses of the beam search; 1 is greedy [default: what the model says]
    #[arg(
        long,
        env = "ATTENTIVE_BEAMS",
        hide_env_values = true,
        value_name = "K",
        conflicts_with = "sample"
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    beams: Option<u64>,

    /// Above 0 for longer translations of a beam search: α in Σ log p / lengthᵅ [default: what the model says]
    #[arg(long, env = "ATTENTIVE_LENGTH_PENALTY", hide_env_values = true, value_name = "α")]
    #[arg(allow_negative_numbers = true, conflicts_with = "sample")]
    length_penalty: Option<f32>,

    /// When a beam search ends [default: what the model says]
    #[arg(
        long,
        env = "ATTENTIVE_EARLY_STOPPING",
        hide_env_values = true,
        value_enum,
        conflicts_with = "sample"
    )]
    early_stopping: Option<EarlyStoppingName>,

    /// Translations of each text, best first; of --sample at most 1,024
    #[arg(long, env = "ATTENTIVE_N_BEST", hide_env_values = true, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    n_best: u64,

    /// Draw each token from the model's distribution
    #[arg(long, env = "ATTENTIVE_SAMPLE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    sample: bool,

    /// What logits are divided by before a draw
    #[arg(
        long,
        env = "ATTENTIVE_TEMPERATURE",
        hide_env_values = true,
        value_name = "T",
        requires = "sample"
    )]
    temperature: Option<f32>,

    /// Draw from the k likeliest tokens only
    #[arg(long, env = "ATTENTIVE_TOP_K", hide_env_values = true, value_name = "K", requires = "sample")]
    top_k: Option<u64>,

    /// Draw from the likeliest tokens that have this probability together
    #[arg(long, env = "ATTENTIVE_TOP_P", hide_env_values = true, value_name = "P", requires = "sample")]
    top_p: Option<f32>,

    /// Same seed, same draws
    #[arg(long, env = "ATTENTIVE_SEED", hide_env_values = true, value_name = "N", requires = "sample")]
    seed: Option<u64>,

    /// The most tokens of a translation [default: what the model says]
    #[arg(long, env = "ATTENTIVE_MAX_TOKENS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    dtype: DTypeArgument,

    #[command(flatten)]
    picture: PictureArguments,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum EarlyStoppingName {
    /// As soon as there are K finished hypotheses
    Yes,
    /// When the best running one is no better now than the worst finished one
    No,
    /// When it could not become better at the greatest length
    Never,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let output = arguments.output.as_deref().map(Writer::file).transpose()?;
    let json = Answers::of(arguments.json.as_deref())?;
    let pictures = arguments.alignment.iter().map(Picture::create).collect::<Result<Vec<_>>>()?;
    let mut rows = arguments.texts.rows("translate")?;
    if !pictures.is_empty() {
        if rows.len() != 1 {
            let texts = rows.len();
            let problem = format!("--alignment draws where one text is looked at, but there are {texts}");
            return Err(Failure::Usage(problem));
        }
        arguments.picture.check(false, false)?;
    }
    let start = Instant::now();
    let device = arguments.device.open(&arguments.open)?;
    let place = arguments.hub.place(&arguments.model, HELSINKI)?;
    let translator = place.translator(&device, arguments.dtype.dtype())?;
    let load = start.elapsed();
    for notice in translator.notices() {
        note(notice);
    }
    let strategy = arguments.strategy(translator.options().strategy)?;
    check_rows(&mut rows, |text| translator.check_source(text));
    let bad = BadRows::say(&rows);
    let texts: Vec<&str> = rows.iter().filter_map(|row| row.text.as_deref().ok()).collect();
    let start = Instant::now();
    let bar = bar();
    let translations = arguments.translate(&translator, strategy, &texts, &bar);
    bar.finish_and_clear();
    let translations = translations?;
    let took = start.elapsed();
    let not_finite = NotFinite::say(&rows, &translations.not_finite(), arguments.texts.noun());
    let named_json = arguments.output.as_deref().is_some_and(|path| Format::of(path) == Format::Jsonl);
    let text =
        if named_json { json_lines(&rows, &translations) } else { arguments.lines(&rows, &translations) };
    let lines = if output.is_some() { "" } else { text.as_str() };
    json.write_text(|| json_lines(&rows, &translations), lines)?;
    if let Some(mut file) = output {
        file.write(&text)?;
        file.finish()?;
    }
    if let (false, Some(best)) =
        (pictures.is_empty(), translations.texts.first().and_then(|outputs| outputs.first()))
    {
        arguments.draw(texts.first().unwrap_or(&""), best, pictures)?;
    }
    say_what_was_done(arguments, &place, &translator, &translations, [load, took]);
    say_what_was_cut(&translations);
    bad.end("translated").and(not_finite.end())
}

impl Arguments {
    /// How tokens are chosen: what is asked for, else what the model says.
    fn strategy(&self, of_model: Strategy) -> Result<Strategy> {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        if self.sample {
            let (temperature, top_k, top_p) = match of_model {
                Strategy::Sample { temperature, top_k, top_p, .. } => (temperature, top_k, top_p),
                _ => (1.0, 0, 1.0),
            };
            return Ok(Strategy::Sample {
                temperature: self.temperature.unwrap_or(temperature),
                top_k: self.top_k.map_or(top_k, whole),
                top_p: self.top_p.unwrap_or(top_p),
                seed: self.seed.unwrap_or(0),
            });
        }
        let n_best = whole(self.n_best);
        let (beams, length_penalty, early_stopping) = match of_model {
            Strategy::Beam { beams, length_penalty, early_stopping } => {
                (beams, length_penalty, early_stopping)
            }
            _ => (n_best, 1.0, EarlyStopping::No),
        };
        let beams = self.beams.map_or(beams.max(n_best), whole);
        if beams == 1 {
            let flags = [
                (self.length_penalty.is_some(), "--length-penalty"),
                (self.early_stopping.is_some(), "--early-stopping"),
            ];
            if let Some((_, flag)) = flags.into_iter().find(|(given, _)| *given) {
                let problem = format!("{flag} is of a beam search: --beams says how wide");
                return Err(Failure::Usage(problem));
            }
            return Ok(Strategy::Greedy);
        }
        Ok(Strategy::Beam {
            beams,
            length_penalty: self.length_penalty.unwrap_or(length_penalty),
            early_stopping: self.early_stopping.map_or(early_stopping, |name| match name {
                EarlyStoppingName::Yes => EarlyStopping::Yes,
                EarlyStoppingName::No => EarlyStopping::No,
                EarlyStoppingName::Never => EarlyStopping::Never,
            }),
        })
    }

    fn draw(&self, source: &str, best: &Translation, pictures: Vec<Picture>) -> Result<()> {
        let Some(maps) = &best.attention else { return Ok(()) };
        let (maps, unnumbered) = self.picture.averaged(maps);
        let drawing = Drawing {
            title: format!("{source} → {}", best.text),
            caption: caption(&self.model).to_owned(),
            maps: &maps,
            sides: ["target", "source"],
            unnumbered,
            from: None,
            most: self.picture.scale,
            photo: None,
            theme: self.picture.theme,
            view: self.picture.view,
        };
        pictures.into_iter().try_for_each(|picture| picture.write(&drawing))
    }

    fn translate(
        &self,
        translator: &Translator,
        strategy: Strategy,
        texts: &[&str],
        bar: &ProgressBar,
    ) -> Result<Translations> {
        let mut translate = translator
            .translate(texts)
            .strategy(strategy)
            .n_best(usize::try_from(self.n_best).unwrap_or(usize::MAX))
            .progress(|progress: TranslationProgress| {
                bar.set_length(progress.of_texts as u64);
                bar.set_position(progress.texts as u64);
                bar.set_message(format!("texts, {} tokens of this batch", progress.tokens));
            });
        if !self.alignment.is_empty() {
            translate = translate.capture(Seq2SeqAttention::Cross, self.picture.capture());
        }
        if let Some(tokens) = self.max_tokens {
            translate = translate.max_tokens(usize::try_from(tokens).unwrap_or(usize::MAX));
        }
        translate.run().map_err(capture_failure)
    }

    /// For each row its translations, an empty line for a row that has none.
    fn lines(&self, rows: &[Row], translations: &Translations) -> String {
        let with_scores = self.scores || self.n_best > 1;
        let mut text = String::new();
        for (_, outputs) in with_outputs(rows, translations) {
            for output in outputs.into_iter().flatten() {
                if with_scores {
                    let _ = write!(text, "{:.4}\t", output.score);
                }
                // A line for each, whatever the model wrote.
                let _ = writeln!(text, "{}", output.text.replace(['\n', '\r'], " "));
            }
            if outputs.is_none() {
                text.push('\n');
            }
        }
        text
    }
}

/// The rows, each with its translations if it was translated.
fn with_outputs<'a>(
    rows: &'a [Row],
    translations: &'a Translations,
) -> impl Iterator<Item = (&'a Row, Option<&'a Vec<Translation>>)> {
    let mut found = translations.texts.iter();
    rows.iter().map(move |row| (row, row.text.as_ref().ok().and_then(|_| found.next())))
}

/// An object for each row.
fn json_lines(rows: &[Row], translations: &Translations) -> String {
    let mut text = String::new();
    for (index, (row, outputs)) in with_outputs(rows, translations).enumerate() {
        let of = |t: &Translation| {
            json!({
                "text": t.text, "ids": t.ids, "score": t.score, "probability": t.probability(),
                "log_probability": t.log_probability, "stopped": t.stopped,
            })
        };
        let outputs = outputs.map(|outputs| outputs.iter().map(of).collect::<Vec<_>>());
        let source = row.text.as_ref().ok();
        let mut object = json!({
            "index": index, "line": row.line, "source": source, "translations": outputs,
        });
        if let Err(problem) = &row.text {
            object["error"] = problem.as_str().into();
        }
        let _ = writeln!(text, "{object}");
    }
    text
}

/// The model, the device, how sure it is, the time.
fn say_what_was_done(
    arguments: &Arguments,
    place: &Place,
    translator: &Translator,
    translations: &Translations,
    [load, took]: [Duration; 2],
) {
    let best: Vec<f64> =
        translations.texts.iter().filter_map(|outputs| Some(outputs.first()?.probability())).collect();
    let sure = match best.as_slice() {
        [] => String::new(),
        [one] => format!(", probability {}", shown(*one)),
        several => {
            let least = several.iter().copied().fold(f64::INFINITY, f64::min);
            format!(", least probability {}", shown(least))
        }
    };
    let held = match place {
        Place::Embedded(_) => " (part of this program)",
        Place::Folder(_) => "",
    };
    let statistics = &translations.statistics;
    say(format_args!(
        "{}{held} on {}: {}, {}{sure}; loaded in {:.2} s, translated in {:.2} s",
        arguments.model,
        translator.device().name(),
        count(statistics.texts, "text"),
        count(statistics.tokens, "token"),
        load.as_secs_f64(),
        took.as_secs_f64(),
    ));
}

/// A probability with the digits that tell it from 0 and from 1.
fn shown(probability: f64) -> String {
    match probability {
        p if p >= 0.9995 => format!("{p:.6}"),
        p if p >= 0.001 => format!("{p:.3}"),
        p => format!("{p:.1e}"),
    }
}

fn say_what_was_cut(translations: &Translations) {
    let cut =
        |outputs: &[Translation]| outputs.iter().any(|output| !output.stopped && !output.score.is_nan());
    let number = translations.texts.iter().filter(|outputs| cut(outputs)).count();
    if number > 0 {
        note(format_args!(
            "{} cut at the limit on tokens (--max-tokens), before the model was done",
            count(number, "translation")
        ));
    }
}
