//! What the kernels of fused attention's gradient share: their forms, the twins' rows, and their cases.
//!
//! With S = q · k, P the weights, O the output and u its gradient: dV = Pᵀ·u, D = Σ_d u ⊙ O, dP = u·Vᵀ, the products' gradient
//! dS = P ⊙ (dP − D) · scale · softcap′, dQ = dS·K and dK = dSᵀ·Q (Dao et al. 2022, appendix B.4; Dao 2023, algorithm 2). Of the forward pass the
//! output alone is kept. A row's largest logit and the factor of its weights are computed again
//! ([`flash_gradient_rows`](super::flash_gradient_rows)) and stand apart: their one number log Σ exp is not enough, since beside a mask of
//! −3.4e38 nothing is left of the logarithm.
//!
//! f32; keys and values too. A key that is masked out takes no part, whatever lies there, in a row that is NaN neither.

use super::flash::{Form, Tiling};
use super::parameters::{Parameters, Row};
use super::problem::{Low, Placement, Problem};
use super::problem_data::{Data, Scores};
use super::{chosen, chosen::HandpickedProblem};
use crate::kernel::{Arguments, Case, CaseArgument, Depth, Inputs, Variant};
use crate::reference::{attention_gradient as oracle, largest, rounding_floor};

/// How the queries are divided; the keys likewise.
pub const TILING: Tiling = Tiling { rows: 32, keys: 32, grouped: false, rounded: false };

/// Numbers of each query: its largest logit, the factor of its weights, u · O.
pub const ROW_NUMBERS: u32 = 3;

/// Columns of a block.
const BLOCK: u32 = 32;

/// The variant for sums of so many columns.
pub(super) fn variant(form: Form, columns: u32, of_values: bool) -> Variant {
    let blocks = columns.div_ceil(BLOCK).next_power_of_two();
    let variant = Variant::new("tiled", TILING.rows * TILING.keys / 16)
        .with("TILE_ROWS", TILING.rows)
        .with("TILE_COLUMNS", TILING.keys)
        .with("COLUMN_BLOCKS", blocks)
        .with("OF_VALUES", of_values);
    form.add_to(variant)
}

/// Iterations of an invocation for one square of queries and keys, but for the sums: panels, and what is made of the products.
pub(super) fn square_iterations(p: &Parameters, of_values: bool) -> u64 {
    let panels = |dim: u32| 13 * u64::from(dim.div_ceil(BLOCK));
    panels(p.head_dim) + if of_values { 0 } else { panels(p.value_dim) } + 5
}

/// The inputs of the twins.
pub(super) struct TwinInputs<'a> {
    pub p: &'a Parameters,
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub mask: &'a [u32],
    pub items: &'a [u32],
    pub head_terms: &'a [f32],
    pub upstream: &'a [f32],
}

impl<'a> TwinInputs<'a> {
    /// From the bindings that the kernels of queries and of keys have.
    pub fn new(p: &'a Parameters, arguments: &'a Arguments<'_>) -> Self {
        Self {
            p,
            q: arguments.f32(0),
            k: arguments.f32(1),
            v: arguments.f32(2),
            mask: arguments.words(3),
            items: arguments.words(4),
            head_terms: arguments.f32(5),
            upstream: arguments.f32(6),
        }
    }

    /// The keys that a query may attend to, each with its weight or with the gradient of its product.
    pub fn pairs(&self, at @ [batch, head, query]: [u32; 3], of_values: bool) -> Vec<(u32, f32)> {
        let p = self.p;
        let row = Row::new(p, at, self.mask, self.items, self.head_terms);
        let place = p.sums_offset + ROW_NUMBERS * ((batch * p.heads + head) * p.query_length + query);
        let &[largest, factor, mean, ..] = &self.head_terms[place as usize..] else { return Vec::new() };
        let q = &self.q[p.q_place(at, self.items)..][..p.head_dim as usize];
        let upstream = &self.upstream[p.output_place(at, self.items)..][..p.value_dim as usize];
        let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(a, b)| a * b).sum::<f32>();
        let mut pairs = Vec::new();
        for key in row.begin..row.end {
            let key_at = [batch, head / p.heads_per_key, key];
            let k = &self.k[p.k_place(key_at, self.items)..][..p.head_dim as usize];
            let product = dot(q, k);
            let Some(logit) = row.logit(key, product) else { continue };
            let weight = if logit.is_finite() { (logit - largest).exp() * factor } else { 0.0 * factor };
            if weight == 0.0 || of_values {
                pairs.push((key, weight));
                continue;
            }
            let v = &self.v[p.v_place(key_at, self.items)..][..p.value_dim as usize];
            let mut gradient = weight * (dot(upstream, v) - mean) * row.scale;
            if p.softcap != 0.0 {
                let e = (-2.0 * (product * row.scale / p.softcap).abs()).exp();
                gradient *= 4.0 * e / ((1.0 + e) * (1.0 + e));
            }
            pairs.push((key, gradient));
        }
        pairs.retain(|(_, value)| *value != 0.0);
        pairs
    }
}

