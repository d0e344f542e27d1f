//! What is read from pinned maps is what the verdict reads, and reading changes nothing. As root, in a namespace of the
//! test's own.

use std::{path::PathBuf, sync::Arc};

use terway_bpf::{
    Hook, Method,
    bed::{Bed, SMALL, ip},
    inspect::{
        Direction, Node, Pinned,
        flows::State,
        rules::{Dump, Match, RuleSetDump, Tier},
        status::{self, Maps, Problem},
    },
    port::KernelMaps,
    run::Situation,
    table::Controls,
};
use terway_core::spawn::{Spawner, Task};
use terway_policy::{
    compile::{Compiler, EndpointSpec, NodeRule, Options, Whom},
    craft,
    generate::{self, Aim, SplitMix},
    layout::{
        Addr, Best, CONTROL_BLOCK_METADATA, CONTROL_TRACK, Control, ENDPOINT_LOCKED, Endpoint, INGRESS,
        LAYOUT, NO_RULE, RULES_ISOLATED, RULES_READY, RuleSet, addr_of, mapped,
    },
    memory::Memory,
    op::Op,
    packet::{protocol::TCP, tcp},
    port::{Keep, PolicyMaps},
    verdict::{Reason, classify},
};

/// Nothing here blocks.
struct Nobody;

impl Spawner for Nobody {
    fn spawn(&self, name: &'static str, _task: Task) {
        unreachable!("nothing here starts a task, least of all {name}");
    }

    fn block(&self, name: &'static str, _work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        unreachable!("nothing here blocks, least of all {name}");
    }
}

fn bed(pods: u32) -> Option<Bed> {
    Bed::new(pods, SMALL, Method::Best).expect("a bed")
}

fn folder(bed: &Bed) -> PathBuf {
    bed.options(SMALL, Method::Best).pins
}

fn maps(bed: &Bed) -> KernelMaps {
    KernelMaps::new(bed.programs.tables().expect("the maps"), Arc::new(Nobody))
}

fn node(bed: &Bed) -> Box<Node> {
    match Pinned::open(&folder(bed)).expect("it can be read") {
        Pinned::Node(node) => node,
        other => panic!("{other:?}"),
    }
}

/// The best rule of a tier for a packet, as the dump tells it.
fn best(
    dump: &Dump,
    set: &RuleSetDump,
    tier: Tier,
    remote: &Addr,
    protocol: u8,
    port: u16,
) -> Option<&'static str> {
    let is_peer = |one: &Match| {
        one.classes.as_ref().is_none_or(|classes| {
            dump.addresses[&set.view].of(classes).iter().any(|block| block.contains(*remote))
        })
    };
    let is_port = |one: &Match| {
        one.ports.as_ref().is_none_or(|ports| {
            let fits = |range: (u16, u16)| range.0 <= port && port <= range.1;
            ports.iter().any(|ports| ports.protocol == protocol && ports.range.is_none_or(fits))
        })
    };
    let rules = set.rules.iter().filter(|rule| rule.tier == Some(tier));
    let found = rules.filter(|rule| rule.matches.iter().any(|one| is_peer(one) && is_port(one)));
    found.min_by_key(|rule| rule.rule).map(|rule| rule.action)
}

fn passes(dump: &Dump, set: &RuleSetDump, remote: &Addr, protocol: u8, port: u16) -> bool {
    let best = |tier| best(dump, set, tier, remote, protocol, port);
    match best(Tier::Admin) {
        Some("allow") => return true,
        Some("deny") => return false,
        _ => {}
    }
    if set.isolated { best(Tier::Policy) == Some("allow") } else { best(Tier::Baseline) != Some("deny") }
}

