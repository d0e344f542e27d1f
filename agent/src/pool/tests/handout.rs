//! Which address a pod gets.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use terway_core::{
    address::{AddressCount, AddressSet, Grain, PodIps, Stack},
    config::EniSelection,
    id::{Mac, PodKey},
};

use super::{
    super::{Mono, Phase, PoolEni, Slot},
    node::{Node, Outcome},
};
use crate::store::{Allocation, EniPhase, EniRecord};

const NOW: Mono = Mono::from_secs(10);

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, last)
}

fn prefix(third: u8) -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::new(10, 0, third, 16), 28).expect("28 bits")
}

/// An ENI in use with these addresses; the first is the primary one.
fn eni(id: &str, grain: Grain, addresses: AddressSet) -> PoolEni {
    let record = EniRecord {
        id: id.into(),
        mac: Mac([0; 6]),
        vswitch: "vsw-0".into(),
        net: Some((Ipv4Net::default(), v4(253))),
        gateway6: None,
        primary: addresses.v4[0],
        phase: EniPhase::InUse,
        addresses,
    };
    PoolEni::from_record(&record, grain, Mono::ZERO)
}

fn of_v4(addresses: &[u8]) -> AddressSet {
    AddressSet { v4: addresses.iter().copied().map(v4).collect(), ..AddressSet::default() }
}

fn prefixed() -> PoolEni {
    let set = AddressSet { v4: vec![v4(1)], prefixes: vec![prefix(1), prefix(2)], ..AddressSet::default() };
    eni("eni-p", Grain::Prefix, set)
}

fn node(stack: Stack, enis: Vec<PoolEni>) -> Node {
    let mut node = super::node::empty(Grain::Address, stack);
    node.pool.enis = enis.into_iter().map(|eni| (eni.id.clone(), eni)).collect();
    node
}

#[test]
fn pods_pack_into_the_fullest_prefix_so_that_others_drain() {
    let mut eni = prefixed();
    for address in [3, 4] {
        eni.set_v4(Ipv4Addr::new(10, 0, 2, 16 + address), Slot::Assigned);
    }
    eni.set_v4(Ipv4Addr::new(10, 0, 1, 17), Slot::Assigned);
    for _ in 0..14 {
        let ips = eni.take(Stack::Ipv4).expect("idle ones are left");
        assert!(prefix(2).contains(&ips.v4), "{ips}");
    }
    let next = eni.take(Stack::Ipv4).expect("the other prefix has room");
    assert!(prefix(1).contains(&next.v4));
}

#[test]
fn the_primary_address_is_no_pods_in_prefix_grain() {
    let mut eni = prefixed();
    let taken: Vec<_> = std::iter::from_fn(|| eni.take(Stack::Ipv4)).collect();
    assert_eq!(taken.len(), 32);
    assert!(taken.iter().all(|ips| ips.v4 != eni.primary));
}

#[test]
fn a_prefix_counts_its_busy_addresses_through_a_pods_life() {
    let mut eni = prefixed();
    let ips = eni.take(Stack::Ipv4).expect("idle");
    let busy = |eni: &PoolEni| eni.prefixes.values().copied().collect::<Vec<_>>();
    assert_eq!(busy(&eni), [1, 0]);
    eni.set(ips, Slot::Cooling { until: NOW });
    assert_eq!(busy(&eni), [1, 0]);
    eni.expire_cooling(NOW);
    assert_eq!(busy(&eni), [0, 0]);
}

#[test]
fn a_pod_in_dual_stack_has_both_families_or_nothing() {
    let mut set = of_v4(&[1, 2, 3]);
    set.v6 = vec![v6(1), v6(2)];
    let mut eni = eni("eni-d", Grain::Address, set);
    assert_eq!(eni.idle_units(Stack::Dual), 2);
    assert_eq!(eni.take(Stack::Dual), Some(PodIps { v4: v4(1), v6: Some(v6(1)) }));
    assert_eq!(eni.take(Stack::Dual), Some(PodIps { v4: v4(2), v6: Some(v6(2)) }));
    assert_eq!(eni.take(Stack::Dual), None);
    assert_eq!(eni.v4.counts().idle, 1, "an address without a partner stays idle");
}

