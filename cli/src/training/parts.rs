//! The parts of a step whose batch memory does not hold at once.

use std::ops::Range;

use attentive::Error;

use crate::output::Failure;

/// As few parts as there can be of at most `most` examples each, of about the same size; all of them in one without.
pub fn parts(examples: usize, most: Option<usize>) -> Vec<Range<usize>> {
    let count = most.map_or(1, |most| examples.div_ceil(most.max(1))).max(1);
    (0..count).map(|part| part * examples / count..(part + 1) * examples / count).collect()
}

/// The error of a step that had `most` examples in memory at once, with what helps where that was too much.
pub fn failure(error: Error, most: usize) -> Failure {
    let is_too_large = matches!(error.root(), Error::OutOfMemory { .. } | Error::Limit { .. });
    match is_too_large && most > 1 {
        true => Failure::Failed(format!(
            "{error}; a step had {most} examples in memory at once: --micro-batch {} computes it in smaller parts, and what comes of \
             it is the same",
            most / 2
        )),
        false => Failure::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_a_batch_and_none_is_too_large() {
        for examples in 1..40 {
            assert_eq!(parts(examples, None).first(), Some(&(0..examples)));
            assert_eq!(parts(examples, None).len(), 1);
            for most in 1..45 {
                let parts = parts(examples, Some(most));
                assert_eq!(parts.len(), examples.div_ceil(most));
                assert!(parts.iter().all(|part| (1..=most).contains(&part.len())), "{parts:?}");
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "{parts:?}");
                assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, examples));
            }
        }
    }

    #[test]
    fn who_has_no_memory_is_told_of_smaller_parts() {
        let said = |error, most| match failure(error, most) {
            Failure::Failed(text) => text,
            other => panic!("{other:?}"),
        };
        let limit = || Error::Limit { what: "x".into(), limit: "y", needed: 2, available: 1 };
        let memory = || Error::OutOfMemory { device: "cpu".into(), what: "x".into(), needed: 7 };
        assert!(
            said(limit(), 32).contains("x needs y of 2") && said(limit(), 32).contains("--micro-batch 16")
        );
        assert!(
            said(memory(), 3).contains("needs 7 bytes; a step had 3")
                && said(memory(), 3).contains("--micro-batch 1 ")
        );
        // Fewer than one there cannot be; and other errors are others.
        assert!(!said(memory(), 1).contains("--micro-batch"));
        let other = Error::Timeout { device: "cpu".into(), what: "x".into(), seconds: 1.0 };
        assert!(!said(other, 32).contains("--micro-batch"));
    }
}
