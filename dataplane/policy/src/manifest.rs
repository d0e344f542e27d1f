//! Kubernetes objects and manifests, to the [`model`](crate::model) and back.
//!
//! What the API server defaults or what policy has to make sense of is taken as it is stored; only what the model has no
//! words for is an error, and no API server would store it.
//!
//! - `field`: an error that names a field
//! - `convert`: pods, namespaces and NetworkPolicies
//! - `cluster`: ClusterNetworkPolicies, from [`v1alpha2`]
//! - `write`: a snapshot as manifests

mod cluster;
mod convert;
mod field;
pub mod v1alpha2;
mod write;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::{
    cluster::cluster_policy,
    convert::{namespace, pod, policy},
    field::FieldError,
    write::write,
};
use crate::model::{ClusterPolicy, Name, Namespace, Pod, Policy, Snapshot};

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A pod.
    Pod(Pod),
    /// A namespace.
    Namespace(Namespace),
    /// A NetworkPolicy.
    Policy(Policy),
    /// A ClusterNetworkPolicy.
    ClusterPolicy(ClusterPolicy),
    /// Something that policy does not look at, or that is not known here.
    Other {
        /// Its `apiVersion` and `kind`, as in `apps/v1 Deployment`.
        kind: String,
        /// Its name.
        name: Name,
    },
}

/// Why a manifest could not be read. Documents are counted from 1, without empty ones.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Text that is neither YAML nor JSON.
    #[error("read document {document} as YAML or JSON: {source}")]
    Syntax {
        /// Which document.
        document: usize,
        /// What is wrong where.
        source: Box<serde_saphyr::Error>,
    },
    /// A document without `apiVersion` and `kind`.
    #[error(
        "read document {document}: {field} is {found} where a Kubernetes object has a text such as {example}"
    )]
    NoObject {
        /// Which document.
        document: usize,
        /// Field that is missing.
        field: String,
        /// What stands there.
        found: String,
        /// What could.
        example: &'static str,
    },
    /// A field that cannot be what it is.
    #[error("read document {document}, {object}: {source}")]
    Field {
        /// Which document.
        document: usize,
        /// The object's kind and name.
        object: String,
        /// The field, and what is allowed there.
        source: FieldError,
    },
}

/// Reads manifests: YAML with any number of documents, or JSON; lists count as what they contain. Deployments and the
/// like are not expanded into pods.
pub fn read(text: &str) -> Result<Vec<Object>, ManifestError> {
    // The text is here already, so its length bounds the work; what bombs are made of, aliases, stays limited.
    let limit = text.len() + 16;
    let budget = serde_saphyr::budget! {
        max_documents: limit,
        max_nodes: limit,
        max_events: 4 * limit,
    };
    let options = serde_saphyr::options! { budget: budget };
    let mut bytes = text.as_bytes();
    let mut objects = Vec::new();
    for (index, value) in serde_saphyr::read_with_options::<_, Value>(&mut bytes, options).enumerate() {
        let document = index + 1;
        let value = value.map_err(|source| ManifestError::Syntax { document, source: Box::new(source) })?;
        object(document, "", None, value, &mut objects)?;
    }
    Ok(objects)
}

/// Reads one object, or each of a list. What a typed list contains need not repeat its kind.
fn object(
    document: usize,
    at: &str,
    inherited: Option<(&str, &str)>,
    value: Value,
    into: &mut Vec<Object>,
) -> Result<(), ManifestError> {
    let text = |field: &str, inherited: Option<&str>, example: &'static str| {
        let found = value.get(field).unwrap_or(&Value::Null);
        found.as_str().or(inherited).map(str::to_string).ok_or_else(|| ManifestError::NoObject {
            document,
            field: format!("{at}{field}"),
            found: field::shown(found),
            example,
        })
    };
    let version = text("apiVersion", inherited.map(|i| i.0), "networking.k8s.io/v1")?;
    let kind = text("kind", inherited.map(|i| i.1), "NetworkPolicy")?;

    if let (Some(item), Some(Value::Array(_))) = (kind.strip_suffix("List"), value.get("items")) {
        let inherited = (!item.is_empty()).then_some((version.as_str(), item));
        let Value::Object(mut list) = value else { return Ok(()) };
        let Some(Value::Array(items)) = list.remove("items") else { return Ok(()) };
        for (index, item) in items.into_iter().enumerate() {
            object(document, &format!("{at}items[{index}]."), inherited, item, into)?;
        }
        return Ok(());
    }

    let name = |field: &str| {
        let text = value.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str);
        text.unwrap_or_default().to_string()
    };
    let name = Name { namespace: name("namespace"), name: name("name") };
    let read = match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => typed(&value).and_then(|o| pod(&o)).map(Object::Pod),
        ("v1", "Namespace") => typed(&value).and_then(|o| namespace(&o)).map(Object::Namespace),
        ("networking.k8s.io/v1", "NetworkPolicy") => {
            strict(&value).and_then(|o| policy(&o)).map(Object::Policy)
        }
        ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy") => {
            typed(&value).and_then(|o| cluster_policy(&o)).map(Object::ClusterPolicy)
        }
        _ => {
            into.push(Object::Other { kind: format!("{version} {kind}"), name });
            return Ok(());
        }
    };
    match read {
        Ok(object) => into.push(object),
        Err(error) => {
            let source = FieldError { field: format!("{at}{}", error.field), ..error };
            return Err(ManifestError::Field { document, object: format!("{kind} {name}"), source });
        }
    }
    Ok(())
}

/// Reads a value as an object of the API.
fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    // On the text, one value a line, an error has a line; the line has a path.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| field::of(&text, &error))
}

/// The same, with no fields that are not the API's: a selector that is misspelled is one that is not there.
fn strict<T: DeserializeOwned + serde::Serialize>(value: &Value) -> Result<T, FieldError> {
    let read: T = typed(value)?;
    let known = serde_json::to_value(&read).unwrap_or_default();
    if let (Some(spec), Some(known)) = (value.get("spec"), known.get("spec")) {
        field::all_known("spec", spec, known)?;
    }
    Ok(read)
}

impl Snapshot {
    /// Adds an object, or replaces the one of its name.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Pod(pod) => {
                self.pods.insert(pod.name.clone(), pod);
            }
            Object::Namespace(namespace) => {
                self.namespaces.insert(namespace.name.clone(), namespace);
            }
            Object::Policy(policy) => {
                self.policies.insert(policy.name.clone(), policy);
            }
            Object::ClusterPolicy(policy) => {
                self.cluster_policies.insert(policy.name.clone(), policy);
            }
            Object::Other { .. } => {}
        }
    }

    /// Adds the namespaces that pods live in and that nobody wrote down, with the label that every namespace has.
    pub fn add_missing_namespaces(&mut self) {
        for pod in self.pods.values() {
            let name = &pod.name.namespace;
            if !self.namespaces.contains_key(name) {
                let labels = convert::with_own_name(name, None);
                self.namespaces.insert(name.clone(), Namespace { name: name.clone(), labels });
            }
        }
    }
}
