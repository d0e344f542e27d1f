//! Selectors, and which pod has an address.

use std::net::IpAddr;

use crate::model::{Labels, Operator, Pod, Selector, Snapshot, Subject};

/// Whether labels meet all demands of a selector.
pub(super) fn matches(selector: &Selector, labels: &Labels) -> bool {
    for (key, value) in &selector.equal {
        if labels.get(key) != Some(value) {
            return false;
        }
    }
    for demand in &selector.expressions {
        let value = labels.get(&demand.key);
        let listed = value.is_some_and(|value| demand.values.contains(value));
        let met = match demand.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Unknown => false,
        };
        if !met {
            return false;
        }
    }
    true
}

/// Whether a pod's namespace meets a selector. A namespace that is not there has no labels to ask for and matches none.
pub(super) fn namespace_matches(snapshot: &Snapshot, pod: &Pod, selector: &Selector) -> bool {
    match snapshot.namespaces.get(&pod.name.namespace) {
        Some(namespace) => matches(selector, &namespace.labels),
        None => false,
    }
}

/// Whether a subject, of a ClusterNetworkPolicy or of a peer of one, includes a pod.
pub(super) fn subject_has(snapshot: &Snapshot, subject: &Subject, pod: &Pod) -> bool {
    match subject {
        Subject::Namespaces(namespaces) => namespace_matches(snapshot, pod, namespaces),
        Subject::Pods { namespaces, pods } => {
            namespace_matches(snapshot, pod, namespaces) && matches(pods, &pod.labels)
        }
        Subject::Unknown => false,
    }
}

/// The pod that has an address: neither one that has ended, whose address is another's or nobody's, nor one that shows
/// its node's. Should two claim one address for a moment, the first by name.
pub(super) fn pod_at(snapshot: &Snapshot, address: IpAddr) -> Option<&Pod> {
    snapshot.pods.values().find(|pod| !pod.finished && !pod.host_network && pod.ips.contains(&address))
}
