//! Translating: tokenizer, encoder–decoder model and generation.

use std::ops::ControlFlow;
use std::path::Path;

use super::embedded::EmbeddedModel;
use super::facts::Wanted;
use super::maps::{Captured, map_tokens};
use super::model::Model;
use super::{BahdanauSeq2Seq, Seq2SeqAttention, TransformerSeq2Seq};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::LayerCapture;
use crate::models::attention_maps::{AttentionMaps, MapToken};
use crate::models::batches::tokenize;
use crate::models::embedder::not_finite;
use crate::models::generation::{EarlyStopping, GenerationOptions, Hypothesis, Strategy, TokenRules};
use crate::ops::expect_weight_dtype;
use crate::progress::{IntoControlFlow, obey};
use crate::tensor::DType;
use crate::weights::{Encoding, GenerationConfig, Seq2SeqFolder, Seq2SeqTokenizer};

pub(super) const OP: &str = "translate";

/// A sequence-to-sequence model on a device, with its tokenizer.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// use attentive::{Device, Translator};
///
/// let device = Device::open("auto")?;
/// let translator = Translator::from_dir(&device, "opus-mt-en-fr", attentive::DType::F32)?;
/// let translations = translator.translate(&["The cat sat on the mat."]).run()?;
/// println!("{} ({})", translations.texts[0][0].text, translations.texts[0][0].score);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Translator {
    device: Device,
    pub(super) model: Model,
    tokenizer: Seq2SeqTokenizer,
    start: u32,
    options: GenerationOptions,
    notices: Vec<String>,
}

impl Translator {
    /// Loads a folder: MarianMT's as Hugging Face ships them, or one of `models/train.py`.
    ///
    /// # Errors
    /// Those of [`Seq2SeqFolder::open`], [`TransformerSeq2Seq::load`] and [`BahdanauSeq2Seq::load`]; [`Error::Argument`] for
    /// another dtype than f32 and f16.
    pub fn from_dir(device: &Device, folder: impl AsRef<Path>, dtype: DType) -> Result<Self> {
        expect_weight_dtype(OP, dtype)?;
        Self::from_folder(device, Seq2SeqFolder::open(folder)?, dtype)
    }

    /// A model that is part of this crate.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn embedded(device: &Device, model: EmbeddedModel, dtype: DType) -> Result<Self> {
        Self::from_folder(device, model.folder()?, dtype)
    }

    /// Loads what was read of a folder.
    ///
    /// # Errors
    /// As [`Translator::from_dir`].
    pub fn from_folder(device: &Device, folder: Seq2SeqFolder, dtype: DType) -> Result<Self> {
        let model = Model::load(device, &folder.config, &folder.checkpoint, dtype)?;
        Self::with_model(device, folder, model)
    }

    /// That model with the folder's tokenizer and its settings.
    pub(super) fn with_model(device: &Device, folder: Seq2SeqFolder, model: Model) -> Result<Self> {
        let Seq2SeqFolder { tokenizer, generation, mut notices, .. } = folder;
        let facts = model.facts();
        let mut options = options(&generation, facts.padding_id);
        if let Some(longest) = facts.max_target_tokens.filter(|&longest| longest < options.max_tokens) {
            let asked = options.max_tokens;
            notices.push(format!(
                "asked for {asked} tokens, but the model has {longest} positions: that is the limit"
            ));
            options.max_tokens = longest;
        }
        let vocabulary = facts.target_vocabulary_size;
        options.check(vocabulary)?;
        let start = generation.start.unwrap_or(facts.start_id);
        if start as usize >= vocabulary {
            let expected = format!("below the vocabulary size {vocabulary}");
            return Err(Error::argument(OP, "decoder_start_token_id", expected, start.to_string()));
        }
        Ok(Self { device: device.clone(), model, tokenizer, start, options, notices })
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the folder says of generating: the default of [`Translator::translate`].
    pub fn options(&self) -> &GenerationOptions {
        &self.options
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Seq2SeqTokenizer {
        &self.tokenizer
    }

    /// The Transformer, if it is one.
    pub fn transformer(&self) -> Option<&TransformerSeq2Seq> {
        match &self.model {
            Model::Transformer(model) => Some(model),
            _ => None,
        }
    }

    /// Bahdanau's model, if it is one.
    pub fn bahdanau(&self) -> Option<&BahdanauSeq2Seq> {
        match &self.model {
            Model::Bahdanau(model) => Some(model),
            _ => None,
        }
    }

    /// Notices for the user about the folder.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.model.facts().weight_bytes
    }

    /// The most tokens of a source: the model's positions, or fewer where tokenizer_config.json says so
    /// (`model_max_length`).
    pub fn max_source_tokens(&self) -> usize {
        let positions = self.model.facts().max_source_tokens;
        self.tokenizer.max_tokens().map_or(positions, |limit| limit.min(positions))
    }

    /// Whether [`Translator::translate`] would take this text.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text longer than the model takes, and those of [`Seq2SeqTokenizer::encode`].
    pub fn check_source(&self, text: &str) -> Result<()> {
        self.check_length(0, &self.tokenizer.encode(text, usize::MAX)?)
    }

    fn check_length(&self, index: usize, encoding: &Encoding) -> Result<()> {
        let limit = self.max_source_tokens();
        if encoding.ids.len() <= limit {
            return Ok(());
        }
        let found = format!("{} tokens", encoding.ids.len());
        let expected = format!("at most {limit} tokens (split it into sentences)");
        Err(Error::argument(OP, format!("text {index}"), expected, found))
    }

    /// Tokens that an output can have.
    pub fn target_vocabulary_size(&self) -> usize {
        self.model.facts().target_vocabulary_size
    }

    /// Layers of that attention, and heads of each, if the model has it.
    pub fn attention_size(&self, of: Seq2SeqAttention) -> Option<[usize; 2]> {
        self.model.facts().attention(of)
    }

    /// Translates texts, any number, in batches of like lengths.
    pub fn translate<'a, S: AsRef<str> + Sync>(&'a self, texts: &'a [S]) -> Translate<'a, S> {
        let options = self.options.clone();
        Translate { translator: self, texts, options, batch_tokens: 4096, capture: None, progress: None }
    }

    /// The text of ids, without those for which there is no token: a table may have more rows than there are tokens.
    fn decode(&self, ids: &[u32]) -> Result<String> {
        let names = self.tokenizer.tokens(ids);
        let missing = |(&id, name): (&u32, &String)| {
            *name == format!("<{id}>") && self.tokenizer.target_id(name) != Some(id)
        };
        let known = ids.iter().zip(&names).filter(|&pair| !missing(pair)).map(|(&id, _)| id);
        self.tokenizer.decode(&known.collect::<Vec<u32>>())
    }
}

