//! What the compiler promises besides being right: that little changes with a small change, that what is alike is shared,
//! that what does not fit is said before anything is written.

use std::{collections::BTreeMap, net::IpAddr};

use terway_policy::{
    compile::{Compiler, EndpointSpec, Limits, NodeRule, Options, Publication, Tier, Whom},
    layout::{EGRESS, ENDPOINT_LOCKED, INGRESS, mapped},
    maps::Maps as _,
    memory::Memory,
    model::{Direction, Name, Namespace, Peer, Pod, Policy, Port, PortRef, Rule, Selector},
    op::Op,
    packet::protocol::{ICMP, TCP, UDP},
    verdict::{Reason, classify},
};

fn pod(name: &str, ip: [u8; 4], app: &str) -> Pod {
    Pod {
        name: Name::new("default", name),
        uid: name.into(),
        labels: BTreeMap::from([("app".into(), app.into()), ("pod".into(), name.into())]),
        ips: vec![IpAddr::from(ip)],
        ..Pod::default()
    }
}

fn app(name: &str) -> Selector {
    Selector { equal: BTreeMap::from([("app".into(), name.into())]), ..Selector::default() }
}

fn from_app(name: &str) -> Peer {
    Peer::Pods { namespaces: None, pods: Some(app(name)) }
}

fn port(number: u16) -> Port {
    Port { protocol: None, port: Some(PortRef::Number(number)), end: None }
}

fn ingress(name: &str, subject: &str, rules: Vec<Rule>) -> Policy {
    Policy {
        name: Name::new("default", name),
        selector: app(subject),
        types: vec![Direction::Ingress],
        ingress: rules,
        egress: Vec::new(),
    }
}

fn compiler(options: Options) -> Compiler {
    let mut compiler = Compiler::new(options);
    compiler.set_namespace(&Namespace { name: "default".into(), labels: BTreeMap::new() });
    compiler
}

fn place(compiler: &mut Compiler, link: u32, pod: &Pod) {
    compiler.set_pod(pod);
    compiler.set_endpoint(link, EndpointSpec { pod: pod.name.clone(), ips: pod.ips.clone(), flags: 0 });
}

fn written(publication: &Publication, memory: &mut Memory) -> usize {
    publication.ops().for_each(|op| memory.apply(op));
    publication.ops().count()
}

fn reason(memory: &Memory, link: u32, direction: u8, from: [u8; 4], protocol: u8, port: u16) -> Reason {
    let endpoint = memory.endpoint(link).expect("the endpoint is written");
    classify(memory, endpoint, direction, &mapped(from), protocol, port).reason
}

#[test]
fn a_hundred_and_ten_pods_alike_cost_one_rule_set() {
    let mut compiler = compiler(Options::default());
    compiler.set_policy(&ingress(
        "p",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(80)] }],
    ));
    for number in 0..110_u8 {
        place(
            &mut compiler,
            u32::from(number) + 1,
            &pod(&format!("web-{number}"), [10, 0, 0, number], "web"),
        );
    }
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    assert_eq!(compiler.rule_sets(), 1);
    assert_eq!(memory.rules.len(), 1);
}

#[test]
fn a_peer_that_comes_is_one_write() {
    let mut compiler = compiler(Options::default());
    compiler.set_policy(&ingress(
        "p",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(80)] }],
    ));
    place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
    compiler.set_pod(&pod("db-0", [10, 0, 1, 0], "db"));
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    compiler.set_pod(&pod("db-1", [10, 0, 1, 1], "db"));
    assert_eq!(written(&compiler.publish().expect("it fits"), &mut memory), 1);
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 1, 1], TCP, 80), Reason::Rule);
    // One that no rule can tell is none.
    compiler.set_pod(&pod("other", [10, 0, 1, 2], "other"));
    assert_eq!(written(&compiler.publish().expect("it fits"), &mut memory), 0);
    // What says what it said before is none either.
    compiler.set_pod(&pod("db-1", [10, 0, 1, 1], "db"));
    compiler.set_policy(&ingress(
        "p",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(80)] }],
    ));
    assert!(compiler.publish().expect("it fits").is_empty());
}

