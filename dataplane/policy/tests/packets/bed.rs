//! Two nodes with their pods, compiled from manifests, and the ways of packets between them: each hook that a packet
//! meets is asked in turn, and the way ends where it is dropped.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use terway_policy::{
    compile::{Compiler, EndpointSpec, Options},
    layout::{
        Addr, CONTROL_KEEP_ESTABLISHED, CONTROL_TRACK, Control, EGRESS, ENDPOINT_LOCKED, Endpoint, Flow,
        FlowKey, INGRESS,
    },
    manifest,
    memory::Memory,
    model::{Name, Snapshot},
    packet::Parsed,
    verdict::{Context, Outcome, Reason, error_in, exit, from_pod_in, into_pod_in},
};

/// Two nodes: pods with 10.0.0.x and fd00::0:x are on the first, those with 10.0.1.x and fd00::1:x on the second.
pub(crate) const PODS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: a}}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: web, labels: {app: web}}, status: {podIPs: [{ip: 10.0.0.10}, {ip: 'fd00::10'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: db, labels: {app: db}}, status: {podIPs: [{ip: 10.0.0.11}, {ip: 'fd00::11'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: free, labels: {app: free}}, status: {podIPs: [{ip: 10.0.0.12}, {ip: 'fd00::12'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: far, labels: {app: far}}, status: {podIPs: [{ip: 10.0.1.10}, {ip: 'fd00::1:10'}]}}
";

/// Addresses that tests speak of.
pub(crate) const WEB: &str = "10.0.0.10";
pub(crate) const DB: &str = "10.0.0.11";
pub(crate) const FREE: &str = "10.0.0.12";
pub(crate) const FAR: &str = "10.0.1.10";
pub(crate) const NODE: &str = "10.0.0.1";
pub(crate) const FAR_NODE: &str = "10.0.1.1";
pub(crate) const STRANGER: &str = "192.0.2.1";

/// Link of the ENI by which a node's packets leave and come.
pub(crate) const ENI: u32 = 2;
/// The mark of packets that are not judged yet.
pub(crate) const MARK: u32 = 0x40;
/// Ticks of the clock in a second.
pub(crate) const HZ: u32 = 100;

pub(crate) struct Node {
    pub(crate) memory: Memory,
    pub(crate) compiler: Compiler,
}

pub(crate) struct Bed {
    pub(crate) nodes: [Node; 2],
    pub(crate) snapshot: Snapshot,
    links: BTreeMap<Name, (usize, u32)>,
}

/// Reasons at the hooks that a packet met, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trip {
    pub(crate) outcomes: Vec<Outcome>,
    /// The mark that it has in the end.
    pub(crate) mark: u32,
}

impl Trip {
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        self.outcomes.iter().map(|outcome| outcome.reason).collect()
    }

    pub(crate) fn passed(&self) -> bool {
        self.outcomes.iter().all(Outcome::passes)
    }
}

impl Bed {
    /// The common pods with further manifests.
    pub(crate) fn new(manifests: &str) -> Self {
        let mut snapshot = Snapshot::default();
        for text in [PODS, manifests] {
            for object in manifest::read(text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}")) {
                snapshot.apply(object);
            }
        }
        let mut bed = Self { nodes: [Node::new(0), Node::new(1)], snapshot, links: BTreeMap::new() };
        for (link, pod) in (100..).zip(bed.snapshot.pods.values()) {
            let IpAddr::V4(first) = pod.ips[0] else { panic!("{} has no IPv4 address first", pod.name) };
            bed.links.insert(pod.name.clone(), (usize::from(first.octets()[2]), link));
        }
        for node in &mut bed.nodes {
            node.compiler.load(&bed.snapshot);
        }
        for name in bed.links.keys().cloned().collect::<Vec<_>>() {
            bed.mark(&name.to_string(), 0);
        }
        bed
    }

    /// The common pods with NetworkPolicies of namespace `a`, given as their specs.
    pub(crate) fn policies(specs: &[&str]) -> Self {
        Self::new(&specs.iter().enumerate().map(|(index, spec)| policy(index, spec)).collect::<String>())
    }

    /// Gives an endpoint flags.
    pub(crate) fn mark(&mut self, pod: &str, flags: u32) {
        let name = name(pod);
        let (node, link) = self.links[&name];
        let ips = self.snapshot.pods[&name].ips.clone();
        self.nodes[node].compiler.set_endpoint(link, EndpointSpec { pod: name, ips, flags });
        self.publish();
    }

    /// Reads manifests in addition, or in place of those of the same names, and publishes.
    pub(crate) fn apply(&mut self, manifests: &str) {
        self.stage(manifests);
        self.publish();
    }

    /// Reads manifests without publishing.
    pub(crate) fn stage(&mut self, manifests: &str) {
        for object in manifest::read(manifests).expect("manifests of a test are right") {
            for node in &mut self.nodes {
                match &object {
                    manifest::Object::Pod(pod) => node.compiler.set_pod(pod),
                    manifest::Object::Namespace(namespace) => node.compiler.set_namespace(namespace),
                    manifest::Object::Policy(policy) => node.compiler.set_policy(policy),
                    other => panic!("{other:?} is none of a test's objects"),
                }
            }
            self.snapshot.apply(object);
        }
    }

    /// Replaces the NetworkPolicy of a number.
    pub(crate) fn set_policy(&mut self, number: usize, spec: &str) {
        self.apply(&policy(number, spec));
    }

    /// Removes the NetworkPolicy of a number.
    pub(crate) fn remove_policy(&mut self, number: usize) {
        let name = Name::new("a", format!("p{number}"));
        self.nodes.iter_mut().for_each(|node| node.compiler.remove_policy(&name));
        self.snapshot.policies.remove(&name);
        self.publish();
    }

    pub(crate) fn publish(&mut self) {
        for node in &mut self.nodes {
            let publication = node.compiler.publish().expect("a small cluster fits");
            publication.ops().for_each(|op| node.memory.apply(op));
        }
    }

    /// Changes what the first node's program is told.
    pub(crate) fn control(&mut self, change: impl Fn(&mut Control)) {
        self.nodes.iter_mut().for_each(|node| change(&mut node.memory.control));
    }

    /// Switches that flows stay when policies change.
    pub(crate) fn keep_established(&mut self) {
        self.control(|control| control.flags |= CONTROL_KEEP_ESTABLISHED);
    }

    /// Services are translated behind the hooks of pods: 172.16.0.0/16 and fd01::/112.
    pub(crate) fn translate(&mut self) {
        for node in &mut self.nodes {
            node.memory.control.pending_mark = MARK;
            node.memory.services.insert((96 + 16, addr("172.16.0.0")), 1);
            node.memory.services.insert((112, addr("fd01::")), 1);
        }
    }

    /// Locks an endpoint whose policy is not known.
    pub(crate) fn lock(&mut self, pod: &str) {
        self.endpoint_mut(pod).flags |= ENDPOINT_LOCKED;
    }

    pub(crate) fn endpoint_mut(&mut self, pod: &str) -> &mut Endpoint {
        let (node, link) = self.links[&name(pod)];
        self.nodes[node].memory.endpoints.get_mut(&link).expect("every pod is an endpoint")
    }

    /// Forgets an endpoint while programs are still attached to its link.
    pub(crate) fn forget(&mut self, pod: &str) {
        let (node, link) = self.links[&name(pod)];
        self.nodes[node].memory.endpoints.remove(&link);
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, seconds: u64) {
        for node in &self.nodes {
            node.memory.ticks.set(node.memory.ticks.get() + seconds * u64::from(HZ));
        }
    }

    /// Flows of a pod.
    pub(crate) fn flows(&self, pod: &str) -> Vec<(FlowKey, Flow)> {
        let (node, link) = self.links[&name(pod)];
        self.nodes[node].memory.flows().into_iter().filter(|(key, _)| key.endpoint == link).collect()
    }

    /// A packet that a pod sends, all the way: its own hook, then the exit or the hook of the pod it goes to.
    pub(crate) fn send(&self, pod: &str, frame: &[u8]) -> Trip {
        self.send_translated(pod, frame, frame)
    }

    /// The same, with what a translation of services makes of the packet between the hooks.
    pub(crate) fn send_translated(&self, pod: &str, frame: &[u8], translated: &[u8]) -> Trip {
        let (node, link) = self.links[&name(pod)];
        let mut context = Context { link, came_by: link, mark: 0 };
        let memory = &self.nodes[node].memory;
        let mut outcomes = vec![from_pod(memory, frame, &mut context)];
        if !outcomes[0].passes() {
            return Trip { outcomes, mark: context.mark };
        }
        let destination = destination(translated);
        match self.place_of(destination) {
            Some((there, to)) if there == node => {
                context.link = to;
                outcomes.push(to_pod(memory, translated, &mut context));
            }
            // The node itself takes it.
            _ if memory.hosts.contains_key(&destination) => {}
            place => {
                context.link = ENI;
                outcomes.push(exit(memory, translated, &mut context));
                if let (Some((there, to)), true) = (place, outcomes.iter().all(Outcome::passes)) {
                    // Marks do not travel.
                    let mut arrived = Context { link: to, came_by: ENI, mark: 0 };
                    outcomes.push(to_pod(&self.nodes[there].memory, translated, &mut arrived));
                }
            }
        }
        Trip { outcomes, mark: context.mark }
    }

    /// A packet that comes by the ENI of whoever has its destination.
    pub(crate) fn arrive(&self, frame: &[u8]) -> Outcome {
        self.hand_over(frame, ENI)
    }

    /// A packet that the pod's own node has made.
    pub(crate) fn by_node(&self, frame: &[u8]) -> Outcome {
        self.hand_over(frame, 0)
    }

    /// A packet to the pod that has its destination, in by a link of its node.
    pub(crate) fn hand_over(&self, frame: &[u8], came_by: u32) -> Outcome {
        let (node, link) = self.place_of(destination(frame)).expect("it goes to a pod");
        to_pod(&self.nodes[node].memory, frame, &mut Context { link, came_by, mark: 0 })
    }

    /// What comes to a pod's link, whatever its destination.
    pub(crate) fn to_link(&self, pod: &str, frame: &[u8]) -> Outcome {
        let (node, link) = self.links[&name(pod)];
        to_pod(&self.nodes[node].memory, frame, &mut Context { link, came_by: ENI, mark: 0 })
    }

    /// What a pod's own hook says of what it sends.
    pub(crate) fn out(&self, pod: &str, frame: &[u8]) -> Outcome {
        let (node, link) = self.links[&name(pod)];
        from_pod(&self.nodes[node].memory, frame, &mut Context { link, came_by: link, mark: 0 })
    }

    pub(crate) fn link(&self, pod: &str) -> u32 {
        self.links[&name(pod)].1
    }

    /// How often the rule that an outcome names has judged.
    pub(crate) fn counted(&self, outcome: &Outcome) -> u64 {
        let counters = self.nodes[0].memory.counters();
        let of = |(key, counter): (&terway_policy::layout::CounterKey, &terway_policy::layout::Counter)| {
            (key.rules == outcome.rules && key.rule == outcome.rule).then_some(counter.packets)
        };
        counters.iter().find_map(of).unwrap_or(0)
    }

    fn place_of(&self, destination: Addr) -> Option<(usize, u32)> {
        let has = |name: &&Name| self.snapshot.pods[*name].ips.iter().any(|ip| octets(*ip) == destination);
        self.links.keys().find(has).map(|name| self.links[name])
    }
}

impl Node {
    fn new(index: u8) -> Self {
        let mut memory = Memory::default();
        memory.control = Control { flags: CONTROL_TRACK, hz: HZ, event_rate: 100, ..Control::default() };
        memory.ticks.set(1_000_000);
        memory.hosts.insert(octets(Ipv4Addr::new(10, 0, index, 1).into()), 1);
        memory.hosts.insert(addr(&format!("fd00::{index}:1")), 1);
        Self { memory, compiler: Compiler::new(Options::default()) }
    }
}

fn policy(number: usize, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{namespace: a, name: p{number}}}, spec: {spec}}}\n"
    )
}

