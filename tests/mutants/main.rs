//! The tests' own test. Kernels run with a fault planted in their text, and their cases, the same that `verify`
//! runs, must see each of them. A fault that goes through is a case that is missing.
//!
//! A sample runs each time; `cargo xtask mutants` runs all (`ATTENTIVE_MUTANTS=all`, or `=TEXT` for all of the
//! kernels whose names have that text in them).

#[path = "../common/mod.rs"]
mod common;

mod additive;
mod attention;
mod ceiling;
mod cooperative;
mod elementwise;
mod embedding;
mod flash;
mod flash_decode;
mod flash_subgroup;
mod flash_subgroup8;
mod linear;
mod masking;
mod mutant;
mod normalization;
mod placing;
mod pooling;
mod position;
mod products;
mod recurrent;
mod shared;
mod vision;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use attentive::device::AdapterSummary;
use attentive::kernel::{Case, CaseArgument, Depth, Variant};
use attentive::kernels::KERNELS;
use attentive::verify::run_case;
use attentive::{Device, DeviceOptions};
use common::wrapped::{FOLD, Wrapped, text};
use mutant::Mutants;

/// Every kernel's mutants.
const MUTANTS: &[Mutants] = &[
    attention::SCORES,
    attention::SCALE_MASK_SOFTMAX,
    attention::WEIGHTED_VALUES,
    flash::FLASH_TILED,
    flash_subgroup::FLASH_SUBGROUP,
    flash_subgroup8::FLASH_SUBGROUP8,
    flash_decode::FLASH_DECODE,
    cooperative::FLASH_COOPERATIVE,
    attention::MERGE,
    attention::APPEND,
    additive::ADDITIVE,
    linear::GEMM,
    linear::GEMM_SUBGROUP8,
    products::GEMM_BLOCKED,
    products::GEMV,
    products::SUM_SPLITS,
    cooperative::GEMM_COOPERATIVE,
    normalization::LAYER_NORM,
    normalization::RMS_NORM,
    normalization::SOFTMAX,
    embedding::GATHER,
    embedding::EMBEDDING_NORM,
    pooling::POOL,
    pooling::MEAN_MAX,
    position::ROTARY_EMBEDDING,
    recurrent::GRU,
    elementwise::ACTIVATE,
    elementwise::CAST,
    elementwise::BINARY,
    elementwise::STRIDED_COPY,
    vision::SPATIAL_ATTENTION,
    vision::DEFORMABLE_ATTENTION,
    ceiling::COPY,
    ceiling::MULTIPLY_ADD,
];

/// Mutants that each kernel has at least.
const LEAST: usize = 10;
/// A mutant that takes longer is told: its loops may not end.
const SLOW: Duration = Duration::from_secs(20);
/// Mutants of each kernel in the sample.
const SAMPLE: usize = 4;

#[test]
fn every_kernel_has_its_mutants() {
    for kernel in KERNELS {
        let mut of_kernel = MUTANTS.iter().filter(|mutants| mutants.kernel == kernel.name());
        let mutants = of_kernel.next();
        let count = mutants.map_or(0, Mutants::count);
        assert!(
            count >= LEAST && of_kernel.next().is_none(),
            "{} has {count} mutants and should have {LEAST}, in one list (CONTRIBUTING.md, \"Mutants\")",
            kernel.name()
        );
    }
    for mutants in MUTANTS {
        let _ = mutants.kernel();
        let mut names = BTreeSet::new();
        for mutant in mutants.all() {
            // Two of one name differ by the variants that they are for.
            assert!(names.insert(mutant.name()), "{}: `{}` is there twice", mutants.kernel, mutant.name());
        }
    }
}

