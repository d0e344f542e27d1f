//! Rows 1 to 13 and 18 to 19: which pods a policy isolates, and how its rules add up.

use crate::evaluator::{check, cluster, network_policy, policy};

#[test]
fn row_01_a_pod_that_no_policy_selects_is_open() {
    let all = ["a/client > a/server tcp/80", "8.8.8.8 > a/server udp/0", "a/server > 8.8.8.8 icmp"];
    check(&cluster(""), &all, &[]);
    check(&policy("{podSelector: {matchLabels: {app: nobody}}}"), &all, &[]);
}

#[test]
fn row_02_an_empty_pod_selector_is_the_whole_namespace_and_no_other() {
    let snapshot = policy("{podSelector: {}}");
    check(
        &snapshot,
        &["a/client > b/server tcp/80", "8.8.8.8 > b/client tcp/80"],
        &["b/client > a/server tcp/80", "b/client > a/client tcp/80", "8.8.8.8 > a/other tcp/80"],
    );
}

#[test]
fn row_03_ingress_without_rules_denies_all_ingress() {
    for ingress in ["", ", ingress: []"] {
        let snapshot = policy(&format!("{{podSelector: {{}}, policyTypes: [Ingress]{ingress}}}"));
        check(
            &snapshot,
            &["a/server > 8.8.8.8 tcp/443", "a/client > b/server tcp/80"],
            &["a/client > a/server tcp/80", "8.8.8.8 > a/server udp/53", "b/client > a/server sctp/1"],
        );
    }
}

#[test]
fn row_04_an_empty_ingress_rule_allows_all_ingress() {
    let snapshot = policy("{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}");
    check(
        &snapshot,
        &["a/client > a/server tcp/80", "8.8.8.8 > a/server icmp", "b/client > 6:a/server gre"],
        &[],
    );
}

#[test]
fn row_05_types_omitted_without_egress_rules_is_ingress() {
    for egress in ["", ", egress: []"] {
        let snapshot = policy(&format!("{{podSelector: {{}}{egress}}}"));
        check(&snapshot, &["a/server > 8.8.8.8 tcp/443"], &["8.8.8.8 > a/server tcp/443"]);
    }
}

#[test]
fn row_06_types_omitted_with_egress_rules_is_both() {
    let to_tcp = "egress: [{ports: [{port: 443}]}]";
    let snapshot = policy(&format!("{{podSelector: {{}}, {to_tcp}}}"));
    check(
        &snapshot,
        &["a/server > 8.8.8.8 tcp/443"],
        &["a/server > 8.8.8.8 tcp/80", "8.8.8.8 > a/server tcp/443"],
    );
    let snapshot = policy(&format!("{{podSelector: {{}}, {to_tcp}, ingress: [{{ports: [{{port: 80}}]}}]}}"));
    check(&snapshot, &["8.8.8.8 > a/server tcp/80"], &["8.8.8.8 > a/server tcp/443"]);
}

#[test]
fn row_07_rules_of_a_direction_that_types_leave_out_are_ignored() {
    let snapshot = policy("{podSelector: {}, policyTypes: [Egress], ingress: [{ports: [{port: 80}]}]}");
    check(&snapshot, &["8.8.8.8 > a/server tcp/22"], &["a/server > 8.8.8.8 tcp/80"]);
    let snapshot = policy("{podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 80}]}]}");
    check(&snapshot, &["a/server > 8.8.8.8 tcp/22"], &["8.8.8.8 > a/server tcp/80"]);
}

#[test]
fn row_08_egress_without_rules_denies_all_egress_and_dns() {
    for egress in ["", ", egress: []"] {
        let snapshot = policy(&format!("{{podSelector: {{}}, policyTypes: [Egress]{egress}}}"));
        check(
            &snapshot,
            &["8.8.8.8 > a/server tcp/80"],
            &[
                "a/server > kube-system/dns udp/53",
                "a/client > a/server tcp/80",
                "a/server > 8.8.8.8 tcp/443",
            ],
        );
    }
}

#[test]
fn row_09_no_peers_is_any_peer_on_the_ports() {
    for from in ["", "from: [], "] {
        let snapshot = policy(&format!("{{podSelector: {{}}, ingress: [{{{from}ports: [{{port: 80}}]}}]}}"));
        check(
            &snapshot,
            &["8.8.8.8 > a/server tcp/80", "b/client > a/server tcp/80", "6:b/client > 6:a/server tcp/80"],
            &["8.8.8.8 > a/server tcp/81"],
        );
    }
}

#[test]
fn row_10_no_ports_is_every_port_and_protocol() {
    for ports in ["", "ports: [], "] {
        let rule = format!("{{{ports}from: [{{podSelector: {{matchLabels: {{app: client}}}}}}]}}");
        let snapshot = policy(&format!("{{podSelector: {{}}, ingress: [{rule}]}}"));
        check(
            &snapshot,
            &["a/client > a/server tcp/0", "a/client > a/server udp/65535", "a/client > a/server icmp"],
            &["a/other > a/server tcp/80"],
        );
    }
}

#[test]
fn row_11_peers_and_ports_must_both_match() {
    let rule = "{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}";
    let snapshot = policy(&format!("{{podSelector: {{}}, ingress: [{rule}]}}"));
    check(
        &snapshot,
        &["a/client > a/server tcp/80"],
        &["a/client > a/server tcp/81", "a/other > a/server tcp/80", "8.8.8.8 > a/server tcp/80"],
    );
}

#[test]
fn row_12_one_of_two_peers_is_enough() {
    let peers =
        "[{podSelector: {matchLabels: {app: client}}}, {namespaceSelector: {matchLabels: {team: blue}}}]";
    let snapshot = policy(&format!("{{podSelector: {{}}, ingress: [{{from: {peers}}}]}}"));
    check(
        &snapshot,
        &["a/client > a/server tcp/80", "b/server > a/server tcp/80", "b/client > a/server tcp/80"],
        &["a/other > a/server tcp/80", "kube-system/dns > a/server tcp/80"],
    );
}

#[test]
fn row_13_both_selectors_of_one_peer_must_match() {
    let peer = "{podSelector: {matchLabels: {app: client}}, namespaceSelector: {matchLabels: {team: blue}}}";
    let snapshot = policy(&format!("{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}"));
    check(
        &snapshot,
        &["b/client > a/server tcp/80"],
        &["a/client > a/server tcp/80", "b/server > a/server tcp/80"],
    );
}

#[test]
fn row_18_policies_of_one_pod_add_up_in_any_order() {
    let client = "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}";
    let port = "{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{port: 80}]}]}";
    for (first, second) in [("p", "q"), ("q", "p")] {
        let both = network_policy("a", first, client) + &network_policy("a", second, port);
        check(
            &cluster(&both),
            &["a/client > a/server tcp/1", "8.8.8.8 > a/server tcp/80", "a/client > a/other tcp/1"],
            &["8.8.8.8 > a/server tcp/81", "8.8.8.8 > a/other tcp/80"],
        );
    }
}

#[test]
fn row_19_allow_all_beside_deny_all_allows() {
    for (deny, allow) in [("p", "q"), ("q", "p")] {
        let both = network_policy("a", deny, "{podSelector: {}}")
            + &network_policy("a", allow, "{podSelector: {}, ingress: [{}]}");
        check(&cluster(&both), &["8.8.8.8 > a/server tcp/80", "a/client > a/server icmp"], &[]);
    }
}
