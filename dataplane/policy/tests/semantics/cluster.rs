//! Row 74 and what the table says of ClusterNetworkPolicy below it.

use crate::evaluator::{check, cluster, network_policy};
use terway_policy::model::ClusterPeer;

/// A manifest of a ClusterNetworkPolicy for all pods of `a`.
fn tiered(name: &str, tier: &str, priority: u32, rules: &str) -> String {
    about("{namespaces: {matchLabels: {kubernetes.io/metadata.name: a}}}", name, tier, priority, rules)
}

fn about(subject: &str, name: &str, tier: &str, priority: u32, rules: &str) -> String {
    format!(
        "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{tier: {tier}, priority: {priority}, subject: {subject}, {rules}}}\n"
    )
}

/// Rules for what comes from the blue team.
fn from_blue(action: &str) -> String {
    format!("ingress: [{{action: {action}, from: [{{namespaces: {{matchLabels: {{team: blue}}}}}}]}}]")
}

const BLUE: &str = "b/client > a/server tcp/80";
const RED: &str = "a/client > a/server tcp/80";

#[test]
fn row_74_a_peer_with_no_known_field_closes_its_rule() {
    for unknown in ["{}", "{services: {}}"] {
        let rule = |action| {
            let peers = format!("[{unknown}, {{namespaces: {{}}}}]");
            tiered("p", "Admin", 1, &format!("ingress: [{{action: {action}, from: {peers}}}]"))
        };
        let deny = network_policy("a", "deny", "{podSelector: {}}");
        check(&cluster(&(rule("Accept") + &deny)), &["a/server > 8.8.8.8 tcp/80"], &[BLUE, RED]);
        for action in ["Deny", "Pass"] {
            check(
                &cluster(&rule(action)),
                &["a/server > 8.8.8.8 tcp/80"],
                &[BLUE, RED, "8.8.8.8 > a/server icmp"],
            );
        }
    }
    for unknown in ["{nodes: {}}", "{domainNames: [example.org]}"] {
        let rule =
            |action| tiered("p", "Admin", 1, &format!("egress: [{{action: {action}, to: [{unknown}]}}]"));
        check(&cluster(&rule("Accept")), &["a/server > 8.8.8.8 tcp/80"], &[]);
        check(&cluster(&rule("Deny")), &[BLUE], &["a/server > 8.8.8.8 tcp/80"]);
    }
    // So does a protocol.
    let rule = |action| {
        let rule = format!(
            "{{action: {action}, from: [{{namespaces: {{}}}}], protocols: [{{icmp: {{}}}}, {{tcp: {{}}}}]}}"
        );
        tiered("p", "Admin", 1, &format!("ingress: [{rule}]"))
    };
    let deny = network_policy("a", "deny", "{podSelector: {}}");
    check(&cluster(&(rule("Accept") + &deny)), &[], &[RED]);
    check(&cluster(&rule("Deny")), &[], &[RED, "8.8.8.8 > a/server udp/1"]);
}

#[test]
fn a_rule_without_peers_or_with_networks_that_send_closes_as_row_74_does() {
    for peers in ["[]", "[{networks: [10.0.2.0/24]}]"] {
        let rule = |action| {
            tiered("p", "Admin", 1, &format!("ingress: [{{action: {action}, from: {peers}}}]"))
                + &network_policy("a", "deny", "{podSelector: {matchLabels: {app: other}}}")
        };
        check(&cluster(&rule("Accept")), &[RED], &["b/client > a/other tcp/80"]);
        check(&cluster(&rule("Pass")), &["a/client > 8.8.8.8 tcp/80"], &[RED, BLUE]);
    }
    // Nor do networks that came into the model some other way.
    let mut snapshot = cluster(&tiered("p", "Admin", 1, &from_blue("Deny")));
    check(&snapshot, &[RED], &[BLUE]);
    for policy in snapshot.cluster_policies.values_mut() {
        policy.ingress[0].peers = vec![ClusterPeer::Networks(vec!["10.0.2.0/24".into()])];
    }
    check(&snapshot, &[], &[RED, BLUE]);
}

#[test]
fn admin_decides_before_network_policies_and_they_before_baseline() {
    let deny = network_policy("a", "deny", "{podSelector: {}}");
    let allow = network_policy("a", "allow", "{podSelector: {}, ingress: [{}]}");
    let with = |tier, action, policy: &str| cluster(&(tiered("p", tier, 1, &from_blue(action)) + policy));
    check(&with("Admin", "Accept", &deny), &[BLUE], &[RED]);
    check(&with("Admin", "Deny", &allow), &[RED], &[BLUE]);
    check(&with("Admin", "Deny", ""), &[RED], &[BLUE]);
    check(&with("Baseline", "Deny", &allow), &[RED, BLUE], &[]);
    check(&with("Baseline", "Accept", &deny), &[], &[RED, BLUE]);
    check(&with("Baseline", "Deny", ""), &[RED], &[BLUE]);
    // Isolated in the other direction is not isolated in this.
    let other = network_policy("a", "other", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}");
    check(&with("Baseline", "Deny", &other), &[RED], &[BLUE]);
}

