//! One end's verdict.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    Explainer, Found,
    fit::{self, Seen},
    words::{self, Form},
};
use crate::{
    compile::{Origin, Tier},
    layout::addr_of,
    model::{Action, Direction, Name, Protocol},
    packet::protocol,
    verdict::{self, Reason},
};

/// Why no policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotAsked {
    /// The address is no pod's.
    NoPod,
    /// The pod is on its node's network.
    HostNetwork,
    /// The pod is Succeeded or Failed.
    Finished,
    /// The pod speaks with itself.
    Itself,
    /// The pod speaks with its own node.
    OwnNode,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Why {
    /// No policy is asked.
    NotAsked {
        /// Because of this.
        because: NotAsked,
    },
    /// No NetworkPolicy isolates the pod, and no rule of another decides.
    NotIsolated,
    /// A rule.
    Rule {
        /// Its policy's tier.
        tier: Tier,
        /// Its policy.
        policy: Name,
        /// Its place in the policy and direction, from 0.
        index: usize,
        /// Its own name, or nothing.
        name: String,
        /// Peers that it is for, in words.
        peers: String,
        /// Ports that it is for, in words.
        ports: String,
    },
    /// NetworkPolicies isolate the pod and no rule of theirs matches.
    NoRule {
        /// Those policies.
        isolated_by: Vec<Name>,
    },
    /// The policies cannot be compiled: all is denied.
    Closed,
}

/// A rule that would have allowed the flow, had a little more of it fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// Its policy.
    pub policy: Name,
    /// Its place in the policy and direction, from 0.
    pub index: usize,
    /// Whether the other side is a peer of it.
    pub peer_fits: bool,
    /// Whether the port is one of it.
    pub port_fits: bool,
    /// What fits of the peer, or what does not.
    pub peer: String,
    /// What fits of the port, or what does not.
    pub port: String,
    /// Orders them.
    #[serde(skip)]
    score: u32,
}

/// One end's verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Of which direction.
    pub direction: Direction,
    /// The pod that was judged.
    pub pod: Option<Name>,
    /// Whether it allows the flow.
    pub allowed: bool,
    /// What decided.
    pub why: Why,
    /// For a denial, the rules that might have allowed it, the nearest first.
    pub near: Vec<NearMiss>,
}

/// A NetworkPolicy or ClusterNetworkPolicy's rule, found where the compiler says that it comes from.
pub(super) fn form(snapshot: &crate::model::Snapshot, origin: &Origin, direction: Direction) -> Option<Form> {
    let index = origin.index;
    if origin.tier == Tier::Policy {
        let policy = snapshot.policies.get(&origin.policy)?;
        let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
        return rules.get(index).map(Form::from);
    }
    let policy = snapshot.cluster_policies.get(&origin.policy.name)?;
    let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
    rules.get(index).map(Form::from)
}

pub(super) fn index_of(direction: Direction) -> u8 {
    match direction {
        Direction::Ingress => crate::layout::INGRESS,
        Direction::Egress => crate::layout::EGRESS,
    }
}

