//! Tiled QKᵀ.
//!
//! scores\[b, h, i, j\] = q\[b, h, i, :\] · k\[b, h', j, :\] (Vaswani et al. 2017, equation 1, before the scale), with
//! h' = h / `heads_per_key` (Ainslie et al. 2023; 1 for multi-head attention). f32.
//!
//! q and k lie anywhere: an offset and strides for batch, head and row, the last axis contiguous, so that one packed
//! buffer of queries, keys and values needs no copy. The output is dense, for a part of the batch-heads and of the
//! queries: the whole matrix may pass a binding's limit. NaN and infinities pass through.
//!
//! Ladder: 32 × 32 tiles, 4 × 4 for each of 64 invocations, panels of 16 in workgroup memory (4 KiB).

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry,
};
use crate::kernels::attention::problem_data::Data;
use crate::kernels::attention::{Parameters, Sizes, chosen};
use crate::kernels::multiply::multiply;
use crate::kernels::parallel;
use crate::kernels::shared::tile_iterations;
use crate::reference::rounding_floor;
use crate::reference::{self, attention::View};

/// The kernel.
pub struct Scores;

/// The variant for tiles of 32 × 32.
pub fn tiled() -> Variant {
    Variant::new("tiled", 64)
        .with("TILE_ROWS", 32)
        .with("TILE_COLUMNS", 32)
        .with("RIGHT_TRANSPOSED", true)
        .with("SKIP_ZEROS", false)
}

const BINDINGS: &[Binding] =
    &[Binding::read("q"), Binding::read("k"), Binding::read("items"), Binding::write("scores")];

impl Kernel for Scores {
    fn about(&self) -> About {
        const { About::ours("attention/scores", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![tiled()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let tiles = u64::from(p.queries.div_ceil(variant.u32("TILE_ROWS")))
            * u64::from(p.key_length.div_ceil(variant.u32("TILE_COLUMNS")));
        geometry::fold(tiles * u64::from(p.batch_heads), per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (q, k, items, scores) =
            (arguments.f32(0), arguments.f32(1), arguments.words(2), arguments.f32_mut(3));
        let size = p.queries as usize * p.key_length as usize;
        if size == 0 {
            return;
        }
        let all = (p.batch_heads as usize * size).min(scores.len());
        parallel::whole_rows(&mut scores[..all], size, 2 * u64::from(p.head_dim), |first, scores| {
            let mut gathered = Vec::new();
            for (part, scores) in (first..).zip(scores.chunks_exact_mut(size)) {
                let batch_head = p.first_batch_head + part as u32;
                let (batch, head) = (batch_head / p.heads, batch_head % p.heads);
                let (queries, keys) = (p.part_queries_of(batch, items), p.stored_keys(batch, items));
                scores.fill(0.0);
                if queries == 0 || keys == 0 {
                    continue;
                }
                let q = &q[p.q_place([batch, head, p.first_query], items)..];
                let place = |key: u32| p.k_place([batch, head / p.heads_per_key, key], items);
                let (k, k_row) = p.gather(k, keys, [p.head_dim, p.k_row], place, &mut gathered);
                let sizes = [queries, p.head_dim, keys];
                multiply(sizes, (q, [p.q_row, 1]), (k, [1, k_row]), (scores, p.key_length));
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [n, i, j, d] = [p.batch_heads, p.queries, p.key_length, p.head_dim].map(u64::from);
        let keys = n.div_ceil(u64::from(p.heads_per_key.max(1)));
        Cost {
            flops: 2 * n * i * j * d,
            bytes: 4 * (n * i * d + keys * j * d + n * i * j),
            iterations: tile_iterations(variant, d),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let placed = chosen::chain().map(|(data, label, p)| placed(&data, label, p));
        Sizes::all(depth).into_iter().map(case).chain(placed).collect()
    }
}

/// Heads side by side in rows that end in NaN, as in a packed projection. Key 1 holds a NaN, which no other may see; every
/// query does, those too whose element there is 0.
fn case(size: Sizes) -> Case {
    let mut inputs = Inputs::new(size.seed());
    let (mut q, q_at) = size.rows_of_heads(&mut inputs, size.heads, size.queries, size.head_dim);
    let (mut k, k_at) = size.rows_of_heads(&mut inputs, size.key_heads(), size.keys, size.head_dim);
    if size.keys > 1 {
        for batch in 0..size.batch {
            for head in 0..size.key_heads() {
                k[k_at.offset + batch * k_at.batch + head * k_at.head + k_at.row] = f32::NAN;
            }
            q[q_at.offset + batch * q_at.batch + (size.queries - 1) * q_at.row] = 0.0;
        }
    }
    let all = reference::attention::scores(View::new(&q, q_at), View::new(&k, k_at), size.dims());
    let parameters = Parameters {
        q_offset: q_at.offset as u32,
        q_batch: q_at.batch as u32,
        q_head: q_at.head as u32,
        q_row: q_at.row as u32,
        k_offset: k_at.offset as u32,
        k_batch: k_at.batch as u32,
        k_head: k_at.head as u32,
        k_row: k_at.row as u32,
        // Nothing here asks for it.
        value_dim: 0,
        ..size.parameters()
    };
    Case {
        label: size.to_string(),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // The largest partial sum is about the largest sum.
        floor: rounding_floor(size.head_dim, reference::largest(&all)),
        arguments: vec![
            CaseArgument::F32(q),
            CaseArgument::F32(k),
            CaseArgument::Words(vec![0]),
            CaseArgument::output(size.part_of(&all).map(Some).collect()),
        ],
    }
}

/// Packed, paged and shared rows. What an item has not is 0.
fn placed(data: &Data, label: String, p: Parameters) -> Case {
    let products = chosen::dense(data, &p, 0.0, |item, place| item.products[place]);
    Case {
        label,
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: rounding_floor(p.head_dim as usize, reference::largest(&products)),
        arguments: vec![
            CaseArgument::F32(data.q.clone()),
            CaseArgument::Words(data.k.clone()),
            CaseArgument::Words(data.items.clone()),
            CaseArgument::output(products.into_iter().map(Some).collect()),
        ],
    }
}
