//! The fault vocabulary: what may go wrong, each with a name that schedules and reports use.
//!
//! A kind carries the arguments of its own; where, when, how long and how likely are the schedule's. Names are
//! kept for ever, because stored schedules use them. One table ([`traits_of`]) says what each kind is about.

mod args;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use args::{Arg, ArgSpec, QUOTA_CODES, THROTTLE_CODES};

/// A part of the world that can be left out of a run as a whole (swarm).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultClass {
    /// The agent's process.
    Agent,
    /// The machine and its disk's life.
    Node,
    /// The cloud's API.
    Cloud,
    /// The instance metadata service.
    Metadata,
    /// The API server and its watches.
    Kubernetes,
    /// The kubelet and the container runtime as callers.
    Runtime,
    /// The disk under the agent's store.
    Disk,
    /// The wall clock.
    Time,
}

impl FaultClass {
    /// Every class; the order is stable, since swarm draws in it.
    pub const ALL: [Self; 8] = [
        Self::Agent,
        Self::Node,
        Self::Cloud,
        Self::Metadata,
        Self::Kubernetes,
        Self::Runtime,
        Self::Disk,
        Self::Time,
    ];

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Node => "node",
            Self::Cloud => "cloud",
            Self::Metadata => "metadata",
            Self::Kubernetes => "kubernetes",
            Self::Runtime => "runtime",
            Self::Disk => "disk",
            Self::Time => "time",
        }
    }
}

/// What kind of thing a fault can be aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// One node, or all of them when aimed at the cluster.
    Node,
    /// A cloud action, the whole API, or the calls of one node.
    Cloud,
    /// One vSwitch, or all of them when aimed at the cluster.
    VSwitch,
    /// One zone, or all of them when aimed at the cluster.
    Zone,
}

/// How a fault acts in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// Once, at its time; has no duration.
    Once,
    /// Holds for its duration.
    While,
    /// Strikes each call within its duration with the fault's probability.
    PerCall,
}

/// What is known of a kind without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// The class it belongs to.
    pub class: FaultClass,
    /// What it can be aimed at.
    pub target: TargetKind,
    /// How it acts in time.
    pub acting: Acting,
    /// How long it lasts where nothing is said; zero for what happens once.
    pub default_for: Duration,
}

