//! The inputs of a problem, and the oracle's answers.

use super::parameters::{NONE, Parameters};
use super::problem::{Low, Padding, Poison, Position, Problem};
use super::problem_places::Places;
use crate::kernel::Inputs;
use crate::kernels::matrices::rounded_to_f16;
use crate::per_head::PerHead;
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
    /// `[B, pages]`.
    pub table: Vec<u32>,
    /// `[H]` each, of those that are there.
    pub per_head: PerHead<Option<Vec<f32>>>,
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
    /// q · k.
    pub products: Vec<f64>,
    pub stages: [Vec<f64>; 4],
    /// Whether the masks allow a key.
    pub allowed: Vec<bool>,
    /// Its values, `[Hkv, Lk, Dv]`.
    pub values: Vec<f32>,
}

impl Problem {
    /// The data and the oracle's answers.
    pub fn data(&self) -> Data {
        Data::new(self)
    }
}

/// How a problem's numbers spread.
struct Spread {
    /// Whether logits are whole numbers, exact in f32.
    whole: bool,
    /// The standard deviation of the elements of queries and keys.
    deviation: f32,
    scale: f32,
}

impl Spread {
    /// Logits of the problem's spread: the elements' standard deviation, and the scale.
    fn new(problem: &Problem) -> Self {
        // Beside −65,504, f32 has 8 bits behind the point.
        let whole = problem.spread > 100.0 || problem.low == Low::Number(-65504.0);
        let root = (problem.head_dim as f32).sqrt();
        Self {
            whole,
            deviation: if whole { 1.0 } else { problem.spread.sqrt() },
            scale: if whole { (problem.spread / root / 4.0).log2().round().exp2() } else { 1.0 / root },
        }
    }
}

/// Queries, keys and values where they lie; NaN between them.
struct Rows {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Rows {
    fn new(problem: &Problem, places: &Places, spread: &Spread, inputs: &mut Inputs) -> Self {
        let mut values = |count: usize, deviation: f32| {
            let mut values = inputs.values(count, if spread.whole { 2.0 } else { deviation });
            if spread.whole {
                values.iter_mut().for_each(|value| *value = value.round());
            }
            if problem.half {
                values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
            }
            values
        };
        let [mut q, mut k, mut v] =
            [places.q, places.k, places.v].map(|placed| vec![f32::NAN; placed.elements]);
        let (head_dim, value_dim, deviation) = (places.head_dim, places.value_dim, spread.deviation);
        for b in 0..places.batch {
            for h in 0..places.heads {
                for i in 0..places.item_queries[b] as usize {
                    q[places.q_row(b, h, i)..][..head_dim].copy_from_slice(&values(head_dim, deviation));
                }
            }
            for h in 0..places.key_heads {
                for j in 0..places.item_keys[b] as usize {
                    k[places.k_row(b, h, j)..][..head_dim].copy_from_slice(&values(head_dim, deviation));
                    v[places.v_row(b, h, j)..][..value_dim].copy_from_slice(&values(value_dim, 1.0));
                }
            }
        }
        Self { q, k, v }
    }

    /// NaN and infinities for all keys that no query may attend to. Shared keys are hidden only where every item hides
    /// them.
    fn hide(&mut self, problem: &Problem, places: &Places, allowed: &[Vec<bool>]) {
        let group = problem.heads_per_key as usize;
        let hidden = |h: usize, at: usize| {
            (0..places.batch).all(|b| {
                let dims = places.dims(b);
                (0..dims.keys).all(|j| {
                    places.k_row(b, h, j) != at
                        || (h * group..(h + 1) * group).all(|head| {
                            (0..dims.queries).all(|i| !allowed[b][(head * dims.queries + i) * dims.keys + j])
                        })
                })
            })
        };
        for [b, h, j] in places.all_keys() {
            let place = places.k_row(b, h, j);
            if hidden(h, place) {
                self.k[place..place + places.head_dim].fill(f32::NAN);
                let values = &mut self.v[places.v_row(b, h, j)..][..places.value_dim];
                values.fill(if j % 2 == 0 { f32::NAN } else { f32::INFINITY });
            }
        }
    }

