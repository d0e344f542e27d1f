//! A snapshot as manifests.

use k8s_openapi::{
    api::{
        core::v1::{self as core, Container, ContainerPort, PodIP, PodSpec, PodStatus},
        networking::v1::{
            IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
            NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use serde::Serialize;

use super::v1alpha2 as api;
use crate::model::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Direction, Name, Namespace, Operator, Peer,
    Pod, Policy, Port, PortRef, Protocol, Rule, Selector, Snapshot, Subject, Tier,
};

/// Writes a snapshot as YAML that [`read`](super::read) understands.
pub fn write(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for object in snapshot.namespaces.values() {
        document(&mut text, &namespace(object));
    }
    for object in snapshot.pods.values() {
        document(&mut text, &pod(object));
    }
    for object in snapshot.policies.values() {
        document(&mut text, &policy(object));
    }
    for object in snapshot.cluster_policies.values() {
        document(&mut text, &cluster_policy(object));
    }
    text
}

fn document(text: &mut String, object: &impl Serialize) {
    text.push_str("---\n");
    serde_saphyr::to_fmt_writer(text, object).expect("objects have text keys and go into a string");
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn named(name: &Name, uid: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.name.clone()),
        namespace: (!name.namespace.is_empty()).then(|| name.namespace.clone()),
        uid: (!uid.is_empty()).then(|| uid.into()),
        ..ObjectMeta::default()
    }
}

fn namespace(namespace: &Namespace) -> core::Namespace {
    let metadata =
        ObjectMeta { labels: Some(namespace.labels.clone()), ..named(&Name::new("", &namespace.name), "") };
    core::Namespace { metadata, ..core::Namespace::default() }
}

fn pod(pod: &Pod) -> core::Pod {
    let port = |port: &crate::model::NamedPort| ContainerPort {
        name: Some(port.name.clone()),
        container_port: port.port.into(),
        protocol: Some(protocol(port.protocol).into()),
        ..ContainerPort::default()
    };
    let container = Container {
        name: "main".into(),
        ports: some(pod.ports.iter().map(port).collect()),
        ..Container::default()
    };
    let ip = |ip: &std::net::IpAddr| PodIP { ip: ip.to_string() };
    core::Pod {
        metadata: ObjectMeta {
            labels: (!pod.labels.is_empty()).then(|| pod.labels.clone()),
            ..named(&pod.name, &pod.uid)
        },
        spec: Some(PodSpec {
            host_network: pod.host_network.then_some(true),
            containers: vec![container],
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some(if pod.finished { "Succeeded" } else { "Running" }.into()),
            pod_ip: pod.ips.first().map(ToString::to_string),
            pod_ips: some(pod.ips.iter().map(ip).collect()),
            ..PodStatus::default()
        }),
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

fn selector(selector: &Selector) -> LabelSelector {
    let expressions = selector.expressions.iter().map(|e| LabelSelectorRequirement {
        key: e.key.clone(),
        operator: match e.operator {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::Unknown => "Unknown",
        }
        .into(),
        values: some(e.values.clone()),
    });
    LabelSelector {
        match_labels: (!selector.equal.is_empty()).then(|| selector.equal.clone()),
        match_expressions: some(expressions.collect()),
    }
}

fn policy(policy: &Policy) -> NetworkPolicy {
    let ingress = policy.ingress.iter().map(|r| {
        let (from, ports) = rule(r);
        NetworkPolicyIngressRule { from, ports }
    });
    let egress = policy.egress.iter().map(|r| {
        let (to, ports) = rule(r);
        NetworkPolicyEgressRule { to, ports }
    });
    let types = policy.types.iter().map(|direction| match direction {
        Direction::Ingress => "Ingress".to_string(),
        Direction::Egress => "Egress".to_string(),
    });
    NetworkPolicy {
        metadata: named(&policy.name, ""),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(&policy.selector)),
            policy_types: some(types.collect()),
            ingress: some(ingress.collect()),
            egress: some(egress.collect()),
        }),
    }
}

fn rule(rule: &Rule) -> (Option<Vec<NetworkPolicyPeer>>, Option<Vec<NetworkPolicyPort>>) {
    (some(rule.peers.iter().map(peer).collect()), some(rule.ports.iter().map(port).collect()))
}

