//! The shapes that are timed: ops over sizes that models have, and sweeps of length.

use std::fmt;

use crate::kernel::{Kernel, Variant};
use crate::kernels::KERNELS;
use crate::tensor::DType;

/// A family of shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// Matrix products: the linear layer.
    Gemm,
    /// Scaled dot-product attention.
    Attention,
    /// Layer norm, RMS norm and softmax over rows.
    Norm,
    /// One encoder layer.
    Layer,
    /// A whole encoder: embeddings, layers, mean pooling.
    Model,
    /// A kernel by its name, on the largest of its quick cases.
    Kernel,
}

/// The groups that have shapes of their own.
pub const GROUPS: [Group; 5] = [Group::Gemm, Group::Attention, Group::Norm, Group::Layer, Group::Model];

impl Group {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm",
            Self::Attention => "attention",
            Self::Norm => "norm",
            Self::Layer => "layer",
            Self::Model => "model",
            Self::Kernel => "kernel",
        }
    }
}

/// The sizes of an attention: queries `[batch, heads, queries, head_dim]`, keys `[batch, key_heads, keys, head_dim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSizes {
    /// Batch items.
    pub batch: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values.
    pub key_heads: usize,
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Elements of a query, a key and a value.
    pub head_dim: usize,
    /// Which of the scores count.
    pub masking: Masking,
}

/// Which scores of a benched attention count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Masking {
    /// All.
    None,
    /// Key j for query i if j ≤ i.
    Causal,
    /// Keys up to a length of each batch item, from half of them to all.
    KeyLengths,
}

impl AttentionSizes {
    /// The keys of a batch item.
    pub fn key_length(&self, item: usize) -> usize {
        match self.masking {
            Masking::KeyLengths => self.keys - self.keys / 2 * ((item + 1) % 3) / 2,
            _ => self.keys,
        }
    }

    /// The keys that a query sees.
    pub fn keys_of(&self, item: usize, query: usize) -> usize {
        match self.masking {
            Masking::Causal => self.keys.min(query + 1),
            _ => self.key_length(item),
        }
    }

    /// Scores that count, over all heads and items.
    fn scores(&self) -> u64 {
        let of_item = |item| (0..self.queries).map(|query| self.keys_of(item, query) as u64).sum::<u64>();
        self.heads as u64 * (0..self.batch).map(of_item).sum::<u64>()
    }
}

/// The operation on rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowOp {
    /// Layer norm.
    LayerNorm,
    /// Layer norm of a sum with a residual.
    ResidualLayerNorm,
    /// RMS norm.
    RmsNorm,
    /// Softmax.
    Softmax,
}

/// The sizes of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSizes {
    /// A model that has them.
    pub name: &'static str,
    /// Layers; 1 of them is benched in [`Group::Layer`].
    pub layers: usize,
    /// Columns.
    pub model_dim: usize,
    /// Heads.
    pub heads: usize,
    /// Columns inside the feed-forward network.
    pub feed_forward_dim: usize,
    /// Rows of the word table.
    pub vocabulary: usize,
}

/// all-MiniLM-L6-v2.
pub const MINI_LM: EncoderSizes = EncoderSizes {
    name: "MiniLM",
    layers: 6,
    model_dim: 384,
    heads: 12,
    feed_forward_dim: 1536,
    vocabulary: 30_522,
};
/// BERT Base.
pub const BERT_BASE: EncoderSizes = EncoderSizes {
    name: "BERT Base",
    layers: 12,
    model_dim: 768,
    heads: 12,
    feed_forward_dim: 3072,
    vocabulary: 30_522,
};

impl EncoderSizes {
    /// Floating-point operations of one layer over `batch` items of `length` tokens.
    fn layer_flops(&self, batch: usize, length: usize) -> u64 {
        let [d, hidden, batch, length] =
            [self.model_dim, self.feed_forward_dim, batch, length].map(|n| n as u64);
        let linear = 2 * batch * length * (4 * d * d + 2 * d * hidden);
        linear + 4 * batch * length * length * d
    }

    /// Elements of a layer's matrices.
    fn layer_weights(&self) -> u64 {
        let (d, hidden) = (self.model_dim as u64, self.feed_forward_dim as u64);
        4 * d * d + 2 * d * hidden
    }
}

