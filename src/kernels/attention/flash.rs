//! What the fused attention kernels share: how their inputs are read, their tiles, cost and cases (their twin is in
//! `flash_twin`).
//!
//! One pass over the keys with a running maximum and sum for each row (Milakov and Gimelshein 2018; Dao et al. 2022,
//! algorithm 1), divided by the sum at the end (Dao 2023, section 3.1). Keys outside the band of the causal bound, the
//! window and the lengths are not visited. With splits, each takes a part of the keys and gives its normalized output
//! and its sum's logarithm, and [`merge`](super::merge) makes one of them.

use super::chosen::{self, HandpickedProblem};
use super::parameters::{NONE, Parameters};
use super::problem::Problem;
use super::problem_data::Data;
use crate::kernel::{Binding, Case, CaseArgument, Cost, Depth, Variant, geometry};

/// The largest head_dim and value_dim that the fused kernels take.
pub const LARGEST_DIM: u32 = 256;

/// What a row has seen, as the largest of what its logits are: `shaders/shared/kinds.wgsl`. A split writes it as a number
/// behind the sums of all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// No key.
    Nothing,
    /// Nothing but −∞.
    Infinities,
    /// A number.
    Numbers,
    /// A NaN or +∞.
    Poison,
}

impl Seen {
    /// The kind of a logit.
    pub fn of(logit: f64) -> Self {
        match logit {
            f64::NEG_INFINITY => Self::Infinities,
            _ if logit.is_finite() => Self::Numbers,
            _ => Self::Poison,
        }
    }

    /// As a split writes it.
    pub fn number(self) -> f32 {
        self as u8 as f32
    }

    /// The kind that a split has written.
    pub fn from_number(number: f32) -> Self {
        match number {
            0.0 => Self::Nothing,
            1.0 => Self::Infinities,
            2.0 => Self::Numbers,
            _ => Self::Poison,
        }
    }
}

/// How keys and values are stored, and whether all rows are whole vec4s that begin at vec4s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// f16, else f32. Queries are f32.
    pub half: bool,
    /// Offsets, strides and sizes are multiples of 4.
    pub aligned: bool,
}

impl Form {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|half| [true, false].map(|aligned| Self { half, aligned }))
    }

    /// The form of these parameters' inputs.
    pub fn of(p: &Parameters, half: bool) -> Self {
        let places = [
            [p.q_offset, p.q_batch, p.q_head, p.q_row],
            [p.k_offset, p.k_batch, p.k_head, p.k_row],
            [p.v_offset, p.v_batch, p.v_head, p.v_row],
            [p.head_dim, p.value_dim, 0, 0],
        ];
        Self { half, aligned: places.as_flattened().iter().all(|place| place.is_multiple_of(4)) }
    }

    /// The form where the output too is of whole vec4s if the inputs are.
    pub fn with_output(p: &Parameters, half: bool) -> Self {
        let output = [p.output_offset, p.output_batch, p.output_head, p.output_row, p.output_split];
        let aligned = output.iter().all(|place| place.is_multiple_of(4));
        Self { half, aligned: aligned && Self::of(p, half).aligned }
    }

    /// The variant with the form as its constants, by which its shader takes the files that read keys and values.
    pub(super) fn add_to(self, variant: Variant) -> Variant {
        variant.with("HALF_KEYS", self.half).with("ALIGNED", self.aligned)
    }

    /// Whether quick runs have a variant of this form: each form and each size of rows (`blocks`, a power of two) by `every`
    /// others in turn. The form says how keys are read, the size how many sums a row has, and neither asks for the other.
    pub(super) fn quick(self, blocks: u32, every: u32) -> bool {
        let form = 2 * u32::from(self.half) + u32::from(self.aligned);
        (form + blocks.max(1).ilog2()).is_multiple_of(every)
    }

    pub(super) fn from_variant(variant: &Variant) -> Self {
        Self { half: variant.flag("HALF_KEYS"), aligned: variant.flag("ALIGNED") }
    }
}

/// The bindings of the fused kernels.
pub(super) const BINDINGS: &[Binding] = &[
    Binding::read("q"),
    Binding::read("k"),
    Binding::read("v"),
    Binding::read("mask"),
    Binding::read("items"),
    Binding::read("head_terms"),
    Binding::write("output"),
    Binding::write("sums"),
];

