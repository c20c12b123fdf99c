//! What all products of matrices share: parameters, bindings, the twin, the cost and the cases. A linear layer is GEMM
//! with its epilogue.
//!
//! y = activation(x · W + bias) + residual. W is `[columns, depth]` (x · Wᵀ, as PyTorch's `Linear` stores it) or
//! `[depth, columns]`. f32, or weights stored as f16 and widened on load; sums are f32. x has a row stride; y, the
//! residual and the bias begin at `first_column`, so that a weight above the binding limit can come in parts.
//! Variants without an activation have a general form, y = alpha · x · W + beta · (bias + residual) for many products at
//! once: `offsets` tells where the x and the W of each begin, and the y follow each other.
//! Activations: GELU (Hendrycks and Gimpel 2016) in its erf and its tanh form, ReLU, SiLU, tanh, sigmoid. NaN passes through.

use crate::kernel::{
    Arguments, Binding, Case, CaseArgument, Constant, Cost, Inputs, Variant, geometry, parameters,
};
use crate::kernels::activation::Activation;
use crate::kernels::matrices::rounded_to_f16;
use crate::kernels::multiply::multiply;
use crate::kernels::parallel;
use crate::kernels::shared::{WeightStorage, weights_f32};
use crate::reference;
use crate::reference::rounding_floor;
use crate::tensor::{pack_f16, unpack_f16};

parameters! {
    /// Sizes and strides, in elements.
    pub struct Parameters {
        /// Rows of x and y.
        pub rows: u32,
        /// Columns of this part of W.
        pub columns: u32,
        /// Columns of x.
        pub depth: u32,
        /// From one row of x to the next.
        pub x_row: u32,
        /// From one row of y, and of the residual, to the next.
        pub y_row: u32,
        /// Where this part of the columns begins in bias, residual and y.
        pub first_column: u32,
        /// 1 if there is a bias.
        pub has_bias: u32,
        /// 1 if there is a residual.
        pub has_residual: u32,
        /// Products, or parts of one; 1 unless the variant is general, as the next two.
        pub batches: u32,
        /// The factor of the product.
        pub alpha: f32,
        /// The factor of the bias and the residual.
        pub beta: f32,
        /// The activation's code. Where a variant has a constant of that name, it is the same.
        pub activation: u32,
    }
}

/// The form of a product that a variant is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub activation: Activation,
    pub transposed: bool,
    pub storage: WeightStorage,
    /// With alpha, beta and many products at once.
    pub general: bool,
}

impl Form {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let storages = WeightStorage::ALL.into_iter();
        let linear = storages.flat_map(|storage| {
            [true, false].into_iter().flat_map(move |transposed| {
                let general = false;
                Activation::ALL.into_iter().map(move |activation| Self {
                    activation,
                    transposed,
                    storage,
                    general,
                })
            })
        });
        linear.chain([true, false].map(Self::general))
    }

    /// The general form of f32 matrices.
    pub(crate) fn general(transposed: bool) -> Self {
        Self { activation: Activation::None, transposed, storage: WeightStorage::F32, general: true }
    }
}

/// The bindings of all products.
pub(crate) const BINDINGS: &[Binding] = &[
    Binding::read("x"),
    Binding::read("weight"),
    Binding::read("bias"),
    Binding::read("residual"),
    Binding::read("offsets"),
    Binding::write("y"),
];

/// Whether quick runs have a variant whose activation is a constant: each activation, and none, with each tile, in one layout of W
/// after the other.
pub(crate) fn quick(variant: &Variant) -> bool {
    let code = activation(variant).code();
    let layout = u32::from(variant.flag("RIGHT_TRANSPOSED")) + 2 * u32::from(variant.flag("HALF_WEIGHTS"));
    let number = |name: &str| match variant.get(name) {
        Some(Constant::U32(number)) => number.ilog2(),
        Some(Constant::Bool(flag)) => flag.into(),
        _ => 0,
    };
    let tile: u32 = ["TILE_ROWS", "FRAGMENTS", "IMAGES", "SIDE", "SUBGROUP_SIZE"].map(number).iter().sum();
    (code + tile) % 4 == layout
}

/// Workgroups of a kernel that gives each a tile of `TILE_ROWS` × `TILE_COLUMNS`.
pub(crate) fn workgroups(variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
    let p = Parameters::from_bytes(parameters);
    let tiles = u64::from(p.rows.div_ceil(variant.u32("TILE_ROWS")))
        * u64::from(p.columns.div_ceil(variant.u32("TILE_COLUMNS")));
    geometry::fold(tiles.saturating_mul(p.batches.into()), per_dimension)
}