/// How a folder says that outputs are generated.
fn options(config: &GenerationConfig, padding: u32) -> GenerationOptions {
    let strategy = if config.sample == Some(true) {
        Strategy::Sample {
            temperature: config.temperature.unwrap_or(1.0),
            top_k: config.top_k.unwrap_or(50),
            top_p: config.top_p.unwrap_or(1.0),
            seed: 0,
        }
    } else if let Some(beams) = config.beams.filter(|&beams| beams > 1) {
        let early_stopping = match config.early_stopping {
            Some(Some(true)) => EarlyStopping::Yes,
            Some(None) => EarlyStopping::Never,
            Some(Some(false)) | None => EarlyStopping::No,
        };
        Strategy::Beam { beams, length_penalty: config.length_penalty.unwrap_or(1.0), early_stopping }
    } else {
        Strategy::Greedy
    };
    // transformers counts the start token in a length.
    let max_length = config.max_length.map(|length| length.saturating_sub(1).max(1));
    let min_length = config.min_length.map_or(0, |length| length.saturating_sub(1));
    GenerationOptions {
        strategy,
        // Its default where neither is there.
        max_tokens: config.max_new_tokens.or(max_length).unwrap_or(20),
        n_best: 1,
        rules: TokenRules {
            stop: config.stop.clone(),
            padding: config.padding.unwrap_or(padding),
            forbidden: config.forbidden.clone(),
            min_tokens: min_length.max(config.min_new_tokens.unwrap_or(0)),
            forced_last: config.forced_last,
            repetition_penalty: config.repetition_penalty.unwrap_or(1.0),
            no_repeat_ngram: config.no_repeat_ngram.unwrap_or(0),
            renormalize: config.renormalize.unwrap_or(false),
        },
    }
}

/// What is told of the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TranslationProgress {
    /// Texts that are done.
    pub texts: usize,
    /// Of how many.
    pub of_texts: usize,
    /// Tokens of the outputs of the batch that is running.
    pub tokens: usize,
}

type Progress<'a> = Box<dyn FnMut(TranslationProgress) -> ControlFlow<()> + Send + 'a>;

/// [`Error::Interrupted`] if that is the answer.
fn tell(progress: &mut Option<Progress<'_>>, told: TranslationProgress) -> Result<()> {
    let progress = progress.as_mut();
    progress.map_or(Ok(()), |progress| obey(progress(told), OP, [told.texts, told.of_texts]))
}

