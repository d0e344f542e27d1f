//! Answers, errors, and what a flow remembers.

use terway_policy::{
    packet::tcp::{ACK, FIN, RST, SYN},
    verdict::Reason,
};

use crate::bed::{Bed, DB, ENI, FAR, FAR_NODE, FREE, STRANGER, WEB, between, opened_by_pod};

/// Nothing comes to `web`, everything goes.
const CLOSED: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}";
/// Nothing goes from `web`, everything comes.
const MUTE: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}";
/// Nothing either way.
const SEALED: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}";

#[test]
fn row_37_replies_of_an_allowed_flow_pass_whatever_the_other_direction_says() {
    let bed = Bed::policies(&[CLOSED]);
    let answer = between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame();
    assert_eq!(bed.arrive(&answer).reason, Reason::NoRule, "nothing was asked yet");
    assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
    assert_eq!(bed.arrive(&answer).reason, Reason::Established);

    let bed = Bed::policies(&[MUTE]);
    let answer = between(WEB, STRANGER).udp(53, 1000).frame();
    assert_eq!(bed.send("web", &answer).reasons(), [Reason::NoRule]);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).udp(1000, 53).frame()).reason, Reason::NotIsolated);
    assert_eq!(bed.send("web", &answer).reasons()[0], Reason::Established);
}

#[test]
fn row_37_a_pod_that_becomes_isolated_still_gets_replies_of_what_it_asked_before() {
    let mut bed = Bed::policies(&["{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}"]);
    assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
    bed.set_policy(1, CLOSED);
    assert_eq!(
        bed.arrive(&between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame()).reason,
        Reason::Established
    );
}

#[test]
fn row_37_between_two_pods_of_a_node_each_end_has_its_own_flow() {
    let open_db = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}";
    let bed = Bed::policies(&[CLOSED, open_db]);
    let trip = bed.send("web", &between(WEB, DB).tcp(1000, 5432, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::NotIsolated, Reason::Rule]);
    let trip = bed.send("db", &between(DB, WEB).tcp(5432, 1000, SYN | ACK).frame());
    assert_eq!(trip.reasons(), [Reason::Established, Reason::Established]);
    let trip = bed.send("db", &between(DB, WEB).tcp(5432, 1001, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::NotIsolated, Reason::NoRule]);
    assert!(opened_by_pod(&bed.flows("web")[0].1));
    // The second flow of `db` is the one that `web` did not take.
    assert!(!opened_by_pod(&bed.flows("db")[0].1));
}

#[test]
fn row_38_an_error_about_a_flow_of_the_pod_passes_and_one_about_none_does_not() {
    for (from, to, router, kind, code) in
        [(WEB, STRANGER, "192.0.2.254", 3, 4), ("fd00::10", "2001:db8::1", "2001:db8::fe", 2, 0)]
    {
        let bed = Bed::policies(&[
            SEALED,
            "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: 443}]}], policyTypes: [Egress]}",
        ]);
        let sent = between(from, to).tcp(1000, 443, ACK).payload(&[7; 100]).frame();
        let too_big = between(router, from).about(kind, code, &sent).frame();
        assert_eq!(bed.arrive(&too_big).reason, Reason::Unrelated, "{from}: nothing was sent");
        assert!(bed.send("web", &sent).passed());
        assert_eq!(bed.arrive(&too_big).reason, Reason::Related, "{from}");
        let other = between(from, to).tcp(1001, 443, ACK).frame();
        let about_other = between(router, from).about(kind, code, &other).frame();
        assert_eq!(bed.arrive(&about_other).reason, Reason::Unrelated, "{from}: another port");
    }
}

#[test]
fn row_38_an_error_that_the_pod_sends_about_what_came_passes() {
    let open = "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 53, protocol: UDP}]}]}";
    let bed = Bed::policies(&[SEALED, open]);
    let asked = between(STRANGER, WEB).udp(1000, 53).frame();
    let unreachable = between(WEB, STRANGER).about(3, 3, &asked).frame();
    assert_eq!(bed.send("web", &unreachable).reasons(), [Reason::Unrelated]);
    assert_eq!(bed.arrive(&asked).reason, Reason::Rule);
    assert_eq!(bed.send("web", &unreachable).reasons()[0], Reason::Related);
}

