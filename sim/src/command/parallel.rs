//! Several workers at a time: scale is over processes, never over threads within a run.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

/// Does all of `work`, `jobs` at a time, and tells each result as it comes. `done` answers whether to go on.
pub(crate) fn each<T: Send, R: Send>(
    jobs: usize,
    work: Vec<T>,
    run: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(T, R) -> bool,
) {
    let queue = Mutex::new(work.into_iter());
    let stop = AtomicBool::new(false);
    let next = || {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        queue.lock().expect("no worker panics while it takes an item").next()
    };
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (tell, next, run) = (tell.clone(), &next, &run);
            scope.spawn(move || {
                while let Some(item) = next() {
                    let result = run(&item);
                    if tell.send((item, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (item, result) in told {
            if !done(item, result) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// How many at a time where nothing is said: one per core.
pub(crate) fn usual_jobs() -> usize {
    thread::available_parallelism().map_or(2, std::num::NonZero::get)
}
