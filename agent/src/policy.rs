//! The policy engine: from the API server's objects to the node's maps.
//!
//! It follows namespaces, pods and policies, and publishes each change as the compiler orders it. Until it has seen all of
//! them once, what a predecessor left in the maps stays in force, and a pod that starts is locked: its node and itself
//! alone. A pod's endpoint is written before its address is told to anybody.
//!
//! - `watch`: follows one kind of object; `feed`: what is made of each.
//! - `describe`: words for what the programs tell.
//! - `engine`: the one task that owns the compiler.

mod describe;
mod engine;
mod feed;
mod watch;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use terway_core::{entropy::Entropy, probe::Probe, spawn, spawn::Spawner};
use terway_policy::{compile::NodeRule, layout::Event, model::Name, port::PolicyMaps};
use tokio::sync::{mpsc, oneshot, watch as watch_channel};

pub use self::describe::{End, Severity, Told};
use self::feed::Input;
pub use self::feed::{METADATA_ANNOTATION, ROUTER_ANNOTATION};

/// Changes that wait for the engine; watches wait when it is behind.
const BACKLOG: usize = 1024;
/// How long a full map is left alone before all is compiled anew.
const FULL_REST: Duration = Duration::from_secs(60);

/// What is told of each change of policy.
pub trait PolicyMeter: Send + Sync {
    /// A policy was seen and is in force, so long after.
    fn synced(&self, after: Duration);
    /// What was wanted could not be put in force.
    fn failed(&self);
}

/// Nobody counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeter;

impl PolicyMeter for NoMeter {
    fn synced(&self, _: Duration) {}
    fn failed(&self) {}
}

/// What the engine works with.
#[derive(Clone)]
#[expect(missing_docs, reason = "one field per port, documented there")]
pub struct PolicyPorts {
    pub kube: kube::Client,
    pub maps: Arc<dyn PolicyMaps>,
    pub entropy: Arc<dyn Entropy>,
    pub spawner: Arc<dyn Spawner>,
    pub meter: Arc<dyn PolicyMeter>,
    pub probe: Arc<dyn Probe>,
}

/// How policy is enforced on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// The node's own addresses.
    pub node_ips: Vec<IpAddr>,
    /// `CONTROL_*` flags that are configured; whether flows are tracked is the engine's.
    pub flags: u32,
    /// Denials for the whole node.
    pub node_rules: Vec<NodeRule>,
    /// Ticks of the maps' clock per second.
    pub hz: u32,
    /// Folder in which the programs are pinned.
    pub pins: PathBuf,
    /// Ranges of addresses of services, which are translated behind the pods' links.
    pub services: Vec<IpNet>,
    /// Bit of a packet's mark that says "not judged yet"; 0 where no services are known.
    pub pending_mark: u32,
    /// Denied packets told as events, per second and processor, at most.
    pub event_rate: u32,
    /// One of so many new flows is told as an event; 0 is none.
    pub sample: u32,
}

/// A pod's place on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of its host link.
    pub link: u32,
    /// Which pod.
    pub pod: Name,
    /// Which of that name; empty is any.
    pub uid: String,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// `ENDPOINT_ROUTER`, `ENDPOINT_METADATA`.
    pub flags: u32,
}

/// What the engine is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not everything has been seen yet; what a predecessor left is in force.
    #[default]
    Loading,
    /// What the API server shows is in force.
    Serving,
    /// What is in force is older than what the API server shows, because of this.
    Degraded(String),
}

/// For conditions, metrics and checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyStatus {
    /// What it is at.
    pub phase: Phase,
    /// Changes that were published.
    pub published: u64,
    /// Changes that could not be.
    pub failed: u64,
    /// Rule sets in force.
    pub rule_sets: usize,
    /// Entries and room by map.
    pub usage: Vec<(&'static str, usize, usize)>,
    /// Problems of policies: whose, and what.
    pub problems: Vec<(Name, String)>,
}

