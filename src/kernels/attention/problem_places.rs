//! Where a problem's rows lie, and how many of them each batch item has.

use super::problem::{Placement, Problem};
use crate::kernel::Inputs;
use crate::reference::attention::{Dims, Strided};

/// Where rows lie, and how many elements that takes.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) at: Strided,
    pub(super) elements: usize,
}

pub(super) fn lie(
    placement: Placement,
    batch: usize,
    heads: usize,
    rows: usize,
    columns: usize,
    packed_rows: usize,
) -> Placed {
    // A multiple of 4 keeps rows aligned that are.
    let gap = if columns.is_multiple_of(4) { 4 } else { 3 };
    let heads_first = Strided::heads_first(heads, rows, columns);
    match placement {
        Placement::HeadsFirst | Placement::Shared => {
            Placed { at: heads_first, elements: batch * heads * rows * columns }
        }
        Placement::RowsFirst => {
            let row = heads * columns + gap;
            let at = Strided { offset: gap, batch: rows * row, head: columns, row };
            Placed { at, elements: gap + batch * rows * row }
        }
        Placement::Packed | Placement::Paged(_) => {
            let at = Strided { offset: 0, batch: 0, head: columns, row: heads * columns };
            Placed { at, elements: packed_rows * heads * columns }
        }
    }
}

/// The sizes of a problem, which of its rows each item has, and where they lie.
pub(super) struct Places {
    pub(super) packed: bool,
    pub(super) paged: bool,
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
    pub(super) value_dim: usize,
    pub(super) item_queries: Vec<u32>,
    pub(super) item_keys: Vec<u32>,
    /// Running sums of both.
    pub(super) sequences: [Vec<u32>; 2],
    /// `[B, pages]`.
    pub(super) table: Vec<u32>,
    pub(super) pages: usize,
    pub(super) page_count: usize,
    pub(super) page_size: usize,
    pub(super) q: Placed,
    pub(super) k: Placed,
    pub(super) v: Placed,
    pub(super) output: Placed,
    pub(super) sums_batch: usize,
    pub(super) sums_head: usize,
}

impl Places {
    pub(super) fn new(problem: &Problem, inputs: &mut Inputs) -> Self {
        let [batch, key_heads, queries, keys, head_dim, value_dim] = [
            problem.batch,
            problem.key_heads,
            problem.queries,
            problem.keys,
            problem.head_dim,
            problem.value_dim,
        ]
        .map(|size| size as usize);
        let heads = problem.heads() as usize;
        let packed = problem.placement == Placement::Packed;
        // Packed items have lengths of their own, some of them 0; the parameters say the longest.
        let mut lengths_of = |most: u32| match packed {
            false => vec![most; batch],
            true => {
                let mut lengths = inputs.below(batch, most + 1);
                lengths[0] = most;
                lengths
            }
        };
        let (item_queries, item_keys) = (lengths_of(problem.queries), lengths_of(problem.keys));
        let running = |lengths: &[u32]| {
            let sums = lengths.iter().scan(0, |sum, length| {
                *sum += length;
                Some(*sum)
            });
            std::iter::once(0).chain(sums).collect::<Vec<u32>>()
        };
        let sequences = [running(&item_queries), running(&item_keys)];
        let [query_rows, key_rows] = [0, 1].map(|part: usize| sequences[part][batch] as usize);
        let (q_placement, output_placement) = match problem.placement {
            Placement::Paged(_) => (Placement::HeadsFirst, Placement::HeadsFirst),
            Placement::Shared => (Placement::Shared, Placement::HeadsFirst),
            placement => (placement, placement),
        };
        let kv_batch = if problem.placement == Placement::Shared { 1 } else { batch };
        let mut k = lie(problem.placement, kv_batch, key_heads, keys, head_dim, key_rows);
        let mut v = lie(problem.placement, kv_batch, key_heads, keys, value_dim, key_rows);
        let (mut table, mut pages, mut page_count, mut page_size) = (Vec::new(), 0, 1, 1);
        match problem.placement {
            Placement::Shared => {
                k.at.batch = 0;
                v.at.batch = 0;
            }
            Placement::Paged(size) => {
                page_size = size as usize;
                pages = keys.div_ceil(page_size);
                // More than are needed, in an order of their own.
                page_count = (batch * pages + 3).max(1);
                let mut order: Vec<u32> = (0..page_count as u32).collect();
                fastrand::Rng::with_seed(problem.seed).shuffle(&mut order);
                table = order[..batch * pages].to_vec();
                for (lie, columns) in [(&mut k, head_dim), (&mut v, value_dim)] {
                    lie.at.batch = page_size * key_heads * columns;
                    lie.elements = page_count * lie.at.batch;
                }
            }
            _ => {}
        }
        Self {
            packed,
            paged: matches!(problem.placement, Placement::Paged(_)),
            q: lie(q_placement, batch, heads, queries, head_dim, query_rows),
            k,
            v,
            output: lie(output_placement, batch, heads, queries, value_dim, query_rows),
            sums_batch: if packed { 0 } else { heads * queries },
            sums_head: if packed { query_rows } else { queries },
            batch,
            heads,
            key_heads,
            queries,
            keys,
            head_dim,
            value_dim,
            item_queries,
            item_keys,
            sequences,
            table,
            pages,
            page_count,
            page_size,
        }
    }

