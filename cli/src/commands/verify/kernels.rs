//! The kernels' part of `verify`: every variant's cases on a device, against the oracle.

use std::collections::BTreeSet;

use attentive::kernel::{Depth, Kernel};
use attentive::kernels::KERNELS;
use attentive::verify::{VariantReport, verify_variant};
use attentive::{Device, Error};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::output::{Align, Failure, GREEN, RED, Result, Table, count, painted, shortened};

/// The kernels whose names hold `wanted`; all without it.
pub fn selected(wanted: Option<&str>) -> Result<Vec<&'static dyn Kernel>> {
    let holds = |kernel: &&'static dyn Kernel| wanted.is_none_or(|wanted| kernel.name().contains(wanted));
    let kernels: Vec<_> = KERNELS.iter().copied().filter(holds).collect();
    if kernels.is_empty() {
        let names: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name()).collect();
        let wanted = wanted.unwrap_or_default();
        return Err(Failure::Usage(format!("there is no kernel `{wanted}`; there are {}", names.join(", "))));
    }
    Ok(kernels)
}

/// The kernels' outcome on one device.
pub struct KernelsReport {
    pub variants: Vec<VariantReport>,
    /// The error that ended the run early.
    pub broken: Option<Error>,
}

pub fn verify(
    device: &Device,
    kernels: &[&'static dyn Kernel],
    depth: Depth,
    bar: &ProgressBar,
) -> KernelsReport {
    let all: Vec<_> = kernels
        .iter()
        .flat_map(|kernel| kernel.variants_of(depth).into_iter().map(|variant| (*kernel, variant)))
        .collect();
    bar.set_length(all.len() as u64);
    let mut report = KernelsReport { variants: Vec::with_capacity(all.len()), broken: None };
    for (kernel, variant) in &all {
        bar.set_message(kernel.name());
        match pollster::block_on(verify_variant(device, *kernel, variant, depth)) {
            Ok(variant) => report.variants.push(variant),
            Err(error) => {
                report.broken = Some(error);
                break;
            }
        }
        bar.inc(1);
    }
    report
}

/// One line of the table: the variants of a kernel that share an implementation and their fate.
struct Group<'a> {
    kernel: &'static str,
    implementation: &'a str,
    skipped: bool,
    members: Vec<&'a VariantReport>,
}

/// The implementation's name, with the storage of its weights: what a reader tells variants apart by.
fn implementation(report: &VariantReport) -> (&str, Option<&str>) {
    let mut words = report.variant.split(' ');
    let name = words.next().unwrap_or_default();
    (name, words.find_map(|word| word.strip_prefix("weight_")))
}

fn groups(variants: &[VariantReport]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for report in variants {
        let (name, _) = implementation(report);
        let skipped = report.skipped.is_some();
        let same = |group: &&mut Group<'_>| {
            (group.kernel, group.implementation, group.skipped) == (report.kernel, name, skipped)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.members.push(report),
            None => groups.push(Group {
                kernel: report.kernel,
                implementation: name,
                skipped,
                members: vec![report],
            }),
        }
    }
    groups
}

/// One sentence for reasons that differ in one word, such as a number; else all of them.
fn merged(reasons: &[&str]) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for reason in reasons {
        if !distinct.contains(reason) {
            distinct.push(reason);
        }
    }
    let words: Vec<Vec<&str>> = distinct.iter().map(|reason| reason.split(' ').collect()).collect();
    let Some(first) = words.first() else { return String::new() };
    let differing: Vec<usize> = (0..first.len())
        .filter(|&place| words.iter().any(|words| words.get(place) != first.get(place)))
        .collect();
    match differing.as_slice() {
        &[place] if words.iter().all(|words| words.len() == first.len()) => {
            let alternatives: Vec<&str> =
                words.iter().map(|words| words[place].trim_end_matches(',')).collect();
            let comma = if first[place].ends_with(',') { "," } else { "" };
            let joined = alternatives.join("/") + comma;
            let mut sentence = first.clone();
            sentence[place] = &joined;
            sentence.join(" ")
        }
        _ => distinct.join("; "),
    }
}

