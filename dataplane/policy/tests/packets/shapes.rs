//! What packets look like: families, fragments, options, extension headers, truncation, forged sources, and the link's
//! own business.

use std::net::{Ipv4Addr, Ipv6Addr};

use terway_policy::{
    craft::{arp, ethernet},
    layout::ENDPOINT_ROUTER,
    packet::tcp::{ACK, SYN},
    verdict::Reason,
};

use crate::bed::{Bed, NODE, STRANGER, WEB, between};

const SEALED: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}";
/// DNS, and one port of TCP.
const PORTS: &str =
    "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 53, protocol: UDP}, {port: 80}]}]}";

const POD6: &str = "fd00::10";
const STRANGER6: &str = "2001:db8::1";

#[test]
fn row_58_and_59_both_families_of_one_endpoint_are_enforced() {
    let bed = Bed::policies(&[
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: '2001:db8::/32'}}]}]}",
    ]);
    assert_eq!(bed.arrive(&between(STRANGER6, POD6).tcp(1, 80, SYN).frame()).reason, Reason::Rule);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1, 80, SYN).frame()).reason, Reason::NoRule);
    // State of one family is none of the other.
    assert!(bed.send("web", &between(WEB, STRANGER).udp(1000, 53).frame()).passed());
    assert_eq!(bed.arrive(&between("fd00::1:10", POD6).udp(53, 1000).frame()).reason, Reason::NoRule);
    assert!(bed.send("web", &between(POD6, "fd00::1:10").udp(1000, 53).frame()).passed());
    assert_eq!(bed.arrive(&between("fd00::1:10", POD6).udp(53, 1000).frame()).reason, Reason::Established);
}

#[test]
fn row_60_later_fragments_follow_the_first() {
    for (from, to) in [(STRANGER, WEB), (STRANGER6, POD6)] {
        let bed = Bed::policies(&[PORTS]);
        let pieces = |port, id| between(from, to).udp(1000, port).payload(&[7; 300]).fragments(id, 104);
        let allowed = pieces(53, 1);
        assert_eq!(bed.arrive(&allowed[1]).reason, Reason::UnknownFragment, "before the first");
        assert_eq!(bed.arrive(&allowed[0]).reason, Reason::Rule);
        assert_eq!(bed.arrive(&allowed[1]).reason, Reason::Fragment);
        assert_eq!(bed.arrive(&allowed[2]).reason, Reason::Fragment);
        assert_eq!(bed.arrive(&pieces(53, 2)[1]).reason, Reason::UnknownFragment, "of another packet");
        let denied = pieces(54, 3);
        assert_eq!(bed.arrive(&denied[0]).reason, Reason::NoRule);
        assert_eq!(bed.arrive(&denied[1]).reason, Reason::UnknownFragment);
        // An identification that comes again is another packet.
        assert_eq!(bed.arrive(&pieces(54, 1)[0]).reason, Reason::NoRule);
        assert_eq!(bed.arrive(&allowed[1]).reason, Reason::UnknownFragment);
        assert_eq!(bed.arrive(&allowed[0]).reason, Reason::Established);
        bed.wait(31);
        assert_eq!(bed.arrive(&allowed[1]).reason, Reason::UnknownFragment, "half a minute later");
    }
}

#[test]
fn row_60_fragments_of_what_the_pod_sends_follow_the_first_too() {
    let bed = Bed::policies(&[
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}",
    ]);
    let pieces = |port, id| between(WEB, STRANGER).udp(1000, port).payload(&[7; 100]).fragments(id, 64);
    let allowed = pieces(53, 1);
    assert_eq!(bed.out("web", &allowed[1]).reason, Reason::UnknownFragment);
    assert_eq!(bed.out("web", &allowed[0]).reason, Reason::Rule);
    assert_eq!(bed.out("web", &allowed[1]).reason, Reason::Fragment);
    // What comes has nothing to do with what goes.
    let back = between(STRANGER, WEB).udp(53, 1000).payload(&[7; 100]).fragments(1, 64);
    assert_eq!(bed.arrive(&back[1]).reason, Reason::NotIsolated, "ingress is not isolated");
}

