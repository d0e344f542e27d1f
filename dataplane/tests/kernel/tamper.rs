//! What is tampered with is named, and repaired.

use ipnet::IpNet;
use terway_core::id::Mac;
use terway_dataplane::{
    difference::{differences, repair},
    name::host_veth_name,
    op::{Change, NetOp, Object},
    state::{Address, NetState, Place, Qdisc, QdiscKind, Route, Rule, Select, Tbf},
};

use crate::world::{Ns, World, rich_pod, root};

type Tamper = fn(&NetState) -> Vec<NetOp>;

fn op(place: Place, change: Change) -> NetOp {
    NetOp::new(place, change)
}

fn set_up(place: Place, state: &NetState) -> Vec<NetOp> {
    let dev = state.side(place).links.keys().next().expect("one").clone();
    vec![op(place, Change::SetUp { dev, up: false })]
}

/// Takes away the first object that is as described.
fn take(place: Place, state: &NetState, which: impl Fn(&Object) -> bool) -> Vec<NetOp> {
    let object = state.side(place).objects().find(|object| which(object)).expect("there");
    vec![op(place, Change::Del(object))]
}

/// Puts another in place of the first that is as described.
fn swap(place: Place, state: &NetState, change: impl Fn(&Object) -> Option<Object>) -> Vec<NetOp> {
    let mut objects = state.side(place).objects();
    let (old, new) = objects.find_map(|object| change(&object).map(|new| (object, new))).expect("there");
    vec![op(place, Change::Del(old)), op(place, Change::Add(new))]
}

fn net(text: &str) -> IpNet {
    text.parse().expect("valid")
}

fn host_dev(state: &NetState) -> String {
    state.host.links.keys().next().expect("one").clone()
}

fn sysctl(place: Place, key: &str, to: u32) -> Vec<NetOp> {
    vec![op(place, Change::SetSysctl { key: key.into(), from: None, to })]
}