#[test]
fn a_dump_says_what_the_tables_decide() {
    let Some(bed) = bed(1) else { return };
    let maps = maps(&bed);
    let (mut asked, mut denied) = (0, 0);
    for seed in 0..60 {
        let snapshot = generate::cluster(seed, 14);
        let left = maps.left().expect("the maps can be read");
        let (view, epoch) = (left.next_view(), left.epoch());
        // Every second node denies something to who is no pod.
        let privileged = NodeRule {
            name: "privileged_ports".into(),
            direction: INGRESS,
            protocol: TCP,
            ports: (0, 1023),
            whom: Whom::Outside,
        };
        let node_rules = if seed % 2 == 1 { vec![privileged] } else { Vec::new() };
        let mut compiler = Compiler::new(Options { limits: maps.limits(), view, epoch, node_rules });
        compiler.load(&snapshot);
        let links = (1..).zip(snapshot.pods.keys()).map(|(link, _)| link).collect();
        for (link, pod) in (1..).zip(snapshot.pods.values()) {
            compiler
                .set_endpoint(link, EndpointSpec { pod: pod.name.clone(), ips: pod.ips.clone(), flags: 0 });
        }
        let mut memory = Memory::default();
        for op in compiler.publish().expect("it fits").ops() {
            maps.write(std::slice::from_ref(op)).expect("the kernel takes it");
            memory.apply(op);
        }
        maps.keep_only(&Keep { view, links, ..Keep::default() }).expect("the rest goes");

        let dump = node(&bed).dump(None).expect("it can be read");
        assert_eq!(dump.endpoints.len(), memory.endpoints.len(), "seed {seed}");
        let (aim, mut rng) = (Aim::new(&snapshot), SplitMix::new(seed));
        for _ in 0..400 {
            let Some(question) = aim.question(&mut rng) else { break };
            let link = (1..).zip(snapshot.pods.keys()).find(|(_, name)| *name == question.pod);
            let (link, _) = link.expect("a pod of the cluster");
            let (endpoint, at) = (memory.endpoints[&link], question.direction as usize);
            let (remote, number) = (addr_of(question.remote), question.protocol);
            let decision = classify(&memory, &endpoint, at as u8, &remote, number, question.port);
            let told = match dump.rule_sets.iter().find(|set| set.rule_set == endpoint.rules[at]) {
                None => endpoint.rules[at] == 0,
                Some(set) => {
                    let uses = |used: &&_| *used == &(link, Direction::BOTH[at]);
                    let users: Vec<_> = set.used_by.iter().map(|used| (used.link, used.direction)).collect();
                    assert_eq!(users.iter().filter(uses).count(), 1, "seed {seed}: {set:?}");
                    set.ready && passes(&dump, set, &remote, number, question.port)
                }
            };
            assert_eq!(told, decision.reason.passes(), "seed {seed}: {question:?}: {decision:?}");
            asked += 1;
            denied += u32::from(!told);
        }
    }
    assert!(asked > 15_000 && denied > 1_000, "{asked} questions, {denied} of them denied");
}

const POD: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];

/// Pod 0 may be reached by nobody; pod 1 is locked; the link of pod 2 is nobody's.
fn write(bed: &Bed) {
    let control = Control {
        layout: LAYOUT,
        hz: bed.programs.table::<Controls>().expect("it").get(&0).expect("read").expect("there").hz,
        flags: CONTROL_TRACK | CONTROL_BLOCK_METADATA,
        event_rate: 100,
        ..Control::default()
    };
    let closed = RuleSet { flags: RULES_ISOLATED | RULES_READY, ports: [0; 4], any: Best::NONE };
    let first = Endpoint { rules: [1, 0], epoch: 3, v4: mapped(POD[0]), ..Endpoint::default() };
    let second =
        Endpoint { rules: [2, 0], flags: ENDPOINT_LOCKED, v4: mapped(POD[1]), ..Endpoint::default() };
    let ops = [
        Op::Control(control),
        Op::Rules(1, Some(closed)),
        Op::Endpoint(bed.links[0], Some(first)),
        Op::Endpoint(bed.links[1], Some(second)),
        Op::EndpointIp(mapped(POD[0]), Some(bed.links[0])),
        Op::EndpointIp(mapped(POD[1]), Some(bed.links[0])),
        Op::Host(mapped([10, 0, 0, 254]), Some(1)),
    ];
    maps(bed).write(&ops).expect("the kernel takes it");
}

