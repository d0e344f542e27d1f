//! A daemon from its start to its end.

use std::{fs, future::pending, path::Path, sync::Arc};

use terway_agent::{Agent, AgentError, Ports, Settings, store::disk::FileDisk};
use terway_cloud::{
    budget::{Budget, BudgetError, Budgeted},
    connect::{ConnectError, Connection, Given, connect},
    credentials::{KeyTexts, SECRET_DIR},
    endpoints::Network,
    secret::Secret,
    system::{ProcessSpawner, SystemClock, SystemEntropy},
};
use terway_core::{
    cloud::{Cloud, VSwitchFilter},
    id::NodeName,
    metadata::Metadata,
    probe::NoProbe,
    spawn::{self, Spawner},
    time::Clock,
};
use terway_rpc::{server::Services, spool as releases};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{Duration, timeout},
};

use crate::{
    announce,
    audit::{self, Audit},
    config::{self, Loaded},
    conflist::{self, ConflistError},
    events::Events,
    kubernetes::{self, KubernetesError},
    meters::{CloudMeter, HostMeter, MetadataMeter},
    metrics::Metrics,
    node::{self, NodeError},
    options::Options,
    policy::{self, Enforced, PolicyError},
    privilege::{self, PrivilegeError},
    service::Service,
    socket::{self, SocketError},
    spool,
    tell::{self, Teller},
    web::{Web, WebError},
};

/// Name of the durable store in its folder.
const STORE: &str = "terway.redb";
/// How long metadata may take to tell the region at start.
const REGION_PATIENCE: Duration = Duration::from_secs(30);
/// How long calls under way are given at the end. What takes longer waits for the cloud, and is asked again.
const GRACE: Duration = Duration::from_secs(5);

