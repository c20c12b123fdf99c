//! The threads of the twins.
//!
//! Work is cut into parts whose results do not depend on how it is cut, so that the number of threads changes no bit.
//! Threads are made for each kernel and end with it: about 50 µs each, against milliseconds of work.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Operations of a part that is worth a thread.
const OPERATIONS: u64 = 200_000;

thread_local! {
    /// This thread does a part already.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Threads for so many operations: as many as there are cores (one in the browser), fewer for little work, and one within a
/// part.
pub(crate) fn threads(operations: u64) -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    if WITHIN.get() {
        return 1;
    }
    let cores = *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    cores.min(usize::try_from(operations / OPERATIONS).unwrap_or(usize::MAX)).max(1)
}

/// Runs `work` on so many threads, this one among them, and gives what each returned.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    struct Within(bool);
    impl Drop for Within {
        fn drop(&mut self) {
            WITHIN.set(self.0);
        }
    }
    let work = || {
        let _within = Within(WITHIN.replace(true));
        work()
    };
    std::thread::scope(|scope| {
        // Where the system gives no thread, the others do the work.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut results = vec![work()];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// The results of `work` for each part, in order. `operations` is what all parts take together.
pub(crate) fn map<T: Send>(parts: usize, operations: u64, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = threads(operations).min(parts);
    if threads <= 1 {
        return (0..parts).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = on_threads(threads, || {
        let mut done = Vec::new();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return done;
            }
            done.push((part, work(part)));
        }
    });
    let mut done: Vec<(usize, T)> = done.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(part, _)| *part);
    done.into_iter().map(|(_, result)| result).collect()
}

/// As [`rows`] for rows that use threads themselves: those of one row where the rows are fewer than the threads.
pub(crate) fn whole_rows<T: Send>(
    values: &mut [T],
    row: usize,
    operations: u64,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let all = (values.len() as u64).saturating_mul(operations);
    let each = if values.len().div_ceil(row.max(1)) < threads(all) { 0 } else { operations };
    rows(values, row, each, work);
}

/// As [`map`] for parts that use threads themselves: those of one part where the parts are fewer than the threads.
pub(crate) fn map_whole<T: Send>(parts: usize, operations: u64, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let each = if parts < threads(operations) { 0 } else { operations };
    map(parts, each, work)
}

/// Runs `work` over `values` in runs of whole rows, with the number of the first; the last row may be cut. `operations` is
/// what each value takes.
pub(crate) fn rows<T: Send>(
    values: &mut [T],
    row: usize,
    operations: u64,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let row = row.max(1);
    let count = values.len().div_ceil(row);
    let threads = threads((values.len() as u64).saturating_mul(operations)).min(count);
    if threads <= 1 {
        return work(0, values);
    }
    // More runs than threads, since another program may slow one of them down.
    let run = count.div_ceil(4 * threads);
    let runs = Mutex::new(values.chunks_mut(run * row).enumerate());
    on_threads(threads, || {
        loop {
            let Some((place, values)) = runs.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                return;
            };
            work(place * run, values);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_order_and_once() {
        for (parts, operations) in [(0, 1), (1, u64::MAX), (1000, u64::MAX), (7, 0)] {
            assert_eq!(map(parts, operations, |part| part), (0..parts).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_part_has_one_thread() {
        let many = threads(u64::MAX);
        let within = map(4, u64::MAX, |_| threads(u64::MAX));
        assert_eq!(within, [if many > 1 { 1 } else { many }; 4]);
        assert_eq!(threads(u64::MAX), many);
        // Few parts have all of them.
        assert_eq!(map_whole(1, u64::MAX, |_| threads(u64::MAX)), [many]);
        let panicked = std::panic::catch_unwind(|| map(64, u64::MAX, |part| assert!(part < 40)));
        assert!(panicked.is_err());
        assert_eq!(threads(u64::MAX), many);
    }

    #[test]
    fn each_row_is_visited_once_with_its_number() {
        for (length, row) in [(0, 3), (1, 3), (7, 3), (1000, 7), (1001, 0), (5, 100)] {
            let mut values = vec![0_usize; length];
            rows(&mut values, row, u64::MAX, |first, values| {
                for (offset, value) in values.iter_mut().enumerate() {
                    *value += 1 + first * row.max(1) + offset;
                }
            });
            assert_eq!(values, (1..=length).collect::<Vec<_>>(), "{length} {row}");
        }
    }

    #[test]
    #[should_panic(expected = "of its own")]
    fn a_panic_keeps_its_words() {
        map(64, u64::MAX, |part| assert!(part < 40, "of its own"));
    }
}