fn peer(peer: &Peer) -> NetworkPolicyPeer {
    match peer {
        Peer::Pods { namespaces, pods } => NetworkPolicyPeer {
            namespace_selector: namespaces.as_ref().map(selector),
            pod_selector: match (namespaces, pods) {
                // With neither, it would be no peer at all.
                (None, None) => Some(LabelSelector::default()),
                (_, pods) => pods.as_ref().map(selector),
            },
            ip_block: None,
        },
        Peer::Block { cidr, except } => NetworkPolicyPeer {
            ip_block: Some(IPBlock { cidr: cidr.clone(), except: some(except.clone()) }),
            ..NetworkPolicyPeer::default()
        },
        Peer::Unknown => NetworkPolicyPeer::default(),
    }
}

fn port(port: &Port) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: port.protocol.map(|p| protocol(p).into()),
        port: port.port.as_ref().map(|port| match port {
            PortRef::Number(number) => IntOrString::Int((*number).into()),
            PortRef::Named(name) => IntOrString::String(name.clone()),
        }),
        end_port: port.end.map(i32::from),
    }
}

fn cluster_policy(policy: &ClusterPolicy) -> api::ClusterNetworkPolicy {
    let rules = |rules: &[ClusterRule], direction| rules.iter().map(|r| cluster_rule(r, direction)).collect();
    let (namespaces, pods) = subject(&policy.subject);
    api::ClusterNetworkPolicy {
        api_version: "policy.networking.k8s.io/v1alpha2".into(),
        kind: "ClusterNetworkPolicy".into(),
        metadata: named(&Name::new("", &policy.name), &policy.uid),
        spec: api::Spec {
            tier: match policy.tier {
                Tier::Admin => "Admin".into(),
                Tier::Baseline => "Baseline".into(),
            },
            priority: policy.priority,
            subject: api::Subject { namespaces, pods, ..api::Subject::default() },
            ingress: rules(&policy.ingress, Direction::Ingress),
            egress: rules(&policy.egress, Direction::Egress),
        },
    }
}

fn subject(subject: &Subject) -> (Option<LabelSelector>, Option<api::NamespacedPod>) {
    match subject {
        Subject::Namespaces(namespaces) => (Some(selector(namespaces)), None),
        Subject::Pods { namespaces, pods } => {
            let pods =
                api::NamespacedPod { namespace_selector: selector(namespaces), pod_selector: selector(pods) };
            (None, Some(pods))
        }
        Subject::Unknown => (None, None),
    }
}

fn cluster_rule(rule: &ClusterRule, direction: Direction) -> api::Rule {
    let peers: Vec<api::Peer> = rule.peers.iter().map(cluster_peer).collect();
    let (from, to) = match direction {
        Direction::Ingress => (peers, Vec::new()),
        Direction::Egress => (Vec::new(), peers),
    };
    let action = match rule.action {
        Action::Accept => "Accept",
        Action::Deny => "Deny",
        Action::Pass => "Pass",
    };
    let protocols = rule.protocols.iter().map(cluster_port).collect();
    api::Rule { name: rule.name.clone(), action: action.into(), from, to, protocols }
}

fn cluster_peer(peer: &ClusterPeer) -> api::Peer {
    match peer {
        ClusterPeer::Pods(pods) => {
            let (namespaces, pods) = subject(pods);
            api::Peer { namespaces, pods, ..api::Peer::default() }
        }
        ClusterPeer::Networks(networks) => {
            api::Peer { networks: Some(networks.clone()), ..api::Peer::default() }
        }
        ClusterPeer::Unknown => api::Peer::default(),
    }
}

fn cluster_port(port: &ClusterPort) -> api::Protocol {
    match port {
        ClusterPort::Numbers { protocol, ports } => {
            let destination_port = ports.map(|(start, end)| {
                let range = api::PortRange { start: start.into(), end: end.into() };
                let (number, range) =
                    if start == end { (Some(start.into()), None) } else { (None, Some(range)) };
                api::Port { number, range, ..api::Port::default() }
            });
            let transport = Some(api::Transport { destination_port, ..api::Transport::default() });
            match protocol {
                Protocol::Tcp => api::Protocol { tcp: transport, ..api::Protocol::default() },
                Protocol::Udp => api::Protocol { udp: transport, ..api::Protocol::default() },
                Protocol::Sctp => api::Protocol { sctp: transport, ..api::Protocol::default() },
            }
        }
        ClusterPort::Named(name) => {
            api::Protocol { destination_named_port: Some(name.clone()), ..api::Protocol::default() }
        }
        ClusterPort::Unknown => api::Protocol::default(),
    }
}