    /// What the problem plants where queries see it.
    fn poison(&mut self, problem: &Problem, places: &Places, allowed: &[Vec<bool>]) {
        if matches!(problem.poison, Poison::Abyss | Poison::Peak) {
            for b in 0..places.batch {
                for h in 0..places.heads {
                    (0..places.item_queries[b] as usize).for_each(|i| self.q[places.q_row(b, h, i)] = 1.0);
                }
            }
        }
        if problem.poison == Poison::Abyss {
            for [b, h, j] in places.all_keys().filter(|&[b, h, j]| (b, h) == (0, 0) || j < 64) {
                self.k[places.k_row(b, h, j)] = f32::NEG_INFINITY;
            }
        }
        let Some(b) = (0..places.batch).find(|&b| allowed[b].contains(&true)) else { return };
        let dims = places.dims(b);
        let at = match problem.poison {
            Poison::Peak => allowed[b].iter().position(|&allowed| allowed),
            Poison::Middle => {
                let rows = &allowed[b][..(dims.queries / 2 + 1) * dims.keys];
                rows.iter().rposition(|&allowed| allowed)
            }
            _ => allowed[b].iter().rposition(|&allowed| allowed),
        };
        let at = at.unwrap_or(0);
        let (row, j) = (at / dims.keys, at % dims.keys);
        let h = row / dims.queries / problem.heads_per_key as usize;
        match problem.poison {
            Poison::Hidden | Poison::Abyss => {}
            Poison::Peak => self.k[places.k_row(b, h, j)] = f32::INFINITY,
            Poison::Key => self.k[places.k_row(b, h, j) + places.head_dim / 2] = f32::NAN,
            Poison::Value | Poison::Middle => {
                let bad = if problem.seed.is_multiple_of(2) { f32::NAN } else { f32::INFINITY };
                self.v[places.v_row(b, h, j) + places.value_dim / 2] = bad;
            }
        }
    }
}

/// A mask as the problem has one.
struct Masked {
    /// 0 for none, 1 for boolean, 2 for float.
    kind: u32,
    words: Vec<u32>,
    /// With axes of 1.
    shape: [usize; 4],
    strides: [usize; 4],
}

impl Masked {
    fn new(problem: &Problem, places: &Places, spread: &Spread, inputs: &mut Inputs) -> Self {
        let axes = [places.batch, places.heads, places.queries, places.keys];
        let (kind, own_axes) = match problem.mask {
            None => (0, [false; 4]),
            Some((float, axes)) => (1 + u32::from(float), axes),
        };
        let (mut shape, mut strides, mut elements) = ([1; 4], [0; 4], 1);
        for axis in (0..4).rev().filter(|&axis| own_axes[axis]) {
            shape[axis] = axes[axis];
            strides[axis] = elements;
            elements *= axes[axis];
        }
        let keep = inputs.mask(elements);
        let mut added = inputs.values(elements, 2.0);
        if spread.whole {
            added.iter_mut().for_each(|value| *value = value.round());
        }
        let words = match kind {
            0 => vec![0],
            1 => keep,
            _ => {
                let columns = shape[3];
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
        Self { kind, words, shape, strides }
    }

    /// An item's float mask `[H, Lq, Lk]` with the key padding mask in it, for the oracle.
    fn of_item(&self, problem: &Problem, places: &Places, item: usize, key_mask: &[u32]) -> Vec<f32> {
        let dims = places.dims(item);
        let word = |at: [usize; 4]| {
            self.words[at.iter().zip(self.strides).map(|(at, stride)| at * stride).sum::<usize>()]
        };
        super::sizes::indices([1, places.heads, dims.queries, dims.keys])
            .map(|[_, h, i, j]| match self.kind {
                _ if problem.padding == Padding::Mask && key_mask[item * places.keys + j] == 0 => {
                    f32::NEG_INFINITY
                }
                1 if word([item, h, i, j]) == 0 => f32::NEG_INFINITY,
                2 => f32::from_bits(word([item, h, i, j])),
                _ => 0.0,
            })
            .collect()
    }
}

/// The oracle's answers.
struct Answers {
    output: Vec<Option<f64>>,
    sums: Vec<Option<f64>>,
    items: Vec<Scores>,
    largest_logit: f64,
}

impl Answers {
    fn new<'a>(
        problem: &Problem,
        places: &Places,
        rows: &Rows,
        options: impl Fn(usize) -> Options<'a>,
    ) -> Self {
        let sums = match places.packed {
            true => places.heads * places.sums_head,
            false => places.batch * places.sums_batch,
        };
        let mut answers = Self {
            output: vec![None; places.output.elements],
            sums: vec![None; sums],
            items: Vec::new(),
            largest_logit: 0.0,
        };
        (0..places.batch).for_each(|item| answers.add(problem, places, rows, item, options(item)));
        answers
    }

    fn add(&mut self, problem: &Problem, places: &Places, rows: &Rows, item: usize, options: Options<'_>) {
        let dims = places.dims(item);
        let Dims { heads, heads_kv, queries, keys, head_dim, value_dim, .. } = dims;
        let mut q = dense(&rows.q, [heads, queries, head_dim], |h, i| places.q_row(item, h, i));
        if problem.half_queries {
            q.iter_mut().for_each(|value| *value = rounded_to_f16(*value));
        }
        let k = dense(&rows.k, [heads_kv, keys, head_dim], |h, j| places.k_row(item, h, j));
        let v = dense(&rows.v, [heads_kv, keys, value_dim], |h, j| places.v_row(item, h, j));
        let products = oracle::scores(
            View::new(&q, Strided::heads_first(heads, queries, head_dim)),
            View::new(&k, Strided::heads_first(heads_kv, keys, head_dim)),
            dims,
        );
        let stages = [0, 1, 2, 3].map(|stage| oracle::stage(&products, stage, dims, options));
        // Those that a mask of ±3.4e38 has moved are rounded alike everywhere, since nothing is left of what was added to it.
        let counted = stages[2].iter().copied().filter(|logit| logit.abs() < 1e30);
        let counted = largest(&counted.collect::<Vec<f64>>());
        self.largest_logit = self.largest_logit.max(largest(&stages[0])).max(counted);
        let allowed = oracle::allowed(dims, options);
        let view = View::new(&v, Strided::heads_first(heads_kv, keys, value_dim));
        let values = oracle::weighted_values(&stages[3], view, Some(&allowed), dims);
        let log_sums = oracle::log_sum_exp(&products, dims, options);
        for h in 0..heads {
            for i in 0..queries {
                let row = h * queries + i;
                let to = self.output[places.output_row(item, h, i)..].iter_mut();
                to.zip(&values[row * value_dim..][..value_dim]).for_each(|(to, from)| *to = Some(*from));
                self.sums[places.sums_place(item, h, i)] = Some(log_sums[row]);
            }
        }
        self.items.push(Scores { dims, products, stages, allowed, values: v });
    }
}

/// `[heads, rows, columns]` of rows that lie anywhere.
fn dense(
    data: &[f32],
    [heads, rows, columns]: [usize; 3],
    place: impl Fn(usize, usize) -> usize,
) -> Vec<f32> {
    let mut dense = Vec::with_capacity(heads * rows * columns);
    for h in 0..heads {
        for i in 0..rows {
            dense.extend_from_slice(&data[place(h, i)..][..columns]);
        }
    }
    dense
}

/// What rounding may do.
struct Floors {
    output: f64,
    logits: f64,
    weights: f64,
    sums: f64,
}

impl Floors {
    /// A logit errs by its product's rounding, and by that of each step after it; a weight by the logits' errors and
    /// by that of exp, 3 + 2·|x| units in the last place over what differs from the maximum.
    fn new(places: &Places, whole: bool, answers: &Answers) -> Self {
        let eps = f64::from(f32::EPSILON);
        let largest_logit = answers.largest_logit;
        let of_products = if whole { 0.0 } else { rounding_floor(places.head_dim, largest_logit) };
        let logits = of_products + 2.0 * eps * largest_logit;
        let apart = if whole { 20.0 } else { (2.0 * largest_logit).min(40.0) };
        let of_weights = (if whole { 0.0 } else { logits }) + (3.0 + 2.0 * apart) * eps;
        let of_values = largest(&answers.output.iter().copied().flatten().collect::<Vec<_>>()).max(1.0);
        Self {
            output: rounding_floor(places.keys, of_values) + of_weights * of_values,
            logits,
            weights: of_weights + rounding_floor(places.keys, 1.0),
            // The logarithm takes the sum's relative error, and rounds the logits' magnitude.
            sums: logits + of_weights + rounding_floor(places.keys, 1.0),
        }
    }
}

/// The tables of one binding, and where they stand in it.
struct Items {
    words: Vec<u32>,
    sequences_at: u32,
    pages_at: u32,
}

impl Items {
    /// Key lengths or a padding mask, then running sums or pages.
    fn new(problem: &Problem, places: &Places, lengths: &[u32], key_mask: Vec<u32>) -> Self {
        let mut words = match problem.padding {
            Padding::None => Vec::new(),
            Padding::Lengths => lengths.to_vec(),
            Padding::Mask => key_mask,
        };
        let sequences_at = if places.packed { words.len() as u32 } else { NONE };
        if places.packed {
            words.extend(places.sequences.iter().flatten());
        }
        let pages_at = if places.paged { words.len() as u32 } else { NONE };
        words.extend(&places.table);
        if words.is_empty() {
            words.push(0);
        }
        Self { words, sequences_at, pages_at }
    }
}

/// Where the heads' numbers stand that are there, one behind the other, and what comes behind them.
fn heads_at(there: PerHead<bool>, heads: u32) -> (PerHead<u32>, u32) {
    let mut next = 0;
    let at = there.map(|_, there| {
        if !there {
            return NONE;
        }
        next += heads;
        next - heads
    });
    (at, next)
}

/// All but what a dispatch adds.
fn parameters(problem: &Problem, places: &Places, scale: f32, mask: &Masked, items: &Items) -> Parameters {
    let of = |size: usize| size as u32;
    let (per_head_at, relative_at) = heads_at(problem.per_head, problem.heads());
    Parameters {
        batches: problem.batch,
        heads: problem.heads(),
        heads_per_key: problem.heads_per_key,
        query_length: problem.queries,
        key_length: problem.keys,
        head_dim: problem.head_dim,
        value_dim: problem.value_dim,
        q_offset: of(places.q.at.offset),
        q_batch: of(places.q.at.batch),
        q_head: of(places.q.at.head),
        q_row: of(places.q.at.row),
        k_offset: of(places.k.at.offset),
        k_batch: of(places.k.at.batch),
        k_head: of(places.k.at.head),
        k_row: of(places.k.at.row),
        v_offset: of(places.v.at.offset),
        v_batch: of(places.v.at.batch),
        v_head: of(places.v.at.head),
        v_row: of(places.v.at.row),
        output_offset: of(places.output.at.offset),
        output_batch: of(places.output.at.batch),
        output_head: of(places.output.at.head),
        output_row: of(places.output.at.row),
        sums_batch: of(places.sums_batch),
        sums_head: of(places.sums_head),
        has_sums: 1,
        scale,
        softcap: problem.softcap,
        aligned_to_end: u32::from(problem.position == Position::End),
        shift: match problem.position {
            Position::Offset(offset) => offset as u32,
            Position::Start | Position::End => 0,
        },
        left: problem.window[0].unwrap_or(NONE),
        right: if problem.causal { 0 } else { problem.window[1].unwrap_or(NONE) },
        key_padding: match problem.padding {
            Padding::None => 0,
            Padding::Lengths => 1,
            Padding::Mask => 2,
        },
        sequences_at: items.sequences_at,
        pages_at: items.pages_at,
        pages: of(places.pages),
        page_size: of(places.page_size),
        page_count: of(places.page_count),
        mask_kind: mask.kind,
        mask_batch: of(mask.strides[0]),
        mask_head: of(mask.strides[1]),
        mask_row: of(mask.strides[2]),
        mask_column: of(mask.strides[3]),
        relative_at: if problem.relative.is_some() { relative_at } else { NONE },
        relative_reach: problem.relative.unwrap_or(0),
        ..Parameters::new()
    }
    .with_per_head(per_head_at)
}

impl Data {
    fn new(problem: &Problem) -> Self {
        let mut inputs = Inputs::new(problem.seed);
        let places = Places::new(problem, &mut inputs);
        let [batch, keys] = [places.batch, places.keys];
        // Some of them 0, and of what is no packed item some past the end.
        let lengths = inputs.below(batch, problem.keys + 3);
        let key_mask = inputs.mask(batch * keys);
        let spread = Spread::new(problem);
        let mut rows = Rows::new(problem, &places, &spread, &mut inputs);
        let numbers = problem.head_numbers(&mut inputs);
        let there = problem.per_head.entries();
        let per_head = numbers.map(|name, numbers| there.contains(&(name, true)).then_some(numbers));
        let relative = relative_biases(problem);
        let mask = Masked::new(problem, &places, &spread, &mut inputs);

        // Each item by the oracle, first for what it may see, then with NaN planted.
        let masks: Vec<Vec<f32>> =
            (0..batch).map(|item| mask.of_item(problem, &places, item, &key_mask)).collect();
        let options = |item: usize| {
            options_of(
                problem,
                spread.scale,
                places.dims(item),
                per_head.as_ref().map(|_, numbers| numbers.as_deref()),
                [&masks[item], &relative],
                &lengths[item..=item],
            )
        };
        let allowed: Vec<Vec<bool>> =
            (0..batch).map(|item| oracle::allowed(places.dims(item), options(item))).collect();
        rows.hide(problem, &places, &allowed);
        rows.poison(problem, &places, &allowed);
        let answers = Answers::new(problem, &places, &rows, options);
        let floors = Floors::new(&places, spread.whole, &answers);

        let items = Items::new(problem, &places, &lengths, key_mask);
        let parameters = parameters(problem, &places, spread.scale, &mask, &items);
        let stored = |values: &[f32]| -> Vec<u32> {
            if problem.half {
                crate::tensor::pack_f16(values)
            } else {
                values.iter().map(|value| value.to_bits()).collect()
            }
        };
        Self {
            k: stored(&rows.k),
            v: stored(&rows.v),
            elements: [rows.k.len(), rows.v.len()],
            q: rows.q,
            mask: mask.words,
            mask_shape: mask.shape,
            items: items.words,
            lengths,
            sequences: places.sequences,
            table: places.table,
            per_head,
            relative,
            parameters,
            output: answers.output,
            sums: answers.sums,
            items_scores: answers.items,
            floor: floors.output,
            logit_floor: floors.logits,
            weights_floor: floors.weights,
            sums_floor: floors.sums,
        }
    }

