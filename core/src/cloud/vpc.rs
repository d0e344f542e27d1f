//! What ENIs live in: vSwitches, security groups, and the routes of the VPC.

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::id::{
    ClientToken, EniId, InstanceId, RouteEntryId, RouteTableId, SecurityGroupId, VSwitchId, VpcId, ZoneId,
};

/// Which vSwitches to describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VSwitchFilter {
    /// This one; none of that id gives no row.
    Id(VSwitchId),
    /// All of this VPC.
    OfVpc(VpcId),
}

/// A vSwitch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VSwitch {
    /// Its id.
    pub id: VSwitchId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its zone; ENI and instance must be in the same.
    pub zone: ZoneId,
    /// Its IPv4 block.
    pub cidr: Ipv4Net,
    /// Free addresses; approximate, as documented.
    pub available: u64,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name; empty if it has none.
    pub name: String,
    /// Its VPC; ENIs in the group must be in the same.
    pub vpc: VpcId,
}

/// A route table of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Its id.
    pub id: RouteTableId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Whether it is the VPC's own (`System`), and not one that someone made (`Custom`).
    pub system: bool,
    /// vSwitches that it is bound to; the system table serves all others.
    pub vswitches: Vec<VSwitchId>,
}

/// State of a route entry. A deleted one has none: it is no longer listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteStatus {
    /// Being made.
    Pending,
    /// In force.
    Available,
    /// Being changed.
    Modifying,
    /// On its way out.
    Deleting,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextHop {
    /// An instance, by its primary NIC.
    Instance(InstanceId),
    /// An ENI.
    NetworkInterface(EniId),
    /// Anything else that the cloud knows and we never make: kind and id.
    Other(String, String),
}

impl NextHop {
    /// `NextHopType` on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Self::Instance(_) => "Instance",
            Self::NetworkInterface(_) => "NetworkInterface",
            Self::Other(kind, _) => kind,
        }
    }

    /// `NextHopId` on the wire.
    pub fn id(&self) -> &str {
        match self {
            Self::Instance(id) => id.as_str(),
            Self::NetworkInterface(id) => id.as_str(),
            Self::Other(_, id) => id,
        }
    }

    /// The next hop of a kind and id on the wire.
    pub fn new(kind: &str, id: &str) -> Self {
        match kind {
            "Instance" => Self::Instance(id.into()),
            "NetworkInterface" => Self::NetworkInterface(id.into()),
            other => Self::Other(other.to_owned(), id.to_owned()),
        }
    }
}

/// A route entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// Its id.
    pub id: RouteEntryId,
    /// Its table.
    pub table: RouteTableId,
    /// What it is for; unique in its table.
    pub destination: IpNet,
    /// Its state.
    pub status: RouteStatus,
    /// Whether someone made it (`Custom`); others can not be deleted.
    pub custom: bool,
    /// Where it leads; none for routes that the cloud serves by itself.
    pub next_hop: Option<NextHop>,
}

/// Parameters of `CreateRouteEntry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRoute {
    /// Idempotency key: the same key gives the same entry.
    pub token: ClientToken,
    /// Where it goes.
    pub table: RouteTableId,
    /// What it is for. Neither in a vSwitch of the VPC nor in 100.64.0.0/10.
    pub destination: IpNet,
    /// Where it leads.
    pub next_hop: NextHop,
}
