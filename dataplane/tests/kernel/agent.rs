//! The agent's executor, and that both agree.

use std::{collections::BTreeSet, future::Future, net::IpAddr};

use terway_core::id::Mac;
use terway_dataplane::{
    diff::diff,
    difference::differences,
    linux::{
        direct,
        rtnl::{Kernel, KernelError},
    },
    op::{Change, NetOp, Object},
    orphan::{Owners, PodIf},
    pod::PodNet,
    state::{Address, NetState, Place, Route, Rule, Select},
};
use tokio::time::{Duration, timeout};

use crate::world::{ENI, Ns, World, eni, left_on, pod, rich_pod, root};

/// Runs the agent's side inside the host's namespace.
fn agent<T: Send, F: Future<Output = T>>(world: &World, work: impl FnOnce(Kernel) -> F + Send) -> T {
    world.host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (kernel, connection) = Kernel::open().expect("a socket");
            tokio::select! {
                biased;
                () = connection => panic!("the connection ended"),
                out = work(kernel) => out,
            }
        })
    })
}

#[test]
fn both_executors_see_the_same_and_do_the_same() {
    if !root() {
        return;
    }
    let (world, netns) = (World::new(9000), Ns::new());
    world.add(&rich_pod(5), &netns);
    let (seen, facts) = agent(&world, async |kernel| {
        (kernel.observe(&[]).await.expect("observed"), kernel.facts().await.expect("facts"))
    });
    assert_eq!(seen, world.everything());
    assert_eq!(facts, world.facts());
    // The same changes by either end in the same state.
    let host: Vec<NetOp> = world
        .desired(&rich_pod(6))
        .host
        .rules
        .into_iter()
        .map(Object::Rule)
        .map(Change::Add)
        .map(|change| NetOp::new(Place::Host, change))
        .collect();
    agent(&world, async |kernel| kernel.apply(&host).await).expect("applied");
    let by_agent = world.everything();
    let back: Vec<NetOp> = host.iter().rev().filter_map(NetOp::inverse).collect();
    world.apply(&netns, &back).expect("taken back");
    assert_eq!(world.everything(), seen);
    world.apply(&netns, &host).expect("applied");
    assert_eq!(world.everything(), by_agent);
}

#[test]
fn an_eni_is_set_up_by_mac_once_and_torn_down_to_nothing() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let before = world.everything();
    let eni = eni();
    let (first, second) = agent(&world, async |kernel| {
        (kernel.set_up(&eni).await.expect("set up"), kernel.set_up(&eni).await.expect("again"))
    });
    assert!(!first.is_empty());
    assert_eq!(second, [], "a second run is a no-op");
    let facts = world.facts();
    let index = facts.enis[&ENI].index;
    let seen = world.everything();
    let gateway = |via: &str| {
        seen.routes.iter().any(|route| {
            route.table == 1000 + index && route.via == via.parse().ok() && route.dst.prefix_len() == 0
        })
    };
    assert!(gateway("10.0.1.253") && gateway("2001:db8::fd"), "{:?}", seen.routes);
    agent(&world, async |kernel| kernel.tear_down(&eni).await).expect("torn down");
    assert_eq!(world.everything(), before);
}

#[test]
fn an_eni_with_another_mtu_address_and_gateway_is_put_right_and_the_nodes_own_routes_stay() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let eni = eni();
    agent(&world, async |kernel| kernel.set_up(&eni).await).expect("set up");
    let right = world.everything();
    let table = 1000 + world.facts().enis[&ENI].index;
    let route = |table, dst: &str, via: Option<&str>| {
        let via = via.map(|via| via.parse().expect("valid"));
        Object::Route(Route { table, dst: dst.parse().expect("valid"), dev: "eth1".into(), via })
    };
    let host = |change| NetOp::new(Place::Host, change);
    let own = route(254, "10.77.0.0/16", None);
    let address =
        Object::Address(Address { dev: "eth1".into(), net: "10.0.0.77/32".parse().expect("valid") });
    let ops = [
        host(Change::SetMtu { dev: "eth1".into(), from: 1500, to: 1400 }),
        host(Change::Del(route(table, "0.0.0.0/0", Some("10.0.1.253")))),
        host(Change::Add(route(table, "0.0.0.0/0", Some("10.0.1.1")))),
        host(Change::Add(address)),
        host(Change::Add(own.clone())),
    ];
    world.apply(&world.fabric, &ops).expect("applied");
    agent(&world, async |kernel| kernel.set_up(&eni).await).expect("put right");
    let mut expected = right;
    expected.insert(own);
    assert_eq!(world.everything(), expected);
}