#[test]
fn pass_leaves_its_tier_and_what_comes_after_it_there() {
    let pass = tiered("a", "Admin", 1, &from_blue("Pass")) + &tiered("b", "Admin", 2, &from_blue("Deny"));
    check(&cluster(&pass), &[BLUE], &[]);
    check(&cluster(&(pass.clone() + &network_policy("a", "deny", "{podSelector: {}}"))), &[], &[BLUE]);
    check(&cluster(&(pass + &tiered("c", "Baseline", 1, &from_blue("Deny")))), &[RED], &[BLUE]);
    let baseline =
        tiered("a", "Baseline", 1, &from_blue("Pass")) + &tiered("b", "Baseline", 2, &from_blue("Deny"));
    check(&cluster(&baseline), &[BLUE], &[]);
}

#[test]
fn the_lower_priority_goes_first_then_the_name_then_the_order_of_rules() {
    let two = |first: (&str, u32, &str), second: (&str, u32, &str)| {
        let policy = |(name, priority, action)| tiered(name, "Admin", priority, &from_blue(action));
        cluster(&(policy(first) + &policy(second)))
    };
    check(&two(("z", 0, "Accept"), ("a", 1, "Deny")), &[BLUE], &[]);
    check(&two(("z", 1000, "Accept"), ("a", 999, "Deny")), &[], &[BLUE]);
    check(&two(("a", 5, "Accept"), ("b", 5, "Deny")), &[BLUE], &[]);
    check(&two(("b", 5, "Accept"), ("a", 5, "Deny")), &[], &[BLUE]);
    let rules = "ingress: [
      {action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}}],
       protocols: [{tcp: {destinationPort: {number: 80}}}]},
      {action: Deny, from: [{namespaces: {}}]}]";
    check(
        &cluster(&tiered("p", "Admin", 1, rules)),
        &[BLUE, RED],
        &["b/server > a/server tcp/80", "a/client > a/server tcp/81"],
    );
}

#[test]
fn a_subject_is_pods_of_namespaces_and_never_of_the_hosts_network() {
    let deny = "ingress: [{action: Deny, from: [{namespaces: {}}]}], egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]";
    let subject = "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {tier: back}}}}";
    check(
        &cluster(&about(subject, "p", "Admin", 1, deny)),
        &["a/client > a/other tcp/80", "a/client > 8.8.8.8 tcp/80"],
        &["a/client > a/server tcp/80", "a/client > b/server tcp/80", "a/server > 8.8.8.8 tcp/80"],
    );
    let all = cluster(&about("{namespaces: {}}", "p", "Admin", 1, deny));
    // Nor are these peers; the strangers' address is none of a pod.
    check(
        &all,
        &["a/agent > 8.8.8.8 tcp/80", "192.168.0.1 > a/server tcp/80", "8.8.8.8 > a/server tcp/80"],
        &[RED],
    );
    check(&cluster(&about("{}", "p", "Admin", 1, deny)), &[RED, "a/server > 8.8.8.8 tcp/80"], &[]);
}

#[test]
fn networks_cover_pods_too_and_ports_have_ranges_and_names() {
    let networks = "egress: [{action: Deny, to: [{networks: [10.0.2.0/24, 8.0.0.0/8, nonsense]}]}]";
    check(
        &cluster(&tiered("p", "Admin", 1, networks)),
        &["a/client > a/server tcp/80", "a/client > 9.9.9.9 tcp/80"],
        &["a/client > b/server tcp/80", "a/client > 8.8.8.8 icmp"],
    );
    let deny = |protocols: &str| {
        let rule = format!("{{action: Deny, to: [{{namespaces: {{}}}}], protocols: {protocols}}}");
        cluster(&tiered("p", "Admin", 1, &format!("egress: [{rule}]")))
    };
    check(
        &deny("[{udp: {destinationPort: {range: {start: 50, end: 60}}}}]"),
        &["a/client > a/server udp/49", "a/client > a/server udp/61", "a/client > a/server tcp/55"],
        &["a/client > a/server udp/50", "a/client > a/server udp/60"],
    );
    check(&deny("[{sctp: {}}]"), &["a/client > a/server tcp/0"], &["a/client > a/server sctp/0"]);
    // A name stands for whatever protocol the pod declares it with.
    check(
        &deny("[{destinationNamedPort: both}]"),
        &["a/client > a/server tcp/7002", "a/client > a/server udp/7000", "a/client > b/server tcp/7000"],
        &["a/client > a/server tcp/7000", "a/client > a/server tcp/7001", "a/client > a/server udp/7002"],
    );
}
