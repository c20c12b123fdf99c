//! Rotary position embedding.
//!
//! (yₐ, y_b) = (cos · xₐ − sin · x_b, sin · xₐ + cos · x_b) for each pair (a, b) among the first `rotary_dim` columns of a
//! head (Su et al. 2021, equation 34): neighbours, or one of each half. Columns behind them are copied. f32; y is
//! dense, heads first or rows first, and x anywhere, the columns of a head side by side: in the rows of a packed projection, say. The
//! tables are `[positions, rotary_dim / 2]`, read by each token's position or, without positions, by the token; a position past
//! them reads their last row. A NaN or an infinity stays in its pair.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::elementwise;
use crate::reference::rotary as oracle;
use crate::reference::rounding_floor;

parameters! {
    /// Sizes, and how x and y lie.
    pub struct Parameters {
        /// Elements of y.
        pub elements: u32,
        /// Heads.
        pub heads: u32,
        /// Tokens of a batch item.
        pub length: u32,
        /// Columns of a head.
        pub head_dim: u32,
        /// Those of them that are rotated, an even number.
        pub rotary_dim: u32,
        /// 1 if a pair is two neighbours, 0 if it is one column of each half.
        pub interleaved: u32,
        /// y: 1 for `[batch, length, heads, head_dim]`, 0 for `[batch, heads, length, head_dim]`.
        pub rows_first: u32,
        /// 1 if `positions` tells each token's row of the tables, 0 if each token has a row of its own.
        pub has_positions: u32,
        /// Rows of the tables.
        pub table_rows: u32,
        /// The first element of x.
        pub x_first: u32,
        /// From one batch item of x to the next.
        pub x_batch: u32,
        /// From one head to the next.
        pub x_head: u32,
        /// From one token to the next.
        pub x_token: u32,
    }
}

/// The kernel.
pub struct RotaryEmbedding;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("x"),
    Binding::read("cos_table"),
    Binding::read("sin_table"),
    Binding::read("positions"),
    Binding::write("y"),
];

