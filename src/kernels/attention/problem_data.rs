//! The inputs of a problem, and the oracle's answers.

use super::parameters::{NONE, Parameters};
use super::problem::{Low, Padding, Placement, Poison, Position, Problem};
use crate::kernel::Inputs;
use crate::kernels::matrices::rounded_to_f16;
use crate::reference::attention::{self as oracle, Causal, Dims, Mask, Options, Strided, View};
use crate::reference::{largest, rounding_floor};

/// A problem's inputs and answers.
pub(crate) struct Data {
    /// f32 queries.
    pub q: Vec<f32>,
    /// Keys and values as they are stored.
    pub k: Vec<u32>,
    pub v: Vec<u32>,
    /// How many of each.
    pub elements: [usize; 2],
    /// The mask's words, and its shape with axes of 1.
    pub mask: Vec<u32>,
    pub mask_shape: [usize; 4],
    /// Key lengths or a padding mask, then tables: see `attention.wgsl`.
    pub items: Vec<u32>,
    pub lengths: Vec<u32>,
    /// Running sums of the packed lengths, of queries and of keys.
    pub sequences: [Vec<u32>; 2],
    /// `[B, blocks]`.
    pub table: Vec<u32>,
    pub slopes: Vec<f32>,
    pub sinks: Vec<f32>,
    /// `[H, 2 · reach + 1]`; empty without biases by distance.
    pub relative: Vec<f32>,
    /// All but what a dispatch adds.
    pub parameters: Parameters,
    /// The output and the rows' sums where they lie; `None` where nothing does.
    pub output: Vec<Option<f64>>,
    pub sums: Vec<Option<f64>>,
    /// Each item's scores `[H, Lq, Lk]` at each of ONNX's stages.
    pub items_scores: Vec<Scores>,
    /// The largest error by rounding of the output, and of the logits.
    pub floor: f64,
    pub logit_floor: f64,
    /// To the weights.
    pub weights_floor: f64,
    /// And to the sums.
    pub sums_floor: f64,
}

/// One batch item's scores by the oracle.
pub(crate) struct Scores {
    pub dims: Dims,
    pub stages: [Vec<f64>; 4],
    /// Whether the masks allow a key.
    pub allowed: Vec<bool>,
    /// Its values, `[Hkv, Lk, Dv]`.
    pub values: Vec<f32>,
}

/// Where rows lie, and how many elements that takes.
#[derive(Clone, Copy)]
struct Placed {
    at: Strided,
    elements: usize,
}