#[test]
fn a_short_reply_in_one_family_is_made_up_for() {
    let mut set = of_v4(&[1, 2, 3, 4]);
    set.v6 = vec![v6(1)];
    let mut node = node(Stack::Dual, vec![eni("eni-d", Grain::Address, set)]);
    node.waiting = 3;
    node.settle();
    let plan = node.plan();
    let wanted = AddressCount { v6: 2, ..AddressCount::default() };
    let action = super::super::PoolAction::Assign { eni: "eni-d".into(), count: wanted };
    assert_eq!(plan.actions, [action], "only the family that is behind");
    node.start(plan);
    let call = node.calls.pop().expect("just started");
    node.end(call, Outcome::Done);
    node.settle();
    assert_eq!((node.waiting, node.pods.len()), (0, 3));
}

#[test]
fn the_longest_idle_address_is_handed_out_first() {
    let mut eni = eni("eni-a", Grain::Address, of_v4(&[1, 2, 3]));
    for (last, since) in [(1, 30), (2, 10), (3, 20)] {
        eni.set_v4(v4(last), Slot::Idle { since: Mono::from_secs(since) });
    }
    let order: Vec<_> = std::iter::from_fn(|| eni.take(Stack::Ipv4)).map(|ips| ips.v4).collect();
    assert_eq!(order, [v4(2), v4(3), v4(1)]);
}

#[test]
fn addresses_of_enis_that_are_not_in_use_are_not_handed_out() {
    let far =
        PoolEni { phase: Phase::Attaching { accepted: None }, ..eni("eni-1", Grain::Address, of_v4(&[1])) };
    let gone = PoolEni { phase: Phase::Missing, ..eni("eni-2", Grain::Address, of_v4(&[2])) };
    let dark = PoolEni { net: None, ..eni("eni-3", Grain::Address, of_v4(&[3])) };
    let mut node = node(Stack::Ipv4, vec![far, gone, dark]);
    assert_eq!(node.pool.take(NOW), None);
    assert_eq!(node.pool.idle(), 0);
}

#[test]
fn enis_are_filled_up_or_levelled_as_configured() {
    let enis =
        || vec![eni("eni-1", Grain::Address, of_v4(&[1])), eni("eni-2", Grain::Address, of_v4(&[2, 3]))];
    for (selection, expected) in [(EniSelection::MostIps, "eni-2"), (EniSelection::LeastIps, "eni-1")] {
        let mut node = node(Stack::Ipv4, enis());
        node.pool.policy.eni_selection = selection;
        assert_eq!(node.pool.take(NOW).expect("idle").0.as_str(), expected);
    }
}

#[test]
fn an_allocation_is_found_by_its_pod_and_sandbox_until_it_is_unbound() {
    let mut node = node(Stack::Ipv4, vec![eni("eni-1", Grain::Address, of_v4(&[1]))]);
    let (id, ips) = node.pool.take(NOW).expect("idle");
    let pod = PodKey::new("default", "web-0");
    let allocation = Allocation {
        container: Some("c1".into()),
        ifname: "eth0".into(),
        pod: pod.clone(),
        uid: "uid-1".into(),
        ips,
        eni: id.clone(),
        network: "terway".into(),
        bandwidth: terway_core::host::Bandwidth::default(),
        link: 0,
        made: None,
    };
    node.pool.bind(allocation.clone());
    assert_eq!(node.pool.of_pod(&pod), std::slice::from_ref(&allocation));
    assert_eq!(node.pool.of_container(&"c1".into()), Some(&allocation));
    assert_eq!(node.pool.unbind(&allocation.key()), Some(allocation));
    assert!(node.pool.of_pod(&pod).is_empty() && node.pool.allocations().next().is_none());
    assert_eq!(node.pool.counts().assigned, 1, "the address itself is freed by cooling it");
    assert!(node.pool.cool(&id, ips, NOW, NOW));
    assert_eq!(node.pool.expire_cooling(NOW), ips.iter().collect::<Vec<_>>());
}

#[test]
fn a_block_lasts_twice_as_long_each_time_until_growth_works() {
    let mut node = node(Stack::Ipv4, Vec::new());
    let block = |node: &mut Node| {
        let cause = terway_core::cause::Cause::Quota { code: "EniPerInstanceLimitExceeded".into() };
        node.pool.block(cause, Mono::from_secs(60), Mono::from_secs(300), NOW);
        node.pool.blocked.as_ref().expect("just blocked").until.as_secs() - NOW.as_secs()
    };
    assert_eq!([(); 4].map(|()| block(&mut node)), [60, 120, 240, 300]);
    node.pool.unblock();
    assert_eq!(block(&mut node), 60);
}
