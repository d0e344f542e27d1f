//! Services: what is sent to a service's address is judged by what is behind it, wherever that is.

use std::{net::SocketAddr, process::Command, time::Duration};

use futures::future::join_all;
use serde_json::json;
use terway_e2e::{cluster::Cluster, target::Target, task::blocking};
use terway_probe::echo;
use tokio::time::Instant;

use crate::{
    bed::{Served, cluster, netns, pod, policy},
    common::{PATIENCE, root},
};

/// Address of the service, in the range that nodes are told.
const SERVICE: &str = "172.16.0.10";

/// Translates a port of the service to a backend, as kube-proxy does. False where iptables is not there.
fn translate(cluster: &Cluster, node: usize, port: u16, to: SocketAddr) -> bool {
    let (port, to) = (port.to_string(), to.to_string());
    let rule = ["-t", "nat", "-A", "PREROUTING", "-d", SERVICE, "-p", "udp", "--dport", &port];
    let mut command = Command::new("/usr/sbin/iptables");
    command.args(rule).args(["-j", "DNAT", "--to-destination", &to]);
    let Ok(status) = cluster.node(node).expect("there").netns.run(|| command.status()) else {
        println!("SKIPPED: no iptables, which translates services here");
        return false;
    };
    assert!(status.success(), "iptables refused");
    true
}

#[tokio::test]
async fn a_service_is_judged_by_its_backend_on_this_node_and_on_another() {
    if !root() {
        return;
    }
    let cluster = cluster(|_| {}).await;
    for (name, node) in [("client", 1), ("here", 1), ("there", 2), ("wrong-here", 1), ("wrong-there", 2)] {
        pod(&cluster, name, node).await;
    }
    let mut served = Vec::new();
    let backends = ["here", "there", "wrong-here", "wrong-there"];
    for (number, name) in backends.into_iter().enumerate() {
        let server = Served::start(&cluster, &Target::pod(name), false);
        if !translate(&cluster, 1, 5000 + number as u16, server.echo.udp()) {
            return;
        }
        served.push(server);
    }
    // Off this thread: cloud and API server are tasks of it.
    let all = async || {
        let asked = (0..backends.len() as u16).map(|number| {
            let client = netns(&cluster, &Target::pod("client"));
            let to = SocketAddr::new(SERVICE.parse().expect("valid"), 5000 + number);
            blocking(move || client.run(|| echo::udp(to, None, 100, Duration::from_millis(400))).is_ok())
        });
        join_all(asked).await
    };
    assert_eq!(all().await, [true; 4], "no policy");
    // The rule names neither the service nor its range.
    policy(
        &cluster,
        "sends",
        &json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": [
            {"to": [{"podSelector": {"matchLabels": {"app": "here"}}}, {"podSelector": {"matchLabels": {"app": "there"}}}]}
        ]}),
    );
    let begun = Instant::now();
    while all().await != [true, true, false, false] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", all().await);
    }
    let before: Vec<u64> = served[2..].iter().map(|server| server.echo.datagrams()).collect();
    assert_eq!(all().await, [true, true, false, false], "a moment later");
    let after: Vec<u64> = served[2..].iter().map(|server| server.echo.datagrams()).collect();
    assert_eq!(before, after, "not even one way");
    // A service without a backend: what nobody translates does not leave.
    let outside = SocketAddr::new(SERVICE.parse().expect("valid"), 4999);
    let client = netns(&cluster, &Target::pod("client"));
    client.run(|| echo::udp(outside, None, 100, Duration::from_millis(300))).expect_err("nobody is there");
    cluster.down().await.expect("down");
}
