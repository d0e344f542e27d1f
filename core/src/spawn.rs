//! Task scopes: every task belongs to one and ends with it.

use std::{future::Future, pin::Pin, sync::Arc};

/// An owned task body.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Starts tasks inside a scope. In production the scope is the process; in the simulator it is one
/// incarnation of one node's agent, so that a crash ends all of its tasks at once.
pub trait Spawner: Send + Sync {
    /// Starts a task. `name` is for humans and traces.
    fn spawn(&self, name: &'static str, task: Task);

    /// Runs blocking work (a commit with its fsync) off the async threads and waits for it.
    fn block(&self, name: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task;
}

/// Sugar for [`Spawner::spawn`].
pub fn spawn(
    spawner: &Arc<dyn Spawner>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    spawner.spawn(name, Box::pin(task));
}
