//! What reaches the engine.

use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    ResourceExt as _,
    api::{ApiResource, DynamicObject},
};
use terway_policy::{
    layout::{ENDPOINT_METADATA, ENDPOINT_ROUTER, Event},
    manifest::{self, Object, v1alpha2::ClusterNetworkPolicy},
    model::Name,
};
use tokio::sync::oneshot;

use super::{Place, describe::Told};

/// Annotation of a pod that forwards for others (`true`): the source of what it sends is not checked.
pub const ROUTER_ANNOTATION: &str = "policy.terway-rs.io/router";
/// Annotation of a pod that may reach the instance metadata where that is closed to pods (`allow`).
pub const METADATA_ANNOTATION: &str = "policy.terway-rs.io/instance-metadata";

/// Kinds of objects that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Namespace,
    Pod,
    Policy,
    ClusterPolicy,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Namespace, Self::Pod, Self::Policy, Self::ClusterPolicy];
}

/// What the engine is told.
#[derive(Debug)]
pub(super) enum Input {
    /// An object is so now.
    Set {
        /// It.
        object: Object,
        /// `ENDPOINT_*` that a pod's annotations ask for.
        flags: u32,
    },
    /// An object is gone.
    Gone(Kind, Name),
    /// All objects of a kind have been told.
    Listed(Kind),
    /// A pod gets an endpoint.
    Bind { place: Place, done: oneshot::Sender<()> },
    /// Events are to be put into words.
    Describe {
        /// As the programs told them.
        events: Vec<Event>,
        /// The words, in the same order.
        done: oneshot::Sender<Vec<Told>>,
    },
    /// An endpoint goes.
    Unbind { link: u32 },
}

/// Objects that can be followed.
pub(super) trait Followed: kube::Resource + Sized {
    const KIND: Kind;

    fn named(&self) -> Name {
        Name::new(self.namespace().unwrap_or_default(), self.name_any())
    }

    /// In the model; an error says what is wrong with it.
    fn read(&self) -> Result<Object, String>;

    /// `ENDPOINT_*` that its annotations ask for.
    fn flags(&self) -> u32 {
        0
    }
}

impl Followed for Namespace {
    const KIND: Kind = Kind::Namespace;

    fn read(&self) -> Result<Object, String> {
        manifest::namespace(self).map(Object::Namespace).map_err(|error| error.to_string())
    }
}

impl Followed for Pod {
    const KIND: Kind = Kind::Pod;

    fn read(&self) -> Result<Object, String> {
        manifest::pod(self).map(Object::Pod).map_err(|error| error.to_string())
    }

    fn flags(&self) -> u32 {
        let annotations = self.annotations();
        let asked = |key: &str, value: &str| annotations.get(key).is_some_and(|given| given == value);
        let mut flags = 0;
        if asked(ROUTER_ANNOTATION, "true") {
            flags |= ENDPOINT_ROUTER;
        }
        if asked(METADATA_ANNOTATION, "allow") {
            flags |= ENDPOINT_METADATA;
        }
        flags
    }
}

impl Followed for NetworkPolicy {
    const KIND: Kind = Kind::Policy;

    fn read(&self) -> Result<Object, String> {
        manifest::policy(self).map(Object::Policy).map_err(|error| error.to_string())
    }
}

impl Followed for DynamicObject {
    const KIND: Kind = Kind::ClusterPolicy;

    fn read(&self) -> Result<Object, String> {
        let value = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let read: ClusterNetworkPolicy = serde_json::from_value(value).map_err(|error| error.to_string())?;
        manifest::cluster_policy(&read).map(Object::ClusterPolicy).map_err(|error| error.to_string())
    }
}

/// ClusterNetworkPolicies, for which there is no crate of types.
pub(super) fn cluster_policies() -> ApiResource {
    ApiResource {
        group: "policy.networking.k8s.io".into(),
        version: "v1alpha2".into(),
        api_version: "policy.networking.k8s.io/v1alpha2".into(),
        kind: "ClusterNetworkPolicy".into(),
        plural: "clusternetworkpolicies".into(),
    }
}