/// A problem with the gradients of its output, by the oracle.
pub(super) struct Answered {
    pub data: Data,
    /// Where the output lies, the same of its gradient; NaN between the rows.
    pub output: Vec<f32>,
    pub upstream: Vec<f32>,
    /// `[B, H, Lq, 3]`; what an item has not is `None`.
    pub rows: Vec<Option<f64>>,
    /// What queries, keys and values gain where they lie.
    pub gradients: [Vec<Option<f64>>; 3],
    /// What rounding may do to each of them.
    pub floors: [f64; 3],
}

impl Answered {
    fn new(problem: &Problem) -> Self {
        let data = problem.data();
        let p = data.parameters;
        let mut inputs = Inputs::new(problem.seed ^ 0x9d1e);
        let output: Vec<f32> =
            data.output.iter().map(|value| value.map_or(f32::NAN, |value| value as f32)).collect();
        let upstream = inputs.values(output.len(), 1.0);
        let upstream = upstream.into_iter().zip(&data.output);
        let upstream: Vec<f32> =
            upstream.map(|(value, there)| if there.is_some() { value } else { f32::NAN }).collect();
        let count = ROW_NUMBERS * p.batches * p.heads * p.query_length;
        let mut answered = Self {
            output,
            upstream,
            rows: vec![None; count as usize],
            gradients: [data.q.len(), data.k.len(), data.v.len()].map(|count| vec![None; count]),
            floors: [0.0; 3],
            data,
        };
        for item in 0..p.batches {
            answered.add(item);
        }
        answered
    }

