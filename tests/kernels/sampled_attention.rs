//! Attention over the sampled matrix of sizes, options and data, by every implementation on every device.

use std::ops::Range;

use crate::common;
use attentive::verify::verify_attention;

/// Seeds on the first adapter, those that `attentive verify` has, and on each other device.
const SEEDS: [Range<u64>; 2] = [0..400, 0..50];

#[test]
fn the_sampled_matrix_agrees_with_the_oracle() {
    for (place, device) in common::devices().iter().enumerate() {
        let seeds = SEEDS[place.min(1)].clone();
        let report = pollster::block_on(verify_attention(device, seeds, |_| {})).unwrap();
        println!("{}: {} cases, {:?}", device.name(), report.cases, report.taken);
        let failures: Vec<String> =
            report.failures.iter().map(|(case, reason)| format!("{case}: {reason}")).collect();
        let shown = &failures[..failures.len().min(20)];
        assert!(failures.is_empty(), "{}: {} failures\n{}", device.name(), failures.len(), shown.join("\n"));
    }
}
