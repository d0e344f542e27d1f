//! Policies and labels, drawn from the seed.

use serde_json::{Value, json};
use terway_chaos::draw;

use crate::scenario::PolicySpec;

/// Kinds of policies that are drawn in turn.
const KINDS: u32 = 8;
/// Ports that rules name, and that flows are asked with.
pub(super) const PORTS: [u16; 6] = [53, 80, 443, 5432, 8080, 9090];

/// Names of the namespaces of a run.
pub(super) fn namespace(number: u32) -> String {
    format!("team-{number}")
}

/// The namespace of a pod, by its name.
pub(super) fn namespace_of(seed: u64, spec: &PolicySpec, pod: &str) -> String {
    namespace((draw::hash(seed, "namespace", pod) % u64::from(spec.namespaces)) as u32)
}

/// Labels of a pod; `turn` counts how often they were drawn anew.
pub(super) fn labels(seed: u64, spec: &PolicySpec, pod: &str, turn: u32) -> [(String, String); 2] {
    let drawn = |purpose: &str, of: u32| draw::hash(seed, purpose, &format!("{pod}#{turn}")) % u64::from(of);
    [
        ("app".into(), format!("app-{}", drawn("app", spec.apps))),
        ("tier".into(), format!("tier-{}", drawn("tier", 4))),
    ]
}

/// A policy's spec; `turn` counts how often it was edited.
pub(super) fn policy(seed: u64, spec: &PolicySpec, number: u32, turn: u32) -> Value {
    let drawn = |purpose: &str, of: u32| {
        (draw::hash(seed, purpose, &format!("policy-{number}#{turn}")) % u64::from(of.max(1))) as u32
    };
    let app = |purpose: &str| json!({"matchLabels": {"app": format!("app-{}", drawn(purpose, spec.apps))}});
    let port = |purpose: &str| PORTS[drawn(purpose, PORTS.len() as u32) as usize];
    let subject = app("subject");
    match number % KINDS {
        // The namespace's default; few, or nothing else would be seen.
        0 if number < spec.namespaces * KINDS => json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
        0 | 1 => json!({"podSelector": subject, "ingress": [
            {"from": [{"podSelector": app("peer")}, {"podSelector": app("other")}], "ports": [{"port": port("port")}]},
        ]}),
        2 => json!({"podSelector": subject, "ingress": [
            {"from": [{"namespaceSelector": {"matchLabels": {"team": namespace(drawn("team", spec.namespaces))}}}]},
            {"from": [{"namespaceSelector": {}, "podSelector": app("peer")}], "ports": [{"port": port("port")}, {"protocol": "UDP", "port": 53}]},
        ]}),
        3 => json!({"podSelector": subject, "policyTypes": ["Egress"], "egress": [
            {"to": [{"namespaceSelector": {}, "podSelector": app("peer")}]},
            {"ports": [{"protocol": "UDP", "port": 53}, {"port": 53}]},
        ]}),
        4 => json!({"podSelector": subject, "ingress": [
            {"from": [{"ipBlock": {"cidr": format!("10.{}.0.0/16", drawn("block", 6)), "except": [format!("10.{}.{}.0/24", drawn("block", 6), drawn("hole", 256))]}}]},
        ]}),
        5 => {
            json!({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": [format!("tier-{}", drawn("tier", 4))]}]}, "ingress": [
                {"from": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [format!("app-{}", drawn("not", spec.apps))]}]}}],
                 "ports": [{"port": port("port"), "endPort": port("port") + 100}]},
            ]})
        }
        6 => json!({"podSelector": subject, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP"}]}],
        }),
        _ => {
            json!({"podSelector": subject, "ingress": [{"ports": [{"protocol": "SCTP"}, {"port": port("port")}]}]})
        }
    }
}
