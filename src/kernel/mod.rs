//! A kernel is a WGSL shader, the layout of its parameters, its CPU twin, its test cases and its cost.

mod arguments;
mod case;
pub mod geometry;
mod parameters;
mod variant;

#[doc(no_inline)]
pub use crate::parameters;
pub use arguments::{Argument, Arguments};
pub use case::{Case, CaseArgument, Depth, Expected, Inputs};
pub use parameters::{Field, FieldKind};
pub use variant::{Constant, Variant};

use crate::error::{Error, Result};
use crate::shaders;

/// How a kernel uses one of its storage bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Written; what a kernel does not write stays as it was.
    Write,
    /// Read and written in place, as an optimizer does with its state. An invocation reads only the elements that it writes itself.
    Update,
}

/// A storage binding: `@group(0) @binding(1 + its place)`.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The variable's name in the shader.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
}

impl Binding {
    /// A binding that the kernel reads.
    pub const fn read(name: &'static str) -> Self {
        Self { name, access: Access::Read }
    }

    /// A binding that the kernel writes.
    pub const fn write(name: &'static str) -> Self {
        Self { name, access: Access::Write }
    }

    /// A binding that the kernel updates in place.
    pub const fn update(name: &'static str) -> Self {
        Self { name, access: Access::Update }
    }
}

/// The cost of one dispatch, counted on its sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts as two.
    pub flops: u64,
    /// Bytes that must cross memory at least once.
    pub bytes: u64,
    /// The most loop iterations that one invocation takes, all its loops together.
    pub iterations: u64,
}

/// A kernel\'s name, and what it is made of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct About {
    /// `family/stem`.
    pub name: &'static str,
    /// The shader's own file. `#import indexing` and the like take files of `shaders/shared/`.
    pub source: &'static str,
    /// The storage bindings, in order.
    pub bindings: &'static [Binding],
    /// The fields of the parameters' uniform, in order.
    pub fields: &'static [Field],
}

impl About {
    /// Of a kernel of a user's own.
    pub const fn new(
        name: &'static str,
        source: &'static str,
        bindings: &'static [Binding],
        fields: &'static [Field],
    ) -> Self {
        Self { name, source, bindings, fields }
    }

    /// Of one of this crate's, whose shader is `shaders/<name>.wgsl`.
    pub(crate) const fn ours(
        name: &'static str,
        bindings: &'static [Binding],
        fields: &'static [Field],
    ) -> Self {
        Self::new(name, shaders::text(name), bindings, fields)
    }
}

/// A hand-written kernel: one of this crate's ([`KERNELS`](crate::kernels::KERNELS)), or a user's own, which
/// [`Recording::dispatch`](crate::Recording::dispatch) records beside this crate's ops and
/// [`verify_variant`](crate::verify::verify_variant) verifies. `examples/own_kernel.rs` is a whole one.
///
/// Binding 0 of group 0 is the uniform with the parameters, storage bindings follow from 1 on, and the entry point is `main`.
///
/// Of this crate's kernels, parameters, geometry, twin, cases and cost stand together in
/// `src/kernels/<family>/<stem>.rs`; the shader is `shaders/<family>/<stem>.wgsl`.
pub trait Kernel: Send + Sync + 'static {
    /// Its name, its shader, its bindings and its parameters.
    fn about(&self) -> About;

    /// Every specialization that the dispatcher may ask for.
    fn variants(&self) -> Vec<Variant>;

    /// Whether quick runs have the variant too, as they have all of most kernels. Not where it joins what other variants
    /// have shown one by one, such as an activation, which knows no tile, and a tile.
    fn quick(&self, variant: &Variant) -> bool {
        let _ = variant;
        true
    }

    /// Workgroups of a dispatch with these parameters, none of them above `per_dimension`.
    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3];

    /// The same computation in plain f32 Rust, its arguments in binding order.
    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>);

    /// The cost of a dispatch with these parameters.
    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost;

    /// Seeded cases with the oracle's answers, for one variant.
    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case>;

    /// The words that a dispatch with these parameters takes of each binding, from the first on: of one that is read it
    /// reads no others, of one that is written it writes all of these, and reads none before. 0 for one that it does not
    /// use. `None` where a kernel does not say.
    ///
    /// [`Recording::dispatch`](crate::Recording::dispatch) refuses values with fewer. An output of more, or of a kernel
    /// that does not say, is one that is written in parts: then it must be written already, as
    /// [`Recording::zeros`](crate::Recording::zeros) is, so that nobody reads what the memory held before.
    /// [`verify`](crate::verify) holds the cases against what is said here.
    fn extents(&self, variant: &Variant, parameters: &[u8]) -> Option<Vec<u64>> {
        let _ = (variant, parameters);
        None
    }

    /// Says that it needs no checks: see [`Unchecked`].
    fn unchecked(&self) -> Option<Unchecked> {
        None
    }
}

