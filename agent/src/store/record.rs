//! Records of the store. Keys and fields are an on-disk format: add fields with defaults only.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use terway_core::{
    address::{AddressSet, PodIps},
    cloud::{Assign, CreateEni},
    host::Bandwidth,
    id::{ClientToken, ContainerId, EniId, InstanceId, Mac, PodKey, PodUid, VSwitchId},
    limits::InstanceLimits,
};

/// Who this store belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The instance; a store of another instance is not ours, whatever the node is called.
    pub instance: InstanceId,
    /// Its limits, so that a restart needs no cloud call.
    pub limits: InstanceLimits,
}

/// Where an ENI is on its way from and to the instance. Every phase but `InUse` is an intent: the
/// agent carries on from it after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EniPhase {
    /// Created, to be attached.
    Attaching,
    /// Attached, seen by the host.
    InUse,
    /// To be detached, then deleted.
    Detaching,
    /// Detached, to be deleted.
    Deleting,
}

/// An ENI of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniRecord {
    /// Its id.
    pub id: EniId,
    /// Its hardware address.
    pub mac: Mac,
    /// Its vSwitch.
    pub vswitch: VSwitchId,
    /// Block of the vSwitch and VPC gateway, known once the metadata shows the ENI.
    #[serde(default)]
    pub net: Option<(Ipv4Net, Ipv4Addr)>,
    /// VPC gateway of the vSwitch's IPv6 block, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<Ipv6Addr>,
    /// Primary address.
    pub primary: Ipv4Addr,
    /// Phase.
    pub phase: EniPhase,
    /// Addresses it carries, the primary included.
    pub addresses: AddressSet,
}

/// An address in the hands of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The sandbox; `None` for one that was found in the kernel after the store was lost.
    pub container: Option<ContainerId>,
    /// Interface inside the pod.
    pub ifname: String,
    /// The pod.
    pub pod: PodKey,
    /// Which of the pods of that name.
    pub uid: PodUid,
    /// Its addresses.
    pub ips: PodIps,
    /// The ENI that carries them.
    pub eni: EniId,
    /// Name of the CNI network that it was made for; empty when the plugin did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Limits of the pod's traffic, as they were when it was made.
    #[serde(default, skip_serializing_if = "Bandwidth::is_unlimited")]
    pub bandwidth: Bandwidth,
    /// Index of its host link, where policy is enforced; 0 is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub link: u32,
    /// When it was made; a collection that began before must not free it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Moment>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(link: &u32) -> bool {
    *link == 0
}

/// A point of boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The boot under which `ms` counts.
    pub boot_id: u64,
    /// Milliseconds since that boot.
    pub ms: u64,
}

impl Allocation {
    /// Row key: network, sandbox, interface.
    pub fn key(&self) -> String {
        allocation_key(&self.pod, self.container.as_ref(), &self.ifname)
    }
}

/// Row key of an allocation. An adopted one has no sandbox id and is kept under its pod.
pub fn allocation_key(pod: &PodKey, container: Option<&ContainerId>, ifname: &str) -> String {
    match container {
        Some(container) => format!("terway/{container}/{ifname}"),
        None => format!("adopted/{pod}/{ifname}"),
    }
}

/// Addresses that may not be handed out before a point of boot time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooling {
    /// The addresses.
    pub ips: PodIps,
    /// The boot under which `until_ms` counts; under another one the rest starts over.
    pub boot_id: u64,
    /// End, in milliseconds of boot time.
    pub until_ms: u64,
}

/// A call that is about to change something in the cloud, stored before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call")]
pub enum Intent {
    /// `CreateNetworkInterface`
    Create(CreateEni),
    /// `AssignPrivateIpAddresses` or `AssignIpv6Addresses`
    Assign(Assign),
    /// `UnassignPrivateIpAddresses` and `UnassignIpv6Addresses`
    Unassign {
        /// Names the intent; the calls take no token.
        token: ClientToken,
        /// The ENI.
        eni: EniId,
        /// What leaves.
        set: AddressSet,
    },
}

impl Intent {
    /// The token that names it.
    pub fn token(&self) -> &ClientToken {
        match self {
            Self::Create(create) => &create.token,
            Self::Assign(assign) => &assign.token,
            Self::Unassign { token, .. } => token,
        }
    }
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each puts or drops the record of its name")]
pub enum Write {
    Meta(Meta),
    PutEni(EniRecord),
    DropEni(EniId),
    PutAllocation(Allocation),
    DropAllocation(String),
    PutCooling(Cooling),
    DropCooling(Ipv4Addr),
    PutIntent(Intent),
    DropIntent(ClientToken),
}

/// Everything in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "one field per table")]
pub struct Stored {
    pub meta: Option<Meta>,
    pub enis: Vec<EniRecord>,
    pub allocations: Vec<Allocation>,
    pub cooling: Vec<Cooling>,
    pub intents: Vec<Intent>,
}
