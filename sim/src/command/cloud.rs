//! `terway-sim cloud`: the fake cloud as a server that real clients talk to.
//!
//! One thread on the real clock. What it keeps between two starts is a file with the account's state; what it says
//! when it starts is where it listens and the environment for clients, as lines or as one line of JSON.

mod client;
mod fault;
mod keep;
mod show;
mod sign;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use terway_core::id::InstanceId;
use terway_sim::{
    cloud::{CloudModel, FakeCloud},
    endpoint::{
        Endpoint, Keys,
        control::Control,
        events::Events,
        serve::serve_until,
        topology::{self, Topology},
    },
    root,
};
use tokio::{net::TcpListener, sync::watch};

use terway_cloud::system::SystemClock;

use self::keep::Keeper;
use super::{Verdict, bad::Bad, print};

/// Where the control API listens when nothing else is said.
const CONTROL: &str = "127.0.0.1:8601";
/// How long connections may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what is in a running cloud
    State(show::StateArgs),
    /// Make something go wrong in a running cloud, or heal it
    Fault(fault::Args),
    /// Print the topology that is used when none is given: a starting point for one's own
    Topology,
    /// Sign a request that is given as JSON
    #[command(hide = true)]
    Sign,
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Latency {
    /// What the real cloud takes, with its rate limits, stale reads and inexact counts
    Real,
    /// No time at all, and no rate limits
    None,
}

/// Whether metadata asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MetadataToken {
    /// Readers may show one
    Optional,
    /// Readers must show one
    Required,
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where the OpenAPI listens; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8600")]
    listen: SocketAddr,
    /// Where the control API listens [default: the next port]
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Where instance metadata listens [default: the port after that]
    #[arg(long, value_name = "ADDR")]
    metadata: Option<SocketAddr>,
    /// Serve the metadata of this instance only, without a need to name it
    #[arg(long, value_name = "ID")]
    metadata_instance: Option<String>,
    /// Whether metadata asks for a token
    #[arg(long, value_name = "MODE", default_value = "optional")]
    metadata_token: MetadataToken,
    /// What is in the cloud, as TOML [default: see `cloud topology`]
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// What latencies, lag and keys of roles are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How long things take
    #[arg(long, value_name = "MODE", default_value = "real")]
    latency: Latency,
    /// Go on from this file if it exists, and keep the state in it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Id of the account's key [default: sim-access-key]
    #[arg(long, value_name = "ID", requires = "access_key_secret")]
    access_key_id: Option<String>,
    /// Its secret [default: sim-access-key-secret]
    #[arg(long, value_name = "SECRET", requires = "access_key_id")]
    access_key_secret: Option<String>,
    /// Print where it listens as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn cloud(args: &Args) -> Result<Verdict, Bad> {
    match &args.command {
        None => serve(&args.serve),
        Some(Command::State(args)) => show::state(args),
        Some(Command::Fault(args)) => fault::fault(args),
        Some(Command::Sign) => sign::sign(),
        Some(Command::Topology) => {
            print::out(topology::DEFAULT);
            Ok(Verdict::Held)
        }
    }
}

/// The real clock on one thread: two calls that come at once are worked on one after the other.
fn runtime() -> Result<tokio::runtime::Runtime, Bad> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Bad::new(format!("cannot start: {error}")))
}

fn serve(args: &Serve) -> Result<Verdict, Bad> {
    let usual = match args.latency {
        Latency::Real => CloudModel::default(),
        Latency::None => CloudModel::instant(),
    };
    let topology = read_topology(args.topology.as_deref(), usual)?;
    let runtime = runtime()?;
    let served = runtime.block_on(run(args, &topology));
    // Streams of events have no end of their own.
    runtime.shutdown_timeout(Duration::ZERO);
    served
}

fn read_topology(path: Option<&Path>, usual: CloudModel) -> Result<Topology, Bad> {
    let Some(path) = path else {
        return Ok(Topology::parse(topology::DEFAULT, usual).expect("a test reads the default"));
    };
    let text = std::fs::read_to_string(path).map_err(|error| Bad::file("read", path, &error))?;
    Topology::parse(&text, usual).map_err(|error| Bad::new(format!("{}: {error}", path.display())))
}

/// The three listeners with their addresses.
struct Listeners {
    openapi: (TcpListener, SocketAddr),
    control: (TcpListener, SocketAddr),
    metadata: (TcpListener, SocketAddr),
}

