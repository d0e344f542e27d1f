//! A scenario: what kind of cluster, what happens in it, what goes wrong, what is expected.
//!
//! A run is `(scenario, seed, version)`. The scenario is data: built-in ones and files of one's own have
//! the same TOML form, and every value of it can be overridden by `--set path=value`.

mod agent;
mod api;
mod builtin;
mod check;
mod cloud;
mod cluster;
mod error;
mod event;
mod expect;
mod overrides;
mod placement;
mod policy;
mod read;
mod section;
mod trace_csv;
mod wire;
mod workload;

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use terway_chaos::{Schedule, swarm::FaultRates};
use terway_core::config::AgentConfig;

pub use self::{
    builtin::{Builtin, builtins},
    error::ScenarioError,
    policy::PolicySpec,
    trace_csv::{SkippedRow, TraceSource},
    wire::{ProfileKind, WireModel},
};
pub(crate) use self::{cloud::read as read_cloud, section::Section};
use crate::{apiserver::ApiModel, cloud::CloudModel, figures::Relation};

/// Everything that a run needs beside its seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name, kebab-case.
    pub name: String,
    /// One line for `terway-sim list`.
    pub about: String,
    /// Nodes at the start.
    pub nodes: u32,
    /// Cluster time during which pods come and go and faults strike.
    pub duration: Duration,
    /// Bound for liveness: after `duration` the faults are healed, nothing new happens, and within this
    /// time everything pending must be done.
    pub settle: Duration,
    /// How its parts reach each other.
    pub profile: ProfileKind,
    /// The simulated network of the wire profile.
    pub wire: WireModel,
    /// The cluster.
    pub cluster: Cluster,
    /// `eni_conf` of every agent, as JSON, and what it validates to.
    pub eni_conf: serde_json::Value,
    /// Validated form of `eni_conf`. vSwitches are filled in from `cluster.vswitches` by the world.
    pub agent: AgentConfig,
    /// Pods.
    pub workload: Workload,
    /// Network policies, if there are any.
    pub policy: Option<PolicySpec>,
    /// The cloud's parameters.
    pub cloud: CloudModel,
    /// The API server's parameters.
    pub api: ApiModel,
    /// Faults that are drawn from the seed.
    pub faults: FaultRates,
    /// Whether the seed also draws which fault classes exist, and how often each kind strikes (swarm),
    /// and the number of nodes between these bounds.
    pub swarm: Option<Swarm>,
    /// Faults at fixed times, in addition.
    pub schedule: Schedule,
    /// Changes of the cluster at fixed times.
    pub events: Vec<Event>,
    /// Bounds on the figures.
    pub expect: Vec<(String, Relation, f64)>,
    /// Stable hash over the text of all settings, overrides included.
    pub config_hash: u64,
}

/// Bounds of what the seed draws in a swarm run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Fewest nodes.
    pub min_nodes: u32,
    /// Most nodes.
    pub max_nodes: u32,
}

/// Nodes and network.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Zones in turn for node after node.
    pub vswitches: Vec<VSwitchSpec>,
    /// Instance types with their weights; nodes are dealt out in this proportion.
    pub mix: Vec<(String, u32)>,
    /// Share of nodes without the annotation that tells their limits, which therefore ask the cloud.
    pub unannotated: f64,
    /// Nodes join one after another over this time; zero = all at the start.
    pub join_over: Duration,
}

/// A vSwitch at the start, or one that is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VSwitchSpec {
    /// `vsw-…`
    pub id: String,
    /// Zone.
    pub zone: String,
    /// IPv4 block.
    pub cidr: Ipv4Net,
    /// Whether it also has an IPv6 block.
    pub ipv6: bool,
}

/// Pods of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Pods that a node runs on average (never more than it has room for).
    pub pods_per_node: f64,
    /// Mean lifetime of a pod; exponential.
    pub lifetime: Duration,
    /// Shortest lifetime.
    pub lifetime_min: Duration,
    /// Share of pods that come back under their name when they end (StatefulSet).
    pub stateful: f64,
    /// The first pods arrive over this time.
    pub ramp: Duration,
    /// Many pods at one moment.
    pub burst: Option<BurstSpec>,
    /// Pods and nodes of a real cluster, instead of drawn ones.
    pub trace: Option<TraceWorkload>,
}

/// Many pods at one moment, dealt out over the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurstSpec {
    /// When.
    pub at: Duration,
    /// How many.
    pub pods: u32,
}

/// A recorded workload: per node (by index), pods with arrival and lifetime in cluster time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceWorkload {
    /// One entry per pod: node index, arrival, end; by time of arrival.
    pub pods: Vec<TracePod>,
    /// Rows of the files that were left out, each with its reason.
    pub skipped: Vec<SkippedRow>,
}

/// A pod of a recorded workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePod {
    /// Its name, unique in the trace.
    pub name: String,
    /// Index of its node.
    pub node: u32,
    /// When it is bound to its node.
    pub at: Duration,
    /// How long it lives.
    pub lifetime: Duration,
}

/// A change of the cluster at a fixed time.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, in cluster time.
    pub at: Duration,
    /// What.
    pub kind: EventKind,
}

/// What changes.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A vSwitch is added to the cloud and to the configuration of every agent.
    AddVSwitch(VSwitchSpec),
    /// Agents are restarted, so many at a time, with this pause between batches.
    RollingRestart {
        /// Agents per batch.
        batch: u32,
        /// Time from one batch to the next.
        pause: Duration,
    },
    /// Nodes are drained and deleted, and as many join; names are used again.
    Autoscale {
        /// Nodes that leave.
        remove: u32,
        /// Nodes that join: first the names that left, then new ones.
        add: u32,
    },
}

/// First address of the nodes' own network, which no pod shares.
pub const NODE_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 0);
