//! What is captured of an encoder–decoder model's attention.

use std::ops::Range;
use std::sync::Arc;

/// Which attention of an encoder–decoder model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Seq2SeqAttention {
    /// The encoder's, of the source's tokens over themselves. A recurrent encoder has none.
    Encoder,
    /// The decoder's, of each token being written over the start token and those written before. A recurrent decoder has
    /// none.
    Decoder,
    /// Of each token being written over the source's tokens: cross-attention, or Bahdanau's.
    #[default]
    Cross,
}

impl Seq2SeqAttention {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Encoder => "the encoder's self-attention",
            Self::Decoder => "the decoder's self-attention",
            Self::Cross => "the attention to the source",
        }
    }
}

/// The part `[layers, heads, part of the queries, length]` of one item of captured weights: for each layer `[items, heads,
/// queries, keys]`. What lies behind the first `length` keys is padding.
pub(super) fn part(
    layers: &[Vec<f32>],
    [items, queries, keys]: [usize; 3],
    item: usize,
    part: Range<usize>,
    length: usize,
) -> Arc<[f32]> {
    let mut kept = Vec::new();
    for weights in layers {
        let size = weights.len() / items.max(1);
        for head in weights[item * size..][..size].chunks((queries * keys).max(1)) {
            for query in part.clone() {
                kept.extend_from_slice(&head[query * keys..][..length]);
            }
        }
    }
    kept.into()
}
