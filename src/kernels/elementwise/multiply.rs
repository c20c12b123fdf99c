//! A product element by element, one side of it broadcast.
//!
//! y\[i₃, i₂, i₁, i₀\] = x\[i₃, i₂, i₁, i₀\] · f\[Σₖ iₖ · strideₖ\]: how attention over channels or over space scales what
//! it attends to (Hu et al. 2018, equation 4; Woo et al. 2018, equation 1). f32; x and y are dense, axis 0 their last; a
//! stride of 0 repeats f along an axis. Axes that x has not are of size 1.

use crate::kernel::{
    Arguments, Binding, Case, CaseArgument, Cost, Depth, Field, Inputs, Kernel, Variant, parameters,
};
use crate::reference::{self, largest, rounding_floor};

parameters! {
    /// Sizes of x and strides of f, in elements, from the last axis to the first.
    pub struct Parameters {
        /// Elements of x and y.
        pub elements: u32,
        /// The size of x's last axis.
        pub size_0: u32,
        /// Of the one before.
        pub size_1: u32,
        /// And of that before it; the first axis has the rest.
        pub size_2: u32,
        /// In f, from one element of the last axis to the next.
        pub stride_0: u32,
        /// Of the axis before.
        pub stride_1: u32,
        /// And so on.
        pub stride_2: u32,
        /// And so on.
        pub stride_3: u32,
    }
}

/// The kernel.
pub struct Multiply;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    super::invocation()
}

impl Kernel for Multiply {
    fn name(&self) -> &'static str {
        "elementwise/multiply"
    }

    fn formula(&self) -> &'static str {
        "y[i] = x[i] · f[Σ index_k(i) · stride_k]"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/elementwise/multiply.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        const { &[Binding::read("x"), Binding::read("factors"), Binding::write("y")] }
    }

    fn parameters(&self) -> &'static [Field] {
        Parameters::FIELDS
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, factors) = (arguments.f32(0), arguments.f32(1));
        let axes = [(p.size_0, p.stride_0), (p.size_1, p.stride_1), (p.size_2, p.stride_2)];
        for (index, y) in (0..p.elements).zip(arguments.f32_mut(2)) {
            let (mut rest, mut place) = (index, 0);
            for (size, stride) in axes {
                place += rest % size * stride;
                rest /= size;
            }
            *y = x[index as usize] * factors[(place + rest * p.stride_3) as usize];
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 8 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // The axes of x, the first of them first, and whether f has each.
        let mut cases = vec![
            ([1, 1, 1, 1], [true; 4]),
            ([1, 1, 1, 65], [true; 4]),
            ([2, 3, 5, 7], [true, true, false, false]),
            ([2, 3, 5, 7], [true, false, true, true]),
            ([3, 2, 4, 33], [false, true, true, false]),
            ([2, 4, 3, 11], [false, false, false, true]),
            ([2, 2, 3, 5], [false; 4]),
        ];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([
                ([1, 3, 1, 1_400_003], [true, true, false, false]),
                ([8, 64, 56, 56], [true, false, true, true]),
            ]);
        }
        let ordinary = cases.into_iter().map(|(sizes, has)| case(sizes, has, false));
        ordinary.chain([case([2, 3, 5, 2], [true, true, false, false], true)]).collect()
    }
}

fn case(sizes: [usize; 4], has: [bool; 4], strange: bool) -> Case {
    let elements: usize = sizes.iter().product();
    let mut inputs = Inputs::new((elements * 31 + sizes[3]) as u64);
    let mut x = inputs.values(elements, 1.0);
    let of_factors: [usize; 4] = std::array::from_fn(|axis| if has[axis] { sizes[axis] } else { 1 });
    let mut factors = inputs.values(of_factors.iter().product(), 1.0);
    if strange {
        (x[3], x[20]) = (f32::NAN, f32::INFINITY);
        (factors[1], factors[4]) = (f32::NAN, f32::NEG_INFINITY);
    }
    let expected = reference::vision::multiply(&x, sizes, &factors, of_factors);
    let mut strides = [0; 4];
    let mut stride = 1;
    for axis in (0..4).rev().filter(|&axis| has[axis]) {
        strides[axis] = stride;
        stride *= sizes[axis] as u32;
    }
    let parameters = Parameters {
        elements: elements as u32,
        size_0: sizes[3] as u32,
        size_1: sizes[2] as u32,
        size_2: sizes[1] as u32,
        stride_0: strides[3],
        stride_1: strides[2],
        stride_2: strides[1],
        stride_3: strides[0],
    };
    Case {
        label: format!("{sizes:?} by {of_factors:?}{}", if strange { " NaN and ∞" } else { "" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // One rounding.
        floor: rounding_floor(1, largest(&expected)),
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::F32(factors),
            CaseArgument::Output(expected.into_iter().map(Some).collect()),
        ],
    }
}
