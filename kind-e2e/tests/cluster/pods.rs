//! Pods that come and go, and what is left of them.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use terway_core::{address::Stack, cloud::EniStatus, id::PodKey};
use terway_dataplane::{
    linux::direct,
    op::{Change, NetOp, Object},
    state::{Place, Side},
};
use terway_e2e::{
    netns::Netns,
    pod::PodSpec,
    target::Target,
    traffic::{Load, Protocol},
};

use tokio::time::Instant;

use crate::common::{PATIENCE, cluster, pod, root, until};

/// What on a node is not its NICs' own: names of links, and what is said of the rest.
pub(crate) fn of_pods(side: &Side) -> BTreeSet<String> {
    let nic = |dev: &str| dev.starts_with("eth");
    let objects =
        side.objects().filter(|object| !object.dev().is_some_and(nic)).map(|object| object.to_string());
    objects.chain(side.links.keys().filter(|name| !nic(name)).cloned()).collect()
}

#[tokio::test]
async fn a_pod_runs_with_an_address_of_its_nodes_eni_and_leaves_nothing() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.stack = Stack::Dual).await;
    let before = cluster.kernel(1).await.expect("seen");
    let made = pod(&cluster, "a", 1).await;
    let key = PodKey::new("default", "a");
    assert_eq!(made.ips.iter().map(IpAddr::is_ipv4).collect::<Vec<_>>(), [true, false]);
    for ip in &made.ips {
        let (_, status, instance) = cluster.vpc.cloud.owner_of(*ip).expect("the cloud knows it");
        let node = &cluster.node(1).expect("one").instance;
        assert_eq!((status, instance.as_ref()), (EniStatus::InUse, Some(node)), "{ip}");
    }
    let object = cluster.vpc.api.pod("default", "a").expect("there").value();
    assert_eq!(object["status"]["podIP"], made.ips[0].to_string());
    assert_eq!(object["status"]["phase"], "Running");
    cluster.call(&key, "CHECK").await.expect("it is as it was made");
    cluster.delete_pod(&key).await.expect("deleted");
    assert!(cluster.vpc.api.pod("default", "a").is_none());
    assert!(!Netns::names().contains(&made.netns));
    let after = cluster.kernel(1).await.expect("seen");
    assert_eq!(of_pods(&after), of_pods(&before));
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| ()).await;
    pod(&cluster, "a", 1).await;
    let twice = cluster.run_pod(&PodSpec::new("default", "a", 1)).await.expect_err("its name is taken");
    assert!(twice.to_string().contains("already exists"), "{twice}");
    let nowhere = cluster.run_pod(&PodSpec::new("default", "b", 9)).await.expect_err("there is no such node");
    assert!(nowhere.to_string().contains("there is no node `9`; there are: 1 to 3"), "{nowhere}");
    assert_eq!(cluster.all_pods().len(), 1);
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_second_eni_is_hot_added_when_the_first_one_is_full() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        spec.nodes = 2;
        spec.eni_conf.insert("max_ips_per_eni".to_owned(), 2.into());
        spec.eni_conf.insert("min_pool_size".to_owned(), 0.into());
        spec.eni_conf.insert("max_pool_size".to_owned(), 0.into());
    })
    .await;
    pod(&cluster, "far", 2).await;
    let mut enis = BTreeSet::new();
    for name in ["a", "b", "c", "d"] {
        let made = pod(&cluster, name, 1).await;
        enis.insert(cluster.vpc.cloud.owner_of(made.ips[0]).expect("owned").0);
    }
    assert_eq!(enis.len(), 2, "two addresses each");
    let kernel = cluster.kernel(1).await.expect("seen");
    for link in ["eth0", "eth1", "eth2"] {
        assert!(kernel.links.get(link).is_some_and(|link| link.up), "{link} of {:?}", kernel.links.keys());
    }
    for from in ["a", "b", "c", "d"].map(Target::pod) {
        for to in [Target::pod("far"), Target::Outside] {
            let sent =
                cluster.send(&from, &to, false, Load::new(Protocol::Icmp, 56)).await.expect("both are");
            sent.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        }
    }
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_pod_keeps_running_while_its_agent_is_killed_and_its_delete_is_made_up_for() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.nodes = 2).await;
    let (a, b) = (pod(&cluster, "a", 1).await, pod(&cluster, "b", 2).await);
    cluster.kill_daemon(1).await.expect("killed");
    let sent =
        cluster.send(&Target::pod("a"), &Target::pod("b"), false, Load::new(Protocol::Tcp, 1000)).await;
    sent.expect("both are").expect("traffic needs no agent");
    // Without an agent the plugin writes down what it could not tell.
    cluster.delete_pod(&a.spec.pod).await.expect("deleted");
    cluster.start_daemon(1).expect("started");
    cluster.ready(1).await.expect("ready");
    until("the agent has heard of it", async || {
        let spool = cluster.node(1).expect("one").dir().join("spool");
        std::fs::read_dir(spool).map_or(true, |mut entries| entries.next().is_none())
    })
    .await;
    let again = tokio::time::timeout(PATIENCE, pod(&cluster, "a", 1)).await.expect("in time");
    let load = Load { patience: Duration::from_secs(5), ..Load::new(Protocol::Tcp, 1000) };
    let sent = cluster.send(&Target::pod("b"), &Target::pod("a"), false, load).await.expect("both are");
    sent.expect("the new one is reached");
    assert_ne!(again.container, a.container);
    assert_eq!(cluster.pod(&b.spec.pod).expect("there").ips, b.ips);
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn what_is_taken_from_a_running_pod_by_hand_is_back_within_ten_seconds_and_counted() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.nodes = 2).await;
    let made = pod(&cluster, "a", 1).await;
    pod(&cluster, "b", 2).await;
    let node = cluster.node(1).expect("one");
    let whole = of_pods(&cluster.kernel(1).await.expect("seen"));
    let gone: Vec<NetOp> = {
        let side = cluster.kernel(1).await.expect("seen");
        let of_pod = |object: &Object| object.to_string().contains(&made.ips[0].to_string());
        side.objects().filter(of_pod).map(|object| NetOp::new(Place::Host, Change::Del(object))).collect()
    };
    assert_eq!(gone.len(), 4, "two rules, a route and a neighbour: {gone:?}");
    let start = Instant::now();
    let take = || direct::apply(node.netns.path(), &gone).map_err(std::io::Error::other);
    node.netns.run(take).expect("taken");
    let load = Load { patience: Duration::from_millis(200), ..Load::new(Protocol::Icmp, 56) };
    let (a, b) = (Target::pod("a"), Target::pod("b"));
    cluster.send(&b, &a, false, load).await.expect("both are").expect_err("it is cut off");
    until("it is back", async || of_pods(&cluster.kernel(1).await.expect("seen")) == whole).await;
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    cluster
        .send(&b, &a, false, Load::new(Protocol::Icmp, 56))
        .await
        .expect("both are")
        .expect("it is reached");
    let page = node.metrics().await.expect("told");
    let counted =
        page.lines().filter(|line| line.starts_with("terway_mended_objects_total{reason=\"repair\""));
    let sum: u64 = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert!(sum >= 4, "{page}");
    cluster.down().await.expect("down");
}
