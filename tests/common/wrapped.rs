//! A kernel with another text, or with its workgroups folded early; all else is its own.

use attentive::kernel::{Arguments, Binding, Case, Cost, Depth, Field, Kernel, Variant, module};

/// Workgroups in one dimension where they are folded.
pub const FOLD: u32 = 2;

/// A kernel that stands in for another.
pub struct Wrapped {
    kernel: &'static dyn Kernel,
    source: &'static str,
    per_dimension: u32,
}

impl Wrapped {
    /// The kernel with its workgroups folded where they pass `per_dimension`: what takes 65,536 of them on a device, the
    /// smallest cases show.
    pub fn folded(kernel: &'static dyn Kernel, per_dimension: u32) -> &'static Self {
        Box::leak(Box::new(Self { kernel, source: kernel.source(), per_dimension }))
    }

    /// The kernel with its whole module in that variant changed, and the variant to run it in. Its name, twin, cases and
    /// geometry stay; the pipelines of a device are kept by their text, so that it shares none with the kernel.
    pub fn rewritten(
        kernel: &'static dyn Kernel,
        variant: &Variant,
        rewrite: impl FnOnce(&str) -> String,
    ) -> (Self, Variant) {
        let (prelude, module) = (variant.prelude(), module(kernel, variant));
        // A kept kernel is leaked, since recordings hold kernels forever; so is its text.
        let source = rewrite(&module[prelude.len()..]).leak();
        (Self { kernel, source, per_dimension: u32::MAX }, variant.clone().without_shared())
    }

    /// The same with its workgroups folded, too.
    pub fn fold(&self, per_dimension: u32) -> &'static Self {
        Box::leak(Box::new(Self { per_dimension, ..*self }))
    }
}

impl Kernel for Wrapped {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn formula(&self) -> &'static str {
        self.kernel.formula()
    }

    fn source(&self) -> &'static str {
        self.source
    }

    fn bindings(&self) -> &'static [Binding] {
        self.kernel.bindings()
    }

    fn parameters(&self) -> &'static [Field] {
        self.kernel.parameters()
    }

    fn variants(&self) -> Vec<Variant> {
        self.kernel.variants()
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
}
