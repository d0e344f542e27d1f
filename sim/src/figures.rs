//! The figures of a run: what `--json` writes, and what the report is drawn from.
//!
//! The field names here are the document's keys and are kept: scripts read them. Units are in the names, or in
//! the comments. A figure that a run cannot have (the latency of no ADD) is `null`, never zero.

mod judge;
mod latency;
mod parts;
mod recorder;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terway_chaos::{Severity, Violation};

pub use judge::{Expectation, Relation};
pub use latency::{AddLatency, Latency, LatencyShape};
pub use parts::{AddressWaste, Burst, ModelParameter, Recovery, Sometimes};
pub use recorder::{CallOutcome, Ending, Recorder, Run};
pub use series::Series;

use crate::policy::PolicyFigures;

/// What one run yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The scenario's name.
    pub scenario: String,
    /// The seed of all randomness.
    pub seed: u64,
    /// The commit that ran.
    pub commit: String,
    /// Hash of the scenario's settings, overrides included.
    pub config_hash: String,
    /// The command that runs this again.
    pub replay: String,
    /// Number of nodes at the start.
    pub nodes: u32,
    /// Length of the run in cluster time.
    pub cluster_seconds: f64,
    /// Length of the run as people waited.
    pub wall_seconds: f64,
    /// Cluster time over wall time.
    pub compression: f64,
    /// Events that the run went through.
    pub events: u64,
    /// Events per second of wall time.
    pub events_per_second: f64,
    /// Most memory that the process held.
    pub peak_rss_bytes: u64,
    /// Hash over (time, node, event) of the whole run, 16 hexadecimal digits.
    pub trace_hash: String,
    /// The same hash at the end of each minute of cluster time.
    pub minutes: Vec<String>,
    /// Whether the run passed: see [`Figures::passed`].
    pub passed: bool,
    /// Pods whose ADD succeeded for the first time.
    pub pods_started: u64,
    /// Pods that went away.
    pub pods_stopped: u64,
    /// From an ADD's call to its success, split by whether an idle address was at hand.
    pub add_latency_ms: AddLatency,
    /// How those latencies are distributed.
    pub add_latency_shape: LatencyShape,
    /// From a pod's binding to a node until it was ready.
    pub pod_ready_ms: Latency,
    /// Refused ADDs by cause.
    pub add_failures: BTreeMap<String, u64>,
    /// Cloud calls by action, whatever became of them.
    pub cloud_calls: BTreeMap<String, u64>,
    /// The same by action and outcome (`ok`, `throttled`, `failed`, `wasted`).
    pub cloud_outcomes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Cloud calls that change something, refused ones included, over pods started; `null` without pods.
    pub mutating_calls_per_pod: Option<f64>,
    /// Cloud calls of nodes on which no pod came or went, per hour of such; `null` if no node was idle.
    pub calls_per_idle_node_hour: Option<f64>,
    /// Cloud calls refused for their rate.
    pub throttled_calls: u64,
    /// Cloud calls that were answered and changed or taught nothing.
    pub wasted_calls: u64,
    /// ENIs that the cloud holds and nobody owns, at the end.
    pub leaked_enis: u64,
    /// Addresses that the cloud holds and nobody owns, at the end.
    pub leaked_addresses: u64,
    /// Times that an address was in two live sandboxes.
    pub duplicate_addresses: u64,
    /// Network policies; `null` where the scenario has none.
    pub policy: Option<PolicyFigures>,
    /// Idle addresses over all addresses of all pools.
    pub address_waste: AddressWaste,
    /// The burst of pods that the scenario has; `null` where it has none.
    pub burst: Option<Burst>,
    /// Time to heal after a fault, by kind.
    pub recovery_seconds: BTreeMap<String, Recovery>,
    /// Faults injected by kind.
    pub faults_injected: BTreeMap<String, u64>,
    /// Every breach of an invariant, in order of time.
    pub violations: Vec<Violation>,
    /// Rare paths and how often each was reached; zero for those that were not.
    pub sometimes: Vec<Sometimes>,
    /// What the scenario expects of these figures.
    pub expectations: Vec<Expectation>,
    /// Parameters of the model, with the source of each.
    pub model: Vec<ModelParameter>,
    /// Courses over the run.
    pub series: Series,
}

impl Figures {
    /// Whether no invariant of severity above minor was broken, and every expectation was met.
    pub fn passed(&self) -> bool {
        self.violations.iter().all(|violation| violation.severity == Severity::Minor)
            && self.expectations.iter().all(|expectation| expectation.ok)
    }
}
