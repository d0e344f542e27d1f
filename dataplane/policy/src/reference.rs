//! The reference: what the rules say of a flow, read as naively as they are written in the table of semantics. Slow, with
//! nothing resolved, shared or remembered. It shares no code with any compiler, so that agreement of the two means
//! something; compare first, and doubt the faster one.
//!
//! A judgement is of policy alone. That a pod may always talk to itself and to its own node, that answers follow what
//! they answer, and that a forged source address is dropped are not policy's business but the verdict's.
//!
//! - `labels`: selectors, and which pod has an address
//! - `blocks`: CIDRs as text
//! - `network`: one NetworkPolicy
//! - `cluster`: one tier of ClusterNetworkPolicies

mod blocks;
mod cluster;
mod labels;
mod network;

use std::net::IpAddr;

use crate::model::{Direction, Name, Pod, Protocol, Snapshot, Tier};

/// What is asked: may this pod take, or send, the first packet of a flow?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The pod that is judged.
    pub pod: &'a Name,
    /// Whether the flow comes to it or goes from it.
    pub direction: Direction,
    /// The other side. Never an IPv4 address in IPv6 form: no packet carries one.
    pub remote: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; 0 where the protocol has none.
    pub port: u16,
}

/// An answer, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The flow may pass.
    Allowed(Why),
    /// It may not.
    Denied(Why),
}

impl Judgement {
    /// Whether the flow may pass.
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// What decided.
    pub fn why(&self) -> &Why {
        match self {
            Self::Allowed(why) | Self::Denied(why) => why,
        }
    }
}

/// What decided a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule of a ClusterNetworkPolicy.
    Cluster {
        /// Its policy.
        policy: String,
        /// The policy's tier.
        tier: Tier,
        /// The rule's index among those of the direction.
        rule: usize,
    },
    /// A rule of a NetworkPolicy: the first by name of policy of those that match, since all of them allow.
    Policy {
        /// Its policy.
        policy: Name,
        /// The rule's index among those of the direction.
        rule: usize,
    },
    /// No NetworkPolicy isolates the pod in the direction, and no other policy decides.
    NotIsolated,
    /// NetworkPolicies isolate the pod and no rule of theirs matches.
    NoRule {
        /// Those policies.
        isolated_by: Vec<Name>,
    },
    /// The pod is not there, so nothing is known of it.
    NoPod,
}

/// A question with everything that the rules ask about it.
struct Case<'a> {
    snapshot: &'a Snapshot,
    direction: Direction,
    /// The pod that is judged.
    subject: &'a Pod,
    /// Address of the other side.
    remote: IpAddr,
    /// The pod that has it.
    peer: Option<&'a Pod>,
    /// A protocol with ports, and the destination port; `None` for all other protocols.
    transport: Option<(Protocol, u16)>,
}

impl Case<'_> {
    /// The pod in which names of ports are looked up: whoever the flow goes to.
    fn destination(&self) -> Option<&Pod> {
        match self.direction {
            Direction::Ingress => Some(self.subject),
            Direction::Egress => self.peer,
        }
    }

    /// Whether the flow's destination declares its port and protocol under a name.
    fn has_named_port(&self, name: &str) -> bool {
        let (Some((protocol, port)), Some(pod)) = (self.transport, self.destination()) else { return false };
        !pod.host_network
            && pod.ports.iter().any(|p| p.name == name && p.protocol == protocol && p.port == port)
    }
}

/// Judges the first packet of a flow for one pod.
pub fn judge(snapshot: &Snapshot, question: &Question<'_>) -> Judgement {
    let Some(subject) = snapshot.pods.get(question.pod) else { return Judgement::Denied(Why::NoPod) };
    // A pod on its node's network is not a subject, and one that has ended has no packets.
    if subject.host_network || subject.finished {
        return Judgement::Allowed(Why::NotIsolated);
    }
    let case = Case {
        snapshot,
        direction: question.direction,
        subject,
        remote: question.remote,
        peer: labels::pod_at(snapshot, question.remote),
        transport: match question.protocol {
            6 => Some((Protocol::Tcp, question.port)),
            17 => Some((Protocol::Udp, question.port)),
            132 => Some((Protocol::Sctp, question.port)),
            _ => None,
        },
    };
    cluster::judge(&case, Tier::Admin)
        .or_else(|| network::judge(&case))
        .or_else(|| cluster::judge(&case, Tier::Baseline))
        .unwrap_or(Judgement::Allowed(Why::NotIsolated))
}

/// Judges a flow at both of its ends; `None` where the end is no pod that has packets of its own.
pub fn flow(
    snapshot: &Snapshot,
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    port: u16,
) -> (Option<Judgement>, Option<Judgement>) {
    let at = |pod: IpAddr, direction, remote| {
        let pod = labels::pod_at(snapshot, pod)?;
        Some(judge(snapshot, &Question { pod: &pod.name, direction, remote, protocol, port }))
    };
    (at(from, Direction::Egress, to), at(to, Direction::Ingress, from))
}