fn name(pod: &str) -> Name {
    let (namespace, name) = pod.split_once('/').unwrap_or(("a", pod));
    Name::new(namespace, name)
}

pub(crate) fn at(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

pub(crate) fn addr(text: &str) -> Addr {
    octets(at(text))
}

fn octets(ip: IpAddr) -> Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address that a frame without tags goes to.
fn destination(frame: &[u8]) -> Addr {
    let take = |from: usize, count: usize| &frame[from..from + count];
    if frame[12..14] == [0x08, 0x00] {
        let v4: [u8; 4] = take(30, 4).try_into().expect("four bytes");
        octets(Ipv4Addr::from(v4).into())
    } else {
        take(38, 16).try_into().expect("sixteen bytes")
    }
}

/// A packet from one address to another, still without a transport.
pub(crate) fn between(source: &str, destination: &str) -> terway_policy::craft::Craft {
    terway_policy::craft::ip(at(source), at(destination))
}

/// Which direction a flow was opened in.
pub(crate) fn opened_by_pod(flow: &Flow) -> bool {
    flow.direction == EGRESS
}

/// What the hook of a pod's egress says; and that it says in full what it may have said the short way.
fn from_pod(memory: &Memory, frame: &[u8], context: &mut Context) -> Outcome {
    let (before, mut in_full) = (memory.clone(), *context);
    let outcome = terway_policy::verdict::from_pod(memory, frame, context);
    let mut parsed = Parsed::EMPTY;
    let full = from_pod_in(&before, frame, &mut in_full, &mut parsed)
        .unwrap_or_else(|| error_in(&before, frame, &in_full, &parsed, EGRESS));
    same((outcome, *context, memory), (full, in_full, &before));
    outcome
}

/// The same of a pod's ingress.
fn to_pod(memory: &Memory, frame: &[u8], context: &mut Context) -> Outcome {
    let (before, mut in_full) = (memory.clone(), *context);
    let outcome = terway_policy::verdict::to_pod(memory, frame, context);
    let mut full = exit(&before, frame, &mut in_full);
    if full.passes() {
        let mut parsed = Parsed::EMPTY;
        full = into_pod_in(&before, frame, &mut in_full, &mut parsed)
            .unwrap_or_else(|| error_in(&before, frame, &in_full, &parsed, INGRESS));
    }
    same((outcome, *context, memory), (full, in_full, &before));
    outcome
}

fn same(short: (Outcome, Context, &Memory), full: (Outcome, Context, &Memory)) {
    assert_eq!((short.0, short.1), (full.0, full.1), "the short way and the full one");
    assert_eq!(short.2.flows(), full.2.flows(), "what they book");
    assert_eq!(short.2.drops(), full.2.drops(), "what they count");
}
