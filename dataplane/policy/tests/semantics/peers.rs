//! Rows 20 to 25, 43 to 46, 58, 71 and 73: addresses.

use crate::evaluator::{check, cluster, network_policy, policy};
use terway_policy::model::Snapshot;

/// All pods of `a`, with rules for what goes.
fn egress(rules: &str) -> Snapshot {
    policy(&format!("{{podSelector: {{}}, policyTypes: [Egress], egress: {rules}}}"))
}

/// All pods of `a`, with rules for what comes.
fn ingress(rules: &str) -> Snapshot {
    policy(&format!("{{podSelector: {{}}, policyTypes: [Ingress], ingress: {rules}}}"))
}

/// One rule for one block.
fn to(block: &str) -> Snapshot {
    egress(&format!("[{{to: [{{ipBlock: {block}}}]}}]"))
}

#[test]
fn row_20_a_hole_of_one_rule_is_none_of_another() {
    let snapshot = egress(
        "[{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 53, protocol: UDP}]},
          {to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]",
    );
    check(
        &snapshot,
        &["a/server > 10.9.9.9 udp/53", "a/server > 8.8.8.8 udp/53", "a/server > 8.8.8.8 tcp/80"],
        &["a/server > 10.9.9.9 udp/54", "a/server > 10.9.9.9 tcp/53"],
    );
}

#[test]
fn row_21_a_block_in_the_hole_of_another_counts() {
    let snapshot = egress(
        "[{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}, {to: [{ipBlock: {cidr: 10.9.0.0/16}}]}]",
    );
    check(
        &snapshot,
        &["a/server > 10.9.0.0 tcp/80", "a/server > 10.9.255.255 tcp/80", "a/server > 11.0.0.0 tcp/80"],
        &["a/server > 10.8.255.255 tcp/80", "a/server > 10.10.0.0 tcp/80"],
    );
    // The same within one rule, and with holes in each other.
    let snapshot = egress(
        "[{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.9.0.0/16, 10.9.1.0/24]}}, {ipBlock: {cidr: 10.9.1.0/24}}]}]",
    );
    check(&snapshot, &["a/server > 10.9.1.1 tcp/80"], &["a/server > 10.9.2.1 tcp/80"]);
}

#[test]
fn row_22_a_block_that_covers_pods_matches_them() {
    let block = "[{ipBlock: {cidr: 10.0.2.0/24}}]";
    check(
        &egress(&format!("[{{to: {block}}}]")),
        &["a/server > b/server tcp/80", "a/server > b/client tcp/80"],
        &["a/server > kube-system/dns udp/53", "a/client > a/server tcp/80"],
    );
    check(
        &ingress(&format!("[{{from: {block}}}]")),
        &["b/server > a/server tcp/80", "b/client > a/server tcp/80"],
        &["kube-system/dns > a/server udp/53", "a/client > a/server tcp/80"],
    );
}