/// A [`Translator::translate`] to be run.
pub struct Translate<'a, S> {
    translator: &'a Translator,
    texts: &'a [S],
    options: GenerationOptions,
    batch_tokens: usize,
    capture: Option<(Seq2SeqAttention, LayerCapture<'a>)>,
    progress: Option<Progress<'a>>,
}

impl<'a, S: AsRef<str> + Sync> Translate<'a, S> {
    /// How tokens are chosen, in place of what the folder says.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// Outputs for each text, best first: [`GenerationOptions::n_best`].
    #[must_use]
    pub fn n_best(mut self, n_best: usize) -> Self {
        self.options.n_best = n_best;
        self
    }

    /// The most tokens of an output.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.options.max_tokens = max_tokens;
        self
    }

    /// All options, in place of what the folder says.
    #[must_use]
    pub fn options(mut self, options: GenerationOptions) -> Self {
        self.options = options;
        self
    }

    /// Source tokens that a batch may have, padding and beams counted. 4096 by default.
    #[must_use]
    pub fn max_batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = tokens;
        self
    }

    /// Gives the weights of these layers and heads of an attention, captured on the device during the run.
    #[must_use]
    pub fn capture(mut self, of: Seq2SeqAttention, capture: LayerCapture<'a>) -> Self {
        self.capture = Some((of, capture));
        self
    }

    /// Tells of each step. The answer may end the run ([`IntoControlFlow`]).
    #[must_use]
    pub fn progress<A: IntoControlFlow>(
        mut self,
        mut progress: impl FnMut(TranslationProgress) -> A + Send + 'a,
    ) -> Self {
        self.progress = Some(Box::new(move |told| progress(told).into_control_flow()));
        self
    }

    /// Translates the texts: the outputs of each, in their order.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text longer than the model takes, options that mean nothing, or more tokens than the
    /// model has positions; for an attention, layers or heads to be captured that there are not, and for a capture above
    /// its bound, which it may reach while it is being written; [`Error::Tokenize`], [`Error::Interrupted`], and those of
    /// [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<Translations> {
        let translator = self.translator;
        let tokenizer = &translator.tokenizer;
        self.options.check(translator.target_vocabulary_size())?;
        if let Some(most) =
            translator.model.facts().max_target_tokens.filter(|&most| most < self.options.max_tokens)
        {
            let (expected, found) =
                (format!("at most {most}, the model's positions"), self.options.max_tokens);
            return Err(Error::argument(OP, "max_tokens", expected, found.to_string()));
        }
        translator.check_rows(&self.options)?;
        let mut captured = self.captured()?;
        let sources = tokenize(self.texts, |texts| tokenizer.encode_batch(texts, usize::MAX)).await?;
        for (index, source) in sources.iter().enumerate() {
            translator.check_length(index, source)?;
        }
        let mut texts: Vec<Vec<Translation>> = vec![Vec::new(); sources.len()];
        let mut statistics = TranslateStatistics { texts: sources.len(), ..Default::default() };
        let mut done = 0;
        for batch in translator.batches(&sources, &self.options, self.batch_tokens, captured.as_ref()) {
            let ids: Vec<&[u32]> = batch.iter().map(|&index| sources[index].ids.as_slice()).collect();
            let (progress, of_texts) = (&mut self.progress, sources.len());
            let told = |tokens| {
                statistics.steps += 1;
                tell(progress, TranslationProgress { texts: done, of_texts, tokens })
            };
            let wanted = Wanted {
                numbers: &batch,
                sources: &ids,
                start: translator.start,
                options: &self.options,
                capture: self.capture,
            };
            let found = translator.model.generate(&translator.device, wanted, told).await?;
            for (&index, hypotheses) in batch.iter().zip(found) {
                let source = &sources[index];
                statistics.source_tokens += source.ids.len();
                let translated = hypotheses.into_iter().map(|hypothesis| {
                    statistics.tokens += hypothesis.ids.len();
                    self.translation((index, source), hypothesis, captured.as_mut())
                });
                texts[index] = translated.collect::<Result<_>>()?;
            }
            done += batch.len();
            statistics.batches += 1;
            tell(&mut self.progress, TranslationProgress { texts: done, of_texts, tokens: 0 })?;
        }
        Ok(Translations { texts, statistics })
    }

    /// The blocking form of [`Translate::run_async`].
    ///
    /// # Errors
    /// As [`Translate::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(self) -> Result<Translations> {
        crate::waiting::block_on(self.run_async())
    }

    /// What is to be captured.
    fn captured(&self) -> Result<Option<Captured<'a>>> {
        let Some((of, capture)) = self.capture else { return Ok(None) };
        let Some(size) = self.translator.attention_size(of) else {
            if self.translator.attention_size(Seq2SeqAttention::Cross).is_none() {
                return Err(Error::argument("capture", "the model", "one with attention", "one without"));
            }
            let expected = format!("{}, all that a recurrent model has", Seq2SeqAttention::Cross.name());
            return Err(Error::argument("capture", "the attention", expected, of.name()));
        };
        Captured::new(of, capture, size).map(Some)
    }

    fn translation(
        &self,
        (text, source): (usize, &Encoding),
        hypothesis: Hypothesis,
        captured: Option<&mut Captured<'_>>,
    ) -> Result<Translation> {
        let Hypothesis { ids, log_probability, score, stopped, attention } = hypothesis;
        // A text whose logits were NaN has no tokens to look from.
        let attention = match captured.filter(|_| !score.is_nan()) {
            None => None,
            Some(captured) => {
                let sides = self.sides(captured.of(), source, &ids);
                Some(captured.lay_out(text, sides, &attention)?)
            }
        };
        let text = self.translator.decode(&ids)?;
        Ok(Translation { text, ids, log_probability, score, stopped, attention })
    }

    /// The tokens that attend, and those that they attend to.
    fn sides(&self, of: Seq2SeqAttention, source: &Encoding, ids: &[u32]) -> [Vec<MapToken>; 2] {
        let translator = self.translator;
        let special = [&translator.options.rules, &self.options.rules]
            .into_iter()
            .flat_map(|rules| rules.stop.iter().copied().chain([rules.padding]))
            .chain([translator.start]);
        let special: Vec<u32> = special.collect();
        let sources = || map_tokens(source.tokens.clone(), &source.ids, &special);
        let targets = |ids: &[u32]| map_tokens(translator.tokenizer.tokens(ids), ids, &special);
        match of {
            Seq2SeqAttention::Encoder => [sources(), sources()],
            Seq2SeqAttention::Cross => [targets(ids), sources()],
            Seq2SeqAttention::Decoder => {
                let read: Vec<u32> = [translator.start].iter().chain(ids).copied().take(ids.len()).collect();
                [targets(ids), targets(&read)]
            }
        }
    }
}

