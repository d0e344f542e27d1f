//! What manifests say is what the model holds, and errors tell where to look.

use proptest::prelude::*;
use terway_policy::{
    generate,
    manifest::{self, Object},
    model::{ClusterPeer, ClusterPort, Name, Peer, Snapshot},
};

fn apply(text: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for object in manifest::read(text).expect("manifests that can be read") {
        snapshot.apply(object);
    }
    snapshot
}

fn error(text: &str) -> String {
    manifest::read(text).expect_err("manifests that cannot be read").to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_written_cluster_reads_back_the_same(snapshot in generate::snapshot(8)) {
        let text = manifest::write(&snapshot);
        let objects = manifest::read(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        let mut read = Snapshot::default();
        for object in objects {
            read.apply(object);
        }
        prop_assert_eq!(read, snapshot, "{}", text);
    }
}

#[test]
fn a_large_cluster_reads_back_the_same() {
    let snapshot = generate::large(10, 3000, 100);
    assert_eq!(apply(&manifest::write(&snapshot)), snapshot);
}

#[test]
fn lists_and_json_and_empty_documents_are_read() {
    let snapshot = apply(
        r#"
---
# Nothing.
---
{"apiVersion": "v1", "kind": "List", "items": [
	{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
	{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "status": {"podIP": "10.0.0.1"}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicyList
items:
- metadata: {name: p, namespace: a}
  spec: {podSelector: {}}
"#,
    );
    assert_eq!(snapshot.namespaces["a"].labels["kubernetes.io/metadata.name"], "a");
    assert_eq!(snapshot.pods[&Name::new("default", "x")].ips.len(), 1);
    assert!(snapshot.policies.contains_key(&Name::new("a", "p")));
}

#[test]
fn kinds_that_policy_does_not_look_at_are_told() {
    let objects =
        manifest::read("{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: a}}");
    let other = Object::Other { kind: "apps/v1 Deployment".into(), name: Name::new("a", "web") };
    assert_eq!(objects.expect("manifests that can be read"), [other]);
}

#[test]
fn namespaces_that_nobody_wrote_can_be_added() {
    let mut snapshot = apply("{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: a}}");
    snapshot.add_missing_namespaces();
    assert_eq!(snapshot.namespaces["a"].labels["kubernetes.io/metadata.name"], "a");
}

#[test]
fn sidecars_declare_ports_and_other_init_containers_do_not() {
    let snapshot = apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: x}
spec:
  containers: [{name: c, ports: [{containerPort: 80, name: http}, {containerPort: 81}]}]
  initContainers:
  - {name: once, ports: [{containerPort: 82, name: once}]}
  - {name: side, restartPolicy: Always, ports: [{containerPort: 83, name: side, protocol: UDP}]}
",
    );
    let ports = &snapshot.pods[&Name::new("default", "x")].ports;
    assert_eq!(
        ports.iter().map(|p| (p.name.as_str(), p.port)).collect::<Vec<_>>(),
        [("http", 80), ("side", 83)]
    );
}

#[test]
fn a_peer_is_what_it_has_fields_for() {
    let snapshot = apply(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {}
  ingress:
  - from:
    - {}
    - {podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}
    - {namespaceSelector: {}}
",
    );
    let peers = &snapshot.policies[&Name::new("default", "p")].ingress[0].peers;
    assert_eq!(peers[..2], [Peer::Unknown, Peer::Unknown]);
    assert!(matches!(&peers[2], Peer::Pods { namespaces: Some(_), pods: None }));
}

#[test]
fn what_a_cluster_policy_says_in_words_of_tomorrow_is_unknown() {
    let snapshot = apply(
        "
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: p}
spec:
  tier: Admin
  priority: 3
  subject: {namespaces: {}}
  ingress:
  - {action: Deny, from: [{networks: [10.0.0.0/8]}]}
  egress:
  - action: Accept
    to: [{nodes: {}}, {domainNames: ['*.example.org']}, {}, {networks: [10.0.0.0/8]}, {namespaces: {}, pods: {}}]
    protocols:
    - {icmp: {}}
    - {tcp: {sourcePort: 5}}
    - {tcp: {destinationPort: {}}}
    - {tcp: {}}
    - {udp: {destinationPort: {range: {start: 5, end: 9}}}}
    - {tcp: {}, udp: {}}
",
    );
    let policy = &snapshot.cluster_policies["p"];
    assert_eq!(policy.ingress[0].peers, [ClusterPeer::Unknown]);
    let known = |p: &ClusterPeer| *p != ClusterPeer::Unknown;
    assert_eq!(
        policy.egress[0].peers.iter().map(known).collect::<Vec<_>>(),
        [false, false, false, true, false]
    );
    let known = |p: &ClusterPort| *p != ClusterPort::Unknown;
    let protocols = policy.egress[0].protocols.iter().map(known).collect::<Vec<_>>();
    assert_eq!(protocols, [false, false, false, true, true, false]);
}

#[test]
fn errors_name_the_document_the_field_and_what_is_allowed() {
    let policy = |spec: &str| {
        error(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: a}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: a}}\nspec: {spec}"
        ))
    };
    let cases = [
        ("{ingress: [{}, {ports: [{protocol: ICMP}]}]}", "spec.ingress[1].ports[0].protocol is \"ICMP\""),
        (
            "{egress: [{ports: [{port: 70000}]}]}",
            "spec.egress[0].ports[0].port is 70000, allowed is 1 to 65535",
        ),
        ("{policyTypes: [ingress]}", "spec.policyTypes[0] is \"ingress\", allowed is Ingress or Egress"),
        ("{podSelector: {matchLabels: {a: [b]}}}", "spec.podSelector.matchLabels.a is sequence, allowed is"),
        ("{podSelector: {matchLabels: {a: 1}}}", "spec.podSelector.matchLabels.a is integer `1`, allowed is"),
        (
            "{ingress: [{from: [{podSelecter: {}}]}]}",
            "spec.ingress[0].from[0].podSelecter is a map, allowed is no",
        ),
    ];
    for (spec, expected) in cases {
        let error = policy(spec);
        assert!(error.starts_with("read document 2, NetworkPolicy a/p: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    assert!(error("a: b").contains("read document 1: apiVersion is absent"), "{}", error("a: b"));
    assert!(error("a: [").starts_with("read document 1 as YAML or JSON: "), "{}", error("a: ["));
    let list =
        error("{apiVersion: v1, kind: PodList, items: [{metadata: {name: x}, status: {podIP: 10.0.0}}]}");
    assert!(
        list.contains("items[0].status.podIP is \"10.0.0\", allowed is an IPv4 or IPv6 address"),
        "{list}"
    );
    let tier = "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: p}, spec: \
                {priority: 1, subject: {}}}";
    assert!(error(tier).contains("spec.tier is absent"), "{}", error(tier));
}
