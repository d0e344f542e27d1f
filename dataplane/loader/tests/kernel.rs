//! The programs and their maps on this machine's kernel, each test in a network namespace of its own.

use std::net::IpAddr;

use terway_bpf::{
    Attachment, Error, Hook, Method, Origin, Sizes,
    bed::{Bed, SMALL, ip},
    run::{Ran, Situation},
    table::{Controls, Crossings, Drops, Endpoints, Flows},
};
use terway_policy::{
    craft,
    layout::{
        Best, CONTROL_TRACK, CrossKey, EGRESS, Endpoint, INGRESS, RULES_ISOLATED, RULES_READY, RuleSet,
        mapped,
    },
    packet::tcp,
    verdict::Reason,
};

const POD: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];
/// A link that is no pod's, by which packets come from elsewhere.
const UPLINK: u32 = 1_000_000;

fn bed(pods: u32) -> Option<Bed> {
    Bed::new(pods, SMALL, Method::Best).expect("a bed")
}

fn udp(source: [u8; 4], destination: [u8; 4], ports: [u16; 2], payload: usize) -> Vec<u8> {
    let length = 28 + payload as u16;
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    for port in ports {
        frame.extend(port.to_be_bytes());
    }
    frame.extend((length - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.resize(frame.len() + payload, 0);
    frame
}

/// Pod 0 is isolated for what comes, pod 1 is not; flows are tracked.
fn isolate(bed: &Bed) {
    let tables = bed.programs.tables().expect("tables");
    let mut control = tables.control.get(&0).expect("read").expect("there");
    control.flags = CONTROL_TRACK;
    control.event_rate = 100;
    tables.control.put(&0, &control).expect("written");
    let closed = RuleSet { flags: RULES_ISOLATED | RULES_READY, ports: [0; 4], any: Best::NONE };
    tables.rules.put(&1, &closed).expect("written");
    for (pod, rules) in [(0, [1, 0]), (1, [0, 0])] {
        let endpoint = Endpoint { rules, v4: mapped(POD[pod]), epoch: 1 + pod as u32, ..Endpoint::default() };
        tables.set_endpoint(bed.links[pod], Some(&endpoint)).expect("written");
        tables.endpoint_addresses.put(&mapped(POD[pod]), &bed.links[pod]).expect("written");
    }
}

fn run(bed: &mut Bed, hook: Hook, pod: usize, frame: &[u8]) -> Ran {
    let at = Situation { link: bed.links[pod], came_by: UPLINK, mark: 0 };
    bed.programs.test_run(hook, frame, at, 1).expect("a run")
}

#[test]
fn each_link_is_judged_as_its_own_pod() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let other = [192, 0, 2, 1];
    let to = |pod: usize| udp(other, POD[pod], [53, 4000], 8);
    assert!(!run(&mut bed, Hook::ToPod, 0, &to(0)).passed, "pod 0 is isolated");
    assert!(run(&mut bed, Hook::ToPod, 1, &to(1)).passed, "pod 1 is not");
    assert!(
        !run(&mut bed, Hook::FromPod, 0, &udp(POD[1], other, [1, 2], 8)).passed,
        "pod 0 with the address of pod 1"
    );
    let unknown = Situation { link: 0, ..Situation::default() };
    let ran = bed.programs.test_run(Hook::ToPod, &to(1), unknown, 1).expect("a run");
    assert!(!ran.passed, "loopback is no pod's");
    let drops = bed.programs.table::<Drops>().expect("counters");
    for reason in [Reason::NoRule, Reason::Spoofed, Reason::UnknownEndpoint] {
        let counts = drops.get_all(&(reason as u32)).expect("read").expect("there");
        assert_eq!(counts.iter().sum::<u64>(), 1, "{reason:?} by processor: {counts:?}");
    }
}

#[test]
fn an_answer_reaches_an_isolated_pod_and_the_flow_can_be_read() {
    let Some(mut bed) = bed(1) else { return };
    let Some(_) = bed.links.first() else { panic!("a link") };
    let tables = bed.programs.tables().expect("tables");
    let mut control = tables.control.get(&0).expect("read").expect("there");
    control.flags = CONTROL_TRACK;
    tables.control.put(&0, &control).expect("written");
    let closed = RuleSet { flags: RULES_ISOLATED | RULES_READY, ports: [0; 4], any: Best::NONE };
    tables.rules.put(&1, &closed).expect("written");
    let endpoint = Endpoint { rules: [1, 0], v4: mapped(POD[0]), epoch: 1, ..Endpoint::default() };
    tables.set_endpoint(bed.links[0], Some(&endpoint)).expect("written");

    let server = [192, 0, 2, 53];
    assert!(
        !run(&mut bed, Hook::ToPod, 0, &udp(server, POD[0], [53, 4000], 8)).passed,
        "nothing was asked yet"
    );
    assert!(run(&mut bed, Hook::FromPod, 0, &udp(POD[0], server, [4000, 53], 8)).passed);
    assert!(run(&mut bed, Hook::ToPod, 0, &udp(server, POD[0], [53, 4000], 8)).passed, "the answer");
    assert!(!run(&mut bed, Hook::ToPod, 0, &udp(server, POD[0], [53, 4001], 8)).passed, "another port");
    let flows = bed.programs.table::<Flows>().expect("flows").keys().expect("keys");
    assert_eq!(flows.len(), 1, "{flows:?}");
    assert_eq!((flows[0].local_port, flows[0].remote_port, flows[0].remote), (4000, 53, mapped(server)));
}

#[test]
fn a_known_flow_is_the_pods_address_and_ends_with_the_write_that_denies_it() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let (server, link) = ([192, 0, 2, 53], bed.links[0]);
    let ask =
        |from: [u8; 4]| craft::ip(IpAddr::from(from), IpAddr::from(server)).tcp(4000, 443, tcp::ACK).frame();
    let answer = craft::ip(IpAddr::from(server), IpAddr::from(POD[0])).tcp(443, 4000, tcp::ACK).frame();
    for _ in 0..3 {
        assert!(run(&mut bed, Hook::FromPod, 0, &ask(POD[0])).passed);
        assert!(run(&mut bed, Hook::ToPod, 0, &answer).passed, "an answer");
    }
    assert!(!run(&mut bed, Hook::FromPod, 0, &ask(POD[1])).passed, "the same flow from another address");
    let tables = bed.programs.tables().expect("tables");
    let endpoint = tables.endpoints.get(&link).expect("read").expect("there");
    let closed = Endpoint { rules: [1, 1], epoch: endpoint.epoch + 1, ..endpoint };
    tables.set_endpoint(link, Some(&closed)).expect("written");
    assert!(!run(&mut bed, Hook::FromPod, 0, &ask(POD[0])).passed, "denied by now");
    assert!(!run(&mut bed, Hook::ToPod, 0, &answer).passed, "and its answers with it");
    let open = Endpoint { epoch: endpoint.epoch + 2, ..endpoint };
    tables.set_endpoint(link, Some(&open)).expect("written");
    assert!(run(&mut bed, Hook::FromPod, 0, &ask(POD[0])).passed, "allowed again");
    assert!(run(&mut bed, Hook::ToPod, 0, &answer).passed);
    tables.set_endpoint(link, None).expect("removed");
    assert!(!run(&mut bed, Hook::FromPod, 0, &ask(POD[0])).passed, "of no endpoint any more");
    assert!(!run(&mut bed, Hook::ToPod, 0, &answer).passed);
}

