//! Addresses by class: what a rule's peers come down to on this node.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;
use terway_policy::layout::{Addr, CidrKey, PeerKey, is_v4};

use super::{Node, ip_of};
use crate::error::Error;

/// A prefix over sixteen bytes, as the maps have it: IPv4 in mapped form. Shown as people write it, one address without a
/// length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    addr: Addr,
    bits: u8,
}

impl Prefix {
    /// Of so many bits, from the beginning of the sixteen bytes.
    pub const fn new(addr: Addr, bits: u8) -> Self {
        Self { addr, bits }
    }

    fn covers(&self, other: &Self) -> bool {
        let [mine, others] = [self, other].map(|prefix| u128::from_be_bytes(prefix.addr));
        let differ = (mine ^ others).leading_zeros();
        self.bits <= other.bits && u32::from(self.bits) <= differ
    }

    /// All of IPv4, which stands inside of `::/0` and is no part of it.
    fn is_all_v4(&self) -> bool {
        is_v4(&self.addr) && self.bits == 96
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = ip_of(&self.addr);
        let bits = if ip.is_ipv4() { self.bits.saturating_sub(96) } else { self.bits };
        if self.bits == 128 { write!(f, "{ip}") } else { write!(f, "{ip}/{bits}") }
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Exceptions of a block that are written out.
const WRITTEN: usize = 8;

/// Addresses of some classes that stand together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Block {
    /// All of them,
    pub prefix: Prefix,
    /// but not these.
    pub except: Vec<Prefix>,
}

impl Block {
    /// Whether an address is in it.
    pub fn contains(&self, addr: Addr) -> bool {
        let addr = Prefix::new(addr, 128);
        let of_family = is_v4(&self.prefix.addr) == is_v4(&addr.addr);
        of_family && self.prefix.covers(&addr) && !self.except.iter().any(|hole| hole.covers(&addr))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.prefix)?;
        for (at, hole) in self.except.iter().take(WRITTEN).enumerate() {
            write!(f, " {} {hole}", if at == 0 { "except" } else { "and" })?;
        }
        // Who is outside of the cluster is everybody but all of its pods.
        let more = self.except.len().saturating_sub(WRITTEN);
        if more == 0 { Ok(()) } else { write!(f, " and {more} more") }
    }
}

/// Every address of one view that has a class: a prefix counts but for what is inside of it under another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// What covers others stands before them.
    entries: Vec<(Prefix, u32)>,
    /// The next wider entry of each.
    above: Vec<Option<usize>>,
    /// Those just inside of an entry.
    below: BTreeMap<usize, Vec<usize>>,
    by_class: BTreeMap<u32, Vec<usize>>,
}

impl Addresses {
    /// Prefixes with their classes, and pods' addresses with theirs, which go before a prefix of the same length.
    pub fn new(
        prefixes: impl IntoIterator<Item = (Prefix, u32)>,
        pods: impl IntoIterator<Item = (Addr, u32)>,
    ) -> Self {
        let pods = pods.into_iter().map(|(addr, class)| (Prefix::new(addr, 128), class));
        // The sort is stable.
        let mut entries: Vec<_> = pods.chain(prefixes).collect();
        entries.sort_by_key(|(prefix, _)| *prefix);
        entries.dedup_by_key(|(prefix, _)| *prefix);
        let mut this = Self { entries, ..Self::default() };
        let mut open: Vec<usize> = Vec::new();
        for (at, (prefix, class)) in this.entries.iter().enumerate() {
            while open.pop_if(|over| !this.entries[*over].0.covers(prefix)).is_some() {}
            this.above.push(open.last().copied());
            if let Some(over) = open.last() {
                this.below.entry(*over).or_default().push(at);
            }
            this.by_class.entry(*class).or_default().push(at);
            open.push(at);
        }
        this
    }

