//! What the programs tell, in words: whose packet it was, and which policy decided.

use std::net::IpAddr;

use serde::Serialize;
use terway_policy::{
    compile::{Compiler, Origin, Whom},
    layout::{EGRESS, Event, NO_RULE, addr_of},
    verdict::Reason,
};

use super::Place;

/// How much an operator should mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Somebody tries what no honest pod does.
    High,
    /// A policy at work, or a pod that is not governed as it should be.
    Medium,
    /// It passed.
    Low,
}

/// One end of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; 0 where the protocol has none.
    pub port: u16,
    /// The pod that has the address, `namespace/name`.
    pub pod: Option<String>,
}

/// A packet that was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Nanoseconds of monotonic time.
    #[serde(skip)]
    pub at: u64,
    /// Whether it passed.
    #[serde(skip)]
    pub passed: bool,
    /// `ingress` or `egress`, seen from the pod that was judged.
    pub direction: &'static str,
    /// Who sent it.
    pub source: End,
    /// To whom.
    pub destination: End,
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, or a number.
    pub protocol: String,
    /// Bytes of the packet.
    pub length: u32,
    /// Why, in one word.
    pub reason: &'static str,
    /// How much to mind.
    pub severity: Severity,
    /// The policy that decided, or those that isolate the pod where no rule matched.
    pub policies: Vec<String>,
    /// Place of the rule in its policy, from 0.
    pub rule: Option<usize>,
    /// For a person.
    pub description: String,
}

/// A reason as the kernel tells it: word, severity, sentence.
fn reason(number: u8) -> (&'static str, Severity, &'static str) {
    use Severity::{High, Low, Medium};
    let of = |reason: Reason| reason as u8 == number;
    let all = [
        (Reason::NotIsolated, "not-isolated", Low, "no policy is about the pod"),
        (Reason::Rule, "rule", Low, "a rule allows it"),
        (Reason::Node, "node", Low, "it is between the pod and its own node"),
        (Reason::Itself, "itself", Low, "the pod speaks with itself"),
        (Reason::Pending, "service", Low, "it goes to a service, and is judged by what is behind it"),
        (Reason::NoRule, "no-rule", Medium, "policies isolate the pod, and no rule of theirs matches"),
        (Reason::Denied, "denied", Medium, "a rule denies it"),
        (Reason::Locked, "locked", Medium, "the pod's policies are not known yet"),
        (Reason::Closed, "closed", Medium, "the pod's policies could not be put in force"),
        (Reason::UnknownEndpoint, "unknown-link", Medium, "the link is no pod's, or its pod is gone"),
        (Reason::Spoofed, "spoofed", High, "its source is not the address of the pod that sent it"),
        (
            Reason::Malformed,
            "malformed",
            High,
            "its headers are cut off, too deep, or against their protocol",
        ),
        (Reason::UnknownFragment, "fragment", Medium, "it is part of a packet whose beginning did not pass"),
        (Reason::Metadata, "metadata", High, "pods are kept from the instance metadata"),
        (Reason::Unrelated, "unrelated-error", Medium, "it is an error about no flow of the pod"),
        (
            Reason::Unjudged,
            "unjudged",
            Medium,
            "it goes to a service, and who sent it cannot be told any more",
        ),
        (Reason::NotIp, "not-ip", High, "it is neither IP nor ARP"),
    ];
    let found = all.into_iter().find(|(known, ..)| of(*known));
    found.map_or(
        ("other", Medium, "for a reason that this agent does not know"),
        |(_, word, severity, text)| (word, severity, text),
    )
}

fn protocol(number: u8) -> String {
    match number {
        1 => "ICMP".into(),
        6 => "TCP".into(),
        17 => "UDP".into(),
        58 => "ICMPv6".into(),
        132 => "SCTP".into(),
        other => other.to_string(),
    }
}

fn ip(addr: [u8; 16]) -> IpAddr {
    let v6 = std::net::Ipv6Addr::from(addr);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

/// Words for an event; `place` is that of the link that it is about.
pub(super) fn describe(compiler: &Compiler, place: Option<&Place>, event: &Event) -> Told {
    let egress = event.direction == EGRESS;
    let own = place.filter(|place| !place.pod.namespace.is_empty()).map(|place| place.pod.to_string());
    let end = |addr: [u8; 16], port: u16, is_own: bool| {
        let ip = ip(addr);
        let owned = place.is_some_and(|place| place.ips.contains(&ip));
        let known = || compiler.pod_at(&addr_of(ip)).map(ToString::to_string);
        // The address of a packet that lies is not the pod's, the packet is.
        let pod =
            if is_own && (owned || event.reason == Reason::Spoofed as u8) { own.clone() } else { known() };
        // Of ICMP these are identifier and type.
        let port = if matches!(event.protocol, 1 | 58) { 0 } else { port };
        End { ip, port, pod }
    };
    let source = end(event.source, event.source_port, egress);
    let destination = end(event.destination, event.destination_port, !egress);
    let (word, severity, sentence) = reason(event.reason);
    let origin = (event.rule != NO_RULE).then(|| compiler.origin(event.rules, event.rule)).flatten();
    let isolated = (event.reason == Reason::NoRule as u8).then(|| compiler.isolated_by(event.rules));
    let policies: Vec<String> = match (origin, isolated) {
        (Some(origin), _) => vec![origin.policy.to_string()],
        (None, Some(names)) => names.iter().map(ToString::to_string).collect(),
        (None, None) => Vec::new(),
    };
    let direction = if egress { "egress" } else { "ingress" };
    let description = match origin {
        Some(Origin { node: Some(Whom::Everyone), policy, .. }) => {
            format!("{sentence}: {} of the node's configuration", policy.name)
        }
        Some(Origin { node: Some(Whom::Outside), policy, .. }) => {
            let who = source.ip;
            format!(
                "{sentence}: {} of the node's configuration; {who} is no pod of this cluster",
                policy.name
            )
        }
        Some(origin) => format!("{sentence}: {} {direction}[{}]", origin.policy, origin.index),
        None if policies.is_empty() => sentence.to_owned(),
        None => format!("{sentence}: isolated by {}", policies.join(", ")),
    };
    Told {
        at: event.at,
        passed: event.passed == 1,
        direction,
        source,
        destination,
        protocol: protocol(event.protocol),
        length: event.length,
        reason: word,
        severity,
        policies,
        rule: origin.map(|origin| origin.index),
        description,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_of_its_own() {
        let told: Vec<u8> = [0, 1, 3, 4, 8].into_iter().chain(32..=43).collect();
        let mut words: Vec<&str> = told.iter().map(|number| reason(*number).0).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), told.len(), "{words:?}");
        assert!(!words.contains(&"other"));
        assert_eq!(reason(200).0, "other");
    }

    #[test]
    fn addresses_come_back_in_their_family() {
        for text in ["10.0.0.1", "2001:db8::1"] {
            let given: IpAddr = text.parse().expect("valid");
            assert_eq!(ip(addr_of(given)), given);
        }
    }
}
