//! The objects of `policy.networking.k8s.io/v1alpha2`, for which there is no crate.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields that are not known here. That there are any matters: what was written means something else then.
pub type Rest = BTreeMap<String, Value>;

/// A ClusterNetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNetworkPolicy {
    /// `policy.networking.k8s.io/v1alpha2`.
    #[serde(default)]
    pub api_version: String,
    /// `ClusterNetworkPolicy`.
    #[serde(default)]
    pub kind: String,
    /// Name, UID and so on.
    pub metadata: ObjectMeta,
    /// What it says.
    pub spec: Spec,
}

/// What a [`ClusterNetworkPolicy`] says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// `Admin` or `Baseline`.
    pub tier: String,
    /// 0 to 1000.
    pub priority: i32,
    /// Pods that it is about.
    pub subject: Subject,
    /// Rules for what comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Rule>,
    /// Rules for what goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Rule>,
}

/// Pods; one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// All pods of these namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// What else is written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Two selectors, both of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedPod {
    /// Namespaces.
    #[serde(default)]
    pub namespace_selector: LabelSelector,
    /// Pods in them.
    #[serde(default)]
    pub pod_selector: LabelSelector,
}

/// A rule of either direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// Sources, in a rule for what comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Peer>,
    /// Destinations, in a rule for what goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Peer>,
    /// Protocols; none is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<Protocol>,
}

/// One peer of a rule; one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// All pods of these namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// What else is written: `nodes`, `domainNames`, what comes later.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One protocol of a rule; one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    /// TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Transport>,
    /// UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<Transport>,
    /// SCTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sctp: Option<Transport>,
    /// A named port of the destination pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_named_port: Option<String>,
    /// What else is written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What is asked of a protocol with ports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transport {
    /// Its destination port; none is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<Port>,
    /// What else is written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Ports by number; one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// One port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    /// Some that follow each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<PortRange>,
    /// What else is written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Ports that follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub start: i32,
    /// The last, included.
    pub end: i32,
}
