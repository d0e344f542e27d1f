//! The machine's own ports: clocks, randomness, tasks. For whoever composes a program; nothing else in
//! this crate touches the machine but through what it is given.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use terway_core::{
    entropy::Entropy,
    spawn::{Spawner, Task},
    time::{BootTime, Clock},
};

/// Identity of the boot under way; changes with each.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    boot_id: u64,
}

impl SystemClock {
    /// The clocks of the boot under way. Where the system does not tell which that is, every start counts
    /// as a boot of its own, which is safe: what is durable then starts over.
    pub fn new() -> Self {
        let told = std::fs::read_to_string(BOOT_ID).ok();
        let digits =
            told.map(|text| text.chars().filter(char::is_ascii_hexdigit).take(16).collect::<String>());
        let id = digits.and_then(|digits| u64::from_str_radix(&digits, 16).ok());
        Self { boot_id: id.unwrap_or_else(|| SystemEntropy.next_u64()) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock that all others take")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn boot(&self) -> BootTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        BootTime { boot_id: self.boot_id, elapsed: Duration::new(time.tv_sec.unsigned_abs(), nanos) }
    }
}

/// The system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        // It fails only where there is no such call at all, which no supported system is.
        getrandom::u64().expect("the system gives random numbers")
    }
}

/// Tasks of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessSpawner;

impl ProcessSpawner {
    /// As the port.
    pub fn shared() -> Arc<dyn Spawner> {
        Arc::new(Self)
    }
}

impl Spawner for ProcessSpawner {
    #[expect(clippy::disallowed_methods, reason = "the scope is the process")]
    fn spawn(&self, _name: &'static str, task: Task) {
        drop(tokio::spawn(task));
    }

    #[expect(clippy::disallowed_methods, reason = "the scope is the process")]
    fn block(&self, name: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        let done = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = done.await
                && error.is_panic()
            {
                tracing::error!(name, "blocking work panicked");
                std::panic::resume_unwind(error.into_panic());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_goes_on_under_the_same_boot() {
        let (first, second) = (SystemClock::new().boot(), SystemClock::new().boot());
        assert_eq!(first.boot_id, second.boot_id, "two starts under one boot");
        assert!(second.elapsed >= first.elapsed && !first.elapsed.is_zero());
    }

    #[test]
    fn randomness_does_not_repeat() {
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| SystemEntropy.next_u64()).collect();
        assert_eq!(drawn.len(), 100);
    }

    #[tokio::test]
    async fn blocking_work_is_done_when_its_task_is() {
        let (done, result) = std::sync::mpsc::channel();
        ProcessSpawner.block("test", Box::new(move || done.send(7).expect("the test listens"))).await;
        assert_eq!(result.try_recv(), Ok(7));
    }
}
