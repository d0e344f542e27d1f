//! Properties of the diff on a model of the kernel.

use std::collections::BTreeSet;

use ipnet::IpNet;
use proptest::prelude::*;
use terway_core::id::Mac;

use super::*;
use crate::{
    desired::{desired, tests::*},
    op::sysctl_link,
    state::{Address, Neighbour, Qdisc, QdiscKind, Route, Rule, Select, Side, Tbf},
};

/// One pair of links at most, a NIC on the host, and objects on those: what one pod's observation can hold.
fn state() -> impl Strategy<Value = NetState> {
    let pair = proptest::option::of((0..2u8, 0..3u8, 0..3u32, any::<bool>()));
    let objects = proptest::collection::vec((any::<bool>(), 0..6u8, 0..4u8, 0..3u8), 0..24);
    (pair, objects, proptest::collection::vec((any::<bool>(), 0..4u8, 0..2u32), 0..6)).prop_map(
        |(pair, objects, sysctls)| {
            let mut state = NetState::default();
            let nic =
                Link { mac: Mac([0; 6]), mtu: 1500, up: true, alias: None, index: 0, kind: LinkKind::Nic };
            state.host.links.insert("eth1".into(), nic);
            if let Some((name, mac, mtu, alias)) = pair {
                let (host, pod) = (format!("cali{name}"), format!("eth{}", name % 2 * 9));
                let end = |peer: &str, alias: Option<String>| Link {
                    mac: Mac([2, 0, 0, 0, 0, mac]),
                    mtu: 1500 + mtu,
                    up: true,
                    alias,
                    index: 0,
                    kind: LinkKind::Veth { peer: Some(peer.into()) },
                };
                let alias = if alias { "a/eth0" } else { "b/eth0" };
                state.host.links.insert(host.clone(), end(&pod, Some(alias.into())));
                state.pod.links.insert(pod, end(&host, None));
            }
            for (host, kind, first, second) in objects {
                add(state.side_mut(if host { Place::Host } else { Place::Pod }), kind, first, second);
            }
            for (host, key, value) in sysctls {
                let side = state.side_mut(if host { Place::Host } else { Place::Pod });
                let link = if key % 2 == 0 { Some("all".into()) } else { side.links.keys().next().cloned() };
                side.sysctls.extend(link.map(|link| (format!("net/ipv4/conf/{link}/s{key}"), value)));
            }
            state
        },
    )
}

fn add(side: &mut Side, kind: u8, first: u8, second: u8) {
    let links: Vec<String> = side.links.keys().cloned().collect();
    let net: IpNet = format!("10.0.0.{first}/32").parse().expect("valid");
    let (priority, table) = (512 + u32::from(second), 1000 + u32::from(first));
    let dev = links.get(usize::from(second) % links.len().max(1)).cloned();
    match (kind, dev) {
        (0, _) => drop(side.rules.insert(Rule { priority, select: Select::To(net), table })),
        (1, _) => drop(side.rules.insert(Rule { priority, select: Select::From(net), table })),
        (_, None) => {}
        (2, Some(dev)) => drop(side.addresses.insert(Address { dev, net })),
        (3, Some(dev)) => drop(side.routes.insert(Route { table, dst: net, dev, via: None })),
        (4, Some(dev)) => {
            let mac = Mac([2, 0, 0, 0, 1, second]);
            side.neighbours.insert(Neighbour { dev, ip: net.addr(), mac });
        }
        (_, Some(dev)) => {
            let rate = 1_000_000 * (1 + u64::from(first));
            side.qdiscs.retain(|qdisc| qdisc.dev != dev);
            side.qdiscs.insert(Qdisc { dev, kind: QdiscKind::Tbf(Tbf::new(rate, 1500)) });
        }
    }
}

fn apply(mut state: NetState, ops: &[NetOp]) -> NetState {
    for op in ops {
        op.change(&mut state);
    }
    state
}

/// Settings that nobody wants stay where they are.
fn only_wanted_settings(mut state: NetState, desired: &NetState) -> NetState {
    for place in PLACES {
        let wanted = &desired.side(place).sysctls;
        state.side_mut(place).sysctls.retain(|key, _| wanted.contains_key(key));
    }
    state
}

