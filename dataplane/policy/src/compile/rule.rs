//! One direction of a policy's rules, in numbers: what [`super::set`] builds tables of.

use super::{block::Block, selector::Demands};
use crate::{
    layout::{ALLOW, DENY, PASS},
    model::{Action, NamedPort, Protocol},
};

/// Tiers in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Admin, and before it what the node's configuration denies.
    Admin,
    /// NetworkPolicies.
    Policy,
    /// Baseline.
    Baseline,
}

/// What a peer is selected by: one of these is an *atom*, and a class is a set of atoms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Matter {
    /// Pods of one namespace.
    Own { namespace: u32, pods: Demands },
    /// Pods of namespaces with labels.
    Labelled { namespaces: Demands, pods: Demands },
    /// Addresses.
    Addresses(Block),
    /// Every address that no pod has. There from the start or never.
    Outside,
    /// Pods on which a name stands for a port.
    Port { name: u32, protocol: Protocol, port: u16 },
}

impl Matter {
    /// Every string that it speaks of, but for its namespace, which is held elsewhere.
    pub(super) fn strings(&self) -> Vec<u32> {
        match self {
            Self::Own { pods, .. } => pods.strings().collect(),
            Self::Labelled { namespaces, pods } => namespaces.strings().chain(pods.strings()).collect(),
            Self::Addresses(_) | Self::Outside => Vec::new(),
            Self::Port { name, .. } => vec![*name],
        }
    }
}

/// A range of ports of one kind: 0 to 2 are TCP, UDP and SCTP, 3 are the other protocols by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) kind: u8,
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Range {
    pub(super) fn of(protocol: Protocol, first: u16, last: u16) -> Self {
        Self { kind: kind_of(protocol), first, last }
    }
}

pub(super) fn kind_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    }
}

/// A port name in a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PortName {
    pub(super) name: u32,
    /// `None` is any.
    pub(super) protocol: Option<Protocol>,
}

impl PortName {
    pub(super) fn protocols(&self) -> impl Iterator<Item = Protocol> + use<> {
        let only = self.protocol;
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .filter(move |each| only.is_none_or(|only| only == *each))
    }

    /// Numbers that it stands for on a pod with these ports.
    pub(super) fn on<'a>(&self, ports: &'a [(u32, Protocol, u16)]) -> impl Iterator<Item = Range> + use<'a> {
        let Self { name, protocol } = self.clone();
        ports
            .iter()
            .filter(move |port| port.0 == name && protocol.is_none_or(|protocol| protocol == port.1))
            .map(|port| Range::of(port.1, port.2, port.2))
    }
}

/// One rule, not bound to a pod yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spec {
    /// `ALLOW`, `DENY`, `PASS`.
    pub(super) action: u32,
    /// Any of these; `None` is any peer.
    pub(super) peers: Option<Vec<Matter>>,
    /// Any of these, or of the names; `None` is everything.
    pub(super) ports: Option<Ports>,
    /// Its place in the object, from 0.
    pub(super) index: u32,
    /// Its own name, of ClusterNetworkPolicies.
    pub(super) name: String,
}

impl Spec {
    /// Every string that it speaks of.
    pub(super) fn strings(&self) -> Vec<u32> {
        let peers = self.peers.iter().flatten().flat_map(Matter::strings);
        let names = self.ports.iter().flat_map(|ports| &ports.names).map(|name| name.name);
        peers.chain(names).collect()
    }
}

/// Ports of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ports {
    pub(super) ranges: Vec<Range>,
    pub(super) names: Vec<PortName>,
}

pub(super) fn action_of(action: Action) -> u32 {
    match action {
        Action::Accept => ALLOW,
        Action::Deny => DENY,
        Action::Pass => PASS,
    }
}

/// Named ports of a pod, interned.
pub(super) fn hold_ports(
    ports: &[NamedPort],
    strings: &mut super::intern::Interner,
) -> Box<[(u32, Protocol, u16)]> {
    let mut held: Vec<_> =
        ports.iter().map(|port| (strings.hold(&port.name), port.protocol, port.port)).collect();
    held.sort_unstable();
    held.into()
}