#[test]
fn an_edit_writes_only_the_endpoints_it_is_about() {
    let mut compiler = compiler(Options::default());
    compiler.set_policy(&ingress(
        "web",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(80)] }],
    ));
    compiler.set_policy(&ingress("db", "db", vec![]));
    place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
    place(&mut compiler, 2, &pod("db", [10, 0, 0, 2], "db"));
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    compiler.set_policy(&ingress(
        "web",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(81)] }],
    ));
    let publication = compiler.publish().expect("it fits");
    let endpoints: Vec<u32> = publication
        .ops()
        .filter_map(|op| if let Op::Endpoint(link, _) = op { Some(*link) } else { None })
        .collect();
    assert_eq!(endpoints, [1], "one endpoint, in one write");
    let before = memory.endpoint(1).expect("it is there").epoch;
    written(&publication, &mut memory);
    assert_ne!(memory.endpoint(1).expect("it is there").epoch, before, "its flows are judged again");
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 2], TCP, 81), Reason::Rule);
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 2], TCP, 80), Reason::NoRule);
}

#[test]
fn an_edit_of_several_endpoints_lets_both_rule_sets_decide_in_between() {
    let mut compiler = compiler(Options::default());
    compiler.set_policy(&ingress(
        "web",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(80)] }],
    ));
    for number in 1..=3_u8 {
        place(&mut compiler, u32::from(number), &pod(&format!("web-{number}"), [10, 0, 0, number], "web"));
    }
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    compiler.set_policy(&ingress(
        "web",
        "web",
        vec![Rule { peers: vec![from_app("db")], ports: vec![port(81)] }],
    ));
    let publication = compiler.publish().expect("it fits");
    let states: Vec<bool> = publication
        .ops()
        .filter_map(|op| {
            if let Op::Endpoint(_, Some(endpoint)) = op { Some(endpoint.next != [0; 2]) } else { None }
        })
        .collect();
    assert_eq!(
        states,
        [true, true, true, false, false, false],
        "all have both before any has the new one alone"
    );
}

#[test]
fn what_does_not_fit_is_said_by_map_before_anything_is_written() {
    let limits = Limits { peers: 3, ..Limits::default() };
    let mut compiler = compiler(Options { limits, ..Options::default() });
    compiler.set_policy(&ingress("p", "web", vec![Rule { peers: vec![from_app("db")], ports: vec![] }]));
    place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
    for number in 0..4_u8 {
        compiler.set_pod(&pod(&format!("db-{number}"), [10, 0, 1, number], "db"));
    }
    let full = compiler.publish().expect_err("four peers do not fit into three");
    assert_eq!((full.map, full.room), ("terway_peer", 3));
    assert_eq!(full.to_string(), "terway_peer has room for 3 entries, and what the policies ask for is more");
}

#[test]
fn ten_thousand_rules_decide_as_one_does() {
    let mut compiler = compiler(Options::default());
    let rule = |number: u16| Rule {
        peers: vec![Peer::Pods {
            namespaces: None,
            pods: Some(Selector {
                equal: BTreeMap::from([("pod".into(), format!("peer-{number}"))]),
                ..Selector::default()
            }),
        }],
        ports: vec![port(10_000 + number)],
    };
    compiler.set_policy(&ingress("p", "web", (0..10_000).map(rule).collect()));
    place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
    let peer = |number: u16| [10, 1, (number >> 8) as u8, number as u8];
    for number in 0..10_000 {
        compiler.set_pod(&pod(&format!("peer-{number}"), peer(number), "peer"));
    }
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    for number in (0..10_000).step_by(97) {
        assert_eq!(reason(&memory, 1, INGRESS, peer(number), TCP, 10_000 + number), Reason::Rule);
        assert_eq!(reason(&memory, 1, INGRESS, peer(number), TCP, 10_001 + number), Reason::NoRule);
        assert_eq!(reason(&memory, 1, INGRESS, peer(number), UDP, 10_000 + number), Reason::NoRule);
    }
    let endpoint = memory.endpoint(1).expect("it is written");
    let decision = classify(&memory, endpoint, INGRESS, &mapped(peer(9_999)), TCP, 19_999);
    assert_eq!(compiler.origin(decision.rules, decision.rule).expect("it is known").index, 9_999);
}

