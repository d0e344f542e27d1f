//! What becomes of policy when the agent goes, comes as another one, is told of policy for the first time, or of none;
//! and when somebody works on links by hand.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use terway_core::id::PodKey;
use terway_dataplane::{
    linux::direct,
    name::host_veth_name,
    op::{Change, NetOp, Object},
    state::{Hook, Place, Program},
};
use terway_e2e::{cluster::Cluster, target::Target};
use tokio::time::sleep;

use crate::{
    bed::{Served, becomes, cluster, netns, pod, policy, reached},
    common::{root, until},
    edits::Asking,
};

/// Changes `eni_conf` of a node and starts its agent again.
async fn reconfigure(cluster: &Cluster, node: usize, change: impl FnOnce(&mut Value)) {
    let path = cluster.node(node).expect("there").dir().join("eni_conf.json");
    let mut conf: Value = serde_json::from_str(&fs::read_to_string(&path).expect("there")).expect("JSON");
    change(&mut conf);
    fs::write(&path, conf.to_string()).expect("written");
    cluster.restart_daemon(node).await.expect("it serves again");
}

#[tokio::test]
async fn policy_outlives_the_agent_and_goes_on_under_one_with_other_maps() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| {}).await;
    for (name, node) in [("server", 1), ("friend", 2), ("stranger", 2)] {
        pod(&cluster, name, node).await;
    }
    let (from, to) = ([Target::pod("friend"), Target::pod("stranger")], Target::pod("server"));
    let friend = Target::pod("friend").to_string();
    policy(
        &cluster,
        "friends",
        &json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}
        ]}),
    );
    becomes(&cluster, (&from, &to), &[false], "before", |cell| cell.from == friend).await;
    let served = Served::start(&cluster, &to, false);
    let asking = [
        Asking::one_flow(&netns(&cluster, &from[0]), served.echo.udp()),
        Asking::new_flows(netns(&cluster, &from[0]), served.echo.udp()),
        Asking::connection(&netns(&cluster, &from[0]), served.echo.tcp()),
    ];
    cluster.stop_daemon(1).await.expect("stopped");
    becomes(&cluster, (&from, &to), &[false], "without an agent", |cell| cell.from == friend).await;
    cluster.start_daemon(1).expect("started");
    cluster.ready(1).await.expect("it serves");
    becomes(&cluster, (&from, &to), &[false], "with a new one", |cell| cell.from == friend).await;
    // Maps of another size are other maps, with other programs.
    reconfigure(&cluster, 1, |conf| conf["ebpf_config"]["bpf_map_size"] = 16384.into()).await;
    becomes(&cluster, (&from, &to), &[false], "with other maps", |cell| cell.from == friend).await;
    let pins = cluster.node(1).expect("there").pins().join("terway_next");
    until("the new maps are in the place of the old ones", || async { !pins.exists() }).await;
    // Links get the new programs by repair; until then the old ones decide by the old maps.
    sleep(Duration::from_secs(6)).await;
    policy(
        &cluster,
        "friends",
        &json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}, {"podSelector": {"matchLabels": {"app": "stranger"}}}]}
        ]}),
    );
    becomes(&cluster, (&from, &to), &[false], "a change after that", |_| true).await;
    for (number, asking) in asking.into_iter().enumerate() {
        let tally = asking.end();
        assert!(tally.asked > 100 && tally.lost == 0, "stream {number}: {tally:?}");
    }
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn policy_comes_to_a_node_that_has_pods_and_goes_again() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.policy = false).await;
    for (name, node) in [("server", 1), ("friend", 2), ("stranger", 2)] {
        pod(&cluster, name, node).await;
    }
    let (from, to) = ([Target::pod("friend"), Target::pod("stranger")], Target::pod("server"));
    let friend = Target::pod("friend").to_string();
    policy(
        &cluster,
        "friends",
        &json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}
        ]}),
    );
    becomes(&cluster, (&from, &to), &[false], "nobody enforces it", |_| true).await;
    let served = Served::start(&cluster, &to, false);
    let asking = Asking::new_flows(netns(&cluster, &from[0]), served.echo.udp());
    reconfigure(&cluster, 1, |conf| {
        conf["ebpf_config"] = json!({"enable_bpf": true, "bpf_map_size": 8192, "max_flows": 16384});
    })
    .await;
    becomes(&cluster, (&from, &to), &[false], "it is enforced on pods that were there", |cell| {
        cell.from == friend
    })
    .await;
    cluster
        .call(&PodKey::new("default", "server"), "CHECK")
        .await
        .expect("it is as it was made, and governed");
    let pins = cluster.node(1).expect("there").pins().to_owned();
    assert!(pins.join("terway_policy_map").exists());
    reconfigure(&cluster, 1, |conf| conf["ebpf_config"] = Value::Null).await;
    becomes(&cluster, (&from, &to), &[false], "it is enforced no more", |_| true).await;
    let left: Vec<_> = fs::read_dir(&pins).expect("the folder stays").filter_map(Result::ok).collect();
    assert!(left.is_empty(), "{left:?}");
    let tally = asking.end();
    assert!(tally.asked > 100 && tally.lost == 0, "what is allowed all the time: {tally:?}");
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_program_that_was_taken_from_a_link_is_missed_and_put_back() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| {}).await;
    pod(&cluster, "server", 1).await;
    pod(&cluster, "stranger", 2).await;
    let (from, to) = ([Target::pod("stranger")], Target::pod("server"));
    policy(&cluster, "closed", &json!({"podSelector": {"matchLabels": {"app": "server"}}}));
    becomes(&cluster, (&from, &to), &[false], "closed", |_| false).await;
    let key = PodKey::new("default", "server");
    cluster.call(&key, "CHECK").await.expect("as it was made");
    let node = cluster.node(1).expect("there");
    let program =
        Program { dev: host_veth_name(&key, "eth0"), hook: Hook::ToPod, pins: node.pins().to_owned() };
    let taken = [NetOp::new(Place::Host, Change::Del(Object::Program(program)))];
    node.netns
        .run(|| direct::apply(node.netns.path(), &taken).map_err(std::io::Error::other))
        .expect("taken off");
    // What is new gets through; flows that are known as denied are denied by the program that is left.
    let open = reached(&cluster, &from, &to, &[false]).await;
    assert!(!open.is_empty(), "it has no effect that the program is gone");
    let refused = cluster.call(&key, "CHECK").await.expect_err("it is not as it was made").to_string();
    assert!(refused.contains("program to_pod"), "{refused}");
    // Nothing tells of it: whatever else changes on the host does, or the slow tick.
    pod(&cluster, "another", 1).await;
    becomes(&cluster, (&from, &to), &[false], "closed again", |_| false).await;
    cluster.call(&key, "CHECK").await.expect("as it was made");
    let page = node.metrics().await.expect("a page");
    let mended = "terway_mended_objects_total{reason=\"repair\",object=\"program\"} 1";
    assert!(page.lines().any(|line| line == mended), "{page}");
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn a_pod_sends_with_its_own_address_alone_unless_it_is_a_router() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| {}).await;
    let liar = terway_e2e::pod::PodSpec::new("default", "liar", 1);
    let mut router = terway_e2e::pod::PodSpec::new("default", "router", 1);
    router.annotations.insert("policy.terway-rs.io/router".into(), "true".into());
    for spec in [&liar, &router] {
        cluster.run_pod(spec).await.expect("a pod");
    }
    pod(&cluster, "server", 1).await;
    let served = Served::start(&cluster, &Target::pod("server"), false);
    for (name, gets_through) in [("liar", false), ("router", true)] {
        let inside = netns(&cluster, &Target::pod(name));
        let lie: std::net::IpAddr = [10, 0, 0, 222].into();
        let address = terway_dataplane::state::Address { dev: "lo".into(), net: lie.into() };
        let add = [NetOp::new(Place::Host, Change::Add(Object::Address(address)))];
        inside
            .run(|| direct::apply(inside.path(), &add).map_err(std::io::Error::other))
            .expect("a pod may do that");
        let before = served.echo.datagrams();
        // Nothing comes back: nobody has the address.
        let sent = || {
            let socket = std::net::UdpSocket::bind((lie, 0))?;
            socket.send_to(b"a lie", served.echo.udp())
        };
        for _ in 0..10 {
            inside.run(sent).expect("sent");
        }
        sleep(Duration::from_millis(300)).await;
        assert_eq!(served.echo.datagrams() > before, gets_through, "{name}");
    }
    cluster.down().await.expect("down");
}
