//! The comparator is tested like a kernel: planted faults, each of which it must catch.

use std::hint::black_box;

use super::*;
use crate::reference::rounding_floor;

const ROW: usize = 64;
const TERMS: usize = 32;

/// What a kernel, its twin and its oracle might give: dot products of `TERMS` products in [-1, 1), the twin's
/// summed forwards in f32, the kernel's in four parts, the oracle's in f64.
struct Sample {
    got: Vec<f32>,
    twin: Vec<f32>,
    oracle: Vec<f64>,
}

impl Sample {
    fn new(elements: usize) -> Self {
        let mut state = 42u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        let mut sample = Self { got: vec![], twin: vec![], oracle: vec![] };
        for _ in 0..elements {
            let pairs: [(f32, f32); TERMS] = std::array::from_fn(|_| (random(), random()));
            sample.twin.push(pairs.iter().fold(0.0, |sum, (a, b)| sum + a * b));
            let mut parts = [0f32; 4];
            pairs.iter().enumerate().for_each(|(i, (a, b))| parts[i % 4] += a * b);
            sample.got.push((parts[0] + parts[1]) + (parts[2] + parts[3]));
            sample.oracle.push(pairs.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum());
        }
        sample
    }

    /// The tolerance that a kernel test would use: the terms are of size 1/3, and their sum about √32 times that.
    fn compare(&self) -> Comparison {
        let floor = rounding_floor(TERMS, (TERMS as f64).sqrt() / 3.0);
        compare(&self.got, &self.twin, &self.oracle, Tolerance { floor, ..Tolerance::default() })
    }

    /// Plants a fault, which must be caught.
    #[track_caller]
    fn caught(plant: impl FnOnce(&mut Self)) {
        let _ = Self::fault(plant);
    }

    /// Plants a fault in a small sample; returns the failed comparison.
    #[track_caller]
    fn fault(plant: impl FnOnce(&mut Self)) -> Comparison {
        let mut sample = Self::new(16 * ROW);
        plant(&mut sample);
        let comparison = sample.compare();
        assert!(!comparison.passed, "the fault went through: {comparison}");
        comparison
    }
}

#[test]
fn what_is_right_passes() {
    let comparison = Sample::new(16 * ROW).compare();
    assert!(comparison.passed, "{comparison}");
    assert_eq!((comparison.failing, comparison.elements), (0, 16 * ROW));
    assert!(comparison.largest_error > 0.0 && comparison.largest_error < 1e-5, "{comparison}");
    assert!(comparison.nmse > 0.0 && comparison.nmse < 1e-12, "{comparison}");
    assert!(comparison.twin_error.is_some_and(|e| e > 0.0 && e < 1e-5) && comparison.worst.is_some());
}

#[test]
fn nan_in_the_result() {
    for (bad, at) in [(f32::NAN, 0), (f32::NAN, 1023), (f32::INFINITY, 77), (f32::NEG_INFINITY, 500)] {
        let comparison = Sample::fault(|s| s.got[at] = bad);
        assert_eq!((comparison.worst, comparison.failing), (Some(at), 1));
        assert_eq!((comparison.largest_error, comparison.nmse), (f64::INFINITY, f64::INFINITY));
        assert!(comparison.reason.contains(&format!("element {at} is {bad:e}, not ")), "{comparison}");
    }
    // All of it, as from a kernel that never ran on poisoned memory.
    assert_eq!(Sample::fault(|s| s.got.fill(f32::NAN)).failing, 16 * ROW);
}

#[test]
fn one_wrong_element_in_a_million() {
    let mut sample = Sample::new(1_000_000);
    assert!(sample.compare().passed, "{}", sample.compare());
    let typical = (sample.oracle.iter().map(|o| o * o).sum::<f64>() / 1e6).sqrt() as f32;
    for at in [0, 123_456, 999_999] {
        let right = sample.got[at];
        sample.got[at] += 1e-3 * typical;
        let comparison = sample.compare();
        assert!(!comparison.passed, "{comparison}");
        assert_eq!((comparison.worst, comparison.failing), (Some(at), 1));
        // The NMSE alone would have let it through.
        assert!(comparison.nmse < Tolerance::default().nmse);
        sample.got[at] = right;
    }
}

