//! The VPC on this kernel: a router, a port for each NIC, an address for each that owns it.
//!
//! - [`plan`]: what the router is to have for a state of the cloud, and the steps there;
//! - `router`: the namespace before anything is plugged in; `guard` (over `nft`): no source but one's own.
//!
//! A NIC is a veth pair: one end in its node, with the NIC's hardware address, the other one the router's port.
//! Whatever belongs to a NIC is sent to its hardware address and nobody asked: a VPC knows where an address is. So
//! all routes of a port lead over one neighbour that is given, not found.

mod guard;
mod nft;
pub mod plan;
mod router;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use terway_core::id::{InstanceId, Mac};
use terway_dataplane::{
    linux::direct,
    op::{Change, NetOp, Object},
    state::{MAIN_TABLE, Neighbour, Place, Route},
};

use self::{
    guard::{Guard, Source},
    plan::{Port, Ports, Step},
    router::{address, default_route, link_index, port_settings, up, veth},
};
use crate::netns::Netns;

/// The neighbour behind every port.
const BEHIND: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xee))];

/// What could not be done.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {source}")]
pub struct FabricError {
    what: String,
    #[source]
    source: io::Error,
}

impl FabricError {
    fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self { what: what.into(), source }
    }
}

/// The VPC. It makes changes in the order that it is asked for them; calls block for as long as the kernel needs.
pub struct Fabric {
    router: Netns,
    guard: Guard,
    nodes: BTreeMap<InstanceId, Netns>,
    mtu: u32,
    ports: Ports,
    links: BTreeMap<Mac, Live>,
}

/// The links of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Live {
    /// The router's end.
    port: String,
    index: u32,
    /// Name of the node's end when it was plugged in.
    nic: String,
}

impl Fabric {
    /// A router with a host outside and no ports. `gateways` are those of all vSwitches.
    pub fn new(router: Netns, outside: &Netns, gateways: &[IpAddr], mtu: u32) -> Result<Self, FabricError> {
        let guard = router::set_up(&router, outside, gateways, mtu)?;
        let (nodes, ports, links) = (BTreeMap::new(), Ports::new(), BTreeMap::new());
        Ok(Self { router, guard, nodes, mtu, ports, links })
    }

    /// NICs of this instance appear in that namespace from now on.
    pub fn add_node(&mut self, instance: InstanceId, netns: Netns) {
        self.nodes.insert(instance, netns);
    }

    /// Whether an instance is a node here.
    pub fn has_node(&self, instance: &InstanceId) -> bool {
        self.nodes.contains_key(instance)
    }

    /// What there is.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// How many packets were dropped for a source that was not their ENI's.
    pub fn dropped(&mut self) -> Result<u64, FabricError> {
        let read = self.guard.dropped();
        read.map_err(|error| FabricError::new("count dropped packets", io::Error::other(error)))
    }

    /// Makes the router what it is to be. What was done is told even if a later step failed.
    pub fn reconcile(&mut self, wanted: &Ports, mut told: impl FnMut(String)) -> Result<(), FabricError> {
        for step in plan::steps(&self.ports, wanted) {
            let story = self.tell(&step);
            self.perform(&step).map_err(|source| FabricError::new(&story, source))?;
            plan::apply(&mut self.ports, &step);
            told(story);
        }
        Ok(())
    }

    fn tell(&self, step: &Step) -> String {
        let list =
            |nets: &BTreeSet<IpNet>| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let of = |mac: &Mac| self.ports.get(mac).map(|port| port.eni.to_string()).unwrap_or_default();
        match step {
            Step::Plug(mac, port) => format!("plug {} ({mac}) into {}", port.eni, port.instance),
            Step::Unplug(mac) => format!("unplug {} ({mac})", of(mac)),
            Step::Give(mac, nets) => format!("route {} to {mac} {}", list(nets), of(mac)),
            Step::Take(mac, nets) => format!("stop routing {} to {mac} {}", list(nets), of(mac)),
        }
    }

