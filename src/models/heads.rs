//! Heads on the BERT-family encoder: small stacks on single token vectors.
//!
//! Each takes rows `[rows, hidden_size]` of the encoder's output and gives `[rows, outputs]`: the pooler, the next-sentence
//! head and the sequence classifiers those of the first tokens, the masked-language-model head those of the masked tokens,
//! the token classifier any (Devlin et al. 2019, section 3 and appendix A; Liu et al. 2019; Sanh et al. 2019).

use super::bert::{BertEncoder, source};
use super::source::Source;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{HostLayerNorm, HostLinear};
use crate::ops::{Activation, LayerNormWeights, Linear, LinearWeights, layer_norm};
use crate::recording::{Recording, Value};
use crate::tensor::DType;
use crate::weights::{Checkpoint, EncoderConfig, Family, HeadConfig};

/// Which head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadKind {
    /// tanh(W · `[CLS]` + b); not in DistilBERT.
    Pooler,
    /// For each masked token the scores of the whole vocabulary.
    MaskedLanguage,
    /// Whether the second text follows the first: BERT alone.
    NextSentence,
    /// Labels of a text or a pair of texts.
    Sequence,
    /// Labels of each token.
    Token,
}

impl HeadKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pooler, Self::MaskedLanguage, Self::NextSentence, Self::Sequence, Self::Token];

    /// As messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooler => "pooler",
            Self::MaskedLanguage => "masked-language-model head",
            Self::NextSentence => "next-sentence head",
            Self::Sequence => "sequence classification head",
            Self::Token => "token classification head",
        }
    }

    /// The tensor that shows that a checkpoint has it.
    fn tensor(self, config: &EncoderConfig, checkpoint: &Checkpoint) -> String {
        let name = match (self, config.family) {
            (Self::Pooler, _) => return source(checkpoint, DType::F32).name("pooler.dense.weight"),
            (Self::MaskedLanguage, Family::Bert) => "cls.predictions.transform.dense.weight",
            (Self::MaskedLanguage, Family::Roberta) => "lm_head.dense.weight",
            (Self::MaskedLanguage, Family::DistilBert) => "vocab_transform.weight",
            (Self::NextSentence, _) => "cls.seq_relationship.weight",
            (Self::Sequence, Family::Roberta) => "classifier.dense.weight",
            (Self::Sequence, Family::DistilBert) => "pre_classifier.weight",
            (Self::Sequence, Family::Bert) | (Self::Token, _) => "classifier.weight",
        };
        name.to_owned()
    }
}

/// A head on a device.
#[derive(Clone, Debug)]
pub struct BertHead {
    kind: HeadKind,
    layers: Vec<(LinearWeights, Activation)>,
    /// Behind the first layer.
    norm: Option<LayerNormWeights>,
    bytes: u64,
}

impl BertHead {
    /// The heads that a checkpoint has.
    ///
    /// BERT calls the classifier of sequences and that of tokens by one name: there the class in `config.json` decides,
    /// and where it names none, a pooler speaks for sequences.
    pub fn present(config: &EncoderConfig, head: &HeadConfig, checkpoint: &Checkpoint) -> Vec<HeadKind> {
        let has = |kind: HeadKind| checkpoint.contains(&kind.tensor(config, checkpoint));
        let of_tokens = || match (config.family, head.architecture.as_deref()) {
            (Family::Bert, Some(class)) if class.ends_with("ForTokenClassification") => true,
            (Family::Bert, Some(class)) if class.ends_with("ForSequenceClassification") => false,
            (Family::Bert, _) => !has(HeadKind::Pooler),
            _ => !has(HeadKind::Sequence),
        };
        let there = |kind: &HeadKind| match kind {
            HeadKind::NextSentence => config.family == Family::Bert && has(*kind),
            HeadKind::Pooler => config.family != Family::DistilBert && has(*kind),
            HeadKind::Sequence => has(*kind) && !of_tokens(),
            HeadKind::Token => has(*kind) && of_tokens(),
            HeadKind::MaskedLanguage => has(*kind),
        };
        HeadKind::ALL.into_iter().filter(there).collect()
    }

