//! How far two results may part, and the comparison itself.
//!
//! A comparison that cannot fail is worse than none, so this one is built to fail: each bound is checked as
//! `!(difference <= bound)`, which a NaN fails; an infinite bound fails; an array compared with itself fails
//! (it proves nothing); the twin, whose error sets the bound, is itself held to the oracle.
//!
//! Padding and other places that a result leaves undefined are not the comparison's concern: the caller leaves
//! them out of all arrays.

#![expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must fail every bound")]

use std::fmt;

/// How far a result may part from the oracle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The largest NMSE against the oracle.
    pub nmse: f64,
    /// The largest error may be this many times the twin's largest error, plus `floor`.
    pub factor: f64,
    /// The error that is allowed where the twin happens to be exact; see [`rounding_floor`](crate::reference::rounding_floor). 0 by default.
    pub floor: f64,
}

impl Default for Tolerance {
    /// An NMSE of 1e-9, twice the twin's error (the rule of FlashAttention's own tests), and no floor.
    fn default() -> Self {
        Self { nmse: 1e-9, factor: 2.0, floor: 0.0 }
    }
}

/// The outcome of a comparison. Displays as one line.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Comparison {
    /// Whether everything is within its bound.
    pub passed: bool,
    /// A sentence that says why: on failure with the worst element, what it is, what it should be, and the bound.
    pub reason: String,
    /// How many elements were compared.
    pub elements: usize,
    /// max |got − expected|; infinite if a NaN or an infinity is where it should not be, or is missing.
    pub largest_error: f64,
    /// max |twin − oracle|, in the same way; `None` where no twin is part of the comparison.
    pub twin_error: Option<f64>,
    /// Σ(got − expected)² / Σ expected² over the elements that are expected finite: 0 where both sums are 0,
    /// infinite where only the second is, or where `largest_error` is.
    pub nmse: f64,
    /// The element that is furthest beyond its bound (or closest to it); `None` without elements.
    pub worst: Option<usize>,
    /// How many elements are beyond their bound.
    pub failing: usize,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed { "passed" } else { "FAILED" };
        write!(
            f,
            "{verdict}: {}; {} elements, largest error {:.3e}",
            self.reason, self.elements, self.largest_error
        )?;
        if let Some(twin_error) = self.twin_error {
            write!(f, " (twin {twin_error:.3e})")?;
        }
        write!(f, ", NMSE {:.3e}, {} beyond the bound", self.nmse, self.failing)
    }
}

/// Judges `got` by the f64 `oracle` and by how well the f32 `twin` does against the same oracle.
///
/// It passes if all of these hold:
/// - the three have the same length, and `got` and `twin` share no memory (two equal constants may, by the
///   compiler's doing);
/// - where the oracle is NaN or infinite, `got` and `twin` are the same NaN or infinity (any NaN is like any
///   other); nowhere else are they NaN or infinite. These elements are left out of what follows;
/// - max |got − oracle| ≤ `factor`·max |twin − oracle| + `floor`;
/// - NMSE = Σ(got − oracle)² / Σ oracle² ≤ `nmse`, for `got` and for `twin` (else the twin's error, which the
///   bound above is made of, would be a defect's);
/// - no bound is negative, NaN or infinite.
///
/// Where Σ oracle² is 0, both `got` and `twin` must be within `floor`, and the NMSE is not asked.
/// A finite oracle beyond f32's range is not met by an infinity.
pub fn compare(got: &[f32], twin: &[f32], oracle: &[f64], tolerance: Tolerance) -> Comparison {
    if let Some(reason) = different_lengths(got.len(), &[("twin", twin.len()), ("oracle", oracle.len())])
        .or_else(|| shared_memory(got, "twin", twin))
        .or_else(|| {
            bad_bounds(&[("nmse", tolerance.nmse), ("factor", tolerance.factor), ("floor", tolerance.floor)])
        })
    {
        return Comparison::refused(reason, got.len());
    }
    let energy: f64 = oracle.iter().filter(|o| o.is_finite()).map(|o| o * o).sum();
    let zero = energy == 0.0;
    let floor = |_: usize| tolerance.floor;

    let twin_measured = Measured::new(twin, oracle, floor);
    let bound =
        if zero { tolerance.floor } else { tolerance.factor * twin_measured.largest_error + tolerance.floor };
    let measured = Measured::new(got, oracle, |_| bound);

    // The twin first: where it is wrong, what is said of the result means nothing.
    let reason = if !twin_measured.largest_error.is_finite() || (zero && twin_measured.failing > 0) {
        Some(format!("the twin itself is wrong: {}", twin_measured.sentence(twin, oracle, tolerance.floor)))
    } else if !zero && !(twin_measured.nmse <= tolerance.nmse) {
        let sentence = twin_measured.nmse_sentence(twin, oracle, tolerance.nmse);
        Some(format!("the twin itself is wrong: {sentence}"))
    } else if measured.failing > 0 {
        Some(measured.sentence(got, oracle, bound))
    } else if !zero && !(measured.nmse <= tolerance.nmse) {
        Some(measured.nmse_sentence(got, oracle, tolerance.nmse))
    } else {
        None
    };
    measured.verdict(reason, Some(twin_measured.largest_error), bound)
}

