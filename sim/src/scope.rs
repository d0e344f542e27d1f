//! Scopes: everything that one incarnation of an agent (or of a machine's kubelet) runs. Ending the
//! scope ends all of its tasks at their next await, at once and without a word, as `SIGKILL` does.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use terway_core::spawn::{Spawner, Task};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle};

/// A scope of tasks.
pub struct Scope {
    /// The runtime of its tasks, whoever starts them.
    home: Handle,
    dead: AtomicBool,
    paused: AtomicBool,
    polls: AtomicU64,
    die_at_poll: AtomicU64,
    tasks: Mutex<Vec<AbortHandle>>,
    panic: Mutex<Option<String>>,
    died: Notify,
    resumed: Notify,
    /// Draws the time that blocking work takes.
    blocking: Mutex<Box<dyn FnMut() -> Duration + Send>>,
}

impl Scope {
    /// A living scope whose tasks run in this runtime; `blocking` draws how long blocking work takes.
    pub fn new(blocking: impl FnMut() -> Duration + Send + 'static) -> Arc<Self> {
        Self::at(Handle::current(), blocking)
    }

    /// A living scope whose tasks run in the runtime of `home`.
    pub fn at(home: Handle, blocking: impl FnMut() -> Duration + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            home,
            dead: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            polls: AtomicU64::new(0),
            die_at_poll: AtomicU64::new(u64::MAX),
            tasks: Mutex::default(),
            panic: Mutex::default(),
            died: Notify::new(),
            resumed: Notify::new(),
            blocking: Mutex::new(Box::new(blocking)),
        })
    }

    /// Ends the scope: no task of it is polled again.
    pub fn kill(&self) {
        if !self.dead.swap(true, Relaxed) {
            for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                task.abort();
            }
            self.died.notify_waiters();
            self.died.notify_one();
        }
    }

    /// Ends the scope after so many more polls: at a random await.
    pub fn kill_after(&self, polls: u64) {
        self.die_at_poll.store(self.polls.load(Relaxed) + polls.max(1), Relaxed);
    }

    /// Stops or resumes polling.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Relaxed);
        if !paused {
            self.resumed.notify_waiters();
        }
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Relaxed)
    }

    /// Resolves when it has ended.
    pub async fn died(&self) {
        while !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// What a task of it said when it panicked; a panic ends the scope.
    pub fn panicked(&self) -> Option<String> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Polls of its tasks so far.
    pub fn polls(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    /// Starts a task in the scope; nothing happens when it has ended.
    pub fn run(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.start(Box::pin(task));
    }

    fn start(self: &Arc<Self>, task: Task) {
        if self.is_dead() {
            return;
        }
        let scoped = Scoped { scope: self.clone(), task: Some(task), resume: None };
        let handle = self.home.spawn(scoped).abort_handle();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Finished tasks are forgotten now and then, so that a long life does not gather handles.
        if tasks.len() >= 32 && tasks.len().is_power_of_two() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle);
    }
}

/// The port through which an agent starts its tasks.
pub struct ScopeSpawner(pub Arc<Scope>);

impl Spawner for ScopeSpawner {
    fn spawn(&self, _name: &'static str, task: Task) {
        self.0.start(task);
    }

    fn block(&self, _name: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        let delay = (self.0.blocking.lock().unwrap_or_else(PoisonError::into_inner))();
        let scope = self.0.clone();
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            if !scope.is_dead() {
                work();
            }
            // The disk may have ended the scope in the middle of the work: nobody learns the result.
            if scope.is_dead() {
                std::future::pending::<()>().await;
            }
        })
    }
}

struct Scoped {
    scope: Arc<Scope>,
    task: Option<Task>,
    resume: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Future for Scoped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let polls = self.scope.polls.fetch_add(1, Relaxed) + 1;
        if polls >= self.scope.die_at_poll.load(Relaxed) {
            self.scope.kill();
        }
        if self.scope.is_dead() {
            self.task = None;
            return Poll::Ready(());
        }
        while self.scope.paused.load(Relaxed) {
            let scope = self.scope.clone();
            let resume =
                self.resume.get_or_insert_with(|| Box::pin(async move { scope.resumed.notified().await }));
            if resume.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.resume = None;
        }
        let Some(task) = &mut self.task else { return Poll::Ready(()) };
        let ready = match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(ready) => ready,
            Err(payload) => {
                let text = payload.downcast_ref::<String>().cloned();
                let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
                *self.scope.panic.lock().unwrap_or_else(PoisonError::into_inner) =
                    text.or(Some(String::new()));
                self.scope.kill();
                Poll::Ready(())
            }
        };
        if ready.is_ready() || self.scope.is_dead() {
            self.task = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