impl<'a> Explainer<'a> {
    /// Judges a flow at its source and at its destination.
    pub(super) fn judge(
        &self,
        from: (&Found<'a>, IpAddr),
        to: (&Found<'a>, IpAddr),
        transport: Option<(Protocol, u16)>,
        port: &str,
    ) -> (Side, Side) {
        let owner = |(end, ip): (&Found<'a>, IpAddr)| {
            let pod = end.pod.filter(|pod| !pod.finished && !pod.host_network);
            pod.or_else(|| self.by_address.get(&ip).copied())
        };
        let (source, destination) = (owner(from), owner(to));
        let egress =
            Seen { snapshot: self.snapshot, remote: to.1, peer: destination, destination, transport, port };
        let ingress = Seen {
            remote: from.1,
            peer: source,
            // Whoever is judged resolves the names, whatever it is.
            destination: to.0.pod,
            ..egress
        };
        let (egress, ingress) =
            (self.side(Direction::Egress, from.0, &egress), self.side(Direction::Ingress, to.0, &ingress));
        (egress, ingress)
    }

    fn side(&self, direction: Direction, end: &Found<'a>, seen: &Seen<'_>) -> Side {
        let pod = end.pod.map(|pod| pod.name.clone());
        let (allowed, why, rules) = match self.not_asked(end, seen) {
            Some(because) => (true, Why::NotAsked { because }, 0),
            None => self.decide(direction, end, seen),
        };
        let near = if allowed { Vec::new() } else { self.near(direction, &why, rules, seen) };
        Side { direction, pod, allowed, why, near }
    }

    /// Why no policy is asked at an end; `None` if one is.
    fn not_asked(&self, end: &Found<'a>, seen: &Seen<'_>) -> Option<NotAsked> {
        let Some(pod) = end.pod else { return Some(NotAsked::NoPod) };
        if pod.finished {
            return Some(NotAsked::Finished);
        }
        if pod.host_network {
            return Some(NotAsked::HostNetwork);
        }
        if pod.ips.contains(&seen.remote) || end.addresses.contains(&seen.remote) {
            return Some(NotAsked::Itself);
        }
        let node = self.nodes.get(&pod.name)?;
        node.contains(&seen.remote).then_some(NotAsked::OwnNode)
    }

    fn decide(&self, direction: Direction, end: &Found<'a>, seen: &Seen<'_>) -> (bool, Why, u32) {
        let endpoint = end.pod.and_then(|pod| self.links.get(&pod.name));
        let Some(endpoint) = endpoint.and_then(|link| self.memory.endpoints.get(link)) else {
            return (false, Why::Closed, 0);
        };
        let (number, port) = match seen.transport {
            Some((Protocol::Tcp, port)) => (protocol::TCP, port),
            Some((Protocol::Udp, port)) => (protocol::UDP, port),
            Some((Protocol::Sctp, port)) => (protocol::SCTP, port),
            None if seen.remote.is_ipv4() => (protocol::ICMP, 0),
            None => (protocol::ICMPV6, 0),
        };
        let remote = addr_of(seen.remote);
        let decision = verdict::classify(&self.memory, endpoint, index_of(direction), &remote, number, port);
        let why = match decision.reason {
            Reason::NotIsolated => Why::NotIsolated,
            Reason::NoRule => Why::NoRule { isolated_by: self.compiler.isolated_by(decision.rules).to_vec() },
            Reason::Rule | Reason::Denied => match self.compiler.origin(decision.rules, decision.rule) {
                Some(origin) => self.rule(origin, direction),
                None => Why::Closed,
            },
            _ => Why::Closed,
        };
        (decision.reason.passes(), why, decision.rules)
    }

    fn rule(&self, origin: &Origin, direction: Direction) -> Why {
        let Origin { tier, policy, index, name, .. } = origin.clone();
        let form = form(self.snapshot, origin, direction);
        let (peers, ports) = match &form {
            Some(form) => (words::peers(form, &policy.namespace), words::ports(form)),
            None => ("any peer".into(), "everything".into()),
        };
        Why::Rule { tier, policy, index, name, peers, ports }
    }

    /// Rules that might have decided otherwise, before the one that did.
    fn near(&self, direction: Direction, why: &Why, rules: u32, seen: &Seen<'_>) -> Vec<NearMiss> {
        let of_tier = match why {
            Why::NoRule { .. } => Tier::Policy,
            Why::Rule { tier, .. } => *tier,
            Why::NotAsked { .. } | Why::NotIsolated | Why::Closed => return Vec::new(),
        };
        let mut near = Vec::new();
        for number in 0.. {
            let Some(origin) = self.compiler.origin(rules, number << 2) else { break };
            if let Why::Rule { policy, index, .. } = why
                && origin.tier == of_tier
                && (&origin.policy, &origin.index) == (policy, index)
            {
                break;
            }
            let Some(form) = form(self.snapshot, origin, direction).filter(|_| origin.tier == of_tier) else {
                continue;
            };
            if form.action == Action::Deny {
                continue;
            }
            let (mut peer, port) = (fit::peers(&form, &origin.policy, seen), fit::ports(&form, seen));
            if form.strange {
                peer = fit::unknown();
            }
            near.push(NearMiss {
                policy: origin.policy.clone(),
                index: origin.index,
                peer_fits: peer.fits(),
                port_fits: port.fits(),
                score: peer.score + port.score,
                peer: peer.text,
                port: port.text,
            });
        }
        near.sort_by_key(|miss| std::cmp::Reverse(miss.score));
        near
    }
}
