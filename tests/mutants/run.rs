//! Runs a kernel's cases with faults planted in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use attentive::device::AdapterSummary;
use attentive::kernel::{Case, CaseArgument, Depth, Kernel, Variant};
use attentive::verify::run_case;
use attentive::{Device, DeviceOptions};

use crate::common::wrapped::{FOLD, Wrapped, text};
use crate::common::{open, usable_adapters};
use crate::equivalents::EQUIVALENTS;
use crate::generated::{Faults, Generated, SHARED_TRIES, TRIES};
use crate::is_generated;
use crate::mutant::Mutants;

/// A mutant that takes longer is told: its loops may not end.
const SLOW: Duration = Duration::from_secs(20);
/// Mutants of each kernel in the sample: so many are written and so many generated, or all generated where none is written.
const SAMPLE: usize = 1;

/// Where every fault must be caught.
pub const LLVMPIPE: &str = "llvmpipe";

/// The device that faults are tried on: llvmpipe where it is, with the shader checks, as faults write anywhere.
pub struct Bench {
    adapter: AdapterSummary,
    options: DeviceOptions,
    device: Device,
}

impl Bench {
    pub fn new() -> Option<Self> {
        let mut adapters = usable_adapters();
        let llvmpipe = adapters.iter().position(|adapter| adapter.name.contains(LLVMPIPE));
        let adapter = if adapters.is_empty() { None } else { Some(adapters.remove(llvmpipe.unwrap_or(0))) }?;
        let mut options = DeviceOptions::default();
        options.shader_checks = true;
        options.cooperative = true;
        options.timeout = Duration::from_secs(60);
        let device = open(&adapter, &options);
        Some(Self { adapter, options, device })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// It is opened anew now and then: a device keeps its pipelines, and all of them would fill gigabytes.
    pub fn device(&mut self) -> &Device {
        if self.device.pipelines() >= 64 {
            self.reopen();
        }
        &self.device
    }

    fn reopen(&mut self) {
        self.device = open(&self.adapter, &self.options);
    }
}

/// What came of a kernel's mutants, as a line of the table.
#[derive(Default)]
pub struct Row {
    pub kernel: &'static str,
    pub written: usize,
    pub generated: usize,
    /// Pairs of a mutant and a variant.
    pub planted: usize,
    pub caught: usize,
    pub survivors: usize,
    /// Generated ones that are known to compute the same.
    pub same: usize,
    pub took: Duration,
}

impl Row {
    pub const HEAD: &str =
        "kernel                           written generated planted caught survivors  same seconds";
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kernel, written, generated, planted, caught, survivors, same, took } = self;
        let seconds = took.as_secs_f64();
        write!(f, "{kernel:<32} {written:>7} {generated:>9} {planted:>7} {caught:>6} ")?;
        write!(f, "{survivors:>9} {same:>5} {seconds:>7.1}")
    }
}

/// Whether a kernel's own cases must see the faults of a file: its own, and what each kernel uses in its own way. Those of the other
/// shared files must be seen by some kernel that takes them.
fn is_own(kernel: &str, file: &str) -> bool {
    file == kernel || file == "shared/indexing" || file.starts_with("shared/reduce/")
}

/// What is told of all kernels.
pub struct Tally {
    pub survivors: Vec<String>,
    /// Faults of the shared files, by their keys: the name, the file, and whether a kernel's cases have seen it.
    pub shared: BTreeMap<String, (String, String, bool)>,
    /// For each of the equivalents the mutants that it is about, and those that were caught.
    pub equivalents: Vec<[usize; 2]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { survivors: Vec::new(), shared: BTreeMap::new(), equivalents: vec![[0; 2]; EQUIVALENTS.len()] }
    }
}

impl Tally {
    /// Adds what another thread has seen.
    pub fn add(&mut self, other: Self) {
        self.survivors.extend(other.survivors);
        for (key, (name, file, seen)) in other.shared {
            let entry = self.shared.entry(key).or_insert((name, file, false));
            entry.2 |= seen;
        }
        for (sum, more) in self.equivalents.iter_mut().zip(other.equivalents) {
            sum[0] += more[0];
            sum[1] += more[1];
        }
    }
}

