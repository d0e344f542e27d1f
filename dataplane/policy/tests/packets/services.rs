//! Packets to services: marked at the pod's hook, judged behind the translation.

use terway_policy::{
    layout::{CONTROL_BLOCK_METADATA, CONTROL_TRACK},
    packet::tcp::{ACK, SYN},
    verdict::{Context, Reason, exit, to_pod},
};

use crate::bed::{Bed, DB, ENI, FAR, MARK, NODE, STRANGER, WEB, between};

const VIP: &str = "172.16.0.80";
/// `web` may send to `far` on its real port alone.
const TO_FAR: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: 8080}]}]}";
const TO_DB: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]}";
const SEALED: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}";

fn translating(specs: &[&str]) -> Bed {
    let mut bed = Bed::policies(specs);
    bed.translate();
    bed
}

#[test]
fn row_45_a_packet_to_a_service_is_judged_by_the_backend_it_goes_to() {
    for (pod, vip, far, db) in [(WEB, VIP, FAR, DB), ("fd00::10", "fd01::80", "fd00::1:10", "fd00::11")] {
        let bed = translating(&[TO_FAR]);
        let syn = between(pod, vip).tcp(1000, 80, SYN).frame();
        let allowed = between(pod, far).tcp(1000, 8080, SYN).frame();
        let trip = bed.send_translated("web", &syn, &allowed);
        assert_eq!(trip.reasons(), [Reason::Pending, Reason::Rule, Reason::NotIsolated], "{vip}");
        assert_eq!(trip.mark, 0, "nobody behind is to see the mark");
        let wrong_port = between(pod, far).tcp(1001, 8081, SYN).frame();
        let syn = between(pod, vip).tcp(1001, 80, SYN).frame();
        assert_eq!(
            bed.send_translated("web", &syn, &wrong_port).reasons(),
            [Reason::Pending, Reason::NoRule]
        );
        let wrong_pod = between(pod, db).tcp(1001, 8080, SYN).frame();
        assert_eq!(bed.send_translated("web", &syn, &wrong_pod).reasons(), [Reason::Pending, Reason::NoRule]);
    }
}

#[test]
fn row_45_every_packet_of_the_flow_is_marked_and_answers_come_from_the_service() {
    let bed = translating(&[TO_FAR, SEALED]);
    let out = |flags| between(WEB, VIP).tcp(1000, 80, flags).frame();
    let behind = |flags| between(WEB, FAR).tcp(1000, 8080, flags).frame();
    assert!(bed.send_translated("web", &out(SYN), &behind(SYN)).passed());
    let answer = between(VIP, WEB).tcp(80, 1000, SYN | ACK).frame();
    assert_eq!(bed.arrive(&answer).reason, Reason::Established);
    let trip = bed.send_translated("web", &out(ACK), &behind(ACK));
    assert_eq!(trip.reasons(), [Reason::Established, Reason::Established, Reason::Established]);
    // The backend does not answer for itself.
    let direct = between(FAR, WEB).tcp(80, 1000, SYN | ACK).frame();
    assert_eq!(bed.arrive(&direct).reason, Reason::NoRule);
    // Were it established at the first hook alone, this would be a way around.
    let elsewhere = between(WEB, STRANGER).tcp(1000, 8080, ACK).frame();
    assert_eq!(
        bed.send_translated("web", &out(ACK), &elsewhere).reasons(),
        [Reason::Established, Reason::NoRule]
    );
}

#[test]
fn row_45_a_backend_on_the_same_node_is_judged_at_its_own_hook() {
    let bed = translating(&[TO_DB]);
    let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
    let trip = bed.send_translated("web", &syn, &between(WEB, DB).tcp(1000, 5432, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::Pending, Reason::NotIsolated]);
    assert_eq!(trip.mark, 0);
    let syn = between(WEB, VIP).tcp(1001, 80, SYN).frame();
    let trip = bed.send_translated("web", &syn, &between(WEB, DB).tcp(1001, 5433, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::Pending, Reason::NoRule]);
    // And what the backend's own policy says holds too.
    let bed = translating(&[TO_DB, "{podSelector: {matchLabels: {app: db}}}"]);
    let trip = bed.send_translated("web", &syn, &between(WEB, DB).tcp(1001, 5432, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::Pending, Reason::NoRule]);
}