/// Judges `got` by `expected` with |got − expected| ≤ `atol` + `rtol`·|expected| for every element.
///
/// For results of others, which come without an oracle. It passes if the lengths are the same, the two share no
/// memory, NaN and infinities are in the same places with the same signs (any NaN is like any other), and every
/// other element is within its bound. Neither tolerance may be negative, NaN or infinite.
pub fn compare_allclose(got: &[f32], expected: &[f32], rtol: f64, atol: f64) -> Comparison {
    if let Some(reason) = different_lengths(got.len(), &[("expected", expected.len())])
        .or_else(|| shared_memory(got, "expected", expected))
        .or_else(|| bad_bounds(&[("rtol", rtol), ("atol", atol)]))
    {
        return Comparison::refused(reason, got.len());
    }
    let expected: Vec<f64> = expected.iter().map(|&e| f64::from(e)).collect();
    // An infinity must be met exactly; its multiple would bound nothing.
    let bound = |i: usize| if expected[i].is_finite() { atol + rtol * expected[i].abs() } else { atol };
    let measured = Measured::new(got, &expected, bound);
    let worst_bound = measured.worst.map_or(atol, bound);
    let reason = (measured.failing > 0).then(|| measured.sentence(got, &expected, worst_bound));
    measured.verdict(reason, None, worst_bound)
}

/// Whether two runs gave the same bits: for repeatability. NaNs must have the same bits too, and 0 is not −0.
///
/// It fails if the lengths differ or the two share memory. The worst element is the first that differs.
pub fn compare_bits(a: &[f32], b: &[f32]) -> Comparison {
    if let Some(reason) =
        different_lengths(a.len(), &[("the second", b.len())]).or_else(|| shared_memory(a, "the second", b))
    {
        return Comparison::refused(reason, a.len());
    }
    let expected: Vec<f64> = b.iter().map(|&b| f64::from(b)).collect();
    let mut measured = Measured::new(a, &expected, |_| 0.0);
    let differs = |i: &usize| a[*i].to_bits() != b[*i].to_bits();
    let first = (0..a.len()).find(differs);
    measured.failing = (0..a.len()).filter(differs).count();
    measured.worst = first.or(measured.worst);
    let reason = first.map(|i| {
        let (a, b) = (a[i], b[i]);
        format!(
            "element {i} is {a:e} (bits {:08x}) in the first and {b:e} (bits {:08x}) in the second",
            a.to_bits(),
            b.to_bits()
        )
    });
    measured.verdict(reason, None, 0.0)
}

/// The first array that has not the length of `got`, as a sentence.
fn different_lengths(got: usize, others: &[(&str, usize)]) -> Option<String> {
    let (name, other) = others.iter().find(|(_, other)| *other != got)?;
    Some(format!("the lengths differ: {got} elements against {other} of {name}"))
}

