//! `attentive train caption`: the captioner of ducks, from nothing.

use std::fmt::Write as _;
use std::path::Path;

use attentive::models::{AttentionTerms, Captioner, Region};
use attentive::train::Better;
use attentive::weights::CaptionerConfig;
use attentive::{DType, Device};
use clap::Args;

use super::ducks::{self, Pairs, Scene, Scenes};
use crate::arguments::{DeviceArgument, OpenArguments};
use crate::output::{Failure, Result, advance, bar, count, note, print, thousands};
use crate::training::{Defaults, Flags, Run, RunArguments, Scoring, Settings, StepArguments, from_nothing};

/// The learning rate's rise, of all steps at most a tenth.
const WARMUP: u64 = 200;
/// What the vocabulary has before the words: what fills up and begins a caption, and what ends it.
const NO_WORDS: [&str; 2] = ["<pad>", "</s>"];
/// Wrong captions that are shown.
const SHOWN: usize = 10;
const DEFAULTS: Defaults = Defaults { length: 5000, batch_size: 32, learning_rate: 3e-3 };
const FLAGS: Flags = Flags {
    examples: "pictures",
    seeded: "same pictures and same first weights",
    seed: 20_150_210,
    defaults: Some(DEFAULTS),
    smallest_batch: 1,
    advice: "",
};
/// The seeds of the pictures that the model is held against, which no run of training has.
const HELD_OUT: [(u64, Pairs); 2] = [(0x0dd5_ca1e, Pairs::Known), (0x0dd5_ca1f, Pairs::Withheld)];

/// Train the program's own captioner from nothing
///
/// The pictures are drawn as they are asked for: one to four coloured ducks in 64 by 64 pixels, and what is to be said of them
/// (`attentive train pictures` draws some to look at). What was trained is written to a folder that `attentive caption -m FOLDER` takes,
/// and held against pictures that training never sees: drawn as those were, and with two colours that no picture of training has
/// together. For each word that is a colour it is told whether the model looked most at a place within such a duck.
#[derive(Args)]
#[command(mut_args(|argument| FLAGS.describe(argument)))]
#[command(after_help = "\
Examples:
  attentive train caption -o my-ducks
  attentive train caption -o my-ducks --resume
  attentive train caption -o my-ducks --steps 500 --device cpu --log steps.csv --curve loss.svg
  attentive caption -m my-ducks duck.png")]
pub struct Arguments {
    #[command(flatten)]
    run: RunArguments,

    #[command(flatten)]
    training: StepArguments,

    /// How much it counts that each place of a picture is looked at once in all (the doubly stochastic attention of Xu et al. 2015)
    #[arg(
        long,
        env = "ATTENTIVE_DOUBLY_STOCHASTIC",
        hide_env_values = true,
        value_name = "λ",
        default_value_t = 0.0
    )]
    doubly_stochastic: f32,

    /// How much it counts that the model looks at a duck of that colour when it writes a colour (attention correctness, after Liu et al.
    /// 2017); 0 leaves it to itself
    #[arg(
        long,
        env = "ATTENTIVE_CORRECTNESS",
        hide_env_values = true,
        value_name = "μ",
        default_value_t = 0.5
    )]
    correctness: f32,

    /// Pictures of each kind that the model is held against in the end, and where --evaluate-every asks for scores
    #[arg(
        long,
        env = "ATTENTIVE_EVALUATE",
        hide_env_values = true,
        value_name = "N",
        default_value_t = 1000
    )]
    evaluate: usize,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.open(&arguments.open)?;
    let config = CaptionerConfig::from_json(Captioner::embedded_config(), "config.json")?;
    let vocabulary = NO_WORDS.into_iter().chain(ducks::vocabulary()).map(str::to_owned).collect();
    let settings = arguments.training.settings(&FLAGS, DEFAULTS);
    let Settings { steps, batch_size: batch, seed, .. } = settings;
    let captioner = Captioner::untrained(&device, config, vocabulary, seed)?;
    let trainer = from_nothing(&device, captioner.parameters(), WARMUP, &settings)?;
    let own = [
        ("model", Captioner::EMBEDDED.to_owned()),
        ("doubly stochastic", arguments.doubly_stochastic.to_string()),
        ("correctness", arguments.correctness.to_string()),
    ];
    let scoring = Scoring {
        name: "share of exact captions",
        better: Better::Higher,
        score: Box::new(|| {
            let [(seed, pairs), _] = HELD_OUT;
            let scenes: Vec<Scene> = Scenes::new(seed, pairs).take(arguments.evaluate).collect();
            Ok(held_against(&captioner, &scenes)?.exact as f64 / scenes.len().max(1) as f64)
        }),
    };
    let mut run = Run::begin(&arguments.run, trainer, &settings, &own, scoring)?;
    let elements = run.parameters();
    note(format_args!(
        "{}: {} parameters, {} of {} pictures, on {}",
        Captioner::EMBEDDED,
        thousands(elements),
        count(steps as usize, "step"),
        batch,
        device.name()
    ));
    let mut scenes = Scenes::new(seed, Pairs::Known);
    // A run that goes on has had these.
    scenes.by_ref().take(run.taken() as usize * batch).for_each(drop);
    while run.goes_on() {
        let scenes: Vec<Scene> = scenes.by_ref().take(batch).collect();
        let pictures: Vec<Vec<u8>> = scenes.iter().map(ducks::draw).collect();
        let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
        let captions = scenes.iter().map(|scene| captioner.encode(&scene.caption()));
        let captions: Vec<Vec<u32>> = captions.collect::<attentive::Result<_>>()?;
        let captions: Vec<&[u32]> = captions.iter().map(Vec::as_slice).collect();
        let regions: Vec<Vec<Region>> = scenes.iter().map(|scene| regions(scene, &captioner)).collect();
        let attention = AttentionTerms {
            doubly_stochastic: arguments.doubly_stochastic,
            correctness: arguments.correctness,
            regions: &regions,
        };
        let words = captions.iter().map(|caption| caption.len()).sum();
        run.step([batch, words], |recording, part| {
            captioner.record_loss_part(recording, &pictures, &captions, &attention, part)
        })?;
    }
    let output = &arguments.run.output;
    run.end(|_| save(output, &captioner))?;
    print(&report(output, &device, arguments.evaluate)?)
}