/// What is done, and what CHECK must say.
const TAMPERINGS: &[(Tamper, &str)] = &[
    (
        |it| take(Place::Pod, it, |o| matches!(o, Object::Address(a) if a.net.addr().is_ipv4())),
        "pod: address 10.0.1.5",
    ),
    (
        |it| take(Place::Pod, it, |o| matches!(o, Object::Address(a) if a.net.addr().is_ipv6())),
        "pod: address 2001:db8::5",
    ),
    (
        |_| {
            vec![op(
                Place::Pod,
                Change::Add(Object::Address(Address { dev: "eth0".into(), net: net("10.0.1.66/32") })),
            )]
        },
        "pod: address 10.0.1.66: found",
    ),
    (
        |it| take(Place::Pod, it, |o| matches!(o, Object::Route(r) if r.dst == net("0.0.0.0/0"))),
        "pod: route 0.0.0.0/0",
    ),
    (|it| take(Place::Pod, it, |o| matches!(o, Object::Route(r) if r.dst == net("::/0"))), "pod: route ::/0"),
    (
        |it| {
            swap(Place::Pod, it, |o| match o {
                Object::Route(r) if r.dst == net("0.0.0.0/0") => {
                    Some(Object::Route(Route { via: Some([169, 254, 1, 2].into()), ..r.clone() }))
                }
                _ => None,
            })
        },
        "found route 0.0.0.0/0 via 169.254.1.2 onlink dev eth0 table 254, wanted route 0.0.0.0/0 via 169.254.1.1",
    ),
    (
        |it| take(Place::Pod, it, |o| matches!(o, Object::Neighbour(_))),
        "pod: neighbour 169.254.1.1 on eth0: missing",
    ),
    (
        |it| {
            swap(Place::Pod, it, |o| match o {
                Object::Neighbour(n) if n.ip.is_ipv6() => {
                    let mut other = n.clone();
                    other.mac = Mac([2, 0, 0, 0, 0, 9]);
                    Some(Object::Neighbour(other))
                }
                _ => None,
            })
        },
        "found neighbour fe80::1 lladdr 02:00:00:00:00:09",
    ),
    (|it| set_up(Place::Pod, it), "pod: state of link eth0: found down, wanted up"),
    (|it| set_up(Place::Host, it), "found down, wanted up"),
    (
        |it| {
            let (from, to) = (it.pod.links["eth0"].mac, Mac([2, 9, 9, 9, 9, 9]));
            vec![op(Place::Pod, Change::SetMac { dev: "eth0".into(), from, to })]
        },
        "pod: mac of link eth0: found 02:09:09:09:09:09",
    ),
    (
        |it| {
            let change =
                Change::SetAlias { dev: host_dev(it), from: String::new(), to: "another/eth0".into() };
            vec![op(Place::Host, change)]
        },
        "found another/eth0, wanted sandbox-5/eth0",
    ),
    (
        |it| take(Place::Host, it, |o| matches!(o, Object::Route(_))),
        "host: route 10.0.1.5/32 in table 254: missing",
    ),
    (
        |it| {
            swap(Place::Host, it, |o| match o {
                Object::Route(r) if r.dst == net("10.0.1.5/32") => {
                    Some(Object::Route(Route { dev: "eth1".into(), ..r.clone() }))
                }
                _ => None,
            })
        },
        "found route 10.0.1.5/32 dev eth1 table 254",
    ),
    (|it| take(Place::Host, it, |o| matches!(o, Object::Neighbour(_))), "host: neighbour 10.0.1.5"),
    (
        |it| take(Place::Host, it, |o| matches!(o, Object::Rule(r) if r.priority == 512)),
        "with priority 512: missing",
    ),
    (
        |it| {
            swap(Place::Host, it, |o| match o {
                Object::Rule(r) if r.priority == 2048 => {
                    Some(Object::Rule(Rule { table: 1999, ..r.clone() }))
                }
                _ => None,
            })
        },
        "found rule 2048: from 10.0.1.5/32 lookup 1999",
    ),
    (
        |_| {
            let rule = Rule { priority: 300, select: Select::From(net("10.0.1.5/32")), table: 1999 };
            vec![op(Place::Host, Change::Add(Object::Rule(rule)))]
        },
        "host: rule from 10.0.1.5/32 with priority 300: found",
    ),
    (|it| take(Place::Pod, it, |o| matches!(o, Object::Qdisc(_))), "pod: qdisc of eth0: missing"),
    (
        |it| {
            swap(Place::Host, it, |o| match o {
                Object::Qdisc(q) => {
                    let kind = QdiscKind::Tbf(Tbf::new(999_000, 9000));
                    Some(Object::Qdisc(Qdisc { kind, ..q.clone() }))
                }
                _ => None,
            })
        },
        "found qdisc tbf rate 999000 B/s",
    ),
    (
        |_| sysctl(Place::Host, "net/ipv4/conf/all/rp_filter", 1),
        "host: setting net/ipv4/conf/all/rp_filter: found 1",
    ),
    (
        |_| sysctl(Place::Host, "net/ipv4/conf/eth1/forwarding", 0),
        "net/ipv4/conf/eth1/forwarding: found 0, wanted 1",
    ),
    (
        |_| sysctl(Place::Pod, "net/ipv6/conf/eth0/accept_ra", 1),
        "pod: setting net/ipv6/conf/eth0/accept_ra: found 1",
    ),
    (
        |it| {
            let link = it.host.links[&host_dev(it)].clone();
            vec![op(Place::Host, Change::DelLink { name: host_dev(it), link })]
        },
        "missing, wanted a veth with peer eth0",
    ),
];

#[test]
fn each_tampering_is_named_and_repaired() {
    if !root() {
        return;
    }
    let pod = rich_pod(5);
    let (world, netns) = (World::new(9000), Ns::new());
    world.add(&pod, &netns);
    let wanted = world.desired(&pod);
    assert_eq!(host_dev(&wanted), host_veth_name(&pod.pod, "eth0"));
    for (tamper, says) in TAMPERINGS {
        let ops = tamper(&wanted);
        world.apply(&netns, &ops).unwrap_or_else(|error| panic!("{says}: {error}"));
        let found: Vec<String> =
            differences(&world.observe(&pod, &netns), &wanted).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|text| text.contains(says)), "`{says}` is not among {found:#?}");
        world
            .apply(&netns, &repair(&world.observe(&pod, &netns), &wanted))
            .unwrap_or_else(|e| panic!("{says}: {e}"));
        assert_eq!(world.observe(&pod, &netns), wanted, "repaired after `{says}`");
    }
    assert!(TAMPERINGS.len() >= 12);
}
