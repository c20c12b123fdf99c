//! The families of encoders. A new one is a file here and its line in [`Family::ALL`].

mod bert;
mod distilbert;
mod electra;
mod roberta;

use super::family::Family;

impl Family {
    /// All families.
    pub const ALL: &'static [&'static Self] =
        &[&bert::BERT, &roberta::ROBERTA, &distilbert::DISTILBERT, &electra::ELECTRA];

    /// The family with that `model_type`.
    pub(crate) fn of_model_type(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().copied().find(|family| family.model_types().any(|known| known == name))
    }

    /// The family that has such a class of transformers.
    pub(crate) fn of_class(class: &str) -> Option<&'static Self> {
        let begins = |prefix: &&str| class.starts_with(prefix);
        let has = |family: &&Self| family.model_types.iter().any(|of| of.classes.iter().any(begins));
        Self::ALL.iter().copied().find(has)
    }

    /// What `model_type` may be, in the order of the alphabet.
    pub(crate) fn known_model_types() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::ALL.iter().flat_map(|family| family.model_types()).collect();
        names.sort_unstable();
        names
    }

    /// BERT, which has all the heads.
    pub(crate) fn bert() -> &'static Self {
        &bert::BERT
    }
}
