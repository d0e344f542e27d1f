//! Pods that come and go for long while agents die: nothing is left over, nothing is doubled, nobody is cut off.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use futures::future::join_all;
use terway_core::{address::Stack, cloud::EniStatus, id::PodKey};
use terway_e2e::{cluster::Cluster, pod::PodSpec, target::Target};
use terway_probe::icmp::{Echo, USUAL};
use tokio::time::{Instant, sleep};

use crate::{
    common::{PATIENCE, cluster, pod, root, until},
    pods::of_pods,
};

/// Pods that come and go, in all.
const CYCLES: usize = 200;
/// Pods under way at a time.
const WORKERS: usize = 8;
/// How often an agent is killed meanwhile.
const KILLS: usize = 100;
/// Moments at which a plugin is killed, and how far apart they are, in microseconds: an ADD takes some five
/// milliseconds.
const MOMENTS: u64 = 60;
const MOMENT_US: u64 = 150;
/// Longest silence between pods that run all the time.
const SILENCE: Duration = Duration::from_secs(1);

/// Sends from one running pod to another all the time.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Duration, Duration)>>,
}

impl Watch {
    fn start(cluster: &Cluster, from: &Target, to: &Target, v6: bool) -> Self {
        let netns = cluster.netns(from).expect("there").expect("it has one");
        let to = cluster.ips(to).expect("there").into_iter().find(|ip| ip.is_ipv6() == v6).expect("dual");
        let echo = netns.run(|| Echo::open(to, None)).expect("a socket");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = move || {
            let (start, mut last, mut silences) = (Instant::now(), Instant::now(), Vec::new());
            for sequence in (0..=u16::MAX).cycle() {
                let answer = echo.ask(USUAL, sequence, Duration::from_millis(100)).expect("it can be sent");
                let stop = stopped.load(Relaxed);
                if answer.is_some() || stop {
                    if last.elapsed() > SILENCE {
                        silences.push((last - start, last.elapsed()));
                    }
                    last = Instant::now();
                }
                if stop {
                    break;
                }
                // A thousand packets a second are enough.
                std::thread::park_timeout(Duration::from_millis(1));
            }
            silences
        };
        Self { stop, thread: Builder::new().spawn(watch).expect("a thread") }
    }

    /// Silences longer than [`SILENCE`]: when after the start they began, and how long they were.
    fn end(self) -> Vec<(Duration, Duration)> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

/// Tries until it works, as a kubelet does.
async fn insist<T, E: std::fmt::Display>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if start.elapsed() > PATIENCE => panic!("{what}: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Where an agent is when it is killed: anywhere. A sequence that does not repeat with what pods do.
fn moment(n: usize) -> Duration {
    Duration::from_micros((n as u64 * 7_919) % 120_000)
}

#[tokio::test]
async fn two_hundred_pods_come_and_go_while_agents_are_killed_a_hundred_times() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        (spec.zones, spec.stack) = (2, Stack::Dual);
        spec.eni_conf.insert("ip_reuse_cooldown".to_owned(), "1s".into());
    })
    .await;
    for node in 1..=3 {
        pod(&cluster, &format!("keeps-{node}"), node).await;
    }
    let ends = [(1, 2), (2, 3), (3, 1)]
        .map(|(from, to)| (Target::pod(&format!("keeps-{from}")), Target::pod(&format!("keeps-{to}"))));
    let pairs = ends.iter().flat_map(|(from, to)| [false, true].map(|v6| (from, to, v6)));
    let watches: Vec<(String, Watch)> = pairs
        .map(|(from, to, v6)| {
            let what = format!("{from} to {to}, IPv{}", if v6 { 6 } else { 4 });
            (what, Watch::start(&cluster, from, to, v6))
        })
        .collect();
    let (next, live) = (Cell::new(0), Cell::new(BTreeMap::<IpAddr, PodKey>::new()));
    let worker = async || {
        while next.get() < CYCLES {
            let number = next.replace(next.get() + 1);
            let spec = PodSpec::new("default", &format!("goes-{number}"), 1 + number % 3);
            let made = insist("run", async || cluster.run_pod(&spec).await).await;
            let mut now = live.take();
            for ip in &made.ips {
                let other = now.insert(*ip, spec.pod.clone());
                assert_eq!(other, None, "{ip} was given to {} as well", spec.pod);
            }
            live.set(now);
            sleep(moment(number)).await;
            let mut now = live.take();
            now.retain(|_, pod| *pod != spec.pod);
            live.set(now);
            insist("delete", async || cluster.delete_pod(&spec.pod).await).await;
        }
    };
    let killer = async {
        for number in 0..KILLS {
            sleep(moment(number)).await;
            let node = 1 + number % 3;
            cluster.kill_daemon(node).await.expect("killed");
            cluster.start_daemon(node).expect("started");
        }
    };
    let workers = join_all((0..WORKERS).map(|_| worker()));
    tokio::time::timeout(4 * PATIENCE, async { tokio::join!(workers, killer) }).await.expect("in time");
    for node in 1..=3 {
        cluster.ready(node).await.expect("it serves in the end");
    }
    let silences: Vec<_> = watches.into_iter().map(|(what, watch)| (what, watch.end())).collect();
    assert!(
        silences.iter().all(|(_, silences)| silences.is_empty()),
        "when they began, how long they were: {silences:?}"
    );
    nothing_is_left_but(&cluster, 1).await;
    cluster.down().await.expect("down");
}

