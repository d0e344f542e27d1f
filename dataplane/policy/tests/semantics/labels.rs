//! Rows 14 to 17 and 72: selectors.

use crate::evaluator::{check, policy};

fn from(peer: &str) -> terway_policy::model::Snapshot {
    policy(&format!("{{podSelector: {{matchLabels: {{app: server}}}}, ingress: [{{from: [{peer}]}}]}}"))
}

#[test]
fn row_14_an_empty_namespace_selector_is_all_namespaces_and_its_own() {
    check(
        &from("{namespaceSelector: {}}"),
        &["a/client > a/server tcp/80", "b/client > a/server tcp/80", "kube-system/dns > a/server udp/1"],
        &["8.8.8.8 > a/server tcp/80"],
    );
}

#[test]
fn row_15_a_pod_selector_alone_is_the_policys_namespace() {
    check(
        &from("{podSelector: {matchLabels: {app: client}}}"),
        &["a/client > a/server tcp/80"],
        &["b/client > a/server tcp/80", "a/other > a/server tcp/80"],
    );
    check(&from("{podSelector: {}}"), &["a/other > a/server tcp/80"], &["b/client > a/server tcp/80"]);
}

#[test]
fn row_16_an_empty_pod_selector_beside_namespaces_is_all_their_pods() {
    check(
        &from("{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {}}"),
        &["b/client > a/server tcp/80", "b/server > a/server tcp/80"],
        &["a/client > a/server tcp/80", "kube-system/dns > a/server tcp/80"],
    );
}

#[test]
fn row_17_operators_and_objects_that_lack_the_key() {
    // Of a/client only it has tier front; a/other has no tier.
    let by = |expression: &str| from(&format!("{{podSelector: {{matchExpressions: [{expression}]}}}}"));
    let (client, other) = ("a/client > a/server tcp/80", "a/other > a/server tcp/80");
    check(&by("{key: tier, operator: In, values: [front, x]}"), &[client], &[other]);
    check(&by("{key: tier, operator: In, values: [x]}"), &[], &[client, other]);
    check(&by("{key: tier, operator: NotIn, values: [front]}"), &[other], &[client]);
    check(&by("{key: tier, operator: NotIn, values: [back]}"), &[client, other], &[]);
    check(&by("{key: tier, operator: Exists}"), &[client], &[other]);
    check(&by("{key: tier, operator: DoesNotExist}"), &[other], &[client]);
    let both = "{key: tier, operator: Exists}, {key: app, operator: NotIn, values: [client]}";
    check(&by(both), &[], &[client, other]);
    check(&by("{key: tier, operator: Near}"), &[], &[client, other]);
    let namespaces =
        "{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [blue]}]}}";
    check(
        &from(namespaces),
        &["kube-system/dns > a/server tcp/80", client],
        &["b/client > a/server tcp/80", "8.8.8.8 > a/server tcp/80"],
    );
}

#[test]
fn row_72_a_selector_that_matches_nothing_makes_a_rule_that_does_not() {
    check(
        &from("{podSelector: {matchLabels: {app: nobody}}}"),
        &[],
        &["a/client > a/server tcp/80", "8.8.8.8 > a/server tcp/80"],
    );
    check(
        &from("{namespaceSelector: {matchLabels: {team: nobody}}}"),
        &[],
        &["a/client > a/server tcp/80", "b/client > a/server tcp/80"],
    );
    check(&from("{}"), &[], &["a/client > a/server tcp/80", "8.8.8.8 > a/server tcp/80"]);
}
