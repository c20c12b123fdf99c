//! What a mutant is, and which variants it is planted in.

use std::collections::BTreeSet;

use attentive::kernel::{Kernel, Variant, imports};
use attentive::kernels::KERNELS;

/// A fault, as a replacement in the text of a kernel's module.
#[derive(Clone, Copy)]
pub struct Mutant {
    /// What the fault is.
    pub fault: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// How often `from` is in the module.
    times: usize,
    /// Words that a variant has, or with `!` has not: those of its name (its implementation and its constants), and the names of
    /// the shared files that it takes, without their folders.
    pub on: &'static str,
    /// Whether one variant is enough.
    once: bool,
}

/// A fault in every variant.
pub const fn mutant(fault: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { fault, from, to, times: 1, on: "", once: false }
}

impl Mutant {
    /// Only in variants with these words, such as `"workgroup !has_bias"`.
    pub const fn on(self, on: &'static str) -> Self {
        Self { on, ..self }
    }

    /// `from` is there so many times, and all of them are replaced.
    pub const fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Only in the first of its variants: the others have the same part of the text, and use it in the same way.
    pub const fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// Plants it.
    ///
    /// # Errors
    /// The text is not what the mutant was written for.
    pub fn plant(&self, text: &str) -> Result<String, String> {
        let found = text.matches(self.from).count();
        match found == self.times && self.from != self.to {
            true => Ok(text.replace(self.from, self.to)),
            false => Err(format!(
                "its text is there {found} times and should be {} times, and be changed:\n{}",
                self.times, self.from
            )),
        }
    }

    /// The fault, and what it is for.
    pub fn name(&self) -> String {
        if self.on.is_empty() { self.fault.to_owned() } else { format!("{} ({})", self.fault, self.on) }
    }

    /// Whether it is for subgroups of one size, which an adapter may not have.
    pub fn is_for_one_subgroup_size(&self) -> bool {
        self.on.contains("subgroup_size=")
    }

    fn is_for(&self, variant: &Variant, files: &[&str]) -> bool {
        let name = variant.to_string();
        let has = |word: &str| name.split(' ').chain(files.iter().copied()).any(|other| other == word);
        self.on.split_whitespace().all(|word| match word.strip_prefix('!') {
            Some(word) => !has(word),
            None => has(word),
        })
    }
}

/// The mutants of one kernel that are written.
#[derive(Clone, Copy)]
pub struct Mutants {
    pub kernel: &'static str,
    /// Constants whose every value is tried, as every implementation and every shared file is.
    pub constants: &'static [&'static str],
    /// Its own, and those of the shared files.
    pub faults: &'static [&'static [Mutant]],
    /// Those of shared files that every variant uses in the same way: each in the first of its variants.
    pub once: &'static [&'static [Mutant]],
}

impl Mutants {
    pub fn all(&self) -> impl Iterator<Item = Mutant> {
        let once = self.once.iter().copied().flatten().map(|mutant| mutant.once());
        self.faults.iter().copied().flatten().copied().chain(once)
    }

    pub fn count(&self) -> usize {
        self.all().count()
    }

    pub fn kernel(&self) -> &'static dyn Kernel {
        let kernel = KERNELS.iter().find(|kernel| kernel.name() == self.kernel);
        *kernel.unwrap_or_else(|| panic!("tests/mutants: there is no kernel {}", self.kernel))
    }

    /// Those of the variants that a mutant is planted in: each has an implementation, a shared file or a value of a
    /// constant that those before it have not.
    pub fn variants(&self, mutant: &Mutant, variants: &[Variant]) -> Vec<Variant> {
        let mut seen = BTreeSet::new();
        let new = |variant: &&Variant| {
            let files = imports(self.kernel(), variant).unwrap();
            let files: Vec<&str> = files.iter().filter_map(|name| name.rsplit('/').next()).collect();
            let is_for = mutant.is_for(variant, &files);
            let files = files.into_iter().map(str::to_owned);
            let constants = self.constants.iter();
            let values = constants.map(|name| format!("{name} {:?}", variant.get(name)));
            let features = files.chain(values).chain([format!("implementation {}", variant.name())]);
            is_for && features.filter(|feature| seen.insert(feature.clone())).count() > 0
        };
        let most = if mutant.once { 1 } else { usize::MAX };
        variants.iter().filter(new).take(most).cloned().collect()
    }
}
