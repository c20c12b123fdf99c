//! What an [`AttentionPlan`](super::AttentionPlan) is made for, and the buffers that it is recorded over.

use super::{Alignment, Causal, Layout, PerHead};
#[cfg(doc)]
use super::{Attention, AttentionPlan, Heads};
use crate::tensor::DType;

/// The sizes and options that an [`AttentionPlan`] is made for: the sizes by a constructor, the options by struct update.
///
/// ```
/// use attentive::ops::Layout;
/// use attentive::{AttentionShape, Causal, DType};
///
/// // Causal self-attention, 32 query heads over 8 key-value heads in f16.
/// let decoder = AttentionShape {
///     key_dtype: DType::F16,
///     causal: Causal::TopLeft,
///     ..AttentionShape::new([1, 32, 512, 128]).grouped(8)
/// };
/// assert_eq!([decoder.heads, decoder.key_heads], [32, 8]);
/// // Queries of one sequence, keys and values of another, padded; heads side by side in each row.
/// let cross = AttentionShape {
///     has_key_lengths: true,
///     layout: Layout::RowsFirst,
///     ..AttentionShape::cross([2, 8, 16, 64], 77)
/// };
/// assert_eq!([cross.queries, cross.keys], [16, 77]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Batch items.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads, of which `heads` is a multiple.
    pub key_heads: usize,
    /// Queries, of packed items the longest.
    pub queries: usize,
    /// Keys, of packed items the longest.
    pub keys: usize,
    /// Elements of a query and a key.
    pub head_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
    /// How queries are stored: f32, or f16, which are widened in a dispatch of their own. The output is f32.
    pub query_dtype: DType,
    /// How keys and values are stored: f32 or f16.
    pub key_dtype: DType,
    /// How the heads of q, k, v and the output lie.
    pub layout: Layout,
    /// Which keys the order allows.
    pub causal: Causal,
    /// Where queries stand among the keys where no causal bound says it.
    pub alignment: Option<Alignment>,
    /// The keys before and after its own that a query sees: see [`Attention::window`].
    pub window: [Option<u32>; 2],
    /// In place of 1/√head_dim.
    pub scale: Option<f32>,
    /// See [`Attention::softcap`]; 0 for none.
    pub softcap: f32,
    /// Whether [`AttentionBuffers::key_lengths`] will be there.
    pub has_key_lengths: bool,
    /// Whether [`AttentionBuffers::key_padding_mask`] will be.
    pub has_key_padding_mask: bool,
    /// Which of [`AttentionBuffers::per_head`] will be.
    pub per_head: PerHead<bool>,
    /// The reach of the biases that [`AttentionBuffers::relative_bias`] will hold: see [`Attention::relative_bias_value`].
    pub relative_bias: Option<usize>,
    /// Whether [`AttentionBuffers::log_sum_exp`] will be, to be written.
    pub has_log_sum_exp: bool,
    /// The mask that [`AttentionBuffers::mask`] will hold, broadcast to `[batch, heads, queries, keys]`.
    pub mask: Option<[usize; 4]>,
    /// What it is: f32, or f16, which is widened in a dispatch of its own, to be added to the scaled scores; or u32, nonzero for
    /// what takes part.
    pub mask_dtype: DType,
    /// Items packed one after the other, of lengths that [`AttentionBuffers::packed`] tells.
    pub packed: Option<AttentionVariableLengths>,
    /// Keys and values in pages of a pool, of which [`AttentionBuffers::page_table`] tells; `keys` is then that of
    /// all pages of an item.
    pub paged: Option<PagedKeys>,
    /// Where the queries lie in their buffer, if they are not dense in the layout.
    pub q_placement: Option<Placement>,
    /// Where the keys lie.
    pub k_placement: Option<Placement>,
    /// Where the values lie.
    pub v_placement: Option<Placement>,
    /// Where the output lies.
    pub output_placement: Option<Placement>,
}

/// Where `[batch, heads, rows, columns]` lie in a buffer, in elements; the columns of a row side by side. Whatever the device's
/// alignment for a binding's offset is, an element may be the first. As [`Heads::strided`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The first element.
    pub offset: usize,
    /// From one batch item (of paged keys one page; not used where items are packed), head and row to the next. 0 repeats.
    pub strides: [usize; 3],
}