    /// Adds an item of the batch.
    fn add(&mut self, item: u32) {
        let Self { data, output, upstream, rows, gradients, floors } = self;
        let p = data.parameters;
        let Scores { dims, products: _, stages, allowed, values } = &data.items_scores[item as usize];
        let [heads, key_heads, queries, keys] =
            [dims.heads, dims.heads_kv, dims.queries, dims.keys].map(|size| size as u32);
        let bits = |words: &[u32]| words.iter().map(|&word| f32::from_bits(word)).collect::<Vec<f32>>();
        let dense = |from: &[f32], heads: u32, rows: u32, columns: u32, place: &dyn Fn([u32; 3]) -> usize| {
            let places = (0..heads).flat_map(|head| (0..rows).map(move |row| [item, head, row]));
            places.flat_map(|at| from[place(at)..][..columns as usize].to_vec()).collect::<Vec<f32>>()
        };
        let items = &data.items;
        let q = dense(&data.q, heads, queries, p.head_dim, &|at| p.q_place(at, items));
        let k = dense(&bits(&data.k), key_heads, keys, p.head_dim, &|at| p.k_place(at, items));
        let u = dense(upstream, heads, queries, p.value_dim, &|at| p.output_place(at, items));
        let o = dense(output, heads, queries, p.value_dim, &|at| p.output_place(at, items));
        let (scales, sinks) = (data.per_head.head_scales.as_ref(), data.per_head.sinks.as_ref());
        let scale = |head: usize| f64::from(p.scale) * scales.map_or(1.0, |scales| f64::from(scales[head]));
        // How far the logit of each pair moves with its product.
        let slope = |(place, capped): (usize, &f64)| {
            let head = place / (dims.queries * dims.keys);
            let softcap = f64::from(p.softcap);
            scale(head) * if softcap == 0.0 { 1.0 } else { 1.0 - (capped / softcap).powi(2) }
        };
        let slopes: Vec<f64> = stages[1].iter().enumerate().map(slope).collect();
        let made = oracle::gradients([&q, &k, values, &u], &stages[3], &slopes, allowed, *dims);
        for row in 0..dims.heads * dims.queries {
            let (head, query) = (row / dims.queries, row % dims.queries);
            let logits = stages[2][row * dims.keys..][..dims.keys].iter();
            let seen: Vec<f64> = logits
                .zip(&allowed[row * dims.keys..])
                .filter(|(_, open)| **open)
                .map(|(logit, _)| *logit)
                .collect();
            let finite = || seen.iter().copied().filter(|logit| logit.is_finite());
            let highest = finite().fold(f64::from(f32::MIN), f64::max);
            let sink = sinks.map_or(f64::NEG_INFINITY, |sinks| sinks[head].into());
            let moved = highest.max(sink);
            let sum: f64 = finite().map(|logit| (logit - moved).exp()).sum::<f64>() + (sink - moved).exp();
            let is_poisoned = seen.iter().any(|logit| logit.is_nan() || *logit == f64::INFINITY)
                || (!seen.is_empty() && finite().next().is_none() && sink == f64::NEG_INFINITY);
            let factor = match finite().next() {
                _ if is_poisoned => f64::NAN,
                None => 0.0,
                Some(_) => (highest - moved).exp() / sum,
            };
            let columns = row * dims.value_dim..(row + 1) * dims.value_dim;
            let mean = u[columns.clone()].iter().zip(&o[columns]);
            let mean: f64 = mean.map(|(u, o)| f64::from(*u) * f64::from(*o)).sum();
            let place = (item * p.heads + head as u32) * p.query_length + query as u32;
            let to = rows[(ROW_NUMBERS * place) as usize..].iter_mut();
            to.zip([highest, factor, mean]).for_each(|(to, value)| *to = Some(value));
        }
        type Place<'a> = &'a dyn Fn([u32; 3]) -> usize;
        let sides: [(&Vec<f64>, u32, u32, u32, Place<'_>); 3] = [
            (&made.q, heads, queries, p.head_dim, &|at| p.q_place(at, items)),
            (&made.k, key_heads, keys, p.head_dim, &|at| p.k_place(at, items)),
            (&made.v, key_heads, keys, p.value_dim, &|at| p.v_place(at, items)),
        ];
        for ((from, heads, rows, columns, place), to) in sides.into_iter().zip(gradients) {
            let places = (0..heads).flat_map(|head| (0..rows).map(move |row| [item, head, row]));
            for (at, row) in places.zip(from.chunks(columns.max(1) as usize)) {
                let to = to[place(at)..].iter_mut();
                to.zip(row).for_each(|(to, gained)| *to = Some(to.unwrap_or(0.0) + gained));
            }
        }
        for (floor, magnitude) in floors.iter_mut().zip(made.magnitudes) {
            let terms = dims.keys.max(dims.queries * dims.heads / dims.heads_kv.max(1));
            *floor = floor.max(data.weights_floor * magnitude + rounding_floor(terms, magnitude));
        }
    }

    /// The heads' terms with the rows' numbers behind them, and where those begin.
    fn terms(&self) -> (Vec<f32>, u32) {
        let mut terms = self.data.head_terms();
        let at = terms.len() as u32;
        terms.extend(self.rows.iter().map(|number| number.map_or(f32::NAN, |number| number as f32)));
        (terms, at)
    }
}

/// The problems of a variant's cases, each with the case's label.
fn problems(form: Form, largest_dims: [u32; 2], depth: Depth) -> Vec<Problem> {
    let (count, work) = match depth {
        Depth::Quick => (8, 100_000),
        Depth::Full => (80, 1_000_000),
    };
    let sampled = (0..count).map(|index| {
        let mut problem =
            Problem::sample(7000 + index + 100 * u64::from(largest_dims[1]) + u64::from(form.aligned), work);
        if index % 2 == 0 {
            [problem.head_dim, problem.value_dim] = largest_dims;
        }
        // Values that are narrower than keys.
        if index % 4 == 2 {
            problem.value_dim = 4;
        }
        problem
    });
    let picked = chosen::all().into_iter().filter(|chosen| chosen.split_tiles == 0);
    let picked = picked.map(|HandpickedProblem { problem, .. }| problem);
    // Whole tiles of rows in all the blocks that the variant has.
    let mut several = chosen::several_tiles(TILING.rows, TILING.keys, largest_dims[1]).problem;
    [several.head_dim, several.value_dim] = largest_dims;
    // Keys that are whole tiles, of two heads: a tile too many of one would be taken for the other's.
    let whole = Problem { keys: 2 * TILING.keys, key_heads: 2, head_dim: 8, value_dim: 8, ..several.clone() };
    let all = sampled.chain(picked).chain([several, whole]).filter_map(|mut problem| {
        problem.half = false;
        // Whole-numbered logits that lie far apart have weights of 0 and 1 and no gradient.
        problem.spread = problem.spread.min(16.0);
        if problem.low == Low::Number(-65504.0) {
            problem.low = Low::Infinite;
        }
        let dims = [&mut problem.head_dim, &mut problem.value_dim];
        for (dim, largest) in dims.into_iter().zip(largest_dims) {
            *dim = (*dim).min(largest);
            *dim = if form.aligned { dim.next_multiple_of(4) } else { *dim - 1 + *dim % 2 };
        }
        // Rows that several items share would be added to by several workgroups at once.
        (!matches!(problem.placement, Placement::Shared | Placement::Paged(_))).then_some(problem)
    });
    all.collect()
}

/// What a kernel of the gradient gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Rows,
    Queries,
    Keys,
    Values,
}

