//! A realistic cluster of any size, for measurements.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::rng::SplitMix;
use crate::model::{
    Direction, Expression, Labels, Name, NamedPort, Namespace, Operator, Peer, Pod, Policy, Port, PortRef,
    Protocol, Rule, Selector, Snapshot,
};

/// Applications of a namespace, each of which has a pod in so many.
const APPS: [&str; 8] = ["web", "api", "worker", "db", "cache", "queue", "proxy", "cron"];

/// A cluster with pods and policies spread over namespaces, the same every time. The first policy of each namespace
/// denies what comes, the second lets DNS out; the others let one application reach another, a gateway's namespace or a
/// monitoring's in, or some networks outside be reached.
pub fn large(namespaces: usize, pods: usize, policies: usize) -> Snapshot {
    let (namespaces, mut rng) = (namespaces.max(1), SplitMix::new(1));
    let mut snapshot = Snapshot::default();
    for number in 0..namespaces {
        let labels = Labels::from([
            ("kubernetes.io/metadata.name".into(), namespace(number)),
            ("team".into(), format!("team-{}", number % 10)),
            ("kind".into(), if number % 20 == 0 { "platform" } else { "product" }.into()),
        ]);
        snapshot.namespaces.insert(namespace(number), Namespace { name: namespace(number), labels });
    }
    for number in 0..pods {
        let app = APPS[number / namespaces % APPS.len()];
        let name = Name::new(namespace(number % namespaces), format!("{app}-{number}"));
        snapshot.pods.insert(name.clone(), pod(name, app, number));
    }
    for number in 0..policies {
        let name = Name::new(namespace(number % namespaces), format!("policy-{}", number / namespaces));
        let policy = policy(name, number / namespaces, &mut rng);
        snapshot.policies.insert(policy.name.clone(), policy);
    }
    snapshot
}

fn namespace(number: usize) -> String {
    format!("namespace-{number}")
}

fn pod(name: Name, app: &str, number: usize) -> Pod {
    let labels = Labels::from([
        ("app".into(), app.into()),
        ("tier".into(), if matches!(app, "db" | "cache" | "queue") { "data" } else { "front" }.into()),
        // As deployments label their pods: a value that no selector mentions.
        ("pod-template-hash".into(), format!("{:08x}", number / 3)),
    ]);
    let address = u32::from(Ipv4Addr::new(10, 0, 0, 1)) + u32::try_from(number).unwrap_or(u32::MAX >> 8);
    Pod {
        name,
        uid: format!("uid-{number}"),
        labels,
        ips: vec![Ipv4Addr::from(address).into()],
        ports: vec![NamedPort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }],
        ..Pod::default()
    }
}

fn with(key: &str, value: &str) -> Selector {
    Selector { equal: BTreeMap::from([(key.into(), value.into())]), expressions: Vec::new() }
}

fn tcp(port: PortRef) -> Port {
    Port { protocol: Some(Protocol::Tcp), port: Some(port), end: None }
}

fn policy(name: Name, kind: usize, rng: &mut SplitMix) -> Policy {
    let app = *rng.pick(&APPS);
    let selector = with("app", app);
    let ingress = |selector, rule| Policy {
        name: name.clone(),
        selector,
        types: vec![Direction::Ingress],
        ingress: vec![rule],
        egress: Vec::new(),
    };
    match kind {
        0 => Policy { name, types: vec![Direction::Ingress], ..Policy::default() },
        1 => Policy {
            name,
            types: vec![Direction::Egress],
            egress: vec![dns(), Rule { peers: vec![own_namespace()], ports: Vec::new() }],
            ..Policy::default()
        },
        _ => match rng.below(4) {
            0 => {
                let from =
                    Peer::Pods { namespaces: None, pods: Some(with("app", APPS[rng.below(APPS.len())])) };
                ingress(selector, Rule { peers: vec![from], ports: vec![tcp(PortRef::Named("http".into()))] })
            }
            1 => {
                let from = Peer::Pods { namespaces: Some(with("kind", "platform")), pods: None };
                ingress(selector, Rule { peers: vec![from], ports: vec![tcp(PortRef::Number(9090))] })
            }
            2 => {
                let team = format!("team-{}", rng.below(10));
                let tier = Expression {
                    key: "tier".into(),
                    operator: Operator::In,
                    values: vec!["front".into(), "data".into()],
                };
                let pods = Selector { equal: BTreeMap::new(), expressions: vec![tier] };
                let from = Peer::Pods { namespaces: Some(with("team", &team)), pods: Some(pods) };
                let ports = vec![tcp(PortRef::Number(443)), tcp(PortRef::Number(8080))];
                ingress(selector, Rule { peers: vec![from], ports })
            }
            _ => outside(name, selector, rng),
        },
    }
}

fn dns() -> Rule {
    let port = |protocol| Port { protocol: Some(protocol), port: Some(PortRef::Number(53)), end: None };
    let namespaces = Some(with("kind", "platform"));
    Rule {
        peers: vec![Peer::Pods { namespaces, pods: None }],
        ports: vec![port(Protocol::Udp), port(Protocol::Tcp)],
    }
}

fn own_namespace() -> Peer {
    Peer::Pods { namespaces: None, pods: Some(Selector::default()) }
}

/// Lets networks outside be reached, the way people write it: all but the private ones, or some that they know.
fn outside(name: Name, selector: Selector, rng: &mut SplitMix) -> Policy {
    let block = if rng.one_in(2) {
        let except = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(String::from).to_vec();
        Peer::Block { cidr: "0.0.0.0/0".into(), except }
    } else {
        let cidr = format!("172.{}.{}.0/24", 16 + rng.below(16), rng.below(256));
        Peer::Block { cidr, except: Vec::new() }
    };
    let high = Port { end: Some(32767), ..tcp(PortRef::Number(30000)) };
    let ports = if rng.one_in(3) { vec![high] } else { vec![tcp(PortRef::Number(443))] };
    Policy {
        name,
        selector,
        types: vec![Direction::Egress],
        ingress: Vec::new(),
        egress: vec![Rule { peers: vec![block], ports }],
    }
}