impl Placement {
    /// Elements up to the last one.
    pub(super) fn reach(&self, dims: [usize; 4]) -> usize {
        if dims.contains(&0) {
            return 0;
        }
        let steps =
            dims[..3].iter().zip(self.strides).map(|(&size, stride)| (size - 1).saturating_mul(stride));
        steps.fold(self.offset, usize::saturating_add).saturating_add(dims[3])
    }
}

/// The rows of all packed items together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionVariableLengths {
    /// Queries of all items.
    pub queries: usize,
    /// Keys of all items.
    pub keys: usize,
}

/// A pool of pages of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagedKeys {
    /// Pages in the pool.
    pub pages: usize,
    /// Keys of a page.
    pub page_size: usize,
}

impl AttentionShape {
    /// Self-attention of `[batch, heads, length, head_dim]`, without a mask; f32, heads first.
    pub fn new([batch, heads, length, head_dim]: [usize; 4]) -> Self {
        Self::cross([batch, heads, length, head_dim], length)
    }

    /// Cross-attention: queries `[batch, heads, queries, head_dim]` to that many keys of another sequence, without a
    /// mask; f32, heads first.
    pub fn cross([batch, heads, queries, head_dim]: [usize; 4], keys: usize) -> Self {
        Self {
            batch,
            heads,
            key_heads: heads,
            queries,
            keys,
            head_dim,
            value_dim: head_dim,
            ..Self::default()
        }
    }

    /// With fewer key-value heads than query heads, of which they are a divisor: grouped-query attention (Ainslie et al.
    /// 2023), multi-query attention for 1. Query head h reads key-value head h / (heads / key_heads).
    #[must_use]
    pub fn grouped(self, key_heads: usize) -> Self {
        Self { key_heads, ..self }
    }

    /// Self-attention over the rows of a packed projection, one tensor `[batch, length, (heads + 2 · key_heads) · head_dim]`: in
    /// each row the query heads side by side, then the keys', then the values'. Its buffer is q, k and v
    /// ([`AttentionBuffers::new`] takes it three times); the output is dense `[batch, length, heads, head_dim]`. f32, without a
    /// mask.
    pub fn packed_qkv([batch, heads, length, head_dim]: [usize; 4], key_heads: usize) -> Self {
        let columns = |heads: usize| heads.saturating_mul(head_dim);
        let keys = columns(key_heads);
        let row = columns(heads).saturating_add(keys).saturating_add(keys);
        let at = |offset| Some(Placement { offset, strides: [length.saturating_mul(row), head_dim, row] });
        Self {
            layout: Layout::RowsFirst,
            q_placement: at(0),
            k_placement: at(columns(heads)),
            v_placement: at(columns(heads).saturating_add(keys)),
            ..Self::new([batch, heads, length, head_dim]).grouped(key_heads)
        }
    }

    pub(super) fn dims(&self, batch: usize, heads: usize, length: usize, columns: usize) -> [usize; 4] {
        match self.layout {
            Layout::HeadsFirst => [batch, heads, length, columns],
            Layout::RowsFirst => [batch, length, heads, columns],
        }
    }

    /// Batch and rows of queries and of keys, as they are stored.
    pub(super) fn stored(&self) -> [(usize, usize); 2] {
        match (self.packed, self.paged) {
            (Some(all), _) => [(1, all.queries), (1, all.keys)],
            (None, Some(paged)) => [(self.batch, self.queries), (paged.pages, paged.page_size)],
            (None, None) => [(self.batch, self.queries), (self.batch, self.keys)],
        }
    }
}

impl Default for AttentionShape {
    /// One batch item with one head, f32, heads first, and no option. There are no queries and keys yet, and no columns,
    /// without which a plan is refused.
    fn default() -> Self {
        Self {
            batch: 1,
            heads: 1,
            key_heads: 1,
            queries: 0,
            keys: 0,
            head_dim: 0,
            value_dim: 0,
            query_dtype: DType::F32,
            key_dtype: DType::F32,
            layout: Layout::HeadsFirst,
            causal: Causal::None,
            alignment: None,
            window: [None; 2],
            scale: None,
            softcap: 0.0,
            has_key_lengths: false,
            has_key_padding_mask: false,
            per_head: PerHead::default(),
            relative_bias: None,
            has_log_sum_exp: false,
            mask: None,
            mask_dtype: DType::F32,
            packed: None,
            paged: None,
            q_placement: None,
            k_placement: None,
            v_placement: None,
            output_placement: None,
        }
    }
}