impl Clone for Bench {
    /// Another device on the same adapter.
    fn clone(&self) -> Self {
        let (adapter, options) = (self.adapter.clone(), self.options.clone());
        let device = open(&adapter, &options);
        Self { adapter, options, device }
    }
}

/// A kernel whose mutants are planted.
struct Run<'a> {
    bench: &'a mut Bench,
    kernel: &'static dyn Kernel,
    /// A variant's cases are made once; the small ones go first.
    cases: Vec<(Variant, Vec<Case>)>,
    row: Row,
}

/// Plants a kernel's mutants: all of them, those that are written in every variant that they are for, or a few.
pub fn run(bench: &mut Bench, mutants: &Mutants, sample: bool, tally: &mut Tally) -> Row {
    let begun = Instant::now();
    eprintln!("{} …", mutants.kernel);
    let kernel = mutants.kernel();
    let capabilities = bench.device().capabilities().clone();
    let here = here(bench, kernel);
    let row = Row { kernel: mutants.kernel, ..Row::default() };
    let mut run = Run { bench, kernel, cases: Vec::new(), row };
    run.written(mutants, &here, sample, tally);
    // On an adapter that has all that the variants ask for, none may be left out.
    let matrices = capabilities.cooperative.is_some() || !mutants.kernel.ends_with("_cooperative");
    if capabilities.shader_f16 && capabilities.subgroups == Some((8, 8)) && matrices && !sample {
        let expected = mutants.all().filter(|mutant| !mutant.is_for_one_subgroup_size()).count();
        assert_eq!(run.row.written, expected, "{}: not all were run", mutants.kernel);
    }
    let most = if is_generated(kernel.name()) && mutants.count() == 0 { 2 * SAMPLE } else { SAMPLE };
    run.generated(&here, if sample { most } else { usize::MAX }, tally);
    run.row.took = begun.elapsed();
    run.row
}

/// The variants that run on the device.
fn here(bench: &mut Bench, kernel: &dyn Kernel) -> Vec<Variant> {
    let capabilities = bench.device().capabilities().clone();
    kernel.variants().into_iter().filter(|variant| variant.runs_on(&capabilities).is_ok()).collect()
}

