//! The twin of the fused attention kernels: tiles of rows, and 64 keys at a time, with a running maximum and sum for each
//! row.
//!
//! Ladder (the CPU device's attention, 2 cores, milliseconds of the processor's time):
//!
//! | | \[1,12,512,64\] | … causal | \[8,12,128,32\] | \[1,12,128,64\] |
//! |---|---|---|---|---|
//! | keys and values copied for each tile of 32 rows, sums and maxima one by one | 32 | 17.5 | 13.6 | 1.7 |
//! | … read where they lie; sixteen sums side by side, a loop without branches where a scale is all | 19 | 10 | 8.3 | 1.4 |
//! | … four tiles at once, AVX2 | 15.6 | 10 | 6.3 | 1.3 |

use std::ops::Range;

use super::flash::{Seen, Tile, Tiling};
use super::parameters::{NONE, Parameters, Row};
use crate::kernel::Arguments;
use crate::kernels::activation::exp;
use crate::kernels::matrices::rounded_to_f16;
use crate::kernels::multiply::{multiply, multiply_carefully};
use crate::kernels::parallel;
use crate::kernels::wide::wide;

impl Tiling {
    /// The kernel in f32.
    pub(super) fn twin(&self, half: bool, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (output, sums) = (arguments.f32_mut(6), arguments.f32_mut(7));
        let stored = |index: usize| -> std::borrow::Cow<'_, [f32]> {
            match half {
                true => {
                    let words = arguments.words(index);
                    crate::tensor::unpack_f16(words, words.len() * 2).into()
                }
                false => arguments.f32(index).into(),
            }
        };
        let inputs = TwinInputs {
            p: &p,
            rounded: self.rounded,
            q: arguments.f32(0),
            k: &stored(1),
            v: &stored(2),
            mask: arguments.words(3),
            items: arguments.words(4),
            head_terms: arguments.f32(5),
        };
        // Tiles lie among each other in the output: each thread gives rows with their places.
        let operations = self.cost(&p, half, [0; 2]).flops.saturating_mul(2);
        let bounded = p.left != NONE || p.right != NONE;
        let together = if bounded { 1 } else { TILES };
        let parts = parallel::map(p.tiles.div_ceil(together) as usize, operations, |part| {
            let first = part as u32 * together;
            let tiles = (first..p.tiles.min(first + together)).map(|tile| p.first_tile + tile);
            let mut joined: Vec<Tile> = Vec::new();
            for tile in tiles.map(|tile| self.tile(&p, tile, inputs.items)) {
                match joined.last_mut() {
                    Some(last) if last.sees_keys_of(&tile) => last.rows.extend(tile.rows),
                    _ => joined.push(tile),
                }
            }
            joined.retain(|tile| !tile.rows.is_empty());
            joined.iter().map(|tile| inputs.tile(tile)).collect::<Vec<_>>()
        });
        let value_dim = p.value_dim as usize;
        for rows in parts.into_iter().flatten() {
            for (place, values) in rows.places.into_iter().zip(rows.values.chunks(value_dim.max(1))) {
                output[place..place + value_dim].copy_from_slice(&values[..value_dim]);
            }
            rows.sums.into_iter().for_each(|(place, sum)| sums[place] = sum);
        }
    }
}

struct TwinInputs<'a> {
    p: &'a Parameters,
    rounded: bool,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    mask: &'a [u32],
    items: &'a [u32],
    head_terms: &'a [f32],
}

/// The results of a tile of the twin.
#[derive(Default)]
struct TwinRows {
    values: Vec<f32>,
    /// Where each row goes.
    places: Vec<usize>,
    /// Where each row's logarithm of its sum goes.
    sums: Vec<(usize, f32)>,
}

/// Tiles that are computed at once where they have the same keys, and all of them: each product packs its keys again, which
/// takes more than half of the time that it takes to multiply 32 rows with them.
const TILES: u32 = 4;

/// Keys of a tile of the twin.
const TWIN_KEYS: u32 = 64;

