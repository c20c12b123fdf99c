//! Attention over the sampled matrix of sizes, options and data, by every implementation on every device.

use std::ops::Range;

use crate::common;
use attentive::verify::verify_attention;

/// Seeds on the first adapter, those that `attentive verify` has, and on each other device.
const SEEDS: [Range<u64>; 2] = [0..400, 0..50];

/// In two halves at once, each with its own devices: a software driver compiles on one core.
#[test]
fn the_sampled_matrix_agrees_with_the_oracle() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || assert_half(half));
        }
    });
}

fn assert_half(half: u64) {
    for (place, device) in common::devices().iter().enumerate() {
        let Range { start, end } = SEEDS[place.min(1)];
        let middle = (start + end) / 2;
        let seeds = if half == 0 { start..middle } else { middle..end };
        let report = pollster::block_on(verify_attention(device, seeds, |_| {})).unwrap();
        println!("{}: {} cases, {:?}", device.name(), report.cases, report.taken);
        let failures: Vec<String> =
            report.failures.iter().map(|(case, reason)| format!("{case}: {reason}")).collect();
        let shown = &failures[..failures.len().min(20)];
        assert!(failures.is_empty(), "{}: {} failures\n{}", device.name(), failures.len(), shown.join("\n"));
    }
}
