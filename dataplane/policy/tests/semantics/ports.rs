//! Rows 26 to 36 and 39: ports and protocols.

use std::fmt::Write as _;

use crate::evaluator::{check, cluster, network_policy, policy};
use terway_policy::model::Snapshot;

/// What comes to the pods of `a`, on ports.
fn on(ports: &str) -> Snapshot {
    policy(&format!("{{podSelector: {{}}, ingress: [{{ports: {ports}}}]}}"))
}

/// What goes from the clients of `a`, to peers on ports.
fn to(peers: &str, ports: &str) -> Snapshot {
    policy(&format!(
        "{{podSelector: {{matchLabels: {{app: client}}}}, policyTypes: [Egress],
           egress: [{{to: {peers}, ports: {ports}}}]}}"
    ))
}

#[test]
fn row_26_a_named_port_of_ingress_is_the_destination_pods() {
    let snapshot = on("[{port: http}]");
    check(
        &snapshot,
        &["8.8.8.8 > a/server tcp/8080", "b/client > 6:a/server tcp/8080"],
        // Nor is it the source's: b/server has the name with another number.
        &["b/server > a/server tcp/9090", "8.8.8.8 > a/server tcp/80", "8.8.8.8 > a/client tcp/8080"],
    );
    let sidecar = "
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: a}
spec:
  containers: [{name: main}]
  initContainers:
  - {name: side, restartPolicy: Always, ports: [{name: http, containerPort: 15000}]}
  - {name: once, ports: [{name: http, containerPort: 16000}]}
status: {podIPs: [{ip: 10.0.1.3}]}
";
    let rule = network_policy("a", "policy", "{podSelector: {}, ingress: [{ports: [{port: http}]}]}");
    let snapshot = cluster(&format!("{sidecar}{rule}"));
    check(&snapshot, &["8.8.8.8 > a/other tcp/15000"], &["8.8.8.8 > a/other tcp/16000"]);
    // Two containers with one name: both numbers, each with its own protocol.
    check(
        &on("[{port: both}]"),
        &["8.8.8.8 > a/server tcp/7000", "8.8.8.8 > a/server tcp/7001"],
        &["8.8.8.8 > a/server tcp/7002", "8.8.8.8 > a/server udp/7002"],
    );
}

#[test]
fn row_27_a_named_port_of_egress_is_each_destination_pods() {
    let snapshot = to("[{namespaceSelector: {}}]", "[{port: http}]");
    check(
        &snapshot,
        &["a/client > a/server tcp/8080", "a/client > b/server tcp/9090"],
        &[
            "a/client > a/server tcp/9090",
            "a/client > b/server tcp/8080",
            "a/client > kube-system/dns tcp/8080",
        ],
    );
    // Behind a block the pods are pods, and what is none has no names.
    let snapshot = to("[{ipBlock: {cidr: 0.0.0.0/0}}]", "[{port: http}]");
    check(
        &snapshot,
        &["a/client > a/server tcp/8080", "a/client > b/server tcp/9090"],
        &["a/client > a/server tcp/9090", "a/client > 8.8.8.8 tcp/8080", "6:a/client > 6:a/server tcp/8080"],
    );
    let snapshot = to("[]", "[{port: dns, protocol: UDP}]");
    check(
        &snapshot,
        &["a/client > a/server udp/53", "a/client > kube-system/dns udp/5353"],
        &["a/client > kube-system/dns udp/53", "a/client > 8.8.8.8 udp/53"],
    );
}

#[test]
fn row_28_a_name_that_the_pod_lacks_is_no_port_and_not_all() {
    check(&on("[{port: nothing}]"), &[], &["8.8.8.8 > a/server tcp/8080", "8.8.8.8 > a/server icmp"]);
    check(
        &on("[{port: nothing}, {port: 80}]"),
        &["8.8.8.8 > a/server tcp/80"],
        &["8.8.8.8 > a/server tcp/8080"],
    );
}

#[test]
fn row_29_a_name_with_another_protocol_is_no_port() {
    check(
        &on("[{port: http, protocol: UDP}]"),
        &[],
        &["8.8.8.8 > a/server udp/8080", "8.8.8.8 > a/server tcp/8080"],
    );
    check(&on("[{port: dns}]"), &[], &["8.8.8.8 > a/server udp/53", "8.8.8.8 > a/server tcp/53"]);
    check(
        &on("[{port: both, protocol: UDP}]"),
        &["8.8.8.8 > a/server udp/7002"],
        &["8.8.8.8 > a/server udp/7000", "8.8.8.8 > a/server tcp/7000"],
    );
}

