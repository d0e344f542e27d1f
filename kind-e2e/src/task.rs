//! Tasks of a cluster, and blocking work beside them.

use std::future::Future;

use tokio::task::JoinSet;

/// A scope: its tasks end when it is dropped.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// Starts a task.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        // Those that have ended need not be kept until all have.
        while self.0.try_join_next().is_some() {}
        self.0.spawn(task);
    }

    /// Ends them all and waits until they have.
    pub async fn end(&mut self) {
        self.0.shutdown().await;
    }
}

/// Does work that blocks (the kernel, files, processes) off the runtime's thread, and waits for it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where blocking work starts; nothing here is replayed"
)]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => unreachable!("nobody cancels blocking work, and it ends before its runtime"),
    }
}
