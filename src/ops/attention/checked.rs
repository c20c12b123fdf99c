//! The arguments of an attention, checked, as the kernels take them.

use super::{
    Alignment, Attention, Causal, HeadTerms, Heads, KeyPadding, Mask, OP, PageTable, RelativeBias, Sequences,
};
use crate::error::{Error, Result};
use crate::kernels::attention::append::{self, Append};
use crate::kernels::attention::{NONE, Parameters};
use crate::ops::{cast, expect_dtype, expect_own, expect_shape, size};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Shape};

/// Positions are computed in i32.
const LONGEST: usize = 1 << 30;

/// Parameters and bindings that all implementations share.
#[derive(Clone)]
pub(super) struct Checked {
    /// All but what a dispatch adds.
    pub p: Parameters,
    /// f32.
    pub q: Value,
    /// f32 or f16, both alike.
    pub k: Value,
    pub v: Value,
    /// Whether keys and values are f16.
    pub half: bool,
    pub mask: Value,
    pub items: Value,
    pub head_terms: Value,
    /// f32.
    pub output: Value,
    /// `[B, H, Lq, Lk]`, of packed items the longest.
    pub dims: [usize; 4],
}

impl Checked {
    pub fn new(
        options: &Attention<'_>,
        recording: &mut Recording,
        [q, k, v]: [&Heads<'_>; 3],
        output: &Heads<'_>,
        sums: Option<&Value>,
    ) -> Result<Self> {
        check_numbers(options)?;
        check_memory(options, recording, [q, k, v], output, sums)?;
        for (name, heads) in [("q", q), ("k", k), ("v", v)] {
            expect_dtype(OP, name, heads.value, &[DType::F32, DType::F16])?;
        }
        expect_dtype(OP, "v", v.value, &[k.value.dtype()])?;
        check_shapes(q, k, v)?;
        check_output(q, v, output)?;
        let mut items = Items::default();
        let sizes = Sizes::new(options, q, k)?;
        let [batch, heads, queries, keys] = sizes.dims;
        let [_, key_heads, _, head_dim] = k.dims;
        for (name, length) in [("queries", queries), ("keys", keys)] {
            if length > LONGEST {
                return Err(Error::argument(OP, name, format!("at most {LONGEST}"), length.to_string()));
            }
        }
        let key_padding = items.padding(options, &sizes, k)?;
        let sequences_at = items.sequences(options)?;
        let pages_at = items.pages(options, &sizes, k)?;
        let mut terms = Items::default();
        let per_head_at = options.per_head.try_map(|name, own| terms.head_terms(name, own, heads))?;
        let (relative_at, relative_reach) = terms.by_distance(options.relative, heads)?;
        let (mask, mask_kind, mask_strides) = match options.mask {
            None => (recording.absent()?, 0, [0; 4]),
            Some(mask) => {
                let (kind, dtypes, value) = match mask {
                    Mask::Bool(value) => (1, &[DType::U32][..], value),
                    Mask::Float(value) => (2, &[DType::F32, DType::F16][..], value),
                };
                expect_dtype(OP, "the mask", value, dtypes)?;
                let strides = broadcast(value.shape(), sizes.dims)?;
                let value = if kind == 2 { cast(recording, value, DType::F32)? } else { value.clone() };
                (value, kind, strides)
            }
        };
        let of = |value: usize| size(OP, "a size or stride", value);
        let position = options.causal.alignment().or(options.alignment).unwrap_or_default();
        let reach = |bound: Option<u32>| bound.map_or(NONE, |bound| bound.min(LONGEST as u32));
        let packed = sequences_at != NONE;
        // Packed rows have no stride of the batch.
        let batch_stride = |stride: usize| if packed { Ok(0) } else { of(stride) };
        let p = Parameters {
            batches: of(batch)?,
            heads: of(heads)?,
            heads_per_key: of(heads.checked_div(key_heads).unwrap_or(1))?,
            query_length: of(queries)?,
            key_length: of(keys)?,
            head_dim: of(head_dim)?,
            value_dim: of(v.dims[3])?,
            q_offset: of(q.offset)?,
            q_batch: batch_stride(q.strides[0])?,
            q_head: of(q.strides[1])?,
            q_row: of(q.strides[2])?,
            k_offset: of(k.offset)?,
            k_batch: batch_stride(k.strides[0])?,
            k_head: of(k.strides[1])?,
            k_row: of(k.strides[2])?,
            v_offset: of(v.offset)?,
            v_batch: batch_stride(v.strides[0])?,
            v_head: of(v.strides[1])?,
            v_row: of(v.strides[2])?,
            output_offset: of(output.offset)?,
            output_batch: batch_stride(output.strides[0])?,
            output_head: of(output.strides[1])?,
            output_row: of(output.strides[2])?,
            sums_batch: if packed { 0 } else { of(heads.saturating_mul(queries))? },
            sums_head: of(q.dims[2])?,
            scale: options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt()),
            softcap: options.softcap,
            aligned_to_end: u32::from(position == Alignment::BottomRight),
            shift: if let Alignment::Offset(offset) = position { offset as u32 } else { 0 },
            left: reach(options.window[0]),
            right: if options.causal == Causal::None { reach(options.window[1]) } else { 0 },
            key_padding,
            sequences_at,
            pages_at,
            pages: of(sizes.pages)?,
            page_size: of(if sizes.pages > 0 { k.dims[2] } else { 1 })?,
            page_count: of(if sizes.pages > 0 { k.dims[0] } else { 1 })?,
            mask_kind,
            mask_batch: of(mask_strides[0])?,
            mask_head: of(mask_strides[1])?,
            mask_row: of(mask_strides[2])?,
            mask_column: of(mask_strides[3])?,
            relative_at,
            relative_reach,
            ..Parameters::new()
        }
        .with_per_head(per_head_at);
        Ok(Self {
            p,
            q: cast(recording, q.value, DType::F32)?,
            // Nothing is bound as a stand-in, since a binding holds at least one vec4.
            k: if k.dims.contains(&0) { recording.absent()? } else { k.value.clone() },
            v: if v.dims.contains(&0) { recording.absent()? } else { v.value.clone() },
            half: k.value.dtype() == DType::F16,
            mask,
            items: items.bring_together(recording, DType::U32)?,
            head_terms: terms.bring_together(recording, DType::F32)?,
            output: output.value.clone(),
            dims: sizes.dims,
        })
    }
}

