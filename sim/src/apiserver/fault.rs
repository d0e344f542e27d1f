//! What can be wrong between a client and the server, settable while it runs.
//!
//! A fault holds for everybody or for one client; a client suffers the worse
//! of both. Turning an outage on cuts open watches at once; everything else
//! takes effect at the next request, event or list.

use std::time::Duration;

/// Whom a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Every client, present and future.
    All,
    /// The client of this node.
    Client(&'a str),
}

/// How LIST lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyList {
    /// It does not.
    #[default]
    Off,
    /// So many LISTs answer 200 with no items.
    Times(u32),
    /// All do, until this is set back.
    UntilCleared,
}

/// Faults of one target. The default is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Requests fail to connect; responses under way are lost, although the
    /// write they confirm has happened; watches are cut.
    pub outage: bool,
    /// Latencies of requests and events are multiplied by this.
    pub slow_factor: f64,
    /// And this is added.
    pub slow_add: Duration,
    /// LIST answers that nothing exists.
    pub empty_list: EmptyList,
    /// Watch events arrive this much later, in order.
    pub watch_lag: Duration,
    /// Probability that a watch event is delivered twice in a row.
    pub watch_duplicate: f64,
    /// Probability that a PUT, PATCH or DELETE meets 409, nothing written.
    pub conflict: f64,
    /// Probability that a request meets 429 with `Retry-After: 1`.
    pub throttle: f64,
    /// Probability that a request meets 503, nothing done.
    pub unavailable: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            outage: false,
            slow_factor: 1.0,
            slow_add: Duration::ZERO,
            empty_list: EmptyList::Off,
            watch_lag: Duration::ZERO,
            watch_duplicate: 0.0,
            conflict: 0.0,
            throttle: 0.0,
            unavailable: 0.0,
        }
    }
}

impl Faults {
    /// Applies the slowness of `self` and `other` to a latency.
    pub(super) fn slowed(&self, other: &Self, latency: Duration) -> Duration {
        let factor = self.slow_factor * other.slow_factor;
        // Exact in the common case: no float rounding of a healthy latency.
        let scaled = if (factor - 1.0).abs() < f64::EPSILON { latency } else { latency.mul_f64(factor) };
        scaled + self.slow_add + other.slow_add
    }
}

impl EmptyList {
    /// Whether this LIST lies; uses up one of `Times`.
    pub(super) fn take(&mut self) -> bool {
        match self {
            Self::Off => false,
            Self::UntilCleared => true,
            Self::Times(left) => {
                let lies = *left > 0;
                *left = left.saturating_sub(1);
                lies
            }
        }
    }
}
