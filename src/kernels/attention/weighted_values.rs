//! Weighted-V accumulation.
//!
//! output\[b, h, i, :\] = Σⱼ weights\[b, h, i, j\] · v\[b, h', j, :\] (Vaswani et al. 2017, equation 1), h' the key-value
//! head of h. f32. v and the output lie anywhere, by offset and strides; the weights are dense, for a part of the
//! batch-heads and of the queries.
//!
//! A weight that is exactly 0 takes nothing from v: what is masked out may be NaN or infinite there. (So a NaN in a
//! value whose weight is too small for f32 does not show either.)
//!
//! Ladder: as `scores`; the `select` for zero weights is in the inner loop.

use crate::host_memory::scratch;
use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry,
};
use crate::kernels::attention::problem_data::Data;
use crate::kernels::attention::{Parameters, Sizes, chosen};
use crate::kernels::multiply::multiply_carefully;
use crate::kernels::parallel;
use crate::kernels::shared::tile_iterations;
use crate::reference::rounding_floor;
use crate::reference::{self, attention::View};

/// The kernel.
pub struct WeightedValues;

/// The variant for tiles of 32 × 32.
pub fn tiled() -> Variant {
    Variant::new("tiled", 64)
        .with("TILE_ROWS", 32)
        .with("TILE_COLUMNS", 32)
        .with("RIGHT_TRANSPOSED", false)
        .with("SKIP_ZEROS", true)
}

const BINDINGS: &[Binding] =
    &[Binding::read("weights"), Binding::read("v"), Binding::read("items"), Binding::write("output")];

impl Kernel for WeightedValues {
    fn about(&self) -> About {
        const { About::ours("attention/weighted_values", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![tiled()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let tiles = u64::from(p.queries.div_ceil(variant.u32("TILE_ROWS")))
            * u64::from(p.value_dim.div_ceil(variant.u32("TILE_COLUMNS")));
        geometry::fold(tiles * u64::from(p.batch_heads), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (weights, v, items, output) =
            (arguments.f32(0), arguments.f32(1), arguments.words(2), arguments.f32_mut(3));
        let size = p.queries as usize * p.key_length as usize;
        let columns = p.value_dim as usize;
        // Heads lie among each other in the output: each thread gives rows, with the place of the first.
        let operations = self.cost(variant, parameters).flops;
        let heads = parallel::map_whole(p.batch_heads as usize, operations, |part| {
            let weights = &weights[part * size..][..size];
            let batch_head = p.first_batch_head + part as u32;
            let (batch, head) = (batch_head / p.heads, batch_head % p.heads);
            let (queries, keys) = (p.part_queries_of(batch, items), p.stored_keys(batch, items));
            let mut rows = scratch(queries as usize * columns);
            if rows.is_empty() {
                return (0, rows);
            }
            let mut gathered = Vec::new();
            let place = |key: u32| p.v_place([batch, head / p.heads_per_key, key], items);
            let (v, v_row) = match keys {
                0 => (&[][..], 0),
                _ => p.gather(v, keys, [p.value_dim, p.v_row], place, &mut gathered),
            };
            let sizes = [queries, keys, p.value_dim];
            multiply_carefully(sizes, (weights, p.key_length), (v, v_row), (&mut rows, p.value_dim));
            (p.output_place([batch, head, p.first_query], items), rows)
        });
        for (first, rows) in heads {
            for (row, values) in rows.chunks_exact(columns.max(1)).enumerate() {
                output[first + row * p.output_row as usize..][..columns].copy_from_slice(values);
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [n, i, j, d] = [p.batch_heads, p.queries, p.key_length, p.value_dim].map(u64::from);
        let keys = n.div_ceil(u64::from(p.heads_per_key.max(1)));
        Cost {
            flops: 2 * n * i * j * d,
            bytes: 4 * (n * i * j + keys * j * d + n * i * d),
            iterations: tile_iterations(variant, j),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let poisons = [false, true];
        let sizes = Sizes::all(depth).into_iter();
        let placed = chosen::chain().map(|(data, label, p)| placed(&data, label, p));
        sizes.flat_map(|size| poisons.map(|poison| case(size, poison))).chain(placed).collect()
    }
}

/// With `poison`, key 0 is masked out everywhere and its values are NaN and infinite.
fn case(size: Sizes, poison: bool) -> Case {
    let mut inputs = Inputs::new(size.seed() ^ u64::from(poison));
    let (mut v, v_at) = size.rows_of_heads(&mut inputs, size.key_heads(), size.keys, size.head_dim);
    let mut weights: Vec<f32> = inputs
        .values(size.batch * size.heads * size.queries * size.keys, 1.0)
        .into_iter()
        .map(|value| value.abs() / size.keys as f32)
        .collect();
    if poison && size.keys > 0 {
        weights.chunks_exact_mut(size.keys).for_each(|row| row[0] = 0.0);
        for batch in 0..size.batch {
            let row = v_at.offset + batch * v_at.batch;
            let values = &mut v[row..row + size.key_heads() * size.head_dim];
            values.fill(f32::NAN);
            values[0] = f32::INFINITY;
        }
    }
    let exact: Vec<f64> = weights.iter().map(|&weight| f64::from(weight)).collect();
    let allowed: Vec<bool> = weights.iter().map(|&weight| weight != 0.0).collect();
    let dims = size.dims();
    let all = reference::attention::weighted_values(&exact, View::new(&v, v_at), Some(&allowed), dims);
    let at = size.heads_at(size.heads, size.queries, size.head_dim);
    let length = at.offset + size.batch * at.batch;
    let mut output = vec![None; length];
    for head in size.first_batch_head..size.batch * size.heads {
        for query in size.first_query..size.queries {
            let start =
                at.offset + head / size.heads * at.batch + head % size.heads * at.head + query * at.row;
            let row = &all[(head * size.queries + query) * size.head_dim..][..size.head_dim];
            output[start..start + size.head_dim].iter_mut().zip(row).for_each(|(to, &from)| *to = Some(from));
        }
    }
    let parameters = Parameters {
        v_offset: v_at.offset as u32,
        v_batch: v_at.batch as u32,
        v_head: v_at.head as u32,
        v_row: v_at.row as u32,
        output_offset: at.offset as u32,
        output_batch: at.batch as u32,
        output_head: at.head as u32,
        output_row: at.row as u32,
        ..size.parameters()
    };
    Case {
        label: format!("{size}{}", if poison { " NaN under weight 0" } else { "" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // The largest partial sum is about the largest sum.
        floor: rounding_floor(size.keys, reference::largest(&all)),
        arguments: vec![
            CaseArgument::F32(size.part_of(&exact).map(|weight| weight as f32).collect()),
            CaseArgument::F32(v),
            CaseArgument::Words(vec![0]),
            CaseArgument::output(output),
        ],
    }
}

/// Packed, paged and shared rows. Weights that an item has not are NaN, and not read.
fn placed(data: &Data, label: String, p: Parameters) -> Case {
    let weights = chosen::dense(data, &p, f32::NAN, |item, place| item.stages[3][place] as f32);
    let mut output = vec![None; data.output.len()];
    for at in chosen::rows_of(&p).filter(|&[batch, _, query]| query < p.queries_of(batch, &data.items).0) {
        let place = p.output_place(at, &data.items);
        let row = place..place + p.value_dim as usize;
        output[row.clone()].copy_from_slice(&data.output[row]);
    }
    Case {
        label,
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: data.floor,
        arguments: vec![
            CaseArgument::F32(weights),
            CaseArgument::Words(data.v.clone()),
            CaseArgument::Words(data.items.clone()),
            CaseArgument::output(output),
        ],
    }
}