fn check_numbers(options: &Attention<'_>) -> Result<()> {
    let scale = options.scale.unwrap_or(1.0);
    if !scale.is_finite() {
        return Err(Error::argument(OP, "scale", "a finite number", scale.to_string()));
    }
    let softcap = options.softcap;
    if !softcap.is_finite() || softcap < 0.0 {
        return Err(Error::argument(
            OP,
            "softcap",
            "a finite number of at least 0, 0 for none",
            softcap.to_string(),
        ));
    }
    if let (Some(causal), Some(alignment)) = (options.causal.alignment(), options.alignment)
        && causal != alignment
    {
        let expected = format!("that of the causal bound, {causal:?}, or none");
        return Err(Error::argument(OP, "the alignment", expected, format!("{alignment:?}")));
    }
    let position = options.causal.alignment().or(options.alignment);
    if let Some(Alignment::Offset(offset)) = position
        && offset.unsigned_abs() as usize > LONGEST
    {
        let expected = format!("from -{LONGEST} to {LONGEST}");
        return Err(Error::argument(OP, "the offset", expected, offset.to_string()));
    }
    Ok(())
}

/// All values are of the recording, and nothing that is written shares its memory with another.
fn check_memory<'a>(
    options: &Attention<'a>,
    recording: &Recording,
    [q, k, v]: [&Heads<'a>; 3],
    output: &Heads<'a>,
    sums: Option<&'a Value>,
) -> Result<()> {
    let padding = options.padding.and_then(|padding| match padding {
        KeyPadding::Lengths(_) => None,
        KeyPadding::LengthsValue(value) => Some(("key_lengths", value)),
        KeyPadding::Mask(value) => Some(("key_padding_mask", value)),
    });
    let sequences = options.sequences.and_then(|sequences| match sequences {
        Sequences::Host { .. } => None,
        Sequences::Value { sums, .. } => Some(("packed", sums)),
    });
    let pages = options.pages.and_then(|pages| match pages {
        PageTable::Host(_) => None,
        PageTable::Value(value) => Some(("the page table", value)),
    });
    let per_head = options.per_head.entries().into_iter().map(|(name, terms)| match terms {
        None | Some(HeadTerms::Host(_)) => None,
        Some(HeadTerms::Value(value)) => Some((name, value)),
    });
    let optional: Vec<Option<(&str, &Value)>> = [
        options.mask.map(|(Mask::Bool(value) | Mask::Float(value))| ("the mask", value)),
        padding,
        sequences,
        pages,
    ]
    .into_iter()
    .chain(per_head)
    .chain([options.relative.and_then(|bias| match bias {
        RelativeBias::Host(_) => None,
        RelativeBias::Value(value) => Some(("relative_bias", value)),
    })])
    .collect();
    let needed = [("q", q.value), ("k", k.value), ("v", v.value)];
    let inputs = || needed.into_iter().chain(optional.iter().copied().flatten());
    for (name, value) in inputs().chain([("the output", output.value)]) {
        expect_own(recording, OP, name, value)?;
    }
    let mut others: Vec<(&str, &Value)> = inputs().collect();
    for (name, written) in [("the output", Some(output.value)), ("log_sum_exp", sums)] {
        let Some(written) = written else { continue };
        if let Some((other, _)) = others.iter().find(|(_, other)| recording.share(written, other)) {
            return Err(Error::argument(OP, name, "a value of its own", format!("that of {other}")));
        }
        others.push((name, written));
    }
    // Rows that nothing writes would be whatever the memory held before.
    let elements: u64 = output.dims.iter().map(|&size| size as u64).product();
    let wholly = elements == output.value.shape().elements() && sequences.is_none();
    if !wholly && !recording.is_written(output.value) {
        let expected = "all of a temporary, or a value of `Recording::zeros`, of which a part may be written";
        let found = match sequences {
            Some(_) => "a temporary, of which running sums on the device may leave rows out".to_owned(),
            None => format!("{elements} elements of a temporary {}", output.value.shape()),
        };
        return Err(Error::argument(OP, "the output", expected, found));
    }
    Ok(())
}

