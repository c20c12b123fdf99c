//! What keys and values get from their queries: the gradients dV = Pᵀ · dO and dK = dSᵀ · Q.
//!
//! y\[b, h', j, :\] += Σᵢ Σₕ weights\[b, h, i, j\] · x\[b, h, i, :\], the sum over the heads h that share the key-value head h' (Dao et al. 2022,
//! appendix B.2; Ainslie et al. 2023 for the groups). f32. x lies anywhere, where the parameters have the queries, and y where they
//! have the keys; weights are dense, for a part of the batch-heads and of the queries. y is added to, so that parts follow each
//! other: a group of heads may be cut between two of them.
//!
//! A weight that is exactly 0 takes nothing from x. Sums are in an order of their own whatever the part's place is: the same bits
//! each time, without atomics.
//!
//! Ladder: as `weighted_values`, with the depth over the queries of all heads of a group. The left panel is read across its rows:
//! neighbours in a workgroup are a row of weights apart.

use crate::host_memory::scratch;
use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry,
};
use crate::kernels::attention::{NONE, Parameters, Sizes};
use crate::kernels::multiply::multiply_carefully;
use crate::kernels::parallel;
use crate::kernels::shared::tile_iterations;
use crate::reference::{self, rounding_floor};

/// The kernel.
pub struct TransposedValues;

/// The variant for tiles of 32 × 32.
pub fn tiled() -> Variant {
    super::weighted_values::tiled()
}

const BINDINGS: &[Binding] =
    &[Binding::read("weights"), Binding::read("x"), Binding::read("items"), Binding::update("y")];

/// The key-value heads that a part has a head of, counted through all items: the first, and how many.
fn groups(p: &Parameters) -> (u32, u32) {
    let of = |batch_head: u32| batch_head / p.heads_per_key.max(1);
    let (first, end) = (p.first_batch_head, p.first_batch_head + p.batch_heads);
    if p.batch_heads == 0 { (of(first), 0) } else { (of(first), of(end - 1) + 1 - of(first)) }
}

