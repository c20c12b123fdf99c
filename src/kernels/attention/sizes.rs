//! The sizes that the attention kernels' cases run over.

use std::fmt;

use super::Parameters;
use crate::kernel::{Depth, Inputs};
use crate::reference::attention::{Dims, Strided};

/// One case's sizes, and which part of the batch-heads and queries its dispatch computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub heads_per_key: usize,
    pub queries: usize,
    pub keys: usize,
    pub head_dim: usize,
    pub first_batch_head: usize,
    pub first_query: usize,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, heads, heads_per_key, queries, keys, head_dim, first_batch_head, first_query } =
            self;
        write!(f, "B={batch} H={heads}/{heads_per_key} Lq={queries} Lk={keys} D={head_dim}")?;
        if first_batch_head + first_query > 0 {
            write!(f, " from head {first_batch_head}, query {first_query}")?;
        }
        Ok(())
    }
}

impl Sizes {
    /// Sizes around the tiles' edges; the whole cross product of a few for `Full`.
    pub fn all(depth: Depth) -> Vec<Self> {
        let whole = |batch, heads, heads_per_key, queries, keys, head_dim| Self {
            batch,
            heads,
            heads_per_key,
            queries,
            keys,
            head_dim,
            first_batch_head: 0,
            first_query: 0,
        };
        let mut sizes = vec![
            whole(1, 1, 1, 1, 1, 1),
            whole(2, 3, 1, 17, 17, 21),
            whole(1, 2, 1, 33, 65, 32),
            whole(2, 4, 2, 31, 9, 64),
            whole(1, 1, 1, 5, 0, 8),
            // Whole tiles, and two in each direction or more.
            whole(1, 2, 1, 128, 128, 33),
            // Three workgroups, which do not fold without one too many.
            whole(1, 3, 1, 5, 9, 8),
            Self { first_batch_head: 1, first_query: 4, ..whole(2, 2, 1, 9, 35, 16) },
        ];
        if depth == Depth::Full {
            for queries in [1, 2, 3, 31, 32, 33, 63, 64, 65, 129, 257] {
                for keys in [1, 3, 32, 33, 64, 127, 257] {
                    for head_dim in [1, 8, 21, 40, 59, 64, 80, 96, 111, 128, 203, 256] {
                        sizes.push(whole(1, 2, 1, queries, keys, head_dim));
                    }
                }
            }
            sizes.push(whole(1, 6, 6, 70, 70, 40));
            sizes.push(whole(3, 6, 3, 70, 130, 40));
            sizes.push(whole(1, 1, 1, 1025, 1023, 64));
        }
        sizes
    }

    pub fn seed(&self) -> u64 {
        let fields = [
            self.batch,
            self.heads,
            self.heads_per_key,
            self.queries,
            self.keys,
            self.head_dim,
            self.first_query,
        ];
        fields.iter().fold(17, |seed: u64, &field| seed.wrapping_mul(1_000_003).wrapping_add(field as u64))
    }

    pub fn dims(&self) -> Dims {
        Dims {
            batch: self.batch,
            heads: self.heads,
            heads_kv: self.key_heads(),
            queries: self.queries,
            keys: self.keys,
            head_dim: self.head_dim,
            value_dim: self.head_dim,
        }
    }

    /// The sizes as parameters, without any place.
    pub fn parameters(&self) -> Parameters {
        let [batches, heads, heads_per_key, query_length, key_length, head_dim] =
            [self.batch, self.heads, self.heads_per_key, self.queries, self.keys, self.head_dim]
                .map(|size| size as u32);
        Parameters {
            batches,
            heads,
            heads_per_key,
            query_length,
            key_length,
            head_dim,
            value_dim: head_dim,
            first_batch_head: self.first_batch_head as u32,
            batch_heads: self.part_batch_heads() as u32,
            first_query: self.first_query as u32,
            queries: self.part_queries() as u32,
            ..Parameters::new()
        }
    }

    pub fn key_heads(&self) -> usize {
        self.heads / self.heads_per_key
    }

    pub fn part_queries(&self) -> usize {
        self.queries - self.first_query
    }

    pub fn part_batch_heads(&self) -> usize {
        self.batch * self.heads - self.first_batch_head
    }

    /// `[batch, rows, heads · columns]` with a gap of NaN before the first row and after each.
    pub fn rows_of_heads(
        &self,
        inputs: &mut Inputs,
        heads: usize,
        rows: usize,
        columns: usize,
    ) -> (Vec<f32>, Strided) {
        const GAP: usize = 3;
        let at = self.heads_at(heads, rows, columns);
        let mut data = vec![f32::NAN; GAP];
        for _ in 0..self.batch * rows {
            data.extend(inputs.values(heads * columns, 1.0));
            data.extend([f32::NAN; GAP]);
        }
        (data, at)
    }

    /// Where [`Sizes::rows_of_heads`] has its rows.
    pub fn heads_at(&self, heads: usize, rows: usize, columns: usize) -> Strided {
        let row = heads * columns + 3;
        Strided { offset: 3, batch: rows * row, head: columns, row }
    }

    /// The part of `[B, H, Lq, Lk]` that the dispatch has: `[batch_heads, queries, Lk]` from the first of each.
    pub fn part_of<'a>(&'a self, all: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let heads = self.first_batch_head..self.batch * self.heads;
        heads.flat_map(move |head| {
            let rows = head * self.queries + self.first_query..(head + 1) * self.queries;
            all[rows.start * self.keys..rows.end * self.keys].iter().copied()
        })
    }
}

/// Every index of those axes, the last one fastest.
pub(crate) fn indices([batch, heads, queries, keys]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..batch * heads * queries * keys).map(move |place| {
        let (row, key) = (place / keys, place % keys);
        let (head, query) = (row / queries, row % queries);
        [head / heads, head % heads, query, key]
    })
}
