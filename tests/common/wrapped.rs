//! A kernel with another text, or with its workgroups folded early; all else is its own.

use attentive::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Unchecked, Variant, module};

/// Workgroups in one dimension where they are folded.
pub const FOLD: u32 = 2;

/// A kernel that stands in for another. It is leaked, as recordings ask for kernels that stay.
pub struct Wrapped {
    kernel: &'static dyn Kernel,
    about: About,
    per_dimension: u32,
}

/// The module of a variant without its prelude, with the line ends of the checkout taken away.
pub fn text(kernel: &dyn Kernel, variant: &Variant) -> String {
    module(kernel, variant).unwrap()[variant.prelude().len()..].replace("\r\n", "\n")
}

impl Wrapped {
    /// The kernel with its workgroups folded where they pass `per_dimension`: what takes 65,536 of them on a
    /// device, small cases show.
    pub fn folded(kernel: &'static dyn Kernel, per_dimension: u32) -> &'static Self {
        Box::leak(Box::new(Self { kernel, about: kernel.about(), per_dimension }))
    }

    /// The kernel with that text in the place of its own and of its shared files.
    /// Devices keep pipelines by their text, so that it shares none with the kernel.
    pub fn rewritten(kernel: &'static dyn Kernel, text: String) -> Self {
        let mut about = kernel.about();
        about.source = text.leak();
        Self { kernel, about, per_dimension: u32::MAX }
    }

    /// The same with its workgroups folded, too.
    pub fn fold(&self, per_dimension: u32) -> &'static Self {
        Box::leak(Box::new(Self { per_dimension, ..*self }))
    }
}

impl Kernel for Wrapped {
    fn about(&self) -> About {
        self.about
    }

    fn variants(&self) -> Vec<Variant> {
        self.kernel.variants()
    }

    fn quick(&self, variant: &Variant) -> bool {
        self.kernel.quick(variant)
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        self.kernel.workgroups(variant, parameters, per_dimension.min(self.per_dimension))
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        self.kernel.twin(variant, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        self.kernel.cost(variant, parameters)
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        self.kernel.cases(variant, depth)
    }

    fn unchecked(&self) -> Option<Unchecked> {
        // SAFETY: it stands in for a kernel that runs without checks, and shall run as that one does. Where a fault is
        // planted, sentinels behind the buffers and a time limit are there to see it.
        Some(unsafe { Unchecked::new() })
    }
}
