//! Policies that change under flows, and endpoints whose policy is not known, or that are not there.

use terway_policy::{
    layout::Control,
    packet::tcp::{ACK, SYN},
    verdict::Reason,
};

use crate::bed::{Bed, DB, FREE, NODE, STRANGER, WEB, between};

const OPEN: &str = "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}";
const CLOSED: &str = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}";

#[test]
fn row_51_established_flows_are_judged_again_and_cut() {
    let mut bed = Bed::policies(&[OPEN]);
    let come = |flags| between(STRANGER, WEB).tcp(1000, 80, flags).frame();
    let answer = between(WEB, STRANGER).tcp(80, 1000, ACK).frame();
    assert_eq!(bed.arrive(&come(SYN)).reason, Reason::Rule);
    assert!(bed.send("web", &answer).passed());
    bed.set_policy(0, CLOSED);
    let cut = bed.arrive(&come(ACK));
    assert_eq!(cut.reason, Reason::NoRule);
    assert_eq!(bed.send("web", &answer).reasons(), [Reason::NoRule], "answers go with it");
    // What is denied is counted by rule, each packet.
    let counted = bed.counted(&cut);
    assert_eq!(counted, 2);
    bed.arrive(&come(ACK));
    assert_eq!(bed.counted(&cut), counted + 1);
    // And back: nothing is remembered of the denial.
    bed.set_policy(0, OPEN);
    assert_eq!(bed.arrive(&come(ACK)).reason, Reason::Established);
}

#[test]
fn row_51_flows_that_old_and_new_policy_allow_go_on() {
    let mut bed = Bed::policies(&[OPEN]);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, SYN).frame()).reason, Reason::Rule);
    bed.set_policy(
        0,
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}",
    );
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, ACK).frame()).reason, Reason::Established);
    assert_eq!(bed.flows("web")[0].1.epoch, bed.endpoint_mut("web").epoch, "judged once, not each time");
    bed.remove_policy(0);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, ACK).frame()).reason, Reason::Established);
}

#[test]
fn row_51_a_flow_that_the_pod_opened_is_judged_by_its_egress() {
    let mut bed = Bed::policies(&[CLOSED]);
    let go = |flags| between(WEB, STRANGER).tcp(1000, 443, flags).frame();
    let back = between(STRANGER, WEB).tcp(443, 1000, ACK).frame();
    assert!(bed.send("web", &go(SYN)).passed());
    bed.set_policy(
        1,
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}",
    );
    assert_eq!(bed.arrive(&back).reason, Reason::Established);
    bed.set_policy(
        1,
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}",
    );
    assert_eq!(bed.arrive(&back).reason, Reason::NoRule);
    assert_eq!(bed.send("web", &go(ACK)).reasons(), [Reason::NoRule]);
}

#[test]
fn row_51_kept_flows_stay_and_new_ones_are_judged() {
    let mut bed = Bed::policies(&[OPEN]);
    bed.keep_established();
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, SYN).frame()).reason, Reason::Rule);
    bed.set_policy(0, CLOSED);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, ACK).frame()).reason, Reason::Established);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1001, 80, SYN).frame()).reason, Reason::NoRule);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, SYN).frame()).reason, Reason::NoRule);
}

#[test]
fn row_51_an_error_about_a_flow_that_was_cut_is_unrelated() {
    let mut bed = Bed::policies(&[OPEN]);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1000, 80, SYN).frame()).reason, Reason::Rule);
    let answer = between(WEB, STRANGER).tcp(80, 1000, ACK).frame();
    let error = between("192.0.2.254", WEB).about(3, 4, &answer).frame();
    assert_eq!(bed.arrive(&error).reason, Reason::Related);
    bed.set_policy(0, CLOSED);
    assert_eq!(bed.arrive(&error).reason, Reason::Unrelated);
}

const FROM_FREE: &str = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: free}}}]}]}";

