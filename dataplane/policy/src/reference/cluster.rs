//! ClusterNetworkPolicies.

use super::{Case, Judgement, Why, blocks, labels};
use crate::model::{Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Direction, Subject, Tier};

/// What one tier says of the flow; `None` when no rule matches, or the first that does passes.
pub(super) fn judge(case: &Case<'_>, tier: Tier) -> Option<Judgement> {
    let mut policies: Vec<&ClusterPolicy> = Vec::new();
    for policy in case.snapshot.cluster_policies.values() {
        if policy.tier == tier && labels::subject_has(case.snapshot, &policy.subject, case.subject) {
            policies.push(policy);
        }
    }
    policies.sort_by_key(|policy| (policy.priority, &policy.name, &policy.uid));
    for policy in policies {
        let rules = match case.direction {
            Direction::Ingress => &policy.ingress,
            Direction::Egress => &policy.egress,
        };
        for (index, rule) in rules.iter().enumerate() {
            let why = Why::Cluster { policy: policy.name.clone(), tier, rule: index };
            match decides(case, rule) {
                None => {}
                Some(Action::Accept) => return Some(Judgement::Allowed(why)),
                Some(Action::Deny) => return Some(Judgement::Denied(why)),
                Some(Action::Pass) => return None,
            }
        }
    }
    None
}

/// What a rule does with the flow, if it matches. One with a part that is not understood closes: to accept by it would
/// be to guess, and to look past it might skip a denial.
fn decides(case: &Case<'_>, rule: &ClusterRule) -> Option<Action> {
    if !understood(case.direction, rule) {
        return match rule.action {
            Action::Accept => None,
            Action::Deny | Action::Pass => Some(Action::Deny),
        };
    }
    let peer = rule.peers.iter().any(|peer| peer_matches(case, peer));
    let port = rule.protocols.is_empty() || rule.protocols.iter().any(|port| port_matches(case, port));
    (peer && port).then_some(rule.action)
}

/// Whether all of a rule is known here. Addresses as peers are defined for egress alone.
fn understood(direction: Direction, rule: &ClusterRule) -> bool {
    let peer = |peer: &ClusterPeer| match peer {
        ClusterPeer::Pods(subject) => *subject != Subject::Unknown,
        ClusterPeer::Networks(_) => direction == Direction::Egress,
        ClusterPeer::Unknown => false,
    };
    !rule.peers.is_empty() && rule.peers.iter().all(peer) && !rule.protocols.contains(&ClusterPort::Unknown)
}

fn peer_matches(case: &Case<'_>, peer: &ClusterPeer) -> bool {
    match peer {
        ClusterPeer::Pods(subject) => {
            case.peer.is_some_and(|pod| labels::subject_has(case.snapshot, subject, pod))
        }
        ClusterPeer::Networks(cidrs) => cidrs.iter().any(|cidr| blocks::contains(cidr, &[], case.remote)),
        ClusterPeer::Unknown => false,
    }
}

fn port_matches(case: &Case<'_>, entry: &ClusterPort) -> bool {
    match entry {
        ClusterPort::Numbers { protocol, ports } => {
            let Some((flow, port)) = case.transport else { return false };
            flow == *protocol && ports.is_none_or(|(first, last)| (first..=last).contains(&port))
        }
        ClusterPort::Named(name) => case.has_named_port(name),
        ClusterPort::Unknown => false,
    }
}
