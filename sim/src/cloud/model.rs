//! Parameters of the fake cloud, in one place, each with its source.
//!
//! The vendor publishes no latencies: the ranges are derived from client time-outs and timings seen
//! by third parties. They are wide on purpose, and scenarios override them.

use std::{collections::BTreeMap, time::Duration};

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use terway_core::cloud::Action;

use super::draws::{normal, unit};

/// A range of durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Shortest, milliseconds.
    pub min_ms: u64,
    /// Longest, milliseconds.
    pub max_ms: u64,
}

/// Standard deviations between the middle of a span and either end: 98 % of the draws of the
/// log-normal fall inside, the others are put on the end.
const SIGMAS: f64 = 2.33;
/// Jitter added to each draw, microseconds. Timers are 1 ms wide; less would let two nodes with the
/// same base meet in one tick and hide an order from the seed.
const JITTER_US: f64 = 2_000.0;

impl Span {
    /// From `min_ms` to `max_ms` milliseconds.
    pub const fn new(min_ms: u64, max_ms: u64) -> Self {
        Self { min_ms, max_ms }
    }

    /// A log-normal duration within the span, plus up to 2 ms of jitter; uniform when the span
    /// starts at zero, where a logarithm has no floor; nothing at all when it ends there too.
    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> Duration {
        let (min, max) = (self.min_ms as f64, self.max_ms.max(self.min_ms) as f64);
        let position = normal(rng);
        let base = if self.min_ms == 0 {
            max * unit(rng)
        } else {
            let (low, high) = (min.ln(), max.ln());
            let middle = f64::midpoint(low, high);
            (middle + position * (high - low) / (2.0 * SIGMAS)).exp().clamp(min, max)
        };
        let jitter = JITTER_US * unit(rng);
        if self.max_ms == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros((base * 1000.0 + jitter) as u64)
    }

    /// A uniform duration within the span, without jitter: for ages of data, not for timers.
    pub(super) fn age(self, rng: &mut ChaCha8Rng) -> Duration {
        let width = self.max_ms.saturating_sub(self.min_ms) as f64;
        Duration::from_micros(self.min_ms * 1000 + (width * 1000.0 * unit(rng)) as u64)
    }

    /// The longest.
    pub(super) fn longest(self) -> Duration {
        Duration::from_millis(self.max_ms.max(self.min_ms))
    }
}

/// A token bucket: `capacity` calls at once, then `refill_per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketModel {
    /// Calls that may come at once.
    pub capacity: u32,
    /// Calls per second in the long run.
    pub refill_per_second: f64,
}

/// Everything about the cloud that a scenario may choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudModel {
    /// Latency of `CreateNetworkInterface`: 0.5–2 s (derived).
    pub create: Span,
    /// Latency of the `AttachNetworkInterface` call itself: 0.2–0.5 s (derived).
    pub attach: Span,
    /// From attach to `InUse`: 2–6 s (derived).
    pub attach_settles: Span,
    /// Latency of the `DetachNetworkInterface` call itself: as attach.
    pub detach: Span,
    /// From detach to `Available`: 2–6 s (derived).
    pub detach_settles: Span,
    /// Latency of the `DeleteNetworkInterface` call itself: as attach.
    pub delete: Span,
    /// From delete to gone: 1–3 s (derived).
    pub delete_settles: Span,
    /// Latency of assign and unassign calls of both families: 0.3–1.5 s (derived).
    pub assign: Span,
    /// Latency of the calls that change route entries: as assign.
    pub route: Span,
    /// From such a call until the entry is there or gone: 2–10 s (derived).
    pub route_settles: Span,
    /// Latency of the describe calls: 0.1–0.5 s (derived).
    pub describe: Span,
    /// Age of what a describe of ENIs tells: 0–1 s. That reads lag writes is documented, by how much
    /// is not.
    pub read_lag: Span,
    /// Age of what instance metadata tells: 0–3 s (derived).
    pub metadata_lag: Span,
    /// Latency of an instance metadata read, which stays on the host: 2–20 ms (assumed).
    pub metadata: Span,
    /// How long old states are kept, milliseconds: the most that any read can lag. 10 s.
    pub history_ms: u64,
    /// The guest sees the NIC at most this much before `InUse`, milliseconds: 500 (documented as
    /// "slightly before").
    pub nic_early_ms: u64,
    /// The guest sees the NIC at most this much after `InUse`, milliseconds: 1000 (derived).
    pub nic_late_ms: u64,
    /// Way back of an answer that the front end gives without work (throttling): 20–80 ms (assumed).
    pub refusal: Span,
    /// Time until a connection is refused: 5–50 ms (assumed).
    pub connect: Span,
    /// When the caller gives up on an answer, milliseconds: 10 000, the read time-out of the
    /// vendor's SDKs.
    pub timeout_ms: u64,
    /// How long results are kept by client token, seconds: 24 h (assumed; the documentation of the
    /// parameter names no time).
    pub token_retention_s: u64,
    /// Bucket shared by all actions of the account; none by default.
    pub account_bucket: Option<BucketModel>,
    /// Bucket of each action = its per-minute figure ([`Action::per_minute`]) times this, and a
    /// sixtieth of it per second. Zero switches these buckets off. 1: the figures of the original.
    pub action_factor: f64,
    /// Buckets of single actions, instead of the above.
    pub action_buckets: BTreeMap<Action, BucketModel>,
    /// Secondary ENIs of the account. Real quotas are visible only to the account; the default is
    /// high enough for scenarios that do not ask for it.
    pub account_eni_quota: u32,
    /// Whether attached ENIs of ours go with their instance (`DeleteOnRelease`). True: the default of
    /// the API.
    pub delete_on_release: bool,
    /// `AvailableIpAddressCount` is off by up to this share; documented as approximate. 2 %.
    pub vswitch_count_error: f64,
}

