//! Why an address was refused: a closed list, so that "timeout" alone is never the answer.

use serde::{Deserialize, Serialize};

use crate::id::VSwitchId;

/// The cause of a refusal. The text is what an operator reads in the pod's events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// Every ENI slot of the instance is in use and every ENI is full.
    #[error("node is full: {enis} of {max_enis} ENIs attached, all {addresses} addresses in use or cooling")]
    NodeFull {
        /// ENIs attached or on their way.
        enis: u32,
        /// ENIs the node may attach.
        max_enis: u32,
        /// Addresses on them.
        addresses: u32,
    },
    /// Every configured vSwitch of the zone has run out of addresses.
    #[error("no address left in vSwitch {}; add a vSwitch of this zone to `vswitches`", join(vswitches))]
    VSwitchExhausted {
        /// The vSwitches that were tried.
        vswitches: Vec<VSwitchId>,
    },
    /// No vSwitch is configured for the zone of the node.
    #[error("no vSwitch is configured for zone {zone}; add one to `vswitches`")]
    NoVSwitch {
        /// The zone.
        zone: String,
    },
    /// A limit of the account or the instance was met in the cloud.
    #[error("cloud quota reached: {code}")]
    Quota {
        /// The cloud's error code.
        code: String,
    },
    /// The account's request rate was exceeded until the deadline of this request.
    #[error("cloud calls are throttled ({code}); next try in {retry_in_ms} ms")]
    Throttled {
        /// The cloud's error code.
        code: String,
        /// When the next call will be made, in milliseconds from now.
        retry_in_ms: u64,
    },
    /// Credentials or permissions do not allow the call, or a parameter is wrong.
    #[error("cloud refused {action}: {code}: {message}")]
    Denied {
        /// OpenAPI action.
        action: String,
        /// The cloud's error code.
        code: String,
        /// The cloud's message.
        message: String,
    },
    /// The cloud did not answer, or answered with errors of its own, until the deadline.
    #[error("cloud call {action} keeps failing: {code}")]
    CloudUnavailable {
        /// OpenAPI action.
        action: String,
        /// Last error code.
        code: String,
    },
    /// An ENI is on its way but was not ready before the deadline of this request.
    #[error("waiting for {waiting_for}")]
    NotReady {
        /// What the request was waiting for, in words.
        waiting_for: String,
    },
    /// All free addresses are cooling down and the node can not grow.
    #[error("{cooling} addresses are cooling down after their last pod; the next is free in {next_ms} ms")]
    Cooling {
        /// How many.
        cooling: u32,
        /// When the first is free, in milliseconds.
        next_ms: u64,
    },
    /// The agent is shutting down or its store failed; the runtime will ask again.
    #[error("the agent is not able to record allocations: {detail}")]
    AgentStopping {
        /// What happened.
        detail: String,
    },
}

impl Cause {
    /// Stable kebab-case name for metrics and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NodeFull { .. } => "node-full",
            Self::VSwitchExhausted { .. } => "vswitch-exhausted",
            Self::NoVSwitch { .. } => "no-vswitch",
            Self::Quota { .. } => "quota",
            Self::Throttled { .. } => "throttled",
            Self::Denied { .. } => "denied",
            Self::CloudUnavailable { .. } => "cloud-unavailable",
            Self::NotReady { .. } => "not-ready",
            Self::Cooling { .. } => "cooling",
            Self::AgentStopping { .. } => "agent-stopping",
        }
    }
}

fn join(ids: &[VSwitchId]) -> String {
    ids.iter().map(VSwitchId::as_str).collect::<Vec<_>>().join(", ")
}
