//! The faults that operators make of a kernel, in its variants.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use attentive::kernel::{Kernel, Variant, imports};

use crate::code::Code;
use crate::common::wrapped::text;
use crate::is_generated;
use crate::operators::{Site, sites};

/// Variants that a fault is tried in, until one's cases see it.
pub const TRIES: usize = 8;
/// The same of a shared file, in each of its kernels.
pub const SHARED_TRIES: usize = 3;

/// A fault, and where it can be planted.
pub struct Generated {
    /// Its number among the kernel's.
    number: usize,
    /// For each variant that runs it, which of the sites of its text.
    places: Vec<(usize, Vec<usize>)>,
}

struct Text {
    text: String,
    sites: Vec<Site>,
}

/// All of a kernel.
pub struct Faults {
    /// Those that are tried, each with its text.
    variants: Vec<(Variant, Rc<Text>)>,
    pub all: Vec<Generated>,
}

impl Faults {
    /// Of those variants.
    pub fn of(kernel: &dyn Kernel, variants: &[Variant]) -> Self {
        let mut faults = Self { variants: Vec::new(), all: Vec::new() };
        let (mut texts, mut numbers) = (Vec::<Rc<Text>>::new(), BTreeMap::new());
        let variants = if is_generated(kernel.name()) { variants } else { &[] };
        for (place, variant) in differing(kernel, variants).into_iter().enumerate() {
            let own = text(kernel, &variant);
            let code = Code::new(&own);
            let known = texts.iter().find(|text| text.text == own).cloned();
            let text = known.unwrap_or_else(|| {
                texts.push(Rc::new(Text { sites: sites(&code), text: own.clone() }));
                Rc::clone(&texts[texts.len() - 1])
            });
            let live = code.live(&constants(&variant));
            for (index, site) in text.sites.iter().enumerate().filter(|(_, site)| site.is_live(&live)) {
                let number = *numbers.entry(site.key.clone()).or_insert_with(|| {
                    faults.all.push(Generated { number: faults.all.len(), places: Vec::new() });
                    faults.all.len() - 1
                });
                let places = &mut faults.all[number].places;
                if places.last().is_none_or(|(last, _)| *last != place) {
                    places.push((place, Vec::new()));
                }
                places.last_mut().unwrap().1.push(index);
            }
            faults.variants.push((variant, text));
        }
        faults
    }

    /// Of the lines that a loop wrote out each fault has another one.
    fn place(&self, fault: &Generated, variant: usize) -> (&Text, &Site) {
        let (place, sites) = &fault.places[variant];
        let text = &self.variants[*place].1;
        (text, &text.sites[sites[fault.number % sites.len()]])
    }

    /// What is planted, for each variant that it is tried in: none where the fault is no valid module.
    pub fn planted<'a>(
        &'a self,
        fault: &'a Generated,
        most: usize,
    ) -> impl Iterator<Item = (&'a Variant, String)> {
        let places = (0..fault.places.len()).map(|place| {
            let (text, site) = self.place(fault, place);
            (&self.variants[fault.places[place].0].0, site.plant(&text.text))
        });
        places.filter(|(variant, text)| crate::valid(&variant.prelude(), text).is_ok()).take(most)
    }

    /// Its operator, its change and its place.
    pub fn name(&self, fault: &Generated) -> String {
        let (text, site) = self.place(fault, 0);
        let Site { place, line, operator, .. } = site;
        format!("{operator}: {} in {place}: `{line}`", site.change(&text.text))
    }

    pub fn file(&self, fault: &Generated) -> &str {
        &self.place(fault, 0).1.file
    }

    /// What tells it from others, in every kernel that has it.
    pub fn key(&self, fault: &Generated) -> &str {
        &self.place(fault, 0).1.key
    }
}

/// The constants that a variant sets, a `bool` as 0 or 1.
fn constants(variant: &Variant) -> BTreeMap<String, u32> {
    let prelude = variant.prelude();
    let lines = prelude.lines().filter_map(|line| line.strip_prefix("const ")?.strip_suffix(';'));
    let pairs = lines.filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let value = rest.split_once("= ")?.1;
        let value = match value {
            "true" => 1,
            "false" => 0,
            _ => value.trim_end_matches('u').parse().ok()?,
        };
        Some((name.to_owned(), value))
    });
    pairs.collect()
}

/// The variants in the order in which they are tried: each time the one that has most implementations, shared files and values
/// of constants that those before it have not, and among these the one that has most pairs of them that are new.
fn differing(kernel: &dyn Kernel, variants: &[Variant]) -> Vec<Variant> {
    let features = |variant: &Variant| -> Vec<String> {
        let files = imports(kernel, variant).unwrap().into_iter().map(str::to_owned);
        let values = constants(variant).into_iter().map(|(name, value)| format!("{name} {value}"));
        values.chain(files).chain([variant.name().to_owned()]).collect()
    };
    let mut numbers = BTreeMap::new();
    let mut number_of = |feature: String| {
        let next = numbers.len();
        *numbers.entry(feature).or_insert(next)
    };
    // A feature is a pair of it with itself.
    let mut left: Vec<(&Variant, Vec<[usize; 2]>)> = Vec::new();
    for variant in variants {
        let own: Vec<usize> = features(variant).into_iter().map(&mut number_of).collect();
        let pairs = own.iter().flat_map(|one| own.iter().map(move |other| [*one, *other]));
        left.push((variant, pairs.filter(|[one, other]| one <= other).collect()));
    }
    let (mut seen, mut ordered) = (HashSet::new(), Vec::new());
    while !left.is_empty() {
        let new = |pairs: &[[usize; 2]]| {
            let new = pairs.iter().filter(|pair| !seen.contains(*pair));
            new.fold([0, 0], |[one, both], pair| [one + usize::from(pair[0] == pair[1]), both + 1])
        };
        // The first of those that are equal.
        let next = (0..left.len()).rev().max_by_key(|place| new(&left[*place].1)).unwrap_or(0);
        let (variant, pairs) = left.remove(next);
        seen.extend(pairs);
        ordered.push(variant.clone());
    }
    ordered
}