/// One output for a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Translation {
    /// The text, special tokens left out.
    pub text: String,
    /// Its tokens, the stop token included.
    pub ids: Vec<u32>,
    /// The sum of the tokens' log-probabilities.
    pub log_probability: f64,
    /// What beam search ranks by; elsewhere the log-probability. NaN, with an empty text, where the model's logits for this
    /// text were NaN: [`Translations::not_finite`].
    pub score: f64,
    /// Whether a stop token ended it. If not, the limit on the tokens cut it.
    pub stopped: bool,
    /// What was captured: rows are the output's tokens, columns the source's; of the encoder's self-attention both are the
    /// source's; of the decoder's the columns are what it had read, the start token first, and what a row could not yet
    /// see is 0.
    pub attention: Option<AttentionMaps>,
}

impl Translation {
    /// How sure the model is of this output: its probability among all outputs. In a beam search it is that of what the
    /// rules left: a token that was forced, such as the last at the limit, is certain there, and with `renormalize` the
    /// tokens that were forbidden do not count.
    pub fn probability(&self) -> f64 {
        self.log_probability.exp()
    }
}

/// What a translation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TranslateStatistics {
    /// Texts.
    pub texts: usize,
    /// Tokens of the sources.
    pub source_tokens: usize,
    /// Tokens of the outputs.
    pub tokens: usize,
    /// Batches.
    pub batches: usize,
    /// Steps of the decoder, over all batches.
    pub steps: usize,
}

/// The outputs of each text, best first, in the order of the texts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Translations {
    /// As many for each text as were asked for.
    pub texts: Vec<Vec<Translation>>,
    /// The figures of the run.
    pub statistics: TranslateStatistics,
}

impl Translations {
    /// The texts with an output whose score or captured attention is NaN, or infinite. A score of −∞ is one: the output
    /// has the probability 0.
    pub fn not_finite(&self) -> Vec<usize> {
        let number = |score: f64| !score.is_nan() && score != f64::INFINITY;
        not_finite(&self.texts, |outputs| {
            outputs.iter().all(|output| {
                number(output.log_probability)
                    && number(output.score)
                    && output.attention.as_ref().is_none_or(AttentionMaps::is_finite)
            })
        })
    }
}
