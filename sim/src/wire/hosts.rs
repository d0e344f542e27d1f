//! What runs on which host, and how an agent reaches the others.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper_util::{client::legacy::Client, rt::TokioTimer};
use terway_chaos::Fault;
use terway_cloud::{
    client::{Client as CloudClient, Settings},
    credentials::{self, Credentials},
    endpoints::Endpoints,
    metadata::MetadataClient,
    role::RoleCredentials,
    secret::Secret,
};
use terway_core::{spawn::Spawner, time::Clock};
use tokio::{runtime::Handle, sync::watch};

use super::{
    link::Link,
    net::{self, API_SERVER, CLOUD, Connector, OfTheWorld, Tasks},
};
use crate::{
    endpoint::{Endpoint, Keys, Silence, serve::serve},
    node::SimNode,
    ports::{SimClock, SimEntropy},
    profile::{Profile, Reach, within_budget},
    scenario::WireModel,
    scope::{Scope, ScopeSpawner},
    time,
    world::World,
};

/// Port of the cloud's endpoint and of the API server.
const HTTP: u16 = 80;
/// Port of the metadata service within a zone.
const METADATA: u16 = 100;
/// How long a client keeps a connection that it does not use.
const IDLE: Duration = Duration::from_secs(60);

/// What the hosts of a run share: it stands for nothing in the simulated world.
pub(super) struct Stage {
    inner: Mutex<Inner>,
    /// The world and its endpoint, once the control plane has built them and until the run ends.
    world: watch::Sender<Option<Risen>>,
    raised: watch::Sender<usize>,
}

/// What there is to serve. Weak: what the world is made of must not keep the world.
#[derive(Clone)]
struct Risen {
    world: Weak<World>,
    endpoint: Arc<Endpoint>,
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

    fn rise(&self, world: &Arc<World>, endpoint: Arc<Endpoint>) {
        self.world.send_replace(Some(Risen { world: Arc::downgrade(world), endpoint }));
    }

    async fn risen(&self) -> Option<Risen> {
        let mut world = self.world.subscribe();
        let there = world.wait_for(Option::is_some).await.ok()?;
        there.clone()
    }

    /// The world, as soon as there is one.
    async fn world(&self) -> Option<Arc<World>> {
        self.risen().await?.world.upgrade()
    }

    /// The cloud's endpoint, as soon as there is one.
    async fn endpoint(&self) -> Option<Arc<Endpoint>> {
        Some(self.risen().await?.endpoint)
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
    let answer = move |request| {
        let server = server.clone();
        async move { server.answer(request).await.map_err(|_| Silence) }
    };
    serve(net::listen(HTTP).await?, answer).await;
    Ok(())
}

/// The cloud's host.
pub(super) async fn cloud(stage: Arc<Stage>) -> io::Result<()> {
    let Some(endpoint) = stage.endpoint().await else { return Ok(()) };
    let answer = move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.openapi(request).await }
    };
    serve(net::listen(HTTP).await?, answer).await;
    Ok(())
}

/// A zone's host: its nodes are tasks here, and the machines that they run on tell their metadata.
pub(super) async fn zone(stage: Arc<Stage>, zone: String) -> io::Result<()> {
    stage.inner().homes.insert(zone, Handle::current());
    stage.raised.send_modify(|count| *count += 1);
    let Some(endpoint) = stage.endpoint().await else { return Ok(()) };
    let answer = move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.metadata(None, request).await }
    };
    serve(net::listen(METADATA).await?, answer).await;
    Ok(())
}

/// The profile of a run on these hosts.
pub(super) struct Wire {
    stage: Arc<Stage>,
    try_deadline: Duration,
}

impl Wire {
    pub(super) fn new(stage: Arc<Stage>, model: &WireModel) -> Self {
        Self { stage, try_deadline: model.try_deadline }
    }

    fn settings(&self, world: &World) -> Settings {
        let endpoint = format!("http://{CLOUD}").parse().expect("the host's name is one");
        Settings {
            try_deadline: self.try_deadline,
            // Room for a second try with new keys, or with another nonce.
            total_deadline: self.try_deadline * 5 / 2,
            ..Settings::new(world.cloud.place().region, Endpoints::all_at(endpoint))
        }
    }

    fn kube(world: &World, name: &str, spawner: Arc<dyn Spawner>) -> kube::Client {
        let http = Client::builder(Tasks(spawner))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector);
        world.api.client_over(name, API_SERVER, http)
    }
}

impl Profile for Wire {
    fn begins(&self, world: &Arc<World>) {
        let keys = Keys::new(world.seed, None);
        let endpoint = Endpoint::new(world.cloud.clone(), keys, SimClock::new(time::now()));
        self.stage.rise(world, endpoint);
    }

    fn home(&self, zone: &str) -> Handle {
        // A zone that is added later has no machine of its own.
        self.stage.inner().homes.get(zone).cloned().unwrap_or_else(Handle::current)
    }

    fn agent(&self, world: &World, node: &SimNode, life: &Arc<Scope>, incarnation: u64) -> Reach {
        let spawner: Arc<dyn Spawner> = Arc::new(ScopeSpawner(Arc::clone(life)));
        let http = terway_cloud::http::hyper_over(Connector, Arc::clone(&spawner));
        let base = format!("http://127.0.0.1:{METADATA}/instances/{}", node.instance);
        let metadata = Arc::new(MetadataClient::new(Arc::clone(&http), &base));
        let clock: Arc<dyn Clock> = node.clock.clone();
        let credentials = Arc::new(RoleCredentials::new(Arc::clone(&metadata), Arc::clone(&clock)));
        // A stream of its own: nonces and tokens of the agent do not shift each other.
        let entropy = SimEntropy::new(world.seed, &format!("{}/nonces", node.name), incarnation);
        let cloud = CloudClient::new(http, credentials, clock, entropy, self.settings(world));
        let kube = Self::kube(world, node.name.as_str(), spawner);
        Reach { cloud: within_budget(Arc::new(cloud), world), metadata: Some(metadata), kube }
    }

    fn control_plane(&self, world: &World) -> Reach {
        let spawner: Arc<dyn Spawner> = Arc::new(OfTheWorld);
        let http = terway_cloud::http::hyper_over(Connector, Arc::clone(&spawner));
        let key = Keys::new(world.seed, None).operator().clone();
        let credentials = credentials::fixed(Credentials {
            key_id: key.id,
            secret: Secret::new(key.secret),
            token: None,
            expires: None,
        });
        let entropy = SimEntropy::new(world.seed, "controlplane/nonces", 1);
        let clock = SimClock::new(time::now());
        let cloud = CloudClient::new(http, credentials, clock, entropy, self.settings(world));
        Reach { cloud: Arc::new(cloud), metadata: None, kube: Self::kube(world, "controlplane", spawner) }
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
