//! Follows one kind of object, for as long as somebody listens.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api,
    api::DynamicObject,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use terway_core::{entropy::Entropy, spawn};
use terway_policy::model::Name;
use tokio::{sync::mpsc, time::sleep};

use super::{
    PolicyPorts,
    feed::{Followed, Input, Kind, cluster_policies},
};

/// First and longest pause after a watch that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long a kind that the API server does not know is left alone. Its definition may be installed later.
const UNKNOWN: Duration = Duration::from_secs(60);

/// Starts following everything that policy looks at.
pub(super) fn start(ports: &PolicyPorts, to: &mpsc::Sender<Input>) {
    let kube = &ports.kube;
    let begin = |name: &'static str, task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        spawn::spawn(&ports.spawner, name, task);
    };
    let entropy = || ports.entropy.clone();
    begin("policy-namespaces", Box::pin(follow(Api::<Namespace>::all(kube.clone()), entropy(), to.clone())));
    begin("policy-pods", Box::pin(follow(Api::<Pod>::all(kube.clone()), entropy(), to.clone())));
    begin(
        "policy-policies",
        Box::pin(follow(Api::<NetworkPolicy>::all(kube.clone()), entropy(), to.clone())),
    );
    let clusters = Api::<DynamicObject>::all_with(kube.clone(), &cluster_policies());
    begin("policy-cluster-policies", Box::pin(follow(clusters, entropy(), to.clone())));
}

/// Follows a kind. Ends when nobody listens any more.
async fn follow<K>(api: Api<K>, entropy: Arc<dyn Entropy>, to: mpsc::Sender<Input>)
where
    K: Followed + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    let mut pause = PAUSE.0;
    // UIDs of what was told: a late event of an older object must not hide the new one of its name.
    let mut known: BTreeMap<Name, Option<String>> = BTreeMap::new();
    let mut listing: Option<BTreeMap<Name, Option<String>>> = None;
    while let Some(event) = events.next().await {
        let inputs = match event {
            Ok(Event::Init) => {
                listing = Some(BTreeMap::new());
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                listing.get_or_insert_default().insert(object.named(), object.meta().uid.clone());
                told(&object)
            }
            Ok(Event::InitDone) => {
                pause = PAUSE.0;
                let listed = listing.take().unwrap_or_default();
                let gone = known.keys().filter(|name| !listed.contains_key(name)).cloned();
                let mut inputs: Vec<Input> = gone.map(|name| Input::Gone(K::KIND, name)).collect();
                inputs.push(Input::Listed(K::KIND));
                known = listed;
                inputs
            }
            Ok(Event::Apply(object)) => {
                known.insert(object.named(), object.meta().uid.clone());
                told(&object)
            }
            Ok(Event::Delete(object)) => {
                let name = object.named();
                if known.get(&name).is_none_or(|uid| *uid == object.meta().uid) {
                    known.remove(&name);
                    vec![Input::Gone(K::KIND, name)]
                } else {
                    Vec::new()
                }
            }
            // The kind is not defined in this cluster: there is none of it.
            Err(error) if K::KIND == Kind::ClusterPolicy && is_unknown(&error) => {
                if to.send(Input::Listed(K::KIND)).await.is_err() {
                    return;
                }
                sleep(entropy.jitter(UNKNOWN, 0.5)).await;
                Vec::new()
            }
            Err(error) => {
                tracing::debug!(kind = ?K::KIND, %error, "watch failed; trying again");
                sleep(entropy.jitter(pause, 1.0)).await;
                pause = (pause * 2).min(PAUSE.1);
                Vec::new()
            }
        };
        for input in inputs {
            if to.send(input).await.is_err() {
                return;
            }
        }
    }
}

/// One that cannot be read keeps what was known of it: to take it for gone could open what it closes.
fn told<K: Followed>(object: &K) -> Vec<Input> {
    match object.read() {
        Ok(read) => vec![Input::Set { object: read, flags: object.flags() }],
        Err(error) => {
            let name = object.named();
            tracing::warn!(kind = ?K::KIND, %name, reason = "PolicyNotUnderstood", "{error}; what was known of it stays");
            Vec::new()
        }
    }
}

fn is_unknown(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