#[test]
fn row_23_bits_of_the_host_do_not_count_and_what_is_no_cidr_matches_nothing() {
    check(
        &to("{cidr: 10.1.2.3/8, except: [10.200.9.9/16]}"),
        &["a/server > 10.0.0.0 tcp/80", "a/server > 10.255.255.255 tcp/80"],
        &["a/server > 10.200.0.0 tcp/80", "a/server > 10.200.255.255 tcp/80", "a/server > 11.0.0.0 tcp/80"],
    );
    check(&to("{cidr: 'fd00::9:9/112'}"), &["a/server > fd00::9:0 tcp/80"], &["a/server > fd00::a:0 tcp/80"]);
    for bad in ["010.0.0.0/8", "10.0.0.0/8 ", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/+8", "ten"]
    {
        check(&to(&format!("{{cidr: '{bad}'}}")), &[], &["a/server > 10.0.0.0 tcp/80"]);
        let hole = to(&format!("{{cidr: 0.0.0.0/0, except: ['{bad}', 9.0.0.0/8]}}"));
        check(&hole, &[], &["a/server > 10.0.0.0 tcp/80", "a/server > 8.8.8.8 tcp/80"]);
    }
}

#[test]
fn row_24_everything_of_one_family_is_nothing_of_the_other() {
    let (four, six) = ("a/server > 8.8.8.8 tcp/80", "a/server > 2001:db8::1 tcp/80");
    check(&to("{cidr: 0.0.0.0/0}"), &[four], &[six, "6:a/client > 6:b/server tcp/80"]);
    check(&to("{cidr: '::/0'}"), &[six, "6:a/client > 6:b/server tcp/80"], &[four]);
    check(&to("{cidr: 0.0.0.0/0, except: ['::/0']}"), &[four], &[six]);
}

#[test]
fn row_25_ipv4_in_ipv6_form_makes_a_block_match_nothing() {
    let none = ["a/server > 10.0.0.1 tcp/80", "a/server > fd00::1 tcp/80", "a/server > ::1 tcp/80"];
    for form in [
        "::ffff:10.0.0.0/104",
        "::ffff:10.0.0.1/128",
        "::ffff:a00:1/128",
        "::ffff:10.0.0.0/8",
        "::ffff:0:0/0",
    ] {
        check(&to(&format!("{{cidr: '{form}'}}")), &[], &none);
        check(&to(&format!("{{cidr: '::/0', except: ['{form}']}}")), &[], &none);
        check(&to(&format!("{{cidr: 0.0.0.0/0, except: ['{form}']}}")), &[], &none);
    }
}

#[test]
fn row_43_pods_on_the_hosts_network_are_addresses_of_their_node() {
    let snapshot = policy("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    check(&snapshot, &["8.8.8.8 > a/agent tcp/80", "a/agent > 8.8.8.8 tcp/80"], &[]);
    let selected =
        ingress("[{from: [{podSelector: {matchLabels: {app: client}}}, {namespaceSelector: {}}]}]");
    check(&selected, &["a/client > a/server tcp/80"], &["192.168.0.1 > a/server tcp/80"]);
    let covered = ingress("[{from: [{ipBlock: {cidr: 192.168.0.1/32}}]}]");
    check(&covered, &["192.168.0.1 > a/server tcp/80"], &["192.168.0.2 > a/server tcp/80"]);
    // Nor do names of their ports resolve, even where their address is covered.
    let named = egress("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]");
    check(&named, &["a/client > a/server tcp/8080"], &["a/client > 192.168.0.1 tcp/8080"]);
}

#[test]
fn row_44_another_node_is_an_address() {
    let snapshot = ingress("[{from: [{ipBlock: {cidr: 192.168.0.0/24}}]}]");
    check(&snapshot, &["192.168.0.7 > a/server tcp/80"], &["192.168.1.7 > a/server tcp/80"]);
    check(&ingress("[{from: [{namespaceSelector: {}}]}]"), &[], &["192.168.0.7 > a/server tcp/80"]);
}

#[test]
fn row_45_a_service_is_judged_by_the_backend_that_was_chosen() {
    let service = "a/client > 172.30.0.10 tcp/80";
    let backends = egress("[{to: [{podSelector: {matchLabels: {app: server}}}], ports: [{port: 8080}]}]");
    check(&backends, &["a/client > a/server tcp/8080"], &["a/client > b/server tcp/8080", service]);
    // A rule for the service's own address is one for an address that no judged packet has.
    check(&to("{cidr: 172.30.0.10/32}"), &[service], &["a/client > a/server tcp/8080"]);
}

#[test]
fn row_46_what_comes_through_a_node_port_is_from_whom_the_pod_sees() {
    let (client, node) = ("8.8.8.8 > a/server tcp/8080", "192.168.0.2 > a/server tcp/8080");
    check(&ingress("[{from: [{ipBlock: {cidr: 8.8.8.8/32}}]}]"), &[client], &[node]);
    check(&ingress("[{from: [{ipBlock: {cidr: 192.168.0.0/24}}]}]"), &[node], &[client]);
}

#[test]
fn row_58_both_families_of_a_pod_are_enforced() {
    let snapshot = ingress("[{from: [{podSelector: {matchLabels: {app: client}}}]}]");
    check(
        &snapshot,
        &["a/client > a/server tcp/80", "6:a/client > 6:a/server tcp/80"],
        &["a/other > a/server tcp/80", "6:a/other > 6:a/server tcp/80", "2001:db8::1 > 6:a/server tcp/80"],
    );
}

#[test]
fn row_71_one_block_with_different_ports_in_two_policies_has_both() {
    let spec = |port| {
        format!(
            "{{podSelector: {{}}, policyTypes: [Egress],
               egress: [{{to: [{{ipBlock: {{cidr: 10.9.0.0/16}}}}], ports: [{{port: {port}}}]}}]}}"
        )
    };
    for (first, second) in [("p", "q"), ("q", "p")] {
        let both = network_policy("a", first, &spec(80)) + &network_policy("a", second, &spec(443));
        check(
            &cluster(&both),
            &["a/server > 10.9.1.1 tcp/80", "a/server > 10.9.1.1 tcp/443"],
            &["a/server > 10.9.1.1 tcp/81", "a/server > 10.8.1.1 tcp/80"],
        );
    }
}

#[test]
fn row_73_the_metadata_service_is_an_address_like_others() {
    let metadata = ["a/server > 100.100.100.200 tcp/80", "a/server > 169.254.169.254 tcp/80"];
    check(&to("{cidr: 0.0.0.0/0}"), &metadata, &[]);
    let without = to("{cidr: 0.0.0.0/0, except: [100.100.100.200/32, 169.254.169.254/32]}");
    check(&without, &["a/server > 100.100.100.201 tcp/80"], &metadata);
}