/// How a kernel divides its work: a workgroup takes `rows` queries of one head, or of all the heads of a key-value head,
/// and goes over the keys in tiles of `keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Queries of a tile.
    pub rows: u32,
    /// Keys of a tile.
    pub keys: u32,
    /// Rows are the queries of all the heads that share a key-value head.
    pub grouped: bool,
    /// Queries and weights are rounded to f16.
    pub rounded: bool,
}

/// The part of one workgroup.
pub(super) struct Tile {
    pub batch: u32,
    pub key_head: u32,
    pub split: u32,
    /// Head and query.
    pub rows: Vec<[u32; 2]>,
}

impl Tile {
    /// Whether both are of one split of one item and one key-value head.
    pub(super) fn sees_keys_of(&self, other: &Self) -> bool {
        (self.batch, self.key_head, self.split) == (other.batch, other.key_head, other.split)
    }
}

impl Tiling {
    fn group(&self, p: &Parameters) -> u32 {
        if self.grouped { p.heads_per_key } else { 1 }
    }

    fn row_tiles(&self, p: &Parameters) -> u64 {
        (u64::from(p.query_length) * u64::from(self.group(p))).div_ceil(self.rows.into())
    }

    /// The tiles of all of it.
    pub fn count(&self, p: &Parameters) -> u64 {
        let heads = u64::from(p.heads / self.group(p).max(1));
        let items = u64::from(p.batches).saturating_mul(u64::from(p.splits));
        self.row_tiles(p).saturating_mul(heads).saturating_mul(items)
    }

    pub(super) fn tile(&self, p: &Parameters, tile: u32, items: &[u32]) -> Tile {
        let (group, row_tiles) = (self.group(p), self.row_tiles(p) as u32);
        let heads = p.heads / group;
        let first_row = tile % row_tiles * self.rows;
        let head = tile / row_tiles % heads;
        let batch = tile / row_tiles / heads % p.batches;
        let queries = p.queries_of(batch, items).0;
        let rows = first_row..(first_row + self.rows).min(queries * group);
        Tile {
            batch,
            key_head: head * group / p.heads_per_key,
            split: tile / row_tiles / heads / p.batches,
            rows: rows.map(|row| [head * group + row / queries, row % queries]).collect(),
        }
    }

    /// The most tiles of keys that a workgroup visits.
    pub fn key_tiles(&self, p: &Parameters) -> u64 {
        let mut keys = u64::from(p.key_length);
        if p.left != NONE && p.right != NONE {
            let rows = u64::from(self.rows.min(p.query_length));
            keys = keys.min(u64::from(p.left) + u64::from(p.right) + rows);
        }
        if p.splits > 1 {
            keys = keys.min(p.split_keys.into());
        }
        // A band may begin within a tile.
        keys.div_ceil(self.keys.into()) + 1
    }

    pub(super) fn workgroups(&self, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        geometry::fold(Parameters::from_bytes(parameters).tiles.into(), per_dimension)
    }

    /// `iterations` of an invocation for each tile of keys, and at the end.
    pub(super) fn cost(&self, p: &Parameters, half: bool, [iterations, end]: [u64; 2]) -> Cost {
        let all = self.count(p).max(1);
        let part = |amount: u64| (u128::from(amount) * u128::from(p.tiles) / u128::from(all)) as u64;
        let [heads, queries, keys, dim, value_dim] =
            [p.batches * p.heads, p.query_length, p.key_length, p.head_dim, p.value_dim].map(u64::from);
        let key_heads = heads / u64::from(p.heads_per_key.max(1));
        let key_bytes = if half { 2 } else { 4 };
        Cost {
            flops: part(2 * heads * pairs(p) * (dim + value_dim)),
            bytes: part(
                4 * heads * queries * (dim + value_dim) + key_bytes * key_heads * keys * (dim + value_dim),
            ),
            iterations: self.key_tiles(p) * iterations + end,
        }
    }

