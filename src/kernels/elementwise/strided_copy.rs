//! A copy along other axes: broadcast and transposition.
//!
//! y\[i₇, …, i₀\] = x\[Σₖ iₖ · strideₖ\], in words of 32 bits, which keep their bits. y is dense, axis 0 its last; of x any
//! element may be read any number of times (stride 0 repeats an axis). Axes that y has not are of size 1.

use crate::kernel::{
    Arguments, Binding, Case, CaseArgument, Cost, Depth, Field, Inputs, Kernel, Variant, parameters,
};

/// Axes that a copy may have, neighbours that lie alike merged.
pub(crate) const AXES: usize = 8;

parameters! {
    /// Sizes and strides, in elements, from the last axis to the first.
    pub struct Parameters {
        /// Elements of y.
        pub elements: u32,
        /// The size of y's last axis.
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
        /// In x, from one element of y's last axis to the next.
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

impl Parameters {
    /// From axes of size and stride, the last first.
    pub(crate) fn new(elements: u32, axes: [[u32; 2]; AXES]) -> Self {
        let mut words = [elements; 1 + 2 * AXES];
        for (axis, [size, stride]) in axes.into_iter().enumerate() {
            (words[1 + axis], words[1 + AXES + axis]) = (size, stride);
        }
        bytemuck::cast(words)
    }

    fn axes(self) -> [[u32; 2]; AXES] {
        let words: [u32; 1 + 2 * AXES] = bytemuck::cast(self);
        std::array::from_fn(|axis| [words[1 + axis], words[1 + AXES + axis]])
    }
}

/// The kernel.
pub struct StridedCopy;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    super::invocation()
}

impl Kernel for StridedCopy {
    fn name(&self) -> &'static str {
        "elementwise/strided_copy"
    }

    fn formula(&self) -> &'static str {
        "y[i] = x[Σ index_k(i) · stride_k]"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/elementwise/strided_copy.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        const { &[Binding::read("x"), Binding::write("y")] }
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
        let (x, axes) = (arguments.words(0), p.axes());
        for (index, y) in (0..p.elements).zip(arguments.words_mut(1)) {
            let (mut rest, mut place) = (index, 0);
            for [size, stride] in axes {
                place += rest % size * stride;
                rest /= size;
            }
            *y = x[place as usize];
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 8 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Axes of y, the first of them first, and their strides in x.
        let mut cases: Vec<(&[usize], &[usize])> = vec![
            (&[1], &[1]),
            (&[129], &[0]),
            (&[7, 65], &[1, 7]),
            (&[3, 5, 64], &[0, 64, 1]),
            (&[4, 1, 33, 2], &[33, 9, 1, 0]),
            (&[2, 3, 2, 2, 3, 2, 2, 3], &[1, 2, 6, 12, 24, 72, 144, 288]),
        ];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([
                (&[4097, 1025][..], &[1, 0][..]),
                (&[3, 1_400_003], &[1, 3]),
                (&[1024, 1024], &[1, 1024]),
            ]);
        }
        cases.into_iter().map(|(sizes, strides)| case(sizes, strides)).collect()
    }
}

fn case(sizes: &[usize], strides: &[usize]) -> Case {
    let elements: usize = sizes.iter().product();
    let reach = sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride).sum::<usize>() + 1;
    let x = Inputs::new(elements as u64).below(reach, u32::MAX);
    // By appending: an axis at a time, the places of what lies before it.
    let places = sizes.iter().zip(strides).fold(vec![0], |places: Vec<usize>, (&size, &stride)| {
        places.iter().flat_map(|place| (0..size).map(move |index| place + index * stride)).collect()
    });
    let mut axes = [[1, 0]; AXES];
    for (axis, (&size, &stride)) in axes.iter_mut().zip(sizes.iter().zip(strides).rev()) {
        *axis = [size as u32, stride as u32];
    }
    let parameters = Parameters::new(elements as u32, axes);
    Case {
        label: format!("{sizes:?} strides {strides:?}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: 0.0,
        arguments: vec![
            CaseArgument::Words(x.clone()),
            CaseArgument::Exact(places.into_iter().map(|place| Some(x[place])).collect()),
        ],
    }
}