#[test]
fn row_60_extensions_behind_the_fragment_header_do_not_hide_a_packet_from_its_fragments() {
    let bed = Bed::policies(&[PORTS]);
    let packet = between(STRANGER6, POD6).inner_extension(60, &[1, 4, 0, 0, 0, 0]);
    let packet = packet.udp(1000, 53).payload(&[7; 100]);
    let pieces = packet.fragments(1, 64);
    assert_eq!(bed.arrive(&pieces[0]).reason, Reason::Rule);
    assert_eq!(bed.arrive(&pieces[1]).reason, Reason::Fragment);
    // The first has to hold all headers up to the ports (RFC 7112).
    let pieces = packet.fragments(2, 8);
    assert_eq!(bed.arrive(&pieces[0]).reason, Reason::Malformed);
    assert_eq!(bed.arrive(&pieces[1]).reason, Reason::UnknownFragment);
}

#[test]
fn row_60_a_fragment_over_the_flags_of_tcp_is_dropped() {
    for (from, to) in [(STRANGER, WEB), (STRANGER6, POD6)] {
        let bed = Bed::policies(&[PORTS]);
        let pieces = between(from, to).tcp(1000, 80, ACK).payload(&[7; 100]).fragments(1, 8);
        assert_eq!(bed.arrive(&pieces[0]).reason, Reason::Malformed, "a first fragment without the flags");
        assert_eq!(bed.arrive(&pieces[1]).reason, Reason::Malformed);
    }
}

#[test]
fn row_60_an_atomic_fragment_is_a_whole_packet() {
    let bed = Bed::policies(&[PORTS]);
    let atom = between(STRANGER6, POD6).udp(1000, 53).payload(&[7; 8]).fragments(1, 64);
    assert_eq!(atom.len(), 1);
    assert_eq!(bed.arrive(&atom[0]).reason, Reason::Rule);
    let denied = between(STRANGER6, POD6).udp(1000, 54).payload(&[7; 8]).fragments(1, 64);
    assert_eq!(bed.arrive(&denied[0]).reason, Reason::NoRule);
}

#[test]
fn row_61_ports_are_found_behind_options() {
    let bed = Bed::policies(&[PORTS]);
    // Options that read as ports 0 and 80 where a header of fixed length would end.
    let options = [0, 0, 0, 80];
    let denied = between(STRANGER, WEB).options(&options).tcp(1000, 22, SYN).frame();
    assert_eq!(bed.arrive(&denied).reason, Reason::NoRule);
    let allowed = between(STRANGER, WEB).options(&[0, 0, 0, 22]).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.arrive(&allowed).reason, Reason::Rule);
    let longest = between(STRANGER, WEB).options(&[1; 40]).tcp(1001, 80, SYN).frame();
    assert_eq!(bed.arrive(&longest).reason, Reason::Rule);
}

#[test]
fn row_61_ports_are_found_behind_six_extension_headers_and_not_behind_seven() {
    let bed = Bed::policies(&[PORTS]);
    let chain = |count: usize, port| {
        let kinds = [0, 60, 43, 51, 135, 139, 140];
        let packet = between(STRANGER6, POD6);
        let with = |packet: terway_policy::craft::Craft, kind: &u8| packet.extension(*kind, &[0; 14]);
        kinds[..count].iter().fold(packet, with).tcp(1000, port, SYN).frame()
    };
    for count in 0..=6 {
        assert_eq!(bed.arrive(&chain(count, 22)).reason, Reason::NoRule, "{count}");
        assert_eq!(bed.arrive(&chain(count, 80)).reason, Reason::Rule, "{count}");
    }
    assert_eq!(bed.arrive(&chain(7, 80)).reason, Reason::Malformed);
}

#[test]
fn row_61_extension_headers_that_end_nowhere_are_dropped() {
    let bed = Bed::policies(&[PORTS]);
    let whole = between(STRANGER6, POD6).extension(60, &[0; 6]).tcp(1000, 80, SYN).frame();
    let mut long = whole.clone();
    long[14 + 40 + 1] = 255;
    assert_eq!(bed.arrive(&long).reason, Reason::Malformed);
    assert_eq!(bed.arrive(&whole[..14 + 40 + 4]).reason, Reason::Malformed);
    let mapped = between("::ffff:192.0.2.1", POD6).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.arrive(&mapped).reason, Reason::Malformed, "IPv4 in IPv6 is never on the wire");
}

#[test]
fn row_61_tags_are_walked_and_deeper_ones_are_not_ip() {
    let bed = Bed::policies(&[PORTS]);
    let packet = |port| between(STRANGER, WEB).tcp(1000, port, SYN);
    let one = |port| bed.to_link("web", &packet(port).tag(0x8100).frame()).reason;
    assert_eq!((one(22), one(80)), (Reason::NoRule, Reason::Rule));
    let two = |port| bed.to_link("web", &packet(port).tag(0x88a8).tag(0x8100).frame()).reason;
    assert_eq!((two(22), two(80)), (Reason::NoRule, Reason::Rule));
    let three = packet(80).tag(0x88a8).tag(0x8100).tag(0x8100).frame();
    assert_eq!(bed.to_link("web", &three).reason, Reason::NotIp);
}

