//! The pod's own node, other nodes, the pod itself, and the instance metadata.

use terway_policy::{
    layout::{CONTROL_BLOCK_METADATA, CONTROL_NODE_CLOSED, ENDPOINT_METADATA},
    packet::tcp::{ACK, SYN},
    verdict::Reason,
};

use crate::bed::{Bed, ENI, FAR, FAR_NODE, NODE, STRANGER, WEB, between};

const SEALED: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}";

#[test]
fn row_41_the_own_node_reaches_a_pod_that_nothing_else_reaches() {
    let bed = Bed::policies(&[SEALED]);
    for (node, pod) in [(NODE, WEB), ("fd00::1", "fd00::10")] {
        let probe = between(node, pod).tcp(1000, 8080, SYN).frame();
        assert_eq!(bed.by_node(&probe).reason, Reason::Node);
        let answer = between(pod, node).tcp(8080, 1000, SYN | ACK).frame();
        assert_eq!(bed.send("web", &answer).reasons(), [Reason::Established]);
        assert_eq!(bed.by_node(&between(node, pod).ping(1, 1).frame()).reason, Reason::Node);
    }
}

#[test]
fn row_41_a_probe_that_began_before_the_pod_was_isolated_goes_on() {
    let mut bed = Bed::policies(&["{podSelector: {matchLabels: {app: db}}}"]);
    assert!(bed.by_node(&between(NODE, WEB).tcp(1000, 8080, SYN).frame()).passes());
    assert!(bed.send("web", &between(WEB, NODE).tcp(1001, 53, SYN).frame()).passed());
    bed.set_policy(1, SEALED);
    assert_eq!(bed.by_node(&between(NODE, WEB).tcp(1000, 8080, ACK).frame()).reason, Reason::Established);
    let answer = between(WEB, NODE).tcp(8080, 1000, ACK).frame();
    assert_eq!(bed.send("web", &answer).reasons(), [Reason::Established]);
    assert_eq!(bed.by_node(&between(NODE, WEB).tcp(53, 1001, ACK).frame()).reason, Reason::Established);
    // Not so what came from elsewhere.
    let mut bed = Bed::policies(&["{podSelector: {matchLabels: {app: db}}}"]);
    assert!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 8080, SYN).frame()).passes());
    bed.set_policy(1, SEALED);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 8080, ACK).frame()).reason, Reason::NoRule);
}

#[test]
fn row_41_an_error_from_the_own_node_passes_whatever_it_is_about() {
    let bed = Bed::policies(&[SEALED]);
    let refused = between(WEB, STRANGER).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.by_node(&between(NODE, WEB).about(3, 1, &refused).frame()).reason, Reason::Node);
    assert_eq!(bed.arrive(&between(FAR_NODE, WEB).about(3, 1, &refused).frame()).reason, Reason::Unrelated);
    assert_eq!(bed.arrive(&between(NODE, WEB).about(3, 1, &refused).frame()).reason, Reason::Unrelated);
}

#[test]
fn row_41b_a_pod_reaches_its_own_node_unless_that_is_switched_off() {
    let mut bed = Bed::policies(&[SEALED]);
    let syn = between(WEB, NODE).tcp(1000, 10250, SYN).frame();
    assert_eq!(bed.send("web", &syn).reasons(), [Reason::Node]);
    let other = between(WEB, FAR_NODE).tcp(1000, 10250, SYN).frame();
    assert_eq!(bed.send("web", &other).reasons(), [Reason::NoRule]);

    bed.control(|control| control.flags |= CONTROL_NODE_CLOSED);
    let syn = between(WEB, NODE).tcp(1001, 10250, SYN).frame();
    assert_eq!(bed.send("web", &syn).reasons(), [Reason::NoRule]);
    // Probes still come, and are answered.
    assert_eq!(bed.by_node(&between(NODE, WEB).tcp(1002, 80, SYN).frame()).reason, Reason::Node);
    let answer = between(WEB, NODE).tcp(80, 1002, SYN | ACK).frame();
    assert_eq!(bed.send("web", &answer).reasons(), [Reason::Established]);
    // What a rule allows is allowed.
    bed.set_policy(
        1,
        "{podSelector: {matchLabels: {app: web}}, egress: [{to: [{ipBlock: {cidr: 10.0.0.1/32}}]}]}",
    );
    assert_eq!(bed.send("web", &syn).reasons(), [Reason::Rule]);
}

#[test]
fn row_41c_what_the_node_forwards_with_its_own_address_is_judged() {
    let bed = Bed::policies(&[SEALED]);
    let masqueraded = between(NODE, WEB).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.hand_over(&masqueraded, ENI).reason, Reason::NoRule);
    let from_another_pod = bed.hand_over(&masqueraded, bed.link("free"));
    assert_eq!(from_another_pod.reason, Reason::NoRule);
    let bed = Bed::policies(&[
        SEALED,
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/32}}]}]}",
    ]);
    assert_eq!(bed.hand_over(&masqueraded, ENI).reason, Reason::Rule);
}