fn pair(name: &str, heads: &Heads<'_>) -> String {
    format!("{name} {}", heads.describe())
}

fn check_shapes(q: &Heads<'_>, k: &Heads<'_>, v: &Heads<'_>) -> Result<()> {
    let [_, heads, _, head_dim] = q.dims;
    let [batch, key_heads, keys, _] = k.dims;
    if k.dims[3] != head_dim {
        let expected = format!("[.., {head_dim}] for {}", pair("q", q));
        return Err(Error::argument(OP, "k", expected, k.describe()));
    }
    if v.dims[..3] != k.dims[..3] {
        let expected = format!("[{batch}, {key_heads}, {keys}, Dv] for {}", pair("k", k));
        return Err(Error::argument(OP, "v", expected, v.describe()));
    }
    if key_heads == 0 && heads != 0 || key_heads != 0 && !heads.is_multiple_of(key_heads) {
        let expected = format!("a multiple of the {key_heads} heads of {}", pair("k", k));
        return Err(Error::argument(OP, "the heads of q", expected, q.describe()));
    }
    if head_dim == 0 {
        return Err(Error::argument(OP, "head_dim", "at least 1", format!("0 in {}", pair("q", q))));
    }
    Ok(())
}

fn check_output(q: &Heads<'_>, v: &Heads<'_>, output: &Heads<'_>) -> Result<()> {
    expect_dtype(OP, "the output", output.value, &[DType::F32])?;
    let needed = [q.dims[0], q.dims[1], q.dims[2], v.dims[3]];
    if output.dims != needed {
        let expected = format!("{needed:?} for {} and {}", pair("q", q), pair("v", v));
        return Err(Error::argument(OP, "the output", expected, output.describe()));
    }
    if output.overlaps_itself() {
        let found = format!("strides {:?} for {}", output.strides, output.describe());
        return Err(Error::argument(OP, "the output", "rows that do not overlap", found));
    }
    Ok(())
}