impl Default for CloudModel {
    fn default() -> Self {
        Self {
            create: Span::new(500, 2_000),
            attach: Span::new(200, 500),
            attach_settles: Span::new(2_000, 6_000),
            detach: Span::new(200, 500),
            detach_settles: Span::new(2_000, 6_000),
            delete: Span::new(200, 500),
            delete_settles: Span::new(1_000, 3_000),
            assign: Span::new(300, 1_500),
            route: Span::new(300, 1_500),
            route_settles: Span::new(2_000, 10_000),
            describe: Span::new(100, 500),
            read_lag: Span::new(0, 1_000),
            metadata_lag: Span::new(0, 3_000),
            metadata: Span::new(2, 20),
            history_ms: 10_000,
            nic_early_ms: 500,
            nic_late_ms: 1_000,
            refusal: Span::new(20, 80),
            connect: Span::new(5, 50),
            timeout_ms: 10_000,
            token_retention_s: 24 * 3600,
            account_bucket: None,
            action_factor: 1.0,
            action_buckets: BTreeMap::new(),
            account_eni_quota: 200_000,
            delete_on_release: true,
            vswitch_count_error: 0.02,
        }
    }
}

impl CloudModel {
    /// A cloud that does everything at once and counts no calls: for what is not about time.
    pub fn instant() -> Self {
        let none = Span::new(0, 0);
        Self {
            create: none,
            attach: none,
            attach_settles: none,
            detach: none,
            detach_settles: none,
            delete: none,
            delete_settles: none,
            assign: none,
            route: none,
            route_settles: none,
            describe: none,
            read_lag: none,
            metadata_lag: none,
            metadata: none,
            nic_early_ms: 0,
            nic_late_ms: 0,
            refusal: none,
            action_factor: 0.0,
            vswitch_count_error: 0.0,
            ..Self::default()
        }
    }

    /// Latency of a call of `action`.
    pub(super) fn latency(&self, action: Action) -> Span {
        match action {
            Action::CreateNetworkInterface => self.create,
            Action::CreateRouteEntry | Action::DeleteRouteEntry => self.route,
            Action::AttachNetworkInterface => self.attach,
            Action::DetachNetworkInterface => self.detach,
            Action::DeleteNetworkInterface => self.delete,
            Action::AssignPrivateIpAddresses
            | Action::UnassignPrivateIpAddresses
            | Action::AssignIpv6Addresses
            | Action::UnassignIpv6Addresses => self.assign,
            Action::DescribeNetworkInterfaces
            | Action::DescribeInstanceTypes
            | Action::DescribeSecurityGroups
            | Action::DescribeVSwitches
            | Action::DescribeRouteTableList
            | Action::DescribeRouteEntryList => self.describe,
        }
    }

    /// How long old states are kept.
    pub(super) fn history(&self) -> Duration {
        Duration::from_millis(self.history_ms).max(self.read_lag.longest()).max(self.metadata_lag.longest())
    }
}