/// For each word that is a colour, the places whose middle lies within a duck that it is of.
fn regions(scene: &Scene, captioner: &Captioner) -> Vec<Region> {
    let side = captioner.config().side();
    let region = |(word, ducks): (usize, Vec<ducks::Corners>)| {
        let is_inside = |&place: &usize| {
            let middle = middle([place % side, place / side], captioner);
            ducks.iter().any(|duck| ducks::contains(duck, middle))
        };
        Region { word, places: (0..side * side).filter(is_inside).collect() }
    };
    scene.meant().into_iter().map(region).collect()
}

/// The middle of a place, in pixels.
fn middle(place: [usize; 2], captioner: &Captioner) -> [f32; 2] {
    place.map(|place| (place as f32 + 0.5) * captioner.config().patch_stride as f32)
}

/// Writes a folder that `attentive caption` reads.
fn save(folder: &Path, captioner: &Captioner) -> Result<()> {
    let words: String = captioner.vocabulary().iter().map(|word| format!("{word}\n")).collect();
    for (name, contents) in [("config.json", Captioner::embedded_config()), ("vocab.txt", words.as_bytes())] {
        let path = folder.join(name);
        std::fs::write(&path, contents).map_err(|error| Failure::file(&path, error))?;
    }
    Ok(captioner.save_weights(folder.join("model.safetensors"), DType::F16)?)
}

/// How many held-out pictures the model in the folder captions exactly, where it looks, and some that it does not.
fn report(folder: &Path, device: &Device, number: usize) -> Result<String> {
    let captioner = Captioner::from_dir(device, folder, DType::F32)?;
    let mut text = String::new();
    let mut wrong = Vec::new();
    for (seed, pairs) in HELD_OUT {
        let scenes: Vec<Scene> = Scenes::new(seed, pairs).take(number).collect();
        let held = held_against(&captioner, &scenes)?;
        let percent = |part: usize, all: usize| 100.0 * part as f64 / all.max(1) as f64;
        let what = match pairs {
            Pairs::Known => "held-out pictures",
            Pairs::Withheld => "pictures with two colours that training has never together",
        };
        let _ = writeln!(
            text,
            "{} of {} {what} captioned exactly ({:.1} %); for {} of {} colours the model looked most into such a duck ({:.1} %)",
            thousands(held.exact as u64),
            thousands(number as u64),
            percent(held.exact, number),
            thousands(held.looked as u64),
            thousands(held.colours as u64),
            percent(held.looked, held.colours),
        );
        wrong.extend(held.wrong);
    }
    let _ = writeln!(text, "{}, by the weights in f16", folder.join("model.safetensors").display());
    for (wanted, found) in wrong.iter().take(SHOWN) {
        let _ = writeln!(text, "  {wanted}, captioned {found}");
    }
    if wrong.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", wrong.len() - SHOWN);
    }
    Ok(text)
}

/// What came of scenes.
#[derive(Default)]
struct Held {
    exact: usize,
    /// Words that are a colour in the captions that should have been written.
    colours: usize,
    /// Those of them that were written in their place, looking most at a place whose middle lies within such a duck.
    looked: usize,
    /// What should have been written, and what was.
    wrong: Vec<(String, String)>,
}

fn held_against(captioner: &Captioner, scenes: &[Scene]) -> Result<Held> {
    let pictures: Vec<Vec<u8>> = scenes.iter().map(ducks::draw).collect();
    let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let bar = bar();
    let captions = captioner.caption(&pictures).progress(|done, all| advance(&bar, done, all)).run();
    bar.finish_and_clear();
    let mut held = Held::default();
    for (scene, captions) in scenes.iter().zip(captions?.pictures) {
        let Some(caption) = captions.into_iter().next() else { continue };
        let wanted = scene.caption();
        let (written, right): (Vec<&str>, Vec<&str>) =
            (caption.text.split(' ').collect(), wanted.split(' ').collect());
        for (word, ducks) in scene.meant() {
            held.colours += 1;
            let is_inside = caption.peak(word).is_some_and(|place| {
                let middle = middle(place, captioner);
                ducks.iter().any(|duck| ducks::contains(duck, middle))
            });
            held.looked += usize::from(written.get(word) == right.get(word) && is_inside);
        }
        match caption.text == wanted {
            true => held.exact += 1,
            false => held.wrong.push((wanted, caption.text)),
        }
    }
    Ok(held)
}
