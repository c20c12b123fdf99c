//! Dispatches: what one is, and what is asked of it before it is recorded.

use super::{Mark, Recording, Value};
use crate::device::Texel;
use crate::error::{Error, Result};
use crate::kernel::{Access, Cost, Kernel, Variant, parameter_bytes};
use crate::kernels::is_ours;
use crate::tensor::Tensor;

/// A dispatch as raw wgpu takes it.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawDispatch<'a> {
    /// The whole WGSL module.
    pub module: String,
    /// The uniform's bytes.
    pub parameters: &'a [u8],
    /// Workgroups.
    pub workgroups: [u32; 3],
    /// The slot of each storage binding, and whether it is read alone.
    pub bindings: Vec<(usize, bool)>,
}

/// One dispatch of a kernel.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub kernel: &'static dyn Kernel,
    pub variant: Variant,
    pub parameters: Vec<u8>,
    pub workgroups: [u32; 3],
    /// The slot behind each storage binding.
    pub bindings: Vec<usize>,
    /// Where in the model it stands.
    pub scope: String,
    pub cost: Cost,
    /// Runs with naga's bounds checks and loop bounding.
    pub checked: bool,
}

impl Dispatch {
    /// The slots that it writes or updates.
    pub fn writes(&self) -> impl Iterator<Item = usize> + '_ {
        let bindings = self.kernel.bindings().iter().zip(&self.bindings);
        bindings.filter(|(binding, _)| binding.access != Access::Read).map(|(_, slot)| *slot)
    }

    /// The slots that it reads as images: the place among the variant's images, what a texel holds, and the slot.
    pub fn images(&self) -> impl Iterator<Item = (usize, Texel, usize)> + '_ {
        self.kernel.bindings().iter().zip(&self.bindings).filter_map(|(binding, &slot)| {
            let (place, texel) = self.variant.image_of(binding.name)?;
            Some((place, texel, slot))
        })
    }
}

impl Recording {
    /// Records a dispatch of a kernel, a user's own or one of this crate's, with `bindings` in the kernel's order. Each is
    /// bound from its first element to its last, so that `arrayLength` tells the words that it has.
    ///
    /// `parameters` is what [`About::fields`](crate::kernel::About::fields) lists. An output is a tensor's value, one of [`Recording::zeros`], or a
    /// [`Recording::temporary`], where the kernel says that it writes all of it ([`Kernel::extents`]). The shader runs with
    /// naga's bounds checks unless the kernel has said that it needs none
    /// ([`Unchecked`](crate::kernel::Unchecked)): an index out of bounds touches no memory of others. A dispatch of no
    /// workgroups is left out.
    ///
    /// `examples/own_kernel.rs` is a whole kernel with its twin, its cases and its place in a recording.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of bindings or of bytes of parameters than the kernel has, a value of another
    /// recording, one with fewer words than the dispatch takes, one that nothing has written and that is read or written in
    /// part, or one that is written and bound twice; [`Error::Limit`], [`Error::Implementation`] for what the device
    /// cannot run. Then nothing is recorded. A shader that is no valid WGSL is an [`Error::Rejected`] with naga's words at
    /// [`Recording::run`].
    pub fn dispatch(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: &Variant,
        parameters: &impl bytemuck::Pod,
        bindings: &[&Value],
    ) -> Result<()> {
        let bytes = bytemuck::bytes_of(parameters);
        let wrong =
            |argument: &str, expected, found| Err(Error::argument(kernel.name(), argument, expected, found));
        let needed = parameter_bytes(kernel);
        if bytes.len() != needed {
            let expected = format!("the {needed} bytes of the kernel's fields");
            return wrong("the parameters", expected, format!("{} bytes", bytes.len()));
        }
        if bindings.len() != kernel.bindings().len() {
            let names: Vec<&str> = kernel.bindings().iter().map(|binding| binding.name).collect();
            let expected = format!("a value for each of [{}]", names.join(", "));
            return wrong("the bindings", expected, format!("{} values", bindings.len()));
        }
        bindings.iter().try_for_each(|value| self.own(value))?;
        let extents = kernel.extents(variant, bytes);
        if let Some(extents) = extents.as_ref().filter(|extents| extents.len() != bindings.len()) {
            let expected = format!("an extent for each of {} bindings", bindings.len());
            return wrong("Kernel::extents", expected, extents.len().to_string());
        }
        for (place, (binding, value)) in kernel.bindings().iter().zip(bindings).enumerate() {
            let (name, has) = (format!("`{}`", binding.name), self.slots[value.index].words);
            let extent = extents.as_ref().map(|extents| extents[place]);
            if let Some(extent) = extent.filter(|&extent| extent > has) {
                let expected = format!("of {extent} words at least, as the parameters say");
                return wrong(&name, expected, format!("{} {} of {has}", value.dtype, value.shape));
            }
            if binding.access == Access::Write && extent != Some(has) && !self.is_written(value) {
                let expected = "a tensor's value or one of `Recording::zeros`, as the kernel does not say that it \
                                writes all of it (`Kernel::extents`)";
                let found = format!("a temporary {} {} that nothing has written", value.dtype, value.shape);
                return wrong(&name, expected.to_owned(), found);
            }
        }
        let checked = kernel.unchecked().is_none();
        self.append(kernel, variant.clone(), bytes.to_vec(), bindings, checked)
    }

    /// Appends a dispatch of a kernel of ours for an op that has checked its arguments; `bindings` in the kernel's order.
    /// The op writes each output wholly, in this dispatch or in those that follow.
    pub(crate) fn dispatch_trusted(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: Variant,
        parameters: &impl bytemuck::Pod,
        bindings: &[&Value],
    ) -> Result<()> {
        self.append(kernel, variant, bytemuck::bytes_of(parameters).to_vec(), bindings, false)
    }