#[test]
fn swapped_rows() {
    for (a, b) in [(0, 1), (7, 15)] {
        let comparison = Sample::fault(|s| (0..ROW).for_each(|c| s.got.swap(a * ROW + c, b * ROW + c)));
        let row = comparison.worst.unwrap() / ROW;
        assert!((row == a || row == b) && comparison.failing > ROW, "{comparison}");
    }
    // A row twice, and a row left at what was there before.
    Sample::caught(|s| s.got.copy_within(3 * ROW..4 * ROW, 4 * ROW));
    Sample::caught(|s| s.got[5 * ROW..6 * ROW].fill(0.0));
}

#[test]
fn lengths_that_differ() {
    assert!(Sample::fault(|s| s.got.truncate(1023)).reason.contains("1023 elements against 1024 of twin"));
    assert!(Sample::fault(|s| s.twin.truncate(1023)).reason.contains("1024 elements against 1023 of twin"));
    assert!(
        Sample::fault(|s| s.oracle.truncate(1023)).reason.contains("1024 elements against 1023 of oracle")
    );
    // Nothing is not everything.
    Sample::caught(|s| s.got.clear());
    Sample::caught(|s| {
        s.got.clear();
        s.twin.clear();
    });
}

#[test]
fn an_output_of_zeros() {
    let comparison = Sample::fault(|s| s.got.fill(0.0));
    assert!((comparison.nmse - 1.0).abs() < 1e-12, "{comparison}");
    // Even where all values are within the floor, the NMSE tells.
    let (got, twin, oracle) = ([0.0; 4], [1e-7f32; 4], [f64::from(1e-7f32); 4]);
    let comparison = compare(&got, &twin, &oracle, Tolerance { floor: 1e-6, ..Tolerance::default() });
    assert!(!comparison.passed && comparison.failing == 0, "{comparison}");
    assert!(comparison.reason.contains("the NMSE of 1.000e0 is above its bound of 1.000e-9"), "{comparison}");
}

#[test]
fn an_array_compared_with_itself() {
    let Sample { got, twin, oracle } = Sample::new(16);
    let same = |c: Comparison| !c.passed && c.reason.contains("the same memory");
    assert!(same(compare(&twin, &twin, &oracle, Tolerance::default())));
    assert!(same(compare_allclose(&got, &got, 1.0, 1.0)));
    assert!(same(compare_bits(&got, &got)));
    // Parts of it too, as when a window of one buffer is taken twice.
    assert!(same(compare(&twin[1..], &twin[..15], &oracle[1..], Tolerance::default())));
    assert!(same(compare_bits(&got[..9], &got[7..])));
    // Neighbours in one buffer share nothing, and a copy is another array.
    assert!(!same(compare_bits(&got[..8], &got[8..])));
    assert!(compare_bits(&got, &got.clone()).passed);
    // The twin as its own result, with a defect in both: the oracle still tells.
    let mut wrong = twin.clone();
    wrong[3] = -wrong[3];
    assert!(!compare(&wrong.clone(), &wrong, &oracle, Tolerance::default()).passed);
}

#[test]
fn a_twin_that_is_wrong() {
    // Whatever its size, the twin's error would set the bound.
    for bad in [f32::NAN, f32::INFINITY, 1e30, 1e3, 0.0] {
        for both in [false, true] {
            let comparison = Sample::fault(|s| {
                s.twin[9] = bad;
                if both {
                    s.got[9] = bad;
                }
            });
            assert!(comparison.reason.contains("the twin itself is wrong"), "{comparison}");
            let element = if bad.is_finite() { "worst element is 9: " } else { "element 9 is " };
            assert!(comparison.reason.contains(element), "{comparison}");
        }
    }
}

#[test]
fn shifted_by_one() {
    Sample::caught(|s| s.got.rotate_left(1));
    Sample::caught(|s| s.got.rotate_right(1));
    // Only the last row's tail.
    Sample::caught(|s| s.got[16 * ROW - 8..].rotate_left(1));
}

#[test]
fn one_sign_flipped() {
    for at in [0, 500, 1023] {
        let comparison = Sample::fault(|s| s.got[at] = -s.got[at]);
        assert_eq!((comparison.worst, comparison.failing), (Some(at), 1));
    }
}

