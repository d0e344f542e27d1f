//! The cloud as the agent sees it: ENIs, their addresses, vSwitches, instance limits.
//!
//! One method is one OpenAPI action and one request on the wire; nothing here retries, waits or
//! pages behind the caller's back, because calls are what the account pays for in rate limits.

mod error;

use std::net::Ipv4Addr;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

pub use self::error::{CloudError, RetryClass, classify};
use crate::{
    address::{AddressCount, AddressSet},
    id::{ClientToken, EniId, InstanceId, InstanceType, Mac, SecurityGroupId, VSwitchId, ZoneId},
    limits::InstanceLimits,
};

/// Tag on every ENI of ours, as the original writes it.
pub const TAG_CREATOR: (&str, &str) = ("creator", "terway");
/// Tag with the instance an ENI was made for; it tells a returned node's ENIs from its predecessor's.
pub const TAG_INSTANCE: &str = "terway-rs/instance-id";
/// Tag with the `ClientToken` of the call that made the ENI: how a lost answer is found again.
pub const TAG_TOKEN: &str = "terway-rs/token";
/// Most addresses or prefixes in one assign or unassign call (practice of the original).
pub const BATCH: u32 = 10;
/// Most secondary addresses in one `CreateNetworkInterface` call (documented range 1–49).
pub const CREATE_SECONDARY_MAX: u32 = 49;
/// Most ids or rows in one `DescribeNetworkInterfaces` call that we rely on.
pub const DESCRIBE_IDS_MAX: usize = 100;

/// OpenAPI actions, named as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the action of that name")]
pub enum Action {
    CreateNetworkInterface,
    AttachNetworkInterface,
    DetachNetworkInterface,
    DeleteNetworkInterface,
    DescribeNetworkInterfaces,
    AssignPrivateIpAddresses,
    UnassignPrivateIpAddresses,
    AssignIpv6Addresses,
    UnassignIpv6Addresses,
    DescribeInstanceTypes,
    DescribeVSwitches,
}

impl Action {
    /// All actions, in declaration order.
    pub const ALL: [Self; 11] = [
        Self::CreateNetworkInterface,
        Self::AttachNetworkInterface,
        Self::DetachNetworkInterface,
        Self::DeleteNetworkInterface,
        Self::DescribeNetworkInterfaces,
        Self::AssignPrivateIpAddresses,
        Self::UnassignPrivateIpAddresses,
        Self::AssignIpv6Addresses,
        Self::UnassignIpv6Addresses,
        Self::DescribeInstanceTypes,
        Self::DescribeVSwitches,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateNetworkInterface => "CreateNetworkInterface",
            Self::AttachNetworkInterface => "AttachNetworkInterface",
            Self::DetachNetworkInterface => "DetachNetworkInterface",
            Self::DeleteNetworkInterface => "DeleteNetworkInterface",
            Self::DescribeNetworkInterfaces => "DescribeNetworkInterfaces",
            Self::AssignPrivateIpAddresses => "AssignPrivateIpAddresses",
            Self::UnassignPrivateIpAddresses => "UnassignPrivateIpAddresses",
            Self::AssignIpv6Addresses => "AssignIpv6Addresses",
            Self::UnassignIpv6Addresses => "UnassignIpv6Addresses",
            Self::DescribeInstanceTypes => "DescribeInstanceTypes",
            Self::DescribeVSwitches => "DescribeVSwitches",
        }
    }

    /// Whether the action changes something.
    pub fn mutates(self) -> bool {
        !matches!(
            self,
            Self::DescribeNetworkInterfaces | Self::DescribeInstanceTypes | Self::DescribeVSwitches
        )
    }

    /// Client-side ceiling per minute, as the original sets it per process.
    pub fn per_minute(self) -> u32 {
        match self {
            Self::DescribeNetworkInterfaces => 800,
            Self::CreateNetworkInterface | Self::AttachNetworkInterface | Self::DeleteNetworkInterface => 500,
            Self::DescribeVSwitches => 300,
            _ => 400,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// State of an ENI in the cloud. A deleted ENI has none: it is no longer listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EniStatus {
    /// Exists, attached to nothing.
    Available,
    /// On its way to an instance.
    Attaching,
    /// Attached and usable.
    InUse,
    /// On its way from an instance.
    Detaching,
    /// On its way out.
    Deleting,
}

/// An ENI as the cloud describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eni {
    /// Its id.
    pub id: EniId,
    /// Its state.
    pub status: EniStatus,
    /// Hardware address; the kernel's link carries the same.
    pub mac: Mac,
    /// vSwitch of all its addresses.
    pub vswitch: VSwitchId,
    /// Instance it is attached (or attaching, detaching) to.
    pub instance: Option<InstanceId>,
    /// Primary address; never unassigned while the ENI lives.
    pub primary: Ipv4Addr,
    /// All addresses, the primary included.
    pub addresses: AddressSet,
    /// Tags, sorted by key.
    pub tags: Vec<(String, String)>,
}