    fn perform(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Plug(mac, port) => self.plug(*mac, port),
            Step::Unplug(mac) => self.unplug(*mac),
            Step::Give(mac, nets) => self.give(*mac, nets),
            Step::Take(mac, nets) => self.take(*mac, nets),
        }
    }

    fn plug(&mut self, mac: Mac, port: &Port) -> io::Result<()> {
        let node = self.nodes.get(&port.instance).ok_or_else(|| io::Error::other("it is no node here"))?;
        let nic = free_name(node)?;
        let name = port_name(mac);
        let Mac([_, rest @ ..]) = mac;
        let mut own = [0xee; 6];
        own[1..].copy_from_slice(&rest);
        let host = |change| NetOp::new(Place::Host, change);
        let pair = Change::AddVeth {
            name: name.clone(),
            link: veth(Mac(own), &nic, self.mtu),
            peer: veth(mac, &name, self.mtu),
        };
        let mut ops = vec![host(pair)];
        ops.extend(port_settings(&name).map(host));
        ops.push(host(up(&name)));
        ops.extend(port.gateways.v6.map(|gateway| host(address(&name, IpAddr::V6(gateway).into()))));
        for ip in BEHIND {
            let neighbour = Neighbour { dev: name.clone(), ip, mac };
            ops.push(host(Change::Add(Object::Neighbour(neighbour))));
        }
        let path = node.path();
        let index = self.router.run(|| {
            direct::apply(path, &ops).map_err(io::Error::other)?;
            link_index(&name)
        })?;
        self.links.insert(mac, Live { port: name, index, nic });
        Ok(())
    }

    /// Gives a node's primary interface its addresses and default routes, as an instance gets them when it boots.
    pub fn boot(&self, instance: &InstanceId) -> Result<(), FabricError> {
        let what = || format!("configure the primary interface of {instance}");
        let missing = || FabricError::new(what(), io::Error::other("it is not plugged in"));
        let node = self.nodes.get(instance).ok_or_else(missing)?;
        let primary = self.ports.iter().find(|(_, port)| port.primary && port.instance == *instance);
        let (mac, port) = primary.ok_or_else(missing)?;
        let nic = &self.links.get(mac).ok_or_else(missing)?.nic;
        let mut changes = vec![up("lo"), up(nic)];
        for net in &port.owned {
            // Of IPv6 an instance has single addresses and reaches its neighbours through the gateway.
            let length = if net.addr().is_ipv4() { port.cidr.prefix_len() } else { net.prefix_len() };
            let net = IpNet::new(net.addr(), length).expect("a block's length is one of its family");
            changes.push(address(nic, net));
        }
        changes.push(default_route(nic, port.gateways.v4.into()));
        let has_v6 = port.owned.iter().any(|net| net.addr().is_ipv6());
        changes.extend(port.gateways.v6.filter(|_| has_v6).map(|via| default_route(nic, via.into())));
        let ops: Vec<NetOp> = changes.into_iter().map(|change| NetOp::new(Place::Host, change)).collect();
        let path = node.path();
        let done = node.run(|| direct::apply(path, &ops).map_err(io::Error::other));
        done.map_err(|source| FabricError::new(what(), source))
    }

    fn unplug(&mut self, mac: Mac) -> io::Result<()> {
        let Some(live) = self.links.get(&mac).cloned() else { return Ok(()) };
        let owned = self.ports.get(&mac).map(|port| port.owned.clone()).unwrap_or_default();
        self.guard.change(&[], &sources(live.index, &owned)).map_err(io::Error::other)?;
        let link = veth(mac, &live.nic, self.mtu);
        let op = NetOp::new(Place::Host, Change::DelLink { name: live.port, link });
        self.in_router(&[op])?;
        self.links.remove(&mac);
        Ok(())
    }

    fn give(&mut self, mac: Mac, nets: &BTreeSet<IpNet>) -> io::Result<()> {
        let live = self.live(mac)?;
        let ops: Vec<NetOp> = routes(&live.port, nets).map(|route| add(route, true)).collect();
        self.in_router(&ops)?;
        self.guard.change(&sources(live.index, nets), &[]).map_err(io::Error::other)
    }

    fn take(&mut self, mac: Mac, nets: &BTreeSet<IpNet>) -> io::Result<()> {
        let live = self.live(mac)?;
        self.guard.change(&[], &sources(live.index, nets)).map_err(io::Error::other)?;
        let ops: Vec<NetOp> = routes(&live.port, nets).map(|route| add(route, false)).collect();
        self.in_router(&ops)
    }

    fn live(&self, mac: Mac) -> io::Result<Live> {
        self.links.get(&mac).cloned().ok_or_else(|| io::Error::other("it is not plugged in"))
    }

    fn in_router(&self, ops: &[NetOp]) -> io::Result<()> {
        let path = self.router.path();
        self.router.run(|| direct::apply(path, ops).map_err(io::Error::other))
    }
}

fn add(object: Object, add: bool) -> NetOp {
    NetOp::new(Place::Host, if add { Change::Add(object) } else { Change::Del(object) })
}

fn routes<'a>(port: &'a str, nets: &'a BTreeSet<IpNet>) -> impl Iterator<Item = Object> + use<'a> {
    nets.iter().map(move |net| {
        let via = BEHIND.into_iter().find(|ip| ip.is_ipv4() == net.addr().is_ipv4());
        Object::Route(Route { table: MAIN_TABLE, dst: *net, dev: port.into(), via })
    })
}

fn sources(port: u32, nets: &BTreeSet<IpNet>) -> Vec<Source> {
    let every = |net: &IpNet| -> Vec<IpAddr> {
        match net {
            // Of a prefix, the first and the last one are addresses like all others.
            IpNet::V4(net) => {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                (first..=last).map(|ip| IpAddr::V4(ip.into())).collect()
            }
            IpNet::V6(net) => vec![net.addr().into()],
        }
    };
    nets.iter().flat_map(every).map(|ip| Source { port, ip }).collect()
}

/// Name of the router's end: the kernel allows 15 bytes.
fn port_name(mac: Mac) -> String {
    let Mac(octets) = mac;
    octets.iter().fold(String::from("p"), |name, octet| name + &format!("{octet:02x}"))
}

/// The name that a driver would give the next NIC.
fn free_name(node: &Netns) -> io::Result<String> {
    let side = node.run(|| direct::observe_all().map_err(io::Error::other))?;
    let mut names = (0..).map(|number| format!("eth{number}"));
    Ok(names.find(|name| !side.links.contains_key(name)).expect("a node has few NICs"))
}
