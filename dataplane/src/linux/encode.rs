//! Changes as netlink requests.
//!
//! What is added must not be there (`NLM_F_EXCL`): a diff says that it is missing, and what it did not see it must
//! not overwrite. What is removed is named as closely as the kernel allows.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use ipnet::IpNet;
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Message,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
    tc::{TcAttribute, TcHandle, TcMessage},
};
use terway_core::id::Mac;

use super::tbf;
use crate::{
    op::{Change, Object},
    state::{Address, Link, LinkKind, Neighbour, Qdisc, QdiscKind, Route, Rule, Select},
};

/// A message to the kernel, or from it.
pub(crate) type Packet = NetlinkMessage<Message>;

/// Handle of the root queue that we set: the original's `1:`.
const ROOT_HANDLE: TcHandle = TcHandle { major: 1, minor: 0 };

/// Most bytes of a link's alias (`IFALIASZ` and its end mark).
const ALIAS_MAX: usize = 255;

/// Why a change cannot be said to the kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// A link that is not there.
    #[error("there is no link `{0}`")]
    NoLink(String),
    /// A pair whose other end has no name, or no namespace to be born in.
    #[error("veth pair `{0}` has no other end, or no namespace for it")]
    NoPeer(String),
    /// A queue that we do not make.
    #[error("queueing discipline `{0}` cannot be set here; allowed is `tbf`")]
    Qdisc(String),
    /// What is not netlink's.
    #[error("program `{0}` is not put on a link by a request")]
    Program(String),
    /// An alias that the kernel would refuse.
    #[error("alias of {0} bytes is too long; at most {ALIAS_MAX} are allowed")]
    Alias(usize),
}

/// What a request's names mean: interface indexes, and the namespace that a pair's other end is born in.
pub(crate) struct Names<'a> {
    pub(crate) index: &'a dyn Fn(&str) -> Option<u32>,
    pub(crate) other: Option<BorrowedFd<'a>>,
}

impl Names<'_> {
    fn index(&self, dev: &str) -> Result<u32, EncodeError> {
        (self.index)(dev).ok_or_else(|| EncodeError::NoLink(dev.into()))
    }
}

/// A change as one request, to be acknowledged. Settings and programs are not netlink's: None.
pub(crate) fn request(change: &Change, names: &Names<'_>) -> Result<Option<Packet>, EncodeError> {
    let create = NLM_F_CREATE | NLM_F_EXCL;
    let (message, flags) = match change {
        Change::SetSysctl { .. } | Change::Add(Object::Program(_)) | Change::Del(Object::Program(_)) => {
            return Ok(None);
        }
        // Echoed: the answer tells the indexes.
        Change::AddVeth { name, link, peer } => {
            (Message::NewLink(pair(name, link, peer, names)?), create | NLM_F_ECHO)
        }
        Change::DelLink { name, .. } => (Message::DelLink(link(names.index(name)?)), 0),
        Change::SetMtu { dev, to, .. } => (set_link(names.index(dev)?, LinkAttribute::Mtu(*to)), 0),
        Change::SetMac { dev, to, .. } => {
            (set_link(names.index(dev)?, LinkAttribute::Address(to.0.to_vec())), 0)
        }
        Change::SetAlias { to, .. } if to.len() > ALIAS_MAX => return Err(EncodeError::Alias(to.len())),
        Change::SetAlias { dev, to, .. } => {
            (set_link(names.index(dev)?, LinkAttribute::IfAlias(to.clone())), 0)
        }
        Change::SetUp { dev, up } => {
            let mut message = link(names.index(dev)?);
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if *up { LinkFlags::Up } else { LinkFlags::empty() };
            (Message::SetLink(message), 0)
        }
        Change::Add(object) => (object_request(object, true, names)?, create),
        Change::Del(object) => (object_request(object, false, names)?, 0),
    };
    Ok(Some(packet(message, NLM_F_REQUEST | NLM_F_ACK | flags)))
}

