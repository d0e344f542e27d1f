//! The state that a pod or an ENI is to have: veth with policy routing, IPv4 and dual stack.
//!
//! The kernel objects are the original's, so that either can take over a node from the other. Two are added:
//! the host knows each pod as a permanent neighbour, so that nothing waits for the pod to answer (IPv6 cannot
//! even ask before the host end's link-local address has passed duplicate detection, a second or two), and
//! `net.ipv6.conf.all.forwarding` is set, without which the kernel forwards no IPv6 at all.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use ipnet::IpNet;
use terway_core::id::Mac;

use crate::{
    name,
    pod::{EniLink, EniNet, HostFacts, PodNet},
    state::{
        Address, Hook, Link, LinkKind, MAIN_TABLE, Neighbour, NetState, Program, Qdisc, QdiscKind, Route,
        Rule, Select, Side, Tbf,
    },
};

/// What pods of IPv4 have as their gateway: link-local, so the same for all.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// What pods of IPv6 have as their gateway.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Priority of the rule that keeps traffic to a pod in the main table, where its route is.
pub const TO_POD: u32 = 512;
/// Priority of the rule that sends traffic from a pod out of its own ENI.
pub const FROM_POD: u32 = 2048;
/// Table of an ENI: this and its interface index.
pub const ENI_TABLE_BASE: u32 = 1000;
/// Most characters of an interface's name (`IFNAMSIZ` and its end mark).
const NAME_MAX: usize = 15;
/// Least MTU that carries IPv6, and so the least we accept.
const MTU_MIN: u32 = 1280;
/// Largest MTU of a veth.
const MTU_MAX: u32 = 65535;

/// Why no state can be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// The ENI is not on the node.
    #[error("no interface has the mac {mac} of the eni; the node has {}", list(.present))]
    NoEni {
        /// Which one.
        mac: Mac,
        /// Those that are there.
        present: Vec<Mac>,
    },
    /// No MTU was given and the primary interface is not known.
    #[error("mtu 0 means that of the primary interface, and no interface carries the node's default route")]
    NoPrimary,
    /// MTU out of range.
    #[error("mtu {0} is not allowed; it is {MTU_MIN} to {MTU_MAX}")]
    Mtu(u32),
    /// Name that the kernel would refuse.
    #[error(
        "interface name `{0}` is not allowed; it has 1 to {NAME_MAX} characters, no `/`, no `:`, no space"
    )]
    IfName(String),
}

