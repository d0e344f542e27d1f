//! Events on pods and on the node. Nothing waits for them: they are sent by a task of their own, and what it cannot
//! keep up with is dropped and counted.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{Event as CoreEvent, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use terway_core::{entropy::Entropy, id::NodeName, time::Clock};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};

use crate::metrics::Metrics;

/// Events that wait to be sent.
const WAITING: usize = 256;
/// Most that sending one may take.
const CALL: Duration = Duration::from_secs(5);
/// Who tells.
const COMPONENT: &str = "terway-daemon";

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Warning,
}

/// What is told.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) about: ObjectReference,
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// One number for all nodes that tell the same: then it is told once.
    pub(crate) once: Option<u64>,
}

/// Where events are given.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::Sender<Event>,
    node: NodeName,
    metrics: Arc<Metrics>,
}

/// A pod as an event refers to it.
pub(crate) fn pod(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(namespace.into()),
        name: Some(name.into()),
        uid: Some(uid.to_owned()).filter(|uid| !uid.is_empty()),
        ..ObjectReference::default()
    }
}

impl Events {
    /// Where to give them, and the task that sends them.
    pub(crate) fn new(
        kube: Client,
        node: NodeName,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: Arc<Metrics>,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let events = Self { queue, node: node.clone(), metrics: metrics.clone() };
        (events, send_all(waiting, kube, node, clock, entropy, metrics))
    }

    /// This node as an event refers to it.
    pub(crate) fn node(&self) -> ObjectReference {
        ObjectReference {
            kind: Some("Node".into()),
            name: Some(self.node.to_string()),
            // Events on nodes carry the name as uid: kubectl describe finds them by it.
            uid: Some(self.node.to_string()),
            ..ObjectReference::default()
        }
    }

    /// Tells, if there is room. False when it was dropped.
    pub(crate) fn tell(&self, event: Event) -> bool {
        let told = self.queue.try_send(event).is_ok();
        if !told {
            self.metrics.events_dropped.inc();
        }
        told
    }
}

async fn send_all(
    mut waiting: mpsc::Receiver<Event>,
    kube: Client,
    node: NodeName,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<Metrics>,
) {
    while let Some(event) = waiting.recv().await {
        let namespace = event.about.namespace.clone().unwrap_or_else(|| "default".into());
        let number = event.once.unwrap_or_else(|| entropy.next_u64());
        let name = format!("{}.{number:016x}", event.about.name.as_deref().unwrap_or("terway"));
        let now = Timestamp::try_from(clock.now()).ok().map(Time);
        let object = CoreEvent {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: event.about,
            type_: Some(if event.kind == Kind::Normal { "Normal" } else { "Warning" }.into()),
            reason: Some(event.reason),
            message: Some(event.message),
            count: Some(1),
            first_timestamp: now.clone(),
            last_timestamp: now,
            source: Some(EventSource { component: Some(COMPONENT.into()), host: Some(node.to_string()) }),
            reporting_component: Some(COMPONENT.into()),
            reporting_instance: Some(node.to_string()),
            ..CoreEvent::default()
        };
        let api: Api<CoreEvent> = Api::namespaced(kube.clone(), &namespace);
        let sent = timeout(CALL, api.create(&PostParams::default(), &object)).await;
        let told_by_another = matches!(&sent, Ok(Err(kube::Error::Api(status))) if status.code == 409);
        if !matches!(sent, Ok(Ok(_))) && !told_by_another {
            metrics.events_dropped.inc();
            tracing::debug!(?sent, "an event was not sent");
        }
    }
}
