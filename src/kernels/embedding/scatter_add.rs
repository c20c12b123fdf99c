//! Rows added to rows of a table: the gradient of a gather.
//!
//! y\[v, :\] += scale · Σ dy\[r, :\] over the rows r of segment v. f32; dy and y are dense rows of `columns`. No atomics: the host
//! sorts rows by where they go, `order` is `[rows]` in that order, and each of `segments` `[segments, 3]` is a run of it with one
//! destination: its first place, the one behind its last, and the row of y. Segments have destinations of their own, and at most
//! `LONGEST` rows; the op adds up longer ones in levels. So a sum has one order, and the same inputs give the same bits.
//!
//! Rows of y without a segment stay as they are.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::elementwise;
use crate::reference;
use crate::reference::rounding_floor;

parameters! {
    /// Sizes and the scale.
    pub struct Parameters {
        /// Segments.
        pub segments: u32,
        /// Columns of dy and of y.
        pub columns: u32,
        /// The factor of what is added.
        pub scale: f32,
    }
}

/// The kernel.
pub struct ScatterAdd;

/// Rows that a segment has at most: what one invocation adds.
pub(crate) const LONGEST: usize = 256;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] =
    &[Binding::read("segments"), Binding::read("order"), Binding::read("dy"), Binding::update("y")];

impl Kernel for ScatterAdd {
    fn about(&self) -> About {
        const { About::ours("embedding/scatter_add", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        elementwise::workgroups(p.segments.saturating_mul(p.columns), per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (segments, order, dy) = (arguments.words(0), arguments.words(1), arguments.f32(2));
        let (y, columns) = (arguments.f32_mut(3), p.columns as usize);
        let mut sums = vec![0.0; columns];
        for segment in segments.chunks_exact(3).take(p.segments as usize) {
            let [first, end, destination] = [segment[0], segment[1], segment[2]].map(|word| word as usize);
            sums.fill(0.0);
            for &row in &order[first..end] {
                let row = &dy[row as usize * columns..];
                sums.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
            }
            let row = &mut y[destination * columns..];
            row.iter_mut().zip(&sums).for_each(|(y, sum)| *y += p.scale * sum);
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.segments) * u64::from(p.columns);
        // How long the segments are, the parameters do not say: one row each at least.
        Cost { flops: 3 * elements, bytes: 12 * elements, iterations: LONGEST as u64 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Rows of dy, columns, rows of y.
        let mut sizes = vec![(1, 1, 1), (5, 7, 20), (70, 64, 9), (300, 65, 2), (9, 384, 100), (500, 3, 200)];
        if depth == Depth::Full {
            for rows in [2, 63, 65, 256] {
                sizes.extend([2, 32, 33, 127, 768, 1025].map(|columns| (rows, columns, 50)));
            }
            // Past 65,535 workgroups of 64 elements.
            sizes.push((5000, 1025, 40_000));
        }
        sizes.into_iter().map(case).collect()
    }
}

/// Rows with their destinations, sorted by these, as segments and their order: all of each destination, [`LONGEST`] at most.
pub(crate) fn segments(destinations: &[(u32, u32)]) -> [Vec<u32>; 2] {
    let mut segments = Vec::new();
    let mut first = 0;
    for run in destinations.chunk_by(|a, b| a.0 == b.0) {
        debug_assert!(run.len() <= LONGEST, "a segment of {} rows", run.len());
        let end = first + run.len() as u32;
        segments.extend([first, end, run[0].0]);
        first = end;
    }
    [segments, destinations.iter().map(|(_, row)| *row).collect()]
}

fn case((rows, columns, table): (usize, usize, usize)) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64);
    let dy = inputs.values(rows * columns, 1.0);
    let before = inputs.values(table * columns, 1.0);
    let scale = inputs.values(1, 2.0)[0];
    let mut ids = inputs.below(rows, table as u32);
    if rows > LONGEST {
        // One as long as can be.
        ids.fill(0);
        ids[LONGEST..].fill(table as u32 - 1);
    }
    let expected = reference::embedding::scatter_add(&ids, &dy, columns, scale, &before);
    let touched = |row: usize| ids.contains(&(row as u32));
    let expected = expected.into_iter().enumerate();
    let expected = expected.map(|(place, value)| touched(place / columns).then_some(value)).collect();
    let mut destinations: Vec<(u32, u32)> = ids.iter().copied().zip(0..).collect();
    destinations.sort_unstable();
    let [segments, mut order] = segments(&destinations);
    let longest = segments.chunks_exact(3).map(|segment| segment[1] - segment[0]).max().unwrap_or(0) as usize;
    let parameters = Parameters { segments: segments.len() as u32 / 3, columns: columns as u32, scale };
    // Behind the order lies a row that no segment has: a fault that takes it for a segment's end is seen at once, not after 2³¹ rows.
    order.push(0);
    // Behind the segments lies one that is none of them.
    let mut listed = segments;
    listed.extend((0..table).find(|&row| !touched(row)).into_iter().flat_map(|row| [0, 1, row as u32]));
    Case {
        label: format!("[{rows}, {columns}] into {table} rows"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // Terms of size 1, whose partial sums are about the root of their number, and the summand that was there.
        floor: rounding_floor(longest, (longest as f64).sqrt() * f64::from(scale.abs()))
            + rounding_floor(2, 8.0),
        arguments: vec![
            CaseArgument::Words(listed),
            CaseArgument::Words(order),
            CaseArgument::F32(dy),
            CaseArgument::update(before, expected),
        ],
    }
}