#[test]
fn denormals() {
    let denormal = f32::from_bits(1 << 20);
    assert!(denormal.is_subnormal());
    // In the place of a value, as from a buffer of integers.
    assert_eq!(Sample::fault(|s| s.got[8] = denormal).worst, Some(8));
    // Denormal results that were flushed to 0, all of them.
    let oracle = vec![f64::from(denormal); 8];
    let comparison = compare(&[0.0; 8], &[denormal; 8], &oracle, Tolerance::default());
    assert!(!comparison.passed && comparison.nmse == 1.0, "{comparison}");
    assert!(compare(&[denormal; 8], &[denormal; 8], &oracle, Tolerance::default()).passed);
    // The smallest one, where 0 is expected.
    let smallest = f32::from_bits(1);
    let comparison = compare(&[0.0, smallest], &[0.0; 2], &[0.0; 2], Tolerance::default());
    assert!(!comparison.passed && comparison.worst == Some(1), "{comparison}");
    // One that is flushed among ordinary values is rounding, and below the twin's.
    let mut sample = Sample::new(ROW);
    (sample.got[5], sample.twin[5], sample.oracle[5]) = (0.0, denormal, f64::from(denormal));
    assert!(sample.compare().passed, "{}", sample.compare());
}

#[test]
fn nan_and_infinities_that_are_expected() {
    const SPECIAL: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let with = |got: f32, twin: f32, oracle: f64| {
        let mut sample = Sample::new(ROW);
        (sample.got[5], sample.twin[5], sample.oracle[5]) = (got, twin, oracle);
        sample.compare()
    };
    let without = Sample::new(ROW).compare();
    for expected in SPECIAL {
        for got in SPECIAL.into_iter().chain([0.0, 1.0, f32::MAX]) {
            let same = got.to_bits() == expected.to_bits();
            let comparison = with(got, expected, f64::from(expected));
            assert_eq!(comparison.passed, same, "{comparison}");
            if same {
                // Left out of the sums.
                assert!(comparison.nmse.is_finite() && comparison.nmse < 2.0 * without.nmse + 1e-15);
            } else {
                assert_eq!((comparison.worst, comparison.failing), (Some(5), 1), "{comparison}");
            }
            // The twin is held to the same.
            assert_eq!(with(expected, got, f64::from(expected)).passed, same);
        }
    }
    // Another NaN is a NaN too.
    assert!(with(-f32::NAN, f32::from_bits(0x7fc0_1234), f64::NAN).passed);
    // An overflow is not met by an infinity, nor by the largest f32.
    for got in [f32::INFINITY, f32::MAX] {
        assert!(!with(got, got, 1e39).passed);
        assert!(!with(got, got, 1e200).passed);
    }
}

#[test]
fn an_oracle_of_zeros() {
    let tolerance = Tolerance { floor: 1e-6, ..Tolerance::default() };
    let zeros = [0.0; 3];
    // The compiler would lay two equal constants in one place.
    assert!(compare(&black_box([0.0; 3]), &[0.0; 3], &zeros, Tolerance::default()).passed);
    assert!(compare(&[-0.0, 1e-6, 0.0], &[0.0; 3], &zeros, tolerance).passed);
    assert!(!compare(&[0.0, 1.1e-6, 0.0], &[0.0; 3], &zeros, tolerance).passed);
    // The twin's error gives no room here: twice 1e-6 is not taken.
    assert!(!compare(&[0.0, 1.5e-6, 0.0], &[1e-6, 0.0, 0.0], &zeros, tolerance).passed);
    assert!(!compare(&[0.0; 3], &[1e-5, 0.0, 0.0], &zeros, tolerance).passed);
    assert!(!compare(&[f32::NAN, 0.0, 0.0], &[0.0; 3], &zeros, tolerance).passed);
}

#[test]
fn bounds_that_bound_nothing() {
    let Sample { got, twin, oracle } = Sample::new(16);
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        for tolerance in [
            Tolerance { nmse: bad, ..Tolerance::default() },
            Tolerance { factor: bad, ..Tolerance::default() },
            Tolerance { floor: bad, ..Tolerance::default() },
        ] {
            let comparison = compare(&got, &twin, &oracle, tolerance);
            assert!(!comparison.passed && comparison.reason.contains("must be finite"), "{comparison}");
        }
        assert!(!compare_allclose(&got, &twin, bad, 0.0).passed);
        assert!(!compare_allclose(&got, &twin, 0.0, bad).passed);
    }
}

#[test]
fn the_bound_is_the_twins_error_times_the_factor_plus_the_floor() {
    // The twin is off by 2⁻¹⁰ somewhere else; 2·2⁻¹⁰ + 2⁻¹⁰ is the last that passes.
    let step = 2f32.powi(-10);
    let tolerance = Tolerance { nmse: 1.0, factor: 2.0, floor: f64::from(step) };
    let run = |got: f32| compare(&[got, 1.0], &[1.0, 1.0 + step], &[1.0, 1.0], tolerance);
    assert!(run(1.0 + 3.0 * step).passed && run(1.0 - 3.0 * step).passed);
    let comparison = run(1.0 + 3.125 * step);
    assert!(!comparison.passed);
    assert_eq!(comparison.twin_error, Some(f64::from(step)));
    assert_eq!(comparison.largest_error, 3.125 * f64::from(step));
    assert!(comparison.reason.contains("element 0 is 1.0030518e0, not 1e0"), "{comparison}");
    assert!(comparison.reason.contains("bound 2.930e-3"), "{comparison}");
}