#[test]
fn row_62_truncated_headers_are_dropped_for_an_isolated_pod() {
    let bed = Bed::policies(&["{podSelector: {matchLabels: {app: web}}, ingress: [{}]}"]);
    for (from, to, network) in [(STRANGER, WEB, 20), (STRANGER6, POD6, 40)] {
        for (packet, header) in [
            (between(from, to).tcp(1000, 80, SYN), 20),
            (between(from, to).udp(1000, 53), 8),
            (between(from, to).sctp(1000, 7), 12),
            (between(from, to).ping(1, 1), 8),
        ] {
            let frame = packet.frame();
            assert_eq!(bed.to_link("web", &frame).reason, Reason::Rule);
            for length in 0..14 + network + header {
                let reason = bed.to_link("web", &frame[..length]).reason;
                assert_eq!(reason, Reason::Malformed, "{length} bytes of {packet:?}");
            }
        }
    }
}

#[test]
fn row_62_what_stands_behind_the_packet_s_own_length_is_no_header() {
    let bed = Bed::policies(&["{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}"]);
    let mut frame = between(STRANGER, WEB).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.arrive(&frame).reason, Reason::Rule);
    // Its transport header is what filled a short frame up, which no receiver reads.
    frame[14 + 2..14 + 4].copy_from_slice(&20_u16.to_be_bytes());
    assert_eq!(bed.arrive(&frame).reason, Reason::Malformed);
    let mut frame = between(STRANGER6, POD6).tcp(1000, 80, SYN).frame();
    frame[14 + 4..14 + 6].copy_from_slice(&8_u16.to_be_bytes());
    assert_eq!(bed.arrive(&frame).reason, Reason::Malformed);
    // Filling behind a whole packet is no harm.
    let mut frame = between(STRANGER, WEB).tcp(1001, 80, SYN).frame();
    frame.resize(60, 0);
    assert_eq!(bed.arrive(&frame).reason, Reason::Rule);
}

#[test]
fn row_62_what_is_malformed_reaches_a_pod_that_nothing_isolates() {
    let bed = Bed::policies(&[SEALED]);
    let frame = between(STRANGER, crate::bed::FREE).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.to_link("free", &frame[..40]).reason, Reason::NotIsolated);
    // Of what a pod sends the source has to be known (63).
    let frame = between(crate::bed::FREE, STRANGER).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.out("free", &frame[..40]).reason, Reason::Malformed);
}

#[test]
fn row_63_a_source_that_is_not_the_pod_s_is_dropped_isolated_or_not() {
    let mut bed = Bed::policies(&[SEALED]);
    for pod in ["web", "free"] {
        for (from, to) in [
            (STRANGER, NODE),
            (NODE, STRANGER),
            ("0.0.0.0", STRANGER),
            (STRANGER6, "fd00::1"),
            ("fe80::10", STRANGER6),
        ] {
            let forged = between(from, to).udp(1000, 53).frame();
            assert_eq!(bed.out(pod, &forged).reason, Reason::Spoofed, "{pod} as {from}");
            let parts = between(from, to).udp(1000, 53).payload(&[0; 100]).fragments(1, 64);
            assert!(parts.iter().all(|part| bed.out(pod, part).reason == Reason::Spoofed), "{pod} as {from}");
        }
    }
    let forged = between("198.51.100.7", STRANGER).udp(1000, 53).frame();
    bed.mark("free", ENDPOINT_ROUTER);
    assert_eq!(bed.out("free", &forged).reason, Reason::NotIsolated);
    // A router under policy forwards what its policy allows.
    bed.mark("web", ENDPOINT_ROUTER);
    let forwarded = between("198.51.100.7", STRANGER).udp(1000, 53).frame();
    assert_eq!(bed.out("web", &forwarded).reason, Reason::NoRule);
    assert!(bed.flows("web").is_empty());
    bed.set_policy(
        1,
        "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: 53, protocol: UDP}]}]}",
    );
    assert_eq!(bed.out("web", &forwarded).reason, Reason::Rule);
    assert!(bed.flows("web").is_empty(), "a flow of others is not the pod's to keep");
}

