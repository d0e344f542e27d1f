//! The VPC of a running cluster: the simulator's cloud and API server, serving in the router's namespace, and the
//! fabric that follows the cloud.
//!
//! The servers are those of `terway-sim cloud`, in this process: their listeners are bound inside the router's
//! namespace, and a socket stays where it was made. The fabric watches the same events that `GET /_sim/events`
//! streams; each is a reason to look at the whole state, so that nothing can be missed for good.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use serde_json::Value;
use terway_cloud::system::SystemClock;
use terway_core::{
    address::{AddressCount, Stack},
    cloud::{Assign, CloudError},
    id::{InstanceId, Mac},
    time::Clock as _,
};
use terway_sim::{
    apiserver::{ApiModel, ApiServer},
    cloud::{CloudModel, FakeCloud},
    endpoint::{Endpoint, Keys, control::Control, events::Events, serve::serve_until, topology::Topology},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{error, info};

use crate::{
    fabric::{Fabric, FabricError, plan},
    names::{self, Names},
    netns::{Netns, NetnsError},
    observe::Logged,
    spec::{API, CONTROL_PORT, ClusterSpec, METADATA, OPENAPI},
    task::{Tasks, blocking},
};

/// Port of HTTP.
const HTTP: u16 = 80;
/// After a step that the kernel refused, the next try waits this long.
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no VPC.
#[derive(Debug, thiserror::Error)]
pub enum VpcError {
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The router.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// The cloud cannot have what the cluster asks for.
    #[error("the cloud cannot hold this cluster: {0}")]
    Cloud(String),
    /// The nodes' IPv6 addresses.
    #[error(
        "no IPv6 address for {instance}: {source}; take an instance type with IPv6, such as ecs.g7.xlarge"
    )]
    NoIpv6 {
        /// The node's instance.
        instance: InstanceId,
        /// What the cloud says.
        #[source]
        source: CloudError,
    },
    /// A listener.
    #[error("cannot listen on {address} in the router: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A running VPC. Dropping it stops its servers; its namespaces stay.
pub struct Vpc {
    /// The account.
    pub cloud: Arc<FakeCloud>,
    /// Kubernetes.
    pub api: ApiServer,
    /// Access key id and secret of the account.
    pub key: (String, String),
    fabric: Arc<Mutex<Fabric>>,
    /// Changes whenever the router was made what it is to be.
    looked: watch::Receiver<()>,
    _stop: watch::Sender<bool>,
    _tasks: Tasks,
}