    /// Loads a head and stores its matrices as `dtype` (f32 or f16). A decoder that is tied to the word table is the
    /// encoder's own memory.
    ///
    /// # Errors
    /// [`Error::MissingHead`] where [`BertHead::present`] has not this kind; [`Error::MissingTensor`],
    /// [`Error::TensorShape`]; [`Error::Weight`] for a tensor that is not finite, or does not fit f16;
    /// [`Error::OutOfMemory`].
    pub fn load(
        device: &Device,
        kind: HeadKind,
        encoder: &BertEncoder,
        head: &HeadConfig,
        checkpoint: &Checkpoint,
        dtype: DType,
    ) -> Result<Self> {
        let config = encoder.config();
        let present = Self::present(config, head, checkpoint);
        if !present.contains(&kind) {
            return Err(Self::missing(kind, config, head, checkpoint));
        }
        let mut loader = Loader { device, config, checkpoint, dtype, layers: Vec::new() };
        let labels = head.labels.len();
        let mut norm = None;
        match (kind, config.family) {
            (HeadKind::Pooler, _) => loader.pooler()?,
            (HeadKind::NextSentence, _) => {
                loader.pooler()?;
                loader.beside("cls.seq_relationship", 2, Activation::None)?;
            }
            (HeadKind::Token, _) => loader.beside("classifier", labels, Activation::None)?,
            (HeadKind::Sequence, Family::Bert) => {
                loader.pooler()?;
                loader.beside("classifier", labels, Activation::None)?;
            }
            (HeadKind::Sequence, Family::Roberta) => {
                loader.beside("classifier.dense", config.hidden_size, Activation::Tanh)?;
                loader.beside("classifier.out_proj", labels, Activation::None)?;
            }
            (HeadKind::Sequence, Family::DistilBert) => {
                loader.beside("pre_classifier", config.hidden_size, Activation::Relu)?;
                loader.beside("classifier", labels, Activation::None)?;
            }
            (HeadKind::MaskedLanguage, _) => norm = Some(loader.masked_language(encoder, head)?),
        }
        let layers = loader.layers;
        let tied = kind == HeadKind::MaskedLanguage && head.tied;
        let shared = if tied { encoder.words().bytes() } else { 0 };
        let linear: u64 = layers.iter().map(|(linear, _)| linear.bytes()).sum();
        // γ and β, f32.
        let norm_bytes = norm.as_ref().map_or(0, |norm| 8 * norm.columns() as u64);
        Ok(Self { kind, layers, norm, bytes: (linear - shared) + norm_bytes })
    }

    /// The error for a head that is not there.
    pub(super) fn missing(
        kind: HeadKind,
        config: &EncoderConfig,
        head: &HeadConfig,
        checkpoint: &Checkpoint,
    ) -> Error {
        let present = Self::present(config, head, checkpoint);
        let names: Vec<&str> = present.iter().map(|kind| kind.name()).collect();
        let mut found = match names.as_slice() {
            [] => "only the encoder".to_owned(),
            names => format!("only the encoder and the {}", names.join(", the ")),
        };
        if kind == HeadKind::NextSentence && config.family != Family::Bert {
            found += &format!(" ({:?} is trained without that task)", config.family);
        }
        Error::MissingHead {
            path: checkpoint.path().to_owned(),
            head: kind.name(),
            tensor: kind.tensor(config, checkpoint),
            found,
        }
    }