#[test]
fn a_node_is_told_with_what_does_not_fit_together() {
    let Some(mut bed) = bed(3) else { return };
    write(&bed);
    bed.programs.attach_pod(bed.links[0]).expect("attached");
    bed.programs.attach(Hook::ToPod, bed.links[1]).expect("attached");
    bed.programs.attach_pod(bed.links[2]).expect("attached");
    let gone = bed.links[2] + 1000;
    maps(&bed).write(&[Op::Endpoint(gone, Some(Endpoint::default()))]).expect("the kernel takes it");

    let pinned = Pinned::open(&folder(&bed)).expect("it can be read");
    let status = status::status(&folder(&bed), &pinned).expect("it can be read");
    assert_eq!((status.maps, status.layout, status.staged), (Maps::Current, Some(LAYOUT), false));
    let settings = status.settings.expect("settings");
    assert!(settings.tracking && settings.metadata_closed && !settings.node_closed, "{settings:?}");
    assert_eq!(settings.node_addresses, [std::net::IpAddr::from([10, 0, 0, 254])]);
    let [first, second, third] = &status.endpoints[..] else { panic!("{:?}", status.endpoints) };
    assert_eq!((first.link, first.interface.as_deref(), first.epoch), (bed.links[0], Some("host0"), 3));
    assert!(first.ingress.isolated && !first.ingress.closed && first.egress.rule_set == 0, "{first:?}");
    assert!(second.locked && second.ingress.closed && !second.ingress.isolated, "{second:?}");
    assert_eq!((third.link, third.interface.as_deref()), (gone, None));
    assert_eq!(status.attached.len(), 5, "{:?}", status.attached);
    let usage = |map: &str| status.usage.iter().find(|usage| usage.map == map).expect("a map").used;
    assert_eq!([usage("terway_ep"), usage("terway_ep_ip"), usage("terway_rs")], [Some(3), Some(2), Some(1)]);
    assert_eq!([usage("terway_ct"), usage("terway_cidr"), usage("terway_ctl")], [Some(0), Some(0), None]);
    let name = |pod: usize| Some(format!("host{pod}"));
    let (second, third) = (bed.links[1], bed.links[2]);
    let address = std::net::IpAddr::from(POD[1]);
    assert_eq!(
        status.problems,
        [
            Problem::Address { link: second, interface: name(1), address, told: Some(bed.links[0]) },
            Problem::NoProgram { link: second, interface: name(1), program: "from_pod" },
            Problem::NoLink { link: gone },
            Problem::NoEndpoint { link: third, interface: name(2) },
        ]
    );

    // Another agent's programs are pinned, and the third link is gone.
    bed.reload(SMALL, Method::Best).expect("loaded");
    bed.programs.publish().expect("published");
    ip("link del host2").expect("gone");
    let status = status::status(&folder(&bed), &pinned).expect("it can be read");
    let other = |link, pod, program| Problem::OtherProgram { link, interface: name(pod), program };
    assert_eq!(
        status.problems[..5],
        [
            other(bed.links[0], 0, "from_pod"),
            other(bed.links[0], 0, "to_pod"),
            other(second, 1, "to_pod"),
            Problem::DeadPin { link: third, program: "from_pod" },
            Problem::DeadPin { link: third, program: "to_pod" },
        ]
    );
}

#[test]
fn by_clsact_too() {
    let Some(mut bed) = Bed::new(2, SMALL, Method::Clsact).expect("a bed") else { return };
    write(&bed);
    bed.programs.attach_pod(bed.links[0]).expect("attached");
    let status = status::status(&folder(&bed), &Pinned::open(&folder(&bed)).expect("pins")).expect("status");
    let attached: Vec<_> = status.attached.iter().map(|it| (it.link, it.program, it.by)).collect();
    assert_eq!(attached, [(bed.links[0], "from_pod", "clsact"), (bed.links[0], "to_pod", "clsact")]);
}