/// Parameters of `CreateNetworkInterface`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateEni {
    /// Idempotency key: the same key gives the same ENI.
    pub token: ClientToken,
    /// Where the addresses come from.
    pub vswitch: VSwitchId,
    /// At most ten.
    pub security_groups: Vec<SecurityGroupId>,
    /// Addresses on it; `v4` counts the primary one and is at least 1.
    pub count: AddressCount,
    /// Tags, [`TAG_CREATOR`] and [`TAG_INSTANCE`] among them.
    pub tags: Vec<(String, String)>,
}

/// Parameters of an assign call: addresses of one family or prefixes, never mixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// Idempotency key: the same key gives the same addresses.
    pub token: ClientToken,
    /// The ENI.
    pub eni: EniId,
    /// How many; at most [`BATCH`], one field non-zero.
    pub count: AddressCount,
}

/// Which ENIs to describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EniFilter {
    /// These, at most [`DESCRIBE_IDS_MAX`].
    Ids(Vec<EniId>),
    /// Those tagged as ours for this instance, attached or not.
    OfInstance(InstanceId),
    /// All tagged as ours.
    Ours,
}

/// One page of ENIs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EniPage {
    /// The rows.
    pub enis: Vec<Eni>,
    /// Ask again with this for more.
    pub next: Option<String>,
}

/// A vSwitch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VSwitch {
    /// Its id.
    pub id: VSwitchId,
    /// Its zone; ENI and instance must be in the same.
    pub zone: ZoneId,
    /// Its IPv4 block.
    pub cidr: Ipv4Net,
    /// Free addresses; approximate, as documented.
    pub available: u64,
}

/// The cloud's API. Every call may take seconds, fail after it applied, or answer with stale data.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Makes an ENI. Idempotent by token.
    async fn create_eni(&self, request: &CreateEni) -> Result<Eni, CloudError>;
    /// Starts attaching; the ENI is usable when described as `InUse`.
    async fn attach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError>;
    /// Starts detaching; allowed again while `Detaching`.
    async fn detach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError>;
    /// Starts deleting; only from `Available`, allowed again while `Deleting`.
    async fn delete_eni(&self, eni: &EniId) -> Result<(), CloudError>;
    /// Reads ENIs; the answer may lag writes by seconds.
    async fn describe_enis(&self, filter: &EniFilter, next: Option<String>) -> Result<EniPage, CloudError>;
    /// Adds IPv4 addresses or prefixes. Idempotent by token. May give fewer than asked.
    async fn assign_ipv4(&self, request: &Assign) -> Result<AddressSet, CloudError>;
    /// Adds IPv6 addresses. Idempotent by token. May give fewer than asked.
    async fn assign_ipv6(&self, request: &Assign) -> Result<AddressSet, CloudError>;
    /// Takes IPv4 addresses or prefixes away; addresses that are gone already are an error of class
    /// [`RetryClass::AlreadyDone`].
    async fn unassign_ipv4(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError>;
    /// Takes IPv6 addresses away.
    async fn unassign_ipv6(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError>;
    /// Quotas of an instance type.
    async fn describe_instance_type(
        &self,
        instance_type: &InstanceType,
    ) -> Result<InstanceLimits, CloudError>;
    /// vSwitches by id.
    async fn describe_vswitches(&self, ids: &[VSwitchId]) -> Result<Vec<VSwitch>, CloudError>;
}