#[test]
fn a_refused_change_of_the_agent_is_undone() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let before = world.everything();
    let rule = Rule { priority: 512, select: Select::To("10.0.1.5/32".parse().expect("valid")), table: 254 };
    let ops = [
        NetOp::new(Place::Host, Change::Add(Object::Rule(rule))),
        NetOp::new(Place::Host, Change::SetMtu { dev: "eth1".into(), from: 1500, to: 1 << 20 }),
    ];
    let error = agent(&world, async |kernel| kernel.apply(&ops).await).expect_err("refused").to_string();
    assert!(error.contains("set mtu of eth1") && error.contains("undone"), "{error}");
    assert_eq!(world.everything(), before);
}

#[test]
fn what_is_taken_from_a_live_pod_comes_back_and_nothing_else_is_touched() {
    if !root() {
        return;
    }
    let (world, one, two) = (World::new(1500), Ns::new(), Ns::new());
    world.add(&pod(5), &one);
    world.add(&pod(6), &two);
    let foreign =
        Rule { priority: 512, select: Select::To("10.9.9.9/32".parse().expect("valid")), table: 254 };
    world
        .apply(&one, &[NetOp::new(Place::Host, Change::Add(Object::Rule(foreign.clone())))])
        .expect("applied");
    let whole = world.everything();
    let wanted = world.desired(&pod(5)).host;
    let gone = wanted.rules.into_iter().map(Object::Rule).chain(wanted.routes.into_iter().map(Object::Route));
    let ops: Vec<NetOp> = gone.map(|object| NetOp::new(Place::Host, Change::Del(object))).collect();
    world.apply(&one, &ops).expect("taken");
    assert!(!differences(&world.observe(&pod(5), &one), &world.desired(&pod(5))).is_empty());
    let repaired = agent(&world, async |kernel| kernel.repair(&[pod(5), pod(6)]).await).expect("repaired");
    assert_eq!(repaired.done.keys().collect::<Vec<_>>(), [&key(5)]);
    assert_eq!((repaired.done[&key(5)].len(), repaired.unable.len()), (ops.len(), 0));
    assert_eq!(world.everything(), whole);
    let again = agent(&world, async |kernel| kernel.repair(&[pod(5), pod(6)]).await).expect("looked");
    assert!(again.done.is_empty() && again.unable.is_empty(), "{again:?}");
}

fn key(n: u8) -> PodIf {
    (pod(n).pod, pod(n).ifname)
}

#[test]
fn a_pod_that_cannot_be_repaired_keeps_no_other_from_it_and_is_left_as_it_was() {
    if !root() {
        return;
    }
    let (world, netns) = (World::new(1500), [5, 6, 7].map(|_| Ns::new()));
    for (n, netns) in (5..).zip(&netns) {
        world.add(&pod(n), netns);
    }
    let whole = world.everything();
    let take = |n: u8| {
        let rules = world.desired(&pod(n)).host.rules.into_iter().map(Object::Rule);
        rules.map(|rule| NetOp::new(Place::Host, Change::Del(rule))).collect::<Vec<_>>()
    };
    let taken: Vec<NetOp> = (5..8).flat_map(take).collect();
    world.apply(&netns[0], &taken).expect("taken");
    // Of the first the ENI has left. To the second the kernel says no: in the place of its route there is something
    // that is none of ours to remove.
    let lost = PodNet { eni_mac: Mac([2; 6]), ..pod(5) };
    let route = world.desired(&pod(6)).host.routes.into_iter().find(|it| it.dst.addr().is_ipv4());
    let route = NetOp::new(Place::Host, Change::Del(Object::Route(route.expect("of ipv4"))));
    world.apply(&netns[0], std::slice::from_ref(&route)).expect("taken");
    world.host.ip("route add blackhole 10.0.1.6/32");
    let before = world.everything();
    let pods = [lost, pod(6), pod(7)];
    let repaired = agent(&world, async |kernel| kernel.repair(&pods).await).expect("looked");
    assert_eq!(repaired.done.keys().collect::<Vec<_>>(), [&key(7)]);
    let unable: Vec<(PodIf, String)> =
        repaired.unable.into_iter().map(|(pod, error)| (pod, error.to_string())).collect();
    assert_eq!((&unable[0].0, &unable[1].0, unable.len()), (&key(5), &key(6), 2));
    assert!(unable[0].1.contains("02:02:02:02:02:02"), "{unable:?}");
    assert!(unable[1].1.contains("add route 10.0.1.6/32") && unable[1].1.contains("undone"), "{unable:?}");
    let mut expected = before;
    expected.rules.extend(world.desired(&pod(7)).host.rules);
    assert_eq!(world.everything(), expected);
    world.host.ip("route del blackhole 10.0.1.6/32");
    agent(&world, async |kernel| kernel.repair(&[pod(5), pod(6)]).await).expect("looked");
    assert_eq!(world.everything(), whole);
}

