//! What of a rule fits a flow and what does not. This explains and never decides: verdicts are the tables'.

use std::net::IpAddr;

use super::words::{self, Entry, Form, Wanted};
use crate::{
    compile::block::{Place, place},
    model::{Labels, Name, Operator, Peer, Pod, Protocol, Selector, Snapshot, Subject},
};

/// A flow as a rule sees it.
pub(super) struct Seen<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) remote: IpAddr,
    /// The pod that has that address.
    pub(super) peer: Option<&'a Pod>,
    /// The pod that the flow goes to.
    pub(super) destination: Option<&'a Pod>,
    /// A protocol with ports, and the destination port.
    pub(super) transport: Option<(Protocol, u16)>,
    /// The flow's port in words.
    pub(super) port: &'a str,
}

/// How near something came: 100 is that it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) score: u32,
    /// What fits, or what does not.
    pub(super) text: String,
}

const WHOLE: u32 = 100;

impl Fit {
    fn whole(text: impl Into<String>) -> Self {
        Self { score: WHOLE, text: text.into() }
    }

    fn part(score: u32, text: impl Into<String>) -> Self {
        Self { score: score.min(WHOLE - 1), text: text.into() }
    }

    pub(super) fn fits(&self) -> bool {
        self.score == WHOLE
    }
}

/// The nearest of some; the first of those that are equally near.
fn nearest(all: impl Iterator<Item = Fit>) -> Option<Fit> {
    all.reduce(|best, next| if next.score > best.score { next } else { best })
}

/// Demands of a selector that labels do not meet, in words, and how many demands there are.
fn unmet(selector: &Selector, labels: &Labels) -> (Vec<String>, usize) {
    let mut unmet = Vec::new();
    for (key, value) in &selector.equal {
        match labels.get(key) {
            Some(has) if has == value => {}
            Some(has) => unmet.push(format!("{key}={value} (has {key}={has})")),
            None => unmet.push(format!("{} (has no {key})", words::equal(key, value))),
        }
    }
    for expression in &selector.expressions {
        let value = labels.get(&expression.key);
        let listed = value.is_some_and(|value| expression.values.contains(value));
        let met = match expression.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Unknown => false,
        };
        if !met {
            let key = &expression.key;
            let has = value.map_or(format!(" (has no {key})"), |value| format!(" (has {key}={value})"));
            unmet.push(words::expression(expression) + &has);
        }
    }
    (unmet, selector.equal.len() + selector.expressions.len())
}

/// Whether labels meet a selector.
pub(super) fn meets(selector: &Selector, labels: &Labels) -> bool {
    unmet(selector, labels).0.is_empty()
}

/// Whether a ClusterNetworkPolicy is about a pod.
pub(super) fn is_subject(snapshot: &Snapshot, subject: &Subject, pod: &Pod) -> bool {
    let spaces = |selector| {
        let space = snapshot.namespaces.get(&pod.name.namespace);
        space.is_some_and(|space| meets(selector, &space.labels))
    };
    match subject {
        Subject::Namespaces(namespaces) => spaces(namespaces),
        Subject::Pods { namespaces, pods } => spaces(namespaces) && meets(pods, &pod.labels),
        Subject::Unknown => false,
    }
}

/// Points for demands that are met, of so many.
fn share(unmet: usize, all: usize, of: u32) -> u32 {
    match all {
        0 => of,
        all => of * u32::try_from(all - unmet).unwrap_or(0) / u32::try_from(all).unwrap_or(u32::MAX),
    }
}

/// How near the other side comes to one of a rule's peers.
pub(super) fn peers(form: &Form, policy: &Name, seen: &Seen<'_>) -> Fit {
    let Some(peers) = &form.peers else { return Fit::whole("any peer") };
    nearest(peers.iter().map(|peer| peer_fit(peer, policy, seen)))
        .unwrap_or_else(|| Fit::part(0, "the rule has no peer"))
}

