//! Pods, namespaces and NetworkPolicies.

use std::net::IpAddr;

use k8s_openapi::{
    api::{
        core::v1::{self as core, Container},
        networking::v1 as networking,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::field::FieldError;
use crate::model::{
    Direction, Expression, Labels, Name, NamedPort, Namespace, Operator, Peer, Pod, Policy, Port, PortRef,
    Protocol, Rule, Selector,
};

/// Label of every namespace that the API server has seen.
const OWN_NAME: &str = "kubernetes.io/metadata.name";

/// Reads a pod.
pub fn pod(pod: &core::Pod) -> Result<Pod, FieldError> {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let mut ports = Vec::new();
    if let Some(spec) = spec {
        for (index, container) in spec.containers.iter().enumerate() {
            named_ports(&format!("spec.containers[{index}]"), container, &mut ports)?;
        }
        for (index, container) in spec.init_containers.iter().flatten().enumerate() {
            // Those that always restart live as long as the pod.
            if container.restart_policy.as_deref() == Some("Always") {
                named_ports(&format!("spec.initContainers[{index}]"), container, &mut ports)?;
            }
        }
    }
    Ok(Pod {
        name: name(&pod.metadata)?,
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        ips: addresses(status)?,
        host_network: spec.and_then(|s| s.host_network).unwrap_or_default(),
        finished: matches!(status.and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed")),
        ports,
    })
}

/// Reads a namespace.
pub fn namespace(namespace: &core::Namespace) -> Result<Namespace, FieldError> {
    let name = own_name(&namespace.metadata)?;
    let labels = with_own_name(&name, namespace.metadata.labels.clone());
    Ok(Namespace { name, labels })
}

/// Labels of a namespace with the one that the API server adds.
pub(super) fn with_own_name(name: &str, labels: Option<Labels>) -> Labels {
    let mut labels = labels.unwrap_or_default();
    labels.entry(OWN_NAME.into()).or_insert_with(|| name.into());
    labels
}

/// Reads a NetworkPolicy.
pub fn policy(policy: &networking::NetworkPolicy) -> Result<Policy, FieldError> {
    let spec = policy.spec.clone().unwrap_or_default();
    let mut types = Vec::new();
    for (index, text) in spec.policy_types.iter().flatten().enumerate() {
        types.push(match text.as_str() {
            "Ingress" => Direction::Ingress,
            "Egress" => Direction::Egress,
            other => {
                let field = format!("spec.policyTypes[{index}]");
                return Err(FieldError::new(field, other, "Ingress or Egress"));
            }
        });
    }
    let mut ingress = Vec::new();
    for (index, r) in spec.ingress.iter().flatten().enumerate() {
        ingress.push(rule(&format!("spec.ingress[{index}]"), r.from.as_deref(), r.ports.as_deref())?);
    }
    let mut egress = Vec::new();
    for (index, r) in spec.egress.iter().flatten().enumerate() {
        egress.push(rule(&format!("spec.egress[{index}]"), r.to.as_deref(), r.ports.as_deref())?);
    }
    let selector = spec.pod_selector.as_ref().map(selector).unwrap_or_default();
    Ok(Policy { name: name(&policy.metadata)?, selector, types, ingress, egress })
}

pub(super) fn own_name(metadata: &ObjectMeta) -> Result<String, FieldError> {
    match &metadata.name {
        Some(name) if !name.is_empty() => Ok(name.clone()),
        other => Err(FieldError::new("metadata.name", other, "a name")),
    }
}

fn name(metadata: &ObjectMeta) -> Result<Name, FieldError> {
    let namespace = metadata.namespace.clone().filter(|n| !n.is_empty());
    Ok(Name { namespace: namespace.unwrap_or_else(|| "default".into()), name: own_name(metadata)? })
}

fn addresses(status: Option<&core::PodStatus>) -> Result<Vec<IpAddr>, FieldError> {
    let Some(status) = status else { return Ok(Vec::new()) };
    let mut texts: Vec<(String, &str)> = Vec::new();
    for (index, ip) in status.pod_ips.iter().flatten().enumerate() {
        texts.push((format!("status.podIPs[{index}].ip"), &ip.ip));
    }
    if let (true, Some(ip)) = (texts.is_empty(), &status.pod_ip) {
        texts.push(("status.podIP".into(), ip));
    }
    let mut addresses = Vec::new();
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        addresses.push(text.parse().map_err(|_| FieldError::new(field, text, "an IPv4 or IPv6 address"))?);
    }
    Ok(addresses)
}

fn named_ports(at: &str, container: &Container, into: &mut Vec<NamedPort>) -> Result<(), FieldError> {
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let at = format!("{at}.ports[{index}]");
        let number = number(&format!("{at}.containerPort"), port.container_port)?;
        let protocol = protocol(&format!("{at}.protocol"), port.protocol.as_deref())?;
        if let Some(name) = port.name.clone().filter(|name| !name.is_empty()) {
            into.push(NamedPort { name, protocol: protocol.unwrap_or(Protocol::Tcp), port: number });
        }
    }
    Ok(())
}

/// Reads a port's number.
pub(super) fn number(field: &str, number: i32) -> Result<u16, FieldError> {
    match u16::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(FieldError::new(field, number, "1 to 65535")),
    }
}

