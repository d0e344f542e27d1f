//! The machine behind the ports: its clock, its randomness, its runtime. The only place of this program
//! that touches them.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use terway_core::{
    entropy::Entropy,
    spawn::{Spawner, Task},
    time::{BootTime, Clock},
};
use tokio::time::Instant;

/// The system's clock. A command lives for minutes at most and stores nothing, so that its own start is
/// as good as the machine's.
pub(crate) struct SystemClock {
    started: Instant,
    id: u64,
}

impl SystemClock {
    pub(crate) fn new(entropy: &dyn Entropy) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), id: entropy.next_u64() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where this program reads the clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn boot(&self) -> BootTime {
        BootTime { boot_id: self.id, elapsed: self.started.elapsed() }
    }
}

/// A generator seeded by the system: nonces and tokens must never repeat.
pub(crate) struct SystemEntropy(Mutex<ChaCha12Rng>);

impl SystemEntropy {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Arc::new(Self(Mutex::new(ChaCha12Rng::from_seed(seed)))))
    }
}

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

/// Tasks of the command's runtime, which ends with the command.
pub(crate) struct Tasks;

impl Spawner for Tasks {
    #[expect(clippy::disallowed_methods, reason = "the one place where this program starts tasks")]
    fn spawn(&self, _: &'static str, task: Task) {
        tokio::spawn(task);
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where this program blocks")]
    fn block(&self, _: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        let work = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            // A panic of the work is the work's: it has been printed.
            let _panicked = work.await;
        })
    }
}
