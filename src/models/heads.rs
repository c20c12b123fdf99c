//! Heads on the BERT-family encoder: small stacks on single token vectors.
//!
//! Each takes rows `[rows, hidden_size]` of the encoder's output and gives `[rows, outputs]`: the pooler, the next-sentence
//! head and the sequence classifiers those of the first tokens, the masked-language-model head those of the masked tokens,
//! the token classifier any (Devlin et al. 2019, section 3 and appendix A; Liu et al. 2019; Sanh et al. 2019).

use super::bert::{BertEncoder, source};
use super::source::Source;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{HostLayerNorm, Parameters};
use crate::ops::{Activation, LayerNormWeights, Linear, LinearWeights, layer_norm};
use crate::recording::{Recording, Value};
use crate::tensor::DType;
use crate::weights::family::{HeadLayer, Outputs};
use crate::weights::{Checkpoint, EncoderConfig, Family, HeadConfig};

/// Which head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadKind {
    /// tanh(W · `[CLS]` + b), of families that have one, such as BERT and RoBERTa.
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

    /// Its linear layers in a family's folders, but for the masked-language-model head, which is more than those; none where
    /// the family does not have it.
    fn layers(self, family: &Family) -> &'static [HeadLayer] {
        match self {
            Self::Pooler => family.heads.pooler,
            Self::MaskedLanguage => &[],
            Self::NextSentence => family.heads.next_sentence,
            Self::Sequence => family.heads.sequence,
            Self::Token => family.heads.token,
        }
    }

    /// The part that shows that a checkpoint has it: its name, and whether that is behind the encoder's prefix. `None` where
    /// the family does not have it.
    fn shown_by(self, family: &Family) -> Option<(&'static str, bool)> {
        if self == Self::MaskedLanguage {
            return Some((family.heads.masked_language.transform, false));
        }
        // A pooler may be there for itself.
        let layers = self.layers(family);
        let layer = layers.iter().find(|layer| !layer.of_encoder).or(layers.first())?;
        Some((layer.name, layer.of_encoder))
    }

    /// Whether a checkpoint has that part.
    fn is_in(self, config: &EncoderConfig, checkpoint: &Checkpoint) -> bool {
        let shown_by = self.shown_by(config.family);
        shown_by.is_some_and(|part| checkpoint.contains(&weight(part, checkpoint)))
    }
}

/// The name of a part's weight.
fn weight((name, of_encoder): (&str, bool), checkpoint: &Checkpoint) -> String {
    let name = format!("{name}.weight");
    if of_encoder { source(checkpoint, DType::F32).name(&name) } else { name }
}

/// A head on a device.
#[derive(Clone, Debug)]
pub struct BertHead {
    kind: HeadKind,
    layers: Vec<Layer>,
    /// Behind the first layer.
    norm: Option<LayerNormWeights>,
    bytes: u64,
}