/// Why it could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Web(#[from] WebError),
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    #[error(transparent)]
    Cloud(#[from] ConnectError),
    #[error("eni_conf key `rate_limit`")]
    Budget(#[from] BudgetError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Conflist(#[from] ConflistError),
    #[error("signals cannot be received")]
    Signal(#[source] std::io::Error),
    #[error("the service ended")]
    Service(#[source] tonic::transport::Error),
}

impl RunError {
    /// Exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Cloud(ConnectError::Invalid { .. }) | Self::Budget(_) | Self::Conflist(_) => 2,
            _ => 1,
        }
    }
}

/// Runs until it is told to stop, or cannot go on.
pub(crate) async fn run(options: Options, mut loaded: Loaded) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    let stop = async {
        tokio::select! {
            biased;
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    privilege::check(loaded.policy.enabled)?;
    let spawner: Arc<dyn Spawner> = ProcessSpawner::shared();
    let folder = options.socket.parent().unwrap_or(Path::new("/")).to_owned();
    socket::private_folder(&folder)?;
    socket::private_folder(&options.state_dir)?;
    let _lock = socket::lock(&folder).await?;
    let web = Web { metrics: Arc::new(Metrics::new()), serving: Arc::default(), spawner: spawner.clone() };
    if let Some(address) = options.listen.0 {
        web.on_tcp(address).await?;
    }
    if let Some(path) = &options.readonly_listen.0 {
        web.on_unix(path)?;
    }
    tokio::pin!(stop);
    let served = serve(&options, &mut loaded, &web, &spawner);
    let (agent, sources, server) = tokio::select! {
        biased;
        signal = &mut stop => {
            tracing::info!(signal, "stopped before pods could be served");
            return Ok(());
        }
        served = served => served?,
    };
    let (end, ended) = server;
    tokio::pin!(ended);
    let mut reload = signal(SignalKind::hangup()).map_err(RunError::Signal)?;
    loop {
        tokio::select! {
            biased;
            signal = &mut stop => {
                tracing::info!(signal, "stopping; pods keep their network");
                break;
            }
            error = agent.failed() => return Err(error.into()),
            outcome = &mut ended => return outcome.map_err(RunError::Service),
            _ = reload.recv() => reread(&options, &agent, &sources).await,
        }
    }
    // Calls under way are finished, new ones find nobody and are tried again or left on disk.
    let _ = fs::remove_file(&options.socket);
    end.send_replace(true);
    if timeout(GRACE, ended).await.is_err() {
        tracing::info!("calls that wait for the cloud are given up; their pods ask again");
    }
    Ok(())
}

/// Ends the server when it turns true, and its end.
type Server = (
    watch::Sender<bool>,
    std::pin::Pin<Box<dyn Future<Output = Result<(), tonic::transport::Error>> + Send>>,
);

/// Where vSwitches without a zone are asked for.
struct Sources {
    cloud: Arc<dyn Cloud>,
    metadata: Arc<dyn Metadata>,
}

/// Brings everything up to the point where pods can be served, and says so to the runtime.
async fn serve(
    options: &Options,
    loaded: &mut Loaded,
    web: &Web,
    spawner: &Arc<dyn Spawner>,
) -> Result<(Agent, Sources, Server), RunError> {
    let name = NodeName::from(options.node_name.as_str());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy = Arc::new(SystemEntropy);
    let metrics = web.metrics.clone();
    let kube = kubernetes::client(options).await?;
    let Connection { client, metadata, .. } =
        connect(given(options, loaded), spawner.clone(), |name| std::env::var(name).ok()).await?;
    let budget = Budget::new(&loaded.agent.rate_limit)?;
    let meter = Arc::new(CloudMeter(metrics.clone()));
    let cloud: Arc<dyn Cloud> = Arc::new(Budgeted::new(Arc::new(client), budget.share("node"), Some(meter)));
    let pins = loaded.policy.enabled.then(|| options.bpf_pin_dir.clone());
    let mtu = conflist::mtu(&loaded.conflist);
    let (host, ips) = node::host(spawner, options.node_ip, mtu, pins).await?;
    let policy = if loaded.policy.enabled {
        let place = policy::Place { name: &name, ips, pins: &options.bpf_pin_dir, kube: &kube };
        Some(policy::start(&loaded.policy, place, spawner, metrics.clone()).await?)
    } else {
        policy::remove(&options.bpf_pin_dir)?;
        None
    };
    let metadata = Arc::new(MetadataMeter { inner: metadata, metrics: metrics.clone() });
    let sources = Sources { cloud, metadata };
    place_vswitches(loaded, &sources).await;
    let ports = Ports {
        cloud: sources.cloud.clone(),
        metadata: sources.metadata.clone(),
        host: Arc::new(HostMeter::new(Arc::new(host), metrics.clone())),
        disk: Arc::new(FileDisk::new(options.state_dir.join(STORE))),
        clock: clock.clone(),
        entropy: entropy.clone(),
        spawner: spawner.clone(),
        probe: Arc::new(NoProbe),
        kube: kube.clone(),
        policy: policy.as_ref().map(|enforced| enforced.port.clone()),
    };
    let agent = Agent::start(ports, Settings { node: name.clone(), config: loaded.agent.clone() }).await?;
    if let (Some(Enforced { maps, events, .. }), Some(engine)) = (policy, agent.policy().cloned()) {
        let audit = loaded.policy.audit.clone().map(|conf| Audit::new(conf, audit::ROTATE_BYTES));
        let (node, metrics, clock) = (name.clone(), metrics.clone(), clock.clone());
        let teller = Teller { node, events, maps, policy: engine, audit, metrics, clock };
        tell::start(teller, options.policy_events.0.as_deref(), spawner)?;
    }
    let spooled = releases::folder(&options.socket);
    // Before anybody can ask: what was let go meanwhile must not be answered as if it were still there.
    if let Err(error) = spool::replay(&agent, &spooled).await {
        tracing::warn!(%error, "releases that were left on disk cannot be carried out now");
    }
    let (events, send_events) = Events::new(kube, name.clone(), clock, entropy.clone(), metrics.clone());
    spawn::spawn(spawner, "events", send_events);
    if let Some(policy) = agent.policy().cloned() {
        spawn::spawn(spawner, "announce", announce::run(policy, events.clone(), entropy));
    }
    let service = Service { agent: agent.clone(), events, metrics };
    let server = listen(&options.socket, service)?;
    spawn::spawn(spawner, "spool", spool::watch(agent.clone(), spooled));
    // Set once, here.
    let _ = web.serving.set(agent.clone());
    if !options.cni_conf_dir.as_os_str().is_empty() {
        let written = conflist::write(&options.cni_conf_dir, &loaded.conflist)?;
        tracing::info!(node = %name, config = %loaded.path.display(), conflist_written = written, "pods can be served");
    }
    Ok((agent, sources, server))
}

fn listen(path: &Path, service: Service) -> Result<Server, SocketError> {
    let listener = socket::listen(path)?;
    let (end, mut ending) = watch::channel(false);
    let stop = async move {
        // The sender is dropped only with the process.
        if ending.wait_for(|end| *end).await.is_err() {
            pending::<()>().await;
        }
    };
    let server = tonic::transport::Server::builder().serve_with_incoming_shutdown(
        Services::new(Arc::new(service)),
        socket::callers(listener),
        stop,
    );
    Ok((end, Box::pin(server)))
}

fn given(options: &Options, loaded: &Loaded) -> Given {
    let key = match &loaded.key {
        Some((id, secret)) => {
            KeyTexts { key_id: Some(id.clone()), secret: Some(Secret::new(secret)), token: None }
        }
        None => KeyTexts { key_id: None, secret: None, token: None },
    };
    Given {
        region: loaded.region.clone(),
        ecs_endpoint: (None, ""),
        vpc_endpoint: (None, ""),
        network: if options.public_endpoints { Network::Public } else { Network::Vpc },
        metadata_endpoint: options.metadata_endpoint.clone(),
        key,
        secret_dir: Some(SECRET_DIR.into()),
        patience: REGION_PATIENCE,
    }
}

/// Finds the zones of vSwitches that were given without one. One that the cloud does not tell of is told, and is of no
/// use to this node.
async fn place_vswitches(loaded: &mut Loaded, sources: &Sources) {
    if loaded.vswitch_ids.is_empty() {
        return;
    }
    let zone = match sources.metadata.identity().await {
        Ok(identity) => identity.zone,
        Err(error) => {
            tracing::warn!(%error, "`vswitch_ids` cannot be placed");
            return;
        }
    };
    for id in std::mem::take(&mut loaded.vswitch_ids) {
        match sources.cloud.describe_vswitches(&VSwitchFilter::Id(id.clone()), None).await {
            Ok(page) => {
                let Some(found) = page.rows.first() else {
                    tracing::warn!(vswitch = %id, "a vSwitch of `vswitch_ids` does not exist");
                    continue;
                };
                let ids = loaded.agent.vswitches.entry(found.zone.clone()).or_default();
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Err(error) => {
                // Its zone is not known; ours is where it would be of use, and the cloud refuses it if it is not.
                tracing::warn!(vswitch = %id, %error, zone = %zone, "the zone of a vSwitch cannot be had; taken for this node's");
                loaded.agent.vswitches.entry(zone.clone()).or_default().push(id);
            }
        }
    }
}

/// SIGHUP: what can change while pods are served is taken over, the rest is told.
async fn reread(options: &Options, agent: &Agent, sources: &Sources) {
    match config::load(options) {
        Ok(mut loaded) => {
            place_vswitches(&mut loaded, sources).await;
            agent.replace_vswitches(&loaded.agent);
            tracing::info!(
                "configuration read again: vSwitches are taken over; other keys count from the next start"
            );
        }
        Err(error) => tracing::error!(error = %error, "the configuration is not valid; the one in use stays"),
    }
}
