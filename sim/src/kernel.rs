//! A model of the kernel's network state on one machine: NICs, pods' links, addresses, routes, rules, neighbours.
//!
//! It takes the same changes as the real one ([`NetOp`]), refuses what that refuses, and drops with a link what
//! that drops. The conformance suite of the port `HostNet` holds both to one behaviour. [`Kernel::walk`] follows
//! a packet through it.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use rustix::io::Errno;
use terway_core::{
    host::{Endpoint, Nic, PodNet},
    id::{ContainerId, Mac},
};
use terway_dataplane::{
    desired::{DesiredError, desired, desired_eni},
    diff::diff_new,
    difference, name,
    op::{Change, NetOp, Object},
    pod::{EniLink, EniNet, HostFacts},
    select,
    state::{Link, LinkKind, MAIN_TABLE, NetState, Select, Side},
};

/// MTU of every NIC.
const MTU: u32 = 1500;

/// Where a packet of a pod ends up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// In a pod of the same machine.
    Pod(ContainerId),
    /// On the wire, out of this NIC.
    Nic(Mac),
}

/// The kernel of one machine.
#[derive(Debug, Default)]
pub struct Kernel {
    host: Side,
    pods: BTreeMap<ContainerId, Side>,
    /// Interface index and name by hardware address.
    nics: BTreeMap<Mac, (u32, String)>,
    primary: Option<Mac>,
    made: u32,
}

impl Kernel {
    /// A machine with its primary NIC, which its default route leaves by.
    pub fn new(primary: Mac) -> Self {
        let mut kernel = Self { primary: Some(primary), ..Self::default() };
        kernel.plug(primary);
        kernel.set_link("eth0", true);
        kernel
    }

    /// A NIC appears, down and without anything on it.
    pub fn plug(&mut self, mac: Mac) {
        if self.nics.contains_key(&mac) {
            return;
        }
        let name = format!("eth{}", self.made);
        self.made += 1;
        let link = Link { mac, mtu: MTU, up: false, alias: None, index: 0, kind: LinkKind::Nic };
        self.host.links.insert(name.clone(), link);
        self.nics.insert(mac, (self.made + 1, name));
    }

    /// A NIC goes, with all that is on it.
    pub fn unplug(&mut self, mac: Mac) {
        if let Some((_, name)) = self.nics.remove(&mac) {
            self.host.remove_link(&name);
        }
    }

    /// The machine boots: what was made by hand is gone, NICs are there and down.
    pub fn boot(&mut self) {
        self.pods.clear();
        let links = std::mem::take(&mut self.host).links;
        let nics = links.into_iter().filter(|(_, link)| link.kind == LinkKind::Nic);
        self.host.links = nics.map(|(name, link)| (name, Link { up: false, alias: None, ..link })).collect();
        self.set_link("eth0", true);
    }

    fn set_link(&mut self, name: &str, up: bool) {
        if let Some(link) = self.host.links.get_mut(name) {
            link.up = up;
        }
    }

    /// Hardware addresses of its NICs, sorted.
    pub fn nics(&self) -> Vec<Mac> {
        self.nics.keys().copied().collect()
    }

    /// What the desired state depends on.
    pub fn facts(&self) -> HostFacts {
        let link = |(index, name): &(u32, String)| {
            let mtu = self.host.links.get(name).map_or(MTU, |link| link.mtu);
            EniLink { index: *index, name: name.clone(), mtu }
        };
        HostFacts {
            enis: self.nics.iter().map(|(mac, nic)| (*mac, link(nic))).collect(),
            primary: self.primary,
        }
    }

    /// The host's side.
    pub fn host(&self) -> &Side {
        &self.host
    }

