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

    /// How the names of its classes begin that have such a `model_type`; the first of the family's where it has no such one.
    pub(crate) fn class(&self, model_type: &str) -> &'static str {
        let own = self.model_types.iter().find(|of| of.name == model_type).or(self.model_types.first());
        own.and_then(|of| of.classes.first()).map_or("", |class| class.trim_end_matches("For"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_model_is_of_two_families() {
        let names = Family::known_model_types();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for family in Family::ALL {
            let same = Family::ALL.iter().filter(|other| other == &family);
            assert_eq!(same.count(), 1, "{family}");
            for class in family.model_types.iter().flat_map(|model_type| model_type.classes) {
                let of = |other: &&&Family| {
                    let mut classes = other.model_types.iter().flat_map(|model_type| model_type.classes);
                    classes.any(|other| class.starts_with(other))
                };
                assert_eq!(Family::ALL.iter().filter(of).count(), 1, "{class}");
            }
        }
    }

    #[test]
    fn the_encoder_leaves_out_the_heads_of_its_family() {
        for Family { name, heads, unused, .. } in Family::ALL {
            let words = &heads.masked_language;
            let layers = [heads.pooler, heads.next_sentence, heads.sequence, heads.token];
            let layers = layers.into_iter().flatten().map(|layer| layer.name);
            let parts = layers.chain([words.transform, words.norm, words.decoder]);
            for part in parts.chain(words.second_bias) {
                let weight = format!("{part}.weight");
                assert!(unused.iter().any(|begins| weight.starts_with(begins)), "{name}: {part}");
            }
        }
    }
}
