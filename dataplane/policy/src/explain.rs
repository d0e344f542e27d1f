//! Why a flow passes or does not. The verdict is that of the shipping code, compiled for both ends and read from tables
//! in memory; what is said besides, which parts of a rule fit and which do not, explains it and decides nothing.
//!
//! - `ask`: questions as people write them; `answer`: what is answered, and why not
//! - `side`: one end's verdict
//! - `fit`: what of a rule fits
//! - `words`: selectors, peers and ports in words
//! - `text`: an explanation for people
//! - `dump`: the rules of every pod

mod answer;
mod ask;
mod dump;
mod fit;
mod side;
mod text;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

pub use self::{
    answer::{ExplainError, Explanation, Flow, Place, Problem},
    ask::{AskError, End, Port, Question},
    dump::{Dump, DumpRule, DumpSide, PodDump},
    side::{NearMiss, NotAsked, Side, Why},
};
use crate::{
    compile::{Compiler, EndpointSpec, Limits, Options},
    memory::Memory,
    model::{Name, NamedPort, Pod, PortRef, Protocol, Snapshot},
};

/// A node of its own, on which every pod that is asked about lives.
#[derive(Debug)]
pub struct Explainer<'a> {
    snapshot: &'a Snapshot,
    /// Addresses of the node that a pod is on.
    nodes: BTreeMap<Name, BTreeSet<IpAddr>>,
    by_address: BTreeMap<IpAddr, &'a Pod>,
    compiler: Compiler,
    memory: Memory,
    links: BTreeMap<Name, u32>,
}

/// An end with all that is known of it.
#[derive(Clone, Debug)]
struct Found<'a> {
    text: String,
    pod: Option<&'a Pod>,
    addresses: Vec<IpAddr>,
    /// The pod has no address yet, and these stand for it.
    assumed: bool,
}

impl Found<'_> {
    fn place(&self) -> Place {
        Place { pod: self.pod.map(|pod| pod.name.clone()), addresses: self.addresses.clone() }
    }

    fn families(&self) -> &'static str {
        let v4 = self.addresses.iter().any(IpAddr::is_ipv4);
        match (v4, self.addresses.iter().any(IpAddr::is_ipv6)) {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4",
            (false, true) => "IPv6",
            (false, false) => "none",
        }
    }
}

impl<'a> Explainer<'a> {
    /// Compiles a cluster.
    pub fn new(snapshot: &'a Snapshot) -> Result<Self, ExplainError> {
        // Every pod of a cluster may come to be here, and memory has more room than a kernel's map. Pages have numbers
        // of 15 bits.
        let most = usize::MAX;
        let limits =
            Limits { peers: most, cidrs: most, rules: 1 << 18, pages: 0xfffe, classes: most, crosses: most };
        let mut compiler = Compiler::new(Options { limits, ..Options::default() });
        compiler.load(snapshot);
        let mut by_address = BTreeMap::new();
        for pod in snapshot.pods.values().filter(|pod| !pod.finished && !pod.host_network) {
            for ip in &pod.ips {
                by_address.entry(*ip).or_insert(pod);
            }
        }
        let (nodes, links) = (BTreeMap::new(), BTreeMap::new());
        let mut this = Self { snapshot, nodes, by_address, compiler, memory: Memory::default(), links };
        this.publish()?;
        Ok(this)
    }

    /// Says which addresses the node of a pod has: flows between the two are not policy's business.
    pub fn set_node(&mut self, pod: Name, addresses: impl IntoIterator<Item = IpAddr>) {
        self.nodes.insert(pod, addresses.into_iter().collect());
    }

    /// Answers a question.
    pub fn explain(&mut self, question: &Question) -> Result<Explanation, ExplainError> {
        let mut from = self.find(&question.from)?;
        let mut to = self.find(&question.to)?;
        self.assume(&mut from, &mut to);
        for end in [&from, &to] {
            if let Some(pod) = end.pod {
                self.place(pod, &end.addresses);
            }
        }
        self.publish()?;
        let mut flows: Vec<Flow> = Vec::new();
        for source in &from.addresses {
            for destination in to.addresses.iter().filter(|ip| ip.is_ipv4() == source.is_ipv4()) {
                for flow in self.pair(question, (&from, *source), (&to, *destination))? {
                    match flows.iter_mut().find(|before| before.ports == flow.ports && before.is_like(&flow))
                    {
                        Some(before) => before.addresses.extend(flow.addresses),
                        None => flows.push(flow),
                    }
                }
            }
        }
        if flows.is_empty() {
            let (from_has, to_has) = (from.families(), to.families());
            return Err(ExplainError::NoFamily { from: from.text, to: to.text, from_has, to_has });
        }
        Ok(Explanation {
            from: from.place(),
            to: to.place(),
            port: question.port.clone(),
            allowed: flows.iter().all(|flow| flow.allowed),
            flows,
            problems: self.problems([from.pod, to.pod].into_iter().flatten()),
            notes: [&from, &to].into_iter().filter_map(|end| self.note(end)).collect(),
        })
    }

