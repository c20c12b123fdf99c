//! One embedder for a whole server: shared by tasks and threads, with a time limit for each request, and a run that a button
//! can end. Any executor will do, since futures of this crate neither block nor compute on the thread that polls them; with
//! tokio a request is `tokio::time::timeout(limit, embedder.encode(&texts).run_async()).await`, in a task of `tokio::spawn`.
//! Here the executor is `pollster`.
//!
//!     cargo run --release --example async_embed target/models/all-MiniLM-L6-v2 [DEVICE]

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use attentive::{Device, Embedder, Error};

/// What the future gives, or nothing if it takes longer; then it is dropped, and with it all that it had begun.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut future = pin!(future);
    let mut timer = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if Instant::now() >= end {
            return Poll::Ready(None);
        }
        // A runtime has timers; this is the simplest that wakes.
        timer.get_or_insert_with(|| {
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
                waker.wake();
            })
        });
        Poll::Pending
    })
    .await
}

fn main() -> attentive::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or("target/models/all-MiniLM-L6-v2".to_owned());
    let device = Device::open(&std::env::args().nth(2).unwrap_or("auto".to_owned()))?;
    // Loading is work for a thread that may block. Afterwards nothing of it changes, so `Arc` is all that it takes.
    let embedder = Arc::new(Embedder::from_dir(&device, folder)?);
    let question = ["How many legs has a spider?"];
    let expected = embedder.encode(&question).run()?;

    // Requests at once.
    let requests = (0..4).map(|_| {
        let embedder = embedder.clone();
        std::thread::spawn(move || pollster::block_on(embedder.encode(&question).run_async()))
    });
    for request in requests.collect::<Vec<_>>() {
        let vectors = request.join().expect("a request that did not panic")?;
        assert_eq!(vectors.values(), expected.values());
    }

    // A request that takes too long is given up; the next one finds everything as it was.
    let long: Vec<String> =
        (0..2000).map(|number| format!("sentence {number}, {}", "word ".repeat(60))).collect();
    let start = Instant::now();
    let limit = Duration::from_millis(50);
    match pollster::block_on(within(limit, embedder.encode(&long).run_async())) {
        None => println!("given up after {:?}, with a limit of {limit:?}", start.elapsed()),
        Some(vectors) => println!("{:?} in time: {:?}", vectors?.shape(), start.elapsed()),
    }
    let again = pollster::block_on(embedder.encode(&question).run_async())?;
    assert_eq!(again.values(), expected.values());

    // A blocking run is ended by its progress callback, between two batches.
    let stop = AtomicBool::new(false);
    let run = embedder.encode(&long).progress(|done, total| {
        println!("{done} of {total} tokens");
        // Somebody else would set it.
        stop.store(true, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match run.run() {
        Err(error @ Error::Interrupted { .. }) => println!("{error}"),
        other => panic!("{other:?}"),
    }
    Ok(())
}
