//! Throughput and latency between pods, with and without policy, in one run.
//!
//! Three clusters of two nodes, made of namespaces on this machine's kernel, with the agent and the plugin that ship: one
//! whose agents enforce nothing, one that enforces policy and has none, one with a hundred policies of a thousand rules.
//! They take turns, so that what the machine does besides is shared by all. `cargo bench --profile sim -p terway-benches
//! --bench traffic` as root; the programs must be built (`cargo build --profile sim --workspace --bins`). `-- --rounds 20
//! --seconds 2` says how often and how long. Throughput is iperf3's, where it is installed.

mod pairs;

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use pairs::{Path as Way, Side, crr, iperf, rr};
use serde_json::{Value, json};
use terway_e2e::{cluster::Cluster, pod::PodSpec, programs::Programs, spec::ClusterSpec, target::Target};
use tokio::time::{Duration, sleep};

/// Policies of the third cluster, and rules of each.
const POLICIES: usize = 100;
const RULES: usize = 10;

/// What agents do.
const SETTINGS: [&str; 3] = ["no policy engine", "engine, no policies", "100 policies, 1,000 rules"];

struct Options {
    rounds: usize,
    seconds: u64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED traffic: needs root, to make network namespaces");
        return;
    }
    let after = |flag: &str| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1));
    let number = |flag: &str, default: u64| {
        after(flag).map_or(default, |text| {
            text.parse().unwrap_or_else(|_| panic!("{flag} takes a number, not {text}"))
        })
    };
    let options = Options { rounds: number("--rounds", 7) as usize, seconds: number("--seconds", 2) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(run(&options));
}

async fn run(options: &Options) {
    let mut clusters = Vec::new();
    for (number, setting) in SETTINGS.into_iter().enumerate() {
        let cluster = start(number, number > 0).await;
        if number == 2 {
            policies(&cluster);
        }
        clusters.push((setting, cluster));
    }
    // Agents settle; what they do at their start is not what is measured.
    sleep(Duration::from_secs(3)).await;
    for (setting, cluster) in &clusters[1..] {
        for node in cluster.nodes() {
            let page = node.metrics().await.expect("a page");
            let ready = page.lines().any(|line| line == "terway_network_policy_ready 1");
            assert!(ready, "{setting}: {} does not enforce what it is told:\n{page}", node.name);
        }
    }
    let with_iperf = Command::new("iperf3").arg("--version").output().is_ok();
    if !with_iperf {
        println!("SKIPPED throughput: no iperf3");
    }
    let mut figures: BTreeMap<(&str, &str, usize), Vec<f64>> = BTreeMap::new();
    for round in 0..options.rounds {
        for way in Way::ALL {
            // Each goes first in turn.
            for turn in 0..clusters.len() {
                let index = (round + turn) % clusters.len();
                let side = Side::of(&clusters[index].1, way);
                let mut note = |what: &'static str, value| {
                    figures.entry((way.name(), what, index)).or_default().push(value);
                };
                let seconds = options.seconds;
                let (p50, p99) = rr(&side, seconds);
                note("TCP_RR p50, us", p50);
                note("TCP_RR p99, us", p99);
                note("TCP_CRR p50, us", crr(&side, seconds));
                if with_iperf {
                    note("iperf3 TCP, Gbit/s", iperf(&side, seconds));
                }
            }
        }
    }
    print(&figures);
    for (_, cluster) in clusters {
        cluster.down().await.expect("down");
    }
}

async fn start(number: usize, policy: bool) -> Cluster {
    let own = std::env::current_exe().expect("we are a program");
    let programs =
        Programs::find(&own, |name| std::env::var_os(name).map(PathBuf::from)).expect("they are built");
    let mut spec = ClusterSpec {
        nodes: 2,
        policy,
        ..ClusterSpec::new(&format!("bench{}x{number}", std::process::id()))
    };
    if policy {
        // Rules that each name a peer and a port of their own take an entry each, and more where ports overlap.
        let conf = json!({"enable_bpf": true, "bpf_map_size": 262_144, "max_flows": 524_288});
        spec.eni_conf.insert("ebpf_config".into(), conf);
    }
    let cluster = Cluster::start(spec, Some(programs)).await.expect("a cluster");
    for (name, node) in [("server", 1), ("near", 1), ("far", 2)] {
        let spec = PodSpec::new("default", name, node).label("app", name);
        cluster.run_pod(&spec).await.expect("a pod");
    }
    cluster
}

/// Policies that select both ends, of which the last allows what is measured.
fn policies(cluster: &Cluster) {
    let peers = |number: usize| {
        let rules: Vec<Value> = (0..RULES)
            .map(|rule| {
                json!({
                    "from": [{"podSelector": {"matchLabels": {"app": format!("peer-{number}-{rule}")}}}, {"ipBlock": {"cidr": format!("192.{number}.{rule}.0/24")}}],
                    "ports": [{"port": 1000 + number * RULES + rule}, {"protocol": "UDP", "port": 53, "endPort": 60 + rule}],
                })
            })
            .collect();
        rules
    };
    for number in 0..POLICIES {
        let mut ingress = peers(number);
        if number == POLICIES - 1 {
            ingress.push(json!({"from": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["near", "far", "server"]}]}}], "ports": [{"protocol": "TCP"}]}));
        }
        let egress: Vec<Value> =
            ingress.iter().map(|rule| json!({"to": rule["from"], "ports": rule["ports"]})).collect();
        let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress});
        cluster.apply_policy("default", &format!("p{number}"), &spec).expect("a policy");
    }
}

/// Medians, and ratios to the first setting.
fn print(figures: &BTreeMap<(&str, &str, usize), Vec<f64>>) {
    println!(
        "{:<12} {:<20} {:<28} {:>10} {:>10} {:>10} {:>7}",
        "path", "figure", "setting", "median", "least", "most", "ratio"
    );
    for ((way, what, setting), values) in figures {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let mut base = figures[&(*way, *what, 0)].clone();
        base.sort_by(f64::total_cmp);
        let ratio = median / base[base.len() / 2];
        println!(
            "{way:<12} {what:<20} {:<28} {median:>10.2} {:>10.2} {:>10.2} {ratio:>7.3}",
            SETTINGS[*setting],
            sorted[0],
            sorted[sorted.len() - 1],
        );
    }
}

/// Where a server is in a cluster.
fn server() -> Target {
    Target::pod("server")
}