    /// Those of some classes.
    pub fn of(&self, classes: &BTreeSet<u32>) -> Vec<Block> {
        let mut wanted: Vec<_> =
            classes.iter().filter_map(|class| self.by_class.get(class)).flatten().copied().collect();
        wanted.sort_unstable();
        let mut blocks: Vec<Block> = Vec::new();
        // The block that an entry belongs to: of what covers it, if that is wanted too.
        let mut owners: BTreeMap<usize, usize> = BTreeMap::new();
        for at in wanted {
            let same_family =
                |above: &usize| is_v4(&self.entries[*above].0.addr) == is_v4(&self.entries[at].0.addr);
            let above = self.above[at].filter(same_family);
            let owner = above.and_then(|above| owners.get(&above)).copied();
            let owner = owner.unwrap_or_else(|| {
                blocks.push(Block { prefix: self.entries[at].0, except: Vec::new() });
                blocks.len() - 1
            });
            let Some(below) = self.below.get(&at) else { continue };
            owners.insert(at, owner);
            let holes = below.iter().map(|inside| self.entries[*inside]);
            let holes = holes.filter(|(prefix, class)| !classes.contains(class) && !prefix.is_all_v4());
            blocks[owner].except.extend(holes.map(|(prefix, _)| prefix));
        }
        blocks
    }

    /// Entries with their classes.
    pub fn entries(&self) -> &[(Prefix, u32)] {
        &self.entries
    }
}

impl Node {
    /// The classes of one view.
    pub fn addresses(&self, view: u32) -> Result<Addresses, Error> {
        let of_view = |key: &PeerKey| key.view == view;
        let pods = self.tables.peers.all()?.into_iter().filter(|(key, _)| of_view(key));
        let prefixes = self.tables.cidrs.all()?.into_iter().filter(|(key, _)| of_view(&key.key));
        let prefix = |key: CidrKey| Prefix::new(key.key.addr, key.bits.saturating_sub(32).min(128) as u8);
        Ok(Addresses::new(
            prefixes.map(|(key, class)| (prefix(key), class)),
            pods.map(|(key, class)| (key.addr, class)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use terway_policy::layout::mapped;

    use super::*;

    fn v4(addr: [u8; 4], bits: u8) -> Prefix {
        Prefix::new(mapped(addr), 96 + bits)
    }

    fn texts(addresses: &Addresses, classes: &[u32]) -> Vec<String> {
        addresses.of(&classes.iter().copied().collect()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_class_is_its_prefixes_without_what_others_have_inside() {
        let addresses = Addresses::new(
            [
                (v4([10, 0, 0, 0], 8), 1),
                (v4([10, 1, 0, 0], 16), 2),
                (v4([10, 1, 2, 0], 24), 1),
                (v4([10, 9, 0, 1], 32), 3),
                (v4([192, 0, 2, 0], 24), 2),
            ],
            [(mapped([10, 9, 0, 1]), 1), (mapped([10, 9, 0, 2]), 4)],
        );
        assert_eq!(texts(&addresses, &[1]), ["10.0.0.0/8 except 10.1.0.0/16 and 10.9.0.2", "10.1.2.0/24"]);
        assert_eq!(texts(&addresses, &[1, 2]), ["10.0.0.0/8 except 10.9.0.2", "192.0.2.0/24"]);
        assert_eq!(texts(&addresses, &[2]), ["10.1.0.0/16 except 10.1.2.0/24", "192.0.2.0/24"]);
        assert_eq!(texts(&addresses, &[3]), [""; 0], "the pod's address goes before the prefix");
        assert_eq!(texts(&addresses, &[4]), ["10.9.0.2"]);
    }

    #[test]
    fn all_of_ipv6_has_no_ipv4_in_it_and_no_exception_that_says_so() {
        let all = Prefix::new([0; 16], 0);
        let addresses = Addresses::new([(all, 1), (v4([0; 4], 0), 2), (v4([10, 0, 0, 0], 8), 1)], []);
        assert_eq!(texts(&addresses, &[1]), ["::/0", "10.0.0.0/8"]);
        assert_eq!(texts(&addresses, &[2]), ["0.0.0.0/0 except 10.0.0.0/8"]);
        let addresses =
            Addresses::new([(all, 1), (v4([0; 4], 0), 1)], (0..10).map(|last| (mapped([10, 0, 0, last]), 2)));
        let first = (0..8).map(|last| format!("10.0.0.{last}")).collect::<Vec<_>>().join(" and ");
        assert_eq!(
            texts(&addresses, &[1]),
            ["::/0".to_owned(), format!("0.0.0.0/0 except {first} and 2 more")]
        );
    }
}
