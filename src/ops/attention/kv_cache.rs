//! Keys and values that are kept from one step of decoding to the next.

use super::{Attention, AttentionValues, Heads, PagedKeys};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::attention::append::{self, Append};
use crate::kernels::attention::{NONE, Parameters};
use crate::ops::{expect_dtype, expect_own, size};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Shape, Tensor, checked_words};

const OP: &str = "kv_cache";

/// The sizes of a [`KvCache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvCacheShape {
    /// Batch items.
    pub batch: usize,
    /// Key-value heads.
    pub key_heads: usize,
    /// The most keys of an item.
    pub capacity: usize,
    /// Elements of a key in one head.
    pub head_dim: usize,
    /// Elements of a value in one head.
    pub value_dim: usize,
    /// How keys and values are stored: f32 or f16.
    pub dtype: DType,
    /// The pool whose pages items take, as they grow; `None` for one piece of `capacity` keys for each item.
    pub paged: Option<PagedKeys>,
}

/// Keys and values of a batch on the device, to be appended to and attended to in one recording.
///
/// The cache counts what is recorded, so recordings that append must be run, each once, in their order.
/// [`KvCache::truncate`] takes back what was not.
///
/// ```
/// # fn main() -> attentive::Result<()> {
/// use attentive::ops::{Attention, Heads, KvCache, KvCacheShape};
/// use attentive::{DType, Device, Recording, Tensor};
///
/// let device = Device::cpu();
/// let mut cache = KvCache::new(&device, KvCacheShape {
///     batch: 1, key_heads: 2, capacity: 16, head_dim: 4, value_dim: 4, dtype: DType::F32, paged: None,
/// })?;
/// for step in 0..3 {
///     let x = Tensor::from_f32(&device, [1, 2, 1, 4], &[step as f32; 8])?;
///     let mut recording = Recording::new(&device);
///     let x = recording.tensor(&x)?;
///     let x = Heads::dense(&x)?;
///     cache.record_append(&mut recording, &x, &x, None)?;
///     let values = cache.record_attention(&mut recording, Attention::new(), &x)?;
///     recording.output(&values.output)?;
///     let y = recording.run()?.tensor(&values.output)?;
///     assert_eq!(y.shape().dims(), [1, 1, 8]);
/// }
/// assert_eq!(cache.lengths(), [3]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KvCache {
    shape: KvCacheShape,
    k: Tensor,
    v: Tensor,
    lengths: Vec<u32>,
    /// `[B, pages]` of a paged cache.
    table: Vec<u32>,
    /// Pages of no item.
    free: Vec<u32>,
    /// Items that have each page.
    owners: Vec<u32>,
    /// What recordings that are run more than once read.
    on_device: Option<OnDevice>,
}

/// What recordings that are run step after step find on the device, as of the last [`KvCache::advance`].
#[derive(Debug)]
struct OnDevice {
    /// u32 `[B]`: the keys of each item, new ones included.
    ends: Tensor,
    /// The same, where the new ones begin, and the table of a paged cache: what an append reads.
    items: Tensor,
    /// u32 `[B, pages]` of a paged cache.
    table: Option<Tensor>,
    /// The most rows that an append was recorded with.
    rows: u32,
}

impl OnDevice {
    fn write(&self, ends: &[u32], starts: &[u32], table: &[u32]) -> Result<()> {
        self.items.write_u32(&[ends, starts, table].concat())?;
        self.ends.write_u32(ends)?;
        self.table.as_ref().map_or(Ok(()), |tensor| tensor.write_u32(table))
    }
}

impl KvCacheShape {
    /// Pages of an item at most.
    fn pages(&self) -> usize {
        self.paged.map_or(0, |pool| self.capacity.div_ceil(pool.page_size.max(1)).min(pool.pages))
    }

    /// Elements from one row to the next: f16 rows begin at words.
    fn row(&self, columns: usize) -> usize {
        if self.dtype == DType::F16 { columns.saturating_add(columns % 2) } else { columns }
    }

    /// `[pieces, Hkv, rows, columns]` of a tensor.
    fn dims(&self, columns: usize) -> [usize; 4] {
        let (pieces, rows) =
            self.paged.map_or((self.batch, self.capacity), |pool| (pool.pages, pool.page_size));
        [pieces, self.key_heads, rows, self.row(columns)]
    }
}

