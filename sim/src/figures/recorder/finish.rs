//! The end of a run: from what was recorded to the document.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{
    AddLatency, AddressWaste, Burst, Figures, ModelParameter, Recovery, Series, Sometimes, latency,
};
use super::{CallOutcome, Recorder};
use crate::policy::PolicyFigures;

/// What a run was, known before it starts.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Number of nodes at the start.
    pub nodes: u32,
    /// The commit that runs.
    pub commit: String,
    /// Hash of the settings.
    pub config_hash: String,
    /// The command that runs this again.
    pub replay: String,
    /// Parameters of the model, with their source.
    pub model: Vec<ModelParameter>,
}

/// What is known at the end of a run and was not told on the way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending {
    /// Cluster time at the end.
    pub cluster: Duration,
    /// How long people waited.
    pub wall: Duration,
    /// Events that the run went through.
    pub events: u64,
    /// Most memory that the process held, in bytes.
    pub peak_rss_bytes: u64,
    /// Hash of the whole trace.
    pub trace_hash: u64,
    /// ENIs that the cloud holds and nobody owns.
    pub leaked_enis: u64,
    /// Addresses that the cloud holds and nobody owns.
    pub leaked_addresses: u64,
    /// Times that an address was in two live sandboxes.
    pub duplicate_addresses: u64,
    /// The burst, if the scenario has one.
    pub burst: Option<Burst>,
    /// Network policies, if the scenario has any.
    pub policy: Option<PolicyFigures>,
}

/// Reading actions are named so by the vendor, without exception among those we call.
fn mutates(action: &str) -> bool {
    !["Describe", "List", "Get"].iter().any(|verb| action.starts_with(verb))
}

fn over(amount: f64, per: f64) -> Option<f64> {
    (per > 0.0).then(|| amount / per)
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

impl Recorder {
    /// The figures of the run. Expectations are added to them with [`Figures::expect`].
    pub fn finish(mut self, run: Run, ending: Ending) -> Figures {
        let end_ms = ending.cluster.as_millis() as u64;
        self.bucket_at(Duration::from_millis(end_ms.saturating_sub(1)));
        self.close_bucket();
        self.waste.set(end_ms, self.waste.share);
        let buckets = (end_ms.div_ceil(self.width_ms) as usize).max(self.bucket + 1);
        let cluster_seconds = ending.cluster.as_secs_f64();
        let wall_seconds = ending.wall.as_secs_f64();
        let calls = |which: fn(&str) -> bool| -> u64 {
            self.calls.iter().filter(|(action, _)| which(action)).flat_map(|(_, (by, _))| by).sum()
        };
        let by_outcome =
            |outcome: CallOutcome| -> u64 { self.calls.values().map(|(by, _)| by[outcome as usize]).sum() };
        let mut figures = Figures {
            scenario: run.scenario,
            seed: run.seed,
            commit: run.commit,
            config_hash: run.config_hash,
            replay: run.replay,
            nodes: run.nodes,
            cluster_seconds,
            wall_seconds,
            compression: over(cluster_seconds, wall_seconds).unwrap_or_default(),
            events: ending.events,
            events_per_second: over(ending.events as f64, wall_seconds).unwrap_or_default(),
            peak_rss_bytes: ending.peak_rss_bytes,
            trace_hash: hex(ending.trace_hash),
            minutes: self.minutes.iter().copied().map(hex).collect(),
            passed: false,
            pods_started: self.pods.0,
            pods_stopped: self.pods.1,
            add_latency_ms: AddLatency { hit: self.hit.latency(), miss: self.miss.latency() },
            add_latency_shape: latency::shape(&self.hit, &self.miss),
            pod_ready_ms: self.ready.latency(),
            cloud_calls: self.calls.iter().map(|(a, (by, _))| ((*a).to_owned(), by.iter().sum())).collect(),
            cloud_outcomes: self.calls.iter().map(|(a, (by, _))| ((*a).to_owned(), outcomes(by))).collect(),
            mutating_calls_per_pod: over(calls(mutates) as f64, self.pods.0 as f64),
            calls_per_idle_node_hour: over(self.idle.1 as f64, self.idle.0 / 3600.0),
            throttled_calls: by_outcome(CallOutcome::Throttled),
            wasted_calls: by_outcome(CallOutcome::Wasted),
            leaked_enis: ending.leaked_enis,
            leaked_addresses: ending.leaked_addresses,
            duplicate_addresses: ending.duplicate_addresses,
            policy: ending.policy,
            address_waste: AddressWaste {
                // A single sample at the very end has no weight, and is then its own mean.
                mean: over(self.waste.weighed, self.waste.weight).or(self.waste.share),
                max: self.waste.max,
                at_end: self.waste.share,
            },
            burst: ending.burst,
            recovery_seconds: self.recovered.into_iter().map(|(kind, s)| (kind, Recovery::of(s))).collect(),
            faults_injected: self.faults.iter().map(|(kind, (total, _))| (kind.clone(), *total)).collect(),
            add_failures: self.failures,
            violations: self.violations,
            sometimes: self.sometimes.into_iter().map(|(name, count)| Sometimes { name, count }).collect(),
            expectations: Vec::new(),
            model: run.model,
            series: Series::default(),
        };
        let [pods_running, pods_pending] = self.pod_levels.finish(buckets);
        let [pool_idle, pool_assigned, pool_cooling] = self.pool_levels.finish(buckets);
        figures.series = Series {
            bucket_seconds: self.width_ms as f64 / 1000.0,
            pods_running,
            pods_pending,
            pool_idle,
            pool_assigned,
            pool_cooling,
            cloud_calls: self
                .calls
                .into_iter()
                .map(|(a, (_, c))| (a.to_owned(), c.finish(buckets)))
                .collect(),
            throttled: self.throttled.finish(buckets),
            add_p50_ms: self.add_p50.finish(buckets),
            add_p99_ms: self.add_p99.finish(buckets),
            faults: self.faults.into_iter().map(|(kind, (_, c))| (kind, c.finish(buckets))).collect(),
            violations: self
                .breaches
                .into_iter()
                .map(|(id, counts)| (id.to_owned(), counts.finish(buckets)))
                .collect(),
        };
        figures.violations.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
        figures.passed = figures.passed();
        figures
    }
}

fn outcomes(by: &[u64; 4]) -> BTreeMap<String, u64> {
    CallOutcome::ALL
        .into_iter()
        .map(|outcome| (outcome.name().to_owned(), by[outcome as usize]))
        .filter(|(_, count)| *count > 0)
        .collect()
}
