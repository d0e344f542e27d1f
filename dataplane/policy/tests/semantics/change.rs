//! Rows 47 to 57: what holds after a change, and what names must not decide.

use crate::evaluator::{check, cluster, network_policy};

/// Servers of `a` take what clients of `a` and all of the blue team send.
fn rule() -> String {
    let peers =
        "[{podSelector: {matchLabels: {app: client}}}, {namespaceSelector: {matchLabels: {team: blue}}}]";
    let spec = format!("{{podSelector: {{matchLabels: {{app: server}}}}, ingress: [{{from: {peers}}}]}}");
    network_policy("a", "policy", &spec)
}

fn pod(namespace: &str, name: &str, labels: &str, ip: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}\n\
         spec: {{containers: []}}\nstatus: {{podIPs: [{{ip: {ip}}}]{rest}}}\n"
    )
}

fn namespace(name: &str, labels: &str) -> String {
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n")
}

#[test]
fn row_47_a_subject_with_new_labels_has_new_policies() {
    let from_other = "a/other > a/server tcp/80";
    check(&cluster(&rule()), &["8.8.8.8 > a/other tcp/80"], &[from_other]);
    let changed = rule()
        + &pod("a", "server", "{app: idle}", "10.0.1.1", "")
        + &pod("a", "other", "{app: server}", "10.0.1.3", "");
    check(&cluster(&changed), &[from_other], &["8.8.8.8 > a/other tcp/80"]);
}

#[test]
fn row_48_a_peer_with_new_labels_is_another_peer() {
    let (client, other) = ("a/client > a/server tcp/80", "a/other > a/server tcp/80");
    check(&cluster(&rule()), &[client], &[other]);
    let changed = rule()
        + &pod("a", "client", "{app: idle}", "10.0.1.2", "")
        + &pod("a", "other", "{app: client}", "10.0.1.3", "");
    check(&cluster(&changed), &[other], &[client]);
}

#[test]
fn row_49_a_namespace_with_new_labels_is_another_peer() {
    let (blue, dns) = ("b/client > a/server tcp/80", "kube-system/dns > a/server tcp/80");
    check(&cluster(&rule()), &[blue], &[dns]);
    let changed = rule() + &namespace("b", "{team: red}") + &namespace("kube-system", "{team: blue}");
    check(&cluster(&changed), &[dns], &[blue]);
    // The label that every namespace has is one like others.
    let by_name = network_policy(
        "a",
        "policy",
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]}]}",
    );
    check(&cluster(&by_name), &[blue], &[dns]);
    let renamed = by_name + &namespace("b", "{kubernetes.io/metadata.name: x}");
    check(&cluster(&renamed), &[], &[blue]);
}

#[test]
fn row_50_a_namespace_made_again_has_its_new_labels_only() {
    let gone = rule() + &namespace("b", "{}");
    check(&cluster(&gone), &[], &["b/client > a/server tcp/80"]);
}

#[test]
fn row_51_a_policy_that_changes_counts_as_it_is() {
    let changed =
        rule() + &network_policy("a", "policy", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}");
    check(&cluster(&changed), &["8.8.8.8 > a/server tcp/80"], &["a/client > a/server tcp/81"]);
}

#[test]
fn row_52_without_its_last_policy_a_pod_is_open_again() {
    let mut snapshot = cluster(&rule());
    check(&snapshot, &[], &["8.8.8.8 > a/server tcp/80"]);
    snapshot.policies.clear();
    check(&snapshot, &["8.8.8.8 > a/server tcp/80"], &[]);
}

#[test]
fn row_53_a_pod_made_after_its_policy_is_isolated() {
    let later = rule() + &pod("a", "later", "{app: server}", "10.0.1.9", "");
    check(&cluster(&later), &["a/client > a/later tcp/80"], &["8.8.8.8 > a/later tcp/80"]);
    // It has no address yet, or nobody has told: what goes from it is judged all the same.
    let early = network_policy("a", "policy", "{podSelector: {}, policyTypes: [Egress]}")
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: a}\nstatus: {podIPs: [{ip: 10.0.1.3}]}\n";
    check(&cluster(&early), &[], &["a/other > 8.8.8.8 tcp/80"]);
}

#[test]
fn row_54_an_address_is_the_running_pods_alone() {
    for phase in ["Succeeded", "Failed"] {
        let phase = format!(", phase: {phase}");
        // The finished pod would be allowed, the running one is not, and the other way round.
        let finished_client = rule() + &pod("a", "finished", "{app: client}", "10.0.1.3", &phase);
        check(&cluster(&finished_client), &[], &["a/other > a/server tcp/80"]);
        let finished_other = rule() + &pod("a", "finished", "{app: other}", "10.0.1.2", &phase);
        check(&cluster(&finished_other), &["a/client > a/server tcp/80"], &[]);
        // An address that only finished pods list is a stranger's.
        let alone = rule() + &pod("a", "finished", "{app: client}", "10.0.1.99", &phase);
        check(&cluster(&alone), &[], &["10.0.1.99 > a/server tcp/80"]);
        let block = network_policy(
            "a",
            "block",
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.99/32}}]}]}",
        );
        check(&cluster(&(alone + &block)), &["10.0.1.99 > a/server tcp/80"], &[]);
    }
}

#[test]
fn row_55_a_name_used_again_has_the_labels_of_the_new_pod() {
    let again = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: client, namespace: a, uid: second, labels: {app: x}}\n\
                 status: {podIPs: [{ip: 10.0.1.50}]}\n";
    check(&cluster(&(rule() + again)), &[], &["a/client > a/server tcp/80", "10.0.1.2 > a/server tcp/80"]);
}

#[test]
fn row_56_pods_with_a_common_beginning_are_different_pods() {
    let both = rule()
        + &pod("a", "a-b", "{app: client}", "10.0.1.60", "")
        + &pod("a", "a-c", "{app: x}", "10.0.1.61", "");
    check(&cluster(&both), &["a/a-b > a/server tcp/80"], &["a/a-c > a/server tcp/80"]);
}

#[test]
fn row_57_names_that_are_the_same_when_joined_are_different_names() {
    let both = namespace("a-b", "{}")
        + &pod("a-b", "c", "{app: client}", "10.0.1.70", "")
        + &pod("a", "b-c", "{app: client}", "10.0.1.71", "")
        + &rule();
    check(&cluster(&both), &["a/b-c > a/server tcp/80"], &["a-b/c > a/server tcp/80"]);
    let policies = both
        + &network_policy("a", "b-p", "{podSelector: {matchLabels: {app: client}}}")
        + &network_policy("a-b", "p", "{podSelector: {}, ingress: [{}]}");
    check(&cluster(&policies), &["8.8.8.8 > a-b/c tcp/80"], &["8.8.8.8 > a/b-c tcp/80"]);
}