/// A kernel's cases: its problems, of which some run a part of their tiles or of their queries.
pub(super) fn cases(gives: Gives, form: Form, largest_dims: [u32; 2], depth: Depth) -> Vec<Case> {
    let all = problems(form, largest_dims, depth).into_iter().enumerate();
    all.map(|(index, problem)| case(gives, &problem, index % 4 == 3)).collect()
}

fn case(gives: Gives, problem: &Problem, is_part: bool) -> Case {
    let answered = Answered::new(problem);
    let data = &answered.data;
    let mut p = data.parameters;
    let mut label = problem.to_string();
    p.queries = p.query_length;
    p.tiles = match gives {
        Gives::Rows | Gives::Queries => TILING.count(&p) as u32,
        Gives::Keys | Gives::Values => super::flash_key_gradient::tiles(&p) as u32,
    };
    let whole = [
        CaseArgument::F32(data.q.clone()),
        CaseArgument::Words(data.k.clone()),
        CaseArgument::Words(data.v.clone()),
        CaseArgument::Words(data.mask.clone()),
        CaseArgument::Words(data.items.clone()),
    ];
    if is_part && p.tiles > 2 {
        p.first_tile = 1;
        p.tiles -= 2;
        label.push_str(&format!(", {} tiles from 1", p.tiles));
    }
    let tiles = p.first_tile..p.first_tile + p.tiles;
    let [q, k, v, mask, items] = whole;
    if gives == Gives::Rows {
        let mut rows = vec![None; answered.rows.len()];
        for tile in tiles {
            let tile = TILING.tile(&p, tile, &data.items);
            for [head, query] in tile.rows {
                let place = ROW_NUMBERS * ((tile.batch * p.heads + head) * p.query_length + query);
                let range = place as usize..(place + ROW_NUMBERS) as usize;
                rows[range.clone()].copy_from_slice(&answered.rows[range]);
            }
        }
        // The factor may err as much as a weight, u · O by its rounding.
        let numbers: Vec<f64> = rows.iter().copied().flatten().collect();
        let floor = data.weights_floor.max(data.logit_floor)
            + rounding_floor(p.value_dim as usize, largest(&numbers).min(1e3));
        return Case {
            label,
            parameters: bytemuck::bytes_of(&p).to_vec(),
            floor,
            arguments: vec![
                q,
                k,
                mask,
                items,
                CaseArgument::F32(data.head_terms()),
                CaseArgument::F32(answered.output.clone()),
                CaseArgument::F32(answered.upstream.clone()),
                CaseArgument::output(rows),
            ],
        };
    }
    let (terms, at) = answered.terms();
    p.sums_offset = at;
    let index = gives as usize - 1;
    let gained = &answered.gradients[index];
    let mut before = Inputs::new(problem.seed ^ 0xbef0).values(gained.len(), 1.0);
    // Where nothing may be added stands −0, which is another number once 0 is added to it.
    before
        .iter_mut()
        .zip(gained)
        .filter(|(_, gained)| gained.is_none())
        .for_each(|(before, _)| *before = -0.0);
    let mut after = vec![None; gained.len()];
    let mut add = |first: usize, columns: u32| {
        for place in first..first + columns as usize {
            after[place] = gained[place].map(|gained| f64::from(before[place]) + gained);
        }
    };
    for tile in tiles {
        match gives {
            Gives::Rows => {}
            Gives::Queries => {
                let tile = TILING.tile(&p, tile, &data.items);
                for [head, query] in tile.rows {
                    add(p.q_place([tile.batch, head, query], &data.items), p.head_dim);
                }
            }
            Gives::Keys | Gives::Values => {
                for at in super::flash_key_gradient::tile(&p, tile, &data.items) {
                    match gives {
                        Gives::Keys => add(p.k_place(at, &data.items), p.head_dim),
                        _ => add(p.v_place(at, &data.items), p.value_dim),
                    }
                }
            }
        }
    }
    Case {
        label,
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: answered.floors[index] + rounding_floor(1, 4.0),
        arguments: vec![
            q,
            k,
            v,
            mask,
            items,
            CaseArgument::F32(terms),
            CaseArgument::F32(answered.upstream.clone()),
            CaseArgument::update(before, after),
        ],
    }
}
