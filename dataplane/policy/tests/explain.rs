//! Explanations: what is decided is what the reference decides, by the same rule; what is said besides helps.

use std::net::IpAddr;

use proptest::prelude::*;
use terway_policy::{
    compile::Tier,
    explain::{End, ExplainError, Explainer, Explanation, NotAsked, Port, Question, Side, Why},
    generate::{self, questions},
    manifest,
    model::{self, Direction, Name, Protocol, Snapshot},
    reference,
};

const CLUSTER: &str = r"
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {team: blue}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]}
status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: a, labels: {app: client}}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: b, labels: {app: client}}, status: {podIPs: [{ip: 10.0.0.3}, {ip: 'fd00::3'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: node-agent, namespace: b}, spec: {hostNetwork: true, containers: []}, status: {podIP: 192.168.0.9}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done, namespace: b}, status: {phase: Succeeded, podIP: 10.0.0.3}}
---
{apiVersion: v1, kind: Pod, metadata: {name: new, namespace: a, labels: {app: web}}}
---
";

fn snapshot(ingress: &str) -> Snapshot {
    let policy = format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: a}}, \
         spec: {{podSelector: {{matchLabels: {{app: web}}}}, ingress: [{ingress}]}}}}"
    );
    let mut snapshot = Snapshot::default();
    for object in manifest::read(&format!("{CLUSTER}{policy}")).expect("manifests") {
        snapshot.apply(object);
    }
    snapshot
}

fn ask(snapshot: &Snapshot, from: &str, to: &str, port: &str) -> Result<Explanation, ExplainError> {
    let end = |text| End::parse(text, "a").expect("an end");
    let question = Question { from: end(from), to: end(to), port: port.parse().expect("a port") };
    Explainer::new(snapshot).and_then(|mut explainer| explainer.explain(&question))
}

/// The ingress of `web` under a rule, from some source: the first near miss in words.
#[track_caller]
fn nearest(rule: &str, from: &str, port: &str) -> String {
    let explanation = ask(&snapshot(rule), from, "10.0.0.1", port).expect("an answer");
    let side = &explanation.flows[0].ingress;
    assert!(!side.allowed, "{explanation}");
    assert_eq!(side.why, Why::NoRule { isolated_by: vec![Name::new("a", "p")] });
    side.reason()
}

#[test]
fn a_near_miss_says_which_part_does_not_fit() {
    for (rule, from, port, says) in [
        (
            "{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}",
            "client",
            "8080",
            "a/p ingress[0]: the peer fits (pods app=client in namespace a), but 8080/TCP is not in 80/TCP",
        ),
        (
            "{from: [{podSelector: {matchLabels: {app: client, tier: frontend}}}], ports: [{port: 80}]}",
            "client",
            "80",
            "the port fits (80/TCP), but pod a/client does not match tier=frontend (has no tier)",
        ),
        (
            "{from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [client]}]}}]}",
            "client",
            "80",
            "pod a/client does not match app notin (client) (has app=client)",
        ),
        (
            "{from: [{podSelector: {matchLabels: {app: client}}}]}",
            "b/other",
            "80",
            "pod b/other is in namespace b, the rule has no namespaceSelector and means a only",
        ),
        (
            "{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {}}]}",
            "b/other",
            "80",
            "namespace b does not match team=red (has team=blue)",
        ),
        (
            "{from: [{ipBlock: {cidr: 172.16.0.0/12, except: [172.16.5.0/24]}}]}",
            "172.16.5.1",
            "80",
            "172.16.5.1 is in 172.16.0.0/12 but excepted by 172.16.5.0/24",
        ),
        ("{from: [{ipBlock: {cidr: 172.16.0.0/12}}]}", "8.8.8.8", "80", "8.8.8.8 is not in 172.16.0.0/12"),
        ("{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}", "10.0.0.9", "80", "ipBlock 010.0.0.0/8 matches nothing"),
        ("{from: [{podSelector: {}}]}", "8.8.8.8", "80", "8.8.8.8 is no pod, the rule is about all pods"),
        ("{from: [{}]}", "client", "80", "is not known here and matches nothing"),
        ("{ports: [{port: https}]}", "client", "8080", "port name https is not declared by pod a/web"),
        (
            "{ports: [{port: dns}]}",
            "client",
            "53",
            "port name dns is 53/UDP on pod a/web, the rule wants TCP",
        ),
        ("{ports: [{port: http}]}", "client", "80", "port name http is 8080/TCP on pod a/web, not 80/TCP"),
        ("{ports: [{port: 53}]}", "client", "53/UDP", "53/UDP is UDP, the rule is for 53/TCP"),
        ("{ports: [{port: 1, endPort: 79}]}", "client", "80", "80/TCP is not in 1-79/TCP"),
        ("{ports: [{port: 80, endPort: 79}]}", "client", "80", "endPort 79 needs a numeric port"),
        ("{ports: [{port: 80}]}", "client", "icmp", "icmp has no ports, the rule is for 80/TCP"),
    ] {
        let text = nearest(rule, from, port);
        assert!(text.contains(says), "{rule}\n  says {text}\n  not  {says}");
    }
}