#[test]
fn row_38_an_error_that_quotes_another_pod_s_packet_or_its_own_kind_is_unrelated() {
    let bed = Bed::policies(&[SEALED, "{podSelector: {}, egress: [{}], policyTypes: [Egress]}"]);
    // Both pods have a flow of the same ports with the same stranger.
    let of_web = between(WEB, STRANGER).tcp(1000, 443, SYN).frame();
    assert!(bed.send("web", &of_web).passed());
    let of_db = between(DB, STRANGER).tcp(1000, 443, SYN).frame();
    assert!(bed.send("db", &of_db).passed());
    assert_eq!(bed.arrive(&between(STRANGER, WEB).about(3, 4, &of_db).frame()).reason, Reason::Unrelated);
    let error = between(STRANGER, WEB).about(3, 4, &of_web).frame();
    assert_eq!(bed.arrive(&error).reason, Reason::Related);
    let about_error = between(STRANGER, WEB).about(3, 4, &error).frame();
    assert_eq!(bed.arrive(&about_error).reason, Reason::Unrelated);
    let cut = &error[..error.len() - 10];
    assert_eq!(bed.arrive(cut).reason, Reason::Malformed);
}

#[test]
fn row_39_echo_and_other_protocols_need_a_rule_without_ports() {
    let ports = "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}";
    let bed = Bed::policies(&[ports]);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).ping(1, 1).frame()).reason, Reason::NoRule);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).raw(47).payload(&[0; 8]).frame()).reason, Reason::NoRule);
    assert_eq!(bed.arrive(&between("2001:db8::1", "fd00::10").ping(1, 1).frame()).reason, Reason::NoRule);
    let all =
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}";
    let bed = Bed::policies(&[ports, all]);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).ping(1, 1).frame()).reason, Reason::Rule);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).raw(47).payload(&[0; 8]).frame()).reason, Reason::Rule);
    assert_eq!(bed.arrive(&between("198.51.100.1", WEB).ping(1, 1).frame()).reason, Reason::NoRule);
}

#[test]
fn row_40_echo_state_never_admits_a_request_the_other_way() {
    for (from, to) in [(WEB, STRANGER), ("fd00::10", "2001:db8::1")] {
        let bed = Bed::policies(&[CLOSED]);
        assert!(bed.send("web", &between(from, to).ping(7, 1).frame()).passed());
        assert_eq!(bed.arrive(&between(to, from).pong(7, 1).frame()).reason, Reason::Established);
        assert_eq!(bed.arrive(&between(to, from).ping(7, 1).frame()).reason, Reason::NoRule, "a request");
        assert_eq!(bed.arrive(&between(to, from).pong(8, 1).frame()).reason, Reason::NoRule, "another id");
        // An answer of another kind of question.
        let timestamp = between(to, from).icmp(14, 0, [0, 7, 0, 1]).payload(&[0; 12]).frame();
        assert_eq!(bed.arrive(&timestamp).reason, Reason::NoRule, "another kind");
    }
}

#[test]
fn row_64_a_forged_reply_makes_and_prolongs_nobody_s_state() {
    let bed = Bed::policies(&["{podSelector: {}, policyTypes: [Ingress]}"]);
    // `db` claims to be the stranger that `web` might have asked, and then to answer for itself.
    let forged = between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame();
    assert_eq!(bed.send("db", &forged).reasons(), [Reason::Spoofed]);
    let unasked = between(DB, WEB).tcp(80, 1000, SYN | ACK).frame();
    assert_eq!(bed.send("db", &unasked).reasons(), [Reason::NotIsolated, Reason::NoRule]);
    assert!(bed.flows("web").is_empty());

    assert!(bed.send("web", &between(WEB, STRANGER).udp(1000, 80).frame()).passed());
    bed.wait(9);
    assert_eq!(bed.send("db", &between(STRANGER, WEB).udp(80, 1000).frame()).reasons(), [Reason::Spoofed]);
    bed.wait(2);
    assert_eq!(
        bed.arrive(&between(STRANGER, WEB).udp(80, 1000).frame()).reason,
        Reason::NoRule,
        "ten seconds without an answer are over, whatever was forged"
    );
}

#[test]
fn row_64_a_packet_that_was_denied_leaves_no_flow() {
    let bed = Bed::policies(&[SEALED]);
    assert_eq!(
        bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).reasons(),
        [Reason::NoRule]
    );
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame()).reason, Reason::NoRule);
    assert!(bed.flows("web").is_empty());
}

#[test]
fn row_65_a_flow_is_the_pod_s_whatever_link_it_comes_back_by() {
    let bed = Bed::policies(&[CLOSED]);
    assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
    let answer = between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame();
    assert_eq!(bed.hand_over(&answer, ENI + 7).reason, Reason::Established);
}

#[test]
fn row_66_tcp_that_was_idle_for_hours_goes_on_both_ways() {
    let bed = Bed::policies(&[CLOSED]);
    assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
    let data = between(STRANGER, WEB).tcp(80, 1000, ACK).frame();
    assert_eq!(bed.arrive(&data).reason, Reason::Established);
    bed.wait(20 * 3600);
    assert_eq!(bed.arrive(&data).reason, Reason::Established);
    bed.wait(4 * 24 * 3600);
    assert_eq!(
        bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, ACK).frame()).reasons()[0],
        Reason::Established
    );
    bed.wait(6 * 24 * 3600);
    assert_eq!(bed.arrive(&data).reason, Reason::NoRule, "five days are over");
}

