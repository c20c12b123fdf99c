//! Cross-entropy of each row's softmax and its label.
//!
//! With the label y and smoothing ε of V classes the target is q_j = ε/V + (1 − ε)·\[j = y\] (Szegedy et al. 2016, section 7),
//! and lossᵣ = fᵣ · Σ q_j·(log Σ exp(x) − x_j) = fᵣ · (log Σ exp(x) − (1 − ε)·x_y − ε/V · Σ x_j). f32; x is dense
//! `[rows, columns]`, labels and factors are `[rows]`. The factor holds a row's weight and what the sum is divided by. A row whose
//! label is 2³² − 1 is ignored: nothing of it is read, and its loss is 0.
//!
//! `statistics` is `[rows, 3]`, for `loss/cross_entropy_gradient`: m = max x, Σ exp(x_j − m) over all j but y, and over all. Where y
//! is the largest by far, the loss is log(1 + the others), by its series; nothing of it is lost beside 1.
//!
//! A NaN, +∞ or −∞ alone make a row's loss and statistics NaN. Beside a finite element −∞ has a probability of 0: an infinite
//! loss where the label is, or with smoothing.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::loss::{IGNORED, STATISTICS};
use crate::kernels::{parallel, reduce};
use crate::reference::loss as oracle;
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes and smoothing.
    pub struct Parameters {
        /// Rows.
        pub rows: u32,
        /// Classes.
        pub columns: u32,
        /// ε: what of the target is spread over all classes.
        pub smoothing: f32,
    }
}

/// The kernel.
pub struct CrossEntropy;

const BINDINGS: &[Binding] = &[
    Binding::read("x"),
    Binding::read("labels"),
    Binding::read("factors"),
    Binding::write("losses"),
    Binding::write("statistics"),
];

impl Kernel for CrossEntropy {
    fn about(&self) -> About {
        const { About::ours("loss/cross_entropy", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, labels, factors) = (arguments.f32(0), arguments.words(1), arguments.f32(2));
        let (losses, statistics) = (arguments.f32_mut(3), arguments.f32_mut(4));
        let (rows, columns) = (p.rows as usize, p.columns as usize);
        let operations = 20 * rows as u64 * columns as u64;
        let results = parallel::map(rows, operations, |row| {
            if labels[row] == IGNORED {
                return (0.0, [0.0; STATISTICS]);
            }
            let (loss, statistics) =
                of_row(&x[row * columns..(row + 1) * columns], labels[row] as usize, p.smoothing);
            (factors[row] * loss, statistics)
        });
        let places = losses.iter_mut().zip(statistics.chunks_exact_mut(STATISTICS));
        for ((loss, statistics), (of_row, kept)) in places.zip(results) {
            *loss = of_row;
            statistics.copy_from_slice(&kept);
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        Cost {
            flops: 8 * elements,
            bytes: 4 * (elements + 6 * u64::from(p.rows)),
            iterations: reduce::iterations(variant, p.columns.into(), 2, 6),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1), (3, 5), (70, 64), (200, 3), (7, 384), (3, 1025)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 65, 300] {
                sizes.extend([2, 31, 32, 33, 127, 129, 4096].map(|columns| (rows, columns)));
            }
        }
        let mut cases = Vec::new();
        for (index, size) in sizes.into_iter().enumerate() {
            let (smoothing, spread) = ([0.0, 0.1, 0.5][index % 3], [1.0, 30.0][index % 2]);
            cases.push(case(size, smoothing, Kind::Ordinary(spread)));
        }
        for smoothing in [0.0, 0.25] {
            cases.push(case((17, 67), smoothing, Kind::Strange));
        }
        cases.extend([0.031, 1e-7].map(|others| case((65, 33), 0.0, Kind::Confident(others))));
        cases.push(case((9, 40), 1.0, Kind::Ordinary(1.0)));
        cases
    }
}

/// The loss of a row and its statistics.
fn of_row(x: &[f32], label: usize, smoothing: f32) -> (f32, [f32; STATISTICS]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let smoothed = smoothing / x.len() as f32;
    let (mut others, mut below, mut of_label) = (0.0, 0.0, 0.0);
    for (column, &value) in x.iter().enumerate() {
        let weight = (value - largest).exp();
        if column == label {
            of_label = weight;
        } else {
            others += weight;
        }
        let part = if column == label { smoothed + (1.0 - smoothing) } else { smoothed };
        // Where no part of the target is, −∞ is not infinitely far.
        if part > 0.0 {
            below += part * (largest - value);
        }
    }
    let sum: f32 = others + of_label;
    if sum.is_nan() {
        return (f32::NAN, [f32::NAN; STATISTICS]);
    }
    let log = if others < 0.5 { others.ln_1p() } else { sum.ln() };
    (below + log, [largest, others, sum])
}

/// What is in a case's rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Scores of that spread.
    Ordinary(f32),
    /// The label's is the largest, and the others together have about that share of it.
    Confident(f32),
    /// Infinities, NaN, and numbers at the ends of f32's range.
    Strange,
}

