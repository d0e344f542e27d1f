//! The machine's clocks, for a cloud that real clients talk to.

use std::time::SystemTime;

use terway_core::time::{BootTime, Clock};
use tokio::time::Instant;

/// The real clock.
pub(super) struct SystemClock(Instant);

impl SystemClock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "signatures of real clients carry real dates")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The server's own start is its boot: nothing durable is measured by it.
    fn boot(&self) -> BootTime {
        BootTime { boot_id: 1, elapsed: self.0.elapsed() }
    }
}