impl Vpc {
    /// Makes the namespaces of router and nodes, fills the cloud, plugs the primary NICs in and serves.
    pub async fn start(spec: &ClusterSpec, names: &Names) -> Result<Self, VpcError> {
        let model = if spec.real_latency { CloudModel::default() } else { CloudModel::instant() };
        let topology =
            Topology::parse(&spec.topology(), model).map_err(|error| VpcError::Cloud(error.to_string()))?;
        let cloud = FakeCloud::new(topology.model.clone(), spec.seed);
        let clock = Arc::new(SystemClock::new());
        let events = Events::new(clock.clone());
        cloud.set_observer(Arc::new(Logged(events.clone())));
        topology.build(&cloud).map_err(|error| VpcError::Cloud(error.to_string()))?;
        if spec.stack == Stack::Dual {
            assign_ipv6(&cloud, spec).await?;
        }
        let (router, fabric) = lay(spec.clone(), names.clone(), gateways(&cloud)).await?;
        let listen = |ip: std::net::Ipv4Addr, port| listen(&router, SocketAddr::new(ip.into(), port));
        let (openapi, metadata) = (listen(OPENAPI, HTTP)?, listen(METADATA, HTTP)?);
        let (control, kubernetes) = (listen(OPENAPI, CONTROL_PORT)?, listen(API.0, API.1)?);

        let endpoint = Endpoint::new(cloud.clone(), Keys::new(spec.seed, None), clock.clone());
        let key = endpoint.keys().operator();
        let key = (key.id.clone(), key.secret.clone());
        let wall = move || jiff::Timestamp::try_from(clock.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let api =
            ApiServer::new(spec.seed, ApiModel { keep_events: true, ..ApiModel::instant() }, Arc::new(wall));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::default();
        let of = Arc::clone(&endpoint);
        let answer = move |request| {
            let endpoint = Arc::clone(&of);
            async move { endpoint.openapi(request).await }
        };
        tasks.spawn(serve_until(openapi, answer, stopped.clone()));
        let of = Arc::clone(&endpoint);
        let answer = move |request| {
            let endpoint = Arc::clone(&of);
            async move { endpoint.metadata(None, request).await }
        };
        tasks.spawn(serve_until(metadata, answer, stopped.clone()));
        let of = Control::new(Arc::clone(&endpoint), events.clone());
        let answer = move |request| {
            let control = Arc::clone(&of);
            async move { Ok(control.answer(request).await) }
        };
        tasks.spawn(serve_until(control, answer, stopped.clone()));
        let of = api.clone();
        tasks.spawn(async move { of.serve(kubernetes, stopped).await });

        let fabric = Arc::new(Mutex::new(fabric));
        let (tell, looked) = watch::channel(());
        let follower =
            Follower { cloud: cloud.clone(), fabric: fabric.clone(), plugged: BTreeSet::new(), looked: tell };
        tasks.spawn(follower.follow(events));
        let vpc = Self { cloud, api, key, fabric, looked, _stop: stop, _tasks: tasks };
        vpc.settled().await;
        for node in 1..=spec.nodes {
            let instance = names::instance(node);
            vpc.with_fabric(move |fabric| fabric.boot(&instance)).await?;
        }
        Ok(vpc)
    }

    /// Waits until the router has what the cloud has: no longer than the cloud needs to show its NICs and the kernel
    /// to take them. Never, where the kernel refuses something; the log tells what.
    pub async fn settled(&self) {
        let mut looked = self.looked.clone();
        while !self.is_settled() {
            // Not every change is told of.
            let _changed = timeout(PAUSE, looked.changed()).await;
        }
    }

    fn is_settled(&self) -> bool {
        let fabric = self.fabric.lock().unwrap_or_else(PoisonError::into_inner);
        let plugged = fabric.ports().iter().filter(|(_, port)| !port.primary).map(|(mac, _)| *mac).collect();
        let state = self.cloud.state();
        plan::wanted(&state, &plugged, |instance| fabric.has_node(instance)) == *fabric.ports()
            && plan::plugged(&state).is_subset(&fabric.ports().keys().copied().collect())
    }

    /// Asks something of the fabric.
    pub async fn with_fabric<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Fabric) -> T + Send + 'static,
    ) -> T {
        let fabric = Arc::clone(&self.fabric);
        blocking(move || ask(&mut fabric.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

/// Makes namespaces and router.
async fn lay(spec: ClusterSpec, names: Names, gateways: Vec<IpAddr>) -> Result<(Netns, Fabric), VpcError> {
    blocking(move || {
        let (router, outside) = (Netns::create(&names.vpc())?, Netns::create(&names.outside())?);
        let mut fabric = Fabric::new(router, &outside, &gateways, spec.mtu)?;
        for node in 1..=spec.nodes {
            fabric.add_node(names::instance(node), Netns::create(&names.node(node))?)?;
        }
        Ok((Netns::open(&names.vpc())?, fabric))
    })
    .await
}

fn gateways(cloud: &FakeCloud) -> Vec<IpAddr> {
    let of = |cidr, ipv6| plan::gateways(cidr, ipv6).iter().collect::<Vec<_>>();
    cloud.state().vswitches.iter().flat_map(|vswitch| of(vswitch.cidr, vswitch.ipv6)).collect()
}

/// Instances are made with an IPv4 address alone.
async fn assign_ipv6(cloud: &Arc<FakeCloud>, spec: &ClusterSpec) -> Result<(), VpcError> {
    let client = cloud.operator_client("e2e");
    for node in 1..=spec.nodes {
        let instance = names::instance(node);
        let Some(eni) = cloud.primary_nic(&instance) else { continue };
        let count = AddressCount { v6: 1, ..AddressCount::default() };
        let assign = Assign { token: format!("e2e-{instance}").into(), eni, count };
        client.assign_ipv6(&assign).await.map_err(|source| VpcError::NoIpv6 { instance, source })?;
    }
    Ok(())
}

fn listen(router: &Netns, address: SocketAddr) -> Result<TcpListener, VpcError> {
    let bound = router.run(|| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let failed = |source| VpcError::Listen { address, source };
    TcpListener::from_std(bound.map_err(failed)?).map_err(failed)
}

/// Makes the router follow the cloud.
struct Follower {
    cloud: Arc<FakeCloud>,
    fabric: Arc<Mutex<Fabric>>,
    plugged: BTreeSet<Mac>,
    looked: watch::Sender<()>,
}

impl Follower {
    async fn follow(mut self, events: Arc<Events>) {
        let mut stream = pin!(events.watch());
        loop {
            let Some(Ok(frame)) = stream.frame().await else { return };
            self.note(frame.data_ref());
            while let Some(Some(Ok(frame))) = stream.frame().now_or_never() {
                self.note(frame.data_ref());
            }
            while let Err(error) = self.look().await {
                error!(%error, "the fabric does not follow");
                sleep(PAUSE).await;
            }
        }
    }

    /// Lines that tell of NICs say what no state does: whether the guest sees them.
    fn note(&mut self, lines: Option<&Bytes>) {
        for line in lines.into_iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
            let Ok(line) = serde_json::from_slice::<BTreeMap<String, Value>>(line) else { continue };
            let text = |key: &str| line.get(key).and_then(Value::as_str);
            let mac = || text("mac").and_then(|mac| Mac::try_from(mac.to_owned()).ok());
            match text("event") {
                Some("nic-appeared") => self.plugged.extend(mac()),
                Some("nic-vanished") => {
                    mac().map(|mac| self.plugged.remove(&mac));
                }
                Some("watching" | "lost") => self.plugged = plan::plugged(&self.cloud.state()),
                _ => {}
            }
        }
    }

    async fn look(&self) -> Result<(), FabricError> {
        let state = self.cloud.state();
        let (fabric, plugged) = (Arc::clone(&self.fabric), self.plugged.clone());
        blocking(move || {
            let mut fabric = fabric.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = plan::wanted(&state, &plugged, |instance| fabric.has_node(instance));
            fabric.reconcile(&wanted, |story| info!(target: "fabric", "{story}"))
        })
        .await?;
        self.looked.send_replace(());
        Ok(())
    }
}