fn peer_fit(peer: &Peer, policy: &Name, seen: &Seen<'_>) -> Fit {
    let fits = || Fit::whole(words::peer(peer, &policy.namespace));
    let remote = seen.remote;
    match peer {
        Peer::Unknown => Fit::part(0, "the peer is not known here and matches nothing"),
        Peer::Block { cidr, except } => match place(cidr, except, remote) {
            Place::Inside => fits(),
            Place::Hole(hole) => Fit::part(80, format!("{remote} is in {cidr} but excepted by {hole}")),
            Place::Outside => Fit::part(15, format!("{remote} is not in {cidr}")),
            Place::Unreadable(why) => Fit::part(5, format!("ipBlock {cidr} matches nothing: {why}")),
        },
        Peer::Pods { namespaces, pods } => {
            let Some(pod) = seen.peer else {
                let wanted = words::peer(peer, &policy.namespace);
                return Fit::part(5, format!("{remote} is no pod, the rule is about {wanted}"));
            };
            let mut misses = Vec::new();
            let mut score = 0;
            let space = &pod.name.namespace;
            match namespaces {
                None if *space == policy.namespace => score += 45,
                None => misses.push(format!(
                    "pod {} is in namespace {space}, the rule has no namespaceSelector and means {} only",
                    pod.name, policy.namespace
                )),
                Some(selector) => match seen.snapshot.namespaces.get(space) {
                    None => misses.push(format!("namespace {space} is not known")),
                    Some(found) => {
                        let (unmet, all) = unmet(selector, &found.labels);
                        score += share(unmet.len(), all, 45);
                        if !unmet.is_empty() {
                            misses.push(format!("namespace {space} does not match {}", unmet.join(", ")));
                        }
                    }
                },
            }
            let everything = Selector::default();
            let (unmet, all) = unmet(pods.as_ref().unwrap_or(&everything), &pod.labels);
            score += share(unmet.len(), all, 45);
            if !unmet.is_empty() {
                misses.push(format!("pod {} does not match {}", pod.name, unmet.join(", ")));
            }
            if misses.is_empty() { fits() } else { Fit::part(score, misses.join("; ")) }
        }
    }
}

/// How near the port comes to one of a rule's.
pub(super) fn ports(form: &Form, seen: &Seen<'_>) -> Fit {
    let Some(entries) = &form.ports else { return Fit::whole("every port") };
    let listed = words::ports(form);
    let Some((protocol, port)) = seen.transport else {
        return Fit::part(5, format!("{} has no ports, the rule is for {listed}", seen.port));
    };
    let fits = entries.iter().map(|entry| entry_fit(entry, protocol, port, seen));
    match nearest(fits) {
        Some(fit) if fit.score == NUMBER => Fit { text: format!("{} is not in {listed}", seen.port), ..fit },
        Some(fit) if !fit.fits() && entries.len() > 1 => {
            Fit { text: format!("{} is not in {listed} ({})", seen.port, fit.text), ..fit }
        }
        Some(fit) => fit,
        None => Fit::part(0, "the rule has no port"),
    }
}

/// The protocol fits, the number does not.
const NUMBER: u32 = 50;

fn entry_fit(entry: &Entry, protocol: Protocol, port: u16, seen: &Seen<'_>) -> Fit {
    let fits = || Fit::whole(words::entry(entry));
    let same = entry.protocol.is_none_or(|wanted| wanted == protocol);
    let other = |score| {
        let wanted = words::entry(entry);
        Fit::part(score, format!("{} is {protocol}, the rule is for {wanted}", seen.port))
    };
    match &entry.what {
        Wanted::Nothing(why) => Fit::part(0, format!("the port matches nothing: {why}")),
        Wanted::All if same => fits(),
        Wanted::All => other(20),
        Wanted::Range(first, last) => match ((*first..=*last).contains(&port), same) {
            (true, true) => fits(),
            (false, true) => Fit::part(NUMBER, ""),
            (true, false) => other(70),
            (false, false) => other(10),
        },
        Wanted::Name(name) => named(name, entry, protocol, port, seen),
    }
}

fn named(name: &str, entry: &Entry, protocol: Protocol, port: u16, seen: &Seen<'_>) -> Fit {
    let Some(pod) = seen.destination else {
        return Fit::part(30, format!("port name {name} stands for nothing: the destination is no pod"));
    };
    if pod.host_network {
        return Fit::part(
            30,
            format!("port name {name} stands for nothing: pod {} is on its node's network", pod.name),
        );
    }
    let declared: Vec<_> = pod.ports.iter().filter(|port| port.name == name).collect();
    let fitting =
        |each: &&&crate::model::NamedPort| entry.protocol.is_none_or(|wanted| wanted == each.protocol);
    if declared.iter().filter(fitting).any(|each| (each.protocol, each.port) == (protocol, port)) {
        return Fit::whole(format!("{name} is {port}/{protocol} on pod {}", pod.name));
    }
    let numbers: Vec<_> = declared.iter().map(|each| format!("{}/{}", each.port, each.protocol)).collect();
    if declared.is_empty() {
        Fit::part(60, format!("port name {name} is not declared by pod {}", pod.name))
    } else if declared.iter().any(|each| fitting(&each)) {
        Fit::part(
            65,
            format!("port name {name} is {} on pod {}, not {}", numbers.join(", "), pod.name, seen.port),
        )
    } else {
        let wanted = entry.protocol.map_or_else(String::new, |wanted| wanted.to_string());
        Fit::part(
            70,
            format!(
                "port name {name} is {} on pod {}, the rule wants {wanted}",
                numbers.join(", "),
                pod.name
            ),
        )
    }
}

/// Of a rule with a part that is not known here.
pub(super) fn unknown() -> Fit {
    Fit::part(0, "a peer or protocol of the rule is not known here, so it matches nothing")
}