#[test]
fn every_mutant_can_be_planted_and_is_a_valid_module() {
    let mut wrong = Vec::new();
    for mutants in MUTANTS {
        let kernel = mutants.kernel();
        let all = kernel.variants();
        for mutant in mutants.all() {
            let variants = mutants.variants(&mutant, &all);
            if variants.is_empty() {
                wrong.push(format!("{}: `{}` is for no variant", mutants.kernel, mutant.name()));
            }
            for variant in &variants {
                let planted =
                    mutant.plant(&text(kernel, variant)).and_then(|text| valid(&variant.prelude(), &text));
                if let Err(reason) = planted {
                    wrong.push(format!("{} {variant}: `{}`: {reason}", mutants.kernel, mutant.fault));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} mutants cannot be planted:\n{}", wrong.len(), wrong.join("\n"));
}

/// A fault must be one of meaning: a module that a driver refuses tests nothing.
fn valid(prelude: &str, text: &str) -> Result<(), String> {
    use naga::valid::{Capabilities, SubgroupOperationSet, ValidationFlags, Validator};
    let text = format!("{prelude}{text}");
    let parsed = naga::front::wgsl::parse_str(&text).map_err(|error| error.emit_to_string(&text))?;
    Validator::new(ValidationFlags::all(), Capabilities::all())
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&parsed)
        .map_err(|error| error.emit_to_string(&text))?;
    Ok(())
}

/// What is run: a few of each kernel, or all of some kernels.
fn selection() -> Option<String> {
    std::env::var("ATTENTIVE_MUTANTS").ok().filter(|text| !text.is_empty())
}

#[test]
fn mutants_are_caught() {
    let Some(mut bench) = Bench::new() else { return };
    let selection = selection();
    let mut rows = Vec::new();
    let mut survivors = Vec::new();
    for mutants in MUTANTS {
        let row = match &selection {
            None => run(&mut bench, mutants, true, &mut survivors),
            Some(text) if text == "all" || mutants.kernel.contains(text) => {
                run(&mut bench, mutants, false, &mut survivors)
            }
            Some(_) => continue,
        };
        rows.push(row);
    }
    let name = bench.device().name().to_owned();
    println!("\n{name}");
    println!(
        "{:<32} {:>7} {:>7} {:>6} {:>9} {:>7}",
        "kernel", "mutants", "planted", "caught", "survivors", "seconds"
    );
    rows.iter().for_each(|row| println!("{row}"));
    let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    println!(
        "{}",
        Row {
            kernel: "all",
            mutants: sum(|row| row.mutants),
            planted: sum(|row| row.planted),
            caught: sum(|row| row.caught),
            survivors: sum(|row| row.survivors),
            took: rows.iter().map(|row| row.took).sum(),
        }
    );
    assert!(!rows.is_empty(), "no kernel has {selection:?} in its name");
    // There even a race is the same each time: subgroups run one after the other, each up to the next barrier.
    let required = name.contains(LLVMPIPE);
    assert!(
        survivors.is_empty() || !required,
        "{name}: {} faults went through: each shows a case that is missing\n{}",
        survivors.len(),
        survivors.join("\n")
    );
}

/// Where every fault must be caught.
const LLVMPIPE: &str = "llvmpipe";

/// The device that faults are tried on: llvmpipe where it is, with the shader checks, as faults write anywhere.
struct Bench {
    adapter: AdapterSummary,
    options: DeviceOptions,
    device: Device,
}

impl Bench {
    fn new() -> Option<Self> {
        let mut adapters = common::usable_adapters();
        let llvmpipe = adapters.iter().position(|adapter| adapter.name.contains(LLVMPIPE));
        let adapter = if adapters.is_empty() { None } else { Some(adapters.remove(llvmpipe.unwrap_or(0))) }?;
        let mut options = DeviceOptions::default();
        options.shader_checks = true;
        options.cooperative = true;
        options.timeout = Duration::from_secs(60);
        let device = common::open(&adapter, &options);
        Some(Self { adapter, options, device })
    }

    /// It is opened anew now and then: a device keeps its pipelines, and all of them would fill gigabytes.
    fn device(&mut self) -> &Device {
        if self.device.pipelines() >= 64 {
            self.device = common::open(&self.adapter, &self.options);
        }
        &self.device
    }
}

struct Row {
    kernel: &'static str,
    mutants: usize,
    /// Pairs of a mutant and a variant.
    planted: usize,
    caught: usize,
    survivors: usize,
    took: Duration,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kernel, mutants, planted, caught, survivors, took } = self;
        let seconds = took.as_secs_f64();
        write!(f, "{kernel:<32} {mutants:>7} {planted:>7} {caught:>6} {survivors:>9} {seconds:>7.1}")
    }
}

