//! TCP, UDP, SCTP and ICMP of both families, on one node and between nodes, before and after changes of policy.

use serde_json::json;
use terway_core::address::Stack;
use terway_e2e::target::Target;

use crate::{
    bed::{Kind, becomes, cluster, pod, policy},
    common::root,
};

const BOTH: [bool; 2] = [false, true];

#[tokio::test]
async fn the_matrix_of_traffic_follows_policies_of_ingress() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.stack = Stack::Dual).await;
    for (name, node) in [("server", 1), ("near", 1), ("far", 2), ("other", 2)] {
        pod(&cluster, name, node).await;
    }
    let to = Target::pod("server");
    let from =
        [Target::pod("near"), Target::pod("far"), Target::pod("other"), Target::Node(1), Target::Node(2)];
    let (own, foreign) = (Target::Node(1).to_string(), Target::Node(2).to_string());
    let at = (&from[..], &to);
    becomes(&cluster, at, &BOTH, "no policy", |_| true).await;

    policy(&cluster, "deny", &json!({"podSelector": {"matchLabels": {"app": "server"}}}));
    becomes(&cluster, at, &BOTH, "all is denied, but to the pod's own node", |cell| cell.from == own).await;

    let selected = json!({"matchLabels": {"app": "server"}});
    policy(
        &cluster,
        "near-and-far",
        &json!({"podSelector": selected, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "near"}}}]},
            {"from": [{"podSelector": {"matchLabels": {"app": "far"}}}], "ports": [{"protocol": "TCP"}, {"protocol": "SCTP", "port": 9899}]},
        ]}),
    );
    let near = Target::pod("near").to_string();
    let far = Target::pod("far").to_string();
    becomes(&cluster, at, &BOTH, "one is allowed all, one two protocols", |cell| {
        cell.from == own
            || cell.from == near
            || (cell.from == far && matches!(cell.kind, Kind::Tcp | Kind::Sctp))
    })
    .await;

    cluster
        .label_pod(&terway_core::id::PodKey::new("default", "other"), &json!({"app": "far"}))
        .expect("labelled");
    let other = Target::pod("other").to_string();
    becomes(&cluster, at, &BOTH, "a pod with another label is another peer", |cell| {
        let far = cell.from == far || cell.from == other;
        cell.from == own || cell.from == near || (far && matches!(cell.kind, Kind::Tcp | Kind::Sctp))
    })
    .await;

    let node = cluster.ips(&Target::Node(2)).expect("there");
    let blocks: Vec<_> =
        node.iter().map(|ip| json!({"ipBlock": {"cidr": ipnet::IpNet::from(*ip).to_string()}})).collect();
    policy(
        &cluster,
        "near-and-far",
        &json!({"podSelector": selected, "ingress": [{"from": blocks, "ports": [{"protocol": "UDP"}]}]}),
    );
    becomes(&cluster, at, &BOTH, "another node is an address", |cell| {
        cell.from == own || (cell.from == foreign && cell.kind == Kind::Udp)
    })
    .await;

    cluster.remove_policy("default", "deny").expect("removed");
    cluster.remove_policy("default", "near-and-far").expect("removed");
    becomes(&cluster, at, &BOTH, "no policy any more", |_| true).await;
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn the_matrix_of_traffic_follows_policies_of_egress() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.stack = Stack::Dual).await;
    for (name, node) in [("server", 1), ("near", 1), ("far", 2)] {
        pod(&cluster, name, node).await;
    }
    let to = Target::pod("server");
    let from = [Target::pod("near"), Target::pod("far")];
    let far = Target::pod("far").to_string();
    let at = (&from[..], &to);
    let shut = json!({"podSelector": {"matchLabels": {"app": "far"}}, "policyTypes": ["Egress"]});
    policy(&cluster, "shut", &shut);
    becomes(&cluster, at, &BOTH, "one pod sends nothing", |cell| cell.from != far).await;
    becomes(
        &cluster,
        (&[Target::pod("near"), Target::Node(1)], &Target::pod("far")),
        &BOTH,
        "it answers",
        |_| true,
    )
    .await;
    let named = json!({"podSelector": {"matchLabels": {"app": "far"}}, "policyTypes": ["Egress"], "egress": [
        {"to": [{"podSelector": {"matchLabels": {"app": "server"}}}], "ports": [{"protocol": "UDP"}, {"protocol": "TCP", "port": 1, "endPort": 65535}]},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]},
    ]});
    policy(&cluster, "shut", &named);
    becomes(&cluster, at, &BOTH, "two protocols", |cell| {
        cell.from != far || matches!(cell.kind, Kind::Tcp | Kind::Udp)
    })
    .await;
    becomes(&cluster, (&[Target::pod("far")], &Target::Outside), &BOTH, "outside of the VPC", |cell| {
        !cell.v6
    })
    .await;
    becomes(&cluster, (&[Target::pod("far")], &Target::Node(1)), &[false], "not the VPC's block", |_| false)
        .await;
    becomes(&cluster, (&[Target::pod("far")], &Target::Node(2)), &[false], "but its own node", |_| true)
        .await;
    cluster.down().await.expect("down");
}
