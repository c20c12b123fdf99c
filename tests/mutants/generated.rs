//! The faults that operators make of a kernel, in its variants.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use attentive::kernel::{Kernel, Variant, imports};

use crate::common::wrapped::text;
use crate::operators::{Site, sites};

/// Variants that a fault is tried in, until one's cases see it.
pub const TRIES: usize = 8;

/// A fault, and where it can be planted.
pub struct Generated {
    site: Site,
    /// Its places in each of the texts that have any.
    places: BTreeMap<usize, Vec<Site>>,
    /// Its number among the kernel's.
    number: usize,
}

/// All of a kernel.
pub struct Faults {
    /// Those that are tried, each with the number of its text.
    variants: Vec<(Variant, usize)>,
    texts: Vec<Rc<str>>,
    pub all: Vec<Generated>,
}

impl Faults {
    /// Of those variants.
    pub fn of(kernel: &'static dyn Kernel, variants: &[Variant]) -> Self {
        let mut faults = Self { variants: Vec::new(), texts: Vec::new(), all: Vec::new() };
        for variant in differing(kernel, variants) {
            let own = text(kernel, &variant);
            let place = faults.texts.iter().position(|text| **text == *own).unwrap_or_else(|| {
                faults.texts.push(own.into());
                faults.texts.len() - 1
            });
            faults.variants.push((variant, place));
        }
        let mut numbers = BTreeMap::new();
        for (place, text) in faults.texts.iter().enumerate() {
            for site in sites(text) {
                let number = *numbers.entry(site.key.clone()).or_insert_with(|| {
                    let number = faults.all.len();
                    faults.all.push(Generated { site: site.clone(), places: BTreeMap::new(), number });
                    number
                });
                faults.all[number].places.entry(place).or_default().push(site);
            }
        }
        faults
    }

    /// What is planted, for each variant that it is tried in: none where the fault is no valid module.
    pub fn planted<'a>(&'a self, fault: &'a Generated) -> impl Iterator<Item = (&'a Variant, String)> {
        let places = self.variants.iter().filter_map(|(variant, text)| {
            let sites = fault.places.get(text)?;
            // Of the lines that a loop wrote out each fault has another one.
            Some((variant, sites[fault.number % sites.len()].plant(&self.texts[*text])))
        });
        places.filter(|(variant, text)| is_valid(&variant.prelude(), text)).take(TRIES)
    }

    pub fn name(&self, fault: &Generated) -> String {
        let (text, sites) = fault.places.iter().next().unwrap();
        let Site { place, line, operator, .. } = &fault.site;
        format!("{operator}: {} in {place}: `{line}`", sites[0].change(&self.texts[*text]))
    }
}

impl Generated {
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// The variants, those first that have an implementation, a shared file or a constant's value that those before them have
/// not.
fn differing(kernel: &dyn Kernel, variants: &[Variant]) -> Vec<Variant> {
    let mut seen = BTreeSet::new();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for variant in variants {
        let files = imports(kernel, variant).unwrap().into_iter().map(str::to_owned);
        let name = variant.to_string();
        let words = name.split(' ').map(str::to_owned).chain(files).filter(|word| seen.insert(word.clone()));
        if words.count() > 0 { first.push(variant.clone()) } else { rest.push(variant.clone()) }
    }
    first.extend(rest);
    first
}

fn is_valid(prelude: &str, text: &str) -> bool {
    crate::valid(prelude, text).is_ok()
}
