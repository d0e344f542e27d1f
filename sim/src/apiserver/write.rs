//! The rules of writes, shared by HTTP requests and the simulator's own calls.

use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::draw::hash;
use super::error::ApiError;
use super::object::{Key, Object};
use super::patch::{self, object_in};
use super::resource::Resource;
use super::state::State;

/// Which part of an object a write may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but status: a plain PUT or PATCH.
    Main,
    /// Only status: the subresource.
    Status,
    /// Everything: the simulator's own calls.
    Whole,
}

/// Metadata that the server owns; what a client sends for it is ignored.
const OWNED: [&str; 5] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"];

impl State {
    pub(super) fn find(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Result<&Arc<Object>, ApiError> {
        let found = self.table(resource).get(&Key::new(namespace, name));
        found.ok_or_else(|| ApiError::not_found(resource.plural(), name))
    }

    /// Stores a new object; `part` is `Main` for a POST.
    pub(super) fn create(
        &mut self,
        resource: Resource,
        namespace: Option<&str>,
        mut value: Value,
        part: Part,
    ) -> Result<Arc<Object>, ApiError> {
        if !value.is_object() {
            return Err(ApiError::bad_request("the body is not an object"));
        }
        value["kind"] = resource.kind().into();
        value["apiVersion"] = resource.group_version().into();
        if resource == Resource::Pods && part == Part::Main {
            value["status"] = json!({ "phase": "Pending" });
        }
        let revision = self.revision + 1;
        let created = Value::from(self.timestamp(0));
        let metadata = object_in(&mut value["metadata"]);
        if let Some(namespace) = namespace {
            let own = metadata.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
            if own != namespace {
                return Err(ApiError::bad_request("the namespace of the object does not match the request"));
            }
            metadata.insert("namespace".into(), namespace.into());
        }
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (mut name, namespace) = (text("name"), text("namespace"));
        if resource.namespaced() == namespace.is_empty() {
            return Err(ApiError::invalid(format!("metadata.namespace: wrong for {}", resource.plural())));
        }
        // The revision makes it unique; the hash spreads it.
        let identity = hash(self.seed ^ revision, &["uid", resource.plural(), &namespace, &name]);
        if name.is_empty() {
            let prefix = text("generateName");
            if prefix.is_empty() {
                return Err(ApiError::invalid(
                    "metadata.name: Required value: name or generateName is required",
                ));
            }
            name = format!("{prefix}{:05x}", identity & 0xf_ffff);
            metadata.insert("name".into(), name.clone().into());
        }
        if self.table(resource).get(&Key::new(&namespace, &name)).is_some() {
            return Err(ApiError::already_exists(resource.plural(), &name));
        }
        for field in OWNED {
            metadata.remove(field);
        }
        metadata.insert("uid".into(), uuid(identity, revision).into());
        metadata.insert("creationTimestamp".into(), created);
        if !self.keeps(resource) {
            return Object::seal(&mut value, self.revision).map(Arc::new);
        }
        let object = Arc::new(Object::seal(&mut value, revision)?);
        self.revision = revision;
        self.commit(resource, None, Some(Arc::clone(&object)), object.json.clone());
        Ok(object)
    }

    /// Replaces the part of an object by that of `value` (PUT).
    pub(super) fn replace(
        &mut self,
        resource: Resource,
        namespace: &str,
        name: &str,
        value: Value,
        part: Part,
    ) -> Result<Arc<Object>, ApiError> {
        let before = Arc::clone(self.find(resource, namespace, name)?);
        // Leases guard elections: the real server refuses a blind PUT.
        let blind =
            value.pointer("/metadata/resourceVersion").and_then(Value::as_str).is_none_or(str::is_empty);
        if blind && resource == Resource::Leases {
            return Err(ApiError::invalid("metadata.resourceVersion: must be specified for an update"));
        }
        if value.pointer("/metadata/name").is_some_and(|own| own != name) {
            return Err(ApiError::bad_request("the name of the object does not match the request"));
        }
        let old = before.value();
        self.update(resource, &before, &old, value, part)
    }

    /// Patches the part of an object.
    pub(super) fn patch(
        &mut self,
        resource: Resource,
        namespace: &str,
        name: &str,
        dialect: &str,
        patch: Value,
        part: Part,
    ) -> Result<Arc<Object>, ApiError> {
        let before = Arc::clone(self.find(resource, namespace, name)?);
        let old = before.value();
        let mut value = old.clone();
        patch::apply(dialect, &mut value, patch)?;
        self.update(resource, &before, &old, value, part)
    }

    /// Stores `value` over `before`, whose tree is `old`.
    fn update(
        &mut self,
        resource: Resource,
        before: &Arc<Object>,
        old: &Value,
        mut value: Value,
        part: Part,
    ) -> Result<Arc<Object>, ApiError> {
        let name = &before.key.name;
        let given = |field: &str| value.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
        let stale =
            given("resourceVersion").is_some_and(|v| !v.is_empty() && v != before.revision.to_string());
        if stale {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(resource.plural(), name, why));
        }
        if part != Part::Whole && given("uid").is_some_and(|uid| *uid != *before.uid) {
            return Err(ApiError::conflict(
                resource.plural(),
                name,
                "Precondition failed: UID in precondition",
            ));
        }
        match part {
            Part::Main => value["status"] = old.get("status").cloned().unwrap_or_default(),
            Part::Status => {
                let status = value["status"].take();
                value.clone_from(old);
                value["status"] = status;
            }
            Part::Whole => {}
        }
        if value["status"].is_null() {
            object_in(&mut value).remove("status");
        }
        let metadata = object_in(&mut value["metadata"]);
        let owned: &[&str] = if part == Part::Whole { &[] } else { &OWNED };
        for field in owned.iter().copied().chain(["name", "namespace", "resourceVersion"]) {
            match old.pointer(&format!("/metadata/{field}")) {
                Some(kept) => drop(metadata.insert(field.into(), kept.clone())),
                None => drop(metadata.remove(field)),
            }
        }
        let finalized = metadata.get("finalizers").and_then(Value::as_array).is_none_or(Vec::is_empty);
        let doomed = metadata.get("deletionGracePeriodSeconds").is_some_and(|seconds| seconds == 0);
        if finalized && doomed && before.deleting {
            return self.remove(resource, before);
        }
        // A write that changes nothing is no event, as on the real server.
        if value == *old {
            return Ok(Arc::clone(before));
        }
        let revision = self.next_revision();
        let object = Arc::new(Object::seal(&mut value, revision)?);
        self.commit(resource, Some(Arc::clone(before)), Some(Arc::clone(&object)), object.json.clone());
        Ok(object)
    }