#[test]
fn row_48_and_51_a_peer_that_changes_its_labels_loses_its_flows_and_others_keep_theirs() {
    let both = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: free}}}, {podSelector: {matchLabels: {app: db}}}]}]}";
    let mut bed = Bed::policies(&[both]);
    let epoch = bed.endpoint_mut("web").epoch;
    let other = bed.endpoint_mut("db").epoch;
    assert!(bed.send("free", &between(FREE, WEB).tcp(1000, 80, SYN).frame()).passed());
    assert!(bed.send("db", &between(DB, WEB).tcp(1000, 80, SYN).frame()).passed());
    bed.apply("{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: free, labels: {app: other}}, status: {podIPs: [{ip: 10.0.0.12}, {ip: 'fd00::12'}]}}");
    assert_ne!(bed.endpoint_mut("web").epoch, epoch, "what was judged is judged again");
    assert_eq!(bed.endpoint_mut("db").epoch, other, "nobody's verdict at this one has changed");
    let trip = bed.send("free", &between(FREE, WEB).tcp(1000, 80, ACK).frame());
    assert_eq!(trip.reasons().last(), Some(&Reason::NoRule));
    let trip = bed.send("db", &between(DB, WEB).tcp(1000, 80, ACK).frame());
    assert_eq!(trip.reasons().last(), Some(&Reason::Established));
}

#[test]
fn row_48_a_label_that_no_rule_mentions_changes_nothing() {
    let mut bed = Bed::policies(&[FROM_FREE]);
    let epoch = bed.endpoint_mut("web").epoch;
    bed.apply("{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: free, labels: {app: free, color: blue}}, status: {podIPs: [{ip: 10.0.0.12}, {ip: 'fd00::12'}]}}");
    assert_eq!(bed.endpoint_mut("web").epoch, epoch);
}

#[test]
fn row_51_while_a_change_is_under_way_both_rule_sets_must_allow() {
    let mut bed = Bed::policies(&[OPEN]);
    let before = *bed.endpoint_mut("web");
    bed.stage(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p0}, spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 81}, {port: 82}]}]}}",
    );
    // Its tables are there, the endpoint is not moved yet.
    let publication = bed.nodes[0].compiler.publish().expect("it fits");
    publication.phases[0].iter().for_each(|op| bed.nodes[0].memory.apply(op));
    let after = *bed.endpoint_mut("web");
    assert_ne!(before.rules, after.rules);
    let syn = |port| between(STRANGER, WEB).tcp(1000, port, SYN).frame();
    let reason = |bed: &Bed, port| bed.arrive(&syn(port)).reason;

    *bed.endpoint_mut("web") =
        terway_policy::layout::Endpoint { next: after.rules, next_view: after.view, ..before };
    assert_eq!(reason(&bed, 80), Reason::NoRule, "only the old one allows it");
    assert_eq!(reason(&bed, 81), Reason::NoRule, "only the new one allows it");
    *bed.endpoint_mut("web") = after;
    assert_eq!((reason(&bed, 80), reason(&bed, 81)), (Reason::NoRule, Reason::Rule));
    *bed.endpoint_mut("web") =
        terway_policy::layout::Endpoint { next: after.rules, next_view: after.view, ..after };
    assert_eq!(reason(&bed, 82), Reason::Rule, "both allow it");
}

#[test]
fn row_51_a_pod_that_is_about_to_be_isolated_is_so_while_the_change_is_under_way() {
    let mut bed = Bed::policies(&[OPEN]);
    let isolated = bed.endpoint_mut("web").rules;
    let free = bed.endpoint_mut("free");
    assert_eq!(free.rules[0], 0);
    free.next = isolated;
    free.next_view = free.view;
    assert_eq!(bed.arrive(&between(STRANGER, FREE).tcp(1000, 80, SYN).frame()).reason, Reason::Rule);
    assert_eq!(bed.arrive(&between(STRANGER, FREE).tcp(1000, 81, SYN).frame()).reason, Reason::NoRule);
}

