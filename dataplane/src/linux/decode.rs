//! Netlink's answers as values. What the kernel makes by itself is passed over here, so that it is nobody's
//! difference.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Nla;
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
    tc::{TcAttribute, TcHandle, TcMessage, TcOption},
};
use terway_core::id::Mac;

use super::tbf;
use crate::state::{Address, Link, LinkKind, Neighbour, Qdisc, QdiscKind, Route, Rule, Select};

/// A link as a dump shows it.
#[derive(Clone, Debug)]
pub(crate) struct SeenLink {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) link: Link,
    /// Index of a pair's other end, in its own namespace.
    pub(crate) peer: Option<u32>,
    /// Whether the kernel knows a kind, as it does for all that is not hardware.
    pub(crate) virtual_kind: bool,
    /// Whether it can have the hardware address of another link that it stands on, as bridges and bonds do.
    pub(crate) stacked: bool,
}

/// A link with an Ethernet address; loopback and tunnels are none of ours.
pub(crate) fn link(message: &LinkMessage) -> Option<SeenLink> {
    let header = &message.header;
    if header.link_layer_type != LinkLayerType::Ether || header.flags.contains(LinkFlags::Loopback) {
        return None;
    }
    let (mut name, mut mac, mut mtu, mut alias, mut peer, mut kind) = (None, None, None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(it) => name = Some(it.clone()),
            LinkAttribute::Address(it) => mac = <[u8; 6]>::try_from(it.as_slice()).ok(),
            LinkAttribute::Mtu(it) => mtu = Some(*it),
            LinkAttribute::IfAlias(it) => alias = Some(it.clone()).filter(|it| !it.is_empty()),
            LinkAttribute::Link(it) => peer = Some(*it),
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.clone()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let veth = kind == Some(InfoKind::Veth);
    let link = Link {
        mac: Mac(mac?),
        mtu: mtu?,
        up: header.flags.contains(LinkFlags::Up),
        alias,
        index: 0,
        kind: if veth { LinkKind::Veth { peer: None } } else { LinkKind::Nic },
    };
    let peer = peer.filter(|_| veth);
    let virtual_kind = kind.is_some();
    Some(SeenLink {
        index: header.index,
        name: name?,
        link,
        peer,
        virtual_kind,
        stacked: virtual_kind && !veth,
    })
}

/// An address that somebody gave: permanent, and not the link-local one that the kernel makes (a /64).
pub(crate) fn address(message: &AddressMessage, dev: &str) -> Option<Address> {
    let (mut local, mut other, mut flags) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => other = Some(*ip),
            AddressAttribute::Flags(it) => flags = Some(*it),
            _ => {}
        }
    }
    let flags = flags.unwrap_or(AddressFlags::from_bits_retain(message.header.flags.bits().into()));
    let net = IpNet::new(local.or(other)?, message.header.prefix_len).ok()?;
    let automatic =
        matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local() && net.prefix_len() == 64);
    (flags.contains(AddressFlags::Permanent) && !automatic).then(|| Address { dev: dev.into(), net })
}

/// Index of the link of a route, if it is of a kind that we describe.
pub(crate) fn route_index(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// A unicast route over one link that is neither the kernel's own nor learned from router advertisements.
pub(crate) fn route(message: &RouteMessage, dev: &str) -> Option<Route> {
    let header = &message.header;
    let automatic = [RouteProtocol::Kernel, RouteProtocol::Ra].contains(&header.protocol)
        || header.flags.contains(RouteFlags::Cloned);
    if header.kind != RouteType::Unicast || automatic || header.source_prefix_length > 0 {
        return None;
    }
    let (mut table, mut dst, mut via) = (u32::from(header.table), None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(it) => table = *it,
            RouteAttribute::Destination(it) => dst = Some(ip(it)?),
            RouteAttribute::Gateway(it) => via = Some(ip(it)?),
            _ => {}
        }
    }
    let any = if header.address_family == AddressFamily::Inet { [0u8; 4].into() } else { [0u8; 16].into() };
    let dst = IpNet::new(dst.unwrap_or(any), header.destination_prefix_length).ok()?;
    Some(Route { table, dst, dev: dev.into(), via })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// A default route's metric; lower is preferred.
pub(crate) fn metric(message: &RouteMessage) -> u32 {
    let metric = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    metric.unwrap_or(0)
}

/// A rule that selects on source or destination alone and looks up a table.
pub(crate) fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    if header.action != RuleAction::ToTable || header.tos != 0 {
        return None;
    }
    let (mut priority, mut table, mut select) = (0, u32::from(header.table), None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(it) => priority = *it,
            RuleAttribute::Table(it) => table = *it,
            RuleAttribute::Destination(ip) if select.is_none() && header.src_len == 0 => {
                select = Some(Select::To(IpNet::new(*ip, header.dst_len).ok()?));
            }
            RuleAttribute::Source(ip) if select.is_none() && header.dst_len == 0 => {
                select = Some(Select::From(IpNet::new(*ip, header.src_len).ok()?));
            }
            // Always there, whether or not they select.
            RuleAttribute::Protocol(_)
            | RuleAttribute::SuppressPrefixLen(u32::MAX)
            | RuleAttribute::Other(_) => {}
            _ => return None,
        }
    }
    Some(Rule { priority, select: select?, table })
}

/// A neighbour that was given, not learned.
pub(crate) fn neighbour(message: &NeighbourMessage, dev: &str) -> Option<Neighbour> {
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(it)) => ip = Some(IpAddr::from(*it)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(it)) => ip = Some(IpAddr::from(*it)),
            NeighbourAttribute::LinkLayerAddress(it) => mac = <[u8; 6]>::try_from(it.as_slice()).ok(),
            _ => {}
        }
    }
    Some(Neighbour { dev: dev.into(), ip: ip?, mac: Mac(mac?) })
}

/// A root queue that somebody set: those that the kernel sets have no handle.
pub(crate) fn qdisc(message: &TcMessage, dev: &str) -> Option<Qdisc> {
    if message.header.parent != TcHandle::ROOT || message.header.handle == TcHandle::UNSPEC {
        return None;
    }
    let (mut name, mut options) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(it) => name = Some(it.as_str()),
            TcAttribute::Options(it) => {
                options = it.iter().find_map(|option| match option {
                    TcOption::Other(nla) => Some(nla),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let name = name?;
    let bucket = options.filter(|_| name == "tbf").and_then(|nla| {
        let mut bytes = vec![0; nla.value_len()];
        nla.emit_value(&mut bytes);
        tbf::decode(&bytes)
    });
    let kind = bucket.map_or_else(|| QdiscKind::Other(name.into()), QdiscKind::Tbf);
    Some(Qdisc { dev: dev.into(), kind })
}