    /// Host ends of pods, sorted by name.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        select::endpoints(&self.host)
    }

    /// Makes changes in the host and one sandbox. All or none.
    pub fn apply(&mut self, container: Option<&ContainerId>, ops: &[NetOp]) -> io::Result<()> {
        self.within(container, |state| {
            for (done, op) in ops.iter().enumerate() {
                if let Err(error) = change(state, op) {
                    for op in ops[..done].iter().rev().filter_map(NetOp::inverse) {
                        // What cannot be undone was not done by us.
                        let _ = change(state, &op);
                    }
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    /// Makes one change on the host, or refuses it.
    pub fn one(&mut self, op: &NetOp) -> io::Result<()> {
        self.within(None, |state| change(state, op))
    }

    fn within<T>(&mut self, container: Option<&ContainerId>, work: impl FnOnce(&mut NetState) -> T) -> T {
        let pod = container.and_then(|container| self.pods.remove(container)).unwrap_or_default();
        let mut state = NetState { host: std::mem::take(&mut self.host), pod };
        let outcome = work(&mut state);
        self.host = state.host;
        if let Some(container) = container {
            self.pods.insert(container.clone(), state.pod);
        }
        outcome
    }

    /// What the plugin does for ADD: looks, and makes what is missing. All or nothing.
    pub fn add_pod(&mut self, net: &PodNet) -> io::Result<()> {
        let facts = self.facts();
        let wanted = desired(net, &facts).map_err(io::Error::other)?;
        let actual = self.observe(net);
        let ops = diff_new(&actual, &wanted)
            .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
        self.apply(Some(&net.container), &ops)
    }

    /// What is there of one pod's interface.
    pub fn observe(&self, net: &PodNet) -> NetState {
        let link = name::host_veth_name(&net.pod, &net.ifname);
        let ips: Vec<IpAddr> = net.ips.iter().collect();
        let absent = Side::default();
        let pod = self.pods.get(&net.container).unwrap_or(&absent);
        NetState { host: select::of_pod(&self.host, &link, &ips), pod: select::inside(pod, net) }
    }

    /// What the plugin does for DEL, and the end of the sandbox's namespace.
    pub fn remove_pod(&mut self, container: &ContainerId) {
        let Some(pod) = self.pods.get(container) else { return };
        let ips: Vec<IpNet> = pod.addresses.iter().map(|address| address.net).collect();
        self.remove_sandbox(container);
        self.host.rules.retain(|rule| !ips.contains(&rule.select.net()));
    }

    /// The end of a sandbox's namespace: its links go with all that is on them.
    pub fn remove_sandbox(&mut self, container: &ContainerId) {
        if self.pods.remove(container).is_none() {
            return;
        }
        let ours = |name: &str, link: &Link| {
            name::owner(name, link.alias.as_deref(), link.mac).is_some_and(|(owner, _)| owner == *container)
        };
        let links = self.host.links.iter().filter(|(name, link)| ours(name, link));
        let names: Vec<String> = links.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.host.remove_link(&name);
        }
    }

    /// Changes that make an ENI what it is to be.
    pub fn set_up(&self, nic: &Nic) -> io::Result<Vec<NetOp>> {
        let (eni, facts) = (eni_net(nic), self.facts());
        let wanted = desired_eni(&eni, &facts).map_err(|error| match error {
            DesiredError::NoEni { .. } => io::Error::new(io::ErrorKind::NotFound, error),
            error => io::Error::other(error),
        })?;
        Ok(difference::repair_eni(&self.of_eni(&eni, &facts), &wanted))
    }

    /// Changes that take from an ENI what [`Self::set_up`] gave it.
    pub fn tear_down(&self, nic: &Nic) -> io::Result<Vec<NetOp>> {
        let (eni, facts) = (eni_net(nic), self.facts());
        let Ok(wanted) = desired_eni(&eni, &facts) else { return Ok(Vec::new()) };
        Ok(difference::take_back(&self.of_eni(&eni, &facts), &wanted))
    }

    fn of_eni(&self, eni: &EniNet, facts: &HostFacts) -> Side {
        let Some(link) = facts.enis.get(&eni.mac) else { return Side::default() };
        let gateways: Vec<IpAddr> = eni.gateway.iter().collect();
        select::of_eni(&self.host, &link.name, &gateways)
    }

    /// Follows a packet from a sandbox to an address, and says why where it gets lost.
    pub fn walk(&self, from: &ContainerId, src: IpAddr, dst: IpAddr) -> Result<Exit, String> {
        let pod = self.pods.get(from).ok_or("the sandbox has no namespace")?;
        if !pod.addresses.iter().any(|address| address.net.addr() == src) {
            return Err(format!("the pod does not have {src}"));
        }
        let route = lookup(pod, MAIN_TABLE, dst).ok_or("the pod has no route")?;
        let hop = route.via.unwrap_or(dst);
        let link = pod.links.get(&route.dev).filter(|link| link.up).ok_or("the pod's link is down")?;
        let LinkKind::Veth { peer: Some(peer) } = &link.kind else {
            return Err("the pod's link has no other end".into());
        };
        let end = self.host.links.get(peer).filter(|end| end.up).ok_or("the host's end is down or gone")?;
        let knows = pod.neighbours.iter().find(|it| it.dev == route.dev && it.ip == hop);
        if knows.is_none_or(|neighbour| neighbour.mac != end.mac) {
            return Err(format!("the pod does not know the hardware address of {hop}"));
        }
        self.forward(src, dst)
    }

    /// What the host does with a packet that comes from a pod.
    fn forward(&self, src: IpAddr, dst: IpAddr) -> Result<Exit, String> {
        let family = if src.is_ipv4() { "ipv4" } else { "ipv6" };
        if self.host.sysctls.get(&format!("net/{family}/conf/all/forwarding")) != Some(&1) {
            return Err("the host does not forward".into());
        }
        let matches = |select: Select| match select {
            Select::To(net) => net.contains(&dst),
            Select::From(net) => net.contains(&src),
        };
        let tables = self.host.rules.iter().filter(|rule| matches(rule.select)).map(|rule| rule.table);
        let route = tables.chain([MAIN_TABLE]).find_map(|table| lookup(&self.host, table, dst));
        let Some(route) = route else {
            // The primary NIC's own default route is not modelled: the node had it before us.
            return self.primary.map(Exit::Nic).ok_or_else(|| "no route".into());
        };
        let link = self.host.links.get(&route.dev).ok_or("the route's link is gone")?;
        if !link.up {
            return Err(format!("{} is down", route.dev));
        }
        if link.kind == LinkKind::Nic {
            return Ok(Exit::Nic(link.mac));
        }
        let owner = name::owner(&route.dev, link.alias.as_deref(), link.mac);
        let (container, _) = owner.ok_or_else(|| format!("{} is nobody's", route.dev))?;
        let pod = self.pods.get(&container).ok_or("the sandbox behind the link is gone")?;
        if pod.addresses.iter().any(|address| address.net.addr() == dst) {
            Ok(Exit::Pod(container))
        } else {
            Err(format!("the pod behind {} does not have {dst}", route.dev))
        }
    }
}

fn eni_net(nic: &Nic) -> EniNet {
    EniNet { mac: nic.mac, gateway: nic.gateway, node_ip: Ipv4Addr::new(192, 0, 2, 1), mtu: MTU, pins: None }
}

/// Makes one change, or refuses it.
fn change(state: &mut NetState, op: &NetOp) -> io::Result<()> {
    if let Some(errno) = refusal(&op.change, state.side(op.place), state.side(op.place.other())) {
        let source = io::Error::from(errno);
        return Err(io::Error::new(source.kind(), format!("cannot {op}: {source}")));
    }
    op.change(state);
    if let Change::SetUp { dev, up: false } = &op.change {
        flush(state.side_mut(op.place), dev);
    }
    Ok(())
}

fn lookup(side: &Side, table: u32, dst: IpAddr) -> Option<&terway_dataplane::state::Route> {
    let routes = side.routes.iter().filter(|route| route.table == table && route.dst.contains(&dst));
    routes.max_by_key(|route| route.dst.prefix_len())
}

/// A link that goes down keeps its addresses of IPv4, and loses its routes and its neighbours.
fn flush(side: &mut Side, dev: &str) {
    side.routes.retain(|route| route.dev != dev);
    side.neighbours.retain(|neighbour| neighbour.dev != dev);
    side.addresses.retain(|address| address.dev != dev || address.net.addr().is_ipv4());
}

/// What the kernel says to a change that it does not make.
fn refusal(change: &Change, here: &Side, there: &Side) -> Option<Errno> {
    let link = |dev: &str| here.links.get(dev);
    match change {
        Change::AddVeth { name, link: end, .. } => {
            let LinkKind::Veth { peer: Some(peer) } = &end.kind else { return Some(Errno::INVAL) };
            (link(name).is_some() || there.links.contains_key(peer)).then_some(Errno::EXIST)
        }
        Change::DelLink { name, .. } => match link(name).map(|link| &link.kind) {
            None => Some(Errno::NODEV),
            Some(LinkKind::Nic) => Some(Errno::OPNOTSUPP),
            Some(LinkKind::Veth { .. }) => None,
        },
        Change::SetMtu { dev, .. }
        | Change::SetMac { dev, .. }
        | Change::SetAlias { dev, .. }
        | Change::SetUp { dev, .. } => link(dev).is_none().then_some(Errno::NODEV),
        Change::SetSysctl { .. } => None,
        Change::Add(object) => refused_object(object, here),
        Change::Del(object) => (!here.has(object)).then_some(match object {
            Object::Address(_) => Errno::ADDRNOTAVAIL,
            Object::Route(_) => Errno::SRCH,
            _ => Errno::NOENT,
        }),
    }
}

fn refused_object(object: &Object, here: &Side) -> Option<Errno> {
    if let Some(dev) = object.dev() {
        let Some(link) = here.links.get(dev) else { return Some(Errno::NODEV) };
        if matches!(object, Object::Route(_)) && !link.up {
            return Some(Errno::NETDOWN);
        }
    }
    let taken = match object {
        Object::Route(route) => {
            here.routes.iter().any(|other| (other.table, other.dst) == (route.table, route.dst))
        }
        Object::Address(address) => here
            .addresses
            .iter()
            .any(|other| other.dev == address.dev && other.net.addr() == address.net.addr()),
        object => here.has(object),
    };
    taken.then_some(Errno::EXIST)
}

#[cfg(test)]
mod tests {
    use terway_core::{
        address::PodIps,
        host::{Bandwidth, Gateways},
        id::PodKey,
    };
    use terway_dataplane::state::{Place, Rule};

    use super::*;

    const PRIMARY: Mac = Mac([0, 0x16, 0x3e, 0, 0, 1]);
    const ENI: Mac = Mac([0, 0x16, 0x3e, 0, 0, 2]);

    #[test]
    fn a_packet_leaves_by_the_eni_that_has_its_source_and_is_lost_where_that_is_broken() {
        let mut kernel = Kernel::new(PRIMARY);
        kernel.plug(ENI);
        let gateway = Gateways { v4: [10, 0, 0, 253].into(), v6: None };
        let ops = kernel.set_up(&Nic { mac: ENI, gateway }).expect("there");
        kernel.apply(None, &ops).expect("applied");
        let pod = |n: u8| PodNet {
            pod: PodKey::new("default", format!("pod-{n}")),
            container: format!("sandbox-{n}").into(),
            ifname: "eth0".into(),
            ips: PodIps { v4: [10, 0, 0, n].into(), v6: None },
            eni_mac: ENI,
            gateway,
            mtu: 0,
            default_route: true,
            extra_routes: Vec::new(),
            bandwidth: Bandwidth::default(),
            guard: None,
        };
        for n in [1, 2] {
            kernel.add_pod(&pod(n)).expect("built");
        }
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let outside = IpAddr::from([198, 51, 100, 1]);
        let walk = |kernel: &Kernel, to| kernel.walk(&pod(1).container, ip(1), to);
        assert_eq!(walk(&kernel, ip(2)), Ok(Exit::Pod(pod(2).container)));
        assert_eq!(walk(&kernel, outside), Ok(Exit::Nic(ENI)));
        let from = |rule: &&Rule| rule.select == Select::From(ip(1).into());
        let rule = kernel.host().rules.iter().find(from).expect("there").clone();
        let del = NetOp::new(Place::Host, Change::Del(Object::Rule(rule)));
        kernel.one(&del).expect("removed");
        assert_eq!(walk(&kernel, outside), Ok(Exit::Nic(PRIMARY)), "the VPC would drop it there");
        kernel.remove_pod(&pod(2).container);
        assert_eq!(walk(&kernel, ip(2)), Ok(Exit::Nic(PRIMARY)));
    }

    #[test]
    fn enis_of_one_vswitch_are_set_up_beside_each_other() {
        let mut kernel = Kernel::new(PRIMARY);
        let gateway = Gateways { v4: [10, 0, 0, 253].into(), v6: "2001:db8::fd".parse().ok() };
        for mac in [ENI, Mac([0, 0x16, 0x3e, 0, 0, 3])] {
            kernel.plug(mac);
            let nic = Nic { mac, gateway };
            let ops = kernel.set_up(&nic).expect("there");
            kernel.apply(None, &ops).expect("applied");
            assert_eq!(kernel.set_up(&nic).expect("there"), []);
        }
    }
}
