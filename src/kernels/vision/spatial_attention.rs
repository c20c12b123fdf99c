//! The map of CBAM's spatial attention.
//!
//! M\[b, i, j\] = σ(β + Σ_{u,v} w\[0, u, v\] · F₀\[b, i + u − p, j + v − p\] + w\[1, u, v\] · F₁\[b, i + u − p, j + v − p\])
//! with F₀ the mean and F₁ the maximum over the channels, a window of odd side k (7 in the paper), p = (k − 1) / 2 and zeros
//! around the maps (Woo et al. 2018, section 3.1: M_s = σ(f^{7×7}(\[AvgPool(F); MaxPool(F)\]))). β is 0 there; a batch
//! norm behind the convolution folds into w and β. f32, dense.
//!
//! Ladder: an invocation an element, which reads its neighbours from cache; its window is cut to the map beforehand, so
//! the loops have no branch.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::activation::Activation;
use crate::kernels::elementwise;
use crate::reference::rounding_floor;
use crate::reference::vision as oracle;

parameters! {
    /// Sizes and β.
    pub struct Parameters {
        /// Elements of the map.
        pub elements: u32,
        /// Rows of a map.
        pub height: u32,
        /// Columns.
        pub width: u32,
        /// The side of the window, odd.
        pub window: u32,
        /// β.
        pub bias: f32,
    }
}

/// The kernel.
pub struct SpatialAttention;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    let sigmoid = Activation::Sigmoid.code();
    elementwise::invocation().with("ACTIVATION", sigmoid)
}

const BINDINGS: &[Binding] =
    &[Binding::read("mean"), Binding::read("maximum"), Binding::read("weight"), Binding::write("map")];

impl Kernel for SpatialAttention {
    fn about(&self) -> About {
        const { About::ours("vision/spatial_attention", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        elementwise::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (maps, weight) = ([arguments.f32(0), arguments.f32(1)], arguments.f32(2));
        let [height, width, window] = [p.height, p.width, p.window].map(|size| size as usize);
        let padding = window / 2;
        for (index, y) in arguments.f32_mut(3).iter_mut().enumerate().take(p.elements as usize) {
            let (row, column) = (index / width % height, index % width);
            let first = index - row * width - column;
            let mut sum = p.bias;
            for i in row.saturating_sub(padding)..(row + padding + 1).min(height) {
                for j in column.saturating_sub(padding)..(column + padding + 1).min(width) {
                    let w = (i + padding - row) * window + j + padding - column;
                    let at = first + i * width + j;
                    sum = sum + weight[w] * maps[0][at] + weight[window * window + w] * maps[1][at];
                }
            }
            *y = Activation::Sigmoid.apply(sum);
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let (elements, window) = (u64::from(p.elements), u64::from(p.window) * u64::from(p.window));
        Cost {
            flops: elements * (4 * window + 30),
            bytes: 4 * (3 * elements + 2 * window),
            iterations: window + u64::from(p.window),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Batch, height, width, window: windows within the map, and larger than it in one direction or both.
        let mut sizes =
            vec![[2, 9, 11, 7], [6, 5, 13, 3], [1, 3, 40, 7], [2, 20, 2, 5], [1, 1, 1, 7], [2, 6, 6, 1]];
        if depth == Depth::Full {
            sizes.extend([[4, 56, 56, 7], [2, 64, 65, 7], [1, 7, 300, 11], [70, 7, 7, 7]]);
        }
        let ordinary = sizes.into_iter().map(|sizes| case(sizes, ""));
        ordinary.chain(["a NaN", "far"].map(|what| case([2, 9, 11, 7], what))).collect()
    }
}

fn case([batch, height, width, window]: [usize; 4], what: &str) -> Case {
    let mut inputs = Inputs::new((batch * 1_000_003 + height * 10_007 + width * 31 + window) as u64);
    let elements = batch * height * width;
    // Maxima over some channels are above the mean.
    let mut maps = [0.0, 1.0]
        .map(|offset| inputs.values(elements, 1.0).into_iter().map(|x| x + offset).collect::<Vec<_>>());
    let spread = if what == "far" { 30.0 } else { 1.5 };
    let weight = inputs.values(2 * window * window, spread / (2.0 * window as f32));
    let bias = inputs.values(1, 0.5)[0];
    if what == "a NaN" {
        (maps[0][1], maps[1][elements - 1]) = (f32::NAN, f32::NAN);
    }
    let [mean, maximum] = maps;
    let expected =
        oracle::spatial_attention([&mean, &maximum], &weight, bias, [batch, height, width], window);
    let parameters = Parameters {
        elements: elements as u32,
        height: height as u32,
        width: width as u32,
        window: window as u32,
        bias,
    };
    Case {
        label: format!(
            "[{batch}, {height}, {width}] {window}×{window}{}{what}",
            if what.is_empty() { "" } else { " " }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // A sigmoid moves by at most a quarter of what its sum does; and is good to 2e-7, as all activations are.
        floor: 0.25 * rounding_floor(2 * window * window + 1, 4.0 * f64::from(spread)) + 2e-7,
        arguments: vec![
            CaseArgument::F32(mean),
            CaseArgument::F32(maximum),
            CaseArgument::F32(weight),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
