//! The recorder: what the simulator tells while it runs.
//!
//! Its methods are called at every event of a thousand nodes, so each costs a few additions. Time must not go
//! backwards from call to call. Nothing here feeds back into the run: recording never changes a trace.

mod finish;

use std::collections::BTreeMap;
use std::time::Duration;

use terway_chaos::Violation;

pub use finish::{Ending, Run};

use super::latency::Recorded;
use super::series::{Counts, Levels, MOST_BUCKETS, Peaks, width_for};

/// What became of a cloud call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallOutcome {
    /// Answered, and it changed or taught something.
    Ok,
    /// Refused for its rate.
    Throttled,
    /// Refused for another reason, or the answer never came.
    Failed,
    /// Answered, and it changed or taught nothing: nobody needed to ask.
    Wasted,
}

impl CallOutcome {
    const ALL: [Self; 4] = [Self::Ok, Self::Throttled, Self::Failed, Self::Wasted];

    /// The name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::Wasted => "wasted",
        }
    }
}

/// Collects the figures of one run. All times are cluster time since the start of the run.
#[derive(Debug)]
pub struct Recorder {
    width_ms: u64,
    bucket: usize,
    hit: Recorded,
    miss: Recorded,
    in_bucket: Recorded,
    ready: Recorded,
    pods: (u64, u64),
    failures: BTreeMap<String, u64>,
    calls: BTreeMap<&'static str, ([u64; 4], Counts)>,
    throttled: Counts,
    pod_levels: Levels<2>,
    pool_levels: Levels<3>,
    waste: Waste,
    add_p50: Peaks,
    add_p99: Peaks,
    faults: BTreeMap<String, (u64, Counts)>,
    recovered: BTreeMap<String, Vec<f64>>,
    violations: Vec<Violation>,
    breaches: BTreeMap<&'static str, Counts>,
    sometimes: BTreeMap<String, u64>,
    idle: (f64, u64),
    minutes: Vec<u64>,
}

/// The share of idle addresses, weighed by time.
#[derive(Debug, Default)]
struct Waste {
    since_ms: u64,
    share: Option<f64>,
    weighed: f64,
    weight: f64,
    max: Option<f64>,
}

impl Waste {
    fn set(&mut self, now_ms: u64, share: Option<f64>) {
        let held = now_ms.saturating_sub(self.since_ms) as f64;
        if let Some(before) = self.share {
            self.weighed += before * held;
            self.weight += held;
        }
        self.since_ms = now_ms;
        self.share = share;
        self.max = match (self.max, share) {
            (Some(max), Some(share)) => Some(max.max(share)),
            (one, other) => one.or(other),
        };
    }
}

impl Recorder {
    /// A recorder for a run of about this length, healing included.
    pub fn new(length: Duration) -> Self {
        Self {
            width_ms: width_for(length) * 1000,
            bucket: 0,
            hit: Recorded::new(),
            miss: Recorded::new(),
            in_bucket: Recorded::new(),
            ready: Recorded::new(),
            pods: (0, 0),
            failures: BTreeMap::new(),
            calls: BTreeMap::new(),
            throttled: Counts::default(),
            pod_levels: Levels::new(),
            pool_levels: Levels::new(),
            waste: Waste::default(),
            add_p50: Peaks::default(),
            add_p99: Peaks::default(),
            faults: BTreeMap::new(),
            recovered: BTreeMap::new(),
            violations: Vec::new(),
            breaches: BTreeMap::new(),
            sometimes: BTreeMap::new(),
            idle: (0.0, 0),
            minutes: Vec::new(),
        }
    }

    /// An ADD succeeded; `hit` if an idle address was at hand when it came.
    pub fn add_ok(&mut self, at: Duration, hit: bool, latency: Duration) {
        self.bucket_at(at);
        self.in_bucket.record(latency);
        if hit { &mut self.hit } else { &mut self.miss }.record(latency);
    }

    /// An ADD was refused; `cause` is a name of the closed list.
    pub fn add_failed(&mut self, cause: &str) {
        count(&mut self.failures, cause, 1);
    }

    /// A pod has its network for the first time.
    pub fn pod_started(&mut self) {
        self.pods.0 += 1;
    }

    /// A pod went away.
    pub fn pod_stopped(&mut self) {
        self.pods.1 += 1;
    }

    /// A pod became ready so long after it was bound to its node.
    pub fn pod_ready(&mut self, latency: Duration) {
        self.ready.record(latency);
    }