#[test]
fn a_connection_of_both_families_lives_and_errors_about_it_pass() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let tables = bed.programs.tables().expect("tables");
    let mut endpoint = tables.endpoints.get(&bed.links[0]).expect("read").expect("there");
    let six: [IpAddr; 2] =
        [IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1_u16]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 2_u16])];
    let IpAddr::V6(own) = six[0] else { panic!("of IPv6") };
    endpoint.v6 = own.octets();
    tables.set_endpoint(bed.links[0], Some(&endpoint)).expect("written");
    for [pod, server] in [six, [IpAddr::from(POD[0]), IpAddr::from([192, 0, 2, 1])]] {
        let out = |flags| craft::ip(pod, server).tcp(4000, 443, flags).payload(&[1; 8]).frame();
        let back = |port, flags| craft::ip(server, pod).tcp(443, port, flags).frame();
        assert!(!run(&mut bed, Hook::ToPod, 0, &back(4000, tcp::ACK)).passed, "nothing was sent yet");
        assert!(run(&mut bed, Hook::FromPod, 0, &out(tcp::SYN)).passed);
        assert!(run(&mut bed, Hook::ToPod, 0, &back(4000, tcp::SYN | tcp::ACK)).passed);
        for _ in 0..3 {
            assert!(run(&mut bed, Hook::FromPod, 0, &out(tcp::ACK)).passed);
            assert!(run(&mut bed, Hook::ToPod, 0, &back(4000, tcp::ACK)).passed);
        }
        assert!(!run(&mut bed, Hook::ToPod, 0, &back(4001, tcp::ACK)).passed, "of another flow");
        let kind = if pod.is_ipv6() { 2 } else { 3 };
        let about = |frame: &[u8]| craft::ip(server, pod).about(kind, 0, frame).frame();
        assert!(run(&mut bed, Hook::ToPod, 0, &about(&out(tcp::ACK))).passed, "an error about the flow");
        let other = craft::ip(pod, server).tcp(4001, 443, tcp::ACK).frame();
        assert!(!run(&mut bed, Hook::ToPod, 0, &about(&other)).passed, "an error about none");
        assert!(run(&mut bed, Hook::FromPod, 0, &out(tcp::RST)).passed);
    }
}

