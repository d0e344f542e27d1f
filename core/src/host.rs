//! The host kernel's network state, as far as the agent decides by it: what is there, what is to be there, and
//! who is entitled to what.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{
    address::PodIps,
    id::{ContainerId, Mac, PodKey},
};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bandwidth {
    /// What the pod may receive.
    #[serde(default)]
    pub ingress: u64,
    /// What the pod may send.
    #[serde(default)]
    pub egress: u64,
}

impl Bandwidth {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// What policy needs of a pod's host link.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Guard {
    /// Index that the host link has, or is to be made with.
    pub link: u32,
    /// Folder in which the programs are pinned that are to be on it.
    pub pins: PathBuf,
}

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
    /// What policy needs; none where it is not enforced.
    pub guard: Option<Guard>,
}

/// A secondary ENI, as the agent knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Which one.
    pub mac: Mac,
    /// VPC gateways of its vSwitch.
    pub gateway: Gateways,
}

/// What the kernel says is there for a pod: the host end of its link and the addresses routed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the host link, `cali` and eleven hexadecimal digits.
    pub link: String,
    /// Its index.
    pub index: u32,
    /// Sandbox it was made for, kept as the link's alias.
    pub container: Option<ContainerId>,
    /// Addresses routed to it.
    pub addresses: Vec<IpAddr>,
}

/// Who is entitled to objects on the node. A pod whose ADD is under way is among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Sandboxes that have a network.
    pub containers: BTreeSet<ContainerId>,
    /// Addresses that pods have.
    pub in_use: BTreeSet<IpAddr>,
    /// Addresses of our ENIs, in use or not.
    pub ours: BTreeSet<IpAddr>,
}

/// What was put right, or removed; and what the kernel refused, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Kind of each object that was changed: `link`, `address`, `route`, `rule`, `neighbour`, `setting`, `queue`,
    /// `program`.
    pub objects: Vec<&'static str>,
    /// One text for each change that was not possible; the others were made.
    pub refused: Vec<String>,
}

/// Observes and mends links and pod endpoints in the host's namespace.
#[async_trait]
pub trait HostNet: Send + Sync {
    /// Hardware addresses of the ENIs that the kernel sees, sorted.
    async fn nics(&self) -> io::Result<Vec<Mac>>;
    /// Pod endpoints present now, sorted by link name.
    async fn endpoints(&self) -> io::Result<Vec<Endpoint>>;
    /// Resolves when the ENIs that the kernel sees are not these any more.
    async fn nics_changed(&self, seen: &[Mac]);
    /// Makes an ENI what pods on it need: up, its table leading to its own gateway. Nothing changes when it is so
    /// already. `NotFound` when the kernel has no such interface.
    async fn set_up(&self, nic: &Nic) -> io::Result<Mended>;
    /// Takes from an ENI what [`HostNet::set_up`] gave it. One that has left took it along.
    async fn tear_down(&self, nic: &Nic) -> io::Result<Mended>;
    /// Which of these lack something on the host, by their place in the list. One without its host link is not
    /// told: its sandbox is gone, or its ADD is under way.
    async fn lacking(&self, pods: &[PodNet]) -> io::Result<Vec<usize>>;
    /// Gives these back what they lack on the host.
    async fn repair(&self, pods: &[PodNet]) -> io::Result<Mended>;
    /// Removes what is provably ours and belongs to nobody. The owners are asked for after the kernel has been
    /// looked at, so that what appears in between is not taken for an orphan.
    async fn sweep(&self, owners: &(dyn Fn() -> Owners + Send + Sync)) -> io::Result<Mended>;
    /// Resolves when links, routes or rules may have changed since the last call.
    async fn drifted(&self);
}