/// The computation, with its sizes.
#[derive(Clone)]
#[non_exhaustive]
pub enum Work {
    /// x `[rows, depth]` times a weight `[columns, depth]`, transposed, as linear layers have it.
    Gemm {
        /// Rows of x.
        rows: usize,
        /// Columns of x.
        depth: usize,
        /// Columns of the result.
        columns: usize,
    },
    /// Attention.
    Attention(AttentionSizes),
    /// An op over rows.
    Rows {
        /// Which.
        op: RowOp,
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// A layer, or all of them, over `batch` items of `length` tokens.
    Encoder {
        /// The model's sizes.
        sizes: EncoderSizes,
        /// Whether the embeddings, all layers and the pooling are run, or one layer.
        whole: bool,
        /// Items.
        batch: usize,
        /// Tokens of each.
        length: usize,
    },
    /// One variant of a kernel.
    Kernel {
        /// The kernel.
        kernel: &'static dyn Kernel,
        /// The variant.
        variant: Variant,
    },
}

/// Work in a dtype: one line of a bench for each implementation.
#[derive(Clone)]
pub struct Shape {
    /// The family.
    pub group: Group,
    /// The computation.
    pub work: Work,
    /// What weights (attention: queries, keys and values) are stored as.
    pub dtype: DType,
    /// Whether it is in the quick list.
    pub quick: bool,
    /// The sweep that it is part of, and its length in that.
    pub sweep: Option<(&'static str, usize)>,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self} {}", self.group.name(), self.dtype)
    }
}

/// The sizes, as a table shows them: `[4096, 384]·[384, 1536]`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Gemm { rows, depth, columns } => write!(f, "[{rows}, {depth}]·[{depth}, {columns}]"),
            Work::Attention(sizes) => {
                let &AttentionSizes { batch, heads, key_heads, queries, keys, head_dim, masking } = sizes;
                let heads =
                    if heads == key_heads { heads.to_string() } else { format!("{heads}/{key_heads}") };
                let lengths = if queries == keys { keys.to_string() } else { format!("{queries}×{keys}") };
                let masking = match masking {
                    Masking::None => "",
                    Masking::Causal => " causal",
                    Masking::KeyLengths => " key lengths",
                };
                write!(f, "[{batch}, {heads}, {lengths}, {head_dim}]{masking}")
            }
            Work::Rows { op, rows, columns } => {
                let name = match op {
                    RowOp::LayerNorm => "layer_norm",
                    RowOp::ResidualLayerNorm => "layer_norm + residual",
                    RowOp::RmsNorm => "rms_norm",
                    RowOp::Softmax => "softmax",
                };
                write!(f, "{name} [{rows}, {columns}]")
            }
            Work::Encoder { sizes, batch, length, .. } => write!(f, "{} {batch}×{length}", sizes.name),
            Work::Kernel { kernel, .. } => write!(f, "{}", kernel.name()),
        }
    }
}

impl Shape {
    /// Floating-point operations of one call: of the scores that count, in attention. 0 for a kernel, whose case tells.
    pub fn flops(&self) -> u64 {
        match &self.work {
            Work::Gemm { rows, depth, columns } => 2 * (*rows as u64) * (*depth as u64) * (*columns as u64),
            Work::Attention(sizes) => 4 * sizes.scores() * sizes.head_dim as u64,
            Work::Rows { op, rows, columns } => {
                let each = match op {
                    RowOp::LayerNorm => 8,
                    RowOp::ResidualLayerNorm => 9,
                    RowOp::RmsNorm => 4,
                    RowOp::Softmax => 5,
                };
                each * (*rows as u64) * (*columns as u64)
            }
            Work::Encoder { sizes, whole, batch, length } => {
                let layers = if *whole { sizes.layers as u64 } else { 1 };
                layers * sizes.layer_flops(*batch, *length)
            }
            Work::Kernel { .. } => 0,
        }
    }

    /// Bytes that must cross memory at least once: what is read and what is written, without temporaries. 0 for a kernel.
    pub fn bytes(&self) -> u64 {
        let stored = if self.dtype == DType::F16 { 2 } else { 4 };
        match &self.work {
            Work::Gemm { rows, depth, columns } => {
                let [rows, depth, columns] = [*rows, *depth, *columns].map(|size| size as u64);
                4 * rows * (depth + columns) + stored * depth * columns
            }
            Work::Attention(sizes) => {
                let row = sizes.head_dim as u64;
                let queries = (sizes.batch * sizes.heads * sizes.queries) as u64;
                let of_item = |item| {
                    if sizes.masking == Masking::Causal {
                        sizes.keys.min(sizes.queries)
                    } else {
                        sizes.key_length(item)
                    }
                };
                let keys: usize = (0..sizes.batch).map(of_item).sum();
                stored * row * 2 * (queries + (keys * sizes.key_heads) as u64)
            }
            Work::Rows { op, rows, columns } => {
                let streams = if *op == RowOp::ResidualLayerNorm { 3 } else { 2 };
                4 * streams * (*rows as u64) * (*columns as u64)
            }
            Work::Encoder { sizes, whole, batch, length } => {
                let layers = if *whole { sizes.layers as u64 } else { 1 };
                let activations = 4 * (batch * length * sizes.model_dim) as u64;
                stored * layers * sizes.layer_weights() + 2 * activations
            }
            Work::Kernel { .. } => 0,
        }
    }
}