impl TwinInputs<'_> {
    fn tile(&self, tile: &Tile) -> TwinRows {
        let p = self.p;
        let [head_dim, value_dim] = [p.head_dim, p.value_dim].map(|dim| dim as usize);
        let at = |[head, query]: [u32; 2]| [tile.batch, head, query];
        let rows: Vec<Row<'_>> = tile
            .rows
            .iter()
            .map(|&row| Row::new(p, at(row), self.mask, self.items, self.head_terms))
            .collect();
        let count = rows.len() as u32;
        let mut q = Vec::with_capacity(rows.len() * head_dim);
        for &row in &tile.rows {
            q.extend_from_slice(&self.q[p.q_place(at(row), self.items)..][..head_dim]);
        }
        if self.rounded {
            q.iter_mut().for_each(|value| *value = rounded_to_f16(*value));
        }
        let mut states = vec![State::EMPTY; rows.len()];
        let mut values = vec![0.0; rows.len() * value_dim];
        let [mut products, mut added] =
            [TWIN_KEYS, p.value_dim].map(|columns| vec![0.0; rows.len() * columns as usize]);
        let [mut k_gathered, mut v_gathered] = [Vec::new(), Vec::new()];
        let mut begin = rows.iter().map(|row| row.begin).min().unwrap_or(0);
        let mut end = rows.iter().map(|row| row.end).max().unwrap_or(0);
        if p.splits > 1 {
            begin = begin.max(tile.split * p.split_keys);
            end = end.min((tile.split + 1) * p.split_keys);
        }
        for first in (begin..end).step_by(TWIN_KEYS as usize) {
            let keys = TWIN_KEYS.min(end - first);
            let key_at = |key: u32| [tile.batch, tile.key_head, first + key];
            let k_place = |key: u32| p.k_place(key_at(key), self.items);
            let (k, k_row) = p.gather(self.k, keys, [p.head_dim, p.k_row], k_place, &mut k_gathered);
            let sizes = [count, p.head_dim, keys];
            multiply(sizes, (&q, [p.head_dim, 1]), (k, [1, k_row]), (&mut products, TWIN_KEYS));
            wide(|| self.weigh(&rows, &mut states, first..first + keys, &mut products, &mut values));
            let v_place = |key: u32| p.v_place(key_at(key), self.items);
            let (v, v_row) = p.gather(self.v, keys, [p.value_dim, p.v_row], v_place, &mut v_gathered);
            let sizes = [count, keys, p.value_dim];
            multiply_carefully(sizes, (&products, TWIN_KEYS), (v, v_row), (&mut added, p.value_dim));
            values.iter_mut().zip(&added).for_each(|(value, added)| *value += added);
        }
        let (mut places, mut sums) = (Vec::with_capacity(rows.len()), Vec::new());
        for (index, (&row, state)) in tile.rows.iter().zip(states).enumerate() {
            let sink = p.sink(row[0], self.head_terms);
            let split = p.splits > 1;
            let (factor, sum) = state.end(if split { Ends::Split } else { Ends::Whole(sink) });
            let place = p.output_place(at(row), self.items) + (tile.split * p.output_split) as usize;
            values[index * value_dim..][..value_dim].iter_mut().for_each(|value| *value *= factor);
            places.push(place);
            if p.has_sums != 0 {
                let place = p.sums_place(at(row), self.items) + (tile.split * p.sums_split) as usize;
                sums.push((place, sum));
                if split {
                    sums.push((place + p.sums_split as usize / 2, state.seen().number()));
                }
            }
        }
        TwinRows { values, places, sums }
    }

    /// Makes weights of the products of some keys, and rescales the values that were summed before.
    #[inline(always)]
    fn weigh(
        &self,
        rows: &[Row<'_>],
        states: &mut [State],
        keys: Range<u32>,
        products: &mut [f32],
        values: &mut [f32],
    ) {
        let products = products.chunks_exact_mut(TWIN_KEYS as usize);
        let values = values.chunks_exact_mut(self.p.value_dim.max(1) as usize);
        for ((row, state), (products, values)) in rows.iter().zip(states).zip(products.zip(values)) {
            let factor = state.take(row, keys.start, &mut products[..keys.len()]);
            if self.rounded {
                products.iter_mut().for_each(|weight| *weight = rounded_to_f16(*weight));
            }
            if factor != 1.0 {
                values.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

/// A row's running maximum and sum of exp(logit − maximum).
#[derive(Clone, Copy)]
struct State {
    largest: f32,
    sum: f32,
    /// Any allowed key.
    seen: bool,
}

enum Ends {
    Split,
    /// With its sink.
    Whole(Option<f32>),
}

impl State {
    /// Of a row that saw nothing yet.
    const EMPTY: Self = Self { largest: f32::NEG_INFINITY, sum: 0.0, seen: false };

    /// Makes weights of products, and gives what was summed before must be multiplied by.
    #[inline(always)]
    fn take(&mut self, row: &Row<'_>, first: u32, products: &mut [f32]) -> f32 {
        let before = self.largest;
        // A masked score is told apart by a NaN of its own, since a logit may be −∞.
        let usual = |logit: f32| if logit.is_nan() { f32::NAN } else { logit };
        let places = products.len() as u32;
        let [begin, end] = [row.begin, row.end].map(|key| (key.max(first) - first).min(places) as usize);
        match row.scale_alone() {
            Some(scale) => {
                products[..begin].fill(MASKED);
                products[begin..end.max(begin)]
                    .iter_mut()
                    .for_each(|product| *product = usual(*product * scale));
                products[end.max(begin)..].fill(MASKED);
                self.seen |= end > begin;
            }
            None => {
                for (key, product) in (first..).zip(products.iter_mut()) {
                    let logit = row.logit(key, *product);
                    self.seen |= logit.is_some();
                    *product = logit.map_or(MASKED, usual);
                }
            }
        }
        self.largest = largest_of(products).max(self.largest);
        let factor = if before == self.largest { 1.0 } else { (before - self.largest).exp() };
        // Apart from the sum, so that the compiler makes it several weights at a time.
        let largest = self.largest;
        for product in products.iter_mut() {
            let weight = exp(*product - largest);
            let nothing = product.to_bits() == MASKED.to_bits() || *product == f32::NEG_INFINITY;
            *product = if nothing { 0.0 } else { weight };
        }
        self.sum = self.sum * factor + sum_of(products);
        factor
    }

    fn seen(self) -> Seen {
        match self.sum {
            _ if !self.seen => Seen::Nothing,
            // Among numbers the largest alone gives 1.
            0.0 => Seen::Infinities,
            sum if sum.is_nan() => Seen::Poison,
            _ => Seen::Numbers,
        }
    }

    /// The factor of the summed values, and the sum's logarithm.
    fn end(self, ends: Ends) -> (f32, f32) {
        match (ends, self.seen()) {
            (Ends::Split, Seen::Nothing | Seen::Infinities) => (0.0, 0.0),
            (Ends::Split, Seen::Poison) => (f32::NAN, 0.0),
            (Ends::Whole(None), Seen::Nothing) => (0.0, f32::NEG_INFINITY),
            (Ends::Whole(None), Seen::Infinities) => (f32::NAN, f32::NAN),
            (Ends::Whole(Some(sink)), _) => {
                let largest = self.largest.max(sink);
                let moved = if self.largest == largest { 1.0 } else { (self.largest - largest).exp() };
                let sum = self.sum * moved + (sink - largest).exp();
                (moved / sum, largest + sum.ln())
            }
            _ => (1.0 / self.sum, self.largest + self.sum.ln()),
        }
    }
}

/// Values side by side in what is computed of many.
const LANES: usize = 16;

/// The largest that is a number, −∞ where none is.
#[inline(always)]
fn largest_of(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    let larger =
        |largest: &mut f32, value: &f32| *largest = if *value > *largest { *value } else { *largest };
    for chunk in chunks {
        largest.iter_mut().zip(chunk).for_each(|(largest, value)| larger(largest, value));
    }
    largest.iter_mut().zip(rest).for_each(|(largest, value)| larger(largest, value));
    largest.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Their sum: of each sixteenth by itself, then of those sums.
#[inline(always)]
fn sum_of(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += value);
    }
    sums.iter_mut().zip(rest).for_each(|(sum, value)| *sum += value);
    sums.iter().sum()
}

/// A NaN that no arithmetic gives.
const MASKED: f32 = f32::from_bits(0x7fc0_5eed);