    /// [`Recording::dispatch_trusted`] of one of a kernel's own cases. A kernel that is none of ours runs with checks, unless
    /// it says that it needs none.
    pub(crate) fn dispatch_case(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: &Variant,
        parameters: &[u8],
        bindings: &[&Value],
    ) -> Result<()> {
        let checked = !is_ours(kernel) && kernel.unchecked().is_none();
        self.append(kernel, variant.clone(), parameters.to_vec(), bindings, checked)
    }

    fn append(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: Variant,
        parameters: Vec<u8>,
        bindings: &[&Value],
        checked: bool,
    ) -> Result<()> {
        for value in bindings {
            self.own(value)?;
        }
        self.expect_rule(kernel, bindings)?;
        // Neither WebGPU nor the twins allow it.
        let each = || kernel.bindings().iter().zip(bindings).enumerate();
        for (place, (written, value)) in each().filter(|(_, (binding, _))| binding.access != Access::Read) {
            let other = each().find(|(other, (_, same))| *other != place && self.share(value, same));
            if let Some((_, (other, _))) = other {
                let found = format!("that of `{}`", other.name);
                let argument = format!("`{}`", written.name);
                return Err(Error::argument(kernel.name(), argument, "a buffer of its own", found));
            }
        }
        if let Some((_, (binding, value))) =
            each().find(|(_, (binding, value))| binding.access != Access::Write && !self.is_written(value))
        {
            let expected = "written before it is read (`Recording::zeros` is a value of zeros)";
            let found = format!("a temporary {} {} that nothing has written", value.dtype, value.shape);
            return Err(Error::argument(kernel.name(), format!("`{}`", binding.name), expected, found));
        }
        let capabilities = self.device.capabilities();
        if let Err(reason) = variant.runs_on(capabilities) {
            let (op, name) = (kernel.name().to_owned(), variant.name().to_owned());
            return Err(Error::Implementation { op, name, reason });
        }
        let (needed, available) = (kernel.bindings().len() as u32, capabilities.storage_buffers);
        if needed > available {
            return Err(Error::Limit {
                what: kernel.name().to_owned(),
                limit: "maxStorageBuffersPerShaderStage",
                needed: needed.into(),
                available: available.into(),
            });
        }
        self.fits_images(kernel, &variant, bindings)?;
        let limit = capabilities.workgroups_per_dimension;
        let workgroups = kernel.workgroups(&variant, &parameters, limit);
        if let Some(&needed) = workgroups.iter().find(|&&count| count > limit) {
            return Err(Error::Limit {
                what: kernel.name().to_owned(),
                limit: "maxComputeWorkgroupsPerDimension",
                needed: needed.into(),
                available: limit.into(),
            });
        }
        if workgroups.contains(&0) {
            return Ok(());
        }
        let cost = kernel.cost(&variant, &parameters);
        if let Some(available) = capabilities.loop_iterations.filter(|&limit| cost.iterations > limit) {
            return Err(Error::Limit {
                what: format!("{} ({})", kernel.name(), variant.name()),
                limit: "loop iterations of one invocation",
                needed: cost.iterations,
                available,
            });
        }
        let bindings: Vec<usize> = bindings.iter().map(|value| value.index).collect();
        let scope = self.scope.join(".");
        let dispatch = Dispatch { kernel, variant, parameters, workgroups, bindings, scope, cost, checked };
        for slot in dispatch.writes() {
            if let Some(buffer) = self.slots[slot].tensor.as_ref().and_then(Tensor::gpu_buffer) {
                buffer.changes();
            }
            if !self.slots[slot].written {
                self.slots[slot].written = true;
                self.marks.push(Mark::Written(slot));
            }
        }
        self.dispatches.push(dispatch);
        Ok(())
    }

    /// Whether the values that a variant reads as images can be read so.
    ///
    /// # Errors
    /// [`Error::Limit`] for one that is too large for an image of the device, [`Error::Argument`] for a host's buffer that
    /// must not be copied.
    pub(crate) fn fits_images(
        &self,
        kernel: &dyn Kernel,
        variant: &Variant,
        bindings: &[&Value],
    ) -> Result<()> {
        for (binding, value) in kernel.bindings().iter().zip(bindings) {
            if let Some((_, texel)) = variant.image_of(binding.name) {
                self.fits_image(value, texel)?;
            }
        }
        Ok(())
    }

    fn fits_image(&self, value: &Value, texel: Texel) -> Result<()> {
        let slot = &self.slots[value.index];
        if slot.constant.is_some() {
            return Err(Error::argument("recording", "an image", "of a tensor", "words from the host"));
        }
        let (needed, available) = (texel.rows(slot.words), self.device.capabilities().image_rows);
        if needed > available.into() {
            let what = format!("{} {} as an image", value.dtype, value.shape);
            let limit = "maxTextureDimension2D";
            return Err(Error::Limit { what, limit, needed, available: available.into() });
        }
        let buffer = slot.tensor.as_ref().and_then(Tensor::gpu_buffer);
        match buffer.map(|buffer| buffer.buffer.usage()) {
            Some(usage) if !usage.contains(wgpu::BufferUsages::COPY_SRC) => {
                let expected = "with the usage COPY_SRC, to be read as an image";
                Err(Error::argument("recording", "the buffer", expected, format!("{usage:?}")))
            }
            _ => Ok(()),
        }
    }
}
