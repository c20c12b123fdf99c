//! Variants: what a kernel's module is specialized by.

use std::fmt;

use crate::device::{IMAGE_COLUMNS, Texel};
use crate::shaders::Facts;

/// A `const` in a module's prelude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constant {
    /// `u32`.
    U32(u32),
    /// `bool`.
    Bool(bool),
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Bytes of workgroup memory that every adapter has: the 16 KiB of WebGPU, less what OpenGL drivers keep.
const EVERYWHERE: u32 = 16352;

/// One specialization of a kernel: the constants of its prelude, by which its shader also takes its shared files, and what it
/// needs of the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    name: &'static str,
    enables: Vec<&'static str>,
    constants: Vec<(&'static str, Constant)>,
    workgroup_bytes: u32,
    images: Vec<(&'static str, Texel)>,
    subgroups_agree: bool,
}

impl Variant {
    /// A variant of that implementation, such as `tiled` or `subgroup`, with so many invocations in a workgroup, which are its
    /// constant `WORKGROUP`.
    pub fn new(name: &'static str, workgroup: u32) -> Self {
        Self {
            name,
            enables: Vec::new(),
            constants: vec![("WORKGROUP", Constant::U32(workgroup))],
            workgroup_bytes: EVERYWHERE,
            images: Vec::new(),
            subgroups_agree: false,
        }
    }

    /// Adds an `enable` line, such as `f16`.
    #[must_use]
    pub fn enable(mut self, extension: &'static str) -> Self {
        if !self.enables.contains(&extension) {
            self.enables.push(extension);
        }
        self
    }

    /// Adds a `const`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Says how much workgroup memory it takes, where that is more than every adapter has.
    #[must_use]
    pub fn taking(mut self, workgroup_bytes: u32) -> Self {
        self.workgroup_bytes = workgroup_bytes.max(EVERYWHERE);
        self
    }

    /// Says that the kernel branches on the result of a subgroup operation with more of them behind it. A browser's compiler
    /// cannot see that all of a subgroup take such a branch together, and must be told not to ask.
    #[must_use]
    pub fn branching_by_subgroup(mut self) -> Self {
        self.subgroups_agree = true;
        self
    }

    /// Reads a binding as an image: its buffer is copied into a texture before the dispatch, row after row of
    /// `IMAGE_COLUMNS` texels.
    #[must_use]
    pub fn through_image(mut self, binding: &'static str, texel: Texel) -> Self {
        self.images.push((binding, texel));
        if self.images.len() > 1 { self } else { self.with("IMAGE_COLUMNS", IMAGE_COLUMNS) }
    }

    /// The implementation's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The `enable` lines' extensions.
    pub fn enables(&self) -> &[&'static str] {
        &self.enables
    }

    /// Bytes of workgroup memory that it may take.
    pub fn workgroup_bytes(&self) -> u32 {
        self.workgroup_bytes
    }

    /// The bindings that it reads as images, and what a texel of each holds.
    pub fn images(&self) -> &[(&'static str, Texel)] {
        &self.images
    }

    /// The place of a binding among those that it reads as images.
    pub(crate) fn image_of(&self, binding: &str) -> Option<(usize, Texel)> {
        let place = self.images.iter().position(|(name, _)| *name == binding)?;
        Some((place, self.images[place].1))
    }

    /// The value of a `const`; `None` where the variant has none of that name.
    pub fn get(&self, name: &str) -> Option<Constant> {
        self.constants.iter().find(|(known, _)| *known == name).map(|&(_, value)| value)
    }

    /// A `const` of type `u32`.
    ///
    /// # Panics
    /// Where there is none: a kernel asks for the constants that its own variants have ([`Variant::get`] asks about one that only
    /// some have).
    #[track_caller]
    pub fn u32(&self, name: &str) -> u32 {
        match self.get(name) {
            Some(Constant::U32(value)) => value,
            other => panic!("variant `{self}` has no u32 `{name}`, but {other:?}"),
        }
    }

    /// A `const` of type `bool`.
    ///
    /// # Panics
    /// Where there is none, as [`Variant::u32`].
    #[track_caller]
    pub fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Constant::Bool(value)) => value,
            other => panic!("variant `{self}` has no bool `{name}`, but {other:?}"),
        }
    }

    /// The generated head of the module.
    pub fn prelude(&self) -> String {
        self.head(cfg!(target_arch = "wasm32"))
    }

    /// The generated head of the module that a browser gets.
    pub fn browser_prelude(&self) -> String {
        self.head(true)
    }

    fn head(&self, in_browser: bool) -> String {
        let mut text = String::new();
        // naga has subgroup operations without their `enable` line and rejects the line; browsers want it.
        let written = |extension: &&&str| in_browser || **extension != "subgroups";
        for extension in self.enables.iter().filter(written) {
            text.push_str(&format!("enable {extension};\n"));
        }
        // naga has no such rule, and warns of each that it does not know.
        if in_browser && self.subgroups_agree {
            text.push_str("diagnostic(off, subgroup_uniformity);\n");
        }
        for (name, value) in &self.constants {
            text.push_str(&match value {
                Constant::U32(value) => format!("const {name}: u32 = {value}u;\n"),
                Constant::Bool(value) => format!("const {name}: bool = {value};\n"),
            });
        }
        text
    }

    /// Appends what tells it from every other variant: names as they are, texts that stay by where they are.
    pub(crate) fn write_key(&self, key: &mut Vec<u8>) {
        for extension in &self.enables {
            key.extend_from_slice(extension.as_bytes());
            key.push(b' ');
        }
        for (name, value) in &self.constants {
            key.extend_from_slice(name.as_bytes());
            let (kind, value) = match value {
                Constant::U32(value) => (b'=', *value),
                Constant::Bool(value) => (b'?', u32::from(*value)),
            };
            key.push(kind);
            key.extend_from_slice(&value.to_ne_bytes());
        }
        key.push(b';');
        key.extend_from_slice(self.name.as_bytes());
        key.push(b';');
        for (binding, texel) in &self.images {
            key.extend_from_slice(binding.as_bytes());
            key.push(texel.bytes() as u8);
        }
        key.push(b';');
    }

    fn is_cooperative(&self) -> bool {
        self.enables.contains(&"wgpu_cooperative_matrix")
    }

    /// Whether the device has what it needs.
    ///
    /// # Errors
    /// The sentence that says what it lacks.
    pub fn runs_on(&self, capabilities: &crate::device::Capabilities) -> Result<(), String> {
        let (needed, allowed) = (self.u32("WORKGROUP"), capabilities.workgroup_invocations);
        if needed > allowed {
            return Err(format!("it needs {needed} invocations in a workgroup, the device allows {allowed}"));
        }
        let (needed, allowed) = (self.workgroup_bytes, capabilities.workgroup_bytes);
        if needed > allowed {
            return Err(format!("it needs {needed} bytes of workgroup memory, the device allows {allowed}"));
        }
        if !self.images.is_empty() && capabilities.image_rows == 0 {
            return Err("the device has no storage textures".to_owned());
        }
        if self.is_cooperative() {
            let [side, size] = ["SIDE", "SUBGROUP_SIZE"].map(|name| self.u32(name));
            return match capabilities.cooperative {
                Some(has) if (has.side, has.subgroup_size) == (side, size) => Ok(()),
                Some(has) => Err(format!(
                    "it needs matrices of side {side} in subgroups of {size}, the device has {} in {}",
                    has.side, has.subgroup_size
                )),
                None => Err("the device has no cooperative matrices, or was not asked for them".to_owned()),
            };
        }
        if self.enables.contains(&"f16") && !capabilities.shader_f16 {
            return Err("the device has no f16 in shaders".to_owned());
        }
        if self.enables.contains(&"subgroups") {
            let needed = match self.get("SUBGROUP_SIZE") {
                Some(Constant::U32(size)) => Some(size),
                _ => None,
            };
            match (capabilities.subgroups, needed) {
                (Some((min, max)), None) if min == max => {}
                (Some((min, max)), Some(needed)) if min == max && needed == min => {}
                (Some((min, max)), Some(needed)) if min == max => {
                    return Err(format!("it needs subgroups of {needed}, the device has {min}"));
                }
                (Some((min, max)), _) => {
                    return Err(format!("the device's subgroups vary from {min} to {max}"));
                }
                (None, _) => return Err("the device has no subgroup operations".to_owned()),
            }
        }
        Ok(())
    }
}

impl Facts for Variant {
    fn constant(&self, name: &str) -> Option<u32> {
        Some(match self.get(name)? {
            Constant::U32(value) => value,
            Constant::Bool(value) => value.into(),
        })
    }

    fn is(&self, word: &str) -> bool {
        self.name == word || self.enables.contains(&word)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (name, value) in &self.constants {
            let name = name.to_lowercase();
            match value {
                Constant::U32(value) => write!(f, " {name}={value}")?,
                Constant::Bool(true) => write!(f, " {name}")?,
                Constant::Bool(false) => {}
            }
        }
        // Neither the implementation's name nor the size of its subgroups tells of f16.
        if self.enables.contains(&"f16") {
            f.write_str(" f16")?;
        }
        Ok(())
    }
}