/// One row a kind: its variant, its name, and its traits. The enum, the names and the table come from here.
macro_rules! vocabulary {
    ($($(#[$doc:meta])+ $variant:ident $({ $($(#[$arg_doc:meta])+ $arg:ident: $type:ty),+ })? =
        $name:literal, $class:ident, $target:ident, $acting:ident, $seconds:literal;)+) => {
        /// A fault, without its time and place.
        #[derive(Debug, Clone, PartialEq)]
        pub enum FaultKind {
            $($(#[$doc])+ $variant $({ $($(#[$arg_doc])+ $arg: $type),+ })?,)+
        }

        impl FaultKind {
            /// The name of every kind; the order is stable, since swarm draws in it.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name in schedules and reports.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name,)+ }
            }
        }

        /// The traits of the kind of that name; `None` for a name that is not in the vocabulary.
        pub fn traits_of(name: &str) -> Option<Traits> {
            Some(match name {
                $($name => Traits {
                    class: FaultClass::$class,
                    target: TargetKind::$target,
                    acting: Acting::$acting,
                    default_for: Duration::from_secs($seconds),
                },)+
                _ => return None,
            })
        }
    };
}

vocabulary! {
    /// The agent dies now: its tasks are dropped, unsynced writes are lost. It starts again.
    Crash = "crash", Agent, Node, Once, 0;
    /// The agent dies when its code passes a named point for the nth time from the fault's time on.
    CrashAtPoint {
        /// The crash point, see [`crate::points`].
        point: String,
        /// Which passing, from 1.
        nth: u32
    } = "crash-at-point", Agent, Node, Once, 0;
    /// The agent dies at the await reached after so many polls of its tasks: a random await.
    CrashAtPoll {
        /// Polls from the fault's time on.
        polls: u64
    } = "crash-at-poll", Agent, Node, Once, 0;
    /// The agent's tasks are not polled; the world goes on.
    Pause = "pause", Agent, Node, While, 30;
    /// The agent is killed again and again.
    OomLoop {
        /// Time from one kill to the next.
        every: Duration
    } = "oom-loop", Agent, Node, While, 300;
    /// The machine restarts: sandboxes are gone, the disk is kept.
    NodeReboot = "node-reboot", Node, Node, Once, 0;
    /// The machine is deleted for good, with its instance.
    NodeDelete = "node-delete", Node, Node, Once, 0;
    /// Deleted, and back under the same name with another instance and an empty disk.
    NodeRecreate = "node-recreate", Node, Node, Once, 0;
    /// The agent's store is gone at its next start.
    DiskWipe = "disk-wipe", Node, Node, Once, 0;
    /// Calls are refused for their rate.
    Throttle {
        /// The error code, one of [`THROTTLE_CODES`].
        code: String
    } = "throttle", Cloud, Cloud, PerCall, 30;
    /// Calls fail with `InternalError`, not applied.
    Error = "error", Cloud, Cloud, PerCall, 30;
    /// Calls fail with `Operation.Conflict`.
    Conflict = "conflict", Cloud, Cloud, PerCall, 30;
    /// Calls fail with `Forbidden.RAM`.
    Denied = "denied", Cloud, Cloud, PerCall, 60;
    /// Calls that need quota are refused.
    Quota {
        /// The error code, one of [`QUOTA_CODES`].
        code: String
    } = "quota", Cloud, Cloud, PerCall, 60;
    /// A vSwitch has no addresses left (`InvalidVSwitchId.IpNotEnough`).
    Exhausted = "exhausted", Cloud, VSwitch, While, 300;
    /// Calls fail with `InvalidOperation.InvalidEniState`.
    BadState = "bad-state", Cloud, Cloud, PerCall, 30;
    /// Answers take longer.
    Slow {
        /// Times the usual latency.
        factor: f64
    } = "slow", Cloud, Cloud, PerCall, 60;
    /// No answer, and nothing was done.
    Timeout = "timeout", Cloud, Cloud, PerCall, 30;
    /// No answer, but it was done.
    AppliedTimeout = "applied-timeout", Cloud, Cloud, PerCall, 30;
    /// An error is answered, but it was done.
    AppliedError = "applied-error", Cloud, Cloud, PerCall, 30;
    /// Batches are done in part, and the answer names that part.
    Partial = "partial", Cloud, Cloud, PerCall, 60;
    /// Reads answer with what was true a while ago.
    StaleRead {
        /// How old the answers are.
        lag: Duration
    } = "stale-read", Cloud, Cloud, PerCall, 60;
    /// ENIs stay `Attaching` or `Detaching`.
    StuckState = "stuck-state", Cloud, Cloud, PerCall, 120;
    /// Someone else detaches an ENI of the node while it is in use.
    OutOfBandDetach = "out-of-band-detach", Cloud, Node, Once, 0;
    /// The instance's limits turn out one ENI lower than was told.
    LimitChange = "limit-change", Cloud, Node, While, 600;
    /// The cloud's API cannot be reached.
    Unreachable = "unreachable", Cloud, Cloud, While, 60;
    /// The metadata service cannot be reached.
    MetadataUnreachable = "metadata-unreachable", Metadata, Node, While, 60;
    /// The metadata service learns of changes late.
    MetadataLag {
        /// How late.
        lag: Duration
    } = "metadata-lag", Metadata, Node, While, 120;
    /// The metadata service lists nothing.
    MetadataEmpty = "metadata-empty", Metadata, Node, While, 60;
    /// The API server cannot be reached.
    ApiUnreachable = "api-unreachable", Kubernetes, Node, While, 60;
    /// The API server answers late.
    ApiSlow {
        /// Times the usual latency.
        factor: f64
    } = "api-slow", Kubernetes, Node, While, 60;
    /// Lists of the API server come back empty.
    EmptyList = "empty-list", Kubernetes, Node, PerCall, 30;
    /// Watch events arrive late.
    WatchLag {
        /// How late.
        lag: Duration
    } = "watch-lag", Kubernetes, Node, While, 60;
    /// Open watches end with 410 Gone, so that clients list again.
    WatchDrop = "watch-drop", Kubernetes, Node, Once, 0;
    /// Watch events are delivered twice.
    WatchDuplicate = "watch-duplicate", Kubernetes, Node, PerCall, 60;
    /// Writes to the API server are refused with 409.
    ApiConflict = "api-conflict", Kubernetes, Node, PerCall, 30;
    /// Requests to the API server are refused with 429 and `Retry-After`.
    ApiThrottle = "api-throttle", Kubernetes, Node, PerCall, 30;
    /// A DEL is never sent.
    DelLost = "del-lost", Runtime, Node, PerCall, 60;
    /// A DEL arrives late, perhaps after the next ADD.
    DelLate = "del-late", Runtime, Node, PerCall, 60;
    /// A DEL is sent twice.
    DelTwice = "del-twice", Runtime, Node, PerCall, 60;
    /// The caller of an ADD is killed before it has the reply.
    AddKilled = "add-killed", Runtime, Node, PerCall, 60;
    /// Sandboxes are replaced: DEL of the old one and ADD of a new one, same pod.
    SandboxRestart = "sandbox-restart", Runtime, Node, Once, 0;
    /// A pod is removed from the API while its sandbox lives.
    ForceDelete = "force-delete", Runtime, Node, Once, 0;
    /// At a crash, a page of the store is half written.
    TornWrite = "torn-write", Disk, Node, While, 120;
    /// At a crash, writes that were not synced are lost in part.
    LostUnsynced = "lost-unsynced", Disk, Node, While, 120;
    /// Reads and writes fail with an I/O error.
    Eio = "eio", Disk, Node, PerCall, 30;
    /// Syncing takes longer.
    SlowFsync {
        /// Times the usual latency.
        factor: f64
    } = "slow-fsync", Disk, Node, PerCall, 60;
    /// A page of the store reads back wrong at the next start.
    CorruptPage = "corrupt-page", Disk, Node, Once, 0;
    /// The wall clock jumps; monotonic time does not.
    ClockStep {
        /// Milliseconds, negative for backwards.
        by: i64
    } = "clock-step", Time, Node, Once, 0;
    /// Nothing passes between the zone and the cloud's API, either way. Connections stay open and hang.
    CutOff = "cut-off", Cloud, Zone, While, 60;
    /// What the cloud's API answers does not reach the zone, while requests get through and are applied.
    HalfOpen = "half-open", Cloud, Zone, While, 60;
    /// Each packet between the zone and the cloud's API takes longer.
    SlowLink {
        /// How much longer, one way.
        lag: Duration
    } = "slow-link", Cloud, Zone, While, 60;
}

impl FaultKind {
    /// What is known of this kind without its arguments.
    pub fn traits(&self) -> Traits {
        traits_of(self.name()).expect("names and traits are of one table")
    }

    /// The class, for leaving whole classes out.
    pub fn class(&self) -> FaultClass {
        self.traits().class
    }

    /// How long it lasts where nothing is said; zero for what happens once.
    pub fn default_duration(&self) -> Duration {
        self.traits().default_for
    }
}
