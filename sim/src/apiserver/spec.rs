//! The little that the simulator says about pods and nodes, turned into the
//! JSON that clients read. Only fields that an agent may look at are there:
//! memory is counted in copies of these bytes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::draw::hash;

/// A pod to create.
#[derive(Debug, Clone, Default)]
pub struct PodSpec {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its node, if it is already scheduled.
    pub node: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Kind of its controller, such as `StatefulSet`. The controller's name
    /// is the pod's without the last `-` part.
    pub owner_kind: Option<String>,
    /// Whether it uses the node's own network.
    pub host_network: bool,
    /// Limits (and requests) of its container, such as `aliyun/eni: 1`.
    pub resources: BTreeMap<String, String>,
    /// `terminationGracePeriodSeconds`; 30 if unset.
    pub grace: Option<u32>,
}

/// What a kubelet says of a pod; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: Option<String>,
    /// Addresses, the first being `podIP`.
    pub pod_ips: Option<Vec<String>>,
    /// The node's address.
    pub host_ip: Option<String>,
    /// The `Ready` condition; it replaces the other conditions.
    pub ready: Option<bool>,
}

/// A node to register.
#[derive(Debug, Clone, Default)]
pub struct NodeSpec {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `InternalIP`.
    pub internal_ip: Option<String>,
    /// Such as `cn-hangzhou.i-abc`.
    pub provider_id: Option<String>,
    /// Capacity and allocatable alike.
    pub allocatable: BTreeMap<String, String>,
}

impl PodSpec {
    pub(super) fn to_json(&self) -> Value {
        let mut metadata = metadata(&self.name, &self.labels, &self.annotations);
        metadata.insert("namespace".into(), self.namespace.as_str().into());
        if let Some(kind) = &self.owner_kind {
            let name = self.name.rsplit_once('-').map_or(self.name.as_str(), |(owner, _)| owner);
            let uid = format!("{:016x}", hash(0, &["owner", kind, &self.namespace, name]));
            let owner = json!({
                "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            });
            metadata.insert("ownerReferences".into(), json!([owner]));
        }
        let mut container = json!({ "name": "main", "image": "app" });
        if !self.resources.is_empty() {
            container["resources"] = json!({ "limits": self.resources, "requests": self.resources });
        }
        let mut spec = json!({
            "containers": [container],
            "terminationGracePeriodSeconds": self.grace.unwrap_or(30),
        });
        if let Some(node) = &self.node {
            spec["nodeName"] = node.as_str().into();
        }
        if self.host_network {
            spec["hostNetwork"] = true.into();
        }
        json!({ "metadata": metadata, "spec": spec, "status": { "phase": "Pending" } })
    }
}

impl PodStatus {
    pub(super) fn to_patch(&self) -> Value {
        let mut status = Map::new();
        if let Some(phase) = &self.phase {
            status.insert("phase".into(), phase.as_str().into());
        }
        if let Some(ips) = &self.pod_ips {
            let first = ips.first().map_or(Value::Null, |ip| ip.as_str().into());
            status.insert("podIP".into(), first);
            status.insert("podIPs".into(), ips.iter().map(|ip| json!({ "ip": ip })).collect());
        }
        if let Some(ip) = &self.host_ip {
            status.insert("hostIP".into(), ip.as_str().into());
        }
        if let Some(ready) = self.ready {
            let word = if ready { "True" } else { "False" };
            status.insert("conditions".into(), json!([{ "type": "Ready", "status": word }]));
        }
        json!({ "status": status })
    }
}

impl NodeSpec {
    pub(super) fn to_json(&self) -> Value {
        let mut spec = Map::new();
        if let Some(id) = &self.provider_id {
            spec.insert("providerID".into(), id.as_str().into());
        }
        let mut addresses = vec![json!({ "type": "Hostname", "address": self.name })];
        addresses.extend(self.internal_ip.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })));
        json!({
            "metadata": metadata(&self.name, &self.labels, &self.annotations),
            "spec": spec,
            "status": {
                "addresses": addresses,
                "capacity": self.allocatable,
                "allocatable": self.allocatable,
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        })
    }
}

fn metadata(
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("name".into(), name.into());
    if !labels.is_empty() {
        metadata.insert("labels".into(), json!(labels));
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".into(), json!(annotations));
    }
    metadata
}