#[test]
fn row_53_and_69_a_locked_endpoint_has_its_node_and_itself_alone() {
    let mut bed = Bed::policies(&[]);
    bed.lock("free");
    assert_eq!(bed.arrive(&between(STRANGER, FREE).tcp(1000, 80, SYN).frame()).reason, Reason::Locked);
    assert_eq!(
        bed.send("web", &between(WEB, FREE).udp(1, 53).frame()).reasons().last(),
        Some(&Reason::Locked)
    );
    assert_eq!(bed.send("free", &between(FREE, STRANGER).udp(1, 53).frame()).reasons(), [Reason::Locked]);
    assert_eq!(bed.arrive(&between(STRANGER, FREE).ping(1, 1).frame()).reason, Reason::Locked);
    let frame = between(STRANGER, FREE).udp(1, 53).payload(&[0; 100]).fragments(1, 64);
    assert_eq!(bed.arrive(&frame[0]).reason, Reason::Locked);
    assert_eq!(bed.arrive(&frame[1]).reason, Reason::UnknownFragment);

    assert_eq!(bed.by_node(&between(NODE, FREE).tcp(1000, 80, SYN).frame()).reason, Reason::Node);
    assert_eq!(
        bed.send("free", &between(FREE, NODE).tcp(80, 1000, ACK).frame()).reasons(),
        [Reason::Established]
    );
    assert_eq!(bed.send("free", &between(FREE, FREE).udp(1, 2).frame()).reasons(), [Reason::Itself; 2]);
    // A service's address is no way out either.
    bed.translate();
    assert_eq!(bed.send("free", &between(FREE, "172.16.0.1").udp(1, 53).frame()).reasons(), [Reason::Locked]);
    // Nor is a program that tracks nothing yet.
    bed.control(|control| control.flags = 0);
    assert_eq!(bed.arrive(&between(STRANGER, FREE).tcp(1000, 80, SYN).frame()).reason, Reason::Locked);
}

#[test]
fn row_53_a_pod_that_the_compiler_does_not_know_is_locked_until_it_does() {
    let mut bed = Bed::policies(&[]);
    let spec = terway_policy::compile::EndpointSpec {
        pod: terway_policy::model::Name::new("a", "new"),
        ips: vec![crate::bed::at("10.0.0.99")],
        flags: 0,
    };
    bed.nodes[0].compiler.set_endpoint(99, spec);
    bed.publish();
    let syn = between(STRANGER, "10.0.0.99").tcp(1000, 80, SYN).frame();
    let ask = |bed: &Bed| {
        let mut context = terway_policy::verdict::Context { link: 99, came_by: 2, mark: 0 };
        terway_policy::verdict::to_pod(&bed.nodes[0].memory, &*syn, &mut context).reason
    };
    assert_eq!(ask(&bed), Reason::Locked);
    bed.apply("{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: new}, status: {podIPs: [{ip: 10.0.0.99}]}}");
    assert_eq!(ask(&bed), Reason::NotIsolated);
}

#[test]
fn row_69_a_link_that_is_no_endpoint_s_passes_nothing() {
    let mut bed = Bed::policies(&[]);
    bed.forget("free");
    assert_eq!(bed.arrive(&between(STRANGER, FREE).tcp(1, 80, SYN).frame()).reason, Reason::UnknownEndpoint);
    assert_eq!(bed.by_node(&between(NODE, FREE).tcp(1, 80, SYN).frame()).reason, Reason::UnknownEndpoint);
    assert_eq!(bed.out("free", &between(FREE, NODE).tcp(1, 80, SYN).frame()).reason, Reason::UnknownEndpoint);
    assert_eq!(bed.nodes[0].memory.drops().get(&(Reason::UnknownEndpoint as u32)), Some(&3));
}

#[test]
fn row_69_a_rule_set_that_is_not_there_denies() {
    let mut bed = Bed::policies(&[OPEN]);
    let id = bed.endpoint_mut("web").rules[0];
    bed.nodes[0].memory.rules.remove(&id);
    assert_eq!(bed.arrive(&between(STRANGER, WEB).tcp(1, 80, SYN).frame()).reason, Reason::Closed);
    assert_eq!(bed.by_node(&between(NODE, WEB).tcp(1, 80, SYN).frame()).reason, Reason::Node);
}

#[test]
fn without_any_policy_nothing_is_tracked_and_everything_passes() {
    let mut bed = Bed::policies(&[]);
    bed.control(|control| *control = Control { hz: 100, ..Control::default() });
    let trip = bed.send("web", &between(WEB, DB).tcp(1, 80, SYN).frame());
    assert_eq!(trip.reasons(), [Reason::NotIsolated; 2]);
    assert!(bed.flows("web").is_empty() && bed.flows("db").is_empty());
}