/// The shapes of a group in a dtype, for `quick` only a few.
pub fn shapes(group: Group, dtype: DType, quick: bool) -> Vec<Shape> {
    let mut shapes = match group {
        Group::Gemm => gemm(),
        Group::Attention => attention(),
        // f32 in and out: there is no weight to be stored otherwise.
        Group::Norm if dtype == DType::F32 => rows(),
        Group::Layer | Group::Model => encoders(group),
        Group::Norm | Group::Kernel => Vec::new(),
    };
    for shape in &mut shapes {
        shape.dtype = dtype;
    }
    shapes.retain(|shape| shape.quick || !quick);
    shapes
}

/// Every variant, one shape each, of the kernels of that name, with or without its family; without any, of those whose
/// names hold the text.
pub fn kernel_shapes(text: &str) -> Vec<Shape> {
    let stem = |name: &'static str| name.split_once('/').map_or(name, |(_, stem)| stem);
    let is = |kernel: &&'static dyn Kernel| kernel.name() == text || stem(kernel.name()) == text;
    let exactly = KERNELS.iter().copied().any(|kernel| is(&kernel));
    let holds = |kernel: &&'static dyn Kernel| kernel.name().contains(text);
    let kernels = KERNELS.iter().copied().filter(|kernel| if exactly { is(kernel) } else { holds(kernel) });
    let of = |kernel: &'static dyn Kernel| {
        let variants = kernel.variants().into_iter();
        variants.map(move |variant| shape(Group::Kernel, Work::Kernel { kernel, variant }))
    };
    kernels.flat_map(of).collect()
}

fn shape(group: Group, work: Work) -> Shape {
    Shape { group, work, dtype: DType::F32, quick: false, sweep: None }
}

fn quick(shape: Shape) -> Shape {
    Shape { quick: true, ..shape }
}

fn gemm() -> Vec<Shape> {
    let of = |[rows, depth, columns]: [usize; 3]| shape(Group::Gemm, Work::Gemm { rows, depth, columns });
    let mut shapes = vec![quick(of([64, 64, 64]))];
    // Squares.
    for size in [128, 256, 512, 1024, 2048, 4096, 8192] {
        let shape = Shape { quick: size == 256, ..of([size; 3]) };
        shapes.push(Shape { sweep: Some(("gemm", size)), ..shape });
    }
    shapes.extend(
        [
            // MiniLM over 32 × 128 tokens: the projections of attention, its output, the feed-forward network.
            [4096, 384, 1152],
            [4096, 384, 384],
            [4096, 384, 1536],
            [4096, 1536, 384],
            // BERT Base over 512 tokens.
            [512, 768, 3072],
            // One short text; a step of decoding, and eight at once.
            [12, 384, 1536],
            [1, 384, 1536],
            [1, 4096, 4096],
            [8, 4096, 4096],
            // Llama's feed-forward network over 512 tokens.
            [512, 4096, 11_008],
        ]
        .map(of),
    );
    shapes
}

