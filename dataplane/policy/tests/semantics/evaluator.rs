//! Who judges, and how rows are read.

use std::net::IpAddr;

use terway_policy::{
    compile::{Compiler, EndpointSpec, Options},
    layout::{EGRESS, INGRESS},
    manifest,
    memory::Memory,
    model::{Direction, Name, Pod, Snapshot},
    reference::{self, Question},
    verdict::classify,
};

/// Someone who judges. All of them have to agree with every row.
pub(crate) trait Evaluator {
    /// How a failed row calls it.
    fn name(&self) -> &'static str;
    /// Whether a flow may pass, as far as policy of the pod goes.
    fn judge(&self, snapshot: &Snapshot, question: &Question<'_>) -> bool;
}

struct Reference;

impl Evaluator for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn judge(&self, snapshot: &Snapshot, question: &Question<'_>) -> bool {
        reference::judge(snapshot, question).allowed()
    }
}

/// The compiler, and the verdict over its tables in memory.
struct Compiled;

impl Evaluator for Compiled {
    fn name(&self) -> &'static str {
        "compiler"
    }

    fn judge(&self, snapshot: &Snapshot, question: &Question<'_>) -> bool {
        let pod = &snapshot.pods[question.pod];
        // These have no place of their own on a node.
        if pod.host_network || pod.finished {
            return true;
        }
        let mut compiler = Compiler::new(Options::default());
        compiler.load(snapshot);
        compiler.set_endpoint(1, EndpointSpec { pod: pod.name.clone(), ips: pod.ips.clone(), flags: 0 });
        let mut tables = Memory::default();
        for op in compiler.publish().expect("tables with room for a row").ops() {
            tables.apply(op);
        }
        let direction = match question.direction {
            Direction::Ingress => INGRESS,
            Direction::Egress => EGRESS,
        };
        let remote = match question.remote {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let endpoint = tables.endpoints[&1];
        classify(&tables, &endpoint, direction, &remote, question.protocol, question.port).reason.passes()
    }
}

/// All who are held to the rows.
pub(crate) fn evaluators() -> Vec<Box<dyn Evaluator>> {
    vec![Box::new(Reference), Box::new(Compiled)]
}

/// Namespaces `a`, `b` and `kube-system`, and a few pods in them.
const CLUSTER: &str = include_str!("cluster.yaml");

/// The common cluster with further manifests, which may replace what is there.
pub(crate) fn cluster(manifests: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for text in [CLUSTER, manifests] {
        for object in manifest::read(text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}")) {
            assert!(!matches!(object, manifest::Object::Other { .. }), "{object:?} is no policy");
            snapshot.apply(object);
        }
    }
    snapshot
}

/// The common cluster with one NetworkPolicy in namespace `a`.
pub(crate) fn policy(spec: &str) -> Snapshot {
    cluster(&network_policy("a", "policy", spec))
}

/// A manifest of a NetworkPolicy.
pub(crate) fn network_policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// Checks what becomes of flows: each is `FROM > TO PROTOCOL[/PORT]` with pods or addresses as ends, and with both ends'
/// policy asked where both are pods. A pod stands for its IPv4 address, with `6:` before it for its IPv6 one.
pub(crate) fn check(snapshot: &Snapshot, allowed: &[&str], denied: &[&str]) {
    let flows = allowed.iter().map(|f| (f, true)).chain(denied.iter().map(|f| (f, false)));
    for evaluator in evaluators() {
        for (flow, expected) in flows.clone() {
            let (who, verb) = (evaluator.name(), if expected { "allowed" } else { "denied" });
            assert_eq!(passes(&*evaluator, snapshot, flow), expected, "{who}: {flow} should be {verb}");
        }
    }
}

fn passes(evaluator: &dyn Evaluator, snapshot: &Snapshot, flow: &str) -> bool {
    let [from, ">", to, transport] = flow.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{flow:?} is no flow")
    };
    let (protocol, port) = transport.split_once('/').unwrap_or((transport, "0"));
    let protocol = match protocol {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        "icmp" => 1,
        "icmp6" => 58,
        "gre" => 47,
        other => panic!("{other:?} is no protocol of a row"),
    };
    let port = port.parse().expect("a port's number");
    let ((source, source_pod), (target, target_pod)) = (end(snapshot, from), end(snapshot, to));
    assert!(source_pod.is_some() || target_pod.is_some(), "{flow}: neither end is a pod");
    let judge = |pod: Option<&Pod>, direction, remote| {
        pod.is_none_or(|pod| {
            evaluator.judge(snapshot, &Question { pod: &pod.name, direction, remote, protocol, port })
        })
    };
    judge(source_pod, Direction::Egress, target) && judge(target_pod, Direction::Ingress, source)
}

/// An end of a flow: its address, and the pod whose policy is asked.
fn end<'a>(snapshot: &'a Snapshot, text: &str) -> (IpAddr, Option<&'a Pod>) {
    if let Ok(address) = text.parse() {
        return (address, None);
    }
    let (v6, name) = match text.strip_prefix("6:") {
        Some(name) => (true, name),
        None => (false, text),
    };
    let (namespace, name) = name.split_once('/').expect("a pod's namespace and name");
    let pod = &snapshot.pods[&Name::new(namespace, name)];
    let address = pod.ips.iter().find(|ip| ip.is_ipv6() == v6).expect("an address of the family");
    (*address, Some(pod))
}
