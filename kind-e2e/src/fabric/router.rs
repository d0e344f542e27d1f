//! The router's namespace before anything is plugged in: gateways, services, the way out.
//!
//! Gateways and services are addresses of its loopback link: a router answers for them on every port. Of IPv6 it
//! does so only for addresses of the port itself, which each port has therefore.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use terway_core::id::Mac;
use terway_dataplane::{
    linux::direct,
    op::{Change, NetOp, Object},
    state::{Address, Link, LinkKind, MAIN_TABLE, Place, Route},
};

use super::guard::Guard;
use crate::{
    netns::Netns,
    spec::{API, METADATA, OPENAPI, OUTSIDE, OUTSIDE_V6},
};

/// The router's link to what is outside, and its other end.
const WAY_OUT: &str = "out0";
/// The link of a host that has one.
const ETH0: &str = "eth0";
/// Hardware addresses of the two.
const MACS: [Mac; 2] = [Mac([0xee, 0, 0, 0, 0, 1]), Mac([0xee, 0, 0, 0, 0, 2])];

/// Sets the router up, with a host outside; gives the guard that holds from now on.
pub(super) fn set_up(
    router: &Netns,
    outside: &Netns,
    gateways: &[IpAddr],
    mtu: u32,
) -> Result<Guard, super::FabricError> {
    let host = |change| NetOp::new(Place::Host, change);
    let beyond = |change| NetOp::new(Place::Pod, change);
    let end = |mac, peer: &str| veth(mac, peer, mtu);
    let pair =
        Change::AddVeth { name: WAY_OUT.into(), link: end(MACS[0], ETH0), peer: end(MACS[1], WAY_OUT) };
    let mut ops = vec![host(up("lo")), beyond(up("lo")), host(pair)];
    ops.extend(forwarding().map(host));
    ops.extend(port_settings(WAY_OUT).map(host));
    let dad = format!("net/ipv6/conf/{ETH0}/accept_dad");
    ops.push(beyond(Change::SetSysctl { key: dad, from: None, to: 0 }));
    ops.extend([host(up(WAY_OUT)), beyond(up(ETH0))]);
    let services = [METADATA, OPENAPI, API.0].map(IpAddr::V4);
    for ip in gateways.iter().copied().filter(IpAddr::is_ipv4).chain(services) {
        ops.push(host(address("lo", ip.into())));
    }
    let nets = |ips: [IpAddr; 2], length| {
        ips.map(|ip| IpNet::new(ip, length).expect("such lengths are those of their family"))
    };
    for (ips, length) in [(OUTSIDE.map(IpAddr::V4), 24), (OUTSIDE_V6.map(IpAddr::V6), 64)] {
        let [there, here] = nets(ips, length);
        ops.push(host(address(WAY_OUT, here)));
        ops.push(beyond(address(ETH0, there)));
        ops.push(beyond(default_route(ETH0, here.addr())));
    }
    let guard = router.run(|| {
        direct::apply(outside.path(), &ops).map_err(io::Error::other)?;
        Guard::new(&[link_index("lo")?, link_index(WAY_OUT)?]).map_err(io::Error::other)
    });
    guard.map_err(|source| super::FabricError::new("set up the router", source))
}

/// Settings of the namespace as a whole. What is spoofed is the guard's business: a reverse path check would also
/// refuse ARP, see there.
fn forwarding() -> impl Iterator<Item = Change> {
    let all = ["all", "default"].into_iter().flat_map(|scope| {
        [
            (format!("net/ipv4/conf/{scope}/forwarding"), 1),
            (format!("net/ipv4/conf/{scope}/rp_filter"), 0),
            (format!("net/ipv4/conf/{scope}/send_redirects"), 0),
            (format!("net/ipv6/conf/{scope}/forwarding"), 1),
            (format!("net/ipv6/conf/{scope}/disable_ipv6"), 0),
        ]
    });
    all.map(|(key, to)| Change::SetSysctl { key, from: None, to })
}

/// Settings of one port. It answers ARP for whatever it knows a way to: neighbours in a vSwitch reach each other
/// through the router. The kernel would wait up to 0.8 s before such an answer.
pub(super) fn port_settings(port: &str) -> impl Iterator<Item = Change> + use<> {
    [
        (format!("net/ipv4/conf/{port}/forwarding"), 1),
        (format!("net/ipv4/conf/{port}/rp_filter"), 0),
        (format!("net/ipv4/conf/{port}/send_redirects"), 0),
        (format!("net/ipv4/conf/{port}/proxy_arp"), 1),
        (format!("net/ipv4/neigh/{port}/proxy_delay"), 0),
        (format!("net/ipv6/conf/{port}/forwarding"), 1),
        (format!("net/ipv6/conf/{port}/accept_ra"), 0),
        // Or the port could not ask for neighbours in its first second.
        (format!("net/ipv6/conf/{port}/accept_dad"), 0),
    ]
    .into_iter()
    .map(|(key, to)| Change::SetSysctl { key, from: None, to })
}

pub(super) fn veth(mac: Mac, peer: &str, mtu: u32) -> Link {
    Link { mac, mtu, up: true, alias: None, index: 0, kind: LinkKind::Veth { peer: Some(peer.into()) } }
}

pub(super) fn up(dev: &str) -> Change {
    Change::SetUp { dev: dev.into(), up: true }
}

pub(super) fn address(dev: &str, net: IpNet) -> Change {
    Change::Add(Object::Address(Address { dev: dev.into(), net }))
}

pub(super) fn default_route(dev: &str, via: IpAddr) -> Change {
    let all: IpAddr = if via.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let dst = IpNet::new(all, 0).expect("no bits are a length");
    Change::Add(Object::Route(Route { table: MAIN_TABLE, dst, dev: dev.into(), via: Some(via) }))
}

/// Index of a link of the calling thread's namespace.
pub(super) fn link_index(name: &str) -> io::Result<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(name_to_index(any, name)?)
}
