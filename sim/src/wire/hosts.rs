//! What runs on which host, and how an agent reaches the others.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper_util::{client::legacy::Client, rt::TokioTimer};
use terway_chaos::Fault;
use terway_core::spawn::Spawner;
use tokio::{runtime::Handle, sync::watch};

use super::{
    link::Link,
    net::{self, API_SERVER, Connector, OfTheWorld, Tasks},
};
use crate::{
    node::SimNode,
    profile::{Profile, Reach},
    scenario::WireModel,
    scope::{Scope, ScopeSpawner},
    world::World,
};

/// How long a client keeps a connection that it does not use.
const IDLE: Duration = Duration::from_secs(60);

/// What the hosts of a run share: it stands for nothing in the simulated world.
pub(super) struct Stage {
    inner: Mutex<Inner>,
    /// The world, once the control plane has built it and until the run ends.
    world: watch::Sender<Option<Weak<World>>>,
    raised: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    homes: BTreeMap<String, Handle>,
    links: BTreeMap<String, Link>,
    changed: Vec<String>,
}

impl Stage {
    pub(super) fn new(zones: &[String]) -> Arc<Self> {
        let links = zones.iter().map(|zone| (zone.clone(), Link::default())).collect();
        Arc::new(Self {
            inner: Mutex::new(Inner { links, ..Inner::default() }),
            world: watch::Sender::new(None),
            raised: watch::Sender::new(0),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when so many zones are there.
    pub(super) async fn raised(&self, zones: usize) {
        let _ = self.raised.subscribe().wait_for(|count| *count >= zones).await;
    }

    /// The world, as soon as there is one.
    async fn world(&self) -> Option<Arc<World>> {
        let mut world = self.world.subscribe();
        let there = world.wait_for(Option::is_some).await.ok()?;
        there.as_ref()?.upgrade()
    }

    /// Links that changed since the last call, as they are now.
    pub(super) fn changes(&self) -> Vec<(String, Link)> {
        let mut inner = self.inner();
        let mut changed = std::mem::take(&mut inner.changed);
        changed.sort_unstable();
        changed.dedup();
        let state = |zone: String| inner.links.get(&zone).cloned().map(|link| (zone, link));
        changed.into_iter().filter_map(state).collect()
    }

    fn change(&self, zones: &[String], mut change: impl FnMut(&mut Link)) {
        let mut inner = self.inner();
        for zone in zones {
            if let Some(link) = inner.links.get_mut(zone) {
                change(link);
                inner.changed.push(zone.clone());
            }
        }
    }

    /// The run is over: nothing new begins on any host.
    pub(super) fn end(&self) {
        self.inner().homes.clear();
        self.world.send_replace(None);
    }
}

/// The API server's host.
pub(super) async fn api_server(stage: Arc<Stage>) -> io::Result<()> {
    let Some(world) = stage.world().await else { return Ok(()) };
    let server = world.api.clone();
    drop(world);
    net::serve(80, move |request| {
        let server = server.clone();
        async move { server.answer(request).await }
    })
    .await
}

/// The profile of a run on these hosts.
pub(super) struct Wire {
    stage: Arc<Stage>,
    #[allow(dead_code)]
    try_deadline: Duration,
}

impl Wire {
    pub(super) fn new(stage: Arc<Stage>, model: &WireModel) -> Self {
        Self { stage, try_deadline: model.try_deadline }
    }

    fn kube(world: &World, name: &str, spawner: Arc<dyn Spawner>) -> kube::Client {
        let http = Client::builder(Tasks(spawner))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector);
        world.api.client_over(name, API_SERVER, http)
    }
}

/// A zone's host: its nodes are tasks here.
pub(super) async fn zone(stage: Arc<Stage>, zone: String) -> io::Result<()> {
    stage.inner().homes.insert(zone, Handle::current());
    stage.raised.send_modify(|count| *count += 1);
    std::future::pending().await
}

/// The cloud's host.
pub(super) async fn cloud(stage: Arc<Stage>) -> io::Result<()> {
    let _ = stage.world().await;
    std::future::pending().await
}

impl Profile for Wire {
    fn begins(&self, world: &Arc<World>) {
        self.stage.world.send_replace(Some(Arc::downgrade(world)));
    }

    fn home(&self, zone: &str) -> Handle {
        self.stage.inner().homes.get(zone).cloned().unwrap_or_else(Handle::current)
    }

    fn agent(&self, world: &World, node: &SimNode, life: &Arc<Scope>, _incarnation: u64) -> Reach {
        let spawner: Arc<dyn Spawner> = Arc::new(ScopeSpawner(life.clone()));
        Reach {
            cloud: world.cloud.client(node.instance.clone()),
            metadata: Some(world.cloud.metadata(node.instance.clone())),
            kube: Self::kube(world, node.name.as_str(), spawner),
        }
    }

    fn control_plane(&self, world: &World) -> Reach {
        Reach {
            cloud: world.cloud.operator_client("leaks"),
            metadata: None,
            kube: Self::kube(world, "controlplane", Arc::new(OfTheWorld)),
        }
    }

    fn network(&self, _world: &World, fault: &Fault, zones: &[String], on: bool) {
        self.stage.change(zones, |link| {
            link.change(&fault.kind, on);
        });
    }

    fn heal(&self) {
        let zones: Vec<String> = self.stage.inner().links.keys().cloned().collect();
        self.stage.change(&zones, |link| *link = Link::default());
    }
}