    /// The heads' numbers, then biases by distance, as far as they are there.
    pub fn head_terms(&self) -> Vec<f32> {
        let mut terms = Vec::new();
        for (_, numbers) in self.per_head.as_ref().entries() {
            terms.extend(numbers.iter().flatten());
        }
        terms.extend(&self.relative);
        if terms.is_empty() { vec![0.0] } else { terms }
    }
}

/// `[H, 2 · reach + 1]`.
fn relative_biases(problem: &Problem) -> Vec<f32> {
    let Some(reach) = problem.relative else { return Vec::new() };
    let count = problem.heads() as usize * (2 * reach as usize + 1);
    let mut biases = Inputs::new(problem.seed ^ 0xd157).values(count, problem.spread.min(4.0));
    if problem.low != Low::Infinite {
        biases.iter_mut().step_by(3).for_each(|bias| *bias = f32::MIN);
    }
    biases
}

fn options_of<'a>(
    problem: &Problem,
    scale: f32,
    dims: Dims,
    per_head: PerHead<Option<&'a [f32]>>,
    [mask, relative]: [&'a [f32]; 2],
    lengths: &'a [u32],
) -> Options<'a> {
    let position = match problem.position {
        Position::Start => Causal::TopLeft,
        Position::End => Causal::BottomRight,
        Position::Offset(offset) => Causal::Offset(offset as isize),
    };
    Options {
        scale: scale.into(),
        softcap: problem.softcap.into(),
        causal: if problem.causal { position } else { Causal::None },
        position,
        window: problem.window.map(|bound| bound.map(|bound| bound as usize)),
        per_head,
        relative: problem.relative.map(|_| relative),
        key_lengths: (problem.padding == Padding::Lengths).then_some(lengths),
        mask: Mask::Float { data: mask, strides: [0, dims.queries * dims.keys, dims.keys, 1] },
    }
}
