//! From the first microsecond: a pod that a policy closes never receives what it must not, however early it is sent.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use serde_json::json;
use terway_e2e::{cluster::Cluster, netns::Netns, pod::PodSpec, target::Target};
use tokio::time::sleep;

use crate::{
    bed::{cluster, netns, pod, policy},
    common::root,
};

const PORT: u16 = 7777;
/// Pods that come and go.
const PODS: usize = 40;

/// Sends datagrams to addresses without pause, from a namespace.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Flood {
    fn start(from: &Netns, to: Vec<IpAddr>) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let socket = from.run(|| UdpSocket::bind(("0.0.0.0", 0))).expect("a socket");
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let run = move || {
            while !stopped.load(Relaxed) {
                for ip in &to {
                    // Nobody there yet is no news.
                    if socket.send_to(b"early", SocketAddr::new(*ip, PORT)).is_ok() {
                        count.fetch_add(1, Relaxed);
                    }
                }
                // Some ten thousand datagrams a second, and a core for the others.
                std::thread::park_timeout(Duration::from_micros(300));
            }
        };
        Self { stop, sent, thread: Builder::new().spawn(run).expect("a thread") }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it does not panic");
        self.sent.load(Relaxed)
    }
}

/// Addresses that the node's next pods may get: those of the beginning of its vSwitch.
fn candidates() -> Vec<IpAddr> {
    (3..64).map(|host| [10, 0, 0, host].into()).collect()
}

/// Runs pods that listen from before they have a link; how many datagrams each got, and how many of them were sent to.
async fn receive(cluster: &Cluster, label: &str) -> (Vec<usize>, u64) {
    let to = candidates();
    let senders = [Target::pod("near"), Target::pod("far"), Target::Node(2), Target::Outside];
    let floods: Vec<Flood> =
        senders.iter().map(|sender| Flood::start(&netns(cluster, sender), to.clone())).collect();
    let mut got = Vec::new();
    let mut seen = BTreeSet::new();
    for number in 0..PODS {
        let spec = PodSpec::new("default", &format!("{label}-{number}"), 1).label("app", label);
        let listen = |netns: &Netns| {
            netns.run(|| {
                let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            })
        };
        let (made, socket) = cluster.run_pod_watched(&spec, listen).await.expect("a pod");
        assert!(to.contains(&made.ips[0]), "{:?} was not sent to: {to:?}", made.ips);
        seen.insert(made.ips[0]);
        sleep(Duration::from_millis(20)).await;
        let mut buffer = [0; 64];
        let mut count = 0;
        while socket.recv(&mut buffer).is_ok() {
            count += 1;
        }
        got.push(count);
        cluster.delete_pod(&spec.pod).await.expect("deleted");
    }
    assert!(seen.len() > 1, "addresses rest: {seen:?}");
    (got, floods.into_iter().map(Flood::end).sum())
}

#[tokio::test]
async fn a_closed_pod_receives_nothing_from_its_first_microsecond_on() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        for (key, value) in [("max_pool_size", 8), ("min_pool_size", 8)] {
            spec.eni_conf.insert(key.into(), value.into());
        }
        spec.eni_conf.insert("ip_reuse_cooldown".into(), "1s".into());
    })
    .await;
    pod(&cluster, "near", 1).await;
    pod(&cluster, "far", 2).await;
    policy(&cluster, "closed", &json!({"podSelector": {"matchLabels": {"app": "closed"}}}));
    sleep(Duration::from_millis(300)).await;
    let (got, sent) = receive(&cluster, "open").await;
    assert!(
        got.iter().all(|count| *count > 0),
        "what is sent early reaches a pod that is open: {got:?} of {sent}"
    );
    let (got, sent) = receive(&cluster, "closed").await;
    println!("{PODS} pods, {sent} datagrams sent while they started");
    assert_eq!(got, vec![0; PODS], "of {sent} that were sent");
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_closed_pod_sends_nothing_from_its_first_microsecond_on() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        spec.eni_conf.insert("ip_reuse_cooldown".into(), "1s".into());
    })
    .await;
    for (name, node) in [("near", 1), ("far", 2)] {
        pod(&cluster, name, node).await;
    }
    let shut = json!({"podSelector": {"matchLabels": {"app": "shut"}}, "policyTypes": ["Egress"]});
    policy(&cluster, "shut", &shut);
    sleep(Duration::from_millis(300)).await;
    let ends =
        ["near", "far"].map(|name| (Target::pod(name), crate::bed::ip(&cluster, &Target::pod(name), false)));
    let listen = |(target, _): &(Target, IpAddr)| {
        let socket = netns(&cluster, target).run(|| UdpSocket::bind(("0.0.0.0", PORT))).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        socket
    };
    let sockets = ends.each_ref().map(listen);
    let mut all = Vec::new();
    for label in ["open", "shut"] {
        for number in 0..PODS / 2 {
            let to = ends.each_ref().map(|(_, ip)| *ip).to_vec();
            let spec = PodSpec::new("default", &format!("{label}-{number}"), 1).label("app", label);
            let flood = move |netns: &Netns| Ok(Flood::start(netns, to));
            let (_, flood) = cluster.run_pod_watched(&spec, flood).await.expect("a pod");
            sleep(Duration::from_millis(20)).await;
            assert!(flood.end() > 0, "nothing could even be sent");
            cluster.delete_pod(&spec.pod).await.expect("deleted");
            let mut buffer = [0; 64];
            let got =
                sockets.each_ref().map(|socket| std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count());
            all.push((label, got));
        }
    }
    for (label, got) in &all {
        match *label {
            "open" => assert!(got.iter().all(|count| *count > 0), "{all:?}"),
            _ => assert_eq!(*got, [0, 0], "{all:?}"),
        }
    }
    cluster.down().await.expect("down");
}
