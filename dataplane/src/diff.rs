//! The changes that lead from one network state to another.
//!
//! Order is what the kernel accepts: removals first and backwards (rules, routes, neighbours, queues, addresses,
//! links), then, for the pod's side before the host's, link, MTU, alias, settings, programs, addresses, queue, up,
//! neighbours, routes, rules. No packet passes a link before its programs are on it. The pod's side comes first so that nobody is routed to a pod that is not ready.
//!
//! Settings that are not wanted stay: there is no "no value", and others may rely on them. NICs are never made
//! or removed, and no link is taken down.

use std::collections::BTreeSet;

use crate::{
    op::{Change, NetOp, Object},
    state::{Link, LinkKind, NetState, Place},
};

const PLACES: [Place; 2] = [Place::Pod, Place::Host];

/// The changes that lead from `actual` to `desired`; none when nothing differs. To nothing, it tears down.
pub fn diff(actual: &NetState, desired: &NetState) -> Vec<NetOp> {
    let dead = dead_links(actual, desired);
    // What is left once those links are gone, and so what need not be removed or must be made again.
    let mut left = actual.clone();
    let deletions: Vec<NetOp> = deletions(actual, &dead);
    for deletion in &deletions {
        deletion.change(&mut left);
    }
    let mut ops = Vec::new();
    for place in [Place::Host, Place::Pod] {
        ops.extend(removals(place, &left, desired));
    }
    for removal in &ops {
        removal.change(&mut left);
    }
    ops.extend(deletions);
    let births = births(&left, desired);
    for birth in &births {
        birth.change(&mut left);
    }
    ops.extend(births);
    for place in PLACES {
        additions(&mut ops, place, &left, desired);
    }
    ops
}

/// What is not wanted, last made first. Neighbours behind a link that gets another MAC are removed and made again:
/// the kernel forgets them with the change.
fn removals(place: Place, left: &NetState, desired: &NetState) -> Vec<NetOp> {
    let (have, want) = (left.side(place), desired.side(place));
    let renumbered = |dev: &str| match (have.links.get(dev), want.links.get(dev)) {
        (Some(from), Some(to)) => from.mac != to.mac,
        _ => false,
    };
    let goes = |object: &Object| match object {
        Object::Neighbour(it) => !want.has(object) || renumbered(&it.dev),
        object => !want.has(object),
    };
    let mut removed: Vec<Object> = have.objects().filter(goes).collect();
    removed.reverse();
    removed.into_iter().map(|object| NetOp::new(place, Change::Del(object))).collect()
}

/// An interface is asked for that exists already.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pod has an interface `{ifname}` already; delete the sandbox's network before adding it again")]
pub struct InterfaceExists {
    /// Its name in the pod.
    pub ifname: String,
}

/// As [`diff`], for ADD: an interface that the pod already has is refused, and nothing of it is touched. What a
/// dead sandbox of the same pod left on the host is replaced.
pub fn diff_new(actual: &NetState, desired: &NetState) -> Result<Vec<NetOp>, InterfaceExists> {
    match desired.pod.links.keys().find(|name| actual.pod.links.contains_key(*name)) {
        Some(ifname) => Err(InterfaceExists { ifname: ifname.clone() }),
        None => Ok(diff(actual, desired)),
    }
}

/// Veth ends that have to go: not wanted, or not the pair that is wanted.
fn dead_links(actual: &NetState, desired: &NetState) -> BTreeSet<(Place, String)> {
    let mut dead = BTreeSet::new();
    for place in PLACES {
        for (name, link) in &actual.side(place).links {
            let LinkKind::Veth { peer } = &link.kind else { continue };
            let wanted = desired.side(place).links.get(name);
            if wanted.is_none_or(|wanted| wanted.kind != link.kind) {
                dead.insert((place, name.clone()));
                // The kernel takes the other end too.
                dead.extend(peer.iter().map(|peer| (place.other(), peer.clone())));
            }
        }
    }
    dead
}

/// One deletion for each pair, at the host's end where there is one.
fn deletions(actual: &NetState, dead: &BTreeSet<(Place, String)>) -> Vec<NetOp> {
    let mut gone: BTreeSet<(Place, &str)> = BTreeSet::new();
    let mut ops = Vec::new();
    for (place, name) in dead {
        let Some(link) = actual.side(*place).links.get(name) else { continue };
        if !gone.insert((*place, name.as_str())) {
            continue;
        }
        gone.extend(peer_of(link).map(|peer| (place.other(), peer.as_str())));
        ops.push(NetOp::new(*place, Change::DelLink { name: name.clone(), link: link.clone() }));
    }
    ops
}

/// Pairs that are wanted and not there, made from the host's end.
fn births(left: &NetState, desired: &NetState) -> Vec<NetOp> {
    let mut ops = Vec::new();
    for (name, link) in &desired.host.links {
        if left.host.links.contains_key(name) {
            continue;
        }
        let Some(peer) = peer_of(link).and_then(|peer| desired.pod.links.get(peer)) else { continue };
        let change = Change::AddVeth { name: name.clone(), link: link.clone(), peer: peer.clone() };
        ops.push(NetOp::new(Place::Host, change));
    }
    ops
}

fn additions(ops: &mut Vec<NetOp>, place: Place, left: &NetState, desired: &NetState) {
    let (have, want) = (left.side(place), desired.side(place));
    let mut push = |change| ops.push(NetOp::new(place, change));
    let there = || want.links.iter().filter_map(|(name, to)| Some((name, have.links.get(name)?, to)));
    for (dev, from, to) in there() {
        configure(dev, from, to, &mut push);
    }
    for (key, &to) in &want.sysctls {
        let from = have.sysctls.get(key).copied();
        if from != Some(to) {
            push(Change::SetSysctl { key: key.clone(), from, to });
        }
    }
    let missing: Vec<Object> = want.objects().filter(|object| !have.has(object)).collect();
    let (before, after): (Vec<Object>, Vec<Object>) = missing
        .into_iter()
        .partition(|object| matches!(object, Object::Program(_) | Object::Address(_) | Object::Qdisc(_)));
    for object in before {
        push(Change::Add(object));
    }
    for (dev, from, to) in there() {
        if to.up && !from.up {
            push(Change::SetUp { dev: dev.clone(), up: true });
        }
    }
    for object in after {
        push(Change::Add(object));
    }
}

/// Changes of a link that is there, up and down apart.
fn configure(dev: &str, from: &Link, to: &Link, push: &mut impl FnMut(Change)) {
    if from.mac != to.mac {
        push(Change::SetMac { dev: dev.into(), from: from.mac, to: to.mac });
    }
    if from.mtu != to.mtu {
        push(Change::SetMtu { dev: dev.into(), from: from.mtu, to: to.mtu });
    }
    // An alias that somebody else gave to a link for which we want none is theirs.
    if let Some(alias) = to.alias.as_ref().filter(|_| from.alias != to.alias) {
        let from = from.alias.clone().unwrap_or_default();
        push(Change::SetAlias { dev: dev.into(), from, to: alias.clone() });
    }
}

fn peer_of(link: &Link) -> Option<&String> {
    match &link.kind {
        LinkKind::Veth { peer } => peer.as_ref(),
        LinkKind::Nic => None,
    }
}

#[cfg(test)]
mod tests;