/// A linear layer of a head, and the activation behind it.
#[derive(Clone, Debug)]
struct Layer {
    /// Its name, and whether that stands behind the encoder's prefix.
    name: (&'static str, bool),
    /// The whole name of its bias, where that is not its own.
    bias: Option<&'static str>,
    linear: LinearWeights,
    then: Activation,
}

impl BertHead {
    /// The heads that a checkpoint has.
    ///
    /// BERT calls the classifier of sequences and that of tokens by one name: there the class in `config.json` decides,
    /// and where it names none, a pooler speaks for sequences.
    pub fn present(config: &EncoderConfig, head: &HeadConfig, checkpoint: &Checkpoint) -> Vec<HeadKind> {
        let has = |kind: HeadKind| kind.is_in(config, checkpoint);
        let shown_by = |kind: HeadKind| kind.shown_by(config.family);
        let of_tokens = || match head.architecture.as_deref() {
            _ if shown_by(HeadKind::Sequence) != shown_by(HeadKind::Token) => !has(HeadKind::Sequence),
            Some(class) if class.ends_with("ForTokenClassification") => true,
            Some(class) if class.ends_with("ForSequenceClassification") => false,
            _ => !has(HeadKind::Pooler),
        };
        let there = |kind: &HeadKind| match kind {
            HeadKind::Sequence => has(*kind) && !of_tokens(),
            HeadKind::Token => has(*kind) && of_tokens(),
            _ => has(*kind),
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
        Self::load_beside(&[], device, kind, encoder, head, (checkpoint, dtype))
    }

    /// The same; layers that one of `others`, heads of the same checkpoint, has too, such as the pooler, are its memory.
    pub(super) fn load_beside(
        others: &[Self],
        device: &Device,
        kind: HeadKind,
        encoder: &BertEncoder,
        head: &HeadConfig,
        (checkpoint, dtype): (&Checkpoint, DType),
    ) -> Result<Self> {
        let config = encoder.config();
        let present = Self::present(config, head, checkpoint);
        if !present.contains(&kind) {
            return Err(Self::missing(kind, config, head, checkpoint));
        }
        let loader = Loader::new(device, config, Tensors::Stored(checkpoint, dtype), others);
        Self::from_loader(kind, encoder, head, loader)
    }

    /// A head that has learnt nothing yet, its weights made from a seed, in f32: what training begins with. A decoder that is tied to the
    /// word table is the encoder's own memory.
    ///
    /// # Errors
    /// [`Error::Argument`] for a head that the encoder's family does not have; [`Error::OutOfMemory`].
    pub fn untrained(
        device: &Device,
        kind: HeadKind,
        encoder: &BertEncoder,
        head: &HeadConfig,
        seed: u64,
    ) -> Result<Self> {
        Self::expect_kind(kind, encoder)?;
        let loader = Loader::new(device, encoder.config(), Tensors::Made(seed), &[]);
        Self::from_loader(kind, encoder, head, loader)
    }

    /// As [`BertHead::untrained`], for an encoder that comes from that checkpoint: a pooler that it has is taken over.
    pub(super) fn untrained_on(
        device: &Device,
        kind: HeadKind,
        encoder: &BertEncoder,
        head: &HeadConfig,
        (checkpoint, seed): (&Checkpoint, u64),
    ) -> Result<Self> {
        Self::expect_kind(kind, encoder)?;
        let loader = Loader::new(device, encoder.config(), Tensors::Completed(checkpoint, seed), &[]);
        Self::from_loader(kind, encoder, head, loader)
    }

    /// [`Error::Argument`] for a head that the encoder's family does not have.
    fn expect_kind(kind: HeadKind, encoder: &BertEncoder) -> Result<()> {
        let family = encoder.config().family;
        if kind.shown_by(family).is_some() {
            return Ok(());
        }
        let expected = format!("one that {family} has");
        Err(Error::argument("bert", "the head", expected, format!("the {}", kind.name())))
    }

    fn from_loader(
        kind: HeadKind,
        encoder: &BertEncoder,
        head: &HeadConfig,
        mut loader: Loader<'_>,
    ) -> Result<Self> {
        let norm = match kind {
            HeadKind::MaskedLanguage => Some(loader.masked_language(encoder, head)?),
            _ => None,
        };
        for layer in kind.layers(loader.config.family) {
            loader.push(layer, head.labels.len())?;
        }
        let Loader { layers, bytes, .. } = loader;
        // γ and β, f32.
        let norm_bytes = norm.as_ref().map_or(0, |norm| 8 * norm.columns() as u64);
        Ok(Self { kind, layers, norm, bytes: bytes + norm_bytes })
    }

    /// Adds what can be trained, by the names of a checkpoint with heads; a decoder that is tied to the word table is the encoder's.
    pub(super) fn add_parameters(&self, to: &mut Parameters, family: &Family) {
        for Layer { name: (name, of_encoder), bias, linear, .. } in &self.layers {
            let name = format!("{}{name}", if *of_encoder { family.prefix } else { "" });
            match bias {
                Some(bias) => to.linear_as([&format!("{name}.weight"), bias], linear),
                None => to.linear(&name, linear),
            }
        }
        if let Some(norm) = &self.norm {
            to.norm(family.heads.masked_language.norm, norm);
        }
    }

    /// What its tensors' names begin with, by a checkpoint with heads: `bert.pooler`, `classifier`.
    pub(super) fn modules(&self, family: &Family) -> impl Iterator<Item = String> {
        let module = |&(name, of_encoder): &(&str, bool)| {
            let prefix = if of_encoder { family.prefix } else { "" };
            format!("{prefix}{}", name.split('.').next().unwrap_or(name))
        };
        self.layers.iter().map(|layer| &layer.name).map(module)
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
        if kind == HeadKind::NextSentence && kind.shown_by(config.family).is_none() {
            found += &format!(" ({:?} is trained without that task)", config.family);
        }
        Error::MissingHead {
            path: checkpoint.path().to_owned(),
            head: kind.name(),
            // What BERT calls it, where the family has no name for it.
            tensor: [config.family, Family::bert()]
                .iter()
                .find_map(|family| Some(weight(kind.shown_by(family)?, checkpoint)))
                .unwrap_or_default(),
            found,
        }
    }

    /// Which it is.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// Elements of an answer: labels, or words of the vocabulary.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.linear.outputs())
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
            for (index, Layer { linear, then, .. }) in self.layers.iter().enumerate() {
                x = Linear::new(linear).activation(*then).record(recording, &x)?;
                if let (0, Some(norm)) = (index, &self.norm) {
                    x = layer_norm(recording, &x, None, norm)?;
                }
            }
            Ok(x)
        })
    }
}

