//! ENIs, and what is asked about them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{
    address::{AddressCount, AddressSet},
    id::{ClientToken, EniId, InstanceId, Mac, SecurityGroupId, VSwitchId},
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// All on this instance, its primary one included, whoever made them.
    OnInstance(InstanceId),
    /// All tagged as ours.
    Ours,
}