/// The shapes as the tables change them.
struct Sizes {
    /// `[B, H, Lq, Lk]`, of packed items the longest.
    dims: [usize; 4],
    /// Pages of each item; 0 where keys are not paged.
    pages: usize,
}

impl Sizes {
    fn new(options: &Attention<'_>, q: &Heads<'_>, k: &Heads<'_>) -> Result<Self> {
        let [batch, heads, queries, _] = q.dims;
        let keys = k.dims[2];
        if let Some(sequences) = options.sequences {
            if options.pages.is_some() {
                return Err(Error::argument(OP, "packed", "without a page table", "both"));
            }
            if batch != 1 || k.dims[0] != 1 {
                let expected = "a batch of 1 in q and k, as items are packed";
                let found = format!("{} and {}", pair("q", q), pair("k", k));
                return Err(Error::argument(OP, "packed", expected, found));
            }
            let (items, longest) = match sequences {
                Sequences::Host { queries: q_sums, keys: k_sums } => {
                    let longest = [longest("queries", q_sums, queries)?, longest("keys", k_sums, keys)?];
                    if q_sums.len() != k_sums.len() {
                        let expected = format!("{} running sums, as of the queries", q_sums.len());
                        return Err(Error::argument(OP, "packed keys", expected, k_sums.len().to_string()));
                    }
                    (q_sums.len() - 1, longest)
                }
                Sequences::Value { sums, longest } => {
                    expect_dtype(OP, "packed", sums, &[DType::U32])?;
                    let &[2, ends] = sums.shape().dims() else {
                        return Err(Error::argument(OP, "packed", "[2, B + 1]", sums.shape().to_string()));
                    };
                    if longest[0] > queries || longest[1] > keys {
                        let expected = format!("at most {queries} and {keys}, all rows of q and k");
                        return Err(Error::argument(OP, "the longest", expected, format!("{longest:?}")));
                    }
                    (ends.saturating_sub(1), longest)
                }
            };
            return Ok(Self { dims: [items, heads, longest[0], longest[1]], pages: 0 });
        }
        let pages = match options.pages {
            None => {
                if k.dims[0] != batch {
                    let expected = format!("[{batch}, ..] for {}", pair("q", q));
                    return Err(Error::argument(OP, "k", expected, k.describe()));
                }
                return Ok(Self { dims: [batch, heads, queries, keys], pages: 0 });
            }
            Some(PageTable::Host(&[])) => 0,
            Some(PageTable::Host(table)) => match table.len().checked_div(batch) {
                Some(pages) if pages * batch == table.len() => pages,
                _ => {
                    let expected = format!("as many entries for each of {batch} batch items");
                    return Err(Error::argument(OP, "the page table", expected, table.len().to_string()));
                }
            },
            Some(PageTable::Value(table)) => {
                expect_dtype(OP, "the page table", table, &[DType::U32])?;
                match table.shape().dims() {
                    &[items, pages] if items == batch => pages,
                    _ => {
                        let expected = format!("[{batch}, pages]");
                        let found = table.shape().to_string();
                        return Err(Error::argument(OP, "the page table", expected, found));
                    }
                }
            }
        };
        if pages > 0 && (k.dims[0] == 0 || keys == 0) {
            let expected = "at least one page of at least one key";
            return Err(Error::argument(OP, "the pool of k", expected, k.describe()));
        }
        Ok(Self { dims: [batch, heads, queries, pages.saturating_mul(keys)], pages })
    }
}

/// The largest difference of running sums that begin at 0, never fall, and end at `rows`.
fn longest(name: &str, sums: &[u32], rows: usize) -> Result<usize> {
    let fits = sums.first() == Some(&0)
        && sums.is_sorted()
        && sums.last().is_some_and(|&last| last as usize == rows);
    if !fits {
        let expected = format!("running sums from 0 to {rows}, the rows there are");
        return Err(Error::argument(OP, format!("packed {name}"), expected, format!("{sums:?}")));
    }
    Ok(sums.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0) as usize)
}

/// The words that a kernel finds in one binding, from the host and from the device.
#[derive(Default)]
struct Items<'a> {
    parts: Vec<Part<'a>>,
    words: usize,
}

enum Part<'a> {
    Host(Vec<u32>),
    Device(&'a Value),
}