fn protocol(field: &str, text: Option<&str>) -> Result<Option<Protocol>, FieldError> {
    match text {
        None => Ok(None),
        Some("TCP") => Ok(Some(Protocol::Tcp)),
        Some("UDP") => Ok(Some(Protocol::Udp)),
        Some("SCTP") => Ok(Some(Protocol::Sctp)),
        Some(other) => Err(FieldError::new(field, other, "TCP, UDP or SCTP")),
    }
}

/// Reads a selector. Operators are texts in the API; one that is not known makes it match nothing.
pub(super) fn selector(selector: &LabelSelector) -> Selector {
    let expressions = selector.match_expressions.iter().flatten().map(|e| Expression {
        key: e.key.clone(),
        operator: match e.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => Operator::Unknown,
        },
        values: e.values.clone().unwrap_or_default(),
    });
    Selector { equal: selector.match_labels.clone().unwrap_or_default(), expressions: expressions.collect() }
}

fn rule(
    at: &str,
    peers: Option<&[networking::NetworkPolicyPeer]>,
    ports: Option<&[networking::NetworkPolicyPort]>,
) -> Result<Rule, FieldError> {
    let mut rule = Rule { peers: peers.unwrap_or_default().iter().map(peer).collect(), ports: Vec::new() };
    for (index, entry) in ports.unwrap_or_default().iter().enumerate() {
        rule.ports.push(port(&format!("{at}.ports[{index}]"), entry)?);
    }
    Ok(rule)
}

fn peer(peer: &networking::NetworkPolicyPeer) -> Peer {
    match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
        (Some(block), None, None) => {
            Peer::Block { cidr: block.cidr.clone(), except: block.except.clone().unwrap_or_default() }
        }
        (None, None, None) | (Some(_), _, _) => Peer::Unknown,
        (None, namespaces, pods) => {
            Peer::Pods { namespaces: namespaces.as_ref().map(selector), pods: pods.as_ref().map(selector) }
        }
    }
}

fn port(at: &str, port: &networking::NetworkPolicyPort) -> Result<Port, FieldError> {
    Ok(Port {
        protocol: protocol(&format!("{at}.protocol"), port.protocol.as_deref())?,
        port: match &port.port {
            None => None,
            Some(IntOrString::Int(n)) => Some(PortRef::Number(number(&format!("{at}.port"), *n)?)),
            Some(IntOrString::String(name)) => Some(PortRef::Named(name.clone())),
        },
        end: port.end_port.map(|n| number(&format!("{at}.endPort"), n)).transpose()?,
    })
}
