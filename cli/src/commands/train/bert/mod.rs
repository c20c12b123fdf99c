//! `attentive train bert`: a BERT from nothing, on a text.

mod batches;
mod report;
mod text;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use attentive::models::HeadKind;
use attentive::train::Better;
use attentive::weights::WordPieceVocabulary;
use attentive::{BertModel, DType};
use clap::Args;
use serde_json::json;

use crate::arguments::{DeviceArgument, OpenArguments};
use crate::output::{Answers, Failure, Result, count, note, thousands};
use crate::training::{Defaults, Flags, Run, RunArguments, Scoring, Settings, StepArguments, from_nothing};
use batches::Batches;
use report::{held_out_loss, report};
use text::Text;

/// The learning rate's rise, of all steps at most a tenth.
const WARMUP: u64 = 400;
/// How much wider the middle of a feed-forward block is than the model.
const WIDENING: usize = 4;

const DEFAULTS: Defaults = Defaults { length: 4000, batch_size: 32, learning_rate: 1e-3 };
const FLAGS: Flags = Flags {
    examples: "pairs of sentences",
    seeded: "same pairs, same hidden words and same first weights",
    seed: 20_181_011,
    defaults: Some(DEFAULTS),
    smallest_batch: 1,
    advice: "",
};

/// Pre-train a small BERT from nothing, on a text
///
/// Both tasks are BERT's own (Devlin et al. 2019, section 3.1): of each pair of sentences 15 % of the tokens are to be guessed, 80 % of
/// these hidden, 10 % replaced and 10 % left; and half of the pairs are sentences that follow each other. The vocabulary is made of the
/// text. Without a FILE it is the King James Version of the Bible, as the program of Debian's package bible-kjv prints it: a verse is a
/// sentence and a chapter a document. What was trained is written to a folder of transformers' form, which `attentive fill-mask -m` and
/// `attentive next-sentence -m` take, and held against documents that training never sees.
#[derive(Args)]
#[command(mut_args(|argument| FLAGS.describe(argument)))]
#[command(after_help = "\
Examples:
  apt-get install bible-kjv && attentive train bert -o my-bert
  attentive train bert -o my-bert --resume
  attentive train bert book.txt -o my-bert --steps 500 --device cpu --log steps.csv --curve loss.svg
  attentive fill-mask -m my-bert \"and god said, let there be [MASK].\"
  attentive next-sentence -m my-bert \"and god said, let there be light.\" \"and there was light.\"")]
pub struct Arguments {
    /// A text with a sentence on each line and empty lines between documents; - is standard input [default: the Bible, by the program
    /// `bible`]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    run: RunArguments,

    #[command(flatten)]
    training: StepArguments,