fn lie(
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

impl Problem {
    /// The data and the oracle's answers.
    pub fn data(&self) -> Data {
        Data::new(self)
    }
}

impl Data {
    fn new(problem: &Problem) -> Self {
        let mut inputs = Inputs::new(problem.seed);
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

        // Lengths: some of them 0, and of what is no packed item some past the end.
        let running = |lengths: &[u32]| {
            let sums = lengths.iter().scan(0, |sum, length| {
                *sum += length;
                Some(*sum)
            });
            std::iter::once(0).chain(sums).collect::<Vec<u32>>()
        };
        let mut lengths_below = |most: u32| {
            let mut lengths = inputs.below(batch, most + 1);
            // The parameters say the longest.
            lengths[0] = most;
            lengths
        };
        let item_queries = if packed { lengths_below(problem.queries) } else { vec![problem.queries; batch] };
        let item_keys = if packed { lengths_below(problem.keys) } else { vec![problem.keys; batch] };
        let sequences = [running(&item_queries), running(&item_keys)];
        let lengths = inputs.below(batch, problem.keys + 3);
        let key_mask = inputs.mask(batch * keys);

        // Logits of the spread: the elements' standard deviation, and the scale.
        // Beside −65,504, f32 has 8 bits behind the point.
        let whole = problem.spread > 100.0 || problem.low == Low::Number(-65504.0);
        let deviation = if whole { 1.0 } else { problem.spread.sqrt() };
        let scale = if whole {
            (problem.spread / (head_dim as f32).sqrt() / 4.0).log2().round().exp2()
        } else {
            1.0 / (head_dim as f32).sqrt()
        };
        let mut values = |count: usize, deviation: f32| {
            let mut values = inputs.values(count, if whole { 2.0 } else { deviation });
            if whole {
                values.iter_mut().for_each(|value| *value = value.round());
            }
            if problem.half {
                values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
            }
            values
        };

        let q_lie = match problem.placement {
            Placement::Paged(_) => lie(Placement::HeadsFirst, batch, heads, queries, head_dim, 0),
            placement => lie(placement, batch, heads, queries, head_dim, sequences[0][batch] as usize),
        };
        let kv_batch = if problem.placement == Placement::Shared { 1 } else { batch };
        let kv_rows = sequences[1][batch] as usize;
        let mut k_lie = lie(problem.placement, kv_batch, key_heads, keys, head_dim, kv_rows);
        let mut v_lie = lie(problem.placement, kv_batch, key_heads, keys, value_dim, kv_rows);
        let (mut table, mut blocks, mut block_count, mut block_size) = (Vec::new(), 0, 1, 1);
        match problem.placement {
            Placement::Shared => {
                k_lie.at.batch = 0;
                v_lie.at.batch = 0;
            }
            Placement::Paged(size) => {
                block_size = size as usize;
                blocks = keys.div_ceil(block_size);
                // More than are needed, in an order of their own.
                block_count = (batch * blocks + 3).max(1);
                let mut order: Vec<u32> = (0..block_count as u32).collect();
                fastrand::Rng::with_seed(problem.seed).shuffle(&mut order);
                table = order[..batch * blocks].to_vec();
                for (lie, columns) in [(&mut k_lie, head_dim), (&mut v_lie, value_dim)] {
                    lie.at.batch = block_size * key_heads * columns;
                    lie.elements = block_count * lie.at.batch;
                }
            }
            _ => {}
        }
        let mut q = vec![f32::NAN; q_lie.elements];
        let mut k = vec![f32::NAN; k_lie.elements];
        let mut v = vec![f32::NAN; v_lie.elements];
        let item = |placed: &[u32], item: usize| if packed { placed[item] as usize } else { 0 };
        let row = |lie: Placed, head: usize, batch: usize, row: usize| {
            lie.at.offset + batch * lie.at.batch + head * lie.at.head + row * lie.at.row
        };
        // (batch, row) of a key as its strides count them.
        let key_steps = |item_index: usize, key: usize| match problem.placement {
            Placement::Paged(_) => (table[item_index * blocks + key / block_size] as usize, key % block_size),
            _ if packed => (0, item(&sequences[1], item_index) + key),
            _ => (item_index, key),
        };
        let q_row = |b: usize, h: usize, i: usize| {
            let (batch, i) = if packed { (0, item(&sequences[0], b) + i) } else { (b, i) };
            row(q_lie, h, batch, i)
        };
        let key_row = |lie: Placed, b: usize, h: usize, j: usize| {
            let (batch, j) = key_steps(b, j);
            row(lie, h, batch, j)
        };
        for b in 0..batch {
            for h in 0..heads {
                for i in 0..item_queries[b] as usize {
                    q[q_row(b, h, i)..][..head_dim].copy_from_slice(&values(head_dim, deviation));
                }
            }
            for h in 0..key_heads {
                for j in 0..item_keys[b] as usize {
                    k[key_row(k_lie, b, h, j)..][..head_dim].copy_from_slice(&values(head_dim, deviation));
                    v[key_row(v_lie, b, h, j)..][..value_dim].copy_from_slice(&values(value_dim, 1.0));
                }
            }
        }

        let slopes: Vec<f32> = (0..heads).map(|h| (-8.0 * (h + 1) as f32 / heads as f32).exp2()).collect();
        let sinks = inputs.values(heads, problem.spread.min(16.0));
        let mut relative = problem.relative.map_or(Vec::new(), |reach| {
            Inputs::new(problem.seed ^ 0xd157)
                .values(heads * (2 * reach as usize + 1), problem.spread.min(4.0))
        });
        if problem.low != Low::Infinite {
            relative.iter_mut().step_by(3).for_each(|bias| *bias = f32::MIN);
        }
        let axes = [batch, heads, queries, keys];
        let (mask_kind, mask_axes) = match problem.mask {
            None => (0, [false; 4]),
            Some((float, axes)) => (1 + u32::from(float), axes),
        };
        let mut mask_shape = [1; 4];
        let mut mask_strides = [0; 4];
        let mut mask_elements = 1;
        for axis in (0..4).rev().filter(|&axis| mask_axes[axis]) {
            mask_shape[axis] = axes[axis];
            mask_strides[axis] = mask_elements;
            mask_elements *= axes[axis];
        }
        let keep = inputs.mask(mask_elements);
        let mut added = inputs.values(mask_elements, 2.0);
        if whole {
            added.iter_mut().for_each(|value| *value = value.round());
        }
        let mask: Vec<u32> = match mask_kind {
            0 => vec![0],
            1 => keep,
            _ => {
                let columns = mask_shape[3];
                let value = |(place, (add, keep)): (usize, (&f32, u32))| {
                    let low_row = keep == 0 || (place / columns).is_multiple_of(3);
                    match problem.low {
                        Low::Infinite if keep == 0 => f32::NEG_INFINITY,
                        Low::Number(low) if low_row => low,
                        Low::Mixed if low_row => [f32::NEG_INFINITY, f32::MIN, -3.4e38][place % columns % 3],
                        Low::FirstHalf(low) if 2 * (place % columns) < columns => low,
                        _ => *add,
                    }
                };
                added.iter().zip(keep).enumerate().map(|of| value(of).to_bits()).collect()
            }
        };

        // Each item by the oracle, first for what it may see, then with NaN planted.
        let word = |b: usize, h: usize, i: usize, j: usize| {
            mask[[b, h, i, j].iter().zip(mask_strides).map(|(at, stride)| at * stride).sum::<usize>()]
        };
        let one = |b: usize| Dims {
            batch: 1,
            heads,
            heads_kv: key_heads,
            queries: item_queries[b] as usize,
            keys: item_keys[b] as usize,
            head_dim,
            value_dim,
        };
        let combined = |b: usize| -> Vec<f32> {
            let dims = one(b);
            super::sizes::indices([1, heads, dims.queries, dims.keys])
                .map(|[_, h, i, j]| match mask_kind {
                    _ if problem.padding == Padding::Mask && key_mask[b * keys + j] == 0 => f32::NEG_INFINITY,
                    1 if word(b, h, i, j) == 0 => f32::NEG_INFINITY,
                    2 => f32::from_bits(word(b, h, i, j)),
                    _ => 0.0,
                })
                .collect()
        };
        let position = match problem.position {
            Position::Start => Causal::TopLeft,
            Position::End => Causal::BottomRight,
            Position::Offset(offset) => Causal::Offset(offset as isize),
        };
        let allowed: Vec<Vec<bool>> = (0..batch)
            .map(|b| {
                let mask = combined(b);
                oracle::allowed(
                    one(b),
                    options_of(
                        problem,
                        scale,
                        position,
                        one(b),
                        [&mask, &slopes, &sinks, &relative],
                        &lengths[b..=b],
                    ),
                )
            })
            .collect();
        // Shared keys are hidden only where every item hides them.
        let hidden = |h: usize, at: usize, place_of: &dyn Fn(usize, usize) -> usize| {
            (0..batch).all(|b| {
                let dims = one(b);
                (0..dims.keys).all(|j| {
                    place_of(b, j) != at
                        || (0..problem.heads_per_key as usize).all(|group| {
                            let head = h * problem.heads_per_key as usize + group;
                            (0..dims.queries).all(|i| !allowed[b][(head * dims.queries + i) * dims.keys + j])
                        })
                })
            })
        };
        for b in 0..batch {
            for h in 0..key_heads {
                for j in 0..item_keys[b] as usize {
                    let place = key_row(k_lie, b, h, j);
                    if hidden(h, place, &|b, j| key_row(k_lie, b, h, j)) {
                        k[place..place + head_dim].fill(f32::NAN);
                        let values = &mut v[key_row(v_lie, b, h, j)..][..value_dim];
                        values.fill(if j % 2 == 0 { f32::NAN } else { f32::INFINITY });
                    }
                }
            }
        }
        if matches!(problem.poison, Poison::Abyss | Poison::Peak) {
            for b in 0..batch {
                for h in 0..heads {
                    (0..item_queries[b] as usize).for_each(|i| q[q_row(b, h, i)] = 1.0);
                }
            }
        }
        if problem.poison == Poison::Abyss {
            for b in 0..batch {
                for h in 0..key_heads {
                    let abysses = if (b, h) == (0, 0) { item_keys[b] } else { item_keys[b].min(64) };
                    (0..abysses as usize).for_each(|j| k[key_row(k_lie, b, h, j)] = f32::NEG_INFINITY);
                }
            }
        }
        if let Some(b) = (0..batch).find(|&b| allowed[b].contains(&true)) {
            let at = match problem.poison {
                Poison::Peak => allowed[b].iter().position(|&allowed| allowed),
                Poison::Middle => {
                    let dims = one(b);
                    let rows = &allowed[b][..(dims.queries / 2 + 1) * dims.keys];
                    rows.iter().rposition(|&allowed| allowed)
                }
                _ => allowed[b].iter().rposition(|&allowed| allowed),
            };
            let at = at.unwrap_or(0);
            let dims = one(b);
            let (row, j) = (at / dims.keys, at % dims.keys);
            let h = row / dims.queries / problem.heads_per_key as usize;
            match problem.poison {
                Poison::Hidden | Poison::Abyss => {}
                Poison::Peak => k[key_row(k_lie, b, h, j)] = f32::INFINITY,
                Poison::Key => k[key_row(k_lie, b, h, j) + head_dim / 2] = f32::NAN,
                Poison::Value | Poison::Middle => {
                    let bad = if problem.seed.is_multiple_of(2) { f32::NAN } else { f32::INFINITY };
                    v[key_row(v_lie, b, h, j) + value_dim / 2] = bad;
                }
            }
        }

        let output_lie = match problem.placement {
            Placement::Paged(_) | Placement::Shared => {
                lie(Placement::HeadsFirst, batch, heads, queries, value_dim, 0)
            }
            placement => lie(placement, batch, heads, queries, value_dim, sequences[0][batch] as usize),
        };
        let total_queries = sequences[0][batch] as usize;
        let (sums_batch, sums_head) = if packed { (0, total_queries) } else { (heads * queries, queries) };
        let mut output = vec![None; output_lie.elements];
        let mut sums = vec![None; if packed { heads * total_queries } else { batch * heads * queries }];
        let mut items_scores = Vec::new();
        let mut largest_logit: f64 = 0.0;
        for b in 0..batch {
            let dims = one(b);
            let mask = combined(b);
            let options = options_of(
                problem,
                scale,
                position,
                dims,
                [&mask, &slopes, &sinks, &relative],
                &lengths[b..=b],
            );
            let gather = |data: &[f32],
                          heads: usize,
                          rows: usize,
                          columns: usize,
                          at: &dyn Fn(usize, usize) -> usize| {
                let mut dense = Vec::with_capacity(heads * rows * columns);
                for h in 0..heads {
                    for i in 0..rows {
                        dense.extend_from_slice(&data[at(h, i)..][..columns]);
                    }
                }
                dense
            };
            let mut dense_q = gather(&q, heads, dims.queries, head_dim, &|h, i| q_row(b, h, i));
            if problem.half_queries {
                dense_q.iter_mut().for_each(|value| *value = rounded_to_f16(*value));
            }
            let dense_k = gather(&k, key_heads, dims.keys, head_dim, &|h, j| key_row(k_lie, b, h, j));
            let dense_v = gather(&v, key_heads, dims.keys, value_dim, &|h, j| key_row(v_lie, b, h, j));
            let products = oracle::scores(
                View::new(&dense_q, Strided::heads_first(heads, dims.queries, head_dim)),
                View::new(&dense_k, Strided::heads_first(key_heads, dims.keys, head_dim)),
                dims,
            );
            let stages = [0, 1, 2, 3].map(|stage| oracle::stage(&products, stage, dims, options));
            // Those that a mask of ±3.4e38 has moved are rounded alike everywhere, since nothing is left of what was added to it.
            let counted = stages[2].iter().copied().filter(|logit| logit.abs() < 1e30);
            let counted = largest(&counted.collect::<Vec<f64>>());
            largest_logit = largest_logit.max(largest(&stages[0])).max(counted);
            let view = View::new(&dense_v, Strided::heads_first(key_heads, dims.keys, value_dim));
            let allowed = oracle::allowed(dims, options);
            let values = oracle::weighted_values(&stages[3], view, Some(&allowed), dims);
            let log_sums = oracle::log_sum_exp(&products, dims, options);
            for h in 0..heads {
                for i in 0..dims.queries {
                    let row_index = h * dims.queries + i;
                    let (out_batch, out_row) = if packed { (0, item(&sequences[0], b) + i) } else { (b, i) };
                    let place = row(output_lie, h, out_batch, out_row);
                    for (to, from) in
                        output[place..].iter_mut().zip(&values[row_index * value_dim..][..value_dim])
                    {
                        *to = Some(*from);
                    }
                    let start = if packed { item(&sequences[0], b) } else { b * sums_batch };
                    sums[start + h * sums_head + i] = Some(log_sums[row_index]);
                }
            }
            items_scores.push(Scores { dims, stages, allowed, values: dense_v });
        }

        let mut items = match problem.padding {
            Padding::None => Vec::new(),
            Padding::Lengths => lengths.clone(),
            Padding::Mask => key_mask,
        };
        let sequences_at = if packed { items.len() as u32 } else { NONE };
        if packed {
            items.extend(sequences.iter().flatten());
        }
        let paged = matches!(problem.placement, Placement::Paged(_));
        let blocks_at = if paged { items.len() as u32 } else { NONE };
        items.extend(&table);
        let stored = |values: &[f32]| -> Vec<u32> {
            if problem.half {
                crate::tensor::pack_f16(values)
            } else {
                values.iter().map(|value| value.to_bits()).collect()
            }
        };
        let shift = match problem.position {
            Position::Offset(offset) => offset as u32,
            Position::Start | Position::End => 0,
        };
        let right = match (problem.causal, problem.window[1]) {
            (true, _) => 0,
            (false, right) => right.unwrap_or(NONE),
        };
        let parameters = Parameters {
            batches: batch as u32,
            heads: heads as u32,
            heads_per_key: problem.heads_per_key,
            query_length: queries as u32,
            key_length: keys as u32,
            head_dim: head_dim as u32,
            value_dim: value_dim as u32,
            q_offset: q_lie.at.offset as u32,
            q_batch: q_lie.at.batch as u32,
            q_head: q_lie.at.head as u32,
            q_row: q_lie.at.row as u32,
            k_offset: k_lie.at.offset as u32,
            k_batch: k_lie.at.batch as u32,
            k_head: k_lie.at.head as u32,
            k_row: k_lie.at.row as u32,
            v_offset: v_lie.at.offset as u32,
            v_batch: v_lie.at.batch as u32,
            v_head: v_lie.at.head as u32,
            v_row: v_lie.at.row as u32,
            output_offset: output_lie.at.offset as u32,
            output_batch: output_lie.at.batch as u32,
            output_head: output_lie.at.head as u32,
            output_row: output_lie.at.row as u32,
            sums_batch: sums_batch as u32,
            sums_head: sums_head as u32,
            has_sums: 1,
            scale,
            softcap: problem.softcap,
            aligned_to_end: u32::from(problem.position == Position::End),
            shift,
            left: problem.window[0].unwrap_or(NONE),
            right,
            key_padding: match problem.padding {
                Padding::None => 0,
                Padding::Lengths => 1,
                Padding::Mask => 2,
            },
            sequences_at,
            blocks_at,
            blocks: blocks as u32,
            block_size: block_size as u32,
            block_count: block_count as u32,
            mask_kind,
            mask_batch: mask_strides[0] as u32,
            mask_head: mask_strides[1] as u32,
            mask_row: mask_strides[2] as u32,
            mask_column: mask_strides[3] as u32,
            slopes_at: if problem.slopes { 0 } else { NONE },
            sinks_at: match (problem.sinks, problem.slopes) {
                (false, _) => NONE,
                (true, false) => 0,
                (true, true) => heads as u32,
            },
            relative_at: match problem.relative {
                None => NONE,
                Some(_) => heads as u32 * (u32::from(problem.slopes) + u32::from(problem.sinks)),
            },
            relative_reach: problem.relative.unwrap_or(0),
            ..Parameters::new()
        };
        // A logit errs by its product's rounding, and by that of each step after it; a weight by the logits' errors and
        // by that of exp, 3 + 2·|x| units in the last place over what differs from the maximum.
        let eps = f64::from(f32::EPSILON);
        let of_products = if whole { 0.0 } else { rounding_floor(head_dim, largest_logit) };
        let logit_floor = of_products + 2.0 * eps * largest_logit;
        let apart = if whole { 20.0 } else { (2.0 * largest_logit).min(40.0) };
        let of_weights = (if whole { 0.0 } else { logit_floor }) + (3.0 + 2.0 * apart) * eps;
        let of_values = largest(&output.iter().copied().flatten().collect::<Vec<_>>()).max(1.0);
        Self {
            q,
            k: stored(&k),
            v: stored(&v),
            elements: [k.len(), v.len()],
            mask,
            mask_shape,
            items: if items.is_empty() { vec![0] } else { items },
            lengths,
            sequences,
            table,
            slopes,
            sinks,
            relative,
            parameters,
            output,
            sums,
            items_scores,
            floor: rounding_floor(keys, of_values) + of_weights * of_values,
            logit_floor,
            weights_floor: of_weights + rounding_floor(keys, 1.0),
            // The logarithm takes the sum's relative error, and rounds the logits' magnitude.
            sums_floor: logit_floor + of_weights + rounding_floor(keys, 1.0),
        }
    }

    /// Slopes, sinks, then biases by distance, as far as they are there.
    pub fn head_terms(&self) -> Vec<f32> {
        let mut terms = Vec::new();
        let p = &self.parameters;
        for (at, values) in
            [(p.slopes_at, &self.slopes), (p.sinks_at, &self.sinks), (p.relative_at, &self.relative)]
        {
            if at != NONE {
                terms.extend(values);
            }
        }
        if terms.is_empty() { vec![0.0] } else { terms }
    }
}

fn options_of<'a>(
    problem: &Problem,
    scale: f32,
    position: Causal,
    dims: Dims,
    [mask, slopes, sinks, relative]: [&'a [f32]; 4],
    lengths: &'a [u32],
) -> Options<'a> {
    Options {
        scale: scale.into(),
        softcap: problem.softcap.into(),
        causal: if problem.causal { position } else { Causal::None },
        position,
        window: problem.window.map(|bound| bound.map(|bound| bound as usize)),
        slopes: problem.slopes.then_some(slopes),
        sinks: problem.sinks.then_some(sinks),
        relative: problem.relative.map(|_| relative),
        key_lengths: (problem.padding == Padding::Lengths).then_some(lengths),
        mask: Mask::Float { data: mask, strides: [0, dims.queries * dims.keys, dims.keys, 1] },
    }
}