    fn find(&self, end: &End) -> Result<Found<'a>, ExplainError> {
        match end {
            End::Address(ip) => {
                let pod = self.by_address.get(ip).copied();
                Ok(Found { text: end.to_string(), pod, addresses: vec![*ip], assumed: false })
            }
            End::Pod(name) => {
                let Some(pod) = self.snapshot.pods.get(name) else {
                    return Err(ExplainError::NoPod { pod: name.clone(), similar: self.similar(name) });
                };
                let (text, addresses) = (end.to_string(), pod.ips.clone());
                Ok(Found { text, pod: Some(pod), addresses, assumed: pod.ips.is_empty() })
            }
        }
    }

    /// Pods that may be meant: of the same name elsewhere, or with a name that begins alike.
    fn similar(&self, name: &Name) -> Vec<Name> {
        const MOST: usize = 5;
        let begin = name.name.split(['-', '.']).next().unwrap_or_default();
        let elsewhere = |other: &&Name| other.name == name.name;
        let alike = |other: &&Name| other.namespace == name.namespace && other.name.starts_with(begin);
        let pods = || self.snapshot.pods.keys();
        let mut similar: Vec<_> = pods().filter(elsewhere).chain(pods().filter(alike)).cloned().collect();
        similar.truncate(MOST);
        similar
    }

    /// Gives addresses to pods that have none yet, as in manifests: such as are nobody's, of the families that the other
    /// end has.
    fn assume(&mut self, from: &mut Found<'a>, to: &mut Found<'a>) {
        let both = from.assumed && to.assumed;
        let (from_has, to_has) = (from.addresses.clone(), to.addresses.clone());
        for (end, other) in [(from, to_has), (to, from_has)] {
            if !end.assumed || !end.addresses.is_empty() {
                continue;
            }
            let Some(pod) = end.pod else { continue };
            let number = self.snapshot.pods.keys().take_while(|name| **name != pod.name).count() as u32;
            // Set aside for measurements and for documentation: no cluster has them.
            let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)).wrapping_add(number));
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0x7e, 0, 0, 0, (number >> 16) as u16, number as u16);
            if both || other.iter().any(IpAddr::is_ipv4) {
                end.addresses.push(v4.into());
            }
            if !both && other.iter().any(IpAddr::is_ipv6) {
                end.addresses.push(v6.into());
            }
            self.compiler.set_pod(&Pod { ips: vec![v4.into(), v6.into()], ..pod.clone() });
        }
    }

    /// Gives a pod a place on this node; to be published.
    fn place(&mut self, pod: &Pod, ips: &[IpAddr]) {
        if self.links.contains_key(&pod.name) {
            return;
        }
        let link = self.links.len() as u32 + 1;
        self.links.insert(pod.name.clone(), link);
        let spec = EndpointSpec { pod: pod.name.clone(), ips: ips.to_vec(), flags: 0 };
        self.compiler.set_endpoint(link, spec);
    }

    fn publish(&mut self) -> Result<(), ExplainError> {
        let publication = self.compiler.publish()?;
        publication.ops().for_each(|op| self.memory.apply(op));
        Ok(())
    }

    /// Judges all that is asked between two addresses.
    fn pair(
        &self,
        question: &Question,
        from: (&Found<'a>, IpAddr),
        to: (&Found<'a>, IpAddr),
    ) -> Result<Vec<Flow>, ExplainError> {
        let one = |transport| self.flow(from, to, transport);
        Ok(match &question.port {
            Port::Number(number, protocol) => vec![one(Some((*protocol, *number, *number)))],
            Port::Icmp => vec![one(None)],
            Port::Named(name, protocol) => {
                let numbers = numbers(to.0, name, *protocol, &question.port)?;
                numbers.into_iter().map(|number| one(Some((*protocol, number, number)))).collect()
            }
            Port::Every(protocol) => {
                let mut flows: Vec<Flow> = Vec::new();
                let edges = self.edges();
                let ends = edges.iter().skip(1).map(|edge| edge - 1).chain([u16::MAX]);
                for (first, last) in edges.iter().copied().zip(ends) {
                    let flow = one(Some((*protocol, first, last)));
                    match flows.last_mut() {
                        Some(before) if before.is_like(&flow) => {
                            before.ports = before.ports.map(|(begin, _)| (begin, last));
                        }
                        _ => flows.push(flow),
                    }
                }
                // Once more, for what is said of a range is said of the whole range.
                let ranges = flows.into_iter().filter_map(|flow| flow.ports);
                ranges.map(|(first, last)| one(Some((*protocol, first, last)))).collect()
            }
        })
    }

    /// Ports at which some rule may begin or cease to match.
    fn edges(&self) -> BTreeSet<u16> {
        let snapshot = self.snapshot;
        let named = snapshot.pods.values().flat_map(|pod| &pod.ports).map(|port| (port.port, port.port));
        let rules = snapshot.policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
        let rules = rules.flat_map(|rule| &rule.ports).filter_map(|port| match port.port {
            Some(PortRef::Number(first)) => Some((first, port.end.unwrap_or(first))),
            _ => None,
        });
        let clusters = snapshot.cluster_policies.values();
        let clusters = clusters.flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
        let clusters = clusters.flat_map(|rule| &rule.protocols).filter_map(|port| match port {
            crate::model::ClusterPort::Numbers { ports, .. } => *ports,
            _ => None,
        });
        let ranges = named.chain(rules).chain(clusters);
        ranges.flat_map(|(first, last)| [Some(first), last.checked_add(1)]).flatten().chain([0]).collect()
    }

    /// Judges a flow, or a range of ports that no rule splits.
    fn flow(
        &self,
        from: (&Found<'a>, IpAddr),
        to: (&Found<'a>, IpAddr),
        transport: Option<(Protocol, u16, u16)>,
    ) -> Flow {
        let port = match transport {
            None => "icmp".into(),
            Some((protocol, first, last)) if first == last => format!("{first}/{protocol}"),
            Some((protocol, first, last)) => format!("{first}-{last}/{protocol}"),
        };
        let first = transport.map(|(protocol, first, _)| (protocol, first));
        let (egress, ingress) = self.judge(from, to, first, &port);
        Flow {
            port,
            ports: transport.map(|(_, first, last)| (first, last)),
            addresses: vec![(from.1, to.1)],
            allowed: egress.allowed && ingress.allowed,
            egress,
            ingress,
        }
    }

    fn note(&self, end: &Found<'a>) -> Option<String> {
        let pod = end.pod?;
        let name = &pod.name;
        if end.assumed {
            let assumed: Vec<_> = end.addresses.iter().map(ToString::to_string).collect();
            return Some(format!(
                "{name} has no address yet; {} stands for it, so ipBlocks may judge it otherwise later",
                assumed.join(" and ")
            ));
        }
        let owners: Vec<_> = if pod.finished { end.addresses.iter() } else { [].iter() }
            .filter_map(|ip| Some((ip, self.by_address.get(ip)?)))
            .map(|(ip, owner)| format!("{name} has ended, and {ip} is {} now", owner.name))
            .collect();
        (!owners.is_empty()).then(|| owners.join("; "))
    }

    /// What is not understood of the policies that are about these pods.
    fn problems<'p>(&self, pods: impl Iterator<Item = &'p Pod>) -> Vec<Problem> {
        let pods: Vec<_> = pods.collect();
        let about = |policy: &Name| {
            let of_cluster = self.snapshot.cluster_policies.get(&policy.name);
            pods.iter().any(|pod| {
                if policy.namespace.is_empty() {
                    of_cluster.is_some_and(|policy| fit::is_subject(self.snapshot, &policy.subject, pod))
                } else {
                    policy.namespace == pod.name.namespace
                        && self
                            .snapshot
                            .policies
                            .get(policy)
                            .is_some_and(|it| fit::meets(&it.selector, &pod.labels))
                }
            })
        };
        let all = self.compiler.problems().filter(|(policy, _)| about(policy));
        let mut problems: Vec<_> =
            all.map(|(policy, text)| Problem { policy, problem: text.to_owned() }).collect();
        problems.dedup();
        problems
    }
}

/// Numbers that a port name stands for at a destination.
fn numbers(
    to: &Found<'_>,
    name: &str,
    protocol: Protocol,
    port: &Port,
) -> Result<BTreeSet<u16>, ExplainError> {
    let ports = to.pod.map_or(&[][..], |pod| &pod.ports);
    let fitting = ports.iter().filter(|port| port.name == name && port.protocol == protocol);
    let numbers: BTreeSet<u16> = fitting.map(|port| port.port).collect();
    if numbers.is_empty() {
        let words = |port: &NamedPort| format!("{}/{} (which is {})", port.name, port.protocol, port.port);
        let declared = ports.iter().map(words).collect();
        return Err(ExplainError::NoPort { port: port.clone(), to: to.text.clone(), declared });
    }
    Ok(numbers)
}