/// That nodes, cloud and agents know of the pods that run and of nothing else; so many on each node.
pub(crate) async fn nothing_is_left_but(cluster: &Cluster, pods: usize) {
    for number in 1..=cluster.nodes().len() {
        let node = cluster.node(number).expect("one");
        let running: Vec<_> = cluster.all_pods().into_iter().filter(|pod| pod.spec.node == number).collect();
        assert_eq!(running.len(), pods);
        let ips: BTreeSet<String> =
            running.iter().flat_map(|pod| &pod.ips).map(ToString::to_string).collect();
        // For each address two rules, a route and a neighbour, a link for each pod, and nothing that names another
        // address.
        until(&format!("{} has what its pods need and nothing else", node.name), async || {
            let said = of_pods(&cluster.kernel(number).await.expect("seen"));
            let (links, rest): (Vec<_>, Vec<_>) = said.into_iter().partition(|it| !it.contains(' '));
            let named = |text: &String| ips.iter().any(|ip| text.contains(ip.as_str()));
            let links = links.iter().filter(|link| *link != "lo").count();
            links == pods && rest.iter().all(named) && rest.len() == ips.len() * 4
        })
        .await;
        until(&format!("{} has given all other addresses back", node.name), async || {
            let page = node.metrics().await.unwrap_or_default();
            let gauge = |name: &str| -> Option<f64> {
                let lines = page.lines().filter(|line| line.starts_with(name));
                lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(f64::max)
            };
            let (total, idle) =
                (gauge("terway_resource_pool_total_count"), gauge("terway_resource_pool_idle_count"));
            total.zip(idle).is_some_and(|(total, idle)| (total - idle - pods as f64).abs() < 0.5)
        })
        .await;
    }
    let names = terway_e2e::netns::Netns::names();
    let theirs = format!("tw-{}-p-", cluster.names.cluster());
    assert_eq!(names.iter().filter(|name| name.starts_with(&theirs)).count(), pods * cluster.nodes().len());
    let state = cluster.vpc.cloud.state();
    for entry in state.enis.iter().filter(|entry| !entry.primary_nic) {
        assert_eq!(entry.eni.status, EniStatus::InUse, "{:?}", entry.eni);
        assert!(entry.eni.instance.is_some(), "{:?}", entry.eni);
    }
    cluster.vpc.settled().await;
}

#[tokio::test]
async fn a_plugin_that_is_killed_at_any_moment_of_its_work_leaves_nothing_when_the_pod_is_deleted() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        (spec.nodes, spec.stack) = (1, Stack::Dual);
        spec.eni_conf.insert("ip_reuse_cooldown".to_owned(), "1s".into());
    })
    .await;
    pod(&cluster, "keeps-1", 1).await;
    let watch = Watch::start(&cluster, &Target::pod("keeps-1"), &Target::Outside, true);
    let (mut adds, mut dels) = (0, 0);
    for step in 0..MOMENTS {
        let after = Duration::from_micros(step * MOMENT_US);
        let spec = PodSpec::new("default", &format!("killed-{step}"), 1);
        adds += u32::from(cluster.kill_add(&spec, after).await.expect("DEL makes up for it"));
        let spec = PodSpec::new("default", &format!("half-{step}"), 1);
        insist("run", async || cluster.run_pod(&spec).await).await;
        dels += u32::from(cluster.kill_call(&spec.pod, "DEL", after).await.expect("it was started"));
        cluster.delete_pod(&spec.pod).await.expect("DEL makes up for it");
    }
    // As far as the machine is quick enough: most of the moments must have been within the work.
    assert!(adds > 5 && dels > 5, "{adds} ADDs and {dels} DELs were killed of {MOMENTS} each");
    assert_eq!(watch.end(), [], "the running pod was cut off");
    nothing_is_left_but(&cluster, 1).await;
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn thirty_pods_at_once_get_their_own_addresses() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        spec.nodes = 1;
        spec.eni_conf.insert("ip_reuse_cooldown".to_owned(), "1s".into());
    })
    .await;
    let specs: Vec<PodSpec> = (0..30).map(|n| PodSpec::new("default", &format!("at-once-{n}"), 1)).collect();
    let start = Instant::now();
    let pods = join_all(specs.iter().map(|spec| cluster.run_pod(spec))).await;
    let took = start.elapsed();
    let pods: Vec<_> = pods.into_iter().map(|pod| pod.expect("a pod")).collect();
    let ips: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| pod.ips.clone()).collect();
    assert_eq!(ips.len(), 30);
    assert!(took < Duration::from_secs(20), "30 pods took {took:?}");
    for pod in &pods {
        let load = terway_e2e::traffic::Load::new(terway_e2e::traffic::Protocol::Icmp, 8192);
        let sent = cluster.send(&Target::Outside, &Target::Pod(pod.spec.pod.clone()), false, load).await;
        sent.expect("both are").expect("it is reached");
        cluster.call(&pod.spec.pod, "CHECK").await.expect("it is as it was made");
    }
    nothing_is_left_but(&cluster, 30).await;
    let deleted = join_all(pods.iter().map(|pod| cluster.delete_pod(&pod.spec.pod))).await;
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    nothing_is_left_but(&cluster, 0).await;
    cluster.down().await.expect("down");
}