    /// Deletes: marks the object when a grace or a finalizer asks for it,
    /// else removes it. Returns the last state.
    pub(super) fn delete(
        &mut self,
        resource: Resource,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Arc<Object>, ApiError> {
        let before = Arc::clone(self.find(resource, namespace, name)?);
        let wanted =
            |field: &str| options.pointer(&format!("/preconditions/{field}")).and_then(Value::as_str);
        if wanted("uid").is_some_and(|uid| *uid != *before.uid) {
            return Err(ApiError::conflict(
                resource.plural(),
                name,
                "Precondition failed: UID in precondition",
            ));
        }
        if wanted("resourceVersion").is_some_and(|version| version != before.revision.to_string()) {
            let why = "Precondition failed: ResourceVersion in precondition";
            return Err(ApiError::conflict(resource.plural(), name, why));
        }
        let value = before.value();
        let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array);
        let held = finalizers.is_some_and(|finalizers| !finalizers.is_empty());
        // Only a pod on a node has a kubelet to wait for.
        let grace = if resource == Resource::Pods && before.node.is_some() {
            let asked = options.get("gracePeriodSeconds").and_then(Value::as_i64);
            let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
            asked.or(own).unwrap_or(30).max(0)
        } else {
            0
        };
        if grace > 0 || held {
            self.mark(resource, &before, value, grace)
        } else {
            self.remove(resource, &before)
        }
    }

    /// Sets `deletionTimestamp`, `grace` seconds from now.
    pub(super) fn mark(
        &mut self,
        resource: Resource,
        before: &Arc<Object>,
        mut value: Value,
        grace: i64,
    ) -> Result<Arc<Object>, ApiError> {
        let left = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        if left.is_some_and(|left| left <= grace) {
            // A second delete can shorten the grace, never extend it.
            return Ok(Arc::clone(before));
        }
        let when = Value::from(self.timestamp(grace));
        let metadata = object_in(&mut value["metadata"]);
        metadata.insert("deletionTimestamp".into(), when);
        metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        let revision = self.next_revision();
        let object = Arc::new(Object::seal(&mut value, revision)?);
        self.commit(resource, Some(Arc::clone(before)), Some(Arc::clone(&object)), object.json.clone());
        Ok(object)
    }

    /// Removes an object for good.
    pub(super) fn remove(
        &mut self,
        resource: Resource,
        before: &Arc<Object>,
    ) -> Result<Arc<Object>, ApiError> {
        let revision = self.next_revision();
        let last = Arc::new(Object::seal(&mut before.value(), revision)?);
        self.commit(resource, Some(Arc::clone(before)), None, last.json.clone());
        Ok(last)
    }

    /// Wall time, some seconds from now, as objects carry it.
    fn timestamp(&self, seconds: i64) -> String {
        let at = (self.wall)() + std::time::Duration::from_secs(seconds.unsigned_abs());
        let text = serde_json::to_value(Time(at)).ok();
        text.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The answer to a DELETE: pods show their last state, others a `Status`.
pub(super) fn deleted(resource: Resource, object: &Object) -> Bytes {
    if resource == Resource::Pods || object.deleting {
        return object.json.clone();
    }
    let details = json!({ "name": &*object.key.name, "kind": resource.plural(), "uid": &*object.uid });
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
    Bytes::from(status.to_string())
}

/// A UUID of version 4's shape, from two words.
fn uuid(a: u64, b: u64) -> String {
    let b = hash(a, &["uuid"]) ^ b;
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}