#[test]
fn what_the_node_denies_goes_before_every_policy() {
    let node_rules = vec![
        NodeRule {
            name: "privileged_ports".into(),
            direction: EGRESS,
            protocol: TCP,
            ports: (1, 1023),
            whom: Whom::Everyone,
        },
        NodeRule {
            name: "blocked_protocols".into(),
            direction: INGRESS,
            protocol: ICMP,
            ports: (0, 0),
            whom: Whom::Everyone,
        },
    ];
    let mut compiler = compiler(Options { node_rules, ..Options::default() });
    place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    assert_eq!(reason(&memory, 1, EGRESS, [10, 0, 0, 2], TCP, 1023), Reason::Denied);
    assert_eq!(reason(&memory, 1, EGRESS, [10, 0, 0, 2], TCP, 1024), Reason::NotIsolated);
    assert_eq!(reason(&memory, 1, EGRESS, [10, 0, 0, 2], UDP, 53), Reason::NotIsolated);
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 2], ICMP, 0), Reason::Denied);
    let endpoint = memory.endpoint(1).expect("it is written");
    let decision = classify(&memory, endpoint, EGRESS, &mapped([10, 0, 0, 2]), TCP, 80);
    let origin = compiler.origin(decision.rules, decision.rule).expect("it is known");
    assert_eq!((origin.tier, origin.policy.name.as_str()), (Tier::Admin, "privileged_ports"));
}

#[test]
fn who_is_no_pod_is_outside_whatever_policies_say() {
    let node_rules = vec![NodeRule {
        name: "privileged_ports 22".into(),
        direction: INGRESS,
        protocol: TCP,
        ports: (22, 22),
        whom: Whom::Outside,
    }];
    let mut compiler = compiler(Options { node_rules, ..Options::default() });
    let everyone = Peer::Block { cidr: "0.0.0.0/0".into(), except: vec!["10.0.9.0/24".into()] };
    compiler.set_policy(&ingress("open", "web", vec![Rule { peers: vec![everyone], ports: Vec::new() }]));
    place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
    place(&mut compiler, 2, &pod("free", [10, 0, 0, 2], "free"));
    compiler.set_pod(&pod("peer", [10, 0, 0, 3], "peer"));
    let host = Pod { host_network: true, ..pod("host", [10, 1, 0, 1], "peer") };
    compiler.set_pod(&host);
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    let ssh = |memory: &Memory, link, from| reason(memory, link, INGRESS, from, TCP, 22);
    for (from, web, free) in [
        ([10, 0, 0, 3], Reason::Rule, Reason::NotIsolated),
        ([203, 0, 113, 7], Reason::Denied, Reason::Denied),
        ([10, 0, 9, 7], Reason::Denied, Reason::Denied),
        ([10, 1, 0, 1], Reason::Denied, Reason::Denied),
    ] {
        assert_eq!((ssh(&memory, 1, from), ssh(&memory, 2, from)), (web, free), "{from:?}");
    }
    assert_eq!(reason(&memory, 1, INGRESS, [203, 0, 113, 7], TCP, 23), Reason::Rule, "another port");
    assert_eq!(reason(&memory, 1, INGRESS, [203, 0, 113, 7], UDP, 22), Reason::Rule, "another protocol");
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 9, 7], TCP, 23), Reason::NoRule, "a hole stays one");
    let six = "2001:db8::7".parse::<std::net::Ipv6Addr>().expect("an address").octets();
    let endpoint = memory.endpoint(1).expect("it is written");
    assert_eq!(classify(&memory, endpoint, INGRESS, &six, TCP, 22).reason, Reason::Denied, "IPv6");

    // A pod that comes is inside, and nobody's flows are judged once more for it; one that goes leaves an outsider.
    compiler.set_pod(&pod("late", [10, 0, 0, 4], "peer"));
    assert_eq!(ssh(&memory, 2, [10, 0, 0, 4]), Reason::Denied);
    let came = compiler.publish().expect("it fits");
    assert!(!came.ops().any(|op| matches!(op, Op::Endpoint(..))), "{:?}", came.phases);
    written(&came, &mut memory);
    assert_eq!(ssh(&memory, 2, [10, 0, 0, 4]), Reason::NotIsolated);
    let epochs = |memory: &Memory| [1, 2].map(|link| memory.endpoint(link).expect("written").epoch);
    let before = epochs(&memory);
    compiler.remove_pod(&Name::new("default", "late"));
    written(&compiler.publish().expect("it fits"), &mut memory);
    assert_eq!(ssh(&memory, 2, [10, 0, 0, 4]), Reason::Denied);
    let after = epochs(&memory);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
}