#[test]
fn row_66_without_an_answer_tcp_is_forgotten_soon() {
    let bed = Bed::policies(&[CLOSED]);
    assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
    bed.wait(21);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame()).reason, Reason::NoRule);
}

#[test]
fn row_67_a_port_that_comes_again_is_judged_again() {
    let open = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: free}}}]}]}";
    let mut bed = Bed::policies(&[open]);
    let syn = between(FREE, WEB).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.send("free", &syn).reasons(), [Reason::NotIsolated, Reason::Rule]);
    assert!(bed.send("web", &between(WEB, FREE).tcp(80, 1000, SYN | ACK).frame()).passed());
    assert!(bed.send("free", &between(FREE, WEB).tcp(1000, 80, FIN | ACK).frame()).passed());
    assert!(bed.send("web", &between(WEB, FREE).tcp(80, 1000, FIN | ACK).frame()).passed());
    // No stale allow: within TIME_WAIT, under a policy that denies by now.
    bed.set_policy(0, CLOSED);
    assert_eq!(bed.send("free", &syn).reasons(), [Reason::NotIsolated, Reason::NoRule]);
    // And no stale deny.
    bed.set_policy(0, open);
    assert_eq!(bed.send("free", &syn).reasons(), [Reason::NotIsolated, Reason::Rule]);
}

#[test]
fn row_67_a_syn_against_the_direction_of_a_flow_is_no_answer() {
    let bed = Bed::policies(&[CLOSED]);
    assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(80, 1000, SYN).frame()).reason, Reason::NoRule);
    assert_eq!(
        bed.arrive(&between(STRANGER, WEB).tcp(80, 1000, SYN | ACK).frame()).reason,
        Reason::Established
    );
}

#[test]
fn row_67_what_was_closed_or_reset_is_over_in_ten_seconds() {
    for ends in [vec![(true, FIN | ACK), (false, FIN | ACK)], vec![(false, RST)]] {
        let bed = Bed::policies(&[CLOSED]);
        assert!(bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, SYN).frame()).passed());
        for (by_pod, flags) in ends {
            let passed = if by_pod {
                bed.send("web", &between(WEB, STRANGER).tcp(1000, 80, flags).frame()).passed()
            } else {
                bed.arrive(&between(STRANGER, WEB).tcp(80, 1000, flags).frame()).passes()
            };
            assert!(passed);
        }
        let late = between(STRANGER, WEB).tcp(80, 1000, ACK).frame();
        bed.wait(9);
        assert_eq!(bed.arrive(&late).reason, Reason::Established);
        bed.wait(11);
        assert_eq!(bed.arrive(&late).reason, Reason::NoRule);
    }
}

#[test]
fn row_68_udp_answers_pass_within_their_window() {
    let bed = Bed::policies(&[CLOSED]);
    // A and AAAA from one port, answered in any order.
    let question = between(WEB, FAR).udp(1000, 53).frame();
    let answer = between(FAR, WEB).udp(53, 1000).frame();
    assert!(bed.send("web", &question).passed());
    assert!(bed.send("web", &question).passed());
    assert_eq!(bed.send("far", &answer).reasons().last(), Some(&Reason::Established));
    assert_eq!(bed.send("far", &answer).reasons().last(), Some(&Reason::Established));
    bed.wait(59);
    assert_eq!(bed.arrive(&answer).reason, Reason::Established);
    bed.wait(61);
    assert_eq!(bed.arrive(&answer).reason, Reason::NoRule);
    assert!(bed.send("web", &question).passed());
    bed.wait(11);
    assert_eq!(bed.arrive(&answer).reason, Reason::NoRule, "one way, ten seconds");
}

#[test]
fn row_68_another_address_or_port_is_no_answer() {
    let bed = Bed::policies(&[CLOSED]);
    assert!(bed.send("web", &between(WEB, STRANGER).udp(1000, 53).frame()).passed());
    for (from, source, destination) in [(FAR_NODE, 53, 1000), (STRANGER, 54, 1000), (STRANGER, 53, 1001)] {
        let other = between(from, WEB).udp(source, destination).frame();
        assert_eq!(bed.arrive(&other).reason, Reason::NoRule, "{from}:{source} to {destination}");
    }
    let sctp = between(STRANGER, WEB).sctp(53, 1000).frame();
    assert_eq!(bed.arrive(&sctp).reason, Reason::NoRule, "another protocol");
}