#[test]
fn the_nearest_miss_comes_first() {
    let rules = "{from: [{ipBlock: {cidr: 172.16.0.0/12}}], ports: [{port: 81}]}, \
                 {from: [{podSelector: {matchLabels: {app: nobody}}}], ports: [{port: 80}]}, \
                 {from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 81}]}";
    let explanation = ask(&snapshot(rules), "client", "web", "80").expect("an answer");
    let near = &explanation.flows[0].ingress.near;
    let order: Vec<_> = near.iter().map(|miss| (miss.index, miss.peer_fits, miss.port_fits)).collect();
    assert_eq!(order, [(2, true, false), (1, false, true), (0, false, false)]);
}

#[test]
fn a_policy_without_rules_says_so() {
    let text = ask(&snapshot(""), "client", "web", "80").expect("an answer").to_string();
    assert!(
        text.contains("isolated by a/p; no rule matches\n    none of them has a rule for ingress"),
        "{text}"
    );
}

#[test]
fn problems_of_policies_are_told_where_they_touch_an_end() {
    let snapshot = snapshot("{from: [{ipBlock: {cidr: '::ffff:10.0.0.0/104'}}]}");
    let explanation = ask(&snapshot, "client", "web", "80").expect("an answer");
    let [problem] = &explanation.problems[..] else { panic!("{explanation}") };
    assert_eq!(problem.policy, Name::new("a", "p"));
    assert!(
        explanation.to_string().contains("problem of a/p: ipBlock ::ffff:10.0.0.0/104: "),
        "{explanation}"
    );
    assert!(ask(&snapshot, "client", "b/other", "80").expect("an answer").problems.is_empty());
}

#[test]
fn why_nothing_is_asked_is_told() {
    let snapshot = snapshot("");
    let why = |from: &str, to: &str| {
        let explanation = ask(&snapshot, from, to, "80").expect("an answer");
        let because = |side: &Side| match side.why {
            Why::NotAsked { because } => Some(because),
            _ => None,
        };
        (because(&explanation.flows[0].egress), because(&explanation.flows[0].ingress))
    };
    assert_eq!(why("8.8.8.8", "10.0.0.1"), (Some(NotAsked::NoPod), None));
    assert_eq!(why("client", "b/node-agent"), (None, Some(NotAsked::HostNetwork)));
    assert_eq!(why("b/done", "client"), (Some(NotAsked::Finished), None));
    assert_eq!(why("web", "web"), (Some(NotAsked::Itself), Some(NotAsked::Itself)));
    let text = ask(&snapshot, "b/done", "client", "80").expect("an answer").to_string();
    assert!(text.contains("note: b/done has ended, and 10.0.0.3 is b/other now"), "{text}");
}

#[test]
fn ones_own_node_is_let_in_and_another_is_not() {
    let snapshot = snapshot("");
    let mut explainer = Explainer::new(&snapshot).expect("room");
    explainer.set_node(Name::new("a", "web"), ["192.168.0.9".parse().expect("an address")]);
    let mut verdict = |from: [u8; 4]| {
        let to = End::Pod(Name::new("a", "web"));
        let question =
            Question { from: End::Address(from.into()), to, port: Port::Number(80, Protocol::Tcp) };
        explainer.explain(&question).expect("an answer").flows[0].ingress.clone()
    };
    let own = verdict([192, 168, 0, 9]);
    assert_eq!((own.allowed, own.why), (true, Why::NotAsked { because: NotAsked::OwnNode }));
    assert!(!verdict([192, 168, 0, 8]).allowed);
}