/// The request for one link by its name.
pub(crate) fn get_link(name: &str) -> Packet {
    let mut message = brief();
    message.attributes.push(LinkAttribute::IfName(name.into()));
    packet(Message::GetLink(message), NLM_F_REQUEST)
}

/// The request for one link by its index.
pub(crate) fn get_link_at(index: u32) -> Packet {
    let mut message = brief();
    message.header.index = index;
    packet(Message::GetLink(message), NLM_F_REQUEST)
}

/// Asks for links without their counters, which are most of a description and cost the kernel most.
fn brief() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

/// The dump of IPv4 addresses, the shortest list of links that somebody uses.
pub(crate) fn addresses_v4() -> Packet {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    packet(Message::GetAddress(message), NLM_F_REQUEST | NLM_F_DUMP)
}

/// The dump of one family's rules.
pub(crate) fn rules(ip: IpAddr) -> Packet {
    let mut message = RuleMessage::default();
    message.header.family = family(ip);
    packet(Message::GetRule(message), NLM_F_REQUEST | NLM_F_DUMP)
}

/// The question which route leads to an address: the route itself, not what it comes to.
pub(crate) fn route_to(ip: IpAddr) -> Packet {
    let mut message = RouteMessage::default();
    message.header.address_family = family(ip);
    message.header.destination_prefix_length = if ip.is_ipv4() { 32 } else { 128 };
    message.header.flags = RouteFlags::FibMatch | RouteFlags::LookupTable;
    message.attributes.push(RouteAttribute::Destination(ip.into()));
    packet(Message::GetRoute(message), NLM_F_REQUEST)
}

/// The dumps that a snapshot is made of, links first. Each family on its own: the kernel may cut short a dump of
/// all families at once.
pub(crate) fn dumps() -> Vec<Packet> {
    let mut requests = vec![Message::GetLink(brief())];
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut address = AddressMessage::default();
        address.header.family = family;
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        let mut rule = RuleMessage::default();
        rule.header.family = family;
        let mut neighbour = NeighbourMessage::default();
        neighbour.header.family = family;
        requests.extend([
            Message::GetAddress(address),
            Message::GetRoute(route),
            Message::GetRule(rule),
            Message::GetNeighbour(neighbour),
        ]);
    }
    requests.push(Message::GetQueueDiscipline(TcMessage::default()));
    requests.into_iter().map(|message| packet(message, NLM_F_REQUEST | NLM_F_DUMP)).collect()
}

fn packet(message: Message, flags: u16) -> Packet {
    let mut packet = Packet::from(message);
    packet.header.flags = flags;
    packet
}

fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn set_link(index: u32, attribute: LinkAttribute) -> Message {
    let mut message = link(index);
    message.attributes.push(attribute);
    Message::SetLink(message)
}

/// Both ends in one request, so that no end is ever seen without its name, MAC or MTU.
fn pair(name: &str, link: &Link, peer: &Link, names: &Names<'_>) -> Result<LinkMessage, EncodeError> {
    let missing = || EncodeError::NoPeer(name.into());
    let LinkKind::Veth { peer: Some(peer_name) } = &link.kind else { return Err(missing()) };
    let netns = names.other.ok_or_else(missing)?;
    let mut other = end(peer_name, peer);
    other.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
    let mut message = end(name, link);
    message.header.index = link.index;
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
    ]));
    Ok(message)
}

fn end(name: &str, link: &Link) -> LinkMessage {
    let mut message = LinkMessage::default();
    let Mac(mac) = link.mac;
    message.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::Mtu(link.mtu),
        LinkAttribute::Address(mac.to_vec()),
    ];
    message
}

