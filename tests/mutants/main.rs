//! The tests' own test. Kernels run with a fault planted in their text, and their cases, the same that `verify`
//! runs, must see each of them. A fault that goes through is a case that is missing.
//!
//! A sample runs each time; `cargo xtask mutants` runs all (`ATTENTIVE_MUTANTS=all`, or `=TEXT,…` for all of the
//! kernels whose names have one of these texts in them).

#[path = "../common/mod.rs"]
mod common;

mod additive;
mod attention;
mod ceiling;
mod code;
mod cooperative;
mod elementwise;
mod embedding;
mod equivalents;
mod flash;
mod flash_subgroup;
mod flash_subgroup8;
mod fused;
mod generated;
mod linear;
mod mutant;
mod normalization;
mod operators;
mod pooling;
mod position;
mod recurrent;
mod run;
mod shared;
mod vision;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use attentive::kernel::Kernel;
use attentive::kernels::KERNELS;
use common::wrapped::text;
use equivalents::EQUIVALENTS;
use generated::Faults;
use mutant::Mutants;
use run::{Bench, LLVMPIPE, Row, Tally, run};

/// Every kernel's mutants.
const MUTANTS: &[Mutants] = &[
    attention::SCORES,
    attention::SCALE_MASK_SOFTMAX,
    attention::WEIGHTED_VALUES,
    flash::FLASH_TILED,
    flash_subgroup::FLASH_SUBGROUP,
    flash_subgroup8::FLASH_SUBGROUP8,
    flash::FLASH_DECODE,
    cooperative::FLASH_COOPERATIVE,
    attention::MERGE,
    attention::APPEND,
    additive::ADDITIVE,
    additive::ADDITIVE_GRADIENT,
    linear::GEMM,
    linear::GEMM_SUBGROUP8,
    linear::GEMM_BLOCKED,
    linear::GEMV,
    linear::SUM_SPLITS,
    cooperative::GEMM_COOPERATIVE,
    normalization::LAYER_NORM,
    normalization::RMS_NORM,
    normalization::SOFTMAX,
    normalization::NORM_GRADIENT,
    embedding::GATHER,
    embedding::EMBEDDING_NORM,
    pooling::POOL,
    pooling::POOL_GRADIENT,
    pooling::MEAN_MAX,
    position::ROTARY_EMBEDDING,
    recurrent::GRU,
    recurrent::GRU_GRADIENT,
    elementwise::ACTIVATE,
    elementwise::CAST,
    elementwise::BINARY,
    elementwise::STRIDED_COPY,
    vision::SPATIAL_ATTENTION,
    vision::DEFORMABLE_ATTENTION,
    ceiling::COPY,
    ceiling::MULTIPLY_ADD,
];

/// Kernels whose mutants are all written: nobody has looked through what operators make of them. The fused ones
/// for subgroups take long to compile, and an adapter with cooperative matrices is seldom at hand.
const NOT_GENERATED: &[&str] = &[
    "attention/flash_cooperative",
    "attention/flash_subgroup",
    "attention/flash_subgroup8",
    "linear/gemm_cooperative",
];

/// Shared files whose faults are told where no kernel sees them, and fail nothing: nobody has looked through them. Those that are
/// written for these files must be caught.
const NOT_SETTLED: &[&str] = &[
    "shared/attention/flash",
    "shared/attention/keys",
    "shared/attention/output",
    "shared/attention/queries",
    "shared/attention/query_rows",
    "shared/attention/values",
];

fn is_generated(kernel: &str) -> bool {
    !NOT_GENERATED.contains(&kernel)
}

/// Mutants that each kernel has at least.
const LEAST: usize = 10;

/// Those of a kernel that are written.
fn written(kernel: &'static dyn Kernel) -> Mutants {
    let known = MUTANTS.iter().find(|mutants| mutants.kernel == kernel.name());
    known.copied().unwrap_or(Mutants { kernel: kernel.name(), constants: &[], faults: &[], once: &[] })
}

