//! ADD, again ADD, DEL.

use terway_dataplane::{
    desired::desired_eni,
    diff::{diff, diff_new},
    difference::differences,
    linux::direct,
    state::{NetState, Side},
};

use crate::world::{Ns, World, eni, left_on, pod, rich_pod, root};

#[test]
fn what_is_applied_is_observed_and_a_second_run_does_nothing() {
    if !root() {
        return;
    }
    for (pod, mtu) in [(pod(5), 1500), (rich_pod(6), 9000)] {
        let (world, netns) = (World::new(mtu), Ns::new());
        world.add(&pod, &netns);
        let (actual, wanted) = (world.observe(&pod, &netns), world.desired(&pod));
        assert_eq!(differences(&actual, &wanted), []);
        assert_eq!(actual, wanted);
        assert_eq!(diff(&actual, &wanted), []);
    }
}

#[test]
fn an_ipv4_pod_lives_where_ipv6_is_off() {
    if !root() {
        return;
    }
    let (world, netns) = (World::new(1500), Ns::new());
    for netns in [&netns, &world.host] {
        let off = |scope| std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
        netns.run(|| ["all", "default"].map(off)).into_iter().collect::<Result<Vec<_>, _>>().expect("off");
    }
    let mut pod = pod(5);
    pod.ips.v6 = None;
    world.add(&pod, &netns);
    assert_eq!(world.observe(&pod, &netns), world.desired(&pod));
}

#[test]
fn deleting_leaves_nothing_with_and_without_the_namespace() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let before = world.everything();
    for keep in [true, false] {
        let netns = Ns::new();
        world.add(&rich_pod(7), &netns);
        assert!(!left_on(&world.everything()).is_empty());
        world.delete(&rich_pod(7), keep.then_some(&netns));
        assert_eq!(world.everything(), before);
        assert!(netns.run(direct::observe_all).expect("observed").links.is_empty());
        world.delete(&rich_pod(7), keep.then_some(&netns));
    }
}

#[test]
fn rules_go_when_the_namespace_took_the_links_along() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let before = world.everything();
    let netns = Ns::new();
    world.add(&pod(8), &netns);
    drop(netns);
    world.delete(&pod(8), None);
    // The kernel takes a dead namespace's links when it gets to it; the host end is deleted by us before or not.
    assert_eq!(world.everything(), before);
}

#[test]
fn an_interface_that_the_pod_has_is_refused_and_stays_as_it_is() {
    if !root() {
        return;
    }
    let (world, netns) = (World::new(1500), Ns::new());
    world.add(&pod(9), &netns);
    let before = (world.observe(&pod(9), &netns), world.everything());
    let again = diff_new(&before.0, &world.desired(&pod(9)));
    assert_eq!(again.expect_err("exists").ifname, "eth0");
    // And by the kernel, for whoever did not look.
    let mut other = pod(10);
    other.container = "another".into();
    let blind = diff(&NetState::default(), &world.desired(&other));
    let error = world.apply(&netns, &blind).expect_err("exists").to_string();
    assert!(error.contains("add veth pair") && error.contains("exists"), "{error}");
    assert_eq!((world.observe(&pod(9), &netns), world.everything()), before);
}

#[test]
fn a_new_sandbox_takes_over_from_one_that_died_without_del() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let (old, new) = (Ns::new(), Ns::new());
    world.add(&pod(11), &old);
    let mut again = pod(11);
    again.container = "sandbox-11b".into();
    world.add(&again, &new);
    assert_eq!(world.observe(&again, &new), world.desired(&again));
}

#[test]
fn an_address_moves_to_another_pod_although_the_old_ones_objects_are_left() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let (old, new) = (Ns::new(), Ns::new());
    world.add(&pod(12), &old);
    let mut heir = pod(13);
    heir.ips = pod(12).ips;
    world.add(&heir, &new);
    assert_eq!(world.observe(&heir, &new), world.desired(&heir));
}

#[test]
fn an_eni_is_set_up_once_and_emptied_but_not_deleted() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let facts = world.facts();
    let wanted = NetState::of_host(desired_eni(&eni(), &facts).expect("valid"));
    let look = || world.host.run(|| direct::observe_eni(&eni(), &facts)).expect("observed");
    let ops = diff(&NetState::of_host(look()), &wanted);
    assert!(!ops.is_empty());
    world.apply(&world.fabric, &ops).expect("applied");
    assert_eq!(NetState::of_host(look()), wanted);
    assert_eq!(diff(&NetState::of_host(look()), &wanted), []);
    world.apply(&world.fabric, &diff(&NetState::of_host(look()), &NetState::default())).expect("torn down");
    let after = Side { sysctls: std::collections::BTreeMap::new(), ..look() };
    assert!(after.objects().next().is_none(), "{after:?}");
    assert!(after.links.contains_key("eth1"), "a nic is not deleted");
}
