//! ClusterNetworkPolicies. A part with fields that are not known here, or with other than one of those that are, comes out
//! as unknown, and closes what it stands in.

use super::{
    convert::{number, own_name, selector},
    field::FieldError,
    v1alpha2::{self as api, ClusterNetworkPolicy},
};
use crate::model::{Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Protocol, Subject, Tier};

/// Reads a ClusterNetworkPolicy.
pub fn cluster_policy(policy: &ClusterNetworkPolicy) -> Result<ClusterPolicy, FieldError> {
    let spec = &policy.spec;
    let tier = match spec.tier.as_str() {
        "Admin" => Tier::Admin,
        "Baseline" => Tier::Baseline,
        other => return Err(FieldError::new("spec.tier", other, "Admin or Baseline")),
    };
    if !(0..=1000).contains(&spec.priority) {
        return Err(FieldError::new("spec.priority", spec.priority, "0 to 1000"));
    }
    let mut ingress = Vec::new();
    for (index, r) in spec.ingress.iter().enumerate() {
        let at = format!("spec.ingress[{index}]");
        none(&format!("{at}.to"), &r.to, "from")?;
        let peers = r.from.iter().map(|p| match peer(p) {
            // Not a field of this direction.
            ClusterPeer::Networks(_) => ClusterPeer::Unknown,
            known => known,
        });
        ingress.push(rule(&at, r, peers.collect())?);
    }
    let mut egress = Vec::new();
    for (index, r) in spec.egress.iter().enumerate() {
        let at = format!("spec.egress[{index}]");
        none(&format!("{at}.from"), &r.from, "to")?;
        egress.push(rule(&at, r, r.to.iter().map(peer).collect())?);
    }
    Ok(ClusterPolicy {
        name: own_name(&policy.metadata)?,
        uid: policy.metadata.uid.clone().unwrap_or_default(),
        tier,
        priority: spec.priority,
        subject: subject(&spec.subject),
        ingress,
        egress,
    })
}

/// Peers of the other direction would be looked past.
fn none(field: &str, peers: &[api::Peer], allowed: &str) -> Result<(), FieldError> {
    if peers.is_empty() { Ok(()) } else { Err(FieldError::new(field, peers.len(), allowed)) }
}

fn rule(at: &str, rule: &api::Rule, peers: Vec<ClusterPeer>) -> Result<ClusterRule, FieldError> {
    let action = match rule.action.as_str() {
        "Accept" => Action::Accept,
        "Deny" => Action::Deny,
        "Pass" => Action::Pass,
        other => return Err(FieldError::new(format!("{at}.action"), other, "Accept, Deny or Pass")),
    };
    let mut protocols = Vec::new();
    for (index, p) in rule.protocols.iter().enumerate() {
        protocols.push(protocol(&format!("{at}.protocols[{index}]"), p)?);
    }
    Ok(ClusterRule { name: rule.name.clone(), action, peers, protocols })
}

fn pods(pods: &api::NamespacedPod) -> Subject {
    Subject::Pods { namespaces: selector(&pods.namespace_selector), pods: selector(&pods.pod_selector) }
}

fn subject(subject: &api::Subject) -> Subject {
    match subject {
        api::Subject { namespaces: Some(namespaces), pods: None, rest } if rest.is_empty() => {
            Subject::Namespaces(selector(namespaces))
        }
        api::Subject { namespaces: None, pods: Some(both), rest } if rest.is_empty() => pods(both),
        _ => Subject::Unknown,
    }
}

fn peer(peer: &api::Peer) -> ClusterPeer {
    match peer {
        api::Peer { rest, .. } if !rest.is_empty() => ClusterPeer::Unknown,
        api::Peer { namespaces: Some(namespaces), pods: None, networks: None, .. } => {
            ClusterPeer::Pods(Subject::Namespaces(selector(namespaces)))
        }
        api::Peer { namespaces: None, pods: Some(both), networks: None, .. } => ClusterPeer::Pods(pods(both)),
        api::Peer { namespaces: None, pods: None, networks: Some(networks), .. } if !networks.is_empty() => {
            ClusterPeer::Networks(networks.clone())
        }
        _ => ClusterPeer::Unknown,
    }
}

fn protocol(at: &str, entry: &api::Protocol) -> Result<ClusterPort, FieldError> {
    if !entry.rest.is_empty() {
        return Ok(ClusterPort::Unknown);
    }
    match (&entry.tcp, &entry.udp, &entry.sctp, &entry.destination_named_port) {
        (Some(t), None, None, None) => transport(&format!("{at}.tcp"), Protocol::Tcp, t),
        (None, Some(t), None, None) => transport(&format!("{at}.udp"), Protocol::Udp, t),
        (None, None, Some(t), None) => transport(&format!("{at}.sctp"), Protocol::Sctp, t),
        (None, None, None, Some(name)) if !name.is_empty() => Ok(ClusterPort::Named(name.clone())),
        _ => Ok(ClusterPort::Unknown),
    }
}

fn transport(at: &str, protocol: Protocol, transport: &api::Transport) -> Result<ClusterPort, FieldError> {
    if !transport.rest.is_empty() {
        return Ok(ClusterPort::Unknown);
    }
    let Some(port) = &transport.destination_port else {
        return Ok(ClusterPort::Numbers { protocol, ports: None });
    };
    let at = format!("{at}.destinationPort");
    let ports = match port {
        api::Port { rest, .. } if !rest.is_empty() => return Ok(ClusterPort::Unknown),
        api::Port { number: Some(n), range: None, .. } => {
            let number = number(&format!("{at}.number"), *n)?;
            (number, number)
        }
        api::Port { number: None, range: Some(range), .. } => {
            let ends = (
                number(&format!("{at}.range.start"), range.start)?,
                number(&format!("{at}.range.end"), range.end)?,
            );
            if ends.0 > ends.1 {
                let allowed = format!("{} or more, as it begins there", ends.0);
                return Err(FieldError::new(format!("{at}.range.end"), range.end, allowed));
            }
            ends
        }
        _ => return Ok(ClusterPort::Unknown),
    };
    Ok(ClusterPort::Numbers { protocol, ports: Some(ports) })
}