/// Where a head's tensors come from.
#[derive(Clone, Copy)]
enum Tensors<'a> {
    /// A checkpoint, to be stored as that.
    Stored(&'a Checkpoint, DType),
    /// Made from a seed.
    Made(u64),
    /// A checkpoint's layers behind the encoder's prefix, in f32; others, and what it lacks of those, are made from a seed.
    Completed(&'a Checkpoint, u64),
}

struct Loader<'a> {
    device: &'a Device,
    config: &'a EncoderConfig,
    tensors: Tensors<'a>,
    /// Whose layers may be shared.
    others: &'a [BertHead],
    layers: Vec<Layer>,
    /// Of the layers that are not shared.
    bytes: u64,
}

impl<'a> Loader<'a> {
    fn new(
        device: &'a Device,
        config: &'a EncoderConfig,
        tensors: Tensors<'a>,
        others: &'a [BertHead],
    ) -> Self {
        Self { device, config, tensors, others, layers: Vec::new(), bytes: 0 }
    }

    /// The tensors of a layer, whose name stands behind the encoder's prefix or not.
    fn source(&self, (name, of_encoder): (&str, bool)) -> Source<'a> {
        match self.tensors {
            Tensors::Stored(checkpoint, dtype) if of_encoder => source(checkpoint, dtype),
            Tensors::Stored(checkpoint, dtype) => Source::new(checkpoint, dtype),
            Tensors::Made(seed) => Source::random(seed),
            Tensors::Completed(checkpoint, seed) => {
                let is_there = of_encoder && checkpoint.contains(&weight((name, of_encoder), checkpoint));
                if is_there { source(checkpoint, DType::F32) } else { Source::random(seed) }
            }
        }
    }

    /// A linear layer behind those that are there.
    fn push(&mut self, layer: &HeadLayer, labels: usize) -> Result<()> {
        let outputs = match layer.outputs {
            Outputs::Hidden => self.config.hidden_size,
            Outputs::Embedding => self.config.embedding_size,
            Outputs::Labels => labels,
            Outputs::Fixed(outputs) => outputs,
        };
        let (name, shape) = ((layer.name, layer.of_encoder), [outputs, self.config.hidden_size]);
        let mut there = self.others.iter().flat_map(|head| &head.layers);
        let linear = match there.find(|other| other.name == name) {
            Some(other) => other.linear.clone(),
            None => {
                let linear = self.source(name).linear_weights(self.device, layer.name, shape)?;
                self.bytes += linear.bytes();
                linear
            }
        };
        self.layers.push(Layer { name, bias: None, linear, then: layer.then });
        Ok(())
    }

    /// A transform to the width of an embedding, its norm, and the decoder over the vocabulary.
    fn masked_language(&mut self, encoder: &BertEncoder, head: &HeadConfig) -> Result<LayerNormWeights> {
        let config = self.config;
        let names = &config.family.heads.masked_language;
        let activation = names.activation.unwrap_or(config.activation);
        self.push(&HeadLayer::new(names.transform, Outputs::Embedding, activation), 0)?;
        let mut source = self.source((names.norm, false));
        let norm = source.norm(names.norm, config.embedding_size)?;
        let HostLayerNorm { gamma, beta } = norm.host();
        let norm = LayerNormWeights::new(self.device, gamma, beta, config.layer_norm_epsilon)?;
        let words = config.vocabulary_size;
        let bias = source.score_bias(&self.decoder_bias(head.tied), &[words])?;
        let linear = if head.tied {
            encoder.words().projection(self.device, Some(&bias))?
        } else {
            let shape = [words, config.embedding_size];
            source.projection(self.device, &format!("{}.weight", names.decoder), shape, &bias)?
        };
        self.bytes += linear.bytes() - if head.tied { encoder.words().bytes() } else { 0 };
        self.layers.push(Layer {
            name: (names.decoder, false),
            bias: names.second_bias.filter(|_| head.tied),
            linear,
            then: Activation::None,
        });
        Ok(norm)
    }

    /// The decoder's bias may have a second name, such as `cls.predictions.bias`, and a checkpoint either or both. Where
    /// embeddings are tied, transformers lets that one win.
    fn decoder_bias(&self, tied: bool) -> String {
        let names = &self.config.family.heads.masked_language;
        let own = format!("{}.bias", names.decoder);
        let (Some(second), Tensors::Stored(checkpoint, _)) = (names.second_bias, self.tensors) else {
            return own;
        };
        match (checkpoint.contains(&own), checkpoint.contains(second)) {
            (true, false) => own,
            (true, true) if !tied => own,
            _ => second.to_owned(),
        }
    }
}