#[test]
fn row_39_and_63_the_link_s_own_business_passes_after_the_check_of_its_source() {
    let bed = Bed::policies(&[SEALED]);
    let (own, gateway): (Ipv4Addr, Ipv4Addr) =
        (WEB.parse().expect("an address"), NODE.parse().expect("an address"));
    assert_eq!(bed.out("web", &arp(own, gateway)).reason, Reason::Link);
    assert_eq!(bed.out("web", &arp(Ipv4Addr::UNSPECIFIED, own)).reason, Reason::Link, "a probe");
    assert_eq!(bed.out("web", &arp(gateway, own)).reason, Reason::Spoofed);
    assert_eq!(bed.to_link("web", &arp(gateway, own)).reason, Reason::Link);
    assert_eq!(bed.out("web", &arp(own, gateway)[..20]).reason, Reason::Malformed);

    let target: Ipv6Addr = "fe80::1".parse().expect("an address");
    for source in [POD6, "fe80::10", "::"] {
        assert_eq!(
            bed.out("web", &between(source, "ff02::1:ff00:1").solicits(target).frame()).reason,
            Reason::Link
        );
        assert_eq!(bed.out("web", &between(source, "fe80::1").solicits(target).frame()).reason, Reason::Link);
    }
    assert_eq!(
        bed.out("web", &between(STRANGER6, "fe80::1").solicits(target).frame()).reason,
        Reason::Spoofed
    );
    assert_eq!(bed.to_link("web", &between("fe80::1", POD6).solicits(target).frame()).reason, Reason::Link);
    let report = between("fe80::10", "ff02::16").hop_limit(1).icmp(143, 0, [0, 0, 0, 1]).payload(&[0; 20]);
    assert_eq!(bed.out("web", &report.frame()).reason, Reason::Link);
    let query = between("fe80::1", "ff02::1").hop_limit(1).icmp(130, 0, [0; 4]).payload(&[0; 20]);
    assert_eq!(bed.to_link("web", &query.frame()).reason, Reason::Link);
}

#[test]
fn row_39_what_looks_like_the_link_s_business_and_is_routed_is_judged() {
    let bed = Bed::policies(&[SEALED]);
    let target: Ipv6Addr = "fe80::1".parse().expect("an address");
    // Out: anything could be told to anyone in the guise of a solicitation or a report.
    let far = between(POD6, STRANGER6).solicits(target).payload(&[0x5e; 200]).frame();
    assert_eq!(bed.out("web", &far).reason, Reason::NoRule);
    let far = between(POD6, "ff0e::1").solicits(target).frame();
    assert_eq!(bed.out("web", &far).reason, Reason::NoRule);
    let report = between(POD6, STRANGER6).hop_limit(64).icmp(143, 0, [0; 4]).payload(&[0x5e; 200]);
    assert_eq!(bed.out("web", &report.frame()).reason, Reason::NoRule);
    // In: discovery that has crossed a router, and group membership from beyond the link.
    let crossed = between(STRANGER6, POD6).solicits(target).hop_limit(254).frame();
    assert_eq!(bed.to_link("web", &crossed).reason, Reason::Malformed);
    let query = between(STRANGER6, POD6).hop_limit(1).icmp(130, 0, [0; 4]).payload(&[0; 20]);
    assert_eq!(bed.to_link("web", &query.frame()).reason, Reason::NoRule);
    assert!(bed.flows("web").is_empty());
    // A rule without ports allows them like any other protocol.
    let bed =
        Bed::policies(&["{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{}]}"]);
    let far = between(POD6, STRANGER6).solicits(target).frame();
    assert_eq!(bed.out("web", &far).reason, Reason::Rule);
}

#[test]
fn row_39_other_ethertypes_do_not_reach_an_isolated_pod() {
    let bed = Bed::policies(&[SEALED]);
    for kind in [0x88cc, 0x8847, 0x8863, 0x0026] {
        let frame = ethernet(kind, &[0; 46]);
        assert_eq!(bed.to_link("web", &frame).reason, Reason::NotIp, "{kind:#x}");
        assert_eq!(bed.out("web", &frame).reason, Reason::NotIp, "{kind:#x}");
        assert_eq!(bed.to_link("free", &frame).reason, Reason::NotIsolated, "{kind:#x}");
    }
    // IPv6 in the name of IPv4, and the other way round.
    for (packet, kind) in [(between(STRANGER6, POD6), [0x08, 0x00]), (between(STRANGER, WEB), [0x86, 0xdd])] {
        let mut frame = packet.tcp(1, 80, SYN).frame();
        frame[12..14].copy_from_slice(&kind);
        assert_eq!(bed.to_link("web", &frame).reason, Reason::Malformed);
    }
}