impl<'a> Items<'a> {
    /// Adds a part and gives where it begins.
    fn push(&mut self, part: Part<'a>) -> Result<u32> {
        let at = size(OP, "the tables", self.words)?;
        self.words += match &part {
            Part::Host(words) => words.len(),
            Part::Device(value) => value.shape().elements() as usize,
        };
        self.parts.push(part);
        Ok(at)
    }

    /// Adds the key padding and gives its kind. It comes first.
    fn padding(&mut self, options: &Attention<'a>, sizes: &Sizes, k: &Heads<'_>) -> Result<u32> {
        let [batch, _, _, keys] = sizes.dims;
        match options.padding {
            None => Ok(0),
            Some(KeyPadding::LengthsValue(lengths)) => {
                expect_dtype(OP, "key_lengths", lengths, &[DType::U32])?;
                expect_shape(OP, "key_lengths", lengths, &[batch])?;
                self.push(Part::Device(lengths)).map(|_| 1)
            }
            Some(KeyPadding::Lengths(lengths)) => {
                let found = || format!("{lengths:?}");
                if lengths.len() != batch {
                    let expected = format!("one for each of {batch} batch items");
                    return Err(Error::argument(OP, "key_lengths", expected, found()));
                }
                let keys_of = |item: usize| match options.sequences {
                    Some(Sequences::Host { keys, .. }) => (keys[item + 1] - keys[item]) as usize,
                    _ => keys,
                };
                if let Some(item) = (0..batch).find(|&item| lengths[item] as usize > keys_of(item)) {
                    let expected =
                        format!("at most {}, the keys of item {item}, for {}", keys_of(item), pair("k", k));
                    return Err(Error::argument(OP, "key_lengths", expected, found()));
                }
                self.push(Part::Host(lengths.to_vec())).map(|_| 1)
            }
            Some(KeyPadding::Mask(mask)) => {
                expect_dtype(OP, "key_padding_mask", mask, &[DType::U32])?;
                expect_shape(OP, "key_padding_mask", mask, &[batch, keys])?;
                self.push(Part::Device(mask)).map(|_| 2)
            }
        }
    }

    fn sequences(&mut self, options: &Attention<'a>) -> Result<u32> {
        match options.sequences {
            None => Ok(NONE),
            Some(Sequences::Host { queries, keys }) => self.push(Part::Host([queries, keys].concat())),
            Some(Sequences::Value { sums, .. }) => self.push(Part::Device(sums)),
        }
    }

    fn pages(&mut self, options: &Attention<'a>, sizes: &Sizes, k: &Heads<'_>) -> Result<u32> {
        let [pool, _, page_size, _] = k.dims;
        match options.pages {
            _ if sizes.pages == 0 => Ok(NONE),
            Some(PageTable::Host(table)) => {
                for (item, entries) in table.chunks(sizes.pages).enumerate() {
                    // Rows past an item's keys are never read and may be anything.
                    let used = match options.padding {
                        Some(KeyPadding::Lengths(lengths)) => (lengths[item] as usize).div_ceil(page_size),
                        _ => sizes.pages,
                    };
                    let entries = entries.iter().take(used).enumerate();
                    if let Some((place, found)) =
                        entries.into_iter().find(|(_, page)| **page as usize >= pool)
                    {
                        let argument = format!("entry {place} of batch item {item} in the page table");
                        let expected = format!("below the {pool} pages of {}", pair("k", k));
                        return Err(Error::argument(OP, &argument, expected, found.to_string()));
                    }
                }
                self.push(Part::Host(table.to_vec()))
            }
            Some(PageTable::Value(table)) => self.push(Part::Device(table)),
            None => Ok(NONE),
        }
    }

    fn head_terms(&mut self, name: &str, terms: Option<HeadTerms<'a>>, heads: usize) -> Result<u32> {
        match terms {
            None => Ok(NONE),
            Some(HeadTerms::Host(terms)) => {
                if terms.len() != heads {
                    let expected = format!("one for each of {heads} heads");
                    return Err(Error::argument(OP, name, expected, terms.len().to_string()));
                }
                if let Some(found) = terms.iter().find(|term| !term.is_finite()) {
                    return Err(Error::argument(OP, name, "finite numbers", found.to_string()));
                }
                self.push(Part::Host(terms.iter().map(|term| term.to_bits()).collect()))
            }
            Some(HeadTerms::Value(terms)) => {
                expect_dtype(OP, name, terms, &[DType::F32])?;
                expect_shape(OP, name, terms, &[heads])?;
                self.push(Part::Device(terms))
            }
        }
    }

