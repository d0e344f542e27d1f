//! The simulator's own way in: its kubelets, scheduler and workload write
//! here, at once and for free. Watches see these writes like any other.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::ApiServer;
use super::error::ApiError;
use super::object::{Key, Object};
use super::resource::Resource;
use super::spec::{NodeSpec, PodSpec, PodStatus};
use super::state::State;
use super::store::{Change, ChangeKind};
use super::write::Part;

/// A pod changed; what a subscriber hears, without latency or faults.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What happened, for one who sees this subscriber's pods.
    pub kind: ChangeKind,
    /// The pod now, or its last state.
    pub pod: Arc<Object>,
}

const MERGE: &str = "application/merge-patch+json";

impl ApiServer {
    /// Creates an object of any resource, status included.
    pub fn create(&self, resource: Resource, value: Value) -> Result<Arc<Object>, ApiError> {
        self.lock().create(resource, None, value, Part::Whole)
    }

    /// The object; `namespace` is empty for cluster-wide resources.
    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.lock().find(resource, namespace, name).ok().cloned()
    }

    /// Merges (RFC 7386) a patch over the whole object, status included.
    pub fn merge(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Arc<Object>, ApiError> {
        self.lock().patch(resource, namespace, name, MERGE, patch, Part::Whole)
    }

    /// Removes the object at once, whatever its finalizers and grace.
    pub fn remove(&self, resource: Resource, namespace: &str, name: &str) -> Result<Arc<Object>, ApiError> {
        let mut state = self.lock();
        let before = Arc::clone(state.find(resource, namespace, name)?);
        state.remove(resource, &before)
    }

    /// All objects, by namespace and name.
    pub fn all(&self, resource: Resource) -> Vec<Arc<Object>> {
        let everything = super::selector::Selector::default();
        self.lock().table(resource).select(&everything, None).cloned().collect()
    }

    /// How many objects exist.
    pub fn count(&self, resource: Resource) -> usize {
        self.lock().table(resource).len()
    }

    /// Creates a pod; with a node it is already scheduled.
    pub fn create_pod(&self, pod: &PodSpec) -> Result<Arc<Object>, ApiError> {
        self.create(Resource::Pods, pod.to_json())
    }

    /// The pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.get(Resource::Pods, namespace, name)
    }

    /// The pods of a node, by namespace and name.
    pub fn pods_on_node(&self, node: &str) -> Vec<Arc<Object>> {
        let fields = format!("spec.nodeName={node}");
        let selector = super::selector::Selector::parse(None, Some(&fields), None);
        let state = self.lock();
        selector.map_or_else(
            |_| Vec::new(),
            |all| state.table(Resource::Pods).select(&all, None).cloned().collect(),
        )
    }

    /// Puts a pod on a node; 409 if it already is on one.
    pub fn bind_pod(&self, namespace: &str, name: &str, node: &str) -> Result<Arc<Object>, ApiError> {
        let mut state = self.lock();
        let bound = state.find(Resource::Pods, namespace, name)?.node.clone();
        if let Some(bound) = bound {
            return Err(ApiError::conflict(
                "pods",
                name,
                &format!("pod is already assigned to node {bound}"),
            ));
        }
        let patch = json!({ "spec": { "nodeName": node } });
        state.patch(Resource::Pods, namespace, name, MERGE, patch, Part::Whole)
    }

    /// What the kubelet reports; unset fields stay.
    pub fn update_pod_status(
        &self,
        namespace: &str,
        name: &str,
        status: &PodStatus,
    ) -> Result<Arc<Object>, ApiError> {
        self.merge(Resource::Pods, namespace, name, status.to_patch())
    }

    /// Starts graceful deletion: `deletionTimestamp` is `grace` seconds from
    /// now. Nothing removes the pod until `remove_pod`.
    pub fn set_deletion_timestamp(
        &self,
        namespace: &str,
        name: &str,
        grace: u32,
    ) -> Result<Arc<Object>, ApiError> {
        let mut state = self.lock();
        let before = Arc::clone(state.find(Resource::Pods, namespace, name)?);
        state.mark(Resource::Pods, &before, before.value(), i64::from(grace))
    }

    /// Removes a pod at once, as the kubelet does when all is torn down.
    pub fn remove_pod(&self, namespace: &str, name: &str) -> Result<Arc<Object>, ApiError> {
        self.remove(Resource::Pods, namespace, name)
    }

    /// Registers a node.
    pub fn create_node(&self, node: &NodeSpec) -> Result<Arc<Object>, ApiError> {
        self.create(Resource::Nodes, node.to_json())
    }

    /// The node.
    pub fn node(&self, name: &str) -> Option<Arc<Object>> {
        self.get(Resource::Nodes, "", name)
    }

    /// Merges a patch over a node, status included.
    pub fn merge_node(&self, name: &str, patch: Value) -> Result<Arc<Object>, ApiError> {
        self.merge(Resource::Nodes, "", name, patch)
    }

    /// Removes a node; its pods stay, as they do until they are collected.
    pub fn delete_node(&self, name: &str) -> Result<Arc<Object>, ApiError> {
        self.remove(Resource::Nodes, "", name)
    }

    /// Changes of the pods of a node, or of all. A pod that is created
    /// unscheduled is `Added` to a node when it is bound. The channel is
    /// unbounded: drain it or drop it.
    pub fn subscribe_pods(&self, node: Option<&str>) -> UnboundedReceiver<Notice> {
        let (sender, receiver) = unbounded_channel();
        self.lock().subscribers.entry(node.map(Arc::from)).or_default().push(sender);
        receiver
    }
}

impl State {
    /// Tells the subscribers of the nodes concerned, then those of all.
    pub(super) fn notify(&mut self, change: &Change) {
        if self.subscribers.is_empty() {
            return;
        }
        let node_of = |object: &Option<Arc<Object>>| object.as_ref().and_then(|object| object.node.clone());
        let (before, after) = (node_of(&change.before), node_of(&change.after));
        let Some(pod) = change.after.as_ref().or(change.before.as_ref()).cloned() else { return };
        let everywhere = match (&change.before, &change.after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Modified,
        };
        let mut heard = Vec::new();
        if before == after {
            heard.push((before, everywhere));
        } else {
            heard.push((before, ChangeKind::Deleted));
            let kind = if change.before.is_some() { ChangeKind::Added } else { everywhere };
            heard.push((after, kind));
        }
        heard.retain(|(node, _)| node.is_some());
        heard.push((None, everywhere));
        for (node, kind) in heard {
            let Some(senders) = self.subscribers.get_mut(&node) else { continue };
            senders.retain(|sender| sender.send(Notice { kind, pod: Arc::clone(&pod) }).is_ok());
            if senders.is_empty() {
                self.subscribers.remove(&node);
            }
        }
    }
}

impl Key {
    /// `namespace/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
