//! Clocks other than the monotonic one (that is `tokio::time`).

use std::time::{Duration, SystemTime};

/// Time since the machine booted, which neither an agent's restart nor a step of the wall clock
/// changes. Comparable only under the same boot id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootTime {
    /// Identity of this boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: u64,
    /// `CLOCK_BOOTTIME`.
    pub elapsed: Duration,
}

/// Wall clock and boot clock.
pub trait Clock: Send + Sync {
    /// Wall-clock time. It jumps; nothing is decided by it, it is only shown.
    fn now(&self) -> SystemTime;
    /// Boot time: what durable deadlines are made of.
    fn boot(&self) -> BootTime;
}