/// The computation that every implementation of a linear layer shares.
pub(crate) fn twin(variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
    let p = Parameters::from_bytes(parameters);
    let weight = weights_f32(variant, arguments.words(1));
    let (x, bias, residual) = (arguments.f32(0), arguments.f32(2), arguments.f32(3));
    let (offsets, y) = (arguments.words(4), arguments.f32_mut(5));
    let strides = if variant.flag("RIGHT_TRANSPOSED") { [1, p.depth] } else { [p.columns, 1] };
    let activation = Activation::from_code(p.activation);
    for batch in 0..p.batches as usize {
        let [x_start, weight_start] = [0, 1].map(|side| offsets[2 * batch + side] as usize);
        let first = batch * p.rows as usize * p.y_row as usize + p.first_column as usize;
        let (left, right) = ((&x[x_start..], [p.x_row, 1]), (&weight[weight_start..], strides));
        multiply([p.rows, p.depth, p.columns], left, right, (&mut y[first..], p.y_row));
        let plain = p.alpha == 1.0 && p.has_bias == 0 && p.has_residual == 0;
        if (plain && activation == Activation::None) || p.rows == 0 {
            continue;
        }
        let columns = p.columns as usize;
        let last = (p.rows as usize - 1) * p.y_row as usize + columns;
        parallel::rows(&mut y[first..first + last], p.y_row as usize, 30, |first_row, y| {
            for (row, y) in (first_row..).zip(y.chunks_mut((p.y_row as usize).max(1))) {
                let y = &mut y[..columns];
                if p.alpha != 1.0 {
                    y.iter_mut().for_each(|value| *value *= p.alpha);
                }
                if p.has_bias != 0 {
                    let bias = &bias[p.first_column as usize..];
                    y.iter_mut().zip(bias).for_each(|(value, bias)| *value += p.beta * bias);
                }
                activation.apply_all(y);
                if p.has_residual != 0 {
                    let residual = &residual[row * p.y_row as usize + first..];
                    y.iter_mut().zip(residual).for_each(|(value, residual)| *value += p.beta * residual);
                }
            }
        });
    }
}

/// What a dispatch of any implementation costs whose invocations go through so many iterations.
pub(crate) fn cost(variant: &Variant, parameters: &[u8], iterations: u64) -> Cost {
    let p = Parameters::from_bytes(parameters);
    let [m, n, k] = [p.rows, p.columns, p.depth].map(u64::from);
    let weights = if variant.flag("HALF_WEIGHTS") { 2 * n * k } else { 4 * n * k };
    let reads = m * k + u64::from(p.has_bias) * n + u64::from(p.has_residual) * m * n;
    let batches = u64::from(p.batches);
    Cost { flops: 2 * batches * m * n * k, bytes: batches * (weights + 4 * (reads + m * n)), iterations }
}

/// Cases for any implementation, for sizes `[rows, columns, depth]`; with an activation for the first of them alone, since
/// it knows no sizes.
pub(crate) fn cases(variant: &Variant, sizes: &[[usize; 3]]) -> Vec<Case> {
    let wide = case(variant, [2, 40, 16], 0, true);
    let most = if activation(variant) == Activation::None { sizes.len() } else { 4 };
    let cases = sizes[..most.min(sizes.len())]
        .iter()
        .enumerate()
        .map(|(index, &size)| case(variant, size, index, false));
    cases.chain([wide]).collect()
}

/// The activation of a variant; those without the constant have it in their parameters, and here none.
fn activation(variant: &Variant) -> Activation {
    match variant.get("ACTIVATION") {
        Some(Constant::U32(code)) => Activation::from_code(code),
        _ => Activation::None,
    }
}