/// A buffer of a host's, or a part of it: what a [`wgpu::BufferBinding`] says. A `&wgpu::Buffer` is all of it.
///
/// A part begins at a multiple of the device's alignment for storage buffers
/// ([`Limits::min_storage_buffer_offset_alignment`](wgpu::Limits)). Where q, k, v and the output begin at other elements,
/// [`Placement::offset`] says so.
#[derive(Clone, Copy, Debug)]
pub struct BufferPart<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// The byte at which the part begins.
    pub offset: u64,
    /// Its bytes; `None` for all from there on.
    pub size: Option<wgpu::BufferSize>,
}

impl BufferPart<'_> {
    /// Bytes of the part, as far as the buffer has them.
    pub(super) fn bytes(&self) -> u64 {
        let rest = self.buffer.size().saturating_sub(self.offset);
        self.size.map_or(rest, |size| size.get().min(rest))
    }
}

impl<'a> From<&'a wgpu::Buffer> for BufferPart<'a> {
    fn from(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, size: None }
    }
}

impl<'a> From<wgpu::BufferBinding<'a>> for BufferPart<'a> {
    fn from(wgpu::BufferBinding { buffer, offset, size }: wgpu::BufferBinding<'a>) -> Self {
        Self { buffer, offset, size }
    }
}

/// A host's buffers or parts of them, in the plan's layout or placement; usage `STORAGE`. Those that the plan was made with, and no others.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBuffers<'a> {
    /// Queries.
    pub q: BufferPart<'a>,
    /// Keys.
    pub k: BufferPart<'a>,
    /// Values.
    pub v: BufferPart<'a>,
    /// f32 output, written.
    pub output: BufferPart<'a>,
    /// u32 `[batch]`: keys of each item.
    pub key_lengths: Option<BufferPart<'a>>,
    /// u32 `[batch, keys]`: nonzero for keys that take part.
    pub key_padding_mask: Option<BufferPart<'a>>,
    /// Added to the scaled scores (f32 or f16), or nonzero for what takes part (u32).
    pub mask: Option<BufferPart<'a>>,
    /// f32 `[heads]` each.
    pub per_head: PerHead<Option<BufferPart<'a>>>,
    /// f32 `[heads, 2 · reach + 1]`.
    pub relative_bias: Option<BufferPart<'a>>,
    /// u32 `[2, batch + 1]`: running sums of the packed items' queries, then of their keys.
    pub packed: Option<BufferPart<'a>>,
    /// u32 `[batch, pages]`.
    pub page_table: Option<BufferPart<'a>>,
    /// f32 `[batch, heads, queries]`, of packed items `[heads, all queries]`; written.
    pub log_sum_exp: Option<BufferPart<'a>>,
}

impl<'a> AttentionBuffers<'a> {
    /// The buffers that every plan needs, or parts of them; q, k and v may be parts of one.
    pub fn new(
        q: impl Into<BufferPart<'a>>,
        k: impl Into<BufferPart<'a>>,
        v: impl Into<BufferPart<'a>>,
        output: impl Into<BufferPart<'a>>,
    ) -> Self {
        Self {
            q: q.into(),
            k: k.into(),
            v: v.into(),
            output: output.into(),
            key_lengths: None,
            key_padding_mask: None,
            mask: None,
            per_head: PerHead::default(),
            relative_bias: None,
            packed: None,
            page_table: None,
            log_sum_exp: None,
        }
    }

    /// The one of that name.
    pub(super) fn get(&self, name: &str) -> Option<BufferPart<'a>> {
        match name {
            "q" => Some(self.q),
            "k" => Some(self.k),
            "v" => Some(self.v),
            "output" => Some(self.output),
            "key_lengths" => self.key_lengths,
            "key_padding_mask" => self.key_padding_mask,
            "relative_bias" => self.relative_bias,
            "packed" => self.packed,
            "page_table" => self.page_table,
            "log_sum_exp" => self.log_sum_exp,
            "mask" => self.mask,
            name => self.per_head.get(name).flatten(),
        }
    }
}