impl KernelsReport {
    pub fn passed(&self) -> bool {
        self.broken.is_none() && self.failures() == 0
    }

    fn cases(&self) -> usize {
        self.variants.iter().map(|variant| variant.cases).sum()
    }

    fn failures(&self) -> usize {
        self.variants.iter().map(|variant| variant.failures.len()).sum()
    }

    pub fn text(&self) -> String {
        let mut table = Table::new(&[
            ("kernel", Align::Left),
            ("implementation", Align::Left),
            ("variants", Align::Right),
            ("cases", Align::Right),
            ("failed", Align::Right),
            ("largest error", Align::Right),
            ("twin's", Align::Right),
            ("", Align::Left),
        ]);
        for group in groups(&self.variants) {
            let members = &group.members;
            let storages: BTreeSet<&str> =
                members.iter().filter_map(|member| implementation(member).1).collect();
            let storages: Vec<&str> = storages.into_iter().collect();
            let implementation = match storages.as_slice() {
                [] => group.implementation.to_owned(),
                storages => format!("{} ({})", group.implementation, storages.join(", ")),
            };
            let mut cells = vec![group.kernel.to_owned(), implementation, members.len().to_string()];
            if group.skipped {
                let reasons: Vec<&str> =
                    members.iter().filter_map(|member| member.skipped.as_deref()).collect();
                cells.extend(["–", "–", "–", "–"].map(str::to_owned));
                cells.push(format!("skipped: {}", merged(&reasons)));
            } else {
                let failed: usize = members.iter().map(|member| member.failures.len()).sum();
                let largest = |error: fn(&VariantReport) -> f64| {
                    format!("{:.1e}", members.iter().map(|member| error(member)).fold(0.0, f64::max))
                };
                cells.push(members.iter().map(|member| member.cases).sum::<usize>().to_string());
                cells.push(if failed == 0 { "0".to_owned() } else { painted(RED, &failed.to_string()) });
                cells.extend([largest(|member| member.largest_error), largest(|member| member.twin_error)]);
            }
            table.row(cells);
        }
        let mut text = table.to_string();
        for report in &self.variants {
            for (case, reason) in &report.failures {
                text += &format!("\n{} {}\n", painted(RED, report.kernel), report.variant);
                text += &format!("    case {case}\n    {}\n", shortened(reason, 600));
            }
        }
        let verdict = match (&self.broken, self.failures()) {
            (Some(error), _) => {
                painted(RED, &format!("broke off after {}: {error}", count(self.cases(), "case")))
            }
            (None, 0) => {
                painted(GREEN, &format!("all {} agree with the oracle", count(self.cases(), "case")))
            }
            (None, failures) => painted(
                RED,
                &format!("{failures} of {} disagree with the oracle", count(self.cases(), "case")),
            ),
        };
        format!("{text}{verdict}\n")
    }

    pub fn json(&self) -> Value {
        let finite = |value: f64| value.is_finite().then_some(value);
        let variants = self.variants.iter().map(|variant| {
            let failures = variant.failures.iter();
            let failures = failures.map(|(case, reason)| json!({ "case": case, "reason": reason }));
            json!({
                "kernel": variant.kernel,
                "variant": variant.variant,
                "cases": variant.cases,
                "failures": failures.collect::<Vec<_>>(),
                "largest_error": finite(variant.largest_error),
                "twin_error": finite(variant.twin_error),
                "skipped": variant.skipped,
            })
        });
        json!({
            "passed": self.passed(),
            "cases": self.cases(),
            "failures": self.failures(),
            "error": self.broken.as_ref().map(ToString::to_string),
            "variants": variants.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn reasons_are_said_once() {
        let reasons =
            ["it needs subgroups of 4, the device has 8", "it needs subgroups of 16, the device has 8"];
        assert_eq!(merged(&reasons), "it needs subgroups of 4/16, the device has 8");
        assert_eq!(merged(&["no f16", "no f16"]), "no f16");
        assert_eq!(merged(&["no f16", "no subgroups at all"]), "no f16; no subgroups at all");
    }
}
