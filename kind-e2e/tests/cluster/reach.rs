//! Everybody reaches everybody, by everything.

use std::{net::IpAddr, time::Duration};

use terway_core::address::Stack;
use terway_dataplane::{
    linux::direct,
    op::{Change, NetOp, Object},
    state::{Address, Place},
};
use terway_e2e::{
    cluster::Cluster,
    spec::ClusterSpec,
    target::Target,
    traffic::{Load, Protocol},
};
use terway_probe::echo::{self, Server};

use crate::common::{cluster, pod, root};

/// How long is waited for what must not come.
const SHORT: Duration = Duration::from_millis(600);

/// Two zones, three nodes, two pods on the first one and one on each of the others.
async fn world(mtu: u32) -> (Cluster, Vec<Target>) {
    let change = |spec: &mut ClusterSpec| (spec.zones, spec.stack, spec.mtu) = (2, Stack::Dual, mtu);
    let cluster = cluster(change).await;
    for (name, node) in [("a", 1), ("b", 1), ("c", 2), ("d", 3)] {
        pod(&cluster, name, node).await;
    }
    let pods = ["a", "b", "c", "d"].map(Target::pod).to_vec();
    (cluster, pods)
}

async fn all_reach_all(mtu: u32) {
    let (cluster, pods) = world(mtu).await;
    let others = [Target::Node(1), Target::Node(2), Target::Node(3), Target::Outside];
    let mut missed = Vec::new();
    let mut sent = 0;
    let ends: Vec<&Target> = pods.iter().chain(&others).collect();
    for from in &ends {
        // Among those that are no pods: the fabric's own tests.
        for to in ends.iter().filter(|to| *to != from && (pods.contains(from) || pods.contains(to))) {
            for v6 in [false, true] {
                for (protocol, bytes) in [
                    (Protocol::Icmp, 56),
                    (Protocol::Icmp, 8192),
                    (Protocol::Tcp, 100_000),
                    (Protocol::Udp, 8192),
                ] {
                    sent += 1;
                    let done =
                        cluster.send(from, to, v6, Load::new(protocol, bytes)).await.expect("both are");
                    if let Err(error) = done {
                        missed.push(format!("{from} to {to}, {protocol:?} of {bytes}, IPv6 {v6}: {error}"));
                    }
                }
            }
        }
    }
    assert!(missed.is_empty(), "MTU {mtu}: {} of {sent} missed:\n{}", missed.len(), missed.join("\n"));
    assert_eq!(sent, (4 * 7 + 4 * 4) * 8);
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn pods_nodes_zones_and_what_is_outside_reach_each_other_at_1500_bytes() {
    if root() {
        all_reach_all(1500).await;
    }
}

#[tokio::test]
async fn pods_nodes_zones_and_what_is_outside_reach_each_other_at_9000_bytes() {
    if root() {
        all_reach_all(9000).await;
    }
}

#[tokio::test]
async fn a_pod_that_spoofs_its_source_gets_nothing_through() {
    if !root() {
        return;
    }
    let (cluster, _) = world(1500).await;
    let netns = cluster.netns(&Target::pod("a")).expect("it is there").expect("a pod has one");
    for v6 in [false, true] {
        let ip = |target: &Target| -> IpAddr {
            cluster.ips(target).expect("it is there").into_iter().find(|ip| ip.is_ipv6() == v6).expect("dual")
        };
        let foreign: IpAddr = if v6 { "2001:db8:ffff::99" } else { "203.0.113.99" }.parse().expect("valid");
        for receiver in [Target::pod("c"), Target::Node(2), Target::Outside] {
            let at = cluster.netns(&receiver).expect("it is there").expect("it has one");
            let server = at.run(|| Server::start(ip(&receiver))).expect("a server");
            let lie = |source: IpAddr, patience| {
                let address = Address { dev: "lo".into(), net: source.into() };
                let op = |change| [NetOp::new(Place::Host, change)];
                let apply = |ops: &[NetOp]| {
                    netns.run(|| direct::apply(netns.path(), ops).map_err(std::io::Error::other))
                };
                apply(&op(Change::Add(Object::Address(address.clone())))).expect("a pod may do that");
                let sent = netns.run(|| echo::udp(server.udp(), Some(source), 100, patience));
                apply(&op(Change::Del(Object::Address(address)))).expect("and undo it");
                sent
            };
            netns
                .run(|| echo::udp(server.udp(), None, 100, SHORT))
                .expect("with its own source it is answered");
            let before = server.datagrams();
            let mut sources = vec![ip(&Target::pod("d")), ip(&Target::Node(3)), foreign];
            // The pod's own node: of IPv4 its kernel takes such a source for a lie. Of IPv6 it does not, and the VPC
            // cannot tell who on the node sent with an address of the node's.
            sources.extend((!v6).then(|| ip(&Target::Node(1))));
            for source in sources {
                lie(source, SHORT).expect_err("nothing comes back");
                assert_eq!(server.datagrams(), before, "{source} got through to {receiver}");
            }
        }
    }
    cluster.down().await.expect("down");
}