#[test]
fn row_41c_a_flow_of_the_node_s_own_is_no_way_in_for_what_it_forwards() {
    let bed = Bed::policies(&[SEALED]);
    assert_eq!(bed.by_node(&between(NODE, WEB).tcp(1000, 80, SYN).frame()).reason, Reason::Node);
    let forwarded = between(NODE, WEB).tcp(1001, 80, SYN).frame();
    assert_eq!(bed.hand_over(&forwarded, ENI).reason, Reason::NoRule);
    // The same ports: a new connection is judged by where it comes from.
    let forwarded = between(NODE, WEB).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.hand_over(&forwarded, ENI).reason, Reason::NoRule);
}

#[test]
fn row_42_a_pod_reaches_itself() {
    let bed = Bed::policies(&[SEALED]);
    for pod in [WEB, "fd00::10"] {
        let trip = bed.send("web", &between(pod, pod).tcp(1000, 80, SYN).frame());
        assert_eq!(trip.reasons(), [Reason::Itself, Reason::Itself]);
    }
}

#[test]
fn row_42_a_stranger_with_the_pod_s_own_address_is_not_the_pod() {
    let bed = Bed::policies(&[SEALED]);
    for pod in [WEB, "fd00::10"] {
        let forged = between(pod, pod).udp(1000, 80).frame();
        assert_eq!(bed.arrive(&forged).reason, Reason::NoRule);
        assert_eq!(bed.hand_over(&forged, bed.link("free")).reason, Reason::NoRule);
    }
}

#[test]
fn row_43_and_44_another_node_is_an_address_like_any() {
    let bed = Bed::policies(&[SEALED]);
    let syn = between(FAR_NODE, WEB).tcp(1000, 80, SYN).frame();
    assert_eq!(bed.arrive(&syn).reason, Reason::NoRule);
    let bed = Bed::policies(&[
        SEALED,
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}]}",
    ]);
    assert_eq!(bed.arrive(&syn).reason, Reason::Rule);
    assert_eq!(bed.arrive(&between(FAR, WEB).tcp(1000, 80, SYN).frame()).reason, Reason::NoRule);
}

const METADATA: [&str; 2] = ["100.100.100.200", "169.254.169.254"];

#[test]
fn row_73_the_instance_metadata_is_an_address_like_any_while_the_switch_is_off() {
    let bed = Bed::policies(&[]);
    for address in METADATA {
        let get = between(WEB, address).tcp(1000, 80, SYN).frame();
        assert_eq!(bed.send("web", &get).reasons()[0], Reason::NotIsolated);
    }
    let all = "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}], policyTypes: [Egress]}";
    let but = "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [100.100.100.200/32]}}]}], policyTypes: [Egress]}";
    let get = between(WEB, METADATA[0]).tcp(1000, 80, SYN).frame();
    assert_eq!(Bed::policies(&[all]).send("web", &get).reasons()[0], Reason::Rule);
    assert_eq!(Bed::policies(&[but]).send("web", &get).reasons(), [Reason::NoRule]);
}

#[test]
fn row_73_the_switch_closes_the_metadata_to_all_pods_but_those_that_are_exempt() {
    let mut bed = Bed::policies(&["{podSelector: {}, egress: [{}], policyTypes: [Egress]}"]);
    let before = between(WEB, METADATA[0]).tcp(999, 80, SYN).frame();
    assert!(bed.send("web", &before).passed());
    bed.control(|control| control.flags |= CONTROL_BLOCK_METADATA);
    bed.mark("free", ENDPOINT_METADATA);
    for address in METADATA {
        let get = between(WEB, address).tcp(1000, 80, SYN).frame();
        assert_eq!(bed.send("web", &get).reasons(), [Reason::Metadata]);
        let get = between(crate::bed::FREE, address).tcp(1000, 80, SYN).frame();
        assert_eq!(bed.send("free", &get).reasons()[0], Reason::Rule);
    }
    let going_on = between(WEB, METADATA[0]).tcp(999, 80, ACK).frame();
    assert_eq!(
        bed.send("web", &going_on).reasons(),
        [Reason::Metadata],
        "what was open before is closed too"
    );
    let parts = between(WEB, METADATA[0]).udp(1000, 80).payload(&[0; 100]).fragments(1, 64);
    assert!(parts.iter().all(|part| bed.out("web", part).reason == Reason::Metadata));
    // No policy is needed for that.
    let mut bed = Bed::policies(&[]);
    bed.control(|control| control.flags = CONTROL_BLOCK_METADATA);
    assert_eq!(bed.send("web", &before).reasons(), [Reason::Metadata]);
}