    /// Sampled cases for a variant that takes head_dim and value_dim up to `largest`, and, with `all_options`, the chosen
    /// ones: nothing of those depends on the size of values.
    pub(super) fn cases(
        &self,
        form: Form,
        largest @ [largest_head_dim, largest_value_dim]: [u32; 2],
        all_options: bool,
        depth: Depth,
    ) -> Vec<Case> {
        let (count, work) = match depth {
            Depth::Quick => (8, 150_000),
            Depth::Full => (120, 2_000_000),
        };
        let cases = (0..count).map(|index| {
            let seed = index
                + 1000 * u64::from(largest_value_dim)
                + 7 * u64::from(form.half)
                + 3 * u64::from(form.aligned);
            let mut problem = Problem::sample(seed, work);
            problem.half = form.half;
            // All of the variant's columns, or most of the last ones.
            match index % 4 {
                0 | 2 => problem.value_dim = largest_value_dim,
                3 => problem.value_dim = largest_value_dim - 7,
                _ => {}
            }
            // And of its elements, where they are its own.
            if largest_head_dim < LARGEST_DIM && index % 4 > 1 {
                problem.head_dim = largest_head_dim - 5 * (index as u32 % 2);
            }
            problem.head_dim = problem.head_dim.min(largest_head_dim);
            problem.value_dim = problem.value_dim.min(largest_value_dim);
            problem.half_queries = self.rounded;
            if form.aligned {
                problem.head_dim = problem.head_dim.next_multiple_of(4);
                problem.value_dim = problem.value_dim.next_multiple_of(4);
            }
            if self.grouped {
                problem.queries = problem.queries.min(9);
            }
            // Every third case splits the keys, every fifth runs some of the tiles.
            let split_tiles = if index % 3 == 2 { 1 + index as u32 % 2 } else { 0 };
            self.case(&HandpickedProblem { problem, split_tiles, part: index % 5 == 4, has_sums: true })
        });
        let mut cases: Vec<Case> = cases.collect();
        let mut several = chosen::several_tiles(self.rows, self.keys, largest_value_dim);
        several.problem.half = form.half;
        several.problem.half_queries = self.rounded;
        if self.rounded {
            // Maxima that rise by more than the slack from one tile to the next, in every block of columns.
            several.problem.spread = 64.0;
            cases.push(self.case(&several));
            several.problem.spread = 1.0;
        }
        cases.push(self.case(&several));
        if all_options {
            for mut chosen in chosen::all() {
                let problem = &mut chosen.problem;
                problem.half = form.half;
                problem.half_queries = self.rounded;
                for (dim, largest) in [&mut problem.head_dim, &mut problem.value_dim].into_iter().zip(largest)
                {
                    *dim = (*dim).min(largest);
                    *dim = if form.aligned { dim.next_multiple_of(4) } else { *dim - 1 + *dim % 2 };
                }
                cases.push(self.case(&chosen));
            }
        }
        cases
    }

    /// The output, with what rounding may do to it.
    fn judged(&self, output: Vec<Option<f64>>, data: &Data) -> CaseArgument {
        if !self.rounded {
            return CaseArgument::output(output);
        }
        // A weight is off by 2⁻¹¹ of it, or below the normal numbers by 2⁻²⁵, and the output by as much of the largest value.
        // Where values do not cancel, that is at most 2⁻²² of its square.
        let values = data.items_scores.iter().flat_map(|item| &item.values);
        let values = values.filter(|value| value.is_finite());
        let largest = values.fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
        let of_weights = (-11.0_f64).exp2() + f64::from(data.parameters.key_length) * (-25.0_f64).exp2();
        CaseArgument::output_rounded(output, data.floor + of_weights * largest, (-22.0_f64).exp2())
    }

    fn case(&self, chosen: &HandpickedProblem) -> Case {
        let HandpickedProblem { problem, split_tiles, part, has_sums } = chosen;
        let data = problem.data();
        let mut p = data.parameters;
        let mut label = problem.to_string();
        let (mut output, mut sums) = (data.output.clone(), data.sums.clone());
        if *split_tiles > 0 {
            p.split_keys = self.keys * split_tiles;
            p.splits = p.key_length.div_ceil(p.split_keys).max(2);
            p.output_offset = 0;
            p.output_row = p.value_dim;
            p.output_head = p.query_length * p.output_row;
            p.output_batch = p.heads * p.output_head;
            p.output_split = p.batches * p.output_batch;
            p.sums_head = p.query_length;
            p.sums_batch = p.heads * p.query_length;
            // And what the rows have seen.
            p.sums_split = 2 * p.batches * p.sums_batch;
            (output, sums) = data.splits(&p);
            label.push_str(&format!(", {} splits", p.splits));
        }
        p.tiles = self.count(&p) as u32;
        p.has_sums = u32::from(*has_sums);
        p.sums_offset = 3;
        sums.splice(0..0, [None; 3]);
        if *part && p.tiles > 2 {
            p.first_tile = 1;
            p.tiles -= 2;
            label.push_str(&format!(", {} tiles from 1", p.tiles));
        }
        let (mut part_output, mut part_sums) = (vec![None; output.len()], vec![None; sums.len()]);
        for tile in p.first_tile..p.first_tile + p.tiles {
            let tile = self.tile(&p, tile, &data.items);
            for [head, query] in tile.rows {
                let at = [tile.batch, head, query];
                let place = p.output_place(at, &data.items) + (tile.split * p.output_split) as usize;
                let row = place..place + p.value_dim as usize;
                part_output[row.clone()].copy_from_slice(&output[row]);
                let place = p.sums_place(at, &data.items) + (tile.split * p.sums_split) as usize;
                part_sums[place] = sums[place].filter(|_| *has_sums);
                if p.splits > 1 {
                    let place = place + p.sums_split as usize / 2;
                    part_sums[place] = sums[place].filter(|_| *has_sums);
                }
            }
        }
        Case {
            label,
            parameters: bytemuck::bytes_of(&p).to_vec(),
            floor: data.floor,
            arguments: vec![
                CaseArgument::F32(data.q.clone()),
                CaseArgument::Words(data.k.clone()),
                CaseArgument::Words(data.v.clone()),
                CaseArgument::Words(data.mask.clone()),
                CaseArgument::Words(data.items.clone()),
                CaseArgument::F32(data.head_terms()),
                self.judged(part_output, &data),
                CaseArgument::output_within(part_sums, data.sums_floor),
            ],
        }
    }
}