/// Plants a kernel's mutants: all in every variant that they are for, or a few in one each.
fn run(bench: &mut Bench, mutants: &Mutants, sample: bool, survivors: &mut Vec<String>) -> Row {
    let begun = Instant::now();
    eprintln!("{} …", mutants.kernel);
    let kernel = mutants.kernel();
    let capabilities = bench.device().capabilities().clone();
    let runs_here = |variant: &Variant| variant.runs_on(&capabilities).is_ok();
    let here: Vec<Variant> = kernel.variants().into_iter().filter(runs_here).collect();
    let mut row =
        Row { kernel: mutants.kernel, mutants: 0, planted: 0, caught: 0, survivors: 0, took: Duration::ZERO };
    // A variant's cases are made once; the small ones go first.
    let mut cases: Vec<(Variant, Vec<Case>)> = Vec::new();
    let count = mutants.count();
    for (index, mutant) in mutants.all().enumerate() {
        // Evenly over the list: each part of it is about another part of the kernel.
        if sample && (index * SAMPLE / count == (index + 1) * SAMPLE / count) {
            continue;
        }
        let mut variants = mutants.variants(&mutant, &here);
        if sample && variants.len() > 1 {
            variants = vec![variants.swap_remove(index % variants.len())];
        }
        row.mutants += usize::from(!variants.is_empty());
        for variant in variants {
            let known = cases.iter().position(|(known, _)| *known == variant).unwrap_or_else(|| {
                let mut made = kernel.cases(&variant, Depth::Quick);
                made.sort_by_key(words);
                // What is wrong without a fault would be no proof of one.
                let unchanged = Wrapped::rewritten(kernel, text(kernel, &variant));
                assert_eq!(
                    seen_by(bench.device(), unchanged, &variant, &made),
                    Ok(None),
                    "{} {variant}, unchanged",
                    kernel.name()
                );
                cases.push((variant.clone(), made));
                cases.len() - 1
            });
            row.planted += 1;
            let (name, what) = (kernel.name(), mutant.fault);
            let planted_at = Instant::now();
            let planted = mutant.plant(&text(kernel, &variant));
            let seen = planted.and_then(|text| {
                seen_by(bench.device(), Wrapped::rewritten(kernel, text), &variant, &cases[known].1)
            });
            if planted_at.elapsed() > SLOW {
                println!("{:.0} s: {name} {variant}: `{what}`", planted_at.elapsed().as_secs_f64());
            }
            match seen {
                Ok(Some(_)) => row.caught += 1,
                other => {
                    row.survivors += 1;
                    let reason =
                        other.err().map(|reason| format!(" did not run: {reason}")).unwrap_or_default();
                    let survivor = format!("{name} {variant}: `{what}`{reason}");
                    println!("went through: {survivor}");
                    survivors.push(survivor);
                }
            }
        }
    }
    // On an adapter that has all that the variants ask for, none may be left out.
    let matrices = capabilities.cooperative.is_some() || !mutants.kernel.ends_with("_cooperative");
    if capabilities.shader_f16 && capabilities.subgroups == Some((8, 8)) && matrices && !sample {
        let expected = mutants.all().filter(|mutant| !mutant.is_for_one_subgroup_size()).count();
        assert_eq!(row.mutants, expected, "{}: not all were run", mutants.kernel);
    }
    row.took = begun.elapsed();
    row
}

/// Words of all arguments.
fn words(case: &Case) -> usize {
    case.arguments.iter().map(CaseArgument::words).sum()
}

/// The first case that fails, if one does: the cases as they are, and then with their workgroups folded, as
/// `tests/kernels/agreement.rs` runs them.
fn seen_by(
    device: &Device,
    kernel: Wrapped,
    variant: &Variant,
    cases: &[Case],
) -> Result<Option<String>, String> {
    for per_dimension in [u32::MAX, FOLD] {
        let kernel = kernel.fold(per_dimension);
        for case in cases {
            let outcome = pollster::block_on(run_case(device, kernel, variant, case));
            let outcome = outcome.map_err(|error| format!("{}: {error}", case.label))?;
            if let Some(reason) = outcome.failure {
                return Ok(Some(format!("{}: {reason}", case.label)));
            }
        }
    }
    Ok(None)
}
