//! The allocation service as the plugin sees it: the messages of the original's `TerwayBackend`,
//! in domain types. The wire form (protobuf) is made from these at the socket.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::{
    address::PodIps,
    cause::Cause,
    host::{Bandwidth, Guard},
    id::{ContainerId, EniId, Mac, PodKey, PodUid},
};

/// `AllocIPRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocIpRequest {
    /// The pod.
    pub pod: PodKey,
    /// Its sandbox.
    pub container: ContainerId,
    /// Path of the sandbox's network namespace.
    pub netns: String,
    /// Interface inside the pod; empty means `eth0`.
    pub ifname: String,
    /// Which of the pods of that name; empty when the runtime did not say.
    pub uid: PodUid,
    /// Name of the CNI network; empty from an original plugin.
    pub network: String,
}

/// Where an answer came from; for figures, not on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The pod had it already.
    Record,
    /// An idle address was at hand.
    Pool,
    /// The request waited for the cloud or for cooling to end.
    Waited,
}

/// `AllocIPReply` of a shared ENI (`TypeENIMultiIP`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocIpReply {
    /// One per interface; the first has the default route.
    pub net_confs: Vec<NetConf>,
    /// Where the address came from.
    pub source: Source,
}

/// `NetConf`: everything the plugin needs to build one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetConf {
    /// Addresses of the pod.
    pub ips: PodIps,
    /// Block of the ENI's vSwitch.
    pub cidr: Ipv4Net,
    /// VPC gateway of that block.
    pub gateway: Ipv4Addr,
    /// ENI that carries the addresses.
    pub eni: EniId,
    /// Its MAC.
    pub mac: Mac,
    /// Interface inside the pod.
    pub ifname: String,
    /// Whether the pod's default route leaves here.
    pub default_route: bool,
    /// VPC gateway of the IPv6 block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<Ipv6Addr>,
    /// Destinations that leave by this interface besides the default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_routes: Vec<IpNet>,
    /// Limits of the pod's traffic.
    #[serde(default, skip_serializing_if = "Bandwidth::is_unlimited")]
    pub bandwidth: Bandwidth,
    /// What policy needs of the host link; none where it is not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// `ReleaseIPRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseIpRequest {
    /// The pod.
    pub pod: PodKey,
    /// The sandbox that is going away.
    pub container: ContainerId,
    /// Why, for the log: `normal release`, `roll back ip for error …`.
    pub reason: String,
}

/// `GetInfoRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetIpInfoRequest {
    /// The pod.
    pub pod: PodKey,
    /// The sandbox.
    pub container: ContainerId,
}

/// `GetInfoReply`: empty when there is no record, or the record is of another sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetIpInfoReply {
    /// As answered to ADD.
    pub net_confs: Vec<NetConf>,
}

/// A refusal. The first word of the text is the original's code word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Another call for this pod is under way.
    #[error("PodIsProcessing: pod {0} is being processed by another request")]
    PodIsProcessing(PodKey),
    /// The pod does not exist, or the request is malformed.
    #[error("InvalidArgs: {0}")]
    InvalidArgs(String),
    /// The API server could not be asked whether the pod exists.
    #[error("InternalError: pod {pod} could not be read from the API server: {reason}")]
    PodUnknown {
        /// The pod.
        pod: PodKey,
        /// Why.
        reason: String,
    },
    /// No address could be had, and why.
    #[error("{word}: {0}", word = code_word(.0))]
    NoAddress(Cause),
}

impl RpcError {
    /// Stable name for metrics and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PodIsProcessing(_) => "pod-is-processing",
            Self::InvalidArgs(_) => "invalid-args",
            Self::PodUnknown { .. } => "pod-unknown",
            Self::NoAddress(cause) => cause.name(),
        }
    }
}

fn code_word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Quota { .. }
        | Cause::Throttled { .. }
        | Cause::Denied { .. }
        | Cause::CloudUnavailable { .. } => "OpenAPIErr",
        Cause::AgentStopping { .. } => "InternalError",
        _ => "ResourceInvalid",
    }
}
