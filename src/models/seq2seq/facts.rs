//! What translating asks of a model, whichever it is, and gives it to do.

use super::captured::Seq2SeqAttention;
use crate::layers::LayerCapture;
use crate::models::generation::GenerationOptions;

/// What a model says of itself.
pub(super) struct Facts {
    /// Bytes of the weights on the device.
    pub(super) weight_bytes: u64,
    /// The most tokens of a source.
    pub(super) max_source_tokens: usize,
    /// The most tokens of a target, where positions bound it.
    pub(super) max_target_tokens: Option<usize>,
    /// Tokens that an output can have.
    pub(super) target_vocabulary_size: usize,
    /// The token that fills up short sequences.
    pub(super) padding_id: u32,
    /// The token that a target begins with.
    pub(super) start_id: u32,
    /// Layers of the encoder's self-attention, and heads of each, if there is such.
    pub(super) encoder_attention: Option<[usize; 2]>,
    /// The same of the decoder's.
    pub(super) decoder_attention: Option<[usize; 2]>,
    /// The same of what attends to the source.
    pub(super) cross_attention: Option<[usize; 2]>,
}

impl Facts {
    /// Layers of that attention, and heads of each, if the model has it.
    pub(super) fn attention(&self, of: Seq2SeqAttention) -> Option<[usize; 2]> {
        match of {
            Seq2SeqAttention::Encoder => self.encoder_attention,
            Seq2SeqAttention::Decoder => self.decoder_attention,
            Seq2SeqAttention::Cross => self.cross_attention,
        }
    }
}

/// What a model's run takes, in elements.
pub(super) struct Sizes {
    /// The widest value of a source's token.
    pub(super) token: usize,
    /// The widest value of a row.
    pub(super) row: usize,
    /// What a row keeps from step to step, over all layers.
    pub(super) kept: usize,
}

/// A batch to generate for.
pub(super) struct Wanted<'a> {
    /// The sources' numbers at the caller's.
    pub(super) numbers: &'a [usize],
    pub(super) sources: &'a [&'a [u32]],
    /// The token that outputs begin with.
    pub(super) start: u32,
    pub(super) options: &'a GenerationOptions,
    pub(super) capture: Option<(Seq2SeqAttention, LayerCapture<'a>)>,
}
