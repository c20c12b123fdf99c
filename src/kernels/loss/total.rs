//! The sum of all elements, by one workgroup.
//!
//! y = Σ xᵢ, f32. In a fixed order, so that the same inputs give the same bits. Each lane adds every 64th element, and a tree
//! the lanes. Of no elements it is 0.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::reduce;
use crate::reference::rounding_floor;

parameters! {
    /// The size.
    pub struct Parameters {
        /// Elements of x.
        pub elements: u32,
    }
}

/// The kernel.
pub struct Total;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    reduce::workgroup()
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Total {
    fn about(&self) -> About {
        const { About::ours("loss/total", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, _: &[u8], _: u32) -> [u32; 3] {
        [1, 1, 1]
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let elements = Parameters::from_bytes(parameters).elements as usize;
        let (x, y) = (arguments.f32(0), arguments.f32_mut(1));
        let sum = x[..elements].chunks(64).map(|block| block.iter().sum::<f32>()).sum();
        y[..1].fill(sum);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        let iterations = reduce::iterations(variant, elements, 1, 1);
        Cost { flops: elements, bytes: 4 * (elements + 1), iterations }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![0, 1, 63, 64, 65, 1000];
        if depth == Depth::Full {
            sizes.extend([2, 127, 128, 129, 4096, 100_003]);
        }
        sizes.into_iter().map(case).collect()
    }
}

fn case(elements: usize) -> Case {
    let x = Inputs::new(elements as u64).values(elements, 1.0);
    let sum = x.iter().map(|&x| f64::from(x)).sum();
    Case {
        label: format!("[{elements}]"),
        parameters: bytemuck::bytes_of(&Parameters { elements: elements as u32 }).to_vec(),
        // A partial sum of terms of size 1 is about the root of their number.
        floor: rounding_floor(elements, (elements as f64).sqrt()),
        // Behind the end lies what is not added.
        arguments: vec![
            CaseArgument::F32([&x[..], &[f32::NAN]].concat()),
            CaseArgument::output(vec![Some(sum)]),
        ],
    }
}
