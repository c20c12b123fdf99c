//! A plain copy: the ceiling of kernels that memory bounds.
//!
//! y = x, word by word, in vectors of four. Nothing is computed, so that bits stay as they are.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry, parameters,
};

parameters! {
    /// Sizes.
    pub struct Parameters {
        /// Vectors of four words.
        pub vectors: u32,
    }
}

/// The kernel.
pub struct Copy;

/// Invocations in a workgroup, and vectors for each: which is the faster differs between GPUs and software adapters.
const SIZES: [(u32, u32); 2] = [(64, 1), (256, 4)];

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Copy {
    fn about(&self) -> About {
        const { About::ours("ceiling/copy", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let variant = |(workgroup, vectors)| Variant::new("invocation", workgroup).with("VECTORS", vectors);
        SIZES.map(variant).to_vec()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let each = variant.u32("WORKGROUP") * variant.u32("VECTORS");
        geometry::fold(Parameters::from_bytes(parameters).vectors.div_ceil(each.max(1)).into(), per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let words = 4 * Parameters::from_bytes(parameters).vectors as usize;
        let x = arguments.words(0);
        arguments.words_mut(1)[..words].copy_from_slice(&x[..words]);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let vectors = u64::from(Parameters::from_bytes(parameters).vectors);
        Cost { flops: 0, bytes: 32 * vectors, iterations: variant.u32("VECTORS").into() }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![1, 63, 64, 65, 255, 257, 1023, 1024, 1025, 4099];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 vectors.
            sizes.extend([70_001, 4_300_001]);
        }
        sizes.into_iter().map(case).collect()
    }
}

fn case(vectors: usize) -> Case {
    // Any words: NaN and denormal numbers too.
    let x = Inputs::new(vectors as u64).below(4 * vectors, u32::MAX);
    Case {
        label: format!("[{vectors}, 4]"),
        parameters: bytemuck::bytes_of(&Parameters { vectors: vectors as u32 }).to_vec(),
        floor: 0.0,
        arguments: vec![
            CaseArgument::Words(x.clone()),
            CaseArgument::Exact(x.into_iter().map(Some).collect()),
        ],
    }
}
