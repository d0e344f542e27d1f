//! `up`: a cluster, and the process behind it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use clap::ValueEnum;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terway_core::address::Stack;
use terway_e2e::{clean, process::Process, programs::Programs, spec::ClusterSpec, task::blocking};
use tokio::signal::unix::{SignalKind, signal};

use super::{Which, failure::Failure, print, runtime, status};

/// How long a cluster may take to end when it is interrupted.
const GRACE: Duration = Duration::from_secs(60);

/// Families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum IpStack {
    /// IPv4 alone
    Ipv4,
    /// IPv4 and IPv6
    Dual,
}

/// How long things in the cloud take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Latency {
    /// What the real cloud takes, with its rate limits, stale reads and inexact counts
    Real,
    /// No time at all
    None,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// How many zones, with a vSwitch each; nodes take them in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    zones: usize,
    /// Families of nodes and pods
    #[arg(long, value_name = "STACK", default_value = "ipv4")]
    ip_stack: IpStack,
    /// MTU of all links, in bytes: 1280 to 9000
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    mtu: u32,
    /// Instance type of the nodes, which limits their ENIs and addresses
    #[arg(long, value_name = "TYPE", default_value = "ecs.g7.xlarge")]
    instance_type: String,
    /// How long things in the cloud take
    #[arg(long, value_name = "MODE", default_value = "none")]
    latency: Latency,
    /// What latencies and lag are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// A key of `eni_conf` for all nodes, such as max_pool_size=10; the value is JSON or text
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Nodes without agents: to attach ENIs by hand. Pods cannot be run
    #[arg(long)]
    no_agents: bool,
    /// Agents enforce network policies
    #[arg(long, conflicts_with = "no_agents")]
    policy: bool,
    /// The agent [default: beside this program, else in PATH; env: TERWAY_DAEMON]
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
    /// The plugin [default: beside this program, else in PATH; env: TERWAY_PLUGIN]
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Print what there is as JSON
    #[arg(long)]
    json: bool,
}

/// What the process behind the cluster is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The cluster.
    pub(super) spec: ClusterSpec,
    /// The agent and the plugin, where there are agents.
    pub(super) programs: Option<[PathBuf; 2]>,
}

/// What it answers, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Started {
    /// All nodes are ready; what there is.
    Ready(Value),
    /// Nothing is left of it; why, and whether the input was to blame.
    Failed(String, bool),
}

impl Args {
    fn spec(&self) -> Result<ClusterSpec, Failure> {
        let mut eni_conf = Map::new();
        for pair in &self.set {
            let wrong =
                || Failure::input(format!("--set `{pair}`: allowed: KEY=VALUE, such as max_pool_size=10"));
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            eni_conf.insert(key.to_owned(), value);
        }
        let spec = ClusterSpec {
            name: self.which.name.clone(),
            nodes: self.nodes,
            zones: self.zones,
            stack: if self.ip_stack == IpStack::Dual { Stack::Dual } else { Stack::Ipv4 },
            mtu: self.mtu,
            instance_type: self.instance_type.clone(),
            real_latency: self.latency == Latency::Real,
            seed: self.seed,
            agents: !self.no_agents,
            policy: self.policy,
            eni_conf,
        };
        spec.check().map_err(|error| Failure::input(error.to_string()))?;
        Ok(spec)
    }

    fn programs(&self, own: &Path) -> Result<Option<[PathBuf; 2]>, Failure> {
        if self.no_agents {
            return Ok(None);
        }
        let said = |name: &str| {
            let flag = match name {
                "TERWAY_DAEMON" => self.daemon.clone(),
                "TERWAY_PLUGIN" => self.plugin.clone(),
                _ => None,
            };
            flag.or_else(|| std::env::var_os(name).map(PathBuf::from))
        };
        let found = Programs::find(own, said)?;
        Ok(Some([found.daemon, found.plugin]))
    }
}

pub(super) fn up(args: &Args) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::failed(format!("who am I: {error}")))?;
    let order = Order { spec: args.spec()?, programs: args.programs(&own)? };
    let names = args.which.names()?;
    if let Some(owner) = clean::owner(&names) {
        let message = format!("cluster `{}` runs already (process {})", names.cluster(), owner.pid);
        let hint =
            format!("`terway-e2e down --name {}` ends it; --name gives another one a name", names.cluster());
        return Err(Failure::input(message).hint(hint));
    }
    let mut child = start(&own, &order)?;
    let process = Process::of(child.id());
    let started = runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let stdout = child.stdout.take();
        let answer = blocking(move || {
            let mut line = String::new();
            let read = stdout.map(|stdout| BufReader::new(stdout).read_line(&mut line));
            read.transpose().map(|_| line)
        });
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            line = answer => return read_started(line),
        }
        if let Ok(process) = &process {
            print::err("interrupted: taking everything away\n");
            process.signal(Signal::TERM).map_err(|error| Failure::failed(error.to_string()))?;
            process.gone(GRACE).await;
        }
        Err(Failure::failed("interrupted; nothing is left of the cluster"))
    })?;
    match started {
        Started::Ready(value) if args.json => print::out(&print::json(&value)),
        Started::Ready(value) => {
            print::out(&status::tell(&value));
            print::out(&next(&args.which.name, args.no_agents));
        }
        Started::Failed(why, true) => return Err(Failure::input(why)),
        Started::Failed(why, false) => return Err(Failure::failed(why)),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::needless_pass_by_value, reason = "maps errors")]
fn no_signals(error: std::io::Error) -> Failure {
    Failure::failed(format!("cannot wait for signals: {error}"))
}

fn read_started(line: std::io::Result<String>) -> Result<Started, Failure> {
    let line =
        line.map_err(|error| Failure::failed(format!("the cluster's process cannot be heard: {error}")))?;
    serde_json::from_str(&line).map_err(|_| {
        let hint = "`terway-e2e clean` takes away what it left";
        Failure::failed("the cluster's process died while it started").hint(hint)
    })
}

/// The process behind the cluster, in a group of its own: Ctrl-C at this terminal is for us, who pass it on.
fn start(own: &Path, order: &Order) -> Result<Child, Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("cannot start the cluster's process: {error}"));
    let mut child = Command::new(own)
        .arg("supervise")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Whoever reads what we print must see its end. The cluster writes a log.
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let text = serde_json::to_string(order).map_err(|error| failed(error.into()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    Ok(child)
}

/// What can be done now.
fn next(name: &str, no_agents: bool) -> String {
    let which = if name == "demo" { String::new() } else { format!(" --name {name}") };
    if no_agents {
        return format!(
            "\nterway-e2e exec{which} --node 1 -- terway-cli cloud describe-enis\nterway-e2e down{which}\n"
        );
    }
    format!(
        "\nterway-e2e pod run{which} a --node 1\nterway-e2e pod run{which} b --node 2\nterway-e2e ping{which} a b\n\
         terway-e2e exec{which} a -- ip address\nterway-e2e down{which}\n"
    )
}
