//! QKᵀ for subgroups of exactly 8: lavapipe, the software adapter.
//!
//! The same as [`scores`](super::scores), f32, of keys in f32 or f16, in rows of `scores_row` elements; what
//! [`softmax_values_lanes`](super::softmax_values_lanes) reads. Tiles of 32 keys that the band of their rows (causal bound, window, lengths) rules
//! out are left as they are, and so is what lies behind the last four keys of the band. Within the tiles, keys and rows
//! beyond the end are the last one again.
//!
//! Ladder (lavapipe, Mesa 22.3.6, `[1, 12, 512, 64]`, on two cores that other work kept busy; milliseconds of processor time
//! of the least disturbed of many runs in turns, in which `flash_lanes` as a whole took 101): 24.7. Without its stores it
//! takes 16.9: a row of a tile is 32 scalar stores. Rows of 516 instead of 512 elements: 22.2, since rows a power of two
//! apart share a cache's few sets. Dropped: several tiles of keys for each workgroup, with fewer divisions before them
//! (no change); loads without the test for a row's end (no change).

use super::flash::Form;
use super::lanes_cases::{self, Tile, Work};
use super::parameters::Parameters;
use crate::kernel::{Arguments, Binding, Case, CaseArgument, Cost, Depth, Field, Kernel, Variant, geometry};
use crate::kernels::multiply::multiply;
use crate::kernels::shared::{ATTENTION, INDEXING, PANEL};
use crate::reference;
use crate::reference::rounding_floor;

/// Keys of a tile.
const TILE_COLUMNS: u32 = 32;

/// The kernel.
pub struct ScoresLanes;

/// Tiles of `rows` (16 or 32) × 32.
pub fn lanes(rows: u32, form: Form) -> Variant {
    let variant = Variant::new("lanes")
        .enable("subgroups")
        .with("SUBGROUP_SIZE", 8)
        .with("TILE_ROWS", rows)
        .with("TILE_COLUMNS", TILE_COLUMNS);
    let files = [INDEXING, ATTENTION, PANEL, form.queries(), form.keys()];
    files.into_iter().fold(form.tell(variant), Variant::sharing)
}

impl Kernel for ScoresLanes {
    fn name(&self) -> &'static str {
        "attention/scores_lanes"
    }

    fn formula(&self) -> &'static str {
        "scores = q·kᵀ"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/attention/scores_lanes.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        const { &[Binding::read("q"), Binding::read("k"), Binding::read("items"), Binding::write("scores")] }
    }

    fn parameters(&self) -> &'static [Field] {
        Parameters::FIELDS
    }

    fn variants(&self) -> Vec<Variant> {
        Form::all().flat_map(|form| [16, 32].map(|rows| lanes(rows, form))).collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let tiles = u64::from(p.queries.div_ceil(variant.u32("TILE_ROWS")))
            * u64::from(p.key_length.div_ceil(TILE_COLUMNS));
        geometry::fold(tiles * u64::from(p.batch_heads), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let stored = lanes_cases::stored(variant, &arguments, 1);
        let (q, items, scores) = (arguments.f32(0), arguments.words(2), arguments.f32_mut(3));
        let mut keys = Vec::new();
        for tile in Work::of(&p, variant.u32("TILE_ROWS"), items) {
            let Tile { batch, head, first_query, rows, end, .. } = tile;
            let begin = tile.begin / TILE_COLUMNS * TILE_COLUMNS;
            keys.clear();
            for key in begin..end.next_multiple_of(4) {
                let place = p.k_place([batch, head / p.heads_per_key, key.min(end - 1)], items);
                keys.extend_from_slice(&stored[place..][..p.head_dim as usize]);
            }
            let sizes = [rows, p.head_dim, end.next_multiple_of(4) - begin];
            let q = &q[p.q_place([batch, head, first_query], items)..];
            let to = &mut scores[tile.scores + begin as usize..];
            multiply(sizes, (q, [p.q_row, 1]), (&keys, [1, p.head_dim]), (to, p.scores_row));
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [n, i, j, d] = [p.batch_heads, p.queries, p.key_length, p.head_dim].map(u64::from);
        let keys = n.div_ceil(u64::from(p.heads_per_key.max(1)));
        let key_bytes = if variant.flag("HALF_KEYS") { 2 } else { 4 };
        Cost {
            flops: 2 * n * i * j * d,
            bytes: 4 * (n * i * d + n * i * j) + key_bytes * keys * j * d,
            iterations: d.div_ceil(4),
        }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let problems = lanes_cases::problems(Form::told(variant), depth);
        let rows = variant.u32("TILE_ROWS");
        problems
            .map(|(data, label, p)| {
                let scale = f64::from(p.scale);
                let size = p.batch_heads as usize * p.queries as usize * p.scores_row as usize;
                let mut expected = vec![None; size];
                for tile in Work::of(&p, rows, &data.items) {
                    let item = &data.items_scores[tile.batch as usize];
                    let first = tile.begin / TILE_COLUMNS * TILE_COLUMNS;
                    for row in 0..tile.rows {
                        let query = (tile.first_query + row) as usize;
                        let at = (tile.head as usize * item.dims.queries + query) * item.dims.keys;
                        for key in first..tile.end.next_multiple_of(4) {
                            let product = item.stages[0][at + key.min(tile.end - 1) as usize] / scale;
                            expected[tile.scores + (row * p.scores_row + key) as usize] = Some(product);
                        }
                    }
                }
                let products: Vec<f64> = expected.iter().copied().flatten().collect();
                Case {
                    label,
                    parameters: bytemuck::bytes_of(&p).to_vec(),
                    floor: rounding_floor(p.head_dim as usize, reference::largest(&products)),
                    arguments: vec![
                        CaseArgument::F32(data.q.clone()),
                        CaseArgument::Words(data.k.clone()),
                        CaseArgument::Words(data.items.clone()),
                        CaseArgument::Output(expected),
                    ],
                }
            })
            .collect()
    }
}