impl Kernel for RotaryEmbedding {
    fn about(&self) -> About {
        const { About::ours("position/rotary_embedding", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        elementwise::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (cos, sin) = (arguments.f32(1), arguments.f32(2));
        let (positions, y) = (arguments.words(3), arguments.f32_mut(4));
        let [heads, length, half] = [p.heads, p.length, p.rotary_dim / 2].map(|size| size as usize);
        let columns = (p.head_dim as usize).max(1);
        let y = &mut y[..p.elements as usize];
        for (row, y) in y.chunks_exact_mut(columns).enumerate() {
            let (head, token) = match p.rows_first {
                0 => (row / length % heads, row / (heads * length) * length + row % length),
                _ => (row % heads, row / heads),
            };
            let steps = [(token / length, p.x_batch), (head, p.x_head), (token % length, p.x_token)];
            let x =
                steps.iter().fold(p.x_first as usize, |place, (index, step)| place + index * *step as usize);
            let x = &arguments.f32(0)[x..][..columns];
            let position = match p.has_positions {
                0 => token,
                _ => positions[token].min(p.table_rows - 1) as usize,
            };
            y.copy_from_slice(x);
            for pair in 0..half {
                let [a, b] = if p.interleaved == 0 { [pair, pair + half] } else { [2 * pair, 2 * pair + 1] };
                let (cos, sin) = (cos[position * half + pair], sin[position * half + pair]);
                y[a] = x[a] * cos - x[b] * sin;
                y[b] = x[b] * cos + x[a] * sin;
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.elements);
        let rows = elements / u64::from(p.head_dim.max(1)) / u64::from(p.heads.max(1));
        let tables = rows * u64::from(p.rotary_dim + p.has_positions);
        Cost { flops: 3 * elements, bytes: 4 * (2 * elements + tables), iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Batch, heads, length, head_dim, rotary_dim.
        let mut sizes =
            vec![[1, 1, 1, 2, 2], [2, 3, 5, 8, 8], [2, 3, 5, 8, 4], [1, 2, 7, 33, 6], [2, 1, 3, 5, 0]];
        if depth == Depth::Full {
            sizes.extend([
                [3, 12, 65, 64, 64],
                [1, 32, 128, 128, 128],
                [2, 4, 33, 80, 20],
                [1, 8, 4100, 128, 96],
            ]);
        }
        sizes.into_iter().flat_map(|sizes| (0..16).map(move |options| case(sizes, options))).collect()
    }
}

fn case(sizes: [usize; 5], options: u32) -> Case {
    let [batch, heads, length, head_dim, rotary_dim] = sizes;
    let [interleaved, rows_first, has_positions, placed] = [1, 2, 4, 8].map(|bit| options & bit != 0);
    let mut inputs = Inputs::new((length * 1009 + head_dim) as u64 ^ u64::from(options) << 32);
    let mut x = inputs.values(batch * heads * length * head_dim, 1.0);
    if options == 3 {
        // It and its partner, and no other.
        x[head_dim - 1] = f32::NAN;
    }
    let tokens = batch * length;
    let rows = if has_positions { tokens + 5 } else { tokens };
    let angles = inputs.values(rows * rotary_dim / 2, 2.0);
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
    let mut positions = inputs.below(tokens, rows as u32);
    let layout = oracle::Layout { heads, length, head_dim, rotary_dim, interleaved, rows_first };
    let rows_of = has_positions.then_some(&positions[..]);
    let expected = oracle::rotary_embedding(&x, &cos, &sin, rows_of, layout);
    // Past the tables, the last of which is meant.
    for position in &mut positions {
        if *position as usize == rows - 1 {
            *position = [rows as u32, u32::MAX][tokens % 2];
        }
    }
    // Where it lies, x has strides of its own, and NaN around it: rows first where y is heads first, and the other way round.
    let steps = match (placed, rows_first) {
        (false, true) => [length * heads * head_dim, head_dim, heads * head_dim],
        (false, false) => [heads * length * head_dim, length * head_dim, head_dim],
        (true, false) => [length * heads * (head_dim + 3) + 1, head_dim + 3, heads * (head_dim + 3)],
        (true, true) => [heads * length * (head_dim + 2) + 5, length * (head_dim + 2), head_dim + 2],
    };
    let x_first = if placed { 3 } else { 0 };
    let elements = x.len() as u32;
    let mut stored = vec![f32::NAN; if placed { x_first + batch * steps[0] } else { x.len() }];
    for (row, values) in x.chunks(head_dim).enumerate() {
        let (item, head, token) = match rows_first {
            true => (row / (heads * length), row % heads, row / heads % length),
            false => (row / (heads * length), row / length % heads, row % length),
        };
        let at = x_first + item * steps[0] + head * steps[1] + token * steps[2];
        stored[at..at + head_dim].copy_from_slice(values);
    }
    let [x_batch, x_head, x_token] = steps.map(|step| step as u32);
    let parameters = Parameters {
        elements,
        heads: heads as u32,
        length: length as u32,
        head_dim: head_dim as u32,
        rotary_dim: rotary_dim as u32,
        interleaved: interleaved.into(),
        rows_first: rows_first.into(),
        has_positions: has_positions.into(),
        table_rows: rows as u32,
        x_first: x_first as u32,
        x_batch,
        x_head,
        x_token,
    };
    let names = [
        (interleaved, " interleaved"),
        (rows_first, " rows first"),
        (has_positions, " positions"),
        (placed, " placed"),
    ];
    let names: String = names.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    Case {
        label: format!("B={batch} H={heads} L={length} D={head_dim} rotated={rotary_dim}{names}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // A sum of two products of at most 6.
        floor: rounding_floor(2, 6.0),
        arguments: vec![
            CaseArgument::F32(stored),
            CaseArgument::F32(cos),
            CaseArgument::F32(sin),
            CaseArgument::Words(positions),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
