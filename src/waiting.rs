//! How a future waits while a device works.
//!
//! A blocking call waits, and computes on the CPU device, on the caller's own thread: [`block_on`]. An async one must do
//! neither, or it holds the executor's thread, and nothing can time it out: [`unblock`] sends such work to a thread that is
//! kept for it and wakes the future when it is done. So any executor will do.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{WAITS, WORK, block_on, unblock};

/// The contents of a lock, also where a thread panicked with it: none of ours leaves it half changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the executor do something else, once.
#[cfg(feature = "models")]
pub(crate) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Items that one poll of a future takes in hand, such as texts to be tokenized; a blocking call takes all.
#[cfg(feature = "models")]
pub(crate) fn items_at_once() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    if native::may_block() {
        return usize::MAX;
    }
    32
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::cell::Cell;
    use std::collections::VecDeque;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
    use std::time::Duration;

    use futures_intrusive::channel::shared::oneshot_channel;

    thread_local! {
        static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether what runs on this thread is a blocking call.
    pub fn may_block() -> bool {
        MAY_BLOCK.get()
    }

    /// Runs a future of this crate to its end on this thread, which may block.
    pub fn block_on<F: Future>(future: F) -> F::Output {
        /// Puts back what was there, after a panic too.
        struct Before(bool);
        impl Drop for Before {
            fn drop(&mut self) {
                MAY_BLOCK.set(self.0);
            }
        }
        let _before = Before(MAY_BLOCK.replace(true));
        pollster::block_on(future)
    }

    /// For waiting until a GPU is done: so many may wait at once.
    pub static WAITS: LazyLock<Pool> = LazyLock::new(|| Pool::new(256));

    /// For computing, which takes all cores by itself: what is more than these would only take memory.
    pub static WORK: LazyLock<Pool> =
        LazyLock::new(|| Pool::new(std::thread::available_parallelism().map_or(2, usize::from).max(2)));

    /// Does `work` on this thread in a blocking call, elsewhere on one of the pool, and gives what it gives. Where the future
    /// is dropped, `work` goes on; what it is given turns true, and it should end soon. A panic comes out here.
    pub async fn unblock<T: Send + 'static>(
        pool: &'static Pool,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> T {
        let cancelled = Arc::new(AtomicBool::new(false));
        if may_block() {
            return work(&cancelled);
        }
        let _on_drop = CancelOnDrop(cancelled.clone());
        let (sender, receiver) = oneshot_channel();
        pool.run(Box::new(move || {
            let _ = sender.send(catch_unwind(AssertUnwindSafe(|| work(&cancelled))));
        }));
        match receiver.receive().await {
            Some(Ok(done)) => done,
            Some(Err(panic)) => resume_unwind(panic),
            // The job sends before it ends, and no job is lost.
            None => resume_unwind(Box::new("work was lost")),
        }
    }

    struct CancelOnDrop(Arc<AtomicBool>);

    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    type Job = Box<dyn FnOnce() + Send>;

    /// Threads that are made when there is something for them to do, and that end when there was nothing for a while.
    pub struct Pool {
        state: Mutex<State>,
        more: Condvar,
        /// Threads at once; further jobs wait in order.
        most: usize,
    }

    #[derive(Default)]
    struct State {
        jobs: VecDeque<Job>,
        threads: usize,
        idle: usize,
    }

    impl Pool {
        /// How long a thread waits for the next job.
        const KEPT: Duration = Duration::from_secs(5);

        pub fn new(most: usize) -> Self {
            Self { state: Mutex::default(), more: Condvar::new(), most }
        }

        fn run(&'static self, job: Job) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.jobs.push_back(job);
            if state.idle >= state.jobs.len() {
                self.more.notify_one();
                return;
            }
            if state.threads >= self.most {
                return;
            }
            let thread = std::thread::Builder::new().name("attentive".to_owned());
            match thread.spawn(|| self.work()) {
                Ok(_) => state.threads += 1,
                // Those that there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(_) => {
                    let job = state.jobs.pop_back();
                    drop(state);
                    if let Some(job) = job {
                        job();
                    }
                }
            }
        }

        fn work(&self) {
            // Nobody is held up here.
            MAY_BLOCK.set(true);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(job) = state.jobs.pop_front() {
                    drop(state);
                    job();
                    state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                state.idle += 1;
                let (woken, waited) =
                    self.more.wait_timeout(state, Self::KEPT).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                if waited.timed_out() && state.jobs.is_empty() {
                    state.threads -= 1;
                    return;
                }
            }
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::native::{Pool, may_block};
    use super::*;

    #[test]
    fn work_is_done_elsewhere_unless_the_caller_may_block() {
        static POOL: std::sync::LazyLock<Pool> = std::sync::LazyLock::new(|| Pool::new(2));
        let here = std::thread::current().id();
        let there = |_: &AtomicBool| std::thread::current().id();
        assert_eq!(block_on(unblock(&POOL, there)), here);
        assert_ne!(pollster::block_on(unblock(&POOL, there)), here);
        assert!(!may_block());
        // Within a job nothing goes elsewhere again: jobs do not wait for jobs.
        assert!(pollster::block_on(unblock(&POOL, |_| block_on(unblock(&POOL, |_| may_block())))));
        let panic = std::panic::catch_unwind(|| {
            pollster::block_on(unblock(&POOL, |_| {
                if may_block() {
                    std::panic::resume_unwind(Box::new("own words"));
                }
            }));
        });
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"own words"));
    }

    #[test]
    fn more_jobs_than_threads_are_all_done() {
        static POOL: std::sync::LazyLock<Pool> = std::sync::LazyLock::new(|| Pool::new(2));
        let (sender, receiver) = mpsc::channel();
        let calls = (0..100).map(|number| {
            let sender = sender.clone();
            Box::pin(unblock(&POOL, move |_| sender.send(number).unwrap()))
        });
        let mut calls: Vec<_> = calls.collect();
        // Begun all at once; every other one is dropped and still done.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // One that is done at once must not be polled again.
        calls.retain_mut(|call| call.as_mut().poll(&mut context).is_pending());
        for (place, call) in calls.into_iter().enumerate() {
            if place % 2 == 0 {
                pollster::block_on(call);
            }
        }
        let mut done: Vec<i32> =
            (0..100).map(|_| receiver.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..100));
    }
}