impl Listeners {
    async fn bind(args: &Serve) -> Result<Self, Bad> {
        let after = |step: u16| {
            // Any free port stays any free port.
            let port = if args.listen.port() == 0 { Some(0) } else { args.listen.port().checked_add(step) };
            port.map(|port| SocketAddr::new(args.listen.ip(), port)).ok_or_else(|| {
                Bad::new("`--listen` leaves no port behind it").hint("give --control and --metadata")
            })
        };
        Ok(Self {
            openapi: bind(args.listen).await?,
            control: bind(args.control.map_or_else(|| after(1), Ok)?).await?,
            metadata: bind(args.metadata.map_or_else(|| after(2), Ok)?).await?,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Bad> {
    let cannot = |error: std::io::Error| Bad::new(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

async fn run(args: &Serve, topology: &Topology) -> Result<Verdict, Bad> {
    let mut terminate = signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt())?;
    let cloud = FakeCloud::new(topology.model.clone(), args.seed);
    let clock = Arc::new(SystemClock::new());
    let events = Events::new(clock.clone());
    cloud.set_observer(events.clone());
    let keeper = match &args.state {
        Some(path) => Some(Keeper::open(path, &cloud)?),
        None => None,
    };
    if !keeper.as_ref().is_some_and(Keeper::found) {
        topology.build(&cloud).map_err(|error| Bad::chain(&error))?;
    }
    let operator = args.access_key_id.clone().zip(args.access_key_secret.clone());
    let endpoint = Endpoint::new(cloud, Keys::new(args.seed, operator), clock);
    endpoint.require_metadata_token(args.metadata_token == MetadataToken::Required);
    let only = only_instance(args, &endpoint)?;
    let listeners = Listeners::bind(args).await?;
    announce(args, &endpoint, &listeners);

    let (stop, stopped) = watch::channel(false);
    let control = Control::new(Arc::clone(&endpoint), events);
    let (api, metadata) = (Arc::clone(&endpoint), Arc::clone(&endpoint));
    root::spawn(serve_until(
        listeners.openapi.0,
        move |request| {
            let endpoint = Arc::clone(&api);
            async move { endpoint.openapi(request).await }
        },
        stopped.clone(),
    ));
    root::spawn(serve_until(
        listeners.control.0,
        move |request| {
            let control = Arc::clone(&control);
            async move { Ok(control.answer(request).await) }
        },
        stopped.clone(),
    ));
    root::spawn(serve_until(
        listeners.metadata.0,
        move |request| {
            let (endpoint, only) = (Arc::clone(&metadata), only.clone());
            async move { endpoint.metadata(only.as_ref(), request).await }
        },
        stopped,
    ));
    let kept = async {
        match &keeper {
            Some(keeper) => keeper.keep(endpoint.cloud()).await,
            None => std::future::pending().await,
        }
    };
    let kept = tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failed = kept => failed,
    };
    stop.send_replace(true);
    // Connections hold receivers: when all are gone, all answers are out. Whoever watches events never ends.
    let _late = tokio::time::timeout(GRACE, stop.closed()).await;
    if let (Ok(()), Some(keeper)) = (&kept, &keeper) {
        keeper.save(endpoint.cloud())?;
    }
    kept.map(|()| Verdict::Held)
}

fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, Bad> {
    tokio::signal::unix::signal(kind).map_err(|error| Bad::new(format!("cannot wait for signals: {error}")))
}

fn only_instance(args: &Serve, endpoint: &Endpoint) -> Result<Option<InstanceId>, Bad> {
    let Some(id) = args.metadata_instance.as_deref().map(InstanceId::from) else { return Ok(None) };
    if endpoint.cloud().has_instance(&id) {
        return Ok(Some(id));
    }
    let there: Vec<String> = endpoint.cloud().instances().iter().map(ToString::to_string).collect();
    Err(Bad::new(format!("`--metadata-instance` is {id}; allowed: {}", there.join(", "))))
}

/// Says where it listens, and what clients need to know.
fn announce(args: &Serve, endpoint: &Endpoint, listeners: &Listeners) {
    let (openapi, control, metadata) = (listeners.openapi.1, listeners.control.1, listeners.metadata.1);
    let region = endpoint.cloud().place().region;
    let key = endpoint.keys().operator();
    // A secret of the user's own is not for logs; the one that everybody knows is no secret.
    let secret = if args.access_key_secret.is_none() { key.secret.as_str() } else { "" };
    if args.json {
        let line = json!({
            "openapi": format!("http://{openapi}"),
            "control": format!("http://{control}"),
            "metadata": format!("http://{metadata}"),
            "region": region,
            "access_key_id": key.id,
            "access_key_secret": secret,
        });
        return print::out(&format!("{line}\n"));
    }
    let mut text = print::Text::default();
    text.line(format_args!("openapi   http://{openapi}"));
    text.line(format_args!("control   http://{control}"));
    text.line(format_args!("metadata  http://{metadata}"));
    text.line("");
    text.line(format_args!("export ECS_ENDPOINT=http://{openapi}"));
    text.line(format_args!("export VPC_ENDPOINT=http://{openapi}"));
    text.line(format_args!("export ALIBABA_CLOUD_REGION_ID={region}"));
    text.line(format_args!("export ALIBABA_CLOUD_ACCESS_KEY_ID={}", key.id));
    if secret.is_empty() {
        text.line("# ALIBABA_CLOUD_ACCESS_KEY_SECRET: as given");
    } else {
        text.line(format_args!("export ALIBABA_CLOUD_ACCESS_KEY_SECRET={secret}"));
    }
    print::out(&text.into_string());
}