#[test]
fn allclose() {
    let expected = [1.0, -100.0, 0.0, 5.0];
    assert!(compare_allclose(&[1.0, -100.0, -0.0, 5.0], &expected, 0.0, 0.0).passed);
    assert!(compare_allclose(&[1.01, -101.0, 0.0, 5.0], &expected, 0.0101, 0.0).passed);
    let comparison = compare_allclose(&[1.0, -100.0, 1e-6, 5.25], &expected, 0.01, 1e-7);
    assert!(!comparison.passed && comparison.twin_error.is_none());
    assert_eq!((comparison.worst, comparison.failing), (Some(3), 2));
    assert!(comparison.reason.contains("element 3 is 5.25e0, not 5e0"), "{comparison}");
    // The relative tolerance is that of what is expected: nothing at 0.
    assert!(!compare_allclose(&[1.0, -100.0, 1e-6, 5.0], &expected, 0.5, 0.0).passed);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(!compare_allclose(&[bad, 1.0], &[1.0, 1.0], 1e9, 1e9).passed);
        assert!(!compare_allclose(&[1.0, 1.0], &[1.0, bad], 1e9, 1e9).passed);
        assert!(!compare_allclose(&[-bad, 1.0], &[bad, 1.0], 1e9, 1e9).passed || bad.is_nan());
        assert!(compare_allclose(&[1.0, bad], &[1.0, bad], 0.0, 0.0).passed);
    }
    assert!(!compare_allclose(&[1.0], &expected, 1.0, 1.0).passed);
}

#[test]
fn bits() {
    let a = [1.0, 0.0, f32::NAN, -3.5];
    assert!(compare_bits(&a, &black_box(a)).passed);
    let b = [1.0, -0.0, f32::NAN, -3.5f32.next_up()];
    let comparison = compare_bits(&a, &b);
    assert!(!comparison.passed);
    assert_eq!((comparison.worst, comparison.failing), (Some(1), 2));
    assert!(comparison.reason.contains("bits 00000000") && comparison.reason.contains("bits 80000000"));
    assert!(!compare_bits(&[f32::NAN], &[f32::from_bits(0x7fc0_0001)]).passed);
    assert!(!compare_bits(&a, &black_box(a)[..3]).passed);
}

#[test]
fn the_floor_bounds_rounding_and_little_more() {
    assert_eq!(rounding_floor(0, 1.0), 0.0);
    assert_eq!(rounding_floor(1, 1.0), 2f64.powi(-22));
    assert_eq!(rounding_floor(400, -0.5), 10.0 * rounding_floor(1, 1.0));
    let mut state = 7u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    for terms in [1, 2, 3, 16, 64, 1000] {
        let mut largest = 0f64;
        for _ in 0..2000 {
            let (mut sum, mut exact, mut magnitude) = (0f32, 0f64, 0f64);
            for _ in 0..terms {
                let (a, b) = (random(), random());
                sum += a * b;
                exact += f64::from(a) * f64::from(b);
                magnitude = magnitude.max(exact.abs());
            }
            let error = (f64::from(sum) - exact).abs();
            assert!(error <= rounding_floor(terms, magnitude), "{terms} terms: {error:e}");
            largest = largest.max(error / rounding_floor(terms, magnitude));
        }
        // Not so wide that nothing comes near.
        assert!(largest > 0.1, "{terms} terms: only {largest} of the floor is ever used");
    }
}

#[test]
fn it_displays_as_one_line() {
    let passed = Sample::new(ROW).compare().to_string();
    let failed = Sample::fault(|s| s.got[7] = f32::NAN).to_string();
    assert!(passed.starts_with("passed: ") && passed.contains("64 elements"), "{passed}");
    assert!(failed.starts_with("FAILED: element 7 is NaN, not ") && failed.contains("(twin "), "{failed}");
    assert!(!passed.contains('\n') && !failed.contains('\n'));
}