/// What both kernels' cases have: x, the labels and the factors, some of them ignored.
pub(super) fn inputs(
    (rows, columns): (usize, usize),
    smoothing: f32,
    kind: Kind,
) -> (Vec<f32>, Vec<u32>, Vec<f32>) {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64 + u64::from(smoothing.to_bits()));
    let spread = if let Kind::Ordinary(spread) = kind { spread } else { 1.0 };
    let mut x = inputs.values(rows * columns, spread);
    let mut labels = inputs.below(rows, columns as u32);
    let mut factors: Vec<f32> = inputs.values(rows, 1.0).iter().map(|factor| factor.abs() + 0.125).collect();
    match kind {
        Kind::Ordinary(_) => {}
        Kind::Confident(others) => {
            // The others alike but for a tenth, together that share.
            let each = (others / columns as f32).ln();
            for (row, x) in x.chunks_exact_mut(columns).enumerate() {
                x.iter_mut().for_each(|x| *x = each - 0.1 * x.abs());
                x[labels[row] as usize] = 0.0;
            }
        }
        Kind::Strange => {
            let infinity = f32::INFINITY;
            // −∞ beside the label, at the label, alone; +∞; NaN at the label, beside it, at the end.
            (labels[1], x[columns]) = (3, -infinity);
            (labels[2], x[2 * columns + 4]) = (4, -infinity);
            x[3 * columns..4 * columns].fill(-infinity);
            x[4 * columns + 2] = infinity;
            (labels[5], x[5 * columns + 1]) = (1, f32::NAN);
            (labels[6], x[6 * columns + 1]) = (2, -f32::NAN);
            x[8 * columns - 1] = f32::NAN;
            // A label that is the only finite one, and one that is +∞.
            x[8 * columns..9 * columns].fill(-infinity);
            (labels[8], x[8 * columns + 66]) = (66, 2.0);
            (labels[9], x[9 * columns + 5]) = (5, infinity);
            // Rows of equal numbers at the ends of the range.
            x[10 * columns..11 * columns].fill(f32::MIN);
            x[11 * columns..12 * columns].fill(f32::MAX);
            x[12 * columns..13 * columns].fill(-3.4e38);
            // Behind it −∞ and the lowest number.
            x[13 * columns..14 * columns].fill(-infinity);
            x[13 * columns..13 * columns + 2].fill(f32::MIN);
            labels[13] = 1;
            // Behind the last row's last element nothing is written.
            x[(rows - 1) * columns + 3] = f32::NAN;
        }
    }
    // Of ignored rows nothing counts.
    for row in (2..rows).filter(|row| row % 7 == 0) {
        (labels[row], factors[row]) = (IGNORED, f32::NAN);
        x[row * columns..(row + 1) * columns].fill(if row % 2 == 0 { f32::NAN } else { f32::INFINITY });
    }
    (x, labels, factors)
}

fn case((rows, columns): (usize, usize), smoothing: f32, kind: Kind) -> Case {
    let (x, labels, factors) = inputs((rows, columns), smoothing, kind);
    let expected = oracle::cross_entropy(&x, columns, &labels, &factors, smoothing.into());
    let statistics = oracle::statistics(&x, columns, &labels);
    let parameters = Parameters { rows: rows as u32, columns: columns as u32, smoothing };
    // exp is good to 3 + 2·|x| units in the last place in WGSL, log to 2⁻²¹ near 1 and to 3 units elsewhere; where the others are few
    // all of it is relative to them.
    let units = f64::from(f32::EPSILON);
    let of_exp = (3.0 + 2.0 * (columns as f64).ln()) * units;
    let log = match kind {
        Kind::Confident(others) => (32.0 * units + rounding_floor(columns, 1.0)) * f64::from(others),
        _ => of_exp + f64::from(2_f32.powi(-21)) + rounding_floor(columns, 1.0 / (columns as f64).sqrt()),
    };
    let of_sum = rounding_floor(8, largest(&expected));
    let factor = factors.iter().fold(0.0, |largest: f64, &factor| largest.max(factor.into()));
    Case {
        label: format!("[{rows}, {columns}] ε {smoothing}, {kind:?}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: factor * log + of_sum,
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::Words(labels),
            CaseArgument::F32(factors),
            CaseArgument::output(expected.iter().copied().map(Some).collect()),
            // Sums of as many as columns exponentials at most.
            CaseArgument::output_within(
                statistics.iter().copied().map(Some).collect(),
                match kind {
                    Kind::Strange => rounding_floor(columns, columns as f64) + of_exp * columns as f64,
                    _ => (rounding_floor(columns, 1.0) + of_exp) * sums(&statistics),
                },
            ),
        ],
    }
}

/// The largest sum among the statistics.
fn sums(statistics: &[f64]) -> f64 {
    let sums = statistics.chunks_exact(STATISTICS).map(|of_row| of_row[2]);
    sums.filter(|sum| sum.is_finite()).fold(0.0, f64::max)
}