#[test]
fn a_pod_that_is_not_known_yet_is_locked_until_it_is() {
    let mut compiler = compiler(Options::default());
    let web = pod("web", [10, 0, 0, 1], "web");
    compiler.set_endpoint(1, EndpointSpec { pod: web.name.clone(), ips: web.ips.clone(), flags: 0 });
    let mut memory = Memory::default();
    written(&compiler.publish().expect("it fits"), &mut memory);
    assert_eq!(memory.endpoint(1).expect("it is written").flags & ENDPOINT_LOCKED, ENDPOINT_LOCKED);
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 2], TCP, 80), Reason::Locked);
    compiler.set_pod(&web);
    written(&compiler.publish().expect("it fits"), &mut memory);
    assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 2], TCP, 80), Reason::NotIsolated);
    assert_eq!(memory.endpoint_of(&mapped([10, 0, 0, 1])), Some(1));
    compiler.remove_endpoint(1);
    written(&compiler.publish().expect("it fits"), &mut memory);
    assert_eq!((memory.endpoint(1).copied(), memory.endpoint_of(&mapped([10, 0, 0, 1]))), (None, None));
}

#[test]
fn a_successor_uses_numbers_of_its_own() {
    let build = |view: u32| {
        let mut compiler = compiler(Options { view, ..Options::default() });
        compiler.set_policy(&ingress(
            "p",
            "web",
            vec![Rule { peers: vec![from_app("db")], ports: vec![port(80)] }],
        ));
        place(&mut compiler, 1, &pod("web", [10, 0, 0, 1], "web"));
        compiler.set_pod(&pod("db", [10, 0, 0, 2], "db"));
        compiler.publish().expect("it fits")
    };
    // Both write into one set of maps, as an agent does that adopts what its predecessor left.
    let mut memory = Memory::default();
    written(&build(0), &mut memory);
    let old: Vec<u32> = memory.rules.keys().chain(memory.pages.keys()).copied().collect();
    let successor = build(1);
    for op in successor.ops() {
        memory.apply(op);
        assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 2], TCP, 80), Reason::Rule, "after {op:?}");
        assert_eq!(reason(&memory, 1, INGRESS, [10, 0, 0, 3], TCP, 80), Reason::NoRule, "after {op:?}");
    }
    let new = successor.ops().filter_map(|op| match op {
        Op::Rules(id, _) | Op::Page(id, _) => Some(*id),
        _ => None,
    });
    assert!(new.into_iter().all(|id| !old.contains(&id)), "numbers are shared");
    assert_eq!(memory.endpoint(1).expect("it is written").view, 1);
}