    /// Which it is.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// Elements of an answer: labels, or words of the vocabulary.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |(linear, _)| linear.outputs())
    }

    /// Bytes of the weights on the device, beside the encoder's.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records it on rows of the encoder's output: x `[…, hidden_size]` f32 gives `[…, outputs]` f32, not normalized.
    ///
    /// # Errors
    /// [`Error::Argument`] for a shape that does not fit, [`Error::Limit`].
    pub fn record(&self, recording: &mut Recording, x: &Value) -> Result<Value> {
        recording.atomically(|recording| {
            let mut x = x.clone();
            for (index, (linear, activation)) in self.layers.iter().enumerate() {
                x = Linear::new(linear).activation(*activation).record(recording, &x)?;
                if let (0, Some(norm)) = (index, &self.norm) {
                    x = layer_norm(recording, &x, None, norm)?;
                }
            }
            Ok(x)
        })
    }
}

struct Loader<'a> {
    device: &'a Device,
    config: &'a EncoderConfig,
    checkpoint: &'a Checkpoint,
    dtype: DType,
    layers: Vec<(LinearWeights, Activation)>,
}

impl Loader<'_> {
    fn push(&mut self, source: &mut Source<'_>, name: &str, outputs: usize, then: Activation) -> Result<()> {
        let shape = [outputs, self.config.hidden_size];
        let tensors = source.linear(name, shape)?;
        let HostLinear { weight, bias } = tensors.host();
        let linear = LinearWeights::new(self.device, shape, weight, bias, self.dtype)?;
        self.layers.push((linear, then));
        Ok(())
    }

    fn pooler(&mut self) -> Result<()> {
        let mut source = source(self.checkpoint, self.dtype);
        self.push(&mut source, "pooler.dense", self.config.hidden_size, Activation::Tanh)
    }

    fn beside(&mut self, name: &str, outputs: usize, then: Activation) -> Result<()> {
        // Heads stand beside the encoder.
        let mut source = Source::new(self.checkpoint, self.dtype);
        self.push(&mut source, name, outputs, then)
    }

    /// A transform of the model's width, its norm, and the decoder over the vocabulary.
    fn masked_language(&mut self, encoder: &BertEncoder, head: &HeadConfig) -> Result<LayerNormWeights> {
        let config = self.config;
        // RoBERTa's head has GELU whatever the encoder has.
        let ([transform, norm, decoder], activation) = match config.family {
            Family::Bert => (
                [
                    "cls.predictions.transform.dense",
                    "cls.predictions.transform.LayerNorm",
                    "cls.predictions.decoder",
                ],
                config.activation,
            ),
            Family::Roberta => (["lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"], Activation::Gelu),
            Family::DistilBert => {
                (["vocab_transform", "vocab_layer_norm", "vocab_projector"], config.activation)
            }
        };
        self.beside(transform, config.hidden_size, activation)?;
        let mut source = Source::new(self.checkpoint, self.dtype);
        let norm = source.norm(norm, config.hidden_size)?;
        let HostLayerNorm { gamma, beta } = norm.host();
        let norm = LayerNormWeights::new(self.device, gamma, beta, config.layer_norm_epsilon)?;
        let words = config.vocabulary_size;
        let bias = source.score_bias(&self.decoder_bias(decoder, head.tied), &[words])?;
        let decoder = if head.tied {
            encoder.words().projection(self.device, Some(&bias))?
        } else {
            let shape = [words, config.hidden_size];
            source.projection(self.device, &format!("{decoder}.weight"), shape, &bias)?
        };
        self.layers.push((decoder, Activation::None));
        Ok(norm)
    }

    /// The decoder's bias has a second name, `cls.predictions.bias` or `lm_head.bias`, and a checkpoint either or both.
    /// Where embeddings are tied, transformers lets that one win.
    fn decoder_bias(&self, decoder: &str, tied: bool) -> String {
        let own = format!("{decoder}.bias");
        let other = match self.config.family {
            Family::Bert => "cls.predictions.bias",
            Family::Roberta => "lm_head.bias",
            Family::DistilBert => return own,
        };
        match (self.checkpoint.contains(&own), self.checkpoint.contains(other)) {
            (true, false) => own,
            (true, true) if !tied => own,
            _ => other.to_owned(),
        }
    }
}