impl KvCache {
    /// An empty cache, its memory taken.
    ///
    /// # Errors
    /// [`Error::Argument`] for sizes of 0 or another dtype, [`Error::Limit`] if the keys or the values of all items
    /// pass one binding of the device, [`Error::OutOfMemory`].
    pub fn new(device: &Device, shape: KvCacheShape) -> Result<Self> {
        let KvCacheShape { batch, key_heads, capacity, head_dim, value_dim, dtype, paged } = shape;
        let PagedKeys { pages, page_size } = paged.unwrap_or(PagedKeys { pages: 1, page_size: 1 });
        if [batch, key_heads, capacity, head_dim, value_dim, pages, page_size].contains(&0) {
            return Err(Error::argument(OP, "the shape", "sizes of at least 1", format!("{shape:?}")));
        }
        if !matches!(dtype, DType::F32 | DType::F16) {
            return Err(Error::argument(OP, "dtype", "f32 or f16", dtype.to_string()));
        }
        size(OP, "the capacity", capacity)?;
        let tensor = |columns: usize| Tensor::zeros(device, shape.dims(columns), dtype);
        // Two lengths and the pages of each item go to the device with each append.
        let words = shape.pages().saturating_add(2);
        checked_words(device, &Shape::from([batch, words]), DType::U32, "the lengths and pages of a cache")?;
        Ok(Self {
            shape,
            k: tensor(head_dim)?,
            v: tensor(value_dim)?,
            lengths: vec![0; batch],
            table: vec![0; batch * shape.pages()],
            free: if paged.is_some() { (0..pages as u32).rev().collect() } else { Vec::new() },
            owners: if paged.is_some() { vec![0; pages] } else { Vec::new() },
            on_device: None,
        })
    }

    /// The sizes.
    pub fn shape(&self) -> &KvCacheShape {
        &self.shape
    }

