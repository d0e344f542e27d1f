//! Wall time, for people who wait. Nothing of a run depends on it.

use std::time::Duration;

/// A stopwatch.
#[expect(clippy::disallowed_types, reason = "how long a person waited; no simulated time is involved")]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_types, reason = "how long a person waited; no simulated time is involved")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
