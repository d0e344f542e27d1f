//! `terway-cli policy`: what NetworkPolicies say of a flow, and why.
//!
//! - [`events`]: what a node's agent tells as it happens
//! - [`source`]: a cluster from manifests; [`online`]: from the API server
//! - [`expect`]: expectations that a CI tests
//! - [`node`]: what the kernel of this node enforces, from its maps
//!
//! The verdict is that of the code that nodes run; nothing here judges.

mod events;
mod expect;
mod node;
mod online;
mod source;

use std::{net::IpAddr, path::PathBuf};

use clap::Subcommand;
use terway_policy::explain::{End, Explainer, Port, Question};

use self::source::Cluster;
use crate::{failure::Failure, print};

/// `policy`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell whether a flow passes, which policy decides, and what would have to be otherwise
    ///
    /// Both ends are judged by the code that nodes run. Exit code 0 is that there is an answer, whatever it is.
    Explain(ExplainArgs),
    /// Hold policies against expectations in YAML; exit code 1 when one is not met
    ///
    /// The file: `manifests` (files and folders, relative to it), `namespace` (of ends that name none) and
    /// `expectations`, a list of {name, from, to, port or ports, expect: allow|deny, egress and ingress: allow|deny}.
    Test(TestArgs),
    /// Show packets as they are denied on this node, until interrupted
    ///
    /// Allowed ones too, as far as the agent is told to sample them (`ebpf_config.sample_allowed`).
    Events(events::EventsArgs),
    /// Show the rules of each pod in the order in which they are asked
    ///
    /// With --node, from what this node's kernel enforces: rules are numbers then, and peers are addresses.
    Dump(DumpArgs),
    /// Show what this node's kernel enforces, the agent running or not, and what does not fit together
    ///
    /// Reads the pinned maps, and changes nothing. Exit code 2 when none can be read.
    Status(node::StatusArgs),
    /// Show flows that this node's kernel knows, those first that had a packet last
    Flows(node::FlowsArgs),
}

/// Where the cluster is.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct Source {
    /// Manifests instead of the cluster: a file, a folder with .yaml, .yml and .json in it, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Never ask the cluster
    #[arg(long, requires = "files")]
    offline: bool,
    /// Kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the service account of the pod]
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    context: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ExplainArgs {
    /// Who opens the flow: namespace/pod, pod, or an address
    #[arg(long, value_name = "END")]
    from: String,
    /// Who takes it: namespace/pod, pod, or an address
    #[arg(long, value_name = "END")]
    to: String,
    /// Where: 80/TCP, 80, http/TCP (a name that the destination pod declares), TCP (which ports?), icmp
    #[arg(long, value_name = "PORT")]
    port: String,
    /// Namespace of pods that are written without one
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Address of the node that both ends are on, may be repeated; from the cluster it is known
    #[arg(long, value_name = "ADDRESS")]
    node_address: Vec<IpAddr>,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// File with expectations
    file: PathBuf,
    /// Manifests besides those that the file names: a file or folder, may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct DumpArgs {
    /// One pod: namespace/pod, or pod
    pod: Option<String>,
    /// Namespace of a pod that is written without one
    #[arg(short, long, default_value = "default")]
    namespace: String,
    #[command(flatten)]
    node: node::NodeArgs,
    #[command(flatten)]
    source: Source,
}

/// Does a command and prints what it tells.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let text = match args.command {
        Command::Explain(explain) => self::explain(&explain, args.json)?,
        Command::Events(events) => return events::follow(&events, args.json),
        Command::Dump(dump) if dump.node.node => node::dump(&dump.node, args.json)?,
        Command::Dump(dump) => self::dump(&dump, args.json)?,
        Command::Flows(flows) => node::flows(&flows, args.json)?,
        Command::Status(status) => {
            let (text, verdict) = node::status(&status, args.json)?;
            print::out(&text);
            return verdict;
        }
        Command::Test(test) => {
            let report = expect::test(&test.file, &test.files)?;
            print::out(&if args.json { print::json(&report) } else { report.to_string() });
            return report.verdict();
        }
    };
    print::out(&text);
    Ok(())
}

fn cluster(from: &Source) -> Result<Cluster, Failure> {
    let cluster = if from.files.is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::input(format!("no runtime: {error}")))?;
        runtime.block_on(online::cluster(from.kubeconfig.as_deref(), from.context.as_deref()))?
    } else {
        source::read(&from.files)?
    };
    for line in &cluster.notes {
        print::err(&format!("note: {line}\n"));
    }
    Ok(cluster)
}

fn option<T, E: std::fmt::Display>(name: &str, value: Result<T, E>) -> Result<T, Failure> {
    value.map_err(|error| Failure::input(format!("{name}: {error}")))
}

fn explain(args: &ExplainArgs, json: bool) -> Result<String, Failure> {
    let question = Question {
        from: option("--from", End::parse(&args.from, &args.namespace))?,
        to: option("--to", End::parse(&args.to, &args.namespace))?,
        port: option("--port", args.port.parse::<Port>())?,
    };
    let cluster = cluster(&args.source)?;
    let mut explainer = cluster.explainer()?;
    if !args.node_address.is_empty() {
        for pod in cluster.snapshot.pods.keys() {
            explainer.set_node(pod.clone(), args.node_address.iter().copied());
        }
    }
    let explanation = explainer.explain(&question).map_err(|error| Failure::input(cluster.hint(&error)))?;
    Ok(if json { print::json(&explanation) } else { explanation.to_string() })
}

fn dump(args: &DumpArgs, json: bool) -> Result<String, Failure> {
    let pod = match &args.pod {
        None => None,
        Some(text) => match option("POD", End::parse(text, &args.namespace))? {
            End::Pod(name) => Some(name),
            End::Address(ip) => {
                return Err(Failure::input(format!(
                    "POD: `{ip}` is an address; allowed are namespace/pod and pod"
                )));
            }
        },
    };
    let cluster = cluster(&args.source)?;
    let mut explainer: Explainer<'_> = cluster.explainer()?;
    let dump = explainer.dump(pod.as_ref()).map_err(|error| Failure::input(cluster.hint(&error)))?;
    Ok(if json { print::json(&dump) } else { dump.to_string() })
}
