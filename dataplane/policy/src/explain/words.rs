//! Selectors, peers and ports in words.

use crate::model::{
    Action, ClusterPeer, ClusterPort, ClusterRule, Expression, Operator, Peer, Port, PortRef, Protocol, Rule,
    Selector, Subject,
};

/// A rule of either kind, in one form.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) action: Action,
    /// `None` is any peer.
    pub(super) peers: Option<Vec<Peer>>,
    /// `None` is everything.
    pub(super) ports: Option<Vec<Entry>>,
    /// A part is not known here.
    pub(super) strange: bool,
}

/// An entry of a rule's ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `None` is any of the three.
    pub(super) protocol: Option<Protocol>,
    pub(super) what: Wanted,
}

/// Ports that an [`Entry`] speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Range(u16, u16),
    Name(String),
    /// It matches nothing, because of this.
    Nothing(String),
}

impl From<&Rule> for Form {
    fn from(rule: &Rule) -> Self {
        Self {
            action: Action::Accept,
            peers: (!rule.peers.is_empty()).then(|| rule.peers.clone()),
            ports: (!rule.ports.is_empty()).then(|| rule.ports.iter().map(Entry::from).collect()),
            strange: false,
        }
    }
}

impl From<&Port> for Entry {
    fn from(port: &Port) -> Self {
        let what = match (&port.port, port.end) {
            (None, None) => Wanted::All,
            (Some(PortRef::Number(number)), None) => Wanted::Range(*number, *number),
            (Some(PortRef::Number(first)), Some(last)) if last >= *first => Wanted::Range(*first, last),
            (Some(PortRef::Named(name)), None) => Wanted::Name(name.clone()),
            (_, Some(end)) => {
                Wanted::Nothing(format!("endPort {end} needs a numeric port that is not above it"))
            }
        };
        Self { protocol: Some(port.protocol.unwrap_or(Protocol::Tcp)), what }
    }
}

impl From<&ClusterRule> for Form {
    fn from(rule: &ClusterRule) -> Self {
        let mut strange = rule.peers.is_empty();
        let mut peers = Vec::new();
        for peer in &rule.peers {
            match peer {
                ClusterPeer::Pods(Subject::Namespaces(namespaces)) => {
                    peers.push(Peer::Pods { namespaces: Some(namespaces.clone()), pods: None });
                }
                ClusterPeer::Pods(Subject::Pods { namespaces, pods }) => {
                    peers.push(Peer::Pods { namespaces: Some(namespaces.clone()), pods: Some(pods.clone()) });
                }
                ClusterPeer::Networks(cidrs) => peers
                    .extend(cidrs.iter().map(|cidr| Peer::Block { cidr: cidr.clone(), except: Vec::new() })),
                ClusterPeer::Pods(Subject::Unknown) | ClusterPeer::Unknown => {
                    strange = true;
                    peers.push(Peer::Unknown);
                }
            }
        }
        let ports = rule.protocols.iter().map(|port| match port {
            ClusterPort::Numbers { protocol, ports } => {
                let what = ports.map_or(Wanted::All, |(first, last)| Wanted::Range(first, last));
                Entry { protocol: Some(*protocol), what }
            }
            ClusterPort::Named(name) => Entry { protocol: None, what: Wanted::Name(name.clone()) },
            ClusterPort::Unknown => {
                strange = true;
                Entry { protocol: None, what: Wanted::Nothing("it is not known here".into()) }
            }
        });
        let ports = (!rule.protocols.is_empty()).then(|| ports.collect());
        Self { action: rule.action, peers: Some(peers), ports, strange }
    }
}

/// What a rule does, in one word. With a part that is not known here, what is not an Accept denies.
pub(super) fn effect(form: &Form) -> &'static str {
    match form.action {
        Action::Accept => "allow",
        Action::Pass if !form.strange => "pass",
        Action::Deny | Action::Pass => "deny",
    }
}

/// A selector as kubectl takes it.
pub(super) fn selector(selector: &Selector) -> String {
    let equal = selector.equal.iter().map(|(key, value)| equal(key, value));
    let all: Vec<_> = equal.chain(selector.expressions.iter().map(expression)).collect();
    all.join(",")
}

/// A label with its value.
pub(super) fn equal(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// One demand.
pub(super) fn expression(expression: &Expression) -> String {
    let Expression { key, operator, values } = expression;
    match operator {
        Operator::In => format!("{key} in ({})", values.join(",")),
        Operator::NotIn => format!("{key} notin ({})", values.join(",")),
        Operator::Exists => key.clone(),
        Operator::DoesNotExist => format!("!{key}"),
        Operator::Unknown => format!("{key} with an unknown operator"),
    }
}

fn is_empty(selector: &Selector) -> bool {
    selector.equal.is_empty() && selector.expressions.is_empty()
}

/// A peer of a rule in a namespace; a ClusterNetworkPolicy's namespace is empty.
pub(super) fn peer(peer: &Peer, namespace: &str) -> String {
    match peer {
        Peer::Pods { namespaces, pods } => {
            let pods = match pods {
                Some(pods) if !is_empty(pods) => format!("pods {}", selector(pods)),
                _ => "all pods".into(),
            };
            match namespaces {
                None => format!("{pods} in namespace {namespace}"),
                Some(all) if is_empty(all) => format!("{pods} in all namespaces"),
                Some(some) => format!("{pods} in namespaces {}", selector(some)),
            }
        }
        Peer::Block { cidr, except } if except.is_empty() => cidr.clone(),
        Peer::Block { cidr, except } => format!("{cidr} except {}", except.join(", ")),
        Peer::Unknown => "a peer that is not known here".into(),
    }
}

/// An entry of ports.
pub(super) fn entry(entry: &Entry) -> String {
    let protocol = entry.protocol.map_or("any protocol".to_owned(), |protocol| protocol.to_string());
    match &entry.what {
        Wanted::All => format!("all of {protocol}"),
        Wanted::Range(first, last) if first == last => format!("{first}/{protocol}"),
        Wanted::Range(first, last) => format!("{first}-{last}/{protocol}"),
        Wanted::Name(name) => format!("{name}/{protocol}"),
        Wanted::Nothing(why) => format!("nothing ({why})"),
    }
}

/// All peers of a rule.
pub(super) fn peers(form: &Form, namespace: &str) -> String {
    match &form.peers {
        Some(_) if form.strange && form.action == Action::Accept => {
            "nobody, for a part of it is not known here".into()
        }
        Some(_) if form.strange => "everyone, for a part of it is not known here".into(),
        None => "any peer".into(),
        Some(peers) if peers.is_empty() => "no peer".into(),
        Some(peers) => {
            let all: Vec<_> = peers.iter().map(|each| peer(each, namespace)).collect();
            all.join(" or ")
        }
    }
}

/// All ports of a rule.
pub(super) fn ports(form: &Form) -> String {
    match &form.ports {
        _ if form.strange => "everything".into(),
        None => "everything".into(),
        Some(ports) => few(&ports.iter().map(entry).collect::<Vec<_>>()),
    }
}

/// A list that stays short.
pub(super) fn few(all: &[String]) -> String {
    const MOST: usize = 8;
    if all.len() <= MOST {
        return all.join(", ");
    }
    format!("{} and {} more", all[..MOST].join(", "), all.len() - MOST)
}