impl Run<'_> {
    fn written(&mut self, mutants: &Mutants, here: &[Variant], sample: bool, tally: &mut Tally) {
        let count = mutants.count();
        let most = if is_generated(mutants.kernel) { SAMPLE } else { 2 * SAMPLE };
        for (index, mutant) in mutants.all().enumerate() {
            // Evenly over the list: each part of it is about another part of the kernel.
            if sample && (index * most / count == (index + 1) * most / count) {
                continue;
            }
            let mut variants = mutants.variants(&mutant, here);
            if sample && variants.len() > 1 {
                variants = vec![variants.swap_remove(index % variants.len())];
            }
            self.row.written += usize::from(!variants.is_empty());
            for variant in variants {
                let planted = mutant.plant(&text(self.kernel, &variant));
                let seen = planted.and_then(|text| self.sees(&variant, text, mutant.fault));
                if seen != Ok(true) {
                    self.survived(&format!("{variant}: `{}`", mutant.fault), seen, tally);
                }
            }
        }
    }

    fn generated(&mut self, here: &[Variant], most: usize, tally: &mut Tally) {
        let faults = Faults::of(self.kernel, here);
        let sample = most < usize::MAX;
        let asked = std::env::var("ATTENTIVE_MUTANTS_FILE").unwrap_or_default();
        let is_wanted = |fault: &&Generated| match sample {
            true => faults.file(fault) == self.kernel.name(),
            false => asked.split(',').any(|text| faults.file(fault).contains(text)),
        };
        let all: Vec<&Generated> = faults.all.iter().filter(is_wanted).collect();
        let mut wanted = 0;
        for (index, fault) in all.iter().enumerate() {
            // Evenly over the text; where one is none, the next one is taken.
            let count = all.len();
            wanted += usize::from(sample && (index * most / count < (index + 1) * most / count));
            if sample && wanted == 0 {
                continue;
            }
            if self.try_generated(&faults, fault, sample, tally) {
                wanted = wanted.saturating_sub(1);
            }
        }
    }

    /// Whether it was planted.
    fn try_generated(&mut self, faults: &Faults, fault: &Generated, sample: bool, tally: &mut Tally) -> bool {
        let (name, key, file) = (faults.name(fault), faults.key(fault), faults.file(fault));
        let is_own = is_own(self.kernel.name(), file);
        let known = EQUIVALENTS.iter().position(|same| same.is(self.kernel.name(), file, &name));
        let is_seen_elsewhere = tally.shared.get(key).is_some_and(|(_, _, seen)| *seen);
        if sample && known.is_some() || is_seen_elsewhere {
            return false;
        }
        let mut seen = None;
        let most = if is_own { TRIES } else { SHARED_TRIES };
        for (variant, text) in faults.planted(fault, most) {
            let sees = self.sees(variant, text, &name);
            // What does not end in one variant is tried in no other.
            let is_last = sees != Ok(false);
            seen = Some(sees);
            if is_last {
                break;
            }
        }
        let Some(seen) = seen else { return false };
        self.row.generated += 1;
        if let Some(known) = known {
            tally.equivalents[known][0] += 1;
            tally.equivalents[known][1] += usize::from(seen == Ok(true));
            self.row.same += 1;
        } else if !is_own && seen.is_ok() {
            tally.shared.insert(key.to_owned(), (name, file.to_owned(), seen == Ok(true)));
        } else if seen != Ok(true) {
            self.survived(&name, seen, tally);
        }
        true
    }

    fn survived(&mut self, what: &str, seen: Result<bool, String>, tally: &mut Tally) {
        self.row.survivors += 1;
        let reason = seen.err().map(|reason| format!(" did not run: {reason}")).unwrap_or_default();
        let survivor = format!("{} {what}{reason}", self.kernel.name());
        println!("went through: {survivor}");
        tally.survivors.push(survivor);
    }

    /// Whether a variant's cases see a text that is planted for its own.
    fn sees(&mut self, variant: &Variant, text: String, what: &str) -> Result<bool, String> {
        let known = self.cases_of(variant);
        self.row.planted += 1;
        let begun = Instant::now();
        let planted = Wrapped::rewritten(self.kernel, text);
        let seen = seen_by(self.bench.device(), planted, variant, &self.cases[known].1);
        if seen.is_err() {
            self.bench.reopen();
        }
        if begun.elapsed() > SLOW {
            println!("{:.0} s: {} {variant}: `{what}`", begun.elapsed().as_secs_f64(), self.kernel.name());
        }
        self.row.caught += usize::from(seen == Ok(true));
        seen
    }

    fn cases_of(&mut self, variant: &Variant) -> usize {
        self.cases.iter().position(|(known, _)| known == variant).unwrap_or_else(|| {
            let mut made = self.kernel.cases(variant, Depth::Quick);
            made.sort_by_key(words);
            // What is wrong without a fault would be no proof of one.
            let unchanged = Wrapped::rewritten(self.kernel, text(self.kernel, variant));
            assert_eq!(
                seen_by(self.bench.device(), unchanged, variant, &made),
                Ok(false),
                "{} {variant}, unchanged",
                self.kernel.name()
            );
            self.cases.push((variant.clone(), made));
            self.cases.len() - 1
        })
    }
}

/// Words of all arguments.
fn words(case: &Case) -> usize {
    case.arguments.iter().map(CaseArgument::words).sum()
}

/// Whether a case fails: the cases as they are, and then with their workgroups folded, as
/// `tests/kernels/agreement.rs` runs them.
fn seen_by(device: &Device, kernel: Wrapped, variant: &Variant, cases: &[Case]) -> Result<bool, String> {
    for per_dimension in [u32::MAX, FOLD] {
        let kernel = kernel.fold(per_dimension);
        for case in cases {
            let outcome = pollster::block_on(run_case(device, kernel, variant, case));
            let outcome = outcome.map_err(|error| format!("{}: {error}", case.label))?;
            if outcome.failure.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
