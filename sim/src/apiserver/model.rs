//! The parameters of the modelled API server: its latencies and windows.
//!
//! All of them are guesses about somebody else's cluster, so all of them are
//! here, in one place, with their reasons.

use std::time::Duration;

/// How the server behaves when nothing is wrong. Faults come on top.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct ApiModel {
    /// Least time of a request's round trip.
    pub request_base: Duration,
    /// Mean of the exponential part of a round trip. A millisecond is added
    /// to it: timers are a millisecond wide, and ties must not always go to
    /// whoever registered first.
    pub request_jitter: Duration,
    /// Least time between a write and its delivery to a watch.
    pub event_base: Duration,
    /// Mean of the exponential part of a delivery; a millisecond is added.
    pub event_jitter: Duration,
    /// Period of bookmarks on watches that allow them; `None` sends only the
    /// one that precedes the end of a watch. A real server sends about one a
    /// minute.
    pub bookmark_period: Option<Duration>,
    /// How long events stay resumable. Five minutes is etcd's usual
    /// compaction interval under Kubernetes.
    pub history_age: Duration,
    /// How many events stay resumable per resource; bounds the memory of
    /// `history_age` at high rates.
    pub history_events: usize,
    /// A watch with more undelivered events than this ends with 410.
    pub watch_queue: usize,
    /// Life of a watch that names no `timeoutSeconds`. A real server draws
    /// between 30 and 60 minutes.
    pub watch_timeout: Duration,
    /// Answer a watch from an expired version with HTTP status 410 instead
    /// of 200 and an ERROR event. Real servers send the event. kube 5.0.0
    /// never lists again after the status; off by default for that reason.
    pub gone_as_status: bool,
    /// Let clients retry 429, 503 and 504 the way kube's default client does
    /// (its own layer draws its jitter from the system, so it cannot be used).
    pub client_retries: bool,
    /// Keep the log of writes that `drain_writes` empties. Off by default:
    /// nobody may be draining it.
    pub record_writes: bool,
    /// Keep events as all other objects. Off by default, they are only
    /// counted: an hour of a thousand nodes would hold more of them than of
    /// anything else.
    pub keep_events: bool,
}

impl Default for ApiModel {
    fn default() -> Self {
        Self {
            request_base: Duration::from_millis(5),
            request_jitter: Duration::from_millis(5),
            event_base: Duration::from_millis(2),
            event_jitter: Duration::from_millis(3),
            bookmark_period: Some(Duration::from_mins(1)),
            history_age: Duration::from_mins(5),
            history_events: 20_000,
            watch_queue: 10_000,
            watch_timeout: Duration::from_mins(30),
            gone_as_status: false,
            client_retries: true,
            record_writes: false,
            keep_events: false,
        }
    }
}

impl ApiModel {
    /// A server that takes no time of its own: for what is not about time, or has a clock of its own.
    pub fn instant() -> Self {
        let none = Duration::ZERO;
        Self {
            request_base: none,
            request_jitter: none,
            event_base: none,
            event_jitter: none,
            client_retries: false,
            ..Self::default()
        }
    }
}