#[test]
fn row_30_a_range_has_both_ends_and_needs_a_number() {
    check(
        &on("[{port: 32000, endPort: 32768}]"),
        &["8.8.8.8 > a/server tcp/32000", "8.8.8.8 > a/server tcp/32500", "8.8.8.8 > a/server tcp/32768"],
        &["8.8.8.8 > a/server tcp/31999", "8.8.8.8 > a/server tcp/32769", "8.8.8.8 > a/server udp/32500"],
    );
    check(
        &on("[{port: 80, endPort: 80}]"),
        &["8.8.8.8 > a/server tcp/80"],
        &["8.8.8.8 > a/server tcp/79", "8.8.8.8 > a/server tcp/81"],
    );
    // No API server stores these.
    for bad in ["{port: 81, endPort: 80}", "{port: http, endPort: 9000}", "{endPort: 9000}"] {
        let none = ["8.8.8.8 > a/server tcp/80", "8.8.8.8 > a/server tcp/81", "8.8.8.8 > a/server tcp/8080"];
        check(&on(&format!("[{bad}]")), &[], &none);
    }
}

#[test]
fn row_31_all_numbers_are_all_ports_but_zero() {
    let ends = ["8.8.8.8 > a/server udp/1", "8.8.8.8 > a/server udp/65535"];
    let zero = "8.8.8.8 > a/server udp/0";
    check(&on("[{protocol: UDP, port: 1, endPort: 65535}]"), &ends, &[zero]);
    check(&on("[{protocol: UDP}]"), &[ends[0], ends[1], zero], &[]);
}

#[test]
fn row_32_no_protocol_is_tcp() {
    check(
        &on("[{port: 53}]"),
        &["8.8.8.8 > a/server tcp/53"],
        &["8.8.8.8 > a/server udp/53", "8.8.8.8 > a/server sctp/53"],
    );
    check(
        &on("[{}]"),
        &["8.8.8.8 > a/server tcp/1"],
        &["8.8.8.8 > a/server udp/1", "8.8.8.8 > a/server icmp"],
    );
}

#[test]
fn row_33_a_protocol_without_port_is_all_its_ports_and_no_others() {
    check(
        &on("[{protocol: TCP}]"),
        &["8.8.8.8 > a/server tcp/0", "8.8.8.8 > a/server tcp/1", "8.8.8.8 > a/server tcp/65535"],
        &["8.8.8.8 > a/server udp/1", "8.8.8.8 > a/server sctp/1", "8.8.8.8 > a/server icmp"],
    );
}

#[test]
fn row_34_a_rule_for_one_protocol_admits_no_other() {
    for (name, own, others) in
        [("UDP", "udp", ["tcp", "sctp"]), ("SCTP", "sctp", ["tcp", "udp"]), ("TCP", "tcp", ["udp", "sctp"])]
    {
        let flow = |protocol| format!("8.8.8.8 > a/server {protocol}/80");
        let snapshot = on(&format!("[{{protocol: {name}, port: 80}}]"));
        check(&snapshot, &[&flow(own)], &[&flow(others[0]), &flow(others[1])]);
    }
}

#[test]
fn row_35_rules_for_sctp_alone_still_isolate() {
    check(
        &on("[{protocol: SCTP}]"),
        &["8.8.8.8 > a/server sctp/80"],
        &["8.8.8.8 > a/server tcp/80", "8.8.8.8 > a/server udp/80", "8.8.8.8 > a/server icmp"],
    );
}

#[test]
fn row_36_hundreds_of_ports_are_all_honoured() {
    let mut ports = String::new();
    for port in (1000..2000).step_by(2) {
        let _ = write!(ports, "{{port: {port}}}, ");
    }
    let snapshot = on(&format!("[{ports}]"));
    let flow = |port| format!("8.8.8.8 > a/server tcp/{port}");
    for port in (1000..2000).step_by(2) {
        check(&snapshot, &[&flow(port)], &[&flow(port + 1)]);
    }
}

#[test]
fn row_39_other_protocols_need_a_rule_without_ports() {
    let other = ["8.8.8.8 > a/server icmp", "8.8.8.8 > a/server gre", "2001:db8::1 > 6:a/server icmp6"];
    check(&policy("{podSelector: {}}"), &[], &other);
    check(&on("[{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]"), &[], &other);
    let snapshot = policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 8.8.8.8/32}}]}]}");
    check(&snapshot, &["8.8.8.8 > a/server icmp", "8.8.8.8 > a/server gre"], &["8.8.8.9 > a/server icmp"]);
}
