//! What can be seen without dumping a node: on one with a hundred pods the dumps are most of an ADD.
//!
//! Each glance sees all that matters or says that it does not know; then [`super::observe`] looks at everything.

use std::{collections::BTreeMap, io, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_route::{
    RouteNetlinkMessage as Message,
    address::{AddressAttribute, AddressScope},
};
use terway_core::id::Mac;

use super::socket::Socket;
use crate::{
    desired::GATEWAY_V4,
    linux::{
        decode::{self, SeenLink},
        encode,
        run::ObserveError,
    },
    name,
    pod::{EniLink, HostFacts, PodNet},
    state::{LinkKind, MAIN_TABLE, NetState, Place, Rule, Side},
};

fn failed(source: io::Error) -> ObserveError {
    ObserveError::Dump { place: Place::Host, source }
}

fn open() -> Result<Socket, ObserveError> {
    Socket::open().map_err(|source| ObserveError::Namespace { place: Place::Host, source })
}

/// Interfaces of the node that somebody uses, seen before it is known which of them matter.
#[derive(Clone, Debug, Default)]
pub struct Nics(Vec<SeenLink>);

/// Looks at the links that have an IPv4 address of the node's: ENIs in use have one, host ends of pods mostly none, or
/// the one that all pods take for their gateway.
pub fn nics() -> Result<Nics, ObserveError> {
    let mut socket = open()?;
    let mut indexes: Vec<u32> = Vec::new();
    for message in socket.dump(&encode::addresses_v4(), |_| true).map_err(failed)? {
        let Message::NewAddress(address) = message else { continue };
        let gateway = AddressAttribute::Local(GATEWAY_V4.into());
        // The loopback's own are of host scope.
        if address.header.scope != AddressScope::Host && !address.attributes.contains(&gateway) {
            indexes.push(address.header.index);
        }
    }
    indexes.sort_unstable();
    indexes.dedup();
    let links = socket.links(indexes.into_iter().map(encode::get_link_at).collect()).map_err(failed)?;
    Ok(Nics(links.iter().flatten().filter_map(decode::link).collect()))
}

impl Nics {
    /// The facts as far as they concern these ENIs, the primary one left open; all of the node's where that is not
    /// enough.
    pub fn facts_of(&self, enis: &[Mac]) -> Result<HostFacts, ObserveError> {
        self.known(enis).map_or_else(super::host_facts, Ok)
    }

    /// A link that may stand on another one and have its hardware address is not to be told from it here.
    fn known(&self, enis: &[Mac]) -> Option<HostFacts> {
        let mut facts = HostFacts::default();
        for seen in self.0.iter().filter(|seen| enis.contains(&seen.link.mac)) {
            let link = EniLink { index: seen.index, name: seen.name.clone(), mtu: seen.link.mtu };
            if seen.stacked || facts.enis.insert(seen.link.mac, link).is_some() {
                return None;
            }
        }
        enis.iter().all(|eni| facts.enis.contains_key(eni)).then_some(facts)
    }
}

/// Whether no rule of the host names an address of the pod. One that an earlier owner of the address left would send
/// the pod's traffic into the wrong table; all else that could be left of one is refused by the kernel when the pod's
/// own is added.
pub fn is_clear(pod: &PodNet) -> Result<bool, ObserveError> {
    let rules = rules_for(&mut open()?, pod).map_err(failed)?;
    Ok(rules.is_empty())
}

/// Rules that select on an address of the pod.
fn rules_for(socket: &mut Socket, pod: &PodNet) -> io::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for ip in pod.ips.iter() {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let named = |message: &[u8]| message.windows(octets.len()).any(|window| window == octets);
        for message in socket.dump(&encode::rules(ip), named)? {
            let Message::NewRule(message) = message else { continue };
            rules.extend(decode::rule(&message).filter(|rule| rule.select.net() == IpNet::from(ip)));
        }
    }
    Ok(rules)
}

/// What is on the host of a pod that stands there whole: the host end that was made for this very sandbox, and the
/// rules of its addresses, which the main table leads to that link. None: something is missing or is another's.
pub fn seen_whole(pod: &PodNet) -> Result<Option<NetState>, ObserveError> {
    glance_whole(pod).map_err(failed)
}

fn glance_whole(pod: &PodNet) -> io::Result<Option<NetState>> {
    let link = name::host_veth_name(&pod.pod, &pod.ifname);
    let mut socket = Socket::open()?;
    let answer = socket.links(vec![encode::get_link(&link)])?.pop().flatten();
    let Some(seen) = answer.as_ref().and_then(decode::link) else { return Ok(None) };
    let owner = name::owner(&seen.name, seen.link.alias.as_deref(), seen.link.mac);
    if owner != Some((pod.container.clone(), pod.ifname.clone()))
        || !matches!(seen.link.kind, LinkKind::Veth { .. })
    {
        return Ok(None);
    }
    for ip in pod.ips.iter() {
        let Ok(Message::NewRoute(route)) = socket.ask(encode::route_to(ip)) else { return Ok(None) };
        let leads = decode::route_index(&route) == Some(seen.index)
            && decode::route(&route, &link)
                .is_some_and(|route| route.table == MAIN_TABLE && route.dst == IpNet::from(ip));
        if !leads {
            return Ok(None);
        }
    }
    let rules = rules_for(&mut socket, pod)?.into_iter().collect();
    let links = BTreeMap::from([(link, seen.link)]);
    Ok(Some(NetState::of_host(Side { links, rules, ..Side::default() })))
}
