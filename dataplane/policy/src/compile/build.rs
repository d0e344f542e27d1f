//! From policies as they are written to rules in numbers: defaults, names, blocks. What cannot be understood closes:
//! an allowing part then matches nothing, a denying one everything.

use super::{
    block::Block,
    intern::Interner,
    rule::{Matter, PortName, Ports, Range, Spec, action_of},
    selector::Demands,
};
use crate::{
    layout::{ALLOW, DENY},
    model::{
        Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Direction, Peer, Policy, Port, PortRef,
        Protocol, Rule, Selector, Subject,
    },
};

/// Both directions of a policy; `None` where it does not isolate (or has nothing to say).
pub(super) struct Built {
    pub(super) directions: [Option<Vec<Spec>>; 2],
    /// What was not understood, in words.
    pub(super) problems: Vec<String>,
}

/// Rules of a NetworkPolicy.
pub(super) fn policy(policy: &Policy, namespace: u32, strings: &mut Interner) -> Built {
    let mut problems = Vec::new();
    let isolates = |direction: Direction| match (policy.types.is_empty(), direction) {
        (false, direction) => policy.types.contains(&direction),
        (true, Direction::Ingress) => true,
        (true, Direction::Egress) => !policy.egress.is_empty(),
    };
    let mut side = |direction: Direction, rules: &[Rule]| {
        isolates(direction).then(|| {
            (0..)
                .zip(rules)
                .map(|(index, rule)| one(rule, index, namespace, strings, &mut problems))
                .collect::<Vec<_>>()
        })
    };
    let directions = [side(Direction::Ingress, &policy.ingress), side(Direction::Egress, &policy.egress)];
    Built { directions, problems }
}

fn one(rule: &Rule, index: u32, namespace: u32, strings: &mut Interner, problems: &mut Vec<String>) -> Spec {
    let peers = (!rule.peers.is_empty())
        .then(|| rule.peers.iter().filter_map(|peer| matter(peer, namespace, strings, problems)).collect());
    let ports = (!rule.ports.is_empty()).then(|| {
        let mut ports = Ports::default();
        for port in &rule.ports {
            add_port(port, strings, &mut ports, problems);
        }
        ports
    });
    Spec { action: ALLOW, peers, ports, index, name: String::new() }
}

fn matter(peer: &Peer, namespace: u32, strings: &mut Interner, problems: &mut Vec<String>) -> Option<Matter> {
    match peer {
        Peer::Pods { namespaces, pods } => {
            let everything = Selector::default();
            let pods = Demands::hold(pods.as_ref().unwrap_or(&everything), strings);
            Some(match namespaces {
                None => Matter::Own { namespace, pods },
                Some(namespaces) => Matter::Labelled { namespaces: Demands::hold(namespaces, strings), pods },
            })
        }
        Peer::Block { cidr, except } => block(cidr, except, problems),
        Peer::Unknown => {
            problems.push("a peer has no field that is known here; it matches nothing".into());
            None
        }
    }
}

fn block(cidr: &str, except: &[String], problems: &mut Vec<String>) -> Option<Matter> {
    match Block::parse(cidr, except) {
        Ok(block) => Some(Matter::Addresses(block)),
        Err(problem) => {
            problems.push(format!("ipBlock {cidr}: {problem}; the whole block matches nothing"));
            None
        }
    }
}

fn add_port(port: &Port, strings: &mut Interner, into: &mut Ports, problems: &mut Vec<String>) {
    let protocol = port.protocol.unwrap_or(Protocol::Tcp);
    match (&port.port, port.end) {
        (None, None) => into.ranges.push(Range::of(protocol, 0, u16::MAX)),
        (Some(PortRef::Number(number)), None) => into.ranges.push(Range::of(protocol, *number, *number)),
        (Some(PortRef::Number(first)), Some(last)) if last >= *first => {
            into.ranges.push(Range::of(protocol, *first, last));
        }
        (Some(PortRef::Named(name)), None) => {
            into.names.push(PortName { name: strings.hold(name), protocol: Some(protocol) });
        }
        (_, Some(last)) => {
            problems.push(format!(
                "endPort {last} needs a numeric port that is not above it; the entry matches nothing"
            ));
        }
    }
}

/// Rules of a ClusterNetworkPolicy.
pub(super) fn cluster_policy(policy: &ClusterPolicy, strings: &mut Interner) -> Built {
    let mut problems = Vec::new();
    let mut side = |direction: Direction, rules: &[ClusterRule]| {
        (!rules.is_empty()).then(|| {
            let rules = (0..).zip(rules);
            rules
                .map(|(index, rule)| cluster(rule, index, direction, strings, &mut problems))
                .collect::<Vec<_>>()
        })
    };
    let directions = [side(Direction::Ingress, &policy.ingress), side(Direction::Egress, &policy.egress)];
    Built { directions, problems }
}

fn cluster(
    rule: &ClusterRule,
    index: u32,
    direction: Direction,
    strings: &mut Interner,
    problems: &mut Vec<String>,
) -> Spec {
    let name = rule.name.clone();
    if !is_understood(rule, direction) {
        let accepts = rule.action == Action::Accept;
        let effect = if accepts { "matches nothing" } else { "denies everything" };
        problems.push(format!("rule {index} has a peer or protocol that is not known here; it {effect}"));
        let peers = accepts.then(Vec::new);
        return Spec { action: if accepts { ALLOW } else { DENY }, peers, ports: None, index, name };
    }
    let mut peers = Vec::new();
    for peer in &rule.peers {
        match peer {
            ClusterPeer::Pods(Subject::Namespaces(namespaces)) => {
                let pods = Demands::default();
                peers.push(Matter::Labelled { namespaces: Demands::hold(namespaces, strings), pods });
            }
            ClusterPeer::Pods(Subject::Pods { namespaces, pods }) => peers.push(Matter::Labelled {
                namespaces: Demands::hold(namespaces, strings),
                pods: Demands::hold(pods, strings),
            }),
            ClusterPeer::Networks(networks) => {
                peers.extend(networks.iter().filter_map(|cidr| block(cidr, &[], problems)));
            }
            ClusterPeer::Pods(Subject::Unknown) | ClusterPeer::Unknown => {}
        }
    }
    let ports = (!rule.protocols.is_empty()).then(|| {
        let mut ports = Ports::default();
        for port in &rule.protocols {
            match port {
                ClusterPort::Numbers { protocol, ports: range } => {
                    let (first, last) = range.unwrap_or((0, u16::MAX));
                    if first <= last {
                        ports.ranges.push(Range::of(*protocol, first, last));
                    }
                }
                ClusterPort::Named(name) => {
                    ports.names.push(PortName { name: strings.hold(name), protocol: None });
                }
                ClusterPort::Unknown => {}
            }
        }
        ports
    });
    Spec { action: action_of(rule.action), peers: Some(peers), ports, index, name }
}

/// Whether all of a rule is known here. Addresses as peers are defined for egress alone.
fn is_understood(rule: &ClusterRule, direction: Direction) -> bool {
    let peer = |peer: &ClusterPeer| match peer {
        ClusterPeer::Pods(subject) => *subject != Subject::Unknown,
        ClusterPeer::Networks(_) => direction == Direction::Egress,
        ClusterPeer::Unknown => false,
    };
    !rule.peers.is_empty() && rule.peers.iter().all(peer) && !rule.protocols.contains(&ClusterPort::Unknown)
}
