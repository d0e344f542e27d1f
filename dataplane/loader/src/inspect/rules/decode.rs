//! Tables of rule sets, taken apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use terway_policy::{
    layout::{Best, ClassKey, ClassValue, CrossKey, Endpoint, PAGE_LINK, Page},
    packet::protocol,
};

use super::{Count, Ports};
use crate::{error::Error, inspect::Node};

/// What some rule sets have in maps that all share, read once and in the order of their keys.
pub(super) struct Tables {
    classes: Vec<(ClassKey, ClassValue)>,
    crossings: Vec<(CrossKey, Best)>,
    counts: BTreeMap<u32, BTreeMap<u32, Count>>,
}

impl Tables {
    /// Reads what endpoints speak of.
    pub(super) fn read(node: &Node, endpoints: &[(u32, Endpoint)]) -> Result<Self, Error> {
        let both = |(_, endpoint): &(u32, Endpoint)| endpoint.rules.into_iter().chain(endpoint.next);
        let wanted: BTreeSet<u32> = endpoints.iter().flat_map(both).collect();
        let tables = &node.tables;
        let mut classes = tables.classes.all()?;
        classes.retain(|(key, _)| wanted.contains(&key.rules));
        classes.sort_unstable_by_key(|(key, _)| *key);
        let mut crossings = tables.crossings.all()?;
        crossings.retain(|(key, _)| wanted.contains(&key.rules));
        crossings.sort_unstable_by_key(|(key, _)| *key);
        let mut counts: BTreeMap<u32, BTreeMap<u32, Count>> = BTreeMap::new();
        tables.counters.each(|key, values| {
            if wanted.contains(&key.rules) {
                let count = counts.entry(key.rules).or_default().entry(key.rule).or_default();
                for value in values {
                    count.packets += value.packets;
                    count.bytes += value.bytes;
                }
            }
        })?;
        Ok(Self { classes, crossings, counts })
    }

    pub(super) fn classes_of(&self, rules: u32) -> &[(ClassKey, ClassValue)] {
        slice(&self.classes, |key| key.rules, rules)
    }

    pub(super) fn crossings_of(&self, rules: u32) -> &[(CrossKey, Best)] {
        slice(&self.crossings, |key| key.rules, rules)
    }

    pub(super) fn counts_of(&self, rules: u32) -> BTreeMap<u32, Count> {
        self.counts.get(&rules).cloned().unwrap_or_default()
    }
}

/// The entries of one rule set among all, which are in order.
fn slice<K, V>(all: &[(K, V)], rules_of: impl Fn(&K) -> u32, rules: u32) -> &[(K, V)] {
    let first = all.partition_point(|(key, _)| rules_of(key) < rules);
    let length = all[first..].partition_point(|(key, _)| rules_of(key) == rules);
    &all[first..first + length]
}

/// Port groups with their ports, from the pages that a rule set begins with.
pub(super) fn groups(
    roots: &[u32; 4],
    read: impl Fn(u32) -> Result<Option<Page>, Error>,
) -> Result<BTreeMap<u32, Vec<Ports>>, Error> {
    let mut pages: BTreeMap<u32, Option<Rc<Page>>> = BTreeMap::new();
    let mut page = |id: u32| -> Result<Option<Rc<Page>>, Error> {
        if let Some(known) = pages.get(&id) {
            return Ok(known.clone());
        }
        let page = read(id)?.map(Rc::new);
        pages.insert(id, page.clone());
        Ok(page)
    };
    let mut groups: BTreeMap<u32, Vec<Ports>> = BTreeMap::new();
    let transports = [Some(protocol::TCP), Some(protocol::UDP), Some(protocol::SCTP), None];
    for (number, root) in transports.into_iter().zip(roots).filter(|(_, root)| **root != 0) {
        let Some(first) = page(*root)? else { continue };
        for (byte, entry) in (0_u8..=255).zip(first.groups) {
            let Some(number) = number else {
                add(&mut groups, entry, Ports { protocol: byte, range: None });
                continue;
            };
            let mut add = |group, low: u8, high: u8| {
                let port = |low| u16::from(byte) << 8 | u16::from(low);
                add(&mut groups, group, Ports { protocol: number, range: Some((port(low), port(high))) });
            };
            if entry & PAGE_LINK == 0 {
                add(entry, 0, 255);
            } else if let Some(second) = page(u32::from(entry & !PAGE_LINK))? {
                for (low, group) in (0_u8..=255).zip(second.groups) {
                    add(group, low, low);
                }
            }
        }
    }
    Ok(groups)
}

/// Adds ports to a group, to those before where they follow on them. Group 0 is none.
fn add(groups: &mut BTreeMap<u32, Vec<Ports>>, group: u16, ports: Ports) {
    if group != 0 {
        push(groups.entry(u32::from(group)).or_default(), ports);
    }
}

fn push(all: &mut Vec<Ports>, ports: Ports) {
    if let Some(last) = all.last_mut().filter(|last| last.protocol == ports.protocol)
        && let (Some(before), Some(range)) = (&mut last.range, ports.range)
        && before.1.checked_add(1) == Some(range.0)
    {
        before.1 = range.1;
        return;
    }
    all.push(ports);
}

/// Ports of several groups in order, ranges that touch in one.
pub(super) fn joined<'a>(ports: impl Iterator<Item = &'a Ports>) -> Vec<Ports> {
    let mut sorted: Vec<Ports> = ports.copied().collect();
    sorted.sort_unstable();
    let mut all = Vec::new();
    for ports in sorted {
        push(&mut all, ports);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_ports_come_out_as_ranges() {
        let mut first = Page { groups: [0; 256] };
        first.groups[0] = PAGE_LINK | 2;
        first.groups[0x1f] = 7;
        first.groups[0x20] = PAGE_LINK | 2;
        let mut second = Page { groups: [0; 256] };
        second.groups[0] = 7;
        second.groups[80] = 9;
        second.groups[81] = 9;
        let mut others = Page { groups: [0; 256] };
        others.groups[47] = 9;
        let pages = [(1, first), (2, second), (3, others)];
        let read = |id| Ok(pages.iter().find(|(number, _)| *number == id).map(|(_, page)| *page));
        let groups = groups(&[1, 0, 0, 3], read).expect("pages are here");
        let texts = |group: u32| groups[&group].iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(7), ["0/TCP", "7936-8192/TCP"]);
        assert_eq!(texts(9), ["80-81/TCP", "8272-8273/TCP", "GRE"]);
        let all = joined(groups[&9].iter().chain(&groups[&7]));
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["0/TCP", "80-81/TCP", "7936-8192/TCP", "8272-8273/TCP", "GRE"]);
    }
}
