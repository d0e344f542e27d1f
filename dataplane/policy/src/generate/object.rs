//! Strategies for objects.

use std::collections::BTreeMap;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{select, subsequence},
};

use super::address;
use crate::model::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Direction, Expression, Labels, Name,
    NamedPort, Namespace, Operator, Peer, Pod, Policy, Port, PortRef, Protocol, Rule, Selector, Subject,
    Tier,
};

/// Namespaces. Joined with pods' names by a dash some give the same text.
pub(super) const NAMESPACES: [&str; 4] = ["a", "a-b", "b", "kube-system"];
const PODS: [&str; 8] = ["b-c", "c", "web-0", "web-1", "web-2", "db", "dns", "x"];
const KEYS: [&str; 3] = ["app", "tier", "team"];
/// Texts that YAML may take for something else are among them.
const VALUES: [&str; 4] = ["x", "true", "1", ""];
const PORT_NAMES: [&str; 3] = ["http", "dns", "metrics"];
/// Numbers next to each other, next to a byte's end, and at both ends.
const PORTS: [u16; 12] = [1, 53, 79, 80, 81, 255, 256, 443, 8080, 32767, 65534, 65535];

fn word(from: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(from).prop_map(String::from)
}

fn labels(most: usize) -> impl Strategy<Value = Labels> {
    btree_map(word(&KEYS), word(&VALUES), 0..=most)
}

pub(super) fn namespace_labels() -> impl Strategy<Value = Labels> {
    labels(2)
}

pub(super) fn namespace(name: &str, mut labels: Labels) -> Namespace {
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
    Namespace { name: name.into(), labels }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn port_number() -> impl Strategy<Value = u16> {
    prop_oneof![6 => select(PORTS.to_vec()), 1 => 1..=u16::MAX]
}

/// Pods. Which families they have is the number of addresses: IPv4, IPv6, both; the addresses are given later.
pub(super) fn pod() -> impl Strategy<Value = Pod> {
    let port = (word(&PORT_NAMES), protocol(), port_number()).prop_map(|(name, protocol, port)| NamedPort {
        name,
        protocol,
        port,
    });
    let families = prop_oneof![1 => Just(0usize), 1 => Just(1), 3 => Just(2)];
    (
        (word(&NAMESPACES), word(&PODS)),
        0..100u32,
        labels(3),
        families,
        (prop::bool::weighted(0.1), prop::bool::weighted(0.15)),
        vec(port, 0..=3),
    )
        .prop_map(|((namespace, name), uid, labels, families, (host_network, finished), ports)| Pod {
            name: Name { namespace, name },
            uid: format!("uid-{uid}"),
            labels,
            ips: vec![std::net::Ipv4Addr::UNSPECIFIED.into(); families],
            host_network,
            finished,
            ports,
        })
}

fn expression(
    keys: impl Strategy<Value = String>,
    values: &'static [&'static str],
) -> impl Strategy<Value = Expression> {
    let operator = prop_oneof![
        6 => Just(Operator::In),
        6 => Just(Operator::NotIn),
        3 => Just(Operator::Exists),
        3 => Just(Operator::DoesNotExist),
        1 => Just(Operator::Unknown),
    ];
    (keys, operator, vec(word(values), 1..=2)).prop_map(|(key, operator, values)| {
        let values = if matches!(operator, Operator::In | Operator::NotIn) { values } else { Vec::new() };
        Expression { key, operator, values }
    })
}

fn pod_selector() -> BoxedStrategy<Selector> {
    let equal = btree_map(word(&KEYS), word(&VALUES), 0..=1);
    let expressions = prop_oneof![3 => Just(Vec::new()), 1 => vec(expression(word(&KEYS), &VALUES), 1..=2)];
    (equal, expressions).prop_map(|(equal, expressions)| Selector { equal, expressions }).boxed()
}

fn namespace_selector() -> BoxedStrategy<Selector> {
    let own_name = || "kubernetes.io/metadata.name".to_string();
    let by_name = word(&NAMESPACES).prop_map(move |name| Selector {
        equal: BTreeMap::from([(own_name(), name)]),
        expressions: Vec::new(),
    });
    let by_names = expression(Just(own_name()), &NAMESPACES)
        .prop_map(|expression| Selector { equal: BTreeMap::new(), expressions: vec![expression] });
    prop_oneof![3 => pod_selector(), 1 => by_name, 1 => by_names].boxed()
}

