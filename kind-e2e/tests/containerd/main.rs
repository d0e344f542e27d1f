//! Sandboxes made by a real containerd over CRI, with our plugin as its network: thirty at once, a restart of
//! containerd in between, and nothing left at the end.

#[path = "../common/mod.rs"]
mod common;
mod runtime;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::future::join_all;
use terway_core::id::PodKey;
use terway_dataplane::state::Side;
use terway_e2e::{cluster::Cluster, node::Node, pod::PodSpec};
use terway_probe::icmp::{Echo, USUAL};

use crate::{
    common::{PATIENCE, cluster, root, until},
    runtime::{Containerd, available},
};

/// Sandboxes at once.
const SANDBOXES: usize = 30;
const NODE: usize = 1;

fn spec(number: usize) -> PodSpec {
    PodSpec::new("default", &format!("cri-{number}"), NODE)
}

/// What of the host's state is of pods. Learned state is not in it.
fn of_pods(side: &Side) -> BTreeSet<String> {
    let links = side.links.keys().filter(|name| name.starts_with("cali")).cloned();
    let rules = side.rules.iter().map(ToString::to_string);
    let routes = side.routes.iter().filter(|route| route.dev.starts_with("cali")).map(ToString::to_string);
    let neighbours = side.neighbours.iter().map(ToString::to_string);
    links.chain(rules).chain(routes).chain(neighbours).collect()
}

async fn in_use(node: &Arc<Node>) -> String {
    let page = node.metrics().await.unwrap_or_default();
    let line = page.lines().find_map(|line| line.strip_prefix("terway_ip_allocated_total "));
    line.unwrap_or("no figure").to_owned()
}

/// Whether the node's own network reaches a pod, as a kubelet's probe does.
async fn reaches(cluster: &Cluster, ip: IpAddr) -> bool {
    let node = Arc::clone(cluster.node(NODE).expect("there"));
    let ask = move || node.netns.run(|| Ok(Echo::open(ip, None)?.ask(USUAL, 1, PATIENCE)?.is_some()));
    terway_e2e::task::blocking(ask).await.expect("sent")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_sandboxes_of_containerd_live_through_its_restart_and_leave_nothing() {
    if !root() || !available() {
        return;
    }
    let cluster = cluster(|spec| {
        spec.nodes = 1;
        spec.eni_conf.insert("ip_reuse_cooldown".to_owned(), "1s".into());
    })
    .await;
    let node = Arc::clone(cluster.node(NODE).expect("there"));
    let before = of_pods(&cluster.kernel(NODE).await.expect("seen"));
    let mut containerd = Containerd::start(&node).await;
    let client = containerd.client().await;
    let made = join_all((0..SANDBOXES).map(|number| {
        let (spec, client) = (spec(number), client.clone());
        let uid = cluster.create_object(&spec).expect("an object");
        async move { client.run(&spec.pod, &uid).await.expect("a sandbox") }
    }))
    .await;
    let ids: BTreeSet<String> = made.iter().cloned().collect();
    assert_eq!(ids.len(), SANDBOXES);
    assert_eq!(client.list().await, ids);
    let ips = join_all(made.iter().map(|id| client.ip(id))).await;
    let different: BTreeSet<IpAddr> = ips.iter().copied().collect();
    assert_eq!(different.len(), SANDBOXES, "an address was given twice: {ips:?}");
    for ip in &ips {
        assert!(reaches(&cluster, *ip).await, "{ip}");
    }
    assert_eq!(in_use(&node).await, SANDBOXES.to_string());
    let running = cluster.kernel(NODE).await.expect("seen");
    assert_eq!(
        of_pods(&running).difference(&before).count(),
        SANDBOXES * 5,
        "a link, a route, a neighbour, two rules"
    );

    containerd.restart().await;
    let client = containerd.client().await;
    assert_eq!(client.list().await, ids);
    assert_eq!(join_all(made.iter().map(|id| client.ip(id))).await, ips);
    assert_eq!(of_pods(&cluster.kernel(NODE).await.expect("seen")), of_pods(&running));
    for ip in &ips {
        assert!(reaches(&cluster, *ip).await, "{ip} after the restart");
    }

    // A kubelet stops a sandbox more than once; the second time it has no namespace any more.
    join_all(made.iter().map(|id| {
        let client = client.clone();
        async move {
            client.stop(id).await.expect("stopped");
            client.stop(id).await.expect("stopped again");
            client.remove(id).await.expect("removed");
        }
    }))
    .await;
    assert_eq!(client.list().await, BTreeSet::new());
    for number in 0..SANDBOXES {
        cluster.remove_object(&spec(number).pod).expect("removed");
    }
    assert_eq!(in_use(&node).await, "0");
    assert_eq!(of_pods(&cluster.kernel(NODE).await.expect("seen")), before);
    containerd.end().await;
    cluster.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandboxes_are_deleted_while_the_agent_is_dead_and_freed_when_it_is_back() {
    if !root() || !available() {
        return;
    }
    let cluster = cluster(|spec| spec.nodes = 1).await;
    let node = Arc::clone(cluster.node(NODE).expect("there"));
    let containerd = Containerd::start(&node).await;
    let client = containerd.client().await;
    let key = PodKey::new("default", "cri-0");
    let uid = cluster.create_object(&spec(0)).expect("an object");
    let id = client.run(&key, &uid).await.expect("a sandbox");
    cluster.kill_daemon(NODE).await.expect("killed");
    client.stop(&id).await.expect("a dead agent does not keep a pod");
    client.remove(&id).await.expect("removed");
    let refused = client.run(&key, &uid).await.expect_err("nobody gives an address");
    assert!(refused.contains("agent cannot be reached"), "{refused}");
    cluster.start_daemon(NODE).expect("started");
    cluster.ready(NODE).await.expect("ready");
    until("the address is free", async || in_use(&node).await == "0").await;
    containerd.end().await;
    cluster.down().await.expect("down");
}
