//! NetworkPolicies.

use super::{Case, Judgement, Why, blocks, labels};
use crate::model::{Direction, Peer, Policy, Port, PortRef, Protocol, Rule};

/// What NetworkPolicies say of the flow; `None` when none of them isolates the pod in the direction.
pub(super) fn judge(case: &Case<'_>) -> Option<Judgement> {
    let mut isolated_by = Vec::new();
    for policy in case.snapshot.policies.values() {
        if isolates(case, policy) {
            isolated_by.push(policy);
        }
    }
    if isolated_by.is_empty() {
        return None;
    }
    for policy in &isolated_by {
        let rules = match case.direction {
            Direction::Ingress => &policy.ingress,
            Direction::Egress => &policy.egress,
        };
        for (index, rule) in rules.iter().enumerate() {
            if rule_matches(case, policy, rule) {
                return Some(Judgement::Allowed(Why::Policy { policy: policy.name.clone(), rule: index }));
            }
        }
    }
    let isolated_by = isolated_by.into_iter().map(|policy| policy.name.clone()).collect();
    Some(Judgement::Denied(Why::NoRule { isolated_by }))
}

/// Whether a policy selects the pod and speaks of the direction.
fn isolates(case: &Case<'_>, policy: &Policy) -> bool {
    policy.name.namespace == case.subject.name.namespace
        && labels::matches(&policy.selector, &case.subject.labels)
        && speaks_of(policy, case.direction)
}

/// Whether a policy is about a direction. Omitted types are Ingress, and Egress if there is a rule for it.
fn speaks_of(policy: &Policy, direction: Direction) -> bool {
    if !policy.types.is_empty() {
        return policy.types.contains(&direction);
    }
    match direction {
        Direction::Ingress => true,
        Direction::Egress => !policy.egress.is_empty(),
    }
}

fn rule_matches(case: &Case<'_>, policy: &Policy, rule: &Rule) -> bool {
    let peer = rule.peers.is_empty() || rule.peers.iter().any(|peer| peer_matches(case, policy, peer));
    let port = rule.ports.is_empty() || rule.ports.iter().any(|port| port_matches(case, port));
    peer && port
}

fn peer_matches(case: &Case<'_>, policy: &Policy, peer: &Peer) -> bool {
    match peer {
        Peer::Pods { namespaces, pods } => {
            let Some(pod) = case.peer else { return false };
            let in_namespace = match namespaces {
                Some(selector) => labels::namespace_matches(case.snapshot, pod, selector),
                None => pod.name.namespace == policy.name.namespace,
            };
            in_namespace && pods.as_ref().is_none_or(|selector| labels::matches(selector, &pod.labels))
        }
        Peer::Block { cidr, except } => blocks::contains(cidr, except, case.remote),
        Peer::Unknown => false,
    }
}

fn port_matches(case: &Case<'_>, entry: &Port) -> bool {
    let Some((protocol, port)) = case.transport else { return false };
    if protocol != entry.protocol.unwrap_or(Protocol::Tcp) {
        return false;
    }
    match (&entry.port, entry.end) {
        (None, None) => true,
        (Some(PortRef::Number(number)), None) => port == *number,
        (Some(PortRef::Number(first)), Some(last)) => (*first..=last).contains(&port),
        (Some(PortRef::Named(name)), None) => case.has_named_port(name),
        // A range needs a number to begin at.
        (None | Some(PortRef::Named(_)), Some(_)) => false,
    }
}