#[test]
fn row_45_what_is_marked_and_cannot_be_judged_never_leaves() {
    let bed = translating(&[TO_FAR]);
    let memory = &bed.nodes[0].memory;
    let unknown = between(STRANGER, FAR).tcp(1000, 8080, SYN).frame();
    let mut context = Context { link: ENI, came_by: ENI + 1, mark: MARK };
    assert_eq!(exit(memory, &*unknown, &mut context).reason, Reason::Unjudged);
    let mut context = Context { link: bed.link("db"), came_by: ENI + 1, mark: MARK };
    assert_eq!(to_pod(memory, &*unknown, &mut context).reason, Reason::Unjudged);
    let mut context = Context { link: ENI, came_by: ENI + 1, mark: MARK };
    assert_eq!(exit(memory, &unknown[..30], &mut context).reason, Reason::Malformed);
    // A service without a backend is not translated at all, and judged as the address that it is.
    let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.send("web", &syn).reasons(), [Reason::Pending, Reason::NoRule]);
    // Other bits of the mark are others'.
    let mut context = Context { link: ENI, came_by: bed.link("web"), mark: MARK | 0x4000 };
    let allowed = between(WEB, FAR).tcp(1000, 8080, SYN).frame();
    assert_eq!(exit(memory, &*allowed, &mut context).reason, Reason::Rule);
    assert_eq!(context.mark, 0x4000);
}

#[test]
fn row_45_a_sender_that_the_node_masquerades_is_told_by_its_link() {
    let bed = translating(&[TO_FAR]);
    let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
    let allowed = between(NODE, FAR).tcp(40000, 8080, SYN).frame();
    assert_eq!(bed.send_translated("web", &syn, &allowed).reasons()[..2], [Reason::Pending, Reason::Rule]);
    let denied = between(NODE, FAR).tcp(40001, 8081, SYN).frame();
    let syn = between(WEB, VIP).tcp(1001, 80, SYN).frame();
    assert_eq!(bed.send_translated("web", &syn, &denied).reasons(), [Reason::Pending, Reason::NoRule]);
}

#[test]
fn row_45_a_sender_is_told_by_its_address_when_it_came_by_a_detour() {
    let bed = translating(&[TO_FAR]);
    let memory = &bed.nodes[0].memory;
    for (port, expected) in [(8080, Reason::Rule), (8081, Reason::NoRule)] {
        let behind = between(WEB, FAR).tcp(1000, port, SYN).frame();
        let mut context = Context { link: ENI, came_by: ENI + 1, mark: MARK };
        assert_eq!(exit(memory, &*behind, &mut context).reason, expected);
    }
}

#[test]
fn row_45_a_flow_that_was_open_before_the_pod_was_isolated_is_judged_by_its_backend() {
    for (port, last) in [(8080, Reason::Rule), (8081, Reason::NoRule)] {
        let mut bed = translating(&["{podSelector: {matchLabels: {app: db}}}"]);
        let out = |flags| between(WEB, VIP).tcp(1000, 80, flags).frame();
        let behind = |flags| between(WEB, FAR).tcp(1000, port, flags).frame();
        assert!(bed.send_translated("web", &out(SYN), &behind(SYN)).passed());
        bed.set_policy(1, TO_FAR);
        let trip = bed.send_translated("web", &out(ACK), &behind(ACK));
        assert_eq!(trip.reasons()[..2], [Reason::Established, last]);
    }
}