/// Pairs of a query and a key of one head that the band allows, as if all items had the longest lengths.
fn pairs(p: &Parameters) -> u64 {
    let [queries, keys] = [p.query_length, p.key_length].map(i64::from);
    let shift = if p.aligned_to_end != 0 { keys - queries } else { i64::from(p.shift as i32) };
    if p.left == NONE && p.right == NONE {
        return (queries * keys) as u64;
    }
    let bounded = |bound: i64| bound.clamp(0, keys);
    let row = |query: i64| {
        let position = query + shift;
        let begin = if p.left == NONE { 0 } else { bounded(position - i64::from(p.left)) };
        let end = if p.right == NONE { keys } else { bounded(position + i64::from(p.right) + 1) };
        (end - begin).max(0)
    };
    (0..queries).map(row).sum::<i64>() as u64
}

impl Data {
    /// The splits' outputs `[splits, B, H, Lq, Dv]`, and their sums with what was seen `[splits, 2, B, H, Lq]`, for parameters
    /// that place them so.
    fn splits(&self, p: &Parameters) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
        let mut output = vec![None; (p.splits * p.output_split) as usize];
        let mut sums = vec![None; (p.splits * p.sums_split) as usize];
        for (batch, item) in self.items_scores.iter().enumerate() {
            let dims = item.dims;
            for row in 0..dims.heads * dims.queries {
                let (head, query) = (row / dims.queries, row % dims.queries);
                let logits = &item.stages[2][row * dims.keys..][..dims.keys];
                for split in 0..p.splits as usize {
                    let keys = (split * p.split_keys as usize).min(dims.keys)
                        ..((split + 1) * p.split_keys as usize).min(dims.keys);
                    let seen = || keys.clone().filter(|&key| item.allowed[row * dims.keys + key]);
                    let largest = seen().map(|key| logits[key]).fold(f64::NEG_INFINITY, f64::max);
                    let weight = |key: usize| (logits[key] - largest).exp();
                    let total: f64 = seen().map(weight).sum();
                    let kind = seen().map(|key| Seen::of(logits[key])).max().unwrap_or(Seen::Nothing);
                    let at = [batch as u32, head as u32, query as u32];
                    let place = p.sums_place(at, &self.items) + split * p.sums_split as usize;
                    sums[place] = Some(if kind == Seen::Numbers { largest + total.ln() } else { 0.0 });
                    sums[place + p.sums_split as usize / 2] = Some(kind.number().into());
                    let place = p.output_place(at, &self.items) + split * p.output_split as usize;
                    for column in 0..dims.value_dim {
                        let key_head = head * dims.heads_kv / dims.heads;
                        let value = |key: usize| {
                            f64::from(item.values[(key_head * dims.keys + key) * dims.value_dim + column])
                        };
                        let sum: f64 = seen().map(|key| weight(key) * value(key)).sum();
                        // A row that saw nothing, or nothing but −∞, has values of 0.
                        output[place + column] = Some(if kind >= Seen::Numbers { sum / total } else { 0.0 });
                    }
                }
            }
        }
        (output, sums)
    }
}