fn object_request(object: &Object, add: bool, names: &Names<'_>) -> Result<Message, EncodeError> {
    let index = |dev: &str| names.index(dev);
    Ok(match (object, add) {
        (Object::Address(it), true) => Message::NewAddress(address(it, index(&it.dev)?)),
        (Object::Address(it), false) => Message::DelAddress(address(it, index(&it.dev)?)),
        (Object::Neighbour(it), true) => Message::NewNeighbour(neighbour(it, index(&it.dev)?)),
        (Object::Neighbour(it), false) => Message::DelNeighbour(neighbour(it, index(&it.dev)?)),
        (Object::Route(it), true) => Message::NewRoute(route(it, index(&it.dev)?)),
        (Object::Route(it), false) => Message::DelRoute(any_of(route(it, index(&it.dev)?))),
        (Object::Rule(it), true) => Message::NewRule(rule(it)),
        (Object::Rule(it), false) => Message::DelRule(rule(it)),
        (Object::Qdisc(it), true) => Message::NewQueueDiscipline(new_qdisc(it, index(&it.dev)?)?),
        (Object::Program(it), _) => return Err(EncodeError::Program(it.to_string())),
        (Object::Qdisc(it), false) => Message::DelQueueDiscipline(qdisc(index(&it.dev)?)),
    })
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// IPv6 without duplicate detection: the cloud says whose the address is, and the pod must not wait a second.
fn address(it: &Address, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(it.net.addr());
    message.header.prefix_len = it.net.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(it.net.addr()), AddressAttribute::Address(it.net.addr())];
    if it.net.addr().is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

fn neighbour(it: &Neighbour, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(it.ip);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    let ip = match it.ip {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    };
    message.attributes =
        vec![NeighbourAttribute::Destination(ip), NeighbourAttribute::LinkLayerAddress(it.mac.0.to_vec())];
    message
}

fn route(it: &Route, index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(it.dst.addr());
    message.header.destination_prefix_length = it.dst.prefix_len();
    message.header.protocol = RouteProtocol::Boot;
    message.header.kind = RouteType::Unicast;
    message.header.scope =
        if it.via.is_none() && it.dst.addr().is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    message.header.table = u8::try_from(it.table).unwrap_or(0);
    message.attributes = vec![RouteAttribute::Table(it.table), RouteAttribute::Oif(index)];
    if it.dst.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(it.dst.addr().into()));
    }
    if let Some(via) = it.via {
        message.header.flags = RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(via.into()));
    }
    message
}

/// For removal: of any scope, kind and protocol, since we do not keep them.
fn any_of(mut message: RouteMessage) -> RouteMessage {
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unspec;
    message.header.protocol = RouteProtocol::Unspec;
    message.header.flags = RouteFlags::empty();
    message
}

fn rule(it: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let net: IpNet = it.select.net();
    message.header.family = family(net.addr());
    message.header.action = RuleAction::ToTable;
    message.header.table = u8::try_from(it.table).unwrap_or(0);
    message.attributes = vec![RuleAttribute::Priority(it.priority), RuleAttribute::Table(it.table)];
    match it.select {
        Select::To(net) => {
            message.header.dst_len = net.prefix_len();
            message.attributes.push(RuleAttribute::Destination(net.addr()));
        }
        Select::From(net) => {
            message.header.src_len = net.prefix_len();
            message.attributes.push(RuleAttribute::Source(net.addr()));
        }
    }
    message
}

fn qdisc(index: u32) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = TcHandle::ROOT;
    message
}

fn new_qdisc(it: &Qdisc, index: u32) -> Result<TcMessage, EncodeError> {
    const TCA_OPTIONS: u16 = 2;
    let QdiscKind::Tbf(bucket) = &it.kind else { return Err(EncodeError::Qdisc(it.kind.to_string())) };
    let mut message = qdisc(index);
    message.header.handle = ROOT_HANDLE;
    message.attributes = vec![
        TcAttribute::Kind("tbf".into()),
        TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, tbf::encode(bucket))),
    ];
    Ok(message)
}
