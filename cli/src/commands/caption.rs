//! `attentive caption`: pictures in, what is to be seen there out, and where each word was looked for.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attentive::models::{Caption, Captioner, EarlyStopping, Strategy};
use attentive::{DType, Device};
use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};

use crate::arguments::{DTypeArgument, DeviceArgument, OpenArguments, caption, is_of_a_model};
use crate::draw::{self, Drawing, Photo, Picture, Theme};
use crate::input::Image;
use crate::output::{Answers, Failure, NotFinite, Result, advance, bar, count, note, say};

/// Say what is to be seen in pictures, and show where each word was looked for
///
/// Without --model it is ducks, which the program holds: it tells of one to four coloured ducks, as `attentive train pictures` draws
/// them. A picture is a PNG or a JPEG of any size; the model looks at 64 by 64 pixels of it.
///
/// The captions go to stdout, a line for each picture, behind its name and a tab where there are several pictures.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive train pictures ducks
  attentive caption ducks/0001.png
  attentive caption ducks/0001.png -o look.svg -o look.png
  attentive caption ducks/*.png --json captions.jsonl
  attentive caption -m my-ducks --beams 4 duck.jpg")]
pub struct Arguments {
    /// The pictures: PNG or JPEG
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// ducks, which the program holds, or a folder that `attentive train caption` wrote
    #[arg(short, long, env = "ATTENTIVE_CAPTION_MODEL", hide_env_values = true, value_name = "MODEL")]
    #[arg(default_value = Captioner::EMBEDDED)]
    model: String,

    /// Draw where the model looks in the picture for each word, by the name's end: .svg, .png, .html, or .npy ([1, 1, words,
    /// places], f32); of one picture; may be repeated
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = draw::target)]
    output: Vec<draw::Target>,

    /// Write the captions as JSON (with words, probabilities and where each looked), an object a line, into a file, or to standard
    /// output (-) in place of the lines
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Put each caption's log-probability and a tab before it
    #[arg(long, env = "ATTENTIVE_SCORES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    scores: bool,

    /// Hypotheses of the beam search; 1 is greedy
    #[arg(long, env = "ATTENTIVE_BEAMS", hide_env_values = true, value_name = "K", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    beams: u32,

    /// The colours of what -o draws
    #[arg(long, env = "ATTENTIVE_THEME", hide_env_values = true, value_enum, default_value = "light")]
    theme: Theme,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    dtype: DTypeArgument,

    #[command(flatten)]
    open: OpenArguments,
}

/// A file, and what the model looks at of it; or why it is no picture.
struct Row<'a> {
    file: &'a Path,
    pixels: Result<Vec<u8>, String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let json = Answers::of(arguments.json.as_deref())?;
    let drawings = arguments.output.iter().map(Picture::create).collect::<Result<Vec<_>>>()?;
    if !drawings.is_empty() && arguments.files.len() != 1 {
        let problem =
            format!("-o draws where one picture is looked at, but there are {}", arguments.files.len());
        return Err(Failure::Usage(problem));
    }
    let start = Instant::now();
    let device = arguments.device.open(&arguments.open)?;
    let (captioner, is_held) = load(&arguments.model, &device, arguments.dtype.dtype())?;
    let loaded = start.elapsed();
    let side = captioner.config().image_size;
    let rows: Vec<Row> = arguments.files.iter().map(|file| row(file, side)).collect();
    let pictures: Vec<&[u8]> = rows.iter().filter_map(|row| row.pixels.as_deref().ok()).collect();
    let strategy = match arguments.beams {
        1 => Strategy::Greedy,
        beams => {
            Strategy::Beam { beams: beams as usize, length_penalty: 1.0, early_stopping: EarlyStopping::No }
        }
    };
    let start = Instant::now();
    let bar = bar();
    let captions = captioner.caption(&pictures).strategy(strategy);
    let captions = captions.progress(|done, all| advance(&bar, done, all)).run();
    bar.finish_and_clear();
    let (captions, took) = (captions?, start.elapsed());
    let captioned: Vec<u64> =
        (1..).zip(&rows).filter(|(_, row)| row.pixels.is_ok()).map(|(number, _)| number).collect();
    let lines: Vec<u64> = captions.not_finite().iter().filter_map(|&at| captioned.get(at).copied()).collect();
    let not_finite = NotFinite::say_lines(&lines, captioned.len(), "picture");
    let mut best = captions.pictures.iter().filter_map(|captions| captions.first());
    let told: Vec<(&Row, Option<&Caption>)> =
        rows.iter().map(|row| (row, row.pixels.as_ref().ok().and_then(|_| best.next()))).collect();
    json.write_text(|| json_lines(&told), &arguments.lines(&told))?;
    if let [(Row { pixels: Ok(pixels), .. }, Some(caption))] = told.as_slice() {
        arguments.draw(caption, Photo { side, rgb: pixels }, drawings)?;
    }
    let least = captions.pictures.iter().filter_map(|captions| Some(captions.first()?.probability()));
    let least = least.fold(f64::INFINITY, f64::min);
    if least.is_finite() {
        say(format_args!(
            "{}{} on {}: {}, {}probability {least:.3}; loaded in {:.2} s, captioned in {:.2} s",
            arguments.model,
            if is_held { " (part of this program)" } else { "" },
            device.name(),
            count(pictures.len(), "picture"),
            if pictures.len() > 1 { "least " } else { "" },
            loaded.as_secs_f64(),
            took.as_secs_f64(),
        ));
    }
    let bad = rows.len() - pictures.len();
    if bad > 0 {
        note(format_args!("{bad} of {} not captioned", count(rows.len(), "file")));
        return Err(Failure::Said);
    }
    not_finite.end()
}

/// The model, and whether the program holds it.
fn load(model: &str, device: &Device, dtype: DType) -> Result<(Captioner, bool)> {
    let path = Path::new(model);
    // `attentive train pictures ducks` makes a folder of that name, which holds pictures.
    if model == Captioner::EMBEDDED && !is_of_a_model(path) {
        return Ok((Captioner::embedded(device, dtype)?, true));
    }
    if path.is_dir() {
        return Ok((Captioner::from_dir(device, path, dtype)?, false));
    }
    Err(match path.exists() {
        true => Failure::file(path, "this is a file; a model is the folder that holds it"),
        false => Failure::Failed(format!(
            "no model `{model}`: there is no such folder, and the program holds {} alone",
            Captioner::EMBEDDED
        )),
    })
}

/// Reads a file, and says what is wrong with it, or that the model sees another size of it.
fn row(file: &Path, side: usize) -> Row<'_> {
    let pixels = Image::open(file).map(|image| {
        if (image.width, image.height) != (side, side) {
            let bars = if image.width == image.height { "" } else { ", with bars in its mean colour" };
            note(format_args!(
                "{}: {} by {} pixels, of which the model sees {side} by {side}{bars}",
                file.display(),
                image.width,
                image.height
            ));
        }
        image.fitted(side)
    });
    if let Err(problem) = &pixels {
        say(format_args!("{}: {problem}", file.display()));
    }
    Row { file, pixels }
}

impl Arguments {
    /// For each picture its caption, an empty one for a file that is none.
    fn lines(&self, told: &[(&Row<'_>, Option<&Caption>)]) -> String {
        let mut text = String::new();
        for (row, caption) in told {
            if told.len() > 1 {
                let _ = write!(text, "{}\t", row.file.display());
            }
            if let (true, Some(caption)) = (self.scores, caption) {
                let _ = write!(text, "{:.4}\t", caption.log_probability);
            }
            let _ = writeln!(text, "{}", caption.map_or("", |caption| &caption.text));
        }
        text
    }

    fn draw(&self, told: &Caption, photo: Photo<'_>, drawings: Vec<Picture>) -> Result<()> {
        let drawing = Drawing {
            title: told.text.clone(),
            caption: caption(&self.model).to_owned(),
            maps: &told.attention,
            sides: ["word", "place"],
            unnumbered: String::new(),
            from: None,
            most: None,
            photo: Some(photo),
            theme: self.theme,
            view: None,
        };
        drawings.into_iter().try_for_each(|picture| picture.write(&drawing))
    }
}

/// An object for each file.
fn json_lines(told: &[(&Row<'_>, Option<&Caption>)]) -> String {
    let mut text = String::new();
    for (index, (row, caption)) in told.iter().enumerate() {
        let mut object = json!({ "index": index, "file": row.file.display().to_string() });
        if let Err(problem) = &row.pixels {
            object["error"] = problem.as_str().into();
        }
        if let Some(caption) = caption {
            let of = |word: usize| -> Value {
                json!({
                    "word": caption.attention.rows()[word].label, "peak": caption.peak(word),
                    "weights": caption.attention.row(0, 0, word),
                })
            };
            object["caption"] = caption.text.as_str().into();
            object["log_probability"] = caption.log_probability.into();
            object["probability"] = caption.probability().into();
            object["stopped"] = caption.stopped.into();
            object["words"] = (0..caption.ids.len()).map(of).collect();
        }
        let _ = writeln!(text, "{object}");
    }
    text
}