#[test]
fn a_denied_packet_is_told_with_its_addresses() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let mut events = bed.programs.events().expect("events");
    assert!(events.take().is_none());
    assert!(!run(&mut bed, Hook::ToPod, 0, &udp(POD[1], POD[0], [53, 4000], 8)).passed);
    let event = events.take().expect("one event");
    assert_eq!(
        (event.endpoint, event.direction, event.reason),
        (bed.links[0], INGRESS, Reason::NoRule as u8)
    );
    assert_eq!((event.source, event.destination), (mapped(POD[1]), mapped(POD[0])));
    assert_eq!((event.source_port, event.destination_port, event.protocol), (53, 4000, 17));
    assert!(event.at > 0 && event.passed == 0 && event.direction != EGRESS);
    assert!(events.take().is_none(), "one packet, one event");
}

#[test]
fn denials_are_told_within_the_rate() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let controls = bed.programs.table::<Controls>().expect("ctl");
    let mut control = controls.get(&0).expect("read").expect("there");
    control.event_rate = 3;
    // A second of a day's length: the test takes place within one.
    control.hz *= 86_400;
    controls.put(&0, &control).expect("written");
    let at = Situation { link: bed.links[0], came_by: UPLINK, mark: 0 };
    let frame = udp(POD[1], POD[0], [53, 4000], 8);
    bed.programs.test_run(Hook::ToPod, &frame, at, 1000).expect("a run");
    let mut events = bed.programs.events().expect("events");
    let told = std::iter::from_fn(|| events.take()).count();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(
        (3..=3 * processors).contains(&told),
        "{told} events of 1000 denials at 3 per second and processor"
    );
}

#[test]
fn a_second_agent_adopts_what_the_first_left() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    assert_eq!(bed.programs.attach_pod(bed.links[0]).expect("attached"), Attachment::Tcx);
    assert_eq!(*bed.reload(SMALL, Method::Best).expect("loaded"), Origin::Adopted);
    assert_eq!(bed.programs.attach_pod(bed.links[0]).expect("attached"), Attachment::Tcx);
    let endpoint = bed.programs.table::<Endpoints>().expect("ep").get(&bed.links[0]).expect("read");
    assert_eq!(endpoint.map(|endpoint| endpoint.rules), Some([1, 0]), "what the first wrote");
    let pinned = bed.programs.pinned().expect("pins");
    assert_eq!(pinned, [(Hook::FromPod, bed.links[0]), (Hook::ToPod, bed.links[0])]);
}

#[test]
fn another_layout_stays_in_force_until_the_new_one_is_published() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let old = bed.programs.table::<Controls>().expect("ctl");
    let mut control = old.get(&0).expect("read").expect("there");
    control.layout += 1;
    old.put(&0, &control).expect("written");
    let origin = bed.reload(SMALL, Method::Best).expect("loaded").clone();
    assert!(
        matches!(&origin, Origin::Fresh { because, instead: true } if because.contains("layout")),
        "{origin:?}"
    );
    let fresh = bed.programs.table::<Endpoints>().expect("ep");
    assert!(fresh.keys().expect("keys").is_empty());
    // A crash before publishing changes nothing: the next one finds the old pins and starts over.
    let again = bed.reload(SMALL, Method::Best).expect("loaded").clone();
    assert_eq!(again, origin);
    bed.programs.publish().expect("published");
    assert_eq!(*bed.reload(SMALL, Method::Best).expect("loaded"), Origin::Adopted);
}

