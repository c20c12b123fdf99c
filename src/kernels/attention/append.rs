//! New keys or values into a cache.
//!
//! cache\[b, h, starts\[b\] + i, :\] = rows\[b, h, i, :\], for i below the number of new rows. The rows are f32 anywhere
//! (the parameters' `q_…` places), the cache f32 or f16 (`k_…` places), in one piece for each batch item or in the pages
//! of a table. An f16 row begins at a word. Words are copied as they are; f16 is rounded to nearest, ties to even.
//!
//! Ladder: 2 columns for each invocation, so that no two write one word.

use super::{NONE, Parameters};
use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry,
};

/// The kernel.
pub struct Append;

/// The variant that copies words.
pub fn words() -> Variant {
    variant(false)
}

/// The variant that makes f16 of f32.
pub fn half() -> Variant {
    variant(true)
}

fn variant(half: bool) -> Variant {
    Variant::new(if half { "half" } else { "words" }, 64).with("HALF", half)
}

fn rows(p: &Parameters) -> u64 {
    u64::from(p.batches) * u64::from(p.heads) * u64::from(p.query_length)
}

const BINDINGS: &[Binding] = &[Binding::read("rows"), Binding::read("items"), Binding::write("cache")];

impl Kernel for Append {
    fn about(&self) -> About {
        const { About::ours("attention/append", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![words(), half()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let invocations = rows(&p) * u64::from(p.head_dim.div_ceil(2));
        geometry::fold(invocations.div_ceil(variant.u32("WORKGROUP").into()), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (from, items, cache) = (arguments.words(0), arguments.words(1), arguments.words_mut(2));
        let columns = p.head_dim as usize;
        for row in 0..rows(&p) as u32 {
            let [query, rest] = [row % p.query_length, row / p.query_length];
            let (batch, head) = (rest / p.heads, rest % p.heads);
            let start = if p.key_padding == 1 { items[(p.batches + batch) as usize] } else { 0 };
            if start + query >= p.keys_of(batch, items) {
                continue;
            }
            let source = &from[p.q_place([batch, head, query], items)..][..columns];
            let place = p.k_place([batch, head, start + query], items);
            if variant.flag("HALF") {
                let values: &[f32] = bytemuck::cast_slice(source);
                let words = crate::tensor::pack_f16(values);
                cache[place / 2..][..words.len()].copy_from_slice(&words);
            } else {
                cache[place..place + columns].copy_from_slice(source);
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        Cost { flops: 0, bytes: 8 * rows(&p) * u64::from(p.head_dim), iterations: 1 }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let sizes: &[[u32; 5]] = match depth {
            Depth::Quick => {
                &[[1, 1, 1, 1, 0], [2, 3, 1, 21, 0], [3, 2, 5, 64, 0], [2, 2, 7, 8, 3], [3, 1, 1, 59, 16]]
            }
            Depth::Full => &[
                [1, 1, 1, 1, 0],
                [2, 3, 1, 21, 0],
                [3, 2, 5, 64, 0],
                [2, 2, 7, 8, 3],
                [3, 1, 1, 59, 16],
                [2, 8, 33, 128, 0],
                [4, 4, 65, 203, 32],
                [1, 2, 300, 256, 1],
            ],
        };
        let half = variant.flag("HALF");
        let mut cases: Vec<Case> = sizes.iter().map(|&size| case(half, size, true)).collect();
        cases.push(case(half, [2, 2, 4, 6, 0], true));
        cases.push(case(half, [2, 2, 3, 6, 0], false));
        cases
    }
}

/// The last size is that of a page, 0 for none. A later item's new rows pass the end of its keys, and those of the third
/// the end of the cache. Without `placed` rows begin at the first.
fn case(half: bool, [batch, heads, new, columns, page]: [u32; 5], placed: bool) -> Case {
    let mut inputs = Inputs::new(u64::from(columns * 7 + new));
    let capacity = new + 9;
    let gap = 2;
    let source_row = heads * columns + gap;
    let source_at = 3;
    let mut source = vec![f32::NAN; (source_at + batch * new * source_row) as usize];
    for row in source[source_at as usize..].chunks_exact_mut(source_row as usize) {
        let values = inputs.values((heads * columns) as usize, 1.0);
        row[..values.len()].copy_from_slice(&values);
    }
    // NaN and infinities must arrive too.
    for (value, strange) in source[source_at as usize..].iter_mut().zip([f32::INFINITY, 1e30, 1e-6, -0.0]) {
        *value = strange;
    }
    let mut starts = if placed { inputs.below(batch as usize, 9) } else { vec![0; batch as usize] };
    if let (true, Some(start)) = (placed, starts.get_mut(2)) {
        *start = capacity - 1;
    }
    let passing = |item: u32| u32::from(placed && item == 1 && new > 1);
    let ends: Vec<u32> = (0..).zip(&starts).map(|(item, start)| start + new - passing(item)).collect();
    let mut items =
        if placed { [ends.clone(), starts.clone()].concat() } else { vec![5; 2 * batch as usize] };
    // An f16 row ends in half a word of nothing, and each row in what is not touched.
    let written = if half { columns.next_multiple_of(2) } else { columns };
    let (cache_at, row) = (4, written + gap);
    let (rows, pages_at) = if page > 0 { (page, items.len() as u32) } else { (capacity, NONE) };
    let pages = if page > 0 { capacity.div_ceil(page) } else { 0 };
    let count = if page > 0 { batch * pages + 1 } else { batch };
    items.extend((0..batch * pages).rev());
    let p = Parameters {
        batches: batch,
        heads,
        heads_per_key: 1,
        query_length: new,
        key_length: capacity,
        head_dim: columns,
        q_offset: source_at,
        q_batch: new * source_row,
        q_head: columns,
        q_row: source_row,
        k_offset: cache_at,
        k_batch: heads * rows * row,
        k_head: rows * row,
        k_row: row,
        key_padding: placed.into(),
        pages_at,
        pages,
        page_size: rows.max(1),
        page_count: count,
        ..Parameters::new()
    };
    // Where each element goes, by what is said of the cache and not by the places that the kernel computes.
    let mut elements = vec![None; (cache_at + count * heads * rows * row) as usize];
    for b in 0..batch {
        for h in 0..heads {
            for i in (0..new).filter(|i| starts[b as usize] + i < ends[b as usize].min(capacity)) {
                let key = starts[b as usize] + i;
                let (piece, key) = match page {
                    0 => (b, key),
                    _ => (items[(2 * batch + b * pages + key / page) as usize], key % page),
                };
                let to = (cache_at + ((piece * heads + h) * rows + key) * row) as usize;
                let from = (source_at + (b * new + i) * source_row + h * columns) as usize;
                for column in 0..written as usize {
                    let value = if column < columns as usize { source[from + column] } else { 0.0 };
                    elements[to + column] = Some(value);
                }
            }
        }
    }
    let expected: Vec<Option<u32>> = if half {
        let bits = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
        let word = |pair: &[Option<f32>]| Some(bits(pair[0]?) | bits(pair[1]?) << 16);
        elements.chunks_exact(2).map(word).collect()
    } else {
        elements.iter().map(|value| value.map(f32::to_bits)).collect()
    };
    Case {
        label: format!(
            "B={batch} H={heads} L={new} D={columns} page {page}{}",
            if placed { "" } else { " from the first row" }
        ),
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: 0.0,
        arguments: vec![CaseArgument::F32(source), CaseArgument::Words(items), CaseArgument::Exact(expected)],
    }
}