fn peer() -> BoxedStrategy<Peer> {
    // One with neither selector is Unknown, the last.
    let pods = prop_oneof![
        (namespace_selector(), option::of(pod_selector()))
            .prop_map(|(namespaces, pods)| (Some(namespaces), pods)),
        pod_selector().prop_map(|pods| (None, Some(pods))),
    ];
    prop_oneof![
        6 => pods.prop_map(|(namespaces, pods)| Peer::Pods { namespaces, pods }),
        5 => (address::cidr(), address::except()).prop_map(|(cidr, except)| Peer::Block { cidr, except }),
        1 => Just(Peer::Unknown),
    ]
    .boxed()
}

fn port() -> BoxedStrategy<Port> {
    let reference = prop_oneof![
        2 => Just(None),
        6 => port_number().prop_map(|number| Some(PortRef::Number(number))),
        4 => word(&PORT_NAMES).prop_map(|name| Some(PortRef::Named(name))),
    ];
    // An end that has no beginning, or one above it, is rare in life too.
    (option::weighted(0.7, protocol()), reference, option::weighted(0.4, port_number()), 0..8u8)
        .prop_map(|(protocol, port, end, odd)| {
            let end = match (&port, end) {
                (Some(PortRef::Number(first)), Some(end)) if odd > 0 => Some(end.max(*first)),
                (Some(PortRef::Number(_)), end) => end,
                (_, end) => end.filter(|_| odd == 0),
            };
            Port { protocol, port, end }
        })
        .boxed()
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (vec(peer(), 0..=3), vec(port(), 0..=3)).prop_map(|(peers, ports)| Rule { peers, ports });
    vec(rule, 0..=3)
}

/// NetworkPolicies.
pub fn policy() -> BoxedStrategy<Policy> {
    let types = subsequence(vec![Direction::Ingress, Direction::Egress], 0..=2).prop_shuffle();
    ((word(&NAMESPACES), 0..20u8), pod_selector(), types, rules(), rules())
        .prop_map(|((namespace, number), selector, types, ingress, egress)| Policy {
            name: Name { namespace, name: format!("policy-{number}") },
            selector,
            types,
            ingress,
            egress,
        })
        .boxed()
}

fn subject() -> BoxedStrategy<Subject> {
    prop_oneof![
        namespace_selector().prop_map(Subject::Namespaces),
        (namespace_selector(), pod_selector())
            .prop_map(|(namespaces, pods)| Subject::Pods { namespaces, pods }),
    ]
    .boxed()
}

fn cluster_port() -> impl Strategy<Value = ClusterPort> {
    let ports = prop_oneof![
        Just(None),
        (port_number(), port_number()).prop_map(|(a, b)| Some((a.min(b), a.max(b)))),
        port_number().prop_map(|number| Some((number, number))),
    ];
    prop_oneof![
        10 => (protocol(), ports).prop_map(|(protocol, ports)| ClusterPort::Numbers { protocol, ports }),
        4 => word(&PORT_NAMES).prop_map(ClusterPort::Named),
        1 => Just(ClusterPort::Unknown),
    ]
}

fn cluster_rules(direction: Direction) -> impl Strategy<Value = Vec<ClusterRule>> {
    let pods = subject().prop_map(ClusterPeer::Pods).boxed();
    let known = match direction {
        Direction::Ingress => pods,
        Direction::Egress => {
            prop_oneof![pods, vec(address::cidr(), 1..=3).prop_map(ClusterPeer::Networks)].boxed()
        }
    };
    let peer = prop_oneof![12 => known, 1 => Just(ClusterPeer::Unknown)];
    // A rule without peers is not valid; what it does is told nevertheless.
    let peers = prop_oneof![12 => vec(peer, 1..=2), 1 => Just(Vec::new())];
    let action = select(vec![Action::Accept, Action::Deny, Action::Pass]);
    let protocols = prop_oneof![Just(Vec::new()), vec(cluster_port(), 1..=3)];
    let rule = (0..3u8, action, peers, protocols).prop_map(|(number, action, peers, protocols)| {
        let name = if number == 0 { String::new() } else { format!("rule-{number}") };
        ClusterRule { name, action, peers, protocols }
    });
    vec(rule, 0..=3)
}

/// ClusterNetworkPolicies.
pub fn cluster_policy() -> BoxedStrategy<ClusterPolicy> {
    (
        (0..20u8, 0..4u8),
        select(vec![Tier::Admin, Tier::Baseline]),
        select(vec![0, 1, 5, 1000]),
        prop_oneof![12 => subject(), 1 => Just(Subject::Unknown)],
        cluster_rules(Direction::Ingress),
        cluster_rules(Direction::Egress),
    )
        .prop_map(|((number, uid), tier, priority, subject, ingress, egress)| ClusterPolicy {
            name: format!("policy-{number}"),
            uid: format!("uid-{uid}"),
            tier,
            priority,
            subject,
            ingress,
            egress,
        })
        .boxed()
}