/// With `wide`, the activation gets values from −100 to 95.
fn case(variant: &Variant, [rows, columns, depth]: [usize; 3], index: usize, wide: bool) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns * 1009 + depth) as u64);
    let transposed = variant.flag("RIGHT_TRANSPOSED");
    let general = variant.get("GENERAL") == Some(Constant::Bool(true));
    let (has_bias, has_residual) = (index.is_multiple_of(2), index.is_multiple_of(3));
    // The x and the W of each product: in the general form two of each, shared.
    let pairs: &[[usize; 2]] = if general { &[[0, 1], [1, 1], [1, 0]] } else { &[[0, 0]] };
    let (alpha, beta) = if general { (-0.5, 1.5) } else { (1.0, 1.0) };
    let matrices = if general { 2 } else { 1 };
    // Rows of x and y go on past what the kernel has: NaN in x, and what must stay as it is in y.
    let multiple = match variant.get("DEPTH_MULTIPLE") {
        Some(Constant::U32(multiple)) => multiple as usize,
        _ => 1,
    };
    let (x_row, first_column, y_row) = (depth + 2 * multiple, 3, columns + 5);
    let mut x = inputs.values(matrices * rows * depth, 1.0);
    // Zeros that meet the NaN below: their product is one too.
    x.iter_mut().step_by(2 * depth).for_each(|value| *value = 0.0);
    let padded = x
        .chunks_exact(depth)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(f32::NAN, x_row - depth)));
    let padded: Vec<f32> = padded.collect();
    let half = variant.flag("HALF_WEIGHTS");
    let mut weight = inputs.values(matrices * columns * depth, (1.0 / depth as f32).sqrt());
    // What the kernel rounds x to. The NaN behind the rows is no part of it.
    let used: Vec<f32> = match variant.name() {
        "cooperative" => x.iter().map(|&value| rounded_to_f16(value)).collect(),
        _ => x.clone(),
    };
    // A NaN in column 1, which no other may see; what an activation makes of one is the driver's affair.
    let activation = activation(variant);
    if columns > 1 && !half && activation == Activation::None {
        weight[if transposed { depth } else { 1 }] = f32::NAN;
    }
    let packed = pack_f16(&weight);
    if half {
        weight = unpack_f16(&packed, weight.len());
    }
    let mut bias = inputs.values(first_column + columns, 1.0);
    if wide {
        bias[first_column..].iter_mut().zip(-20_i8..).for_each(|(bias, step)| *bias = 5.0 * f32::from(step));
    }
    let residual = inputs.values(pairs.len() * rows * y_row, 1.0);
    let columns_of = |row: usize| row * y_row + first_column..row * y_row + first_column + columns;
    let code = activation.code();
    let activation = activation.oracle();
    let mut output = vec![None; residual.len()];
    for (batch, &[x_index, weight_index]) in pairs.iter().enumerate() {
        // The sums alone: the epilogue is in f64 below.
        let sums = reference::linear::linear(
            &used[x_index * rows * depth..][..rows * depth],
            &weight[weight_index * columns * depth..][..columns * depth],
            if transposed {
                reference::linear::WeightLayout::OutIn
            } else {
                reference::linear::WeightLayout::InOut
            },
            None,
            reference::activation::identity,
            None,
            reference::linear::Dims { rows, inputs: depth, outputs: columns },
        );
        for (row, sums) in sums.chunks_exact(columns).enumerate() {
            let places = columns_of(batch * rows + row);
            for ((sum, place), bias) in sums.iter().zip(places).zip(&bias[first_column..]) {
                let addend = |value: f32, has: bool| if has { beta * f64::from(value) } else { 0.0 };
                let biased = alpha * sum + addend(*bias, has_bias);
                output[place] = Some(activation(biased) + addend(residual[place], has_residual));
            }
        }
    }
    let expected: Vec<f64> = output.iter().copied().flatten().collect();
    let magnitude = reference::largest(&expected).max(1.0);
    let offsets = pairs.iter().flat_map(|[x, weight]| [x * rows * x_row, weight * columns * depth]);
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        depth: depth as u32,
        x_row: x_row as u32,
        y_row: y_row as u32,
        first_column: first_column as u32,
        has_bias: has_bias.into(),
        has_residual: has_residual.into(),
        batches: pairs.len() as u32,
        alpha: alpha as f32,
        beta: beta as f32,
        activation: code,
    };
    let options = [(has_bias, " bias"), (has_residual, " residual"), (wide, " wide")];
    let options: String = options.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    Case {
        label: format!("M={rows} N={columns} K={depth}{options}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // The largest partial sum is about the largest sum; the activations are good to 2e-7 of it.
        floor: rounding_floor(depth, magnitude) + 2e-7 * magnitude,
        arguments: vec![
            CaseArgument::F32(padded),
            if half { CaseArgument::Words(packed) } else { CaseArgument::F32(weight) },
            CaseArgument::F32(bias),
            CaseArgument::F32(residual),
            CaseArgument::Words(offsets.map(|offset| offset as u32).collect()),
            CaseArgument::output(output),
        ],
    }
}