#[test]
fn one_refused_change_keeps_no_other_from_being_made() {
    if !root() {
        return;
    }
    let (world, netns) = (World::new(1500), Ns::new());
    let before = world.everything();
    world.add(&pod(5), &netns);
    let wanted = world.desired(&pod(5)).host;
    let mut ops = diff(&NetState::of_host(wanted), &NetState::default());
    let broken = NetOp::new(Place::Host, Change::SetMtu { dev: "eth1".into(), from: 1500, to: 1 << 20 });
    ops.insert(1, broken.clone());
    let applied = agent(&world, async |kernel| kernel.apply_all(&ops).await);
    assert_eq!(applied.refused.iter().map(|it| &*it.op).collect::<Vec<_>>(), [&broken]);
    assert!(applied.done.iter().all(|op| *op != broken), "{applied:?}");
    assert_eq!(world.everything(), before);
}

#[test]
fn an_eni_that_leaves_before_it_is_set_up_is_told_as_gone() {
    if !root() {
        return;
    }
    let world = World::new(1500);
    let facts = world.facts();
    world.host.ip("link del eth1");
    let left = |result: Result<Vec<NetOp>, KernelError>| {
        let error = result.expect_err("gone");
        assert!(matches!(error, KernelError::EniGone { mac: ENI }), "{error}");
    };
    agent(&world, async |kernel| {
        left(kernel.set_up_seen(&eni(), &facts).await);
        left(kernel.set_up(&eni()).await);
        assert_eq!(kernel.tear_down(&eni()).await.expect("nothing to do"), []);
    });
}

#[test]
fn what_belongs_to_no_pod_goes_and_what_is_foreign_stays() {
    if !root() {
        return;
    }
    let (world, live, dead) = (World::new(1500), Ns::new(), Ns::new());
    world.add(&pod(5), &live);
    let without_dead = world.everything();
    world.add(&pod(6), &dead);
    let ips = |n| pod(n).ips.iter().collect::<BTreeSet<IpAddr>>();
    let owners = Owners {
        containers: [pod(5).container].into(),
        in_use: ips(5),
        ours: ips(5).union(&ips(6)).copied().collect(),
    };
    let foreign =
        Rule { priority: 512, select: Select::To("10.9.9.9/32".parse().expect("valid")), table: 254 };
    let add = |object| NetOp::new(Place::Host, Change::Add(object));
    world.apply(&live, &[add(Object::Rule(foreign.clone()))]).expect("applied");
    let removed = agent(&world, async |kernel| kernel.sweep(|| owners.clone()).await).expect("swept");
    assert_eq!((removed.done.len(), removed.refused.len()), (5, 0), "four rules and the pair: {removed:?}");
    let mut expected = without_dead;
    expected.rules.insert(foreign);
    assert_eq!(world.everything(), expected);
    assert!(dead.run(direct::observe_all).expect("observed").links.is_empty());
    let again = agent(&world, async |kernel| kernel.sweep(|| owners.clone()).await).expect("swept");
    assert!(again.done.is_empty() && again.refused.is_empty(), "{again:?}");
}

#[test]
fn the_port_shows_nics_and_endpoints_and_tells_when_a_nic_comes() {
    if !root() {
        return;
    }
    let (world, netns, other) = (World::new(1500), Ns::new(), Ns::new());
    world.add(&pod(5), &netns);
    assert!(!left_on(&world.everything()).is_empty());
    let plug = |world: &World| {
        let mac = terway_core::id::Mac([0, 0x16, 0x3e, 0, 0, 8]);
        let end = |mac, peer: &str| terway_dataplane::state::Link {
            mac,
            mtu: 1500,
            up: true,
            alias: None,
            index: 0,
            kind: terway_dataplane::state::LinkKind::Veth { peer: Some(peer.into()) },
        };
        let pair = Change::AddVeth { name: "eth2".into(), link: end(mac, "gw1"), peer: end(ENI, "eth2") };
        world.apply(&other, &[NetOp::new(Place::Host, pair)]).expect("plugged");
        mac
    };
    agent(&world, async |kernel| {
        assert_eq!(kernel.nics().await.expect("seen"), [ENI]);
        let endpoints = kernel.endpoints().await.expect("seen");
        assert_eq!(endpoints.len(), 1);
        assert_eq!(endpoints[0].container, Some(pod(5).container));
        assert_eq!(endpoints[0].addresses, pod(5).ips.iter().collect::<Vec<_>>());
        let mac = plug(&world);
        timeout(Duration::from_secs(5), kernel.nics_changed(&[ENI])).await.expect("told").expect("seen");
        assert_eq!(kernel.nics().await.expect("seen"), [ENI, mac]);
        // A pod's link is no NIC.
        let more = Ns::new();
        world.add(&pod(6), &more);
        assert!(
            timeout(Duration::from_millis(300), kernel.nics_changed(&[ENI, mac])).await.is_err(),
            "told of a pod's link"
        );
    });
}
