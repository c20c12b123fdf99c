//! The twin of the fused attention kernels: tiles of rows, and 64 keys at a time, with a running maximum and sum for each
//! row.

use super::flash::{ABYSS, LOWEST, Tile, Tiling};
use super::parameters::{NONE, Parameters, Row};
use crate::kernel::Arguments;
use crate::kernels::activation::exp;
use crate::kernels::matrices::rounded_to_f16;
use crate::kernels::multiply::{multiply, multiply_carefully};
use crate::kernels::parallel;

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
        let tiles = parallel::map(p.tiles as usize, operations, |tile| {
            let tile = self.tile(&p, p.first_tile + tile as u32, inputs.items);
            match tile.rows.is_empty() {
                true => TwinRows::default(),
                false => inputs.tile(&tile),
            }
        });
        let value_dim = p.value_dim as usize;
        for rows in tiles {
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

/// What a tile of the twin has computed.
#[derive(Default)]
struct TwinRows {
    values: Vec<f32>,
    /// Where each row goes.
    places: Vec<usize>,
    /// Where each row's logarithm of its sum goes.
    sums: Vec<(usize, f32)>,
}

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
        let [mut k, mut v] = [Vec::new(), Vec::new()];
        let mut begin = rows.iter().map(|row| row.begin).min().unwrap_or(0);
        let mut end = rows.iter().map(|row| row.end).max().unwrap_or(0);
        if p.splits > 1 {
            begin = begin.max(tile.split * p.split_keys);
            end = end.min((tile.split + 1) * p.split_keys);
        }
        for first in (begin..end).step_by(TWIN_KEYS as usize) {
            let keys = TWIN_KEYS.min(end - first);
            k.clear();
            v.clear();
            for key in first..first + keys {
                let at = [tile.batch, tile.key_head, key];
                k.extend_from_slice(&self.k[p.k_place(at, self.items)..][..head_dim]);
                v.extend_from_slice(&self.v[p.v_place(at, self.items)..][..value_dim]);
            }
            let sizes = [count, p.head_dim, keys];
            multiply(sizes, (&q, [p.head_dim, 1]), (&k, [1, p.head_dim]), (&mut products, TWIN_KEYS));
            for ((row, state), (products, values)) in rows.iter().zip(&mut states).zip(
                products.chunks_exact_mut(TWIN_KEYS as usize).zip(values.chunks_exact_mut(value_dim.max(1))),
            ) {
                let factor = state.take(row, first, &mut products[..keys as usize]);
                if self.rounded {
                    products.iter_mut().for_each(|weight| *weight = rounded_to_f16(*weight));
                }
                if factor != 1.0 {
                    values.iter_mut().for_each(|value| *value *= factor);
                }
            }
            let sizes = [count, keys, p.value_dim];
            multiply_carefully(sizes, (&products, TWIN_KEYS), &mut v, (&mut added, p.value_dim));
            values.iter_mut().zip(&added).for_each(|(value, added)| *value += added);
        }
        let (mut places, mut sums) = (Vec::with_capacity(rows.len()), Vec::new());
        for (index, (&row, state)) in tile.rows.iter().zip(states).enumerate() {
            let sink = (p.sinks_at != NONE).then(|| self.head_terms[(p.sinks_at + row[0]) as usize]);
            let (factor, sum) = state.end(if p.splits > 1 { Ends::Split } else { Ends::Whole(sink) });
            let place = p.output_place(at(row), self.items) + (tile.split * p.output_split) as usize;
            values[index * value_dim..][..value_dim].iter_mut().for_each(|value| *value *= factor);
            places.push(place);
            if p.has_sums != 0 {
                let place = p.sums_place(at(row), self.items) + (tile.split * p.sums_split) as usize;
                sums.push((place, sum));
            }
        }
        TwinRows { values, places, sums }
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
    fn take(&mut self, row: &Row<'_>, first: u32, products: &mut [f32]) -> f32 {
        let before = self.largest;
        let mut any = false;
        for (key, product) in (first..).zip(products.iter_mut()) {
            // What is masked is told apart by its own NaN, since a logit may be −∞.
            match row.logit(key, *product) {
                Some(logit) => {
                    any = true;
                    self.largest = self.largest.max(logit);
                    *product = if logit.is_nan() { f32::NAN } else { logit };
                }
                None => *product = MASKED,
            }
        }
        self.seen |= any;
        let factor = if before == self.largest { 1.0 } else { (before - self.largest).exp() };
        // Apart from the sum, so that the compiler makes it several weights at a time.
        let largest = self.largest;
        for product in products.iter_mut() {
            let weight = exp(*product - largest);
            let nothing = product.to_bits() == MASKED.to_bits() || *product == f32::NEG_INFINITY;
            *product = if nothing { 0.0 } else { weight };
        }
        let sum: f32 = products.iter().sum();
        self.sum = self.sum * factor + sum;
        factor
    }

    /// The factor of the summed values, and the sum's logarithm.
    fn end(self, ends: Ends) -> (f32, f32) {
        let nothing = !self.seen;
        let all_infinite = self.seen && self.sum == 0.0;
        match ends {
            Ends::Split if nothing => (0.0, LOWEST),
            Ends::Split if all_infinite => (0.0, ABYSS),
            Ends::Whole(None) if nothing => (0.0, f32::NEG_INFINITY),
            Ends::Whole(None) if all_infinite => (f32::NAN, f32::NAN),
            Ends::Whole(Some(sink)) => {
                let largest = self.largest.max(sink);
                let moved = if self.largest == largest { 1.0 } else { (self.largest - largest).exp() };
                let sum = self.sum * moved + (sink - largest).exp();
                (moved / sum, largest + sum.ln())
            }
            _ => (1.0 / self.sum, self.largest + self.sum.ln()),
        }
    }
}

/// A NaN that no arithmetic gives.
const MASKED: f32 = f32::from_bits(0x7fc0_5eed);