    /// The keys that each item has.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.k.bytes() + self.v.bytes()
    }

    /// The keys' tensor: `[B, Hkv, capacity, D]`, or a pool's `[pages, Hkv, page_size, D]`; f16 rows of odd length have
    /// one element more.
    pub fn keys(&self) -> &Tensor {
        &self.k
    }

    /// The values' tensor, likewise.
    pub fn values(&self) -> &Tensor {
        &self.v
    }

    /// Forgets what an item has from `length` on, and gives its pages back.
    ///
    /// # Errors
    /// [`Error::Argument`] for an item that is not there, or more keys than it has.
    pub fn truncate(&mut self, item: usize, length: usize) -> Result<()> {
        let Some(&before) = self.lengths.get(item) else {
            let expected = format!("below {}", self.shape.batch);
            return Err(Error::argument(OP, "the item", expected, item.to_string()));
        };
        if length > before as usize {
            let expected = format!("at most {before}, the keys of item {item}");
            return Err(Error::argument(OP, "the length", expected, length.to_string()));
        }
        if let Some(PagedKeys { page_size, .. }) = self.shape.paged {
            let pages = self.shape.pages();
            let used = length.div_ceil(page_size)..(before as usize).div_ceil(page_size);
            for place in used.rev() {
                self.give_back(self.table[item * pages + place]);
            }
        }
        self.lengths[item] = length as u32;
        Ok(())
    }

    /// Every item back to the length that it had, not above that which it has.
    pub(crate) fn truncate_all(&mut self, lengths: &[u32]) -> Result<()> {
        lengths.iter().enumerate().try_for_each(|(item, &length)| self.truncate(item, length as usize))
    }

    /// One item less has that page.
    fn give_back(&mut self, page: u32) {
        let owners = &mut self.owners[page as usize];
        *owners -= 1;
        if *owners == 0 {
            self.free.push(page);
        }
    }

    /// Lets each item go on from what item `parents[item]` has, as the beams of a search do. Nothing is copied: items
    /// share their pages, which are of one key each.
    ///
    /// # Errors
    /// [`Error::Argument`] for a cache that has not pages of one key, another number of parents than items, or a parent
    /// that is none of them. Then the cache is as it was.
    pub fn reorder(&mut self, parents: &[u32]) -> Result<()> {
        let batch = self.shape.batch;
        // Items that share a page which is not full would write into it, each its own key.
        if self.shape.paged.is_none_or(|pool| pool.page_size != 1) {
            let found = match self.shape.paged {
                Some(pool) => format!("pages of {}", pool.page_size),
                None => "one piece for each item".to_owned(),
            };
            return Err(Error::argument(
                OP,
                "a cache to be reordered",
                "pages of one key (`page_size: 1`)",
                found,
            ));
        }
        if parents.len() != batch || parents.iter().any(|&parent| parent as usize >= batch) {
            let expected = format!("one below {batch} for each of {batch} items");
            return Err(Error::argument(OP, "parents", expected, format!("{parents:?}")));
        }
        let pages = self.shape.pages();
        let before = self.table.clone();
        let of = |item: usize, length: u32| item * pages..item * pages + length as usize;
        let lengths: Vec<u32> = parents.iter().map(|&parent| self.lengths[parent as usize]).collect();
        for (item, (&parent, &length)) in parents.iter().zip(&lengths).enumerate() {
            let kept = &before[of(parent as usize, length)];
            kept.iter().for_each(|&page| self.owners[page as usize] += 1);
            self.table[of(item, length)].copy_from_slice(kept);
        }
        for item in 0..batch {
            before[of(item, self.lengths[item])].iter().for_each(|&page| self.give_back(page));
        }
        self.lengths = lengths;
        Ok(())
    }

    /// Records new keys `[B, Hkv, L, D]` and values `[B, Hkv, L, Dv]`, f32, behind those that are there: all L of each
    /// item, or as many as `counts` says.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit the cache, or more keys than an item's capacity or the pool's free
    /// pages hold. Then nothing is recorded, and the cache is as it was.
    pub fn record_append(
        &mut self,
        recording: &mut Recording,
        k: &Heads<'_>,
        v: &Heads<'_>,
        counts: Option<&[u32]>,
    ) -> Result<()> {
        let new = self.check_new(recording, k, v)?;
        let all = vec![new; self.shape.batch];
        let counts = counts.unwrap_or(&all);
        let ends = self.ends(counts, new)?;
        let (table, left) = self.take_pages(&ends)?;
        let items = [&ends[..], &self.lengths[..], &table[..]].concat();
        let items = recording.constant([items.len()], DType::U32, items)?;
        self.append(recording, [k, v], &items)?;
        self.take(table, ends, left);
        Ok(())
    }

    /// [`KvCache::record_append`] for a recording that is run step after step, as a [`RecordingPlan`](crate::RecordingPlan) is: how
    /// many keys there are stands on the device, and [`KvCache::advance`] moves it on before each run. All L rows, or fewer, are appended, as it says.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit the cache, [`Error::OutOfMemory`]. Then nothing is recorded.
    pub fn record_append_at_device(
        &mut self,
        recording: &mut Recording,
        k: &Heads<'_>,
        v: &Heads<'_>,
    ) -> Result<()> {
        let new = self.check_new(recording, k, v)?;
        let items = self.on_device()?.items.clone();
        let items = recording.tensor(&items)?;
        self.append(recording, [k, v], &items)?;
        if let Some(on_device) = &mut self.on_device {
            on_device.rows = on_device.rows.max(new);
        }
        Ok(())
    }

    /// Makes room for so many new keys of each item and tells the device, for recordings with
    /// [`KvCache::record_append_at_device`] and [`KvCache::record_attention_at_device`]: the next run of one writes so many of its
    /// new rows behind the keys that are there, and attends to those too. A run that is not preceded by it writes again what
    /// the run before it wrote. Makes nothing on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] unless there is one for each item, for more than the largest recorded append has rows, and for more
    /// keys than an item's capacity or the pool's free pages hold; [`Error::OutOfMemory`]. Then the cache is as it was.
    pub fn advance(&mut self, counts: &[u32]) -> Result<()> {
        let rows = self.on_device()?.rows;
        let ends = self.ends(counts, rows)?;
        let (table, left) = self.take_pages(&ends)?;
        let starts = self.lengths.clone();
        self.on_device()?.write(&ends, &starts, &table)?;
        self.take(table, ends, left);
        Ok(())
    }

    /// What recordings find on the device, made where it is not there yet.
    fn on_device(&mut self) -> Result<&mut OnDevice> {
        if self.on_device.is_none() {
            let (device, lengths, table) = (self.k.device(), &self.lengths, &self.table);
            let items = [&lengths[..], lengths, table].concat();
            let table = match self.shape.paged {
                Some(_) => Some(Tensor::from_u32(device, [self.shape.batch, self.shape.pages()], table)?),
                None => None,
            };
            self.on_device = Some(OnDevice {
                ends: Tensor::from_u32(device, [lengths.len()], lengths)?,
                items: Tensor::from_u32(device, [items.len()], &items)?,
                table,
                rows: 0,
            });
        }
        self.on_device.as_mut().ok_or_else(|| Error::argument(OP, "the cache", "on the device", "not"))
    }

    /// The number of new rows, if they fit the cache.
    fn check_new(&self, recording: &mut Recording, k: &Heads<'_>, v: &Heads<'_>) -> Result<u32> {
        let KvCacheShape { batch, key_heads, head_dim, value_dim, .. } = self.shape;
        let new = k.dims()[2];
        let caches = [recording.tensor(&self.k)?, recording.tensor(&self.v)?];
        for (name, heads, columns) in [("k", k, head_dim), ("v", v, value_dim)] {
            expect_own(recording, OP, name, heads.value)?;
            expect_dtype(OP, name, heads.value, &[DType::F32])?;
            let expected = [batch, key_heads, new, columns];
            if heads.dims() != expected {
                let expected = format!("{expected:?} for a cache of {:?}", self.shape);
                return Err(Error::argument(OP, name, expected, heads.describe()));
            }
            if caches.iter().any(|cache| recording.share(cache, heads.value)) {
                return Err(Error::argument(OP, name, "a value of its own", "one of the cache's"));
            }
        }
        size(OP, "the new rows", new)
    }

    /// The keys of each item with so many more, of `new` rows.
    fn ends(&self, counts: &[u32], new: u32) -> Result<Vec<u32>> {
        let KvCacheShape { batch, capacity, .. } = self.shape;
        if counts.len() != batch || counts.iter().any(|&count| count > new) {
            let expected = format!("one for each of {batch} items, at most {new}");
            return Err(Error::argument(OP, "counts", expected, format!("{counts:?}")));
        }
        let ends: Vec<u32> =
            self.lengths.iter().zip(counts).map(|(length, count)| length.saturating_add(*count)).collect();
        if let Some(item) = ends.iter().position(|&end| end as usize > capacity) {
            let found = format!("{} and {} more", self.lengths[item], counts[item]);
            let expected = format!("at most {capacity} in all");
            return Err(Error::argument(OP, format!("the keys of item {item}"), expected, found));
        }
        Ok(ends)
    }

    /// Keeps the table and the lengths that [`KvCache::take_pages`] was asked for.
    fn take(&mut self, table: Vec<u32>, ends: Vec<u32>, left: usize) {
        (self.table, self.lengths) = (table, ends);
        self.free.split_off(left).into_iter().for_each(|page| self.owners[page as usize] = 1);
    }

    /// Records the dispatches of an append; `items` are where each item's keys end, where the new ones begin, and the table.
    fn append(&self, recording: &mut Recording, new: [&Heads<'_>; 2], items: &Value) -> Result<()> {
        let KvCacheShape { batch, key_heads, capacity, head_dim, value_dim, .. } = self.shape;
        let caches = [recording.tensor(&self.k)?, recording.tensor(&self.v)?];
        recording.atomically(|recording| {
            for (heads, to, columns) in [(new[0], &caches[0], head_dim), (new[1], &caches[1], value_dim)] {
                let [_, _, rows, row] = self.shape.dims(columns);
                let of = |value: usize| size(OP, "a size or stride", value);
                let parameters = Parameters {
                    batches: of(batch)?,
                    heads: of(key_heads)?,
                    heads_per_key: 1,
                    query_length: of(heads.dims()[2])?,
                    key_length: of(capacity)?,
                    head_dim: of(columns)?,
                    q_offset: of(heads.offset)?,
                    q_batch: of(heads.strides[0])?,
                    q_head: of(heads.strides[1])?,
                    q_row: of(heads.strides[2])?,
                    k_batch: of(key_heads * rows * row)?,
                    k_head: of(rows * row)?,
                    k_row: of(row)?,
                    key_padding: 1,
                    pages_at: if self.shape.paged.is_some() { 2 * of(batch)? } else { NONE },
                    pages: of(self.shape.pages())?,
                    page_size: of(rows)?,
                    page_count: of(self.shape.paged.map_or(1, |pool| pool.pages))?,
                    ..Parameters::new()
                };
                let half = self.shape.dtype == DType::F16;
                let variant = if half { append::half() } else { append::words() };
                recording.dispatch_trusted(&Append, variant, &parameters, &[heads.value, items, to])?;
            }
            Ok(())
        })
    }

    /// The table for items of those lengths, and how many pages are then left.
    fn take_pages(&self, ends: &[u32]) -> Result<(Vec<u32>, usize)> {
        let mut table = self.table.clone();
        let Some(pool) = self.shape.paged else { return Ok((table, 0)) };
        let pages = self.shape.pages();
        let missing = |item: usize| {
            (self.lengths[item] as usize).div_ceil(pool.page_size)
                ..(ends[item] as usize).div_ceil(pool.page_size)
        };
        let places: Vec<usize> =
            (0..ends.len()).flat_map(|item| missing(item).map(move |place| item * pages + place)).collect();
        if places.len() > self.free.len() {
            let expected = format!("{} free of a pool of {}", places.len(), pool.pages);
            return Err(Error::argument(OP, "the pages", expected, format!("{} free", self.free.len())));
        }
        for (place, page) in places.iter().zip(self.free.iter().rev()) {
            table[*place] = *page;
        }
        Ok((table, self.free.len() - places.len()))
    }

    /// Records attention of queries `[B, H, Lq, D]` to what the cache holds. `attention` may say all but the key lengths
    /// and the page table, and no packed items; a causal bound is [`Causal::BottomRight`](super::Causal::BottomRight) where the queries are
    /// those of the keys appended last. The keys of a mask, and of what is captured, are as many as the longest item has;
    /// of a paged cache, those of whole pages.
    ///
    /// # Errors
    /// As [`Attention::record`]; [`Error::Argument`] for options that the cache itself says.
    pub fn record_attention(
        &self,
        recording: &mut Recording,
        attention: Attention<'_>,
        q: &Heads<'_>,
    ) -> Result<AttentionValues> {
        self.check_attention(&attention, q)?;
        let (k, v) = (recording.tensor(&self.k)?, recording.tensor(&self.v)?);
        // Only the rows that any item has, so that nothing is planned for the rest.
        let longest = self.lengths.iter().copied().max().unwrap_or(0) as usize;
        let (k, v) =
            (self.heads(&k, longest, self.shape.head_dim)?, self.heads(&v, longest, self.shape.value_dim)?);
        let attention = attention.key_lengths(&self.lengths);
        let Some(pool) = self.shape.paged else { return attention.record(recording, q, &k, &v) };
        let (pages, needed) = (self.shape.pages(), longest.div_ceil(pool.page_size));
        let table: Vec<u32> =
            self.table.chunks(pages).flat_map(|entries| entries[..needed].iter().copied()).collect();
        attention.page_table(&table).record(recording, q, &k, &v)
    }

    /// [`KvCache::record_attention`] for a recording that is run step after step: how many keys each item has stands on the
    /// device, moved on by [`KvCache::advance`] before each run. The keys of a mask, and of what is captured, are the capacity's;
    /// time goes with the keys that are there.
    ///
    /// # Errors
    /// As [`KvCache::record_attention`].
    pub fn record_attention_at_device(
        &mut self,
        recording: &mut Recording,
        attention: Attention<'_>,
        q: &Heads<'_>,
    ) -> Result<AttentionValues> {
        self.check_attention(&attention, q)?;
        let OnDevice { ends, table, .. } = self.on_device()?;
        let ends = recording.tensor(ends)?;
        let table = table.as_ref().map(|table| recording.tensor(table)).transpose()?;
        let (k, v) = (recording.tensor(&self.k)?, recording.tensor(&self.v)?);
        let capacity = self.shape.capacity;
        let (k, v) =
            (self.heads(&k, capacity, self.shape.head_dim)?, self.heads(&v, capacity, self.shape.value_dim)?);
        let attention = attention.key_lengths_value(&ends);
        match &table {
            None => attention.record(recording, q, &k, &v),
            Some(table) => attention.page_table_value(table).record(recording, q, &k, &v),
        }
    }

    fn check_attention(&self, attention: &Attention<'_>, q: &Heads<'_>) -> Result<()> {
        for (there, name) in [
            (attention.padding.is_some(), "key lengths or a key padding mask"),
            (attention.pages.is_some(), "a page table"),
            (attention.sequences.is_some(), "packed items"),
        ] {
            if there {
                let expected = "without what the cache says";
                return Err(Error::argument(OP, "the attention", expected, format!("with {name}")));
            }
        }
        let KvCacheShape { batch, key_heads, head_dim, .. } = self.shape;
        let [items, heads, _, columns] = q.dims();
        if items != batch || columns != head_dim || !heads.is_multiple_of(key_heads) {
            let expected = format!(
                "[{batch}, a multiple of {key_heads}, Lq, {head_dim}] for a cache of {:?}",
                self.shape
            );
            return Err(Error::argument(OP, "q", expected, q.describe()));
        }
        Ok(())
    }

    /// The keys or values of a cache's value: the first `seen` rows of each item, or all pages of the pool.
    fn heads<'a>(&self, value: &'a Value, seen: usize, columns: usize) -> Result<Heads<'a>> {
        let [pieces, heads, rows, row] = self.shape.dims(columns);
        let seen = if self.shape.paged.is_some() { rows } else { seen };
        Heads::strided(value, [pieces, heads, seen, columns], 0, [heads * rows * row, rows * row, row])
    }
}
