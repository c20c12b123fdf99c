//! Adds to a part of a value: the gradient of a slice, and of heads that lie among others.
//!
//! y\[first + Σₖ iₖ · strideₖ\] += x\[i\], f32; axis 0 is the last, and axes that are not there are of size 1. x is dense, and no
//! two of its elements have one place in y; what has no element stays as it was. NaN and infinities are those of IEEE 754.

use super::strided_copy::{AXES, place_of};
use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::reference::rounding_floor;

parameters! {
    /// Places, sizes and strides, in elements; axes from the last to the first.
    pub struct Parameters {
        /// Elements of x.
        pub elements: u32,
        /// The first element of y that is added to.
        pub y_first: u32,
        /// The size of the last axis.
        pub size_0: u32,
        /// Of the one before.
        pub size_1: u32,
        /// And so on.
        pub size_2: u32,
        /// And so on.
        pub size_3: u32,
        /// And so on.
        pub size_4: u32,
        /// And so on.
        pub size_5: u32,
        /// And so on.
        pub size_6: u32,
        /// And so on.
        pub size_7: u32,
        /// In y, from one element of the last axis to the next.
        pub stride_0: u32,
        /// Of the one before.
        pub stride_1: u32,
        /// And so on.
        pub stride_2: u32,
        /// And so on.
        pub stride_3: u32,
        /// And so on.
        pub stride_4: u32,
        /// And so on.
        pub stride_5: u32,
        /// And so on.
        pub stride_6: u32,
        /// And so on.
        pub stride_7: u32,
    }
}

/// Parameters before the sizes.
const PLACES: usize = 2;

impl Parameters {
    /// From axes of size and stride, the last first.
    pub(crate) fn new(elements: u32, y_first: u32, axes: [[u32; 2]; AXES]) -> Self {
        let mut words = [0; PLACES + 2 * AXES];
        (words[0], words[1]) = (elements, y_first);
        for (axis, [size, stride]) in axes.into_iter().enumerate() {
            (words[PLACES + axis], words[PLACES + AXES + axis]) = (size, stride);
        }
        bytemuck::cast(words)
    }

    fn axes(self) -> [[u32; 2]; AXES] {
        let words: [u32; PLACES + 2 * AXES] = bytemuck::cast(self);
        std::array::from_fn(|axis| [words[PLACES + axis], words[PLACES + AXES + axis]])
    }
}

/// The kernel.
pub struct StridedAdd;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    super::invocation()
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::update("y")];

impl Kernel for StridedAdd {
    fn about(&self) -> About {
        const { About::ours("elementwise/strided_add", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, axes, y) = (arguments.f32(0), p.axes(), arguments.f32_mut(1));
        let [columns, stride] = axes[0].map(|number| number as usize);
        for (row, x) in x[..p.elements as usize].chunks(columns.max(1)).enumerate() {
            let place = place_of((row * columns) as u32, p.y_first, &axes);
            match stride {
                1 => y[place..].iter_mut().zip(x).for_each(|(y, x)| *y += x),
                _ => x.iter().enumerate().for_each(|(step, x)| y[place + step * stride] += x),
            }
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 12 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Axes of x, the first of them first, their strides in y, and where y begins.
        let mut cases: Vec<(&[usize], &[usize], usize)> = vec![
            (&[1], &[1], 0),
            (&[129], &[1], 3),
            (&[7, 65], &[1, 7], 0),
            (&[3, 5, 64], &[400, 70, 1], 6),
            // Neighbouring axes of other sizes, the first longer than the second and than the last one's stride.
            (&[3, 2, 3, 2, 3, 2, 3, 2], &[2, 6, 12, 36, 72, 216, 432, 1], 1),
        ];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([(&[3, 1_400_003][..], &[1, 3][..], 0), (&[1024, 1024], &[1, 1024], 5)]);
        }
        cases.into_iter().map(|(sizes, strides, first)| case(sizes, strides, first)).collect()
    }
}

fn case(sizes: &[usize], strides: &[usize], first: usize) -> Case {
    let elements: usize = sizes.iter().product();
    let steps = sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride);
    let mut inputs = Inputs::new(elements as u64);
    let mut x = inputs.values(elements, 1.0);
    let before = inputs.values(first + steps.sum::<usize>() + 3, 1.0);
    if elements > 100 {
        x[100] = f32::NAN;
    }
    // By appending: an axis at a time, the places of what lies before it.
    let places = sizes.iter().zip(strides).fold(vec![first], |places: Vec<usize>, (&size, &stride)| {
        places.iter().flat_map(|place| (0..size).map(move |index| place + index * stride)).collect()
    });
    let mut after = vec![None; before.len()];
    for (place, x) in places.into_iter().zip(&x) {
        after[place] = Some(f64::from(before[place]) + f64::from(*x));
    }
    let mut axes = [[1, 0]; AXES];
    for (axis, (&size, &stride)) in axes.iter_mut().zip(sizes.iter().zip(strides).rev()) {
        *axis = [size as u32, stride as u32];
    }
    Case {
        label: format!("{sizes:?} from {first} strides {strides:?}"),
        parameters: bytemuck::bytes_of(&Parameters::new(elements as u32, first as u32, axes)).to_vec(),
        // One rounding.
        floor: rounding_floor(1, 8.0),
        arguments: vec![CaseArgument::F32(x), CaseArgument::update(before, after)],
    }
}