#[test]
fn flows_drops_and_counters_are_told_and_stay_as_they_are() {
    let Some(mut bed) = bed(2) else { return };
    write(&bed);
    let at = Situation { link: bed.links[0], came_by: 1_000_000, mark: 0 };
    let (pod, server) = (POD[0].into(), [192, 0, 2, 1].into());
    let mut run = |hook, frame: Vec<u8>| bed.programs.test_run(hook, &frame, at, 1).expect("a run").passed;
    assert!(run(Hook::FromPod, craft::ip(pod, server).tcp(4000, 443, tcp::SYN).frame()));
    assert!(run(Hook::ToPod, craft::ip(server, pod).tcp(443, 4000, tcp::SYN | tcp::ACK).frame()));
    assert!(run(Hook::FromPod, craft::ip(pod, server).udp(4001, 53).frame()));
    assert!(run(Hook::FromPod, craft::ip(pod, server).ping(77, 1).frame()));
    for _ in 0..3 {
        assert!(!run(Hook::ToPod, craft::ip(server, pod).tcp(5000, 80, tcp::SYN).frame()));
    }
    assert!(!run(Hook::FromPod, craft::ip(POD[1].into(), server).udp(1, 2).frame()));

    let node = node(&bed);
    let totals = node.flow_totals().expect("it can be read");
    assert_eq!((totals.total, totals.established, totals.opening, totals.over), (3, 1, 2, 0), "{totals:?}");
    let before = bed.programs.tables().expect("tables").flows;
    let before: Vec<_> =
        before.keys().expect("keys").iter().map(|key| before.get(key).expect("read")).collect();
    let flows = node.flows(Some(bed.links[0]), 100).expect("it can be read");
    assert_eq!((flows.total, flows.flows.len()), (3, 3));
    let tcp = flows.flows.iter().find(|flow| flow.protocol == "TCP").expect("the flow");
    assert_eq!(
        (tcp.local, tcp.local_port, tcp.remote, tcp.remote_port),
        (pod, Some(4000), server, Some(443))
    );
    assert_eq!(
        (tcp.state, tcp.direction, tcp.judged, tcp.rule),
        (State::Established, Direction::Egress, true, None)
    );
    assert!(flows.flows.iter().all(|flow| flow.idle_seconds <= 5), "{flows:?}");
    let icmp = flows.flows.iter().find_map(|flow| flow.icmp).expect("the question");
    assert_eq!((icmp.r#type, icmp.id), (8, 77));
    assert_eq!(node.flows(None, 1).expect("it can be read").flows.len(), 1);
    assert_eq!(node.flows(Some(bed.links[1]), 100).expect("it can be read").total, 0);

    let status = status::status(&folder(&bed), &Pinned::open(&folder(&bed)).expect("pins")).expect("status");
    let drops: Vec<_> = status.drops.iter().map(|drop| (drop.reason.as_str(), drop.packets)).collect();
    assert_eq!(drops, [("no-rule", 3), ("spoofed", 1)]);
    let dump = node.dump(Some(bed.links[0])).expect("it can be read");
    assert_eq!(dump.rule_sets[0].unmatched.packets, 3, "{dump:?}");
    assert!(node.dump(Some(1)).expect("it can be read").endpoints.is_empty());

    let after = bed.programs.tables().expect("tables").flows;
    let after: Vec<_> = after.keys().expect("keys").iter().map(|key| after.get(key).expect("read")).collect();
    assert_eq!(before, after, "nothing was touched");
    let refused = node.tables().endpoints.put(&1, &Endpoint::default()).expect_err("read only");
    assert!(refused.to_string().contains("Operation not permitted"), "{refused}");
}

#[test]
fn reasons_that_drop_have_the_names_that_events_have() {
    let Some(bed) = bed(2) else { return };
    write(&bed);
    let drops = bed.programs.tables().expect("tables").drops;
    for number in (0..drops.entries()).filter(|number| *number >= Reason::NoRule as u32) {
        drops.put(&number, &1).expect("written");
    }
    let status = status::status(&folder(&bed), &Pinned::open(&folder(&bed)).expect("pins")).expect("status");
    let named: Vec<_> = status.drops.iter().filter(|drop| !drop.reason.starts_with("reason-")).collect();
    assert_eq!(named.len() as u32, Reason::NotIp as u32 - Reason::NoRule as u32 + 1, "{named:?}");
    assert_eq!(status.drops.len(), 32);
}

#[test]
fn other_pins_and_none_are_told_apart() {
    let Some(bed) = bed(1) else { return };
    assert!(matches!(Pinned::open("/sys/fs/bpf/terway-none".as_ref()), Ok(Pinned::Nothing)));
    let node = node(&bed);
    assert_eq!(node.find("host0").expect("read"), Some(bed.links[0]));
    assert_eq!(node.find("42").expect("read"), Some(42));
    assert_eq!([node.find("host9").expect("read"), node.find("10.0.0.1").expect("read")], [None, None]);
    let control = Control { layout: LAYOUT + 1, ..Control::default() };
    bed.programs.table::<Controls>().expect("it").put(&0, &control).expect("written");
    let pinned = Pinned::open(&folder(&bed)).expect("it can be read");
    assert!(matches!(pinned, Pinned::Other { layout: Some(layout) } if layout == LAYOUT + 1), "{pinned:?}");
    let status = status::status(&folder(&bed), &pinned).expect("it can be read");
    assert_eq!((status.maps, status.layout, status.programs.len()), (Maps::Other, Some(LAYOUT + 1), 3));
    assert!(status.settings.is_none() && status.endpoints.is_empty());
    std::fs::remove_file(folder(&bed).join("terway_ct")).expect("a pin less");
    let control = Control { layout: LAYOUT, ..Control::default() };
    bed.programs.table::<Controls>().expect("it").put(&0, &control).expect("written");
    let error = Pinned::open(&folder(&bed)).expect_err("it is not whole");
    assert!(error.to_string().starts_with("map terway_ct: it is not pinned"), "{error}");
}

#[test]
fn what_is_counted_by_processors_is_summed() {
    let Some(bed) = bed(2) else { return };
    write(&bed);
    let counters = bed.programs.tables().expect("tables").counters;
    let key = terway_policy::layout::CounterKey { rules: 1, rule: NO_RULE };
    counters.put(&key, &terway_policy::layout::Counter { packets: 2, bytes: 100 }).expect("written");
    let processors = counters.get_all(&key).expect("read").expect("there").len() as u64;
    let dump = node(&bed).dump(None).expect("it can be read");
    let unmatched = dump.rule_sets[0].unmatched;
    assert_eq!((unmatched.packets, unmatched.bytes), (2 * processors, 100 * processors));
}
