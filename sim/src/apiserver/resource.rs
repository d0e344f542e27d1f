//! The resources served, and how a path names one.

use super::error::ApiError;

/// A resource that the server knows. Pods and nodes have behaviour of their
/// own; the others are stored and watched like any object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// core/v1 pods.
    Pods,
    /// core/v1 nodes.
    Nodes,
    /// core/v1 namespaces.
    Namespaces,
    /// core/v1 configmaps.
    ConfigMaps,
    /// core/v1 services.
    Services,
    /// coordination.k8s.io/v1 leases.
    Leases,
    /// networking.k8s.io/v1 networkpolicies.
    NetworkPolicies,
    /// core/v1 events: accepted, answered, forgotten.
    Events,
    /// events.k8s.io/v1 events: the same.
    EventsV1,
}

/// What the paths and bodies of a resource look like.
struct Form {
    resource: Resource,
    group_version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
}

/// In the order of the enum, whose value is the index.
const FORMS: [Form; Resource::COUNT] = [
    form(Resource::Pods, "v1", "pods", "Pod", true),
    form(Resource::Nodes, "v1", "nodes", "Node", false),
    form(Resource::Namespaces, "v1", "namespaces", "Namespace", false),
    form(Resource::ConfigMaps, "v1", "configmaps", "ConfigMap", true),
    form(Resource::Services, "v1", "services", "Service", true),
    form(Resource::Leases, "coordination.k8s.io/v1", "leases", "Lease", true),
    form(Resource::NetworkPolicies, "networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", true),
    form(Resource::Events, "v1", "events", "Event", true),
    form(Resource::EventsV1, "events.k8s.io/v1", "events", "Event", true),
];

const fn form(
    resource: Resource,
    group_version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Form {
    Form { resource, group_version, plural, kind, namespaced }
}

impl Resource {
    /// How many there are.
    pub(super) const COUNT: usize = 9;

    fn form(self) -> &'static Form {
        &FORMS[self as usize]
    }

    /// The name in paths, such as `pods`.
    pub fn plural(self) -> &'static str {
        self.form().plural
    }

    /// The `kind` of an object.
    pub fn kind(self) -> &'static str {
        self.form().kind
    }

    /// The `apiVersion` of an object.
    pub fn group_version(self) -> &'static str {
        self.form().group_version
    }

    /// Whether objects live in namespaces.
    pub fn namespaced(self) -> bool {
        self.form().namespaced
    }

    /// Whether they are events, which are kept only where that is asked for.
    pub(super) fn is_event(self) -> bool {
        matches!(self, Self::Events | Self::EventsV1)
    }
}

/// What a path points at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) resource: Resource,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) status: bool,
}

impl<'a> Route<'a> {
    /// Parses `/api/v1/…` and `/apis/<group>/<version>/…`.
    pub(super) fn parse(path: &'a str) -> Result<Self, ApiError> {
        Self::find(path).ok_or_else(|| ApiError::no_such_path(path))
    }

    fn find(path: &'a str) -> Option<Self> {
        let (group_version, rest) = if let Some(rest) = path.strip_prefix("/apis/") {
            let group_end = rest.find('/')?;
            let version_end = rest[group_end + 1..].find('/')? + group_end + 1;
            (&rest[..version_end], &rest[version_end + 1..])
        } else {
            ("v1", path.strip_prefix("/api/v1/")?)
        };
        let mut parts = rest.split('/');
        let mut take = || parts.next().filter(|part| !part.is_empty());
        let (first, second, third, fourth, fifth) = (take()?, take(), take(), take(), take());
        // `/namespaces/x/pods` is a list of pods; `/namespaces/x` and its
        // subresources are the namespace.
        let in_namespace = first == "namespaces" && !matches!(third, None | Some("status" | "finalize"));
        let (namespace, plural, name, sub) =
            if in_namespace { (second, third?, fourth, fifth) } else { (None, first, second, third) };
        let form = FORMS.iter().find(|form| form.group_version == group_version && form.plural == plural)?;
        let status = match sub {
            None => false,
            Some("status") => true,
            Some(_) => return None,
        };
        if namespace.is_some() && !form.namespaced {
            return None;
        }
        Some(Self { resource: form.resource, namespace, name, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, form) in FORMS.iter().enumerate() {
            assert_eq!(form.resource as usize, at, "{}", form.plural);
        }
    }

    #[test]
    fn paths_name_what_they_should() {
        let pod = Route::parse("/api/v1/namespaces/ns/pods/p/status").expect("a pod's status");
        assert_eq!((pod.resource, pod.namespace, pod.name), (Resource::Pods, Some("ns"), Some("p")));
        assert!(pod.status);
        let all = Route::parse("/api/v1/pods").expect("all pods");
        assert_eq!((all.resource, all.namespace, all.name), (Resource::Pods, None, None));
        let lease = Route::parse("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n");
        assert_eq!(lease.expect("a lease").resource, Resource::Leases);
        assert_eq!(
            Route::parse("/api/v1/namespaces/ns").expect("a namespace").resource,
            Resource::Namespaces
        );
        assert!(Route::parse("/api/v1/gadgets").is_err());
        assert!(Route::parse("/api/v1/nodes/n/proxy").is_err());
    }
}
