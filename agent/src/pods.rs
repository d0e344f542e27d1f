//! The node's pods as the API server shows them: a watch, kept as the few fields that matter.
//!
//! The cache is a convenience for ADD and a hint for garbage collection. Nothing is ever freed on its
//! word alone: after an outage or a restart it may be empty or old.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event},
};
use terway_core::{
    bandwidth,
    host::Bandwidth,
    id::{PodKey, PodUid},
};
use tokio::time::timeout;

use crate::shared::Shared;

/// Annotation with the pod's addresses, comma separated.
pub const POD_IPS_ANNOTATION: &str = "k8s.aliyun.com/pod-ips";
/// Annotations with limits of a pod's traffic, in bytes per second. Deprecated, as in the original: the standard
/// ones come through the runtime and go first.
pub const INGRESS_ANNOTATION: &str = "k8s.aliyun.com/ingress-bandwidth";
/// As [`INGRESS_ANNOTATION`].
pub const EGRESS_ANNOTATION: &str = "k8s.aliyun.com/egress-bandwidth";
/// Most that an uncached read of a pod may take.
const READ: Duration = Duration::from_secs(10);

/// What is remembered of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodView {
    pub(crate) uid: PodUid,
    /// Succeeded or Failed: its sandbox will not be started again.
    pub(crate) finished: bool,
    /// Limits of its traffic, from the annotations that only the agent reads.
    pub(crate) bandwidth: Bandwidth,
}

impl PodView {
    fn of(pod: &Pod) -> Option<(PodKey, Self)> {
        let key = PodKey::new(pod.namespace()?, pod.name_any());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let finished = matches!(phase, Some("Succeeded" | "Failed"));
        let bandwidth = Bandwidth {
            ingress: limit(pod, &key, INGRESS_ANNOTATION),
            egress: limit(pod, &key, EGRESS_ANNOTATION),
        };
        Some((key, Self { uid: pod.uid()?.into(), finished, bandwidth }))
    }
}

/// A limit that cannot be read is none, as in the original; but not in silence.
fn limit(pod: &Pod, key: &PodKey, annotation: &str) -> u64 {
    let Some(text) = pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation)) else { return 0 };
    bandwidth::parse(text).unwrap_or_else(|error| {
        tracing::warn!(pod = %key, annotation, reason = "ParseFailed", "the limit is ignored: {error}");
        0
    })
}

/// Pods of this node.
#[derive(Default)]
pub(crate) struct PodCache {
    pods: Mutex<BTreeMap<PodKey, PodView>>,
}

impl PodCache {
    fn pods(&self) -> std::sync::MutexGuard<'_, BTreeMap<PodKey, PodView>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, pod: &PodKey) -> Option<PodView> {
        self.pods().get(pod).cloned()
    }
}

/// Follows the node's pods for as long as the agent runs.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let api: Api<Pod> = Api::all(shared.ports.kube.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", shared.settings.node));
    let mut events = watcher::watcher(api, config).boxed();
    let mut backoff = Duration::from_millis(500);
    // Pods of a list under way; they replace the cache when the list is complete.
    let mut listing: Option<BTreeMap<PodKey, PodView>> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing = Some(BTreeMap::new()),
            Ok(Event::InitApply(pod)) => {
                if let (Some(listing), Some((key, view))) = (&mut listing, PodView::of(&pod)) {
                    listing.insert(key, view);
                }
            }
            Ok(Event::InitDone) => {
                backoff = Duration::from_millis(500);
                if let Some(listing) = listing.take() {
                    *shared.pods.pods() = listing;
                }
            }
            Ok(Event::Apply(pod)) => {
                if let Some((key, view)) = PodView::of(&pod) {
                    shared.pods.pods().insert(key, view);
                }
            }
            Ok(Event::Delete(pod)) => {
                if let Some((key, view)) = PodView::of(&pod) {
                    let mut pods = shared.pods.pods();
                    // A late event of an older pod must not hide the new one.
                    if pods.get(&key).is_some_and(|known| known.uid == view.uid) {
                        pods.remove(&key);
                    }
                }
            }
            Err(error) => {
                shared.ports.probe.sometimes("pod-watch-failed");
                tracing::debug!(%error, "pod watch failed; trying again");
                tokio::time::sleep(shared.ports.entropy.jitter(backoff, 1.0)).await;
                backoff = (backoff * 2).min(Duration::from_secs(30));
            }
        }
    }
}

impl Shared {
    /// The pod as the API server has it now; nothing when it does not exist.
    pub(crate) async fn read_pod(&self, pod: &PodKey) -> Result<Option<PodView>, String> {
        let api: Api<Pod> = Api::namespaced(self.ports.kube.clone(), &pod.namespace);
        match timeout(READ, api.get_opt(&pod.name)).await {
            Ok(Ok(pod)) => Ok(pod.as_ref().and_then(PodView::of).map(|(_, view)| view)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", READ.as_secs())),
        }
    }

    /// Writes the pod's addresses where other tools look for them. Best effort, as in the original.
    pub(crate) fn annotate(self: &Arc<Self>, pod: PodKey, ips: String) {
        if !self.config().patch_pod_ips {
            return;
        }
        let shared = self.clone();
        self.spawn("annotate", async move {
            let api: Api<Pod> = Api::namespaced(shared.ports.kube.clone(), &pod.namespace);
            let patch = serde_json::json!({"metadata": {"annotations": {POD_IPS_ANNOTATION: ips}}});
            let params = PatchParams::default();
            match timeout(READ, api.patch_metadata(&pod.name, &params, &Patch::Merge(&patch))).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%pod, %error, "pod-ips annotation not written"),
                Err(_) => tracing::debug!(%pod, "pod-ips annotation not written in time"),
            }
        });
    }
}