#[test]
fn row_45_a_change_of_policy_reaches_flows_to_services() {
    let mut bed = translating(&[TO_FAR]);
    let out = |flags| between(WEB, VIP).tcp(1000, 80, flags).frame();
    let behind = |flags| between(WEB, FAR).tcp(1000, 8080, flags).frame();
    assert!(bed.send_translated("web", &out(SYN), &behind(SYN)).passed());
    bed.set_policy(0, TO_DB);
    let trip = bed.send_translated("web", &out(ACK), &behind(ACK));
    assert_eq!(trip.reasons(), [Reason::Established, Reason::NoRule]);
    bed.set_policy(0, TO_FAR);
    assert!(bed.send_translated("web", &out(ACK), &behind(ACK)).passed());
}

#[test]
fn row_45_fragments_to_a_service_are_judged_behind_it_too() {
    let bed = translating(&[TO_FAR.replace("port: 8080", "port: 53, protocol: UDP").as_str()]);
    let pieces = |to: &str, port| between(WEB, to).udp(1000, port).payload(&[0; 100]).fragments(9, 64);
    // Translation puts packets together and cuts them again.
    for (vip, behind) in pieces(VIP, 53).iter().zip(pieces(FAR, 53)) {
        let trip = bed.send_translated("web", vip, &behind);
        assert!(trip.passed(), "{trip:?}");
    }
    let last = pieces(FAR, 53).pop().expect("two pieces");
    let memory = &bed.nodes[0].memory;
    let mut context = Context { link: ENI, came_by: bed.link("web"), mark: MARK };
    assert_eq!(exit(memory, &*last, &mut context).reason, Reason::Fragment);
    let mut context = Context { link: ENI, came_by: bed.link("web"), mark: MARK };
    let denied = pieces(FAR, 54);
    assert_eq!(exit(memory, &*denied[0], &mut context).reason, Reason::NoRule);
    let mut context = Context { link: ENI, came_by: bed.link("web"), mark: MARK };
    assert_eq!(exit(memory, &*denied[1], &mut context).reason, Reason::UnknownFragment);
}

#[test]
fn row_45_nothing_is_marked_for_a_pod_whose_egress_no_policy_is_about() {
    let bed = translating(&["{podSelector: {matchLabels: {app: web}}}"]);
    let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
    let trip = bed.send_translated("web", &syn, &between(WEB, FAR).tcp(1000, 8080, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::NotIsolated, Reason::NotIsolated, Reason::NotIsolated]);
}

#[test]
fn row_45_where_nothing_is_translated_behind_the_hook_a_service_is_an_address() {
    let bed = Bed::policies(&[TO_FAR]);
    let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.send("web", &syn).reasons(), [Reason::NoRule]);
}

#[test]
fn row_42_a_pod_reaches_itself_by_its_own_service() {
    for source in [WEB, NODE] {
        let bed = translating(&[SEALED]);
        let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
        let back = between(source, WEB).tcp(1000, 8080, SYN).frame();
        let trip = bed.send_translated("web", &syn, &back);
        assert_eq!(trip.reasons(), [Reason::Pending, Reason::Itself], "from {source}");
        assert_eq!(trip.mark, 0);
        let answer = between(WEB, source).tcp(8080, 1000, SYN | ACK).frame();
        let translated = between(VIP, WEB).tcp(80, 1000, SYN | ACK).frame();
        let trip = bed.send_translated("web", &answer, &translated);
        assert_eq!(trip.reasons(), [Reason::Established, Reason::Established], "from {source}");
    }
}

#[test]
fn row_73_a_service_is_no_way_around_the_switch_for_the_metadata() {
    for specs in [&["{podSelector: {}, egress: [{}], policyTypes: [Egress]}"][..], &[]] {
        let mut bed = translating(specs);
        bed.control(|control| control.flags = CONTROL_BLOCK_METADATA | CONTROL_TRACK);
        let syn = between(WEB, VIP).tcp(1000, 80, SYN).frame();
        let behind = between(WEB, "100.100.100.200").tcp(1000, 80, SYN).frame();
        let trip = bed.send_translated("web", &syn, &behind);
        assert_eq!(trip.reasons(), [Reason::Pending, Reason::Metadata], "{specs:?}");
    }
}