/// A kernel's word that its shader may run without naga's bounds checks and loop bounding, which cost some speed. Without it
/// a kernel that is not this crate's runs with them.
#[derive(Clone, Copy, Debug)]
pub struct Unchecked(());

impl Unchecked {
    /// The word.
    ///
    /// # Safety
    /// Whatever the parameters are and whatever is bound (see [`Kernel::extents`]), the shader must index within its
    /// bindings and its own arrays, and all its loops must end.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

/// Bytes of a kernel's parameters.
pub(crate) fn parameter_bytes(kernel: &dyn Kernel) -> usize {
    kernel.parameters().iter().map(|field| field.offset + 4).max().unwrap_or(0)
}

impl dyn Kernel {
    /// `family/stem`.
    pub fn name(&self) -> &'static str {
        self.about().name
    }

    /// The variants that runs of that depth have.
    pub fn variants_of(&self, depth: Depth) -> Vec<Variant> {
        let mut variants = self.variants();
        variants.retain(|variant| depth == Depth::Full || self.quick(variant));
        variants
    }

    /// The shader's own file.
    pub fn source(&self) -> &'static str {
        self.about().source
    }

    /// The storage bindings, in order.
    pub fn bindings(&self) -> &'static [Binding] {
        self.about().bindings
    }

    /// The fields of the parameters' uniform, in order.
    pub fn parameters(&self) -> &'static [Field] {
        self.about().fields
    }
}

impl std::fmt::Debug for dyn Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The whole WGSL module of a variant: the generated prelude, the files of `shaders/shared/` that its shader imports, and the
/// shader itself with its loops written out (`src/shaders.rs`).
///
/// # Errors
/// [`Error::Argument`] for an import or a loop that is wrong.
pub fn module(kernel: &dyn Kernel, variant: &Variant) -> Result<String> {
    after(variant.prelude(), kernel, variant)
}

/// The same as a browser gets it: WebGPU's `enable` lines and diagnostics are not all naga's.
///
/// # Errors
/// As [`module`].
pub fn browser_module(kernel: &dyn Kernel, variant: &Variant) -> Result<String> {
    after(variant.browser_prelude(), kernel, variant)
}

fn after(mut module: String, kernel: &dyn Kernel, variant: &Variant) -> Result<String> {
    match shaders::append(&mut module, kernel.name(), kernel.source(), variant) {
        Ok(()) => Ok(module),
        Err(problem) => Err(wrong(kernel, problem)),
    }
}

/// The files of `shaders/shared/` that a variant's shader imports, each behind those that it imports itself.
///
/// # Errors
/// As [`module`].
pub fn imports(kernel: &dyn Kernel, variant: &Variant) -> Result<Vec<&'static str>> {
    let imports = shaders::imports(kernel.source(), variant).map_err(|problem| wrong(kernel, problem))?;
    Ok(imports.iter().map(|file| file.name).collect())
}

fn wrong(kernel: &dyn Kernel, problem: String) -> Error {
    Error::argument(kernel.name(), "the shader", "imports and loops that can be resolved", problem)
}