#[test]
fn another_size_makes_fresh_maps_and_a_full_map_says_so() {
    let Some(mut bed) = bed(1) else { return };
    let sizes = Sizes { crossings: 16, ..SMALL };
    let origin = bed.reload(sizes, Method::Best).expect("loaded").clone();
    assert!(
        matches!(&origin, Origin::Fresh { because, instead: true } if because.contains("terway_policy_map")),
        "{origin:?}"
    );
    let table = bed.programs.table::<Crossings>().expect("a table");
    assert_eq!(table.entries(), 16);
    let key = |group| CrossKey { rules: 1, peer_set: 0, group };
    let error =
        (0..1000).find_map(|group| table.put(&key(group), &Best::NONE).err()).expect("room for 1000 in 16");
    assert!(matches!(error, Error::Full { map: "terway_policy_map", entries: 16 }), "{error}");
    assert!(table.delete(&key(0)).expect("deleted"));
    assert!(!table.delete(&key(0)).expect("deleted once"));
    table.put(&key(0), &Best::NONE).expect("room for one again");
}

#[test]
fn traffic_between_namespaces_meets_the_programs_by_tcx_and_by_clsact() {
    for method in [Method::Best, Method::Clsact] {
        let Some(mut bed) = bed(1) else { return };
        bed.reload(SMALL, method).expect("loaded");
        let drops = bed.programs.table::<Drops>().expect("counters");
        let unknown = || {
            let counts = drops.get_all(&(Reason::UnknownEndpoint as u32)).expect("read").expect("there");
            counts.iter().sum::<u64>()
        };
        ip("addr add 10.9.0.1/24 dev host0").expect("an address");
        bed.programs.attach_pod(bed.links[0]).expect("attached");
        bed.programs.attach_pod(bed.links[0]).expect("attached again, in place");
        let before = unknown();
        // An address that nobody has makes the node ask for it: a frame leaves by host0, where nothing is known.
        let socket = std::net::UdpSocket::bind("10.9.0.1:0").expect("a socket");
        socket.send_to(&[1], "10.9.0.9:9").expect("sent");
        let after = unknown();
        assert_eq!(after - before, 1, "{method:?}: one frame, judged once");
        for hook in Hook::POD {
            bed.programs.detach(hook, bed.links[0]).expect("detached");
            bed.programs.detach(hook, bed.links[0]).expect("nothing left to detach");
        }
        assert_eq!(bed.programs.pinned().expect("pins"), []);
    }
}

#[test]
fn a_link_index_that_came_again_gets_its_program() {
    let Some(mut bed) = bed(1) else { return };
    bed.programs.attach_pod(bed.links[0]).expect("attached");
    let index = bed.links[0];
    ip("link del host0").expect("gone");
    ip(&format!("link add host0 index {index} type veth peer name pod0")).expect("the same index once more");
    assert_eq!(bed.programs.attach_pod(index).expect("attached"), Attachment::Tcx);
    assert_eq!(bed.programs.pinned().expect("pins").len(), 2);
}

#[test]
fn the_programs_cost_little_above_an_empty_one() {
    let Some(mut bed) = bed(2) else { return };
    isolate(&bed);
    let frame = udp(POD[0], [192, 0, 2, 1], [4000, 53], 8);
    let at = Situation { link: bed.links[0], came_by: 0, mark: 0 };
    for hook in Hook::ALL {
        println!("{hook}: {:?}", bed.programs.stats(hook).expect("stats"));
    }
    for hook in [Hook::Empty, Hook::FromPod] {
        bed.programs.test_run(hook, &frame, at, 1000).expect("a run");
        let ran = bed.programs.test_run(hook, &frame, at, 1_000_000).expect("a run");
        println!("{hook}: {} ns per packet, established", ran.nanoseconds);
        assert!(ran.passed);
    }
}
