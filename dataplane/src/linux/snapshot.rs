//! A namespace's state, put together from the answers to the dumps.

use std::collections::BTreeMap;

use netlink_packet_route::RouteNetlinkMessage as Message;
use terway_core::id::Mac;

use super::decode::{self, SeenLink};
use crate::{
    name,
    op::Object,
    pod::{EniLink, HostFacts},
    state::{LinkKind, MAIN_TABLE, Side},
};

/// What was seen in a namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    links: BTreeMap<u32, SeenLink>,
    side: Side,
    /// Link of the preferred default route with its family and metric.
    default: Option<((bool, u32), u32)>,
}

impl Snapshot {
    /// Takes in one answer. Links come before what is on them.
    pub(crate) fn take(&mut self, message: &Message) {
        match message {
            Message::NewLink(it) => {
                if let Some(seen) = decode::link(it) {
                    self.side.links.insert(seen.name.clone(), seen.link.clone());
                    self.links.insert(seen.index, seen);
                }
            }
            Message::NewAddress(it) => {
                self.object(it.header.index, |dev| decode::address(it, dev).map(Object::Address));
            }
            Message::NewNeighbour(it) => {
                self.object(it.header.ifindex, |dev| decode::neighbour(it, dev).map(Object::Neighbour));
            }
            Message::NewQueueDiscipline(it) => {
                self.object(it.header.index.cast_unsigned(), |dev| decode::qdisc(it, dev).map(Object::Qdisc));
            }
            Message::NewRule(it) => self.side.rules.extend(decode::rule(it)),
            Message::NewRoute(it) => {
                let Some(index) = decode::route_index(it) else { return };
                self.object(index, |dev| decode::route(it, dev).map(Object::Route));
                self.note_default(it, index);
            }
            _ => {}
        }
    }

    fn object(&mut self, index: u32, decode: impl FnOnce(&str) -> Option<Object>) {
        if let Some(object) = self.links.get(&index).and_then(|seen| decode(&seen.name)) {
            self.side.insert(object);
        }
    }

    /// The lowest metric wins, and IPv4 before IPv6.
    fn note_default(&mut self, message: &netlink_packet_route::route::RouteMessage, index: u32) {
        let Some(seen) = self.links.get(&index) else { return };
        // A default route from a router advertisement is one too, so the destination is looked at by itself.
        let table = decode::route(message, &seen.name).map_or(u32::from(message.header.table), |it| it.table);
        let unicast = message.header.kind == netlink_packet_route::route::RouteType::Unicast;
        if !unicast || message.header.destination_prefix_length != 0 || table != MAIN_TABLE {
            return;
        }
        let v6 = message.header.address_family == netlink_packet_route::AddressFamily::Inet6;
        let rank = (v6, decode::metric(message));
        if self.default.is_none_or(|(best, _)| rank < best) {
            self.default = Some((rank, index));
        }
    }

    /// All that was seen. The other ends of pairs are not known from here.
    pub(crate) fn side(&self) -> &Side {
        &self.side
    }

    /// Names the other end of a pair of which one end is here and the other one there, if they are a pair.
    pub(crate) fn join(here: &mut Self, name: &str, there: &mut Self, other: &str) {
        let end = |side: &Self, name: &str| {
            side.links.values().find(|seen| seen.name == name).map(|seen| (seen.index, seen.peer))
        };
        let (Some((a, to_b)), Some((b, to_a))) = (end(here, name), end(there, other)) else { return };
        if to_b != Some(b) || to_a != Some(a) {
            return;
        }
        for (side, name, peer) in [(here, name, other), (there, other, name)] {
            if let Some(link) = side.side.links.get_mut(name) {
                link.kind = LinkKind::Veth { peer: Some(peer.into()) };
            }
        }
    }

    /// The node's facts. Hardware is preferred where a bridge or a bond has the MAC of its NIC; host ends of pods
    /// are no interfaces of the node.
    pub(crate) fn facts(&self) -> HostFacts {
        let mut facts = HostFacts::default();
        let mut seen: Vec<&SeenLink> = self.links.values().collect();
        seen.sort_by_key(|seen| (seen.virtual_kind, seen.index));
        for seen in seen {
            if name::owner(&seen.name, seen.link.alias.as_deref(), seen.link.mac).is_none() {
                let link = EniLink { index: seen.index, name: seen.name.clone(), mtu: seen.link.mtu };
                facts.enis.entry(seen.link.mac).or_insert(link);
            }
        }
        let primary = self.default.and_then(|(_, index)| self.links.get(&index)).map(|seen| seen.link.mac);
        facts.primary = primary.filter(|mac| facts.enis.contains_key(mac));
        facts
    }

    /// Index of a link.
    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.links.values().find(|seen| seen.name == name).map(|seen| seen.index)
    }

    /// Hardware addresses of the node's interfaces.
    pub(crate) fn nics(&self) -> Vec<Mac> {
        self.facts().enis.into_keys().collect()
    }
}
