//! A sum, a difference or a product element by element, each side broadcast.
//!
//! y\[i₃, i₂, i₁, i₀\] = a\[Σₖ iₖ · a_strideₖ\] ∘ b\[Σₖ iₖ · b_strideₖ\], with ∘ one of +, − and ·. By products, attention over
//! channels or over space scales what it attends to (Hu et al. 2018, equation 4; Woo et al. 2018, equation 1). f32; y is dense,
//! axis 0 its last; a stride of 0 repeats an operand along an axis (NumPy's broadcasting). Axes that y has not are of size 1.
//! NaN and infinities are those of IEEE 754.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::reference::{self, largest, rounding_floor};

/// Axes that operands may have, neighbours that lie alike in both merged.
pub(crate) const AXES: usize = 4;

/// What is done with each pair of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Add, Self::Subtract, Self::Multiply];

    fn code(self) -> u32 {
        self as u32
    }

    /// Its formula.
    fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
        }
    }

    fn oracle(self) -> fn(f64, f64) -> f64 {
        match self {
            Self::Add => |a, b| a + b,
            Self::Subtract => |a, b| a - b,
            Self::Multiply => |a, b| a * b,
        }
    }
}

parameters! {
    /// Sizes of y and strides of a and b, in elements, from the last axis to the first.
    pub struct Parameters {
        /// Elements of y.
        pub elements: u32,
        /// The size of y's last axis.
        pub size_0: u32,
        /// Of the one before.
        pub size_1: u32,
        /// And of that before it; the first axis has the rest.
        pub size_2: u32,
        /// In a, from one element of the last axis to the next.
        pub a_stride_0: u32,
        /// Of the axis before.
        pub a_stride_1: u32,
        /// And so on.
        pub a_stride_2: u32,
        /// And so on.
        pub a_stride_3: u32,
        /// In b, from one element of the last axis to the next.
        pub b_stride_0: u32,
        /// Of the axis before.
        pub b_stride_1: u32,
        /// And so on.
        pub b_stride_2: u32,
        /// And so on.
        pub b_stride_3: u32,
    }
}

impl Parameters {
    /// From each axis's size and its strides in a and in b, the last axis first.
    pub(crate) fn new(elements: u32, axes: [(u32, [u32; 2]); AXES]) -> Self {
        let [(size_0, [a_stride_0, b_stride_0]), (size_1, [a_stride_1, b_stride_1]), rest @ ..] = axes;
        let [(size_2, [a_stride_2, b_stride_2]), (_, [a_stride_3, b_stride_3])] = rest;
        Self {
            elements,
            size_0,
            size_1,
            size_2,
            a_stride_0,
            a_stride_1,
            a_stride_2,
            a_stride_3,
            b_stride_0,
            b_stride_1,
            b_stride_2,
            b_stride_3,
        }
    }
}

/// The kernel.
pub struct Binary;

/// The variant for an operation.
pub(crate) fn variant(operation: Operation) -> Variant {
    super::invocation().with("OPERATION", operation.code())
}

const BINDINGS: &[Binding] = &[Binding::read("a"), Binding::read("b"), Binding::write("y")];

impl Kernel for Binary {
    fn about(&self) -> About {
        const { About::ours("elementwise/binary", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        Operation::ALL.map(variant).to_vec()
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let operation = operation_of(variant);
        let (a, b) = (arguments.f32(0), arguments.f32(1));
        let axes = [
            (p.size_0, p.a_stride_0, p.b_stride_0),
            (p.size_1, p.a_stride_1, p.b_stride_1),
            (p.size_2, p.a_stride_2, p.b_stride_2),
        ];
        for (element, y) in (0..p.elements).zip(arguments.f32_mut(2)) {
            let (mut rest, mut a_place, mut b_place) = (element, 0, 0);
            for (size, a_stride, b_stride) in axes {
                let index = rest % size;
                (a_place, b_place) = (a_place + index * a_stride, b_place + index * b_stride);
                rest /= size;
            }
            let (a_place, b_place) = (a_place + rest * p.a_stride_3, b_place + rest * p.b_stride_3);
            *y = operation.apply(a[a_place as usize], b[b_place as usize]);
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 12 * elements, iterations: 0 }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        // The axes of y, the first of them first, and whether a and b have each.
        let (all, none) = ([true; 4], [false; 4]);
        let mut cases = vec![
            ([1, 1, 1, 1], all, all),
            ([1, 1, 1, 65], all, all),
            ([2, 3, 5, 7], all, [true, true, false, false]),
            ([2, 3, 5, 7], all, [true, false, true, true]),
            ([3, 2, 4, 33], [true, false, false, true], [false, true, true, false]),
            ([3, 2, 4, 33], [false, true, true, false], all),
            ([2, 4, 3, 11], [false, false, false, true], all),
            ([2, 2, 3, 5], all, none),
            ([2, 2, 3, 5], none, [true, false, true, false]),
        ];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([
                ([1, 3, 1, 1_400_003], all, [true, true, false, false]),
                ([8, 64, 56, 56], all, [true, false, true, true]),
            ]);
        }
        let operation = operation_of(variant);
        let ordinary = cases.into_iter().map(|(sizes, a, b)| case(operation, sizes, [a, b], false));
        ordinary.chain([case(operation, [2, 3, 5, 2], [all, [true, true, false, false]], true)]).collect()
    }
}

fn operation_of(variant: &Variant) -> Operation {
    Operation::ALL[variant.u32("OPERATION") as usize % Operation::ALL.len()]
}

fn case(operation: Operation, sizes: [usize; 4], has: [[bool; 4]; 2], strange: bool) -> Case {
    let elements: usize = sizes.iter().product();
    let mut inputs = Inputs::new((elements * 31 + sizes[3]) as u64);
    let dims = has.map(|has| [0, 1, 2, 3].map(|axis| if has[axis] { sizes[axis] } else { 1 }));
    let [mut a, mut b] = dims.map(|dims| inputs.values(dims.iter().product(), 1.0));
    if strange {
        (a[3], a[20], a[21]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        (b[1], b[2], b[4]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    }
    let expected = reference::elementwise::binary(operation.oracle(), (&a, &dims[0]), (&b, &dims[1]), &sizes);
    let strides = dims.map(|dims| {
        let mut stride = 1;
        let mut strides = [0; 4];
        for axis in (0..4).rev().filter(|&axis| dims[axis] > 1) {
            strides[axis] = stride;
            stride *= dims[axis] as u32;
        }
        strides
    });
    let axes = [3, 2, 1, 0].map(|axis| (sizes[axis] as u32, strides.map(|strides| strides[axis])));
    let [of_a, of_b] = dims;
    Case {
        label: format!(
            "{operation:?} {sizes:?} of {of_a:?} and {of_b:?}{}",
            if strange { " NaN and ∞" } else { "" }
        ),
        parameters: bytemuck::bytes_of(&Parameters::new(elements as u32, axes)).to_vec(),
        // One rounding.
        floor: rounding_floor(1, largest(&expected)),
        arguments: vec![
            CaseArgument::F32(a),
            CaseArgument::F32(b),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
