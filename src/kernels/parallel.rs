//! The threads of the twins.
//!
//! Work is cut into parts whose results do not depend on how it is cut, so that the number of threads changes no bit.
//!
//! The thread that calls takes parts itself, and the threads of a pool, one fewer than there are cores, take parts beside
//! it. The pool is made when it is first needed and kept until the process ends; its threads sleep while there is nothing to
//! do. A call never waits for a thread that has not begun: when no part is left it withdraws what it asked the pool for, and
//! waits only for the parts that are under way. So calls of many threads at once go on whatever the pool does, a busy machine
//! that wakes the pool's threads late costs little, and a process that was forked, which has none of those threads, makes
//! a pool of its own.
//!
//! Tried, on the products, activations and norms of MiniLM for a text of 8 and of 32 tokens, milliseconds on two cores (by
//! their speed two threads of one core). "Busy" is with a program that never sleeps on each of them; medians of calls, the
//! range of two or three rounds in which each had its turn:
//!
//! | | 8 tokens, idle | 8 tokens, busy | 32 tokens, idle |
//! |---|---|---|---|
//! | one core, for comparison | 11–13 | 24–29 | 18–23 |
//! | threads made for each kernel (before) | 20–114 | 32–39 | 23–136 |
//! | rayon-core 1.13, `in_place_scope`: waits for threads that have not begun | 9–11 | 92–100 | 13–14 |
//! | rayon-core 1.13, `spawn`, withdrawn as here: its threads look for work before they sleep | 9–10 | 27–30 | 14 |
//! | a queue and a condition variable (this) | 8–9 | 17–22 | 12–16 |
//! | … and up to 10 µs of asking whether the others are done before sleeping | 9–10 | 21–23 | 13–14 |
//!
//! For 512 tokens it takes 460 and before 590, of one core 770; busy 970, 1,070 and 1,600. Of 8 threads that call at once
//! each call takes 5.1 and before 6.6.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use crate::waiting::locked;

/// Operations of a part that is worth a thread: 50,000 to 500,000 make no difference that can be measured, with 1,000,000 a
/// text of 32 tokens takes a fifth longer.
const OPERATIONS: u64 = 200_000;