    /// Tokens of the vocabulary, at most
    #[arg(
        long,
        env = "ATTENTIVE_VOCABULARY",
        hide_env_values = true,
        value_name = "N",
        default_value_t = 8000
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(6..=1_000_000))]
    vocabulary: u32,

    /// Layers of the encoder
    #[arg(long, env = "ATTENTIVE_LAYERS", hide_env_values = true, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    layers: u32,

    /// Width of the encoder, a multiple of the heads
    #[arg(long, env = "ATTENTIVE_WIDTH", hide_env_values = true, value_name = "N", default_value_t = 128)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=8192))]
    width: u32,

    /// Heads of each layer's attention
    #[arg(long, env = "ATTENTIVE_HEADS", hide_env_values = true, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=128))]
    heads: u32,

    /// Tokens of a pair, special ones included; longer pairs are cut
    #[arg(
        long,
        env = "ATTENTIVE_MAX_TOKENS",
        hide_env_values = true,
        value_name = "N",
        default_value_t = 128
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(8..=8192))]
    max_tokens: u32,

    /// Documents that are held out [default: a twentieth of them]
    #[arg(long, env = "ATTENTIVE_HELD_OUT", hide_env_values = true, value_name = "N")]
    held_out: Option<NonZeroUsize>,

    /// Write what came out as JSON into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let answers = Answers::of(arguments.json.as_deref())?;
    if !arguments.width.is_multiple_of(arguments.heads) {
        let Arguments { width, heads, .. } = arguments;
        return Err(Failure::Usage(format!(
            "--width must be a multiple of --heads, {heads}, but is {width}"
        )));
    }
    let text = Text::read(arguments.file.as_deref(), arguments.held_out)?;
    let device = arguments.device.open(&arguments.open)?;
    let vocabulary =
        WordPieceVocabulary::train(&text.training.documents().concat(), arguments.vocabulary as usize)?;
    let config = config(arguments, vocabulary.tokens().len());
    let heads = [HeadKind::MaskedLanguage, HeadKind::NextSentence];
    let tokenizer = vocabulary.tokenizer()?;
    let settings = arguments.training.settings(&FLAGS, DEFAULTS);
    let Settings { steps, batch_size, seed, .. } = settings;
    let model = BertModel::untrained(&device, config.as_bytes(), tokenizer, &heads, seed)?;
    let trainer = from_nothing(&device, model.parameters(), WARMUP, &settings)?;
    let own = [
        ("text's checksum", format!("{:08x}", text.checksum)),
        ("held-out documents", text.held_out.documents().len().to_string()),
        ("vocabulary", arguments.vocabulary.to_string()),
        ("layers", arguments.layers.to_string()),
        ("width", arguments.width.to_string()),
        ("heads", arguments.heads.to_string()),
        ("max tokens", arguments.max_tokens.to_string()),
    ];
    let scoring = Scoring {
        name: "held-out loss",
        better: Better::Lower,
        score: Box::new(|| held_out_loss(&model, &text)),
    };
    let mut run = Run::begin(&arguments.run, trainer, &settings, &own, scoring)?;
    let elements = run.parameters();
    note(format_args!(
        "{}: {} in {}, {} more held out; {} tokens, {} parameters, {} of {} pairs, on {}",
        text.name,
        count(text.training.sentences(), "sentence"),
        count(text.training.documents().len(), "document"),
        text.held_out.documents().len(),
        thousands(vocabulary.tokens().len() as u64),
        thousands(elements),
        count(steps as usize, "step"),
        batch_size,
        device.name()
    ));
    let had = run.taken();
    let mut batches = Batches::new(&model, &text.training, batch_size, seed, had)?;
    while run.goes_on() {
        let batch = batches.next()?;
        let tokens = batch.iter().map(|input| input.tokens.ids.len()).sum();
        run.step([batch.len(), tokens], |recording, part| {
            model.record_pretraining_loss_part(recording, &batch, part)
        })?;
    }
    let output = &arguments.run.output;
    let taken = run.taken();
    run.end(|_| save(output, &config, &vocabulary, &model))?;
    let (report, mut found) = report(output, &device, &text)?;
    found["parameters"] = elements.into();
    found["vocabulary"] = vocabulary.tokens().len().into();
    found["steps"] = taken.into();
    found["device"] = device.name().into();
    answers.write(&[found], &report)
}

/// The `config.json` of the sizes that are asked for.
fn config(arguments: &Arguments, vocabulary: usize) -> String {
    let width = arguments.width as usize;
    let config = json!({
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": arguments.layers,
        "num_attention_heads": arguments.heads,
        "intermediate_size": WIDENING * width,
        "hidden_act": "gelu",
        "max_position_embeddings": arguments.max_tokens,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "pad_token_id": 0,
        "tie_word_embeddings": true,
    });
    format!("{config:#}\n")
}

/// Writes a folder that `attentive fill-mask` reads, and transformers.
fn save(folder: &Path, config: &str, vocabulary: &WordPieceVocabulary, model: &BertModel) -> Result<()> {
    let settings = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "model_max_length": model.max_tokens().0,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    });
    for (name, contents) in [
        ("config.json", config),
        ("tokenizer.json", &vocabulary.tokenizer_json()),
        ("tokenizer_config.json", &format!("{settings:#}\n")),
        ("vocab.txt", &vocabulary.vocab_txt()),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, contents).map_err(|error| Failure::file(&path, error))?;
    }
    Ok(model.save_weights(folder.join("model.safetensors"), DType::F32)?)
}