    /// The sizes of one item.
    pub(super) fn dims(&self, item: usize) -> Dims {
        Dims {
            batch: 1,
            heads: self.heads,
            heads_kv: self.key_heads,
            queries: self.item_queries[item] as usize,
            keys: self.item_keys[item] as usize,
            head_dim: self.head_dim,
            value_dim: self.value_dim,
        }
    }

    /// (batch, row) of a query as strides count them.
    pub(super) fn query_steps(&self, item: usize, query: usize) -> (usize, usize) {
        if self.packed { (0, self.sequences[0][item] as usize + query) } else { (item, query) }
    }

    pub(super) fn q_row(&self, item: usize, head: usize, query: usize) -> usize {
        self.q.row(head, self.query_steps(item, query))
    }

    pub(super) fn output_row(&self, item: usize, head: usize, query: usize) -> usize {
        self.output.row(head, self.query_steps(item, query))
    }

    pub(super) fn sums_place(&self, item: usize, head: usize, query: usize) -> usize {
        let (batch, row) = self.query_steps(item, query);
        batch * self.sums_batch + head * self.sums_head + row
    }

    /// Where a key's row begins among the keys, or, by `v`, among the values.
    pub(super) fn key_row(&self, lie: Placed, item: usize, head: usize, key: usize) -> usize {
        let steps = if self.paged {
            (self.table[item * self.pages + key / self.page_size] as usize, key % self.page_size)
        } else if self.packed {
            (0, self.sequences[1][item] as usize + key)
        } else {
            (item, key)
        };
        lie.row(head, steps)
    }

    pub(super) fn k_row(&self, item: usize, head: usize, key: usize) -> usize {
        self.key_row(self.k, item, head, key)
    }

    pub(super) fn v_row(&self, item: usize, head: usize, key: usize) -> usize {
        self.key_row(self.v, item, head, key)
    }

    /// Each item, key-value head and key that is there.
    pub(super) fn all_keys(&self) -> impl Iterator<Item = [usize; 3]> + '_ {
        (0..self.batch).flat_map(move |b| {
            (0..self.key_heads).flat_map(move |h| (0..self.item_keys[b] as usize).map(move |j| [b, h, j]))
        })
    }
}

impl Placed {
    pub(super) fn row(&self, head: usize, (batch, row): (usize, usize)) -> usize {
        self.at.offset + batch * self.at.batch + head * self.at.head + row * self.at.row
    }
}