/// Whether two slices overlap in memory, as a sentence. An array agrees with itself whatever is in it.
fn shared_memory(got: &[f32], name: &str, other: &[f32]) -> Option<String> {
    let (a, b) = (got.as_ptr_range(), other.as_ptr_range());
    let overlap = a.start < b.end && b.start < a.end;
    overlap.then(|| format!("the result and {name} are the same memory, so comparing them proves nothing"))
}

/// The first bound that is negative, NaN or infinite, as a sentence.
fn bad_bounds(bounds: &[(&str, f64)]) -> Option<String> {
    let (name, value) = bounds.iter().find(|(_, value)| !(*value >= 0.0 && *value < f64::INFINITY))?;
    Some(format!("{name} must be finite and not negative, but is {value}"))
}

/// |got − expected|; 0 for the same NaN or infinity, and infinite if only one of them is finite, or they are
/// different infinities.
fn error(got: f32, expected: f64) -> f64 {
    let got = f64::from(got);
    if got.is_finite() && expected.is_finite() {
        (got - expected).abs()
    } else if got == expected || (got.is_nan() && expected.is_nan()) {
        0.0
    } else {
        f64::INFINITY
    }
}

/// An array measured against what is expected of it.
struct Measured {
    elements: usize,
    largest_error: f64,
    nmse: f64,
    worst: Option<usize>,
    failing: usize,
}

impl Measured {
    /// Both must have the same length. `bound` is that of each element.
    fn new(got: &[f32], expected: &[f64], bound: impl Fn(usize) -> f64) -> Self {
        let (mut squares, mut energy) = (0.0, 0.0);
        let (mut largest_error, mut largest_excess) = (0.0, f64::NEG_INFINITY);
        let (mut worst, mut failing) = (None, 0);
        for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
            let (error, bound) = (error(got, expected), bound(i));
            if !(error <= bound && error.is_finite()) {
                failing += 1;
            }
            // `error` is never NaN.
            largest_error = error.max(largest_error);
            // Infinite errors go before all, even where a bound is infinite too.
            let excess = if error.is_infinite() { error } else { error - bound };
            if worst.is_none() || excess > largest_excess {
                (worst, largest_excess) = (Some(i), excess);
            }
            if expected.is_finite() {
                squares += error * error;
                energy += expected * expected;
            }
        }
        let nmse = if largest_error.is_infinite() {
            f64::INFINITY
        } else if squares == 0.0 {
            0.0
        } else {
            squares / energy
        };
        Self { elements: got.len(), largest_error, nmse, worst, failing }
    }

    /// The fault of the worst element.
    fn sentence(&self, got: &[f32], expected: &[f64], bound: f64) -> String {
        let Some(i) = self.worst else { return "there are no elements".to_owned() };
        format!(
            "element {i} is {:e}, not {:e} (off by {:.3e}, bound {bound:.3e})",
            got[i],
            expected[i],
            error(got[i], expected[i])
        )
    }

    /// That the NMSE is above its bound.
    fn nmse_sentence(&self, got: &[f32], expected: &[f64], bound: f64) -> String {
        let Some(i) = self.worst else { return "there are no elements".to_owned() };
        format!(
            "the NMSE of {:.3e} is above its bound of {bound:.3e} (the worst element is {i}: {:e}, not {:e})",
            self.nmse, got[i], expected[i]
        )
    }

    /// The comparison; it passed if there is no reason why not.
    fn verdict(self, failure: Option<String>, twin_error: Option<f64>, bound: f64) -> Comparison {
        let Self { elements, largest_error, nmse, worst, failing } = self;
        let passed = failure.is_none();
        let reason = failure.unwrap_or_else(|| match worst {
            Some(i) => format!("all within their tolerance (closest to it: element {i}, bound {bound:.3e})"),
            None => "there was nothing to compare".to_owned(),
        });
        Comparison { passed, reason, elements, largest_error, twin_error, nmse, worst, failing }
    }
}

impl Comparison {
    /// A comparison that could not be made: it failed, for every element.
    fn refused(reason: String, elements: usize) -> Self {
        Self {
            passed: false,
            reason,
            elements,
            largest_error: f64::INFINITY,
            twin_error: None,
            nmse: f64::INFINITY,
            worst: None,
            failing: elements,
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