proptest! {
    #[test]
    fn applying_the_diff_gives_what_is_desired(actual in state(), desired in state()) {
        let after = apply(actual.clone(), &diff(&actual, &desired));
        prop_assert_eq!(&only_wanted_settings(after.clone(), &desired), &desired);
        prop_assert_eq!(diff(&after, &desired), vec![], "a second run is a no-op");
    }

    #[test]
    fn the_diff_to_nothing_leaves_nothing(actual in state()) {
        let nothing = NetState::default();
        let mut after = apply(actual.clone(), &diff(&actual, &nothing));
        after.host.links.remove("eth1");
        prop_assert_eq!(only_wanted_settings(after, &nothing), nothing);
    }

    #[test]
    fn inverses_in_reverse_lead_back_from_every_position(actual in state(), desired in state(), cut in 0..64usize) {
        let ops = diff(&actual, &desired);
        let done = &ops[..cut.min(ops.len())];
        prop_assume!(!done.iter().any(|op| matches!(op.change, Change::DelLink { .. })));
        let undo: Vec<NetOp> = done.iter().rev().filter_map(NetOp::inverse).collect();
        let back = apply(apply(actual.clone(), done), &undo);
        // A setting that was not observed before has no value to go back to, unless its link went.
        prop_assert_eq!(only_wanted_settings(back, &actual), actual);
    }

    #[test]
    fn what_leads_to_a_link_goes_before_what_is_on_it_and_that_before_the_link(actual in state(), desired in state()) {
        for place in PLACES {
            let steps: Vec<u8> = diff(&actual, &desired).iter().filter(|op| op.place == place).map_while(|op| {
                match &op.change {
                    Change::Del(Object::Rule(_)) => Some(0),
                    Change::Del(Object::Route(_)) => Some(1),
                    Change::Del(Object::Neighbour(_)) => Some(2),
                    Change::Del(Object::Qdisc(_)) => Some(3),
                    Change::Del(Object::Address(_)) => Some(4),
                    Change::DelLink { .. } => Some(5),
                    _ => None,
                }
            }).collect();
            prop_assert!(steps.is_sorted(), "{steps:?}");
        }
    }

    #[test]
    fn nothing_is_put_on_a_link_before_it_is_there_nor_routed_before_it_is_up(actual in state(), desired in state()) {
        let mut state = actual.clone();
        for op in diff(&actual, &desired) {
            if let Change::Add(object) = &op.change && let Some(dev) = object.dev() {
                let link = state.side(op.place).links.get(dev);
                prop_assert!(link.is_some(), "{op} without a link");
                if matches!(object, Object::Route(_) | Object::Neighbour(_)) {
                    prop_assert!(link.is_some_and(|link| link.up), "{op} on a link that is down");
                }
            }
            if let Change::SetSysctl { key, .. } = &op.change && let Some(link) = sysctl_link(key) {
                prop_assert!(state.side(op.place).links.contains_key(link), "{op} without a link");
            }
            op.change(&mut state);
        }
    }
}

#[test]
fn a_new_pod_is_ready_inside_before_the_host_routes_to_it() {
    let ops = diff(&NetState::default(), &desired(&dual(), &facts()).expect("valid"));
    let step = |op: &NetOp| match &op.change {
        Change::AddVeth { .. } => 0,
        _ if op.place == Place::Pod => 1,
        _ => 2,
    };
    let steps: Vec<i32> = ops.iter().map(step).collect();
    assert!(steps.is_sorted(), "{ops:?}");
    assert!(matches!(ops.last().expect("some").change, Change::Add(Object::Rule(_))));
    let ups: BTreeSet<Place> = ops
        .iter()
        .filter(|op| matches!(op.change, Change::SetUp { up: true, .. }))
        .map(|op| op.place)
        .collect();
    assert_eq!(ups.len(), 2);
}

#[test]
fn an_interface_that_exists_is_refused_and_one_that_a_dead_sandbox_left_is_replaced() {
    let wanted = desired(&dual(), &facts()).expect("valid");
    let error = diff_new(&wanted, &wanted).expect_err("exists");
    assert_eq!(error.ifname, "eth0");
    let mut left = wanted.clone();
    left.pod = Side::default();
    for link in left.host.links.values_mut() {
        link.kind = LinkKind::Veth { peer: None };
    }
    let ops = diff_new(&left, &wanted).expect("nothing in the pod");
    assert!(matches!(ops[0].change, Change::DelLink { .. }), "{ops:?}");
    assert_eq!(apply(left, &ops), wanted);
    assert!(
        !ops.iter().any(|op| matches!(op.change, Change::Add(Object::Rule(_)))),
        "its rules are right: {ops:?}"
    );
}
