//! The comparison in words, for CHECK, and what of a difference is nobody's fault.
//!
//! A pod's network may have been worked on after us: plugins chained behind ours add routes, put a queue where
//! we have none, lower the MTU. [`tolerate`] takes these as wanted, so that CHECK does not report them and
//! repair does not undo them.

use std::fmt;

use crate::{
    diff::diff,
    op::{NetOp, Object},
    state::{Link, LinkKind, NetState, Place, Side},
};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// In which namespace.
    pub place: Place,
    /// What differs.
    pub object: String,
    /// What is there; none when it is missing.
    pub found: Option<String>,
    /// What should be there; none when it should not be.
    pub wanted: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.place, self.object)?;
        match (&self.found, &self.wanted) {
            (None, Some(wanted)) => write!(f, "missing, wanted {wanted}"),
            (Some(found), None) => write!(f, "found {found}, wanted none"),
            (found, wanted) => {
                let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".into());
                write!(f, "found {}, wanted {}", text(found), text(wanted))
            }
        }
    }
}

/// What is there, without what plugins chained behind ours may have added or changed: routes to other
/// destinations, queues where none is wanted, another MTU, aliases where none is wanted.
#[must_use]
pub fn tolerate(actual: &NetState, desired: &NetState) -> NetState {
    let mut state = actual.clone();
    for place in [Place::Host, Place::Pod] {
        tolerate_side(state.side_mut(place), desired.side(place));
    }
    state
}

fn tolerate_side(side: &mut Side, wanted: &Side) {
    let same_way = |have: &crate::state::Route| {
        wanted.routes.iter().any(|want| (want.table, want.dst) == (have.table, have.dst))
    };
    side.routes.retain(same_way);
    side.qdiscs.retain(|have| wanted.qdiscs.iter().any(|want| want.dev == have.dev));
    for (name, link) in &mut side.links {
        let Some(want) = wanted.links.get(name) else { continue };
        link.mtu = want.mtu;
        if want.alias.is_none() {
            link.alias = None;
        }
    }
}

/// The changes that put back what is missing or wrong, and leave alone what others may have added.
pub fn repair(actual: &NetState, desired: &NetState) -> Vec<NetOp> {
    diff(&tolerate(actual, desired), desired)
}

/// The changes that make an ENI what it is to be. Nobody is chained behind us there: MTU, addresses and what stands
/// in our routes' place are put right. Other routes over it are the node's own.
pub fn repair_eni(actual: &Side, desired: &Side) -> Vec<NetOp> {
    let (actual, desired) = (NetState::of_host(actual.clone()), NetState::of_host(desired.clone()));
    let mut have = tolerate(&actual, &desired);
    have.host.links = actual.host.links;
    diff(&have, &desired)
}

/// The changes that take from an ENI what it was given, and leave alone what others put on it.
pub fn take_back(actual: &Side, given: &Side) -> Vec<NetOp> {
    let mut ours = Side { links: actual.links.clone(), ..Side::default() };
    for object in actual.objects().filter(|object| given.has(object)) {
        ours.insert(object);
    }
    diff(&NetState::of_host(ours), &NetState::default())
}

/// Everything that is not as it should be, each named once; empty when CHECK passes.
pub fn differences(actual: &NetState, desired: &NetState) -> Vec<Difference> {
    let actual = tolerate(actual, desired);
    let mut all = Vec::new();
    for place in [Place::Host, Place::Pod] {
        let (have, want) = (actual.side(place), desired.side(place));
        let mut report = |object: String, found: Option<String>, wanted: Option<String>| {
            if found != wanted {
                all.push(Difference { place, object, found, wanted });
            }
        };
        links(have, want, &mut report);
        objects(have, want, &mut report);
        for (key, value) in &want.sysctls {
            report(
                format!("setting {key}"),
                have.sysctls.get(key).map(u32::to_string),
                Some(value.to_string()),
            );
        }
    }
    all
}

type Report<'a> = dyn FnMut(String, Option<String>, Option<String>) + 'a;

fn links(have: &Side, want: &Side, report: &mut Report<'_>) {
    for (name, wanted) in &want.links {
        let Some(found) = have.links.get(name) else {
            report(format!("link {name}"), None, Some(kind(wanted)));
            continue;
        };
        let mut part = |what: &str, found: String, wanted: String| {
            report(format!("{what} of link {name}"), Some(found), Some(wanted));
        };
        part("kind", kind(found), kind(wanted));
        part("mac", found.mac.to_string(), wanted.mac.to_string());
        let state = |link: &Link| if link.up { "up" } else { "down" }.to_string();
        part("state", state(found), state(wanted));
        let alias = |link: &Link| link.alias.clone().unwrap_or_else(|| "none".into());
        part("alias", alias(found), alias(wanted));
    }
    for (name, found) in &have.links {
        if !want.links.contains_key(name) {
            report(format!("link {name}"), Some(kind(found)), None);
        }
    }
}

fn kind(link: &Link) -> String {
    match &link.kind {
        LinkKind::Nic => "a nic".into(),
        LinkKind::Veth { peer: Some(peer) } => format!("a veth with peer {peer}"),
        LinkKind::Veth { peer: None } => "a veth with its peer elsewhere".into(),
    }
}

/// An object missing and one found in its stead are one difference.
fn objects(have: &Side, want: &Side, report: &mut Report<'_>) {
    let mut extra: Vec<Object> = have.objects().filter(|object| !want.has(object)).collect();
    for wanted in want.objects().filter(|object| !have.has(object)) {
        let subject = subject(&wanted);
        let found = extra.iter().position(|object| self::subject(object) == subject);
        let found = found.map(|index| extra.swap_remove(index).to_string());
        report(subject, found, Some(wanted.to_string()));
    }
    for found in extra {
        report(subject(&found), Some(found.to_string()), None);
    }
}

/// What two objects have in common when one stands where the other should.
fn subject(object: &Object) -> String {
    match object {
        Object::Address(it) => format!("address {}", it.net.addr()),
        Object::Qdisc(it) => format!("qdisc of {}", it.dev),
        Object::Neighbour(it) => format!("neighbour {} on {}", it.ip, it.dev),
        Object::Route(it) => format!("route {} in table {}", it.dst, it.table),
        Object::Program(it) => format!("program {} of {}", it.hook, it.dev),
        Object::Rule(it) => format!("rule {} with priority {}", it.select, it.priority),
    }
}

#[cfg(test)]
mod tests;
