//! What is asked of the dataplane: a pod's interface, an ENI, and the facts of the node they depend on.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use terway_core::{
    address::PodIps,
    id::{ContainerId, Mac, PodKey},
};

/// What a pod's interface is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNet {
    /// Pod that it belongs to.
    pub pod: PodKey,
    /// Sandbox that it belongs to.
    pub container: ContainerId,
    /// Name inside the pod, `eth0` but for additional networks.
    pub ifname: String,
    /// Its addresses.
    pub ips: PodIps,
    /// ENI that carries the addresses.
    pub eni_mac: Mac,
    /// VPC gateways of that ENI's vSwitch.
    pub gateway: Gateways,
    /// MTU in bytes; 0 takes that of the node's primary interface.
    pub mtu: u32,
    /// Whether the pod's default routes go through it.
    pub default_route: bool,
    /// Destinations that go through it besides.
    pub extra_routes: Vec<IpNet>,
    /// Limits of its traffic.
    pub bandwidth: Bandwidth,
}

/// VPC gateways of a vSwitch, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateways {
    /// IPv4 gateway.
    pub v4: Ipv4Addr,
    /// IPv6 gateway, if the vSwitch has IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl Gateways {
    /// Each gateway in turn, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(IpAddr::V4(self.v4)), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }
}

/// Limits in bytes per second; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// What the pod may receive.
    pub ingress: u64,
    /// What the pod may send.
    pub egress: u64,
}

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