fn list(macs: &[Mac]) -> String {
    if macs.is_empty() {
        return "none".into();
    }
    macs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The table of the ENI with this interface index.
pub fn eni_table(index: u32) -> u32 {
    ENI_TABLE_BASE + index
}

/// The state that a pod is to have, on both sides.
pub fn desired(pod: &PodNet, facts: &HostFacts) -> Result<NetState, DesiredError> {
    check_name(&pod.ifname)?;
    let eni = eni_link(pod.eni_mac, facts)?;
    let mtu = mtu(pod.mtu, facts)?;
    let host_name = name::host_veth_name(&pod.pod, &pod.ifname);
    let mut state = NetState::default();
    links(&mut state, pod, &host_name, mtu);
    for ip in pod.ips.iter() {
        pod_side(&mut state.pod, pod, ip);
        host_side(&mut state.host, pod, &host_name, ip, eni_table(eni.index));
    }
    host_sysctls(&mut state.host, &[&host_name, &eni.name], pod.ips.v6.is_some());
    if let Some(guard) = &pod.guard {
        programs(&mut state.host, &host_name, &Hook::POD, &guard.pins);
    }
    bucket(&mut state.pod, &pod.ifname, pod.bandwidth.egress, mtu);
    bucket(&mut state.host, &host_name, pod.bandwidth.ingress, mtu);
    Ok(state)
}

/// The state that an ENI is to have on the host: up, answering from the node's address, its own table leading
/// to its own gateway.
pub fn desired_eni(eni: &EniNet, facts: &HostFacts) -> Result<Side, DesiredError> {
    let link = eni_link(eni.mac, facts)?;
    let dev = &link.name;
    let mut side = Side::default();
    let mtu = mtu(eni.mtu, facts)?;
    side.links.insert(
        dev.clone(),
        Link { mac: eni.mac, mtu, up: true, alias: None, index: 0, kind: LinkKind::Nic },
    );
    side.addresses.insert(Address { dev: dev.clone(), net: host_net(eni.node_ip.into()) });
    let table = eni_table(link.index);
    for gateway in eni.gateway.iter() {
        // In the ENI's own table: several ENIs of a vSwitch have one gateway, and a table takes one route to it.
        if gateway.is_ipv6() {
            let dst = host_net(gateway);
            side.routes.insert(Route { table, dst, dev: dev.clone(), via: None });
        }
        let dst = default_of(gateway);
        side.routes.insert(Route { table, dst, dev: dev.clone(), via: Some(gateway) });
    }
    if let Some(pins) = &eni.pins {
        programs(&mut side, dev, &[Hook::Exit], pins);
    }
    let v6 = eni.gateway.v6.is_some();
    if v6 {
        set(&mut side, format!("net/ipv6/conf/{dev}/accept_ra"), 0);
        // The node asks for the gateway in the name of the link's own address. While that is checked for duplicates,
        // for two seconds after the ENI is up, it could not, and no pod would get a packet out.
        set(&mut side, format!("net/ipv6/conf/{dev}/accept_dad"), 0);
    }
    host_sysctls(&mut side, &[dev], v6);
    Ok(side)
}

fn links(state: &mut NetState, pod: &PodNet, host_name: &str, mtu: u32) {
    let end = |mac, alias, peer: &str| Link {
        mac,
        mtu,
        up: true,
        alias,
        index: 0,
        kind: LinkKind::Veth { peer: Some(peer.to_string()) },
    };
    let alias = name::alias(&pod.container, &pod.ifname);
    let mut host = end(name::host_mac(&pod.container, &pod.ifname), Some(alias), &pod.ifname);
    host.index = pod.guard.as_ref().map_or(0, |guard| guard.link);
    let inner = end(name::pod_mac(&pod.container, &pod.ifname), None, host_name);
    state.host.links.insert(host_name.to_string(), host);
    state.pod.links.insert(pod.ifname.clone(), inner);
}

fn pod_side(side: &mut Side, pod: &PodNet, ip: IpAddr) {
    let dev = &pod.ifname;
    let gateway = gateway_of(ip);
    let mac = name::host_mac(&pod.container, dev);
    side.addresses.insert(Address { dev: dev.clone(), net: host_net(ip) });
    side.neighbours.insert(Neighbour { dev: dev.clone(), ip: gateway, mac });
    let mut route = |dst, via| {
        side.routes.insert(Route { table: MAIN_TABLE, dst, dev: dev.clone(), via });
    };
    if pod.default_route {
        route(default_of(ip), Some(gateway));
    }
    let mut extra = extra_routes(pod, ip).peekable();
    if extra.peek().is_some() {
        route(host_net(gateway), None);
    }
    for dst in extra {
        route(dst, Some(gateway));
    }
    if ip.is_ipv6() {
        for scope in ["lo", "all", "default", dev] {
            set(side, format!("net/ipv6/conf/{scope}/disable_ipv6"), 0);
        }
        set(side, format!("net/ipv6/conf/{dev}/accept_ra"), 0);
    }
}

fn host_side(side: &mut Side, pod: &PodNet, dev: &str, ip: IpAddr, table: u32) {
    let net = host_net(ip);
    let mac = name::pod_mac(&pod.container, &pod.ifname);
    side.neighbours.insert(Neighbour { dev: dev.into(), ip, mac });
    side.routes.insert(Route { table: MAIN_TABLE, dst: net, dev: dev.into(), via: None });
    if extra_routes(pod, ip).next().is_some() {
        side.addresses.insert(Address { dev: dev.into(), net: host_net(gateway_of(ip)) });
    }
    side.rules.insert(Rule { priority: TO_POD, select: Select::To(net), table: MAIN_TABLE });
    side.rules.insert(Rule { priority: FROM_POD, select: Select::From(net), table });
}

/// Destinations of the pod's own choice in the family of `ip`; the default route is not one of them twice.
fn extra_routes(pod: &PodNet, ip: IpAddr) -> impl Iterator<Item = IpNet> {
    pod.extra_routes
        .iter()
        .map(IpNet::trunc)
        .filter(move |dst| dst.addr().is_ipv4() == ip.is_ipv4())
        .filter(move |dst| !(pod.default_route && dst.prefix_len() == 0))
}

/// What the host needs to route between links that are not each other's way back.
fn host_sysctls(side: &mut Side, links: &[&str], v6: bool) {
    for scope in ["all", "default"].iter().chain(links) {
        set(side, format!("net/ipv4/conf/{scope}/forwarding"), 1);
        set(side, format!("net/ipv4/conf/{scope}/rp_filter"), 0);
    }
    if !v6 {
        return;
    }
    set(side, "net/ipv6/conf/all/forwarding".into(), 1);
    for link in links {
        set(side, format!("net/ipv6/conf/{link}/forwarding"), 1);
        set(side, format!("net/ipv6/conf/{link}/disable_ipv6"), 0);
    }
}

fn set(side: &mut Side, key: String, value: u32) {
    side.sysctls.insert(key, value);
}

fn programs(side: &mut Side, dev: &str, hooks: &[Hook], pins: &Path) {
    let on_link = |hook: &Hook| Program { dev: dev.into(), hook: *hook, pins: pins.into() };
    side.programs.extend(hooks.iter().map(on_link));
}

fn bucket(side: &mut Side, dev: &str, rate: u64, mtu: u32) {
    if rate > 0 {
        side.qdiscs.insert(Qdisc { dev: dev.into(), kind: QdiscKind::Tbf(Tbf::new(rate, mtu)) });
    }
}

fn eni_link(mac: Mac, facts: &HostFacts) -> Result<&EniLink, DesiredError> {
    facts
        .enis
        .get(&mac)
        .ok_or_else(|| DesiredError::NoEni { mac, present: facts.enis.keys().copied().collect() })
}

fn mtu(given: u32, facts: &HostFacts) -> Result<u32, DesiredError> {
    let mtu = if given == 0 { facts.primary_mtu().ok_or(DesiredError::NoPrimary)? } else { given };
    if (MTU_MIN..=MTU_MAX).contains(&mtu) { Ok(mtu) } else { Err(DesiredError::Mtu(mtu)) }
}

/// As the kernel's `dev_valid_name`.
fn check_name(ifname: &str) -> Result<(), DesiredError> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if ifname.is_empty() || ifname.len() > NAME_MAX || ifname == "." || ifname == ".." || ifname.contains(bad)
    {
        return Err(DesiredError::IfName(ifname.to_string()));
    }
    Ok(())
}

fn gateway_of(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { GATEWAY_V4.into() } else { GATEWAY_V6.into() }
}

fn default_of(ip: IpAddr) -> IpNet {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new(any, 0).expect("0 is a prefix length of every family")
}

/// The network of one address.
pub(crate) fn host_net(ip: IpAddr) -> IpNet {
    IpNet::from(ip)
}

#[cfg(test)]
pub(crate) mod tests;