/// A running engine. Ends with its scope.
#[derive(Clone)]
pub struct Policy {
    to: Arc<Mutex<mpsc::Sender<Input>>>,
    status: watch_channel::Sender<PolicyStatus>,
    served: watch_channel::Sender<bool>,
}

/// The engine's scope has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy engine has ended; nothing is written any more")]
pub struct PolicyEnded;

impl Policy {
    /// Starts following and publishing. `places` are the endpoints that the store knows of.
    pub fn start(ports: PolicyPorts, settings: PolicySettings, places: Vec<Place>) -> Self {
        let (to, from) = mpsc::channel(BACKLOG);
        let (status, _) = watch_channel::channel(PolicyStatus::default());
        let (served, _) = watch_channel::channel(false);
        let policy = Self { to: Arc::new(Mutex::new(to)), status, served };
        let spawner = ports.spawner.clone();
        spawn::spawn(&spawner, "policy", supervise(policy.clone(), ports, settings, places, from));
        policy
    }

    /// Writes a pod's endpoint. When it resolves, the pod is governed: by its policies, or locked where they are not
    /// known yet. Its address may be told from then on.
    pub async fn bind(&self, place: Place) -> Result<(), PolicyEnded> {
        let (done, written) = oneshot::channel();
        self.sender().send(Input::Bind { place, done }).await.map_err(|_| PolicyEnded)?;
        written.await.map_err(|_| PolicyEnded)
    }

    /// Takes a pod's endpoint away.
    pub async fn unbind(&self, link: u32) -> Result<(), PolicyEnded> {
        self.sender().send(Input::Unbind { link }).await.map_err(|_| PolicyEnded)
    }

    /// Puts what the programs told into words.
    pub async fn describe(&self, events: Vec<Event>) -> Result<Vec<Told>, PolicyEnded> {
        let (done, told) = oneshot::channel();
        self.sender().send(Input::Describe { events, done }).await.map_err(|_| PolicyEnded)?;
        told.await.map_err(|_| PolicyEnded)
    }

    /// Whether everything that is wanted has been in force once.
    pub fn has_served(&self) -> bool {
        *self.served.borrow()
    }

    /// Resolves when everything that is wanted has been in force once.
    pub async fn served(&self) {
        // The sender is ours.
        let _ = self.served.subscribe().wait_for(|served| *served).await;
    }

    /// What it is at, and what it comes to.
    pub fn changes(&self) -> watch_channel::Receiver<PolicyStatus> {
        self.status.subscribe()
    }

    /// What it is at.
    pub fn status(&self) -> PolicyStatus {
        self.status.borrow().clone()
    }

    fn sender(&self) -> mpsc::Sender<Input> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_status(&self, change: impl FnOnce(&mut PolicyStatus)) {
        self.status.send_modify(change);
    }
}

/// Runs engines one after the other: a full map ends one, and the next begins with what there is then.
async fn supervise(
    policy: Policy,
    ports: PolicyPorts,
    settings: PolicySettings,
    places: Vec<Place>,
    mut from: mpsc::Receiver<Input>,
) {
    let mut places: BTreeMap<u32, Place> = places.into_iter().map(|place| (place.link, place)).collect();
    loop {
        watch::start(&ports, &policy.sender());
        let error = engine::run(&policy, &ports, &settings, &mut places, &mut from).await;
        let Some(error) = error else { return };
        tracing::error!(reason = "PolicyNotPublished", "{error}; what is in force stays, and is tried anew");
        policy.set_status(|status| {
            status.phase = Phase::Degraded(error);
            status.failed += 1;
        });
        ports.meter.failed();
        // Old watches end with their channel; binds go on meanwhile, locked.
        let (to, next) = mpsc::channel(BACKLOG);
        *policy.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
        from = engine::rest(&ports, from, next, &mut places, FULL_REST).await;
    }
}
