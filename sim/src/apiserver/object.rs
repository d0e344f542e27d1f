//! Stored objects: serialised once, with the few fields that are indexed.
//!
//! Everything that reads (lists, watches, history) shares the same bytes;
//! only a write parses them again.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::error::ApiError;

/// Where an object is: namespace (empty for cluster-wide ones) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Namespace; empty for cluster-wide objects.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of `namespace/name`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: Arc::from(namespace), name: Arc::from(name) }
    }
}

/// An object at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where it is.
    pub key: Key,
    /// Identity of this incarnation.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub revision: u64,
    /// `spec.nodeName`, for pods.
    pub node: Option<Arc<str>>,
    /// `status.phase`, or empty.
    pub phase: Arc<str>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The object as clients receive it.
    pub json: Bytes,
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Object {
    /// Writes the revision into `value` and serialises it.
    pub(super) fn seal(value: &mut Value, revision: u64) -> Result<Self, ApiError> {
        let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
        let metadata = metadata.ok_or_else(|| ApiError::invalid("metadata: Required value"))?;
        metadata.insert("resourceVersion".into(), Value::String(revision.to_string()));
        let text = |field: &str| metadata.get(field).and_then(Value::as_str);
        let name = text("name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ApiError::invalid("metadata.name: Required value"))?;
        let key = Key::new(text("namespace").unwrap_or_default(), name);
        let uid = Arc::from(text("uid").unwrap_or_default());
        let deleting = text("deletionTimestamp").is_some();
        let labels = metadata.get("labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        let labels =
            labels.map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into())).collect();
        let node = value.pointer("/spec/nodeName").and_then(Value::as_str).filter(|node| !node.is_empty());
        let node = node.map(Arc::from);
        let phase = Arc::from(value.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default());
        let json = Bytes::from(serde_json::to_vec(value).expect("a tree has no unwritable part"));
        Ok(Self { key, uid, revision, node, phase, deleting, json, labels })
    }

    /// The object as a tree, to be changed and sealed again.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).expect("it was serialised by `seal`")
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| **k == *key).map(|(_, v)| &**v)
    }
}