#[test]
fn every_kernel_has_its_mutants() {
    for kernel in KERNELS {
        let lists = MUTANTS.iter().filter(|mutants| mutants.kernel == kernel.name()).count();
        let mut count = written(*kernel).count();
        count += Faults::of(*kernel, &kernel.variants()[..1]).all.len();
        assert!(
            count >= LEAST && lists <= 1,
            "{} has {count} mutants and should have {LEAST}, those that are written in one list (CONTRIBUTING.md, \
             \"Mutants\")",
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

/// The equivalents that were caught, each time that they were tried: they are faults.
fn no_equivalents(tried: &[[usize; 2]], all: bool) -> Vec<String> {
    let pairs = EQUIVALENTS.iter().zip(tried);
    let wrong = pairs.filter(|(same, [count, caught])| *count > 0 && count == caught && same.is_refuted(all));
    wrong.map(|(same, _)| format!("{same} is caught: take it out of the equivalents")).collect()
}

#[test]
fn every_equivalent_is_a_mutant() {
    let mut found = vec![false; EQUIVALENTS.len()];
    for kernel in KERNELS {
        let faults = Faults::of(*kernel, &kernel.variants());
        for fault in &faults.all {
            let name = faults.name(fault);
            for (same, found) in EQUIVALENTS.iter().zip(&mut found) {
                *found |= same.is(kernel.name(), faults.file(fault), &name);
            }
        }
    }
    let lost = EQUIVALENTS.iter().zip(found).filter(|(_, found)| !found);
    let lost: Vec<String> = lost.map(|(same, _)| same.to_string()).collect();
    assert!(lost.is_empty(), "no mutant of an operator is any more:\n{}", lost.join("\n"));
}

/// Runs the kernels' mutants, with a device on each core.
fn run_all(bench: &Bench, kernels: &[&'static dyn Kernel], sample: bool) -> (Vec<Row>, Tally) {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut bench, mut rows, mut tally) = (bench.clone(), Vec::new(), Tally::default());
        while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
            rows.push(run(&mut bench, &written(*kernel), sample, &mut tally));
        }
        (rows, tally)
    };
    let (mut rows, mut tally) = (Vec::new(), Tally::default());
    for (of_worker, other) in common::on_all_cores(worker) {
        rows.extend(of_worker);
        tally.add(other);
    }
    rows.sort_by_key(|row: &Row| row.kernel);
    (rows, tally)
}

#[test]
fn mutants_are_caught() {
    let Some(bench) = Bench::new() else { return };
    let selection = selection();
    let is_wanted = |kernel: &&&'static dyn Kernel| {
        // A whole name is that kernel alone.
        let is_whole = |text: &str| KERNELS.iter().any(|kernel| kernel.name() == text);
        let is_one = |text: &str| match is_whole(text) {
            true => kernel.name() == text,
            false => text == "all" || kernel.name().contains(text),
        };
        selection.as_ref().is_none_or(|texts| texts.split(',').any(is_one))
    };
    let kernels: Vec<&'static dyn Kernel> = KERNELS.iter().filter(is_wanted).rev().copied().collect();
    let name = bench.name().to_owned();
    let (rows, mut tally) = run_all(&bench, &kernels, selection.is_none());
    for (name, place, _) in tally.shared.values().filter(|(_, _, seen)| !seen && selection.is_some()) {
        println!("no kernel that was run has seen: {name}");
        // Another kernel's cases may.
        if selection.as_deref() == Some("all") && !NOT_SETTLED.iter().any(|file| place.starts_with(file)) {
            tally.survivors.push(name.clone());
        }
    }
    println!("\n{name}\n{}", Row::HEAD);
    rows.iter().for_each(|row| println!("{row}"));
    let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    println!(
        "{}",
        Row {
            kernel: "all",
            written: sum(|row| row.written),
            generated: sum(|row| row.generated),
            planted: sum(|row| row.planted),
            caught: sum(|row| row.caught),
            survivors: sum(|row| row.survivors),
            same: sum(|row| row.same),
            took: rows.iter().map(|row| row.took).sum(),
        }
    );
    assert!(!rows.is_empty(), "no kernel has {selection:?} in its name");
    // There even a race is the same each time: subgroups run one after the other, each up to the next barrier.
    let required = name.contains(LLVMPIPE);
    let mut survivors = tally.survivors;
    if selection.is_some() {
        survivors.extend(no_equivalents(&tally.equivalents, selection.as_deref() == Some("all")));
    }
    assert!(
        survivors.is_empty() || !required,
        "{name}: {} faults went through: each shows a case that is missing\n{}",
        survivors.len(),
        survivors.join("\n")
    );
}
