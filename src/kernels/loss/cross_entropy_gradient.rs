//! The gradient of `loss/cross_entropy` by its logits.
//!
//! dx\[r, j\] = u · fᵣ · (p_j − q_j), p = softmax(xᵣ), q_j = ε/V + (1 − ε)·\[j = y\]: of −q_j·log p_j summed over j, by the chain
//! rule. u is a scalar in a buffer: the gradient of whatever comes of the loss. p_y − 1 is −(Σ_{j≠y} exp(x_j − m)) / Σ exp(x_j − m),
//! by the statistics of `loss/cross_entropy`, so that it keeps its digits where p_y is all but 1 (q_y is 1 there without
//! smoothing). f32; x and dx are dense `[rows, columns]`.
//!
//! Ignored rows are 0, whatever x holds there. A row whose statistics are NaN is NaN.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::loss::cross_entropy::{Kind, inputs};
use crate::kernels::loss::{IGNORED, STATISTICS};
use crate::kernels::{elementwise, parallel};
use crate::reference::loss as oracle;
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes and smoothing.
    pub struct Parameters {
        /// Elements of x.
        pub elements: u32,
        /// Classes.
        pub columns: u32,
        /// ε: what of the target is spread over all classes.
        pub smoothing: f32,
    }
}

/// The kernel.
pub struct CrossEntropyGradient;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("x"),
    Binding::read("labels"),
    Binding::read("factors"),
    Binding::read("statistics"),
    Binding::read("upstream"),
    Binding::write("dx"),
];

impl Kernel for CrossEntropyGradient {
    fn about(&self) -> About {
        const { About::ours("loss/cross_entropy_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        elementwise::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, labels, factors) = (arguments.f32(0), arguments.words(1), arguments.f32(2));
        let (statistics, upstream, dx) = (arguments.f32(3), arguments.f32(4), arguments.f32_mut(5));
        let columns = p.columns as usize;
        let smoothed = p.smoothing / columns as f32;
        parallel::rows(&mut dx[..p.elements as usize], columns, 20, |first, dx| {
            for (row, dx) in (first..).zip(dx.chunks_mut(columns.max(1))) {
                if labels[row] == IGNORED {
                    dx.fill(0.0);
                    continue;
                }
                let [largest, others, sum] = [0, 1, 2].map(|place| statistics[row * STATISTICS + place]);
                let scale = upstream[0] * factors[row];
                for ((column, dx), x) in (0..).zip(&mut *dx).zip(&x[row * columns..]) {
                    let slope = match column == labels[row] {
                        true => p.smoothing - smoothed - others / sum,
                        false => (x - largest).exp() / sum - smoothed,
                    };
                    *dx = scale * slope;
                }
            }
        });
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: 6 * elements, bytes: 8 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1), (3, 5), (70, 64), (200, 3), (7, 384), (3, 1025)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 65, 300] {
                sizes.extend([2, 31, 32, 33, 127, 129, 4096].map(|columns| (rows, columns)));
            }
            // Past 65,535 workgroups of 64 elements.
            sizes.push((1025, 4099));
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
        cases
    }
}

fn case((rows, columns): (usize, usize), smoothing: f32, kind: Kind) -> Case {
    let (x, labels, factors) = inputs((rows, columns), smoothing, kind);
    let upstream = Inputs::new(x.len() as u64 + 5).values(1, 1.0);
    let statistics = oracle::statistics(&x, columns, &labels);
    let expected =
        oracle::cross_entropy_gradient(&x, columns, &labels, &factors, smoothing.into(), upstream[0]);
    let parameters = Parameters { elements: x.len() as u32, columns: columns as u32, smoothing };
    Case {
        label: format!("[{rows}, {columns}] ε {smoothing}, {kind:?}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // A few products of rounded factors; exp is good to 3 + 2·|x| units in the last place in WGSL, and x is about ln(columns)
        // where a weight counts, 16 more where the others are few.
        floor: rounding_floor(8, largest(&expected))
            + largest(&expected)
                * (3.0 + 2.0 * (16.0 + (columns as f64).ln()))
                * f64::from(f32::EPSILON)
                * 0.25,
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::Words(labels),
            CaseArgument::F32(factors),
            CaseArgument::F32(statistics.into_iter().map(|value| value as f32).collect()),
            CaseArgument::F32(upstream),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
