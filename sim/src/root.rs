//! Tasks of the simulated world itself: cloud servers, kubelets, the scheduler, the schedule of
//! faults. They outlive every agent; an agent's own tasks go through its node's scope instead.

use std::future::Future;

/// Starts a task of the world.
#[expect(clippy::disallowed_methods, reason = "the one place where the world's own tasks start")]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}