    /// How many pods have their network, and how many wait for it.
    pub fn pod_level(&mut self, at: Duration, running: u64, pending: u64) {
        let bucket = self.bucket_at(at);
        self.pod_levels.set(bucket, [running, pending]);
    }

    /// The pools of all nodes: addresses idle, in use, cooling, and all that are held (at least their sum).
    pub fn pool_level(&mut self, at: Duration, idle: u64, assigned: u64, cooling: u64, total: u64) {
        let bucket = self.bucket_at(at);
        self.pool_levels.set(bucket, [idle, assigned, cooling]);
        let share = (total > 0).then(|| idle as f64 / total as f64);
        self.waste.set(at.as_millis() as u64, share);
    }

    /// A cloud call ended.
    pub fn cloud_call(&mut self, at: Duration, action: &'static str, outcome: CallOutcome) {
        let bucket = self.bucket_at(at);
        let (outcomes, counts) = self.calls.entry(action).or_default();
        outcomes[outcome as usize] += 1;
        counts.add(bucket, 1);
        if outcome == CallOutcome::Throttled {
            self.throttled.add(bucket, 1);
        }
    }

    /// A node was idle for so long (no pod came or went), and made so many cloud calls meanwhile.
    pub fn node_idle(&mut self, length: Duration, calls: u64) {
        self.idle.0 += length.as_secs_f64();
        self.idle.1 += calls;
    }

    /// A fault was injected.
    pub fn fault(&mut self, at: Duration, kind: &str) {
        let bucket = self.bucket_at(at);
        if !self.faults.contains_key(kind) {
            self.faults.insert(kind.to_owned(), (0, Counts::default()));
        }
        if let Some((total, counts)) = self.faults.get_mut(kind) {
            *total += 1;
            counts.add(bucket, 1);
        }
    }

    /// What a fault of this kind broke is whole again, so long after the fault was over.
    pub fn recovered(&mut self, kind: &str, after: Duration) {
        self.recovered.entry(kind.to_owned()).or_default().push(after.as_secs_f64());
    }

    /// An oracle saw a breach.
    pub fn violation(&mut self, violation: Violation) {
        let bucket = self.bucket_at(Duration::from_secs_f64(violation.at_seconds.max(0.0)));
        self.breaches.entry(violation.id.name()).or_default().add(bucket, 1);
        self.violations.push(violation);
    }

    /// The breaches so far, in the order in which they were told.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// A rare path was reached so many times; zero makes it known as one that could be.
    pub fn sometimes(&mut self, name: &str, times: u64) {
        count(&mut self.sometimes, name, times);
    }

    /// The trace hash at the end of the next minute of cluster time.
    pub fn minute(&mut self, trace_hash: u64) {
        self.minutes.push(trace_hash);
    }

    /// Pods started and stopped, and faults injected so far: for a progress bar.
    pub fn so_far(&self) -> (u64, u64, u64) {
        (self.pods.0, self.pods.1, self.faults.values().map(|(total, _)| total).sum())
    }

    /// The bucket of a time; closes the current one when time has gone past it.
    fn bucket_at(&mut self, at: Duration) -> usize {
        let now_ms = at.as_millis() as u64;
        while now_ms / self.width_ms >= MOST_BUCKETS as u64 {
            self.fold();
        }
        let bucket = (now_ms / self.width_ms) as usize;
        if bucket > self.bucket {
            self.close_bucket();
            self.bucket = bucket;
        }
        bucket
    }

    /// Writes the percentiles of the current bucket, so that one histogram serves all buckets in turn.
    fn close_bucket(&mut self) {
        if !self.in_bucket.is_empty() {
            self.add_p50.set(self.bucket, self.in_bucket.at(0.5));
            self.add_p99.set(self.bucket, self.in_bucket.at(0.99));
            self.in_bucket.clear();
        }
    }

    /// Doubles the width of all buckets.
    fn fold(&mut self) {
        self.close_bucket();
        self.width_ms *= 2;
        self.bucket /= 2;
        self.throttled.fold();
        self.pod_levels.fold();
        self.pool_levels.fold();
        self.add_p50.fold();
        self.add_p99.fold();
        self.calls.values_mut().for_each(|(_, counts)| counts.fold());
        self.faults.values_mut().for_each(|(_, counts)| counts.fold());
        self.breaches.values_mut().for_each(Counts::fold);
    }
}

/// Adds without allocating when the name is known.
fn count(counts: &mut BTreeMap<String, u64>, name: &str, times: u64) {
    match counts.get_mut(name) {
        Some(count) => *count += times,
        None => {
            counts.insert(name.to_owned(), times);
        }
    }
}