thread_local! {
    /// This thread does a part already.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Threads for so many operations: as many as there are cores (one in the browser), fewer for little work, and one within a
/// part.
pub(crate) fn threads(operations: u64) -> usize {
    if WITHIN.get() {
        return 1;
    }
    cores().min(usize::try_from(operations / OPERATIONS).unwrap_or(usize::MAX)).max(1)
}

/// Threads that wait for calls to help with.
struct Pool {
    /// The process that has the threads.
    process: u32,
    /// Calls that want a thread more, once for each.
    calls: Mutex<VecDeque<Arc<Call>>>,
    more: Condvar,
    /// The pool of a process that was forked from that one: here its memory is, but no thread of it.
    of_fork: OnceLock<&'static Pool>,
}

impl Pool {
    fn get() -> &'static Self {
        static FIRST: OnceLock<&'static Pool> = OnceLock::new();
        let process = std::process::id();
        let mut pool = *FIRST.get_or_init(|| Self::begin(process));
        while pool.process != process {
            pool = pool.of_fork.get_or_init(|| Self::begin(process));
        }
        pool
    }

    fn begin(process: u32) -> &'static Self {
        let (calls, more, of_fork) = Default::default();
        let pool: &'static Self = Box::leak(Box::new(Self { process, calls, more, of_fork }));
        for number in 1..cores() {
            let thread = std::thread::Builder::new().name(format!("attentive {number}"));
            // Where the system gives no thread, the others do the work.
            let _ = thread.spawn(move || pool.help());
        }
        pool
    }

    /// What its threads do: the calls in the order in which they came.
    fn help(&self) {
        loop {
            let mut calls = locked(&self.calls);
            let call = loop {
                match calls.pop_front() {
                    Some(call) => break call,
                    None => calls = self.more.wait(calls).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(calls);
            call.help();
        }
    }

    fn ask(&self, call: &Arc<Call>, threads: usize) {
        locked(&self.calls).extend((0..threads).map(|_| call.clone()));
        (0..threads).for_each(|_| self.more.notify_one());
    }

    fn withdraw(&self, call: &Arc<Call>) {
        locked(&self.calls).retain(|other| !Arc::ptr_eq(other, call));
    }
}

/// A call's work, for the threads that help with it.
struct Call {
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    /// Until the call ends.
    work: Option<&'static (dyn Fn() + Sync)>,
    /// Threads of the pool that are at it.
    helping: usize,
    /// What one of them panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

impl Call {
    fn help(&self) {
        let work = {
            let mut state = locked(&self.state);
            let Some(work) = state.work else { return };
            state.helping += 1;
            work
        };
        let done = catch_unwind(AssertUnwindSafe(work));
        let mut state = locked(&self.state);
        state.helping -= 1;
        if let Err(panic) = done {
            state.panic.get_or_insert(panic);
        }
        if state.helping == 0 {
            self.left.notify_all();
        }
    }

    /// Lets no thread begin any more, and waits for those that have.
    fn end(&self) {
        let mut state = locked(&self.state);
        state.work = None;
        while state.helping > 0 {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs `work` on this thread and on as many others of the pool as are free meanwhile, so many in all at most.
fn on_threads(threads: usize, work: &(dyn Fn() + Sync)) {
    /// Ends the call, whether this thread's part of it panics or not.
    struct Ends<'a>(&'a Arc<Call>, &'static Pool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.1.withdraw(self.0);
            self.0.end();
        }
    }
    struct Within(bool);
    impl Drop for Within {
        fn drop(&mut self) {
            WITHIN.set(self.0);
        }
    }
    let work: &(dyn Fn() + Sync) = &|| {
        let _within = Within(WITHIN.replace(true));
        work();
    };
    // SAFETY: only the lifetime changes. `Ends` is dropped before `work` is, however this function is left, and then no
    // thread is at it, and none finds it any more.
    let of_call = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) };
    let state = State { work: Some(of_call), helping: 0, panic: None };
    let call = Arc::new(Call { state: Mutex::new(state), left: Condvar::new() });
    let pool = Pool::get();
    let ends = Ends(&call, pool);
    pool.ask(&call, threads - 1);
    work();
    drop(ends);
    if let Some(panic) = locked(&call.state).panic.take() {
        resume_unwind(panic);
    }
}

/// The results of `work` for each part, in order. `operations` is what all parts take together.
pub(crate) fn map<T: Send>(parts: usize, operations: u64, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = threads(operations).min(parts);
    if threads <= 1 {
        return (0..parts).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::with_capacity(parts));
    on_threads(threads, &|| {
        let mut done = Vec::new();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return locked(&all).append(&mut done);
            }
            done.push((part, work(part)));
        }
    });
    let mut done: Vec<(usize, T)> = all.into_inner().unwrap_or_else(PoisonError::into_inner);
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
    on_threads(threads, &|| {
        loop {
            let Some((place, values)) = locked(&runs).next() else { return };
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
    fn many_threads_call_at_once() {
        std::thread::scope(|scope| {
            for caller in 0..8_usize {
                scope.spawn(move || {
                    for round in 0..200 {
                        let parts = 1 + (caller + round) % 9;
                        let got = map(parts, u64::MAX, |part| (caller, round, part));
                        assert_eq!(got, (0..parts).map(|part| (caller, round, part)).collect::<Vec<_>>());
                        // One that panics leaves the others alone.
                        if round % 50 == caller {
                            let panicked = catch_unwind(|| map(9, u64::MAX, |part| assert!(part != 4)));
                            assert!(panicked.is_err());
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_call_does_not_wait_for_threads_that_have_not_begun() {
        if cores() == 1 {
            return;
        }
        // The pool's threads are all at a call that ends only when this one has.
        let (begun, end) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                map(cores(), u64::MAX, |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while end.load(Ordering::SeqCst) == 0 {
                        std::thread::yield_now();
                    }
                });
            });
            while begun.load(Ordering::SeqCst) < cores() {
                std::thread::yield_now();
            }
            assert_eq!(map(100, u64::MAX, |part| part), (0..100).collect::<Vec<_>>());
            end.store(1, Ordering::SeqCst);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_forked_process_has_a_pool_of_its_own() {
        unsafe extern "C" {
            fn fork() -> i32;
            fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
            fn kill(process: i32, signal: i32) -> i32;
            fn _exit(status: i32) -> !;
        }
        let sum = || map(1000, u64::MAX, |part| part).into_iter().sum::<usize>();
        assert_eq!(sum(), 499_500);
        // SAFETY: the child does nothing but that sum, and ends without the destructors of this process.
        unsafe {
            let child = fork();
            if child == 0 {
                let fine = sum() == 499_500 && Pool::get().process == std::process::id();
                _exit(if fine { 7 } else { 1 });
            }
            let (mut status, begun) = (0, std::time::Instant::now());
            while waitpid(child, &mut status, 1) == 0 {
                if begun.elapsed().as_secs() > 30 {
                    kill(child, 9);
                    panic!("the child hangs");
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_eq!(status >> 8, 7);
        }
    }

    #[test]
    #[should_panic(expected = "of its own")]
    fn a_panic_keeps_its_words() {
        map(64, u64::MAX, |part| assert!(part < 40, "of its own"));
    }
}