    /// Adds biases by distance and gives where they begin, and the largest distance.
    fn by_distance(&mut self, bias: Option<RelativeBias<'a>>, heads: usize) -> Result<(u32, u32)> {
        let (distances, part) = match bias {
            None => return Ok((NONE, 0)),
            Some(RelativeBias::Host(bias)) => {
                if bias.heads() != heads {
                    let (expected, found) = (format!("of {heads} heads"), format!("of {}", bias.heads()));
                    return Err(Error::argument(OP, "relative_bias", expected, found));
                }
                let words = bias.by_distance().iter().map(|bias| bias.to_bits()).collect();
                (2 * bias.reach() + 1, Part::Host(words))
            }
            Some(RelativeBias::Value(bias)) => {
                expect_dtype(OP, "relative_bias", bias, &[DType::F32])?;
                match bias.shape().dims() {
                    &[rows, distances] if rows == heads && distances % 2 == 1 => {
                        (distances, Part::Device(bias))
                    }
                    _ => {
                        let expected = format!("[{heads}, 2 · reach + 1]");
                        let found = bias.shape().to_string();
                        return Err(Error::argument(OP, "relative_bias", expected, found));
                    }
                }
            }
        };
        let reach = distances / 2;
        if reach > LONGEST {
            let expected = format!("a reach of at most {LONGEST}");
            return Err(Error::argument(OP, "relative_bias", expected, reach.to_string()));
        }
        Ok((self.push(part)?, reach as u32))
    }

    /// One value of all parts: the part itself where there is but one, a tensor where all are the host's, else copies.
    fn bring_together(mut self, recording: &mut Recording, dtype: DType) -> Result<Value> {
        let upload =
            |recording: &mut Recording, words: Vec<u32>| recording.constant([words.len()], dtype, words);
        let mut parts = std::mem::take(&mut self.parts);
        parts.retain(|part| !matches!(part, Part::Host(words) if words.is_empty()));
        match &parts[..] {
            [] => return recording.absent(),
            [Part::Device(value)] => return Ok((*value).clone()),
            _ => {}
        }
        if parts.iter().all(|part| matches!(part, Part::Host(_))) {
            let words: Vec<u32> = parts
                .into_iter()
                .flat_map(|part| if let Part::Host(words) = part { words } else { Vec::new() })
                .collect();
            return upload(recording, words);
        }
        let all = recording.temporary([self.words], dtype)?;
        let absent = recording.absent()?;
        let mut at = 0;
        for part in parts {
            let value = match part {
                Part::Host(words) => upload(recording, words)?,
                Part::Device(value) => value.clone(),
            };
            let count = value.shape().elements() as u32;
            let p = Parameters {
                batches: 1,
                heads: 1,
                query_length: 1,
                key_length: 1,
                head_dim: count,
                k_offset: at,
                ..Parameters::new()
            };
            recording.dispatch_trusted(&Append, append::words(), &p, &[&value, &absent, &all])?;
            at += count;
        }
        Ok(all)
    }
}

/// The strides that broadcast a mask of that shape to `[batch, heads, queries, keys]`.
fn broadcast(shape: &Shape, onto: [usize; 4]) -> Result<[usize; 4]> {
    let dims = shape.dims();
    let mut strides = [0; 4];
    let mut stride: usize = 1;
    let fits = dims.len() <= 4
        && dims.iter().rev().zip(onto.iter().rev()).enumerate().all(|(place, (&size, &whole))| {
            if size != 1 {
                strides[3 - place] = stride;
            }
            stride = stride.saturating_mul(size);
            size == 1 || size == whole
        });
    if fits {
        return Ok(strides);
    }
    let expected = format!("broadcastable to {onto:?}");
    Err(Error::argument(OP, "the mask", expected, shape.to_string()))
}
