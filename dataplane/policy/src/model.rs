//! The objects that policy is made of, as far as policy looks at them: pods, namespaces, NetworkPolicies,
//! ClusterNetworkPolicies. Nothing here is defaulted, parsed or resolved yet; that is the business of those who judge,
//! and two of them, compiler and reference, do it independently of each other.

use std::{collections::BTreeMap, net::IpAddr};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Transport protocols that a rule can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// Direction of a flow, seen from the pod that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// A namespaced object's name; a cluster's object has an empty namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name in it.
    pub name: String,
}

impl Name {
    /// A name in a namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A port that a container (or a restartable init container) declares with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: Name,
    /// Tells apart two pods that had one name after each other.
    pub uid: String,
    /// Its labels.
    pub labels: Labels,
    /// Addresses that the API server shows for it (or that its node's agent has just given it).
    pub ips: Vec<IpAddr>,
    /// Whether it lives in its node's network namespace.
    pub host_network: bool,
    /// Whether it is Succeeded or Failed: its addresses are another's, or nobody's.
    pub finished: bool,
    /// Named ports of its containers, in any order.
    pub ports: Vec<NamedPort>,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, `kubernetes.io/metadata.name` included.
    pub labels: Labels,
}

/// A demand on labels; all of its parts must hold, so one without parts holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Keys that must have exactly these values.
    pub equal: BTreeMap<String, String>,
    /// Further demands.
    pub expressions: Vec<Expression>,
}

/// One demand on one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expression {
    /// Key of the label.
    pub key: String,
    /// What is demanded of it.
    pub operator: Operator,
    /// Values for `In` and `NotIn`.
    pub values: Vec<String>,
}

/// What an [`Expression`] demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The key is there with one of the values.
    In,
    /// The key is absent, or has none of the values.
    NotIn,
    /// The key is there.
    Exists,
    /// The key is absent.
    DoesNotExist,
    /// An operator that is not known here: the whole selector matches nothing.
    Unknown,
}

/// A NetworkPolicy (`networking.k8s.io/v1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Namespace and name.
    pub name: Name,
    /// Pods that it selects, in its namespace.
    pub selector: Selector,
    /// `policyTypes` as stored; empty when omitted.
    pub types: Vec<Direction>,
    /// Rules for what comes.
    pub ingress: Vec<Rule>,
    /// Rules for what goes.
    pub egress: Vec<Rule>,
}

/// One rule of a NetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// `from` or `to`; empty is any peer.
    pub peers: Vec<Peer>,
    /// `ports`; empty is every port and every protocol.
    pub ports: Vec<Port>,
}

/// One peer of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods, by their labels and those of their namespaces.
    Pods {
        /// Namespaces; `None` is the policy's own.
        namespaces: Option<Selector>,
        /// Pods in them; `None` is all.
        pods: Option<Selector>,
    },
    /// Addresses.
    Block {
        /// The CIDR as written, not parsed.
        cidr: String,
        /// Holes in it, as written.
        except: Vec<String>,
    },
    /// A peer with no field that is known here: matches nothing.
    Unknown,
}

/// One port of a NetworkPolicy's rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// `protocol`; `None` when omitted, which is TCP.
    pub protocol: Option<Protocol>,
    /// `port`; `None` is every port of the protocol, 0 included.
    pub port: Option<PortRef>,
    /// `endPort`, as stored: the range is `port..=endPort`. With a name, without `port` or below it, the entry matches
    /// nothing.
    pub end: Option<u16>,
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By the name that a container of the destination pod declares.
    Named(String),
}

/// Tiers of ClusterNetworkPolicy; NetworkPolicies stand between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before NetworkPolicies, and final unless it passes.
    Admin,
    /// For pods that no NetworkPolicy isolates in the direction.
    Baseline,
}

/// What a ClusterNetworkPolicy's rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Allows, finally.
    Accept,
    /// Denies, finally.
    Deny,
    /// Leaves the tier.
    Pass,
}

/// A ClusterNetworkPolicy (`policy.networking.k8s.io/v1alpha2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Its name.
    pub name: String,
    /// Breaks ties of priority after the name.
    pub uid: String,
    /// Its tier.
    pub tier: Tier,
    /// 0 to 1000, the lower goes first.
    pub priority: i32,
    /// Pods that it is about; never those of the host's network.
    pub subject: Subject,
    /// Rules for what comes, first match decides.
    pub ingress: Vec<ClusterRule>,
    /// Rules for what goes, first match decides.
    pub egress: Vec<ClusterRule>,
}

/// Pods by namespace and label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// All pods of the namespaces.
    Namespaces(Selector),
    /// Pods with these labels in namespaces with those.
    Pods {
        /// Namespaces.
        namespaces: Selector,
        /// Pods in them.
        pods: Selector,
    },
    /// Neither field is set: selects nothing.
    Unknown,
}

/// One rule of a ClusterNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterRule {
    /// Its name, perhaps empty.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// `from` or `to`: any of them. Empty is not valid and matches as a single [`ClusterPeer::Unknown`].
    pub peers: Vec<ClusterPeer>,
    /// `protocols`: any of them; empty is everything.
    pub protocols: Vec<ClusterPort>,
}

/// One peer of a ClusterNetworkPolicy's rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterPeer {
    /// Pods.
    Pods(Subject),
    /// Addresses, as written; only for egress, and not known for ingress. One that is no CIDR matches nothing.
    Networks(Vec<String>),
    /// A peer that is not known here (nodes, domain names, what comes later): an Accept rule with one matches nothing,
    /// whatever its other peers; a Deny or Pass rule with one denies everything.
    Unknown,
}

/// One entry of `protocols`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterPort {
    /// A protocol, with its destination ports; `None` is every port, 0 included.
    Numbers {
        /// Its protocol.
        protocol: Protocol,
        /// First and last port, both included.
        ports: Option<(u16, u16)>,
    },
    /// A named port of the destination pod, whatever its protocol.
    Named(String),
    /// Nothing that is known here: closed in the same way as an unknown peer.
    Unknown,
}

/// Everything that verdicts depend on, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Pods of the whole cluster by name.
    pub pods: BTreeMap<Name, Pod>,
    /// NetworkPolicies by name.
    pub policies: BTreeMap<Name, Policy>,
    /// ClusterNetworkPolicies by name.
    pub cluster_policies: BTreeMap<String, ClusterPolicy>,
}
