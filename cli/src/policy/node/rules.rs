//! Rule sets of a node, as text.

use std::collections::BTreeSet;

use terway_bpf::inspect::{
    peers::Addresses,
    rules::{Count, Dump, Match, RuleDump, RuleSetDump, Tier, Use},
};

use super::{called, status::side};
use crate::print;

/// Addresses that are written out for one rule; JSON has all.
const SHOWN: usize = 12;

/// Endpoints, then each rule set with those who use it.
pub(super) fn text(dump: &Dump) -> String {
    let rows = dump.endpoints.iter().map(|endpoint| {
        let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
        [
            endpoint.link.to_string(),
            endpoint.interface.clone().unwrap_or_default(),
            addresses.join(","),
            side(endpoint.ingress),
            side(endpoint.egress),
        ]
    });
    let heading = ["LINK", "INTERFACE", "ADDRESSES", "INGRESS", "EGRESS"];
    let endpoints = print::table(heading, &rows.collect::<Vec<_>>());
    let none = Addresses::default();
    let sets =
        dump.rule_sets.iter().map(|set| rule_set(dump, set, dump.addresses.get(&set.view).unwrap_or(&none)));
    std::iter::once(endpoints).chain(sets).collect::<Vec<_>>().join("\n")
}

fn rule_set(dump: &Dump, set: &RuleSetDump, addresses: &Addresses) -> String {
    let used: Vec<_> = set.used_by.iter().map(|used| user(dump, *used)).collect();
    let state = match (set.ready, set.isolated) {
        (false, _) => "closed: it is not written",
        (true, true) => "isolated",
        (true, false) => "not isolated",
    };
    let first = format!("rule set {} (view {}): {}; {state}\n", set.rule_set, set.view, used.join(", "));
    let rest = if set.isolated || !set.ready { "deny" } else { "allow" };
    let last = format!("  else {rest}{}\n", told(&counted(set.unmatched)));
    let rules = set.rules.iter().map(|it| rule(it, set.isolated, addresses));
    std::iter::once(first).chain(rules).chain([last]).collect()
}

fn rule(rule: &RuleDump, isolated: bool, addresses: &Addresses) -> String {
    let mut notes = counted(rule.count);
    if isolated && rule.tier == Some(Tier::Baseline) {
        notes.push("not asked: isolated".to_owned());
    }
    let end = told(&notes);
    let tier = match rule.tier {
        Some(Tier::Admin) => "admin ",
        Some(Tier::Policy) => "",
        Some(Tier::Baseline) => "baseline ",
        None => return format!("  {}. {}: in no table any more{end}\n", rule.rule, rule.action),
    };
    let ends = std::iter::once(end.as_str()).chain(std::iter::repeat(""));
    rule.matches.iter().zip(ends).map(|(one, end)| line(rule, tier, one, addresses, end)).collect()
}

fn line(rule: &RuleDump, tier: &str, one: &Match, addresses: &Addresses, end: &str) -> String {
    let peers = match &one.classes {
        None => "any peer".to_owned(),
        Some(classes) => peers(addresses, classes),
    };
    let ports = match &one.ports {
        None => "everything".to_owned(),
        Some(ports) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("  {}. {tier}{} {peers}; {ports}{end}\n", rule.rule, rule.action)
}

fn peers(addresses: &Addresses, classes: &BTreeSet<u32>) -> String {
    let blocks = addresses.of(classes);
    let mut texts: Vec<_> = blocks.iter().take(SHOWN).map(ToString::to_string).collect();
    if blocks.len() > SHOWN {
        texts.push(format!("{} more", blocks.len() - SHOWN));
    }
    if texts.is_empty() { "nobody now".to_owned() } else { texts.join(", ") }
}

fn user(dump: &Dump, used: Use) -> String {
    let endpoint = dump.endpoints.iter().find(|endpoint| endpoint.link == used.link);
    let name = called(used.link, endpoint.and_then(|endpoint| endpoint.interface.as_deref()));
    let next = if used.next { " next" } else { "" };
    format!("{}{next} of {name}", used.direction.word())
}

fn counted(count: Count) -> Vec<String> {
    if count == Count::default() {
        return Vec::new();
    }
    let plural = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    vec![plural(count.packets, "packet"), plural(count.bytes, "byte")]
}

fn told(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) }
}