#[test]
fn nothing_against_nothing() {
    let comparison = compare(&[], &[], &[], Tolerance::default());
    assert!(comparison.passed && comparison.elements == 0);
    assert!(comparison.to_string().contains("nothing to compare; 0 elements"), "{comparison}");
    assert!(compare_bits(&[], &[]).passed && compare_allclose(&[], &[], 0.0, 0.0).passed);
}

/// What a device may get wrong, in the result alone: each fault must be caught by each comparison. The result has a
/// million elements, so that what is wrong in one of them is wrong in one of a million.
#[test]
fn every_fault_of_a_result_is_caught() {
    const ELEMENTS: usize = 1 << 20;
    const MIDDLE: usize = ELEMENTS / 2 + 7;
    type Plant = fn(&mut Vec<f32>);
    let faults: &[(&str, Plant)] = &[
        ("a NaN", |got| got[MIDDLE] = f32::NAN),
        ("a NaN in the first element", |got| got[0] = f32::NAN),
        ("a NaN in the last element", |got| got[ELEMENTS - 1] = f32::NAN),
        ("a signalling NaN", |got| got[MIDDLE] = f32::from_bits(0x7f80_0001)),
        ("an infinity", |got| got[MIDDLE] = f32::INFINITY),
        ("a negative infinity", |got| got[MIDDLE] = f32::NEG_INFINITY),
        ("the largest number", |got| got[MIDDLE] = f32::MAX),
        ("a NaN and an infinity", |got| (got[3], got[MIDDLE]) = (f32::NAN, f32::INFINITY)),
        ("one element off by a thousandth", |got| got[MIDDLE] += 2e-3),
        ("one element with the other sign", |got| got[MIDDLE] = -got[MIDDLE]),
        ("one element of 0", |got| got[MIDDLE] = 0.0),
        ("one element twice as large", |got| got[MIDDLE] *= 2.0),
        ("a word in the place of a number", |got| got[MIDDLE] = f32::from_bits(1 << 20)),
        ("two elements exchanged", |got| got.swap(MIDDLE, MIDDLE + 1)),
        ("two rows exchanged", |got| (0..ROW).for_each(|at| got.swap(5 * ROW + at, 6 * ROW + at))),
        ("a row twice", |got| got.copy_within(3 * ROW..4 * ROW, 4 * ROW)),
        ("a row of zeros", |got| got[9 * ROW..10 * ROW].fill(0.0)),
        ("a row of NaN", |got| got[9 * ROW..10 * ROW].fill(f32::NAN)),
        ("a row that was added to what was there", |got| {
            got[9 * ROW..10 * ROW].iter_mut().for_each(|x| *x += 1.0)
        }),
        ("the last row's tail shifted by one", |got| got[ELEMENTS - 8..].rotate_right(1)),
        ("the last element left out", |got| got[ELEMENTS - 1] = 0.0),
        ("shifted by one", |got| got.rotate_right(1)),
        ("shifted by one the other way", |got| got.rotate_left(1)),
        ("shifted by a row", |got| got.rotate_left(ROW)),
        ("transposed", |got| {
            let rows: Vec<f32> = got.clone();
            got.iter_mut()
                .enumerate()
                .for_each(|(at, x)| *x = rows[at % (ELEMENTS / ROW) * ROW + at / (ELEMENTS / ROW)]);
        }),
        ("the second half never written", |got| got[ELEMENTS / 2..].fill(f32::from_bits(0x7fc0_dead))),
        ("the second half the first once more", |got| got.copy_within(..ELEMENTS / 2, ELEMENTS / 2)),
        ("all zeros", |got| got.fill(0.0)),
        ("all NaN", |got| got.fill(f32::NAN)),
        ("all the same", |got| got.fill(1.0)),
        ("all with the other sign", |got| got.iter_mut().for_each(|x| *x = -*x)),
        ("all without their signs", |got| got.iter_mut().for_each(|x| *x = x.abs())),
        ("all a thousandth too large", |got| got.iter_mut().for_each(|x| *x *= 1.001)),
        ("all a ten-thousandth off", |got| got.iter_mut().for_each(|x| *x += 1e-4)),
        ("all rounded to f16", |got| got.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32())),
        ("all rounded to eight bits", |got| {
            got.iter_mut().for_each(|x| *x = half::bf16::from_f32(*x).to_f32())
        }),
        ("one element too few", |got| got.truncate(ELEMENTS - 1)),
        ("one element too many", |got| got.push(0.0)),
        ("none at all", Vec::clear),
    ];
    let right = Sample::new(ELEMENTS);
    let floor = rounding_floor(TERMS, (TERMS as f64).sqrt() / 3.0);
    let expected: Vec<f32> = right.oracle.iter().map(|&expected| expected as f32).collect();
    let run = |got: &[f32]| {
        [
            (
                "compare",
                compare(got, &right.twin, &right.oracle, Tolerance { floor, ..Tolerance::default() }),
            ),
            ("compare_allclose", compare_allclose(got, &expected, 1e-5, 1e-5)),
            ("compare_bits", compare_bits(got, &right.got)),
        ]
    };
    for (name, comparison) in run(&right.got.clone()) {
        assert!(comparison.passed, "{name}, of what is right: {comparison}");
    }
    for (fault, plant) in faults {
        let mut got = right.got.clone();
        plant(&mut got);
        for (name, comparison) in run(&got) {
            assert!(!comparison.passed, "{name} let through: {fault}: {comparison}");
            assert!(!comparison.reason.is_empty() && comparison.to_string().starts_with("FAILED: "));
        }
    }
}