impl Kernel for TransposedValues {
    fn about(&self) -> About {
        const { About::ours("attention/transposed_values", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![tiled()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        if p.queries == 0 {
            return [0; 3];
        }
        let tiles = u64::from(p.key_length.div_ceil(variant.u32("TILE_ROWS")))
            * u64::from(p.head_dim.div_ceil(variant.u32("TILE_COLUMNS")));
        geometry::fold(tiles * u64::from(groups(&p).1), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (weights, x, items, y) =
            (arguments.f32(0), arguments.f32(1), arguments.words(2), arguments.f32_mut(3));
        let (queries, keys, columns) = (p.queries as usize, p.key_length as usize, p.head_dim as usize);
        let (first_group, count) = groups(&p);
        let operations = self.cost(variant, parameters).flops;
        // Heads lie among each other in y: each thread gives rows, and they are added where they belong.
        let all = parallel::map_whole(count as usize, operations, |part| {
            let group = first_group + part as u32;
            let first = (group * p.heads_per_key).max(p.first_batch_head);
            let last = ((group + 1) * p.heads_per_key).min(p.first_batch_head + p.batch_heads);
            let item = first / p.heads;
            let rows = p.stored_keys(item, items) as usize;
            let there = p.part_queries_of(item, items);
            let depth = (last - first) as usize * there as usize;
            let (mut left, mut right) = (scratch(rows * depth), scratch(depth * columns));
            for (place, (batch_head, query)) in
                (first..last).flat_map(|head| (0..there).map(move |query| (head, query))).enumerate()
            {
                let row = (batch_head - p.first_batch_head) as usize * queries + query as usize;
                for (key, weight) in weights[row * keys..][..rows].iter().enumerate() {
                    left[key * depth + place] = *weight;
                }
                let from = p.q_place([item, batch_head % p.heads, p.first_query + query], items);
                right[place * columns..][..columns].copy_from_slice(&x[from..][..columns]);
            }
            let mut sums = scratch(rows * columns);
            let sizes = [rows, depth, columns].map(|size| size as u32);
            multiply_carefully(sizes, (&left, sizes[1]), (&right, sizes[2]), (&mut sums, sizes[2]));
            (item, first % p.heads / p.heads_per_key, sums)
        });
        for (item, head, sums) in all {
            for (key, sums) in (0..).zip(sums.chunks_exact(columns.max(1))) {
                let to = p.k_place([item, head, key], items);
                y[to..][..columns].iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [n, i, j, d] = [p.batch_heads, p.queries, p.key_length, p.head_dim].map(u64::from);
        let heads = u64::from(p.heads_per_key.max(1)).min(n);
        Cost {
            flops: 2 * n * i * j * d,
            bytes: 4 * (n * i * j + n * i * d + 2 * u64::from(groups(&p).1) * j * d),
            iterations: tile_iterations(variant, heads * i),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes: Vec<Sizes> = Sizes::all(depth).into_iter().filter(|size| size.queries > 0).collect();
        // Three heads of each group, of which a part begins and ends within one.
        let grouped = Sizes {
            batch: 2,
            heads: 6,
            heads_per_key: 3,
            queries: 9,
            keys: 35,
            head_dim: 16,
            first_batch_head: 4,
            first_query: 4,
        };
        // Two groups, each a tile.
        let two = Sizes { heads: 4, heads_per_key: 2, ..sizes[0] };
        sizes.extend([two, grouped]);
        let all = sizes.into_iter().map(|size| case(size, None));
        all.chain([case(grouped, Some(3)), packed(0), packed(1)]).collect()
    }
}

/// With `last`, as many of the part's batch-heads.
fn case(size: Sizes, last: Option<usize>) -> Case {
    let mut inputs = Inputs::new(size.seed());
    let columns = size.head_dim;
    let (mut x, x_at) = size.rows_of_heads(&mut inputs, size.heads, size.queries, columns);
    let (y, y_at) = size.rows_of_heads(&mut inputs, size.key_heads(), size.keys, columns);
    let batch_heads = last.unwrap_or(size.part_batch_heads());
    let queries = size.part_queries();
    let mut weights = inputs.values(batch_heads * queries * size.keys, 1.0);
    // The first query of the part has no weight anywhere, and its row is NaN.
    for (row, weights) in weights.chunks_exact_mut(size.keys.max(1)).enumerate() {
        if row % queries == 0 && queries > 1 {
            weights.fill(0.0);
        }
    }
    if queries > 1 {
        for batch in 0..size.batch {
            let row = x_at.offset + batch * x_at.batch + size.first_query * x_at.row;
            x[row..row + size.heads * columns].fill(f32::NAN);
        }
    }
    let heads = size.first_batch_head..size.first_batch_head + batch_heads;
    let x_row = |head: usize, query: usize| {
        x_at.offset + head / size.heads * x_at.batch + head % size.heads * x_at.head + query * x_at.row
    };
    let y_row = |group: usize, key: usize| {
        y_at.offset
            + group / size.key_heads() * y_at.batch
            + group % size.key_heads() * y_at.head
            + key * y_at.row
    };
    let terms: Vec<(usize, usize, usize)> = heads
        .flat_map(|head| (0..queries).map(move |query| (head, query)))
        .enumerate()
        .map(|(row, (head, query))| (row, x_row(head, size.first_query + query), head / size.heads_per_key))
        .collect();
    let places = |group, key| y_row(group, key);
    let sums =
        reference::attention_gradient::transposed_values(&weights, &x, &terms, size.keys, columns, places);
    let parameters = Parameters {
        batch_heads: batch_heads as u32,
        q_offset: x_at.offset as u32,
        q_batch: x_at.batch as u32,
        q_head: x_at.head as u32,
        q_row: x_at.row as u32,
        k_offset: y_at.offset as u32,
        k_batch: y_at.batch as u32,
        k_head: y_at.head as u32,
        k_row: y_at.row as u32,
        // Nothing here asks for it.
        value_dim: 0,
        ..size.parameters()
    };
    let part = last.map_or(String::new(), |last| format!(", {last} of them"));
    finished(format!("{size}{part}"), parameters, (weights, x, vec![0], y), sums)
}

/// Three items of other lengths one after the other, from that query of each on; the second has no queries.
fn packed(first_query: usize) -> Case {
    let (heads, columns, queries, keys) = (2, 5, [0, 4, 4, 9], [0, 7, 9, 42]);
    let (longest_queries, longest_keys) = (5, 33);
    let part_queries = longest_queries - first_query;
    let mut inputs = Inputs::new(77);
    let x = inputs.values(9 * heads * columns, 1.0);
    let y = inputs.values(42 * heads * columns, 1.0);
    let mut weights = vec![0.0; 3 * heads * part_queries * longest_keys];
    let mut terms = Vec::new();
    for (row, weights) in weights.chunks_exact_mut(longest_keys).enumerate() {
        let (head, query) = (row / part_queries, first_query + row % part_queries);
        let item = head / heads;
        if query < queries[item + 1] - queries[item] {
            let there = keys[item + 1] - keys[item];
            weights[..there].copy_from_slice(&inputs.values(there, 1.0));
            terms.push((row, ((queries[item] + query) * heads + head % heads) * columns, head));
        } else {
            // Rows that an item has not take nothing, whatever their weights are.
            weights.fill(1.0);
        }
    }
    let sums = reference::attention_gradient::transposed_values(
        &weights,
        &x,
        &terms,
        longest_keys,
        columns,
        |head, key| {
            // Keys that are not there have weights of 0.
            let item = head / heads;
            ((keys[item] + key).min(41) * heads + head % heads) * columns
        },
    );
    let parameters = Parameters {
        batches: 3,
        heads: heads as u32,
        heads_per_key: 1,
        query_length: longest_queries as u32,
        key_length: longest_keys as u32,
        head_dim: columns as u32,
        batch_heads: 3 * heads as u32,
        first_query: first_query as u32,
        queries: part_queries as u32,
        q_head: columns as u32,
        q_row: (heads * columns) as u32,
        k_head: columns as u32,
        k_row: (heads * columns) as u32,
        sequences_at: 1,
        ..Parameters::new()
    };
    let words = |sums: [usize; 4]| sums.map(|sum| sum as u32);
    let items = [&[NONE], &words(queries)[..], &words(keys)].concat();
    finished(format!("packed, from query {first_query}"), parameters, (weights, x, items, y), sums)
}

fn finished(
    label: String,
    parameters: Parameters,
    (weights, x, items, mut y): (Vec<f32>, Vec<f32>, Vec<u32>, Vec<f32>),
    sums: Vec<(usize, f64)>,
) -> Case {
    // Behind y lies a row of −0, which is another number once 0 is added to it.
    y.extend(vec![-0.0; parameters.k_row as usize]);
    let mut after = vec![None; y.len()];
    for (place, sum) in sums {
        after[place] = Some(after[place].unwrap_or(f64::from(y[place])) + sum);
    }
    let values: Vec<f64> = after.iter().copied().flatten().collect();
    let depth = (parameters.queries * parameters.heads_per_key) as usize;
    Case {
        label,
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // The largest partial sum is about the largest sum.
        floor: rounding_floor(depth, reference::largest(&values).max(1.0)),
        arguments: vec![
            CaseArgument::F32(weights),
            CaseArgument::F32(x),
            CaseArgument::Words(items),
            CaseArgument::update(y, after),
        ],
    }
}