#[test]
fn what_cannot_be_asked_is_an_error_with_what_could_be() {
    let snapshot = snapshot("");
    let error = |from, to, port| ask(&snapshot, from, to, port).expect_err("an error").to_string();
    assert_eq!(error("other", "web", "80"), "pod a/other is not there; there are b/other");
    assert_eq!(
        error("client", "web", "https"),
        "port https/TCP: a/web declares only http/TCP (which is 8080), dns/UDP (which is 53)"
    );
    assert_eq!(error("client", "8.8.8.8", "http"), "port http/TCP: 8.8.8.8 declares no ports with names");
    assert_eq!(
        error("client", "fd00::99", "80"),
        "a/client and fd00::99 have no address family in common: IPv4 and IPv6"
    );
}

#[test]
fn a_pod_without_an_address_is_judged_by_its_labels() {
    let explanation =
        ask(&snapshot("{from: [{podSelector: {matchLabels: {app: web}}}]}"), "new", "web", "80")
            .expect("an answer");
    assert!(explanation.allowed, "{explanation}");
    assert!(explanation.notes[0].starts_with("a/new has no address yet"), "{explanation}");
}

#[test]
fn families_that_are_judged_the_same_are_told_once() {
    let both = ask(&snapshot("{}"), "b/other", "web", "http").expect("an answer");
    assert_eq!(both.flows.len(), 1);
    assert_eq!(both.flows[0].addresses.len(), 2);
    let v4 =
        ask(&snapshot("{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}"), "b/other", "web", "80").expect("an answer");
    assert_eq!(v4.flows.iter().map(|flow| flow.allowed).collect::<Vec<_>>(), [true, false]);
    assert!(!v4.allowed);
}

#[test]
fn all_ports_of_a_protocol_are_ranges() {
    let snapshot = snapshot("{ports: [{port: http}, {port: 100, endPort: 200}]}");
    let explanation = ask(&snapshot, "client", "web", "TCP").expect("an answer");
    let ranges: Vec<_> = explanation.flows.iter().map(|flow| (flow.port.as_str(), flow.allowed)).collect();
    let expected = [
        ("0-99/TCP", false),
        ("100-200/TCP", true),
        ("201-8079/TCP", false),
        ("8080/TCP", true),
        ("8081-65535/TCP", false),
    ];
    assert_eq!(ranges, expected);
    assert!(explanation.flows[2].ingress.reason().contains("201-8079/TCP is not in "), "{explanation}");
}

#[test]
fn a_dump_has_every_rule_in_its_order_and_shares_rule_sets() {
    let snapshot = snapshot("{from: [{namespaceSelector: {}}], ports: [{port: http}]}, {}");
    let mut explainer = Explainer::new(&snapshot).expect("room");
    let dump = explainer.dump(None).expect("pods");
    let pod = |name: &str| dump.pods.iter().find(|pod| pod.pod.name == name).expect("there");
    let rules: Vec<_> =
        pod("web").ingress.rules.iter().map(|rule| (rule.index, rule.ports.as_str())).collect();
    assert_eq!(rules, [(0, "http/TCP"), (1, "everything")]);
    assert_eq!(pod("client").ingress.rule_set, 0);
    assert_eq!(pod("node-agent").not_asked, Some(NotAsked::HostNetwork));
    let text = dump.to_string();
    assert!(text.contains("    0. allow all pods in all namespaces; http/TCP  (a/p ingress[0])"), "{text}");
    assert!(text.contains("    1. allow any peer; everything  (a/p ingress[1])\n    else deny"), "{text}");
}

/// An answer of the reference in the words of explanations.
fn why(judgement: &reference::Judgement) -> Option<(Tier, Name, usize)> {
    match judgement.why() {
        reference::Why::Cluster { policy, tier, rule } => {
            let tier = if *tier == model::Tier::Admin { Tier::Admin } else { Tier::Baseline };
            Some((tier, Name::new("", policy), *rule))
        }
        reference::Why::Policy { policy, rule } => Some((Tier::Policy, policy.clone(), *rule)),
        _ => None,
    }
}