/// What a test may get wrong: comparisons that could never fail. Each is refused, with the reason.
#[test]
fn every_fault_of_a_comparison_is_caught() {
    let Sample { got, twin, oracle } = Sample::new(16);
    let right = Tolerance { floor: 1e-5, ..Tolerance::default() };
    assert!(compare(&got, &twin, &oracle, right).passed);
    let with = |tolerance: Tolerance| compare(&got, &twin, &oracle, tolerance);
    let not_a_number = vec![f64::NAN; 16];
    let mut off = twin.clone();
    off[3] += 0.5;
    let loose = Tolerance { nmse: 1.0, ..right };
    let faults = [
        ("the twin is its own result", compare(&twin, &twin, &oracle, right), "the same memory"),
        ("what is expected is its own result", compare_allclose(&got, &got, 1e-5, 1e-5), "the same memory"),
        ("a run is compared with itself", compare_bits(&got, &got), "the same memory"),
        ("a part of it is", compare_bits(&got[..9], &got[7..]), "the same memory"),
        // The oracle is f64: no result can be passed in its place. A copy of a wrong twin is held against it.
        (
            "a copy of a wrong twin is the result",
            compare(&off.clone(), &off, &oracle, right),
            "the twin itself",
        ),
        ("the twin is all zeros", compare(&got, &[0.0; 16], &oracle, right), "the twin itself"),
        ("the twin is NaN", compare(&got, &[f32::NAN; 16], &oracle, right), "the twin itself"),
        ("the oracle is NaN", compare(&got, &twin, &not_a_number, right), "the twin itself"),
        (
            "both are NaN",
            compare(&[f32::NAN; 16], &black_box([f32::NAN; 16]), &oracle, right),
            "the twin itself",
        ),
        ("the twin is shorter", compare(&got, &twin[..15], &oracle, right), "the lengths differ"),
        ("the oracle is shorter", compare(&got, &twin, &oracle[..15], right), "the lengths differ"),
        ("there is no oracle", compare(&got, &twin, &[], right), "the lengths differ"),
        ("there is nothing that is expected", compare_allclose(&got, &[], 1e-5, 1e-5), "the lengths differ"),
        ("an NMSE of NaN", with(Tolerance { nmse: f64::NAN, ..right }), "must be finite"),
        ("a factor of NaN", with(Tolerance { factor: f64::NAN, ..right }), "must be finite"),
        ("a floor of NaN", with(Tolerance { floor: f64::NAN, ..right }), "must be finite"),
        ("an infinite NMSE", with(Tolerance { nmse: f64::INFINITY, ..right }), "must be finite"),
        ("an infinite factor", with(Tolerance { factor: f64::INFINITY, ..right }), "must be finite"),
        ("an infinite floor", with(Tolerance { floor: f64::INFINITY, ..right }), "must be finite"),
        ("a negative floor", with(Tolerance { floor: -1e-5, ..right }), "must be finite"),
        ("a tolerance of NaN", compare_allclose(&got, &twin, f64::NAN, 0.0), "must be finite"),
        ("an infinite tolerance", compare_allclose(&got, &twin, 0.0, f64::INFINITY), "must be finite"),
        // A mean hides one element, so that a wide bound on it must not be all.
        ("an NMSE of 1", compare(&off, &twin, &oracle, loose), "element 3 is"),
    ];
    for (fault, comparison, reason) in faults {
        assert!(!comparison.passed, "let through: {fault}: {comparison}");
        assert!(comparison.reason.contains(reason), "{fault}: {comparison}");
    }
}
