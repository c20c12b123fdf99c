//! The end of a product whose depth was shared out (`split` of [`gemm_blocked`](super::gemm_blocked)).
//!
//! y = activation(alpha · Σₛ partsₛ + beta · bias) + beta · residual. f32; parts are dense `[splits, rows, columns]`, added in
//! their order; y and the residual have a row stride, and begin with the bias at `first_column`. NaN passes through.
//!
//! One implementation, `invocation`: an element of y each, neighbours read neighbouring words. Every word crosses memory
//! once; splits are few, and so is what there is to gain.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry, parameters,
};
use crate::kernels::activation::Activation;
use crate::kernels::linear::gemm;
use crate::reference::{self, rounding_floor};

parameters! {
    /// Sizes, and the epilogue.
    pub struct Parameters {
        /// Rows of y.
        pub rows: u32,
        /// Columns of each part.
        pub columns: u32,
        /// Parts.
        pub splits: u32,
        /// From one row of y, and of the residual, to the next.
        pub y_row: u32,
        /// Where these columns begin in bias, residual and y.
        pub first_column: u32,
        /// 1 if there is a bias.
        pub has_bias: u32,
        /// 1 if there is a residual.
        pub has_residual: u32,
        /// What the sum is multiplied by.
        pub alpha: f32,
        /// What the bias and the residual are multiplied by.
        pub beta: f32,
        /// The activation's code.
        pub activation: u32,
    }
}

impl Parameters {
    /// Of a product in so many parts.
    pub(crate) fn new(p: &gemm::Parameters, splits: u32) -> Self {
        let &gemm::Parameters {
            rows,
            columns,
            y_row,
            first_column,
            has_bias,
            has_residual,
            alpha,
            beta,
            activation,
            ..
        } = p;
        Self { rows, columns, splits, y_row, first_column, has_bias, has_residual, alpha, beta, activation }
    }
}

/// The kernel.
pub struct SumSplits;

/// Its one implementation.
pub(crate) fn invocation() -> Variant {
    Variant::new("invocation", 64)
}

const BINDINGS: &[Binding] =
    &[Binding::read("parts"), Binding::read("bias"), Binding::read("residual"), Binding::write("y")];

impl Kernel for SumSplits {
    fn about(&self) -> About {
        const { About::ours("linear/sum_splits", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![invocation()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        geometry::fold(elements.div_ceil(variant.u32("WORKGROUP").max(1).into()), per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (parts, bias, residual) = (arguments.f32(0), arguments.f32(1), arguments.f32(2));
        let y = arguments.f32_mut(3);
        let activation = Activation::from_code(p.activation);
        let columns = p.columns as usize;
        let elements = p.rows as usize * columns;
        for element in 0..elements {
            let mut sum = 0.0;
            for split in 0..p.splits as usize {
                sum += parts[split * elements + element];
            }
            let column = p.first_column as usize + element % columns;
            let place = element / columns * p.y_row as usize + column;
            let mut value = sum * p.alpha;
            if p.has_bias != 0 {
                value += p.beta * bias[column];
            }
            value = activation.apply(value);
            if p.has_residual != 0 {
                value += p.beta * residual[place];
            }
            y[place] = value;
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let splits = u64::from(p.splits);
        Cost {
            flops: elements * (splits + 2),
            bytes: 4 * (elements * (splits + 1 + u64::from(p.has_residual)) + u64::from(p.columns)),
            iterations: splits,
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![[1, 1, 1], [3, 70, 4], [65, 5, 3]];
        if depth == Depth::Full {
            for rows in [1, 7, 64] {
                sizes.extend([1, 63, 64, 65, 384].map(|columns| [rows, columns, 9]));
            }
        }
        let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, Activation::None)).collect();
        cases.extend(Activation::ALL.map(|activation| case([2, 40, 2], activation)));
        cases
    }
}

fn case([rows, columns, splits]: [usize; 3], activation: Activation) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns * 1009 + splits) as u64);
    let (first_column, y_row) = (3, columns + 5);
    let code = activation.code();
    let (has_bias, has_residual) = (columns != 5, !columns.is_multiple_of(7));
    let (alpha, beta) = (-0.5_f32, 1.5_f32);
    let parts = inputs.values(splits * rows * columns, 2.0);
    let bias = inputs.values(first_column + columns, 4.0);
    let residual = inputs.values(rows * y_row, 1.0);
    let mut output = vec![None; rows * y_row];
    for row in 0..rows {
        for column in 0..columns {
            let place = row * y_row + first_column + column;
            let part = |split: usize| f64::from(parts[(split * rows + row) * columns + column]);
            let addend = |value: f32, has: bool| if has { f64::from(beta) * f64::from(value) } else { 0.0 };
            let sum = f64::from(alpha) * (0..splits).map(part).sum::<f64>();
            let value = activation.oracle()(sum + addend(bias[first_column + column], has_bias));
            output[place] = Some(value + addend(residual[place], has_residual));
        }
    }
    let expected: Vec<f64> = output.iter().copied().flatten().collect();
    let magnitude = reference::largest(&expected).max(8.0);
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        splits: splits as u32,
        y_row: y_row as u32,
        first_column: first_column as u32,
        has_bias: has_bias.into(),
        has_residual: has_residual.into(),
        alpha,
        beta,
        activation: code,
    };
    Case {
        label: format!("[{splits}, {rows}, {columns}] activation={code}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // The activations are good to 2e-7.
        floor: rounding_floor(splits + 2, magnitude) + 2e-7 * magnitude,
        arguments: vec![
            CaseArgument::F32(parts),
            CaseArgument::F32(bias),
            CaseArgument::F32(residual),
            CaseArgument::output(output),
        ],
    }
}