fn port_of(protocol: u8, remote: IpAddr, port: u16) -> Option<Port> {
    match (protocol, remote.is_ipv4()) {
        (6, _) => Some(Port::Number(port, Protocol::Tcp)),
        (17, _) => Some(Port::Number(port, Protocol::Udp)),
        (132, _) => Some(Port::Number(port, Protocol::Sctp)),
        (1, true) | (58, false) => Some(Port::Icmp),
        _ => None,
    }
}

fn agree(side: &Side, judgement: &reference::Judgement) -> Result<(), TestCaseError> {
    prop_assert_eq!(side.allowed, judgement.allowed(), "{:?} is {:?} to the reference", side, judgement);
    let rule = match &side.why {
        Why::Rule { tier, policy, index, .. } => Some((*tier, policy.clone(), *index)),
        _ => None,
    };
    prop_assert_eq!(rule, why(judgement), "{:?} is {:?} to the reference", side, judgement);
    if let (Why::NoRule { isolated_by }, reference::Why::NoRule { isolated_by: expected }) =
        (&side.why, judgement.why())
    {
        prop_assert_eq!(isolated_by, expected);
    }
    // What would fit would have decided.
    prop_assert!(side.near.iter().all(|miss| !(miss.peer_fits && miss.port_fits)), "{:?}", side);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn an_explanation_is_the_reference_s_verdict_by_the_reference_s_rule(
        snapshot in generate::snapshot(8),
        seed in any::<u64>(),
    ) {
        let mut explainer = Explainer::new(&snapshot).expect("room");
        for question in questions(&snapshot, seed, 40) {
            let Some(port) = port_of(question.protocol, question.remote, question.port) else { continue };
            let (pod, remote) = (End::Pod(question.pod.clone()), End::Address(question.remote));
            let (from, to) = match question.direction {
                Direction::Egress => (pod, remote),
                Direction::Ingress => (remote, pod),
            };
            let explanation = match explainer.explain(&Question { from, to, port }) {
                Ok(explanation) => explanation,
                Err(ExplainError::NoFamily { .. }) => continue,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let [flow] = &explanation.flows[..] else { panic!("{explanation}") };
            let side = if question.direction == Direction::Egress { &flow.egress } else { &flow.ingress };
            // The reference is of policy alone.
            if side.why == (Why::NotAsked { because: NotAsked::Itself }) {
                continue;
            }
            agree(side, &reference::judge(&snapshot, &question))?;
        }
    }

    #[test]
    fn ranges_of_ports_cover_all_and_hold_inside(snapshot in generate::snapshot(6), seed in any::<u64>()) {
        let mut explainer = Explainer::new(&snapshot).expect("room");
        for question in questions(&snapshot, seed, 4) {
            let (from, to) = (End::Address(question.remote), End::Pod(question.pod.clone()));
            let Ok(explanation) = explainer.explain(&Question { from, to, port: Port::Every(Protocol::Tcp) }) else {
                continue;
            };
            let mut next = 0;
            for flow in &explanation.flows {
                let (first, last) = flow.ports.expect("a range");
                prop_assert_eq!(u32::from(first), next);
                next = u32::from(last) + 1;
                if flow.ingress.why == (Why::NotAsked { because: NotAsked::Itself }) {
                    continue;
                }
                for port in [first, first / 2 + last / 2, last] {
                    let port = port.max(first);
                    let direction = Direction::Ingress;
                    let question = reference::Question { direction, protocol: 6, port, ..question };
                    agree(&flow.ingress, &reference::judge(&snapshot, &question))?;
                }
            }
            prop_assert_eq!(next, 65536);
        }
    }
}

#[test]
fn a_large_cluster_is_dumped_and_explained() {
    let snapshot = generate::large(20, 2000, 200);
    let mut explainer = Explainer::new(&snapshot).expect("room");
    let dump = explainer.dump(None).expect("pods");
    assert_eq!(dump.pods.len(), snapshot.pods.len());
    let mut names = snapshot.pods.keys();
    let (from, to) = (names.next().expect("a pod").clone(), names.next_back().expect("a pod").clone());
    let question = Question { from: End::Pod(from), to: End::Pod(to), port: Port::Every(Protocol::Tcp) };
    assert!(!explainer.explain(&question).expect("an answer").flows.is_empty());
}
