//! What is asked of the dataplane: a pod's interface, an ENI, and the facts of the node they depend on.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

pub use terway_core::host::{Bandwidth, Gateways, Guard, PodNet};
use terway_core::id::Mac;

/// What a secondary ENI is to be on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EniNet {
    /// Which one.
    pub mac: Mac,
    /// VPC gateways of its vSwitch.
    pub gateway: Gateways,
    /// The node's own IPv4 address, which the ENI answers from.
    pub node_ip: Ipv4Addr,
    /// MTU in bytes; 0 takes that of the node's primary interface.
    pub mtu: u32,
    /// Folder of pins, where policy is enforced: nothing that is not judged leaves by an ENI.
    pub pins: Option<PathBuf>,
}

/// An ENI as the host's kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EniLink {
    /// Interface index: the ENI's table is 1000 + this.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// MTU in bytes.
    pub mtu: u32,
}

/// What the node is like, as far as the desired state depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Physical interfaces by hardware address, the primary one among them.
    pub enis: BTreeMap<Mac, EniLink>,
    /// Which of them carries the node's own default route, where one does.
    pub primary: Option<Mac>,
}

impl HostFacts {
    /// MTU of the node's primary interface.
    pub fn primary_mtu(&self) -> Option<u32> {
        Some(self.enis.get(&self.primary?)?.mtu)
    }
}