fn attention() -> Vec<Shape> {
    let of = |batch, [heads, key_heads]: [usize; 2], [queries, keys]: [usize; 2], head_dim, masking| {
        let sizes = AttentionSizes { batch, heads, key_heads, queries, keys, head_dim, masking };
        shape(Group::Attention, Work::Attention(sizes))
    };
    let square =
        |batch, heads, length, head_dim, masking| of(batch, [heads; 2], [length; 2], head_dim, masking);
    let mut shapes = vec![quick(square(2, 2, 33, 16, Masking::KeyLengths))];
    // One text of BERT Base by its length, and beyond.
    for length in [128, 256, 512, 1024, 2048, 4096, 8192, 16_384] {
        let shape = Shape { quick: length == 128, ..square(1, 12, length, 64, Masking::None) };
        shapes.push(Shape { sweep: Some(("attention", length)), ..shape });
    }
    shapes.extend([
        square(1, 12, 512, 64, Masking::Causal),
        square(1, 12, 2048, 64, Masking::Causal),
        // MiniLM, a small batch and a full one.
        square(8, 12, 128, 32, Masking::None),
        square(8, 12, 128, 32, Masking::Causal),
        square(8, 12, 128, 32, Masking::KeyLengths),
        square(32, 12, 128, 32, Masking::None),
        // Llama's heads.
        of(1, [32, 8], [512, 512], 128, Masking::Causal),
    ]);
    // Where implementations take over from one another: short texts, and few queries to many keys.
    shapes.extend([
        square(1, 12, 16, 64, Masking::None),
        square(8, 12, 32, 32, Masking::None),
        of(1, [8; 2], [16, 1024], 64, Masking::None),
    ]);
    // Steps of decoding by the length of the cache.
    for length in [256, 1024, 4096, 16_384] {
        let shape = of(1, [32, 8], [1, length], 128, Masking::None);
        shapes.push(Shape { sweep: Some(("decode", length)), quick: length == 256, ..shape });
    }
    shapes.push(of(8, [32, 8], [1, 2048], 128, Masking::KeyLengths));
    shapes
}

fn rows() -> Vec<Shape> {
    let of = |op, rows, columns| shape(Group::Norm, Work::Rows { op, rows, columns });
    let mut shapes = Vec::new();
    for op in [RowOp::LayerNorm, RowOp::ResidualLayerNorm, RowOp::RmsNorm, RowOp::Softmax] {
        shapes.push(quick(of(op, 64, 384)));
        shapes.extend([(4096, 384), (4096, 768), (1024, 4096), (16_384, 1024)].map(|(n, c)| of(op, n, c)));
    }
    // Scores of 12 heads over 128 tokens.
    shapes.push(of(RowOp::Softmax, 12 * 128, 128));
    shapes
}

fn encoders(group: Group) -> Vec<Shape> {
    let whole = group == Group::Model;
    let of = |sizes, batch, length| shape(group, Work::Encoder { sizes, whole, batch, length });
    vec![
        quick(of(MINI_LM, 1, 16)),
        of(MINI_LM, 1, 128),
        of(MINI_LM, 32, 128),
        of(MINI_LM, 64, 256),
        of(BERT_BASE, 1, 128),
        of(BERT_BASE, 8, 512),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_bytes_by_hand() {
        let gemm = &shapes(Group::Gemm, DType::F16, true)[0];
        assert_eq!((gemm.to_string().as_str(), gemm.flops()), ("[64, 64]·[64, 64]", 2 * 64 * 64 * 64));
        assert_eq!(gemm.bytes(), 2 * 4 * 64 * 64 + 2 * 64 * 64);
        let sizes = AttentionSizes {
            batch: 2,
            heads: 4,
            key_heads: 2,
            queries: 3,
            keys: 3,
            head_dim: 8,
            masking: Masking::Causal,
        };
        let causal = shape(Group::Attention, Work::Attention(sizes));
        // 1 + 2 + 3 scores in each of 8 heads, 2 products of 8 multiply-adds.
        assert_eq!(causal.flops(), 6 * 8 * 4 * 8);
        assert_eq!(causal.to_string(), "[2, 4/2, 3, 8] causal");
        assert_eq!(causal.bytes(), 4 * 8 * (2 * 24 + 2 * 12));
    }

    #[test]
    fn kernels_are_found_by_name() {
        let names = |text| {
            let mut names: Vec<String> = kernel_shapes(text).iter().map(ToString::to_string).collect();
            names.dedup();
            names
        };
        assert_eq!(names("copy"), ["ceiling/copy"]);
        assert_eq!(names("linear/gemm_tiled"), ["linear/gemm_tiled"]);
        assert_eq!(names("ceiling/"), ["ceiling/copy", "ceiling/multiply_add"]);
        assert!(names("nothing").is_empty());
    }

    #[test]
    fn no_shape_is_there_twice() {
        for group in GROUPS {
            for quick in [false, true] {
                let texts: Vec<String> =
                    shapes(group, DType::F32, quick).iter().map(ToString::to_string).collect();
                let mut unique = texts.clone();
                unique.sort();
                unique.dedup();
                assert!(unique.len() == texts.len() && !texts.is_empty(), "{texts:?}");
            }
        }
    }
}
