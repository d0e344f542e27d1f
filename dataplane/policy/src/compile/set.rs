//! A rule set: the rules of all policies on one pod in one direction, in order of precedence, and its tables.

use std::collections::{BTreeMap, BTreeSet};

use super::{Full, pages::Pages, rule::Range};
use crate::{
    layout::{
        ALLOW, Best, ClassKey, ClassValue, CrossKey, DENY, NO_RULE, RULES_ISOLATED, RULES_PEERS, RULES_PORTS,
        RULES_READY, RuleSet, rule,
    },
    op::Op,
};

pub(super) use super::rule::Tier;

/// A rule bound to its rule set. One of the model may be several of these, one for each number that a port name stands
/// for; they share a place.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) tier: Tier,
    /// Place and action.
    pub(super) rule: u32,
    /// Any of these atoms; `None` is any peer.
    pub(super) peers: Option<Vec<u32>>,
    /// And this one besides: the pod's port name stands for the port.
    pub(super) besides: Option<u32>,
    /// Any of these; `None` is everything.
    pub(super) ports: Option<Vec<Range>>,
}

impl Bound {
    fn best(&self) -> Best {
        match self.tier {
            Tier::Admin => Best { admin: self.rule, ..Best::NONE },
            Tier::Policy => Best { policy: self.rule, ..Best::NONE },
            Tier::Baseline => Best { baseline: self.rule, ..Best::NONE },
        }
    }

    fn is_for_any(&self) -> bool {
        self.peers.is_none() && self.besides.is_none()
    }
}

#[derive(Debug)]
pub(super) struct Set {
    pub(super) id: u32,
    rules: Vec<Bound>,
    /// Rules by an atom that they name.
    by_atom: BTreeMap<u32, Vec<u32>>,
    /// Port groups of each rule.
    groups_of: Vec<Vec<u32>>,
    /// Best rule for any peer, by group.
    any_of: BTreeMap<u32, Best>,
    peer_sets: BTreeMap<Box<[u32]>, PeerSet>,
    next_peers: u32,
    /// Classes that stand in its tables.
    pub(super) classes: BTreeSet<u32>,
    pages: Vec<u32>,
    /// How many entries of `terway_policy_map` it has.
    pub(super) crosses: usize,
    /// Endpoints that use it.
    pub(super) holders: usize,
}

#[derive(Debug)]
struct PeerSet {
    id: u32,
    classes: usize,
    groups: Vec<u32>,
}

/// Groups that fit beside the link bit.
const MOST_GROUPS: usize = 0x7fff;
/// Cells times rules that are walked: beyond, ports overlap in a way that no policy means.
const MOST_WORK: usize = 64 << 20;

impl Set {
    /// Builds the tables that do not depend on classes, and appends their writes.
    pub(super) fn build(
        id: u32,
        isolated: bool,
        rules: Vec<Bound>,
        pages: &mut Pages,
        ops: &mut Vec<Op>,
    ) -> Result<Self, Full> {
        let mut set = Self {
            id,
            by_atom: BTreeMap::new(),
            groups_of: vec![Vec::new(); rules.len()],
            any_of: BTreeMap::new(),
            peer_sets: BTreeMap::new(),
            next_peers: 1,
            classes: BTreeSet::new(),
            pages: Vec::new(),
            crosses: 0,
            holders: 0,
            rules,
        };
        let mut value = RuleSet { flags: RULES_READY, ports: [0; 4], any: Best::NONE };
        if isolated {
            value.flags |= RULES_ISOLATED;
        }
        for (index, bound) in (0_u32..).zip(&set.rules) {
            let atoms: &[u32] = match (&bound.besides, &bound.peers) {
                (Some(atom), _) => std::slice::from_ref(atom),
                (None, Some(atoms)) => atoms,
                (None, None) => &[],
            };
            for atom in atoms {
                set.by_atom.entry(*atom).or_default().push(index);
            }
            if !bound.is_for_any() {
                value.flags |= RULES_PEERS;
            } else if bound.ports.is_none() {
                value.any = value.any.better(bound.best());
            }
        }
        match set.lay_out_ports(pages, &mut value, ops) {
            Ok(()) => {}
            Err(LayOut::Full(full)) => {
                set.release_pages(pages);
                return Err(full);
            }
            // Not ready: closed.
            Err(LayOut::TooMany) => value = RuleSet { flags: 0, ports: [0; 4], any: Best::NONE },
        }
        for (group, best) in &set.any_of {
            ops.push(Op::Cross(CrossKey { rules: id, peer_set: 0, group: *group }, Some(*best)));
        }
        set.crosses = set.any_of.len();
        ops.push(Op::Rules(id, Some(value)));
        Ok(set)
    }

    fn lay_out_ports(
        &mut self,
        pages: &mut Pages,
        value: &mut RuleSet,
        ops: &mut Vec<Op>,
    ) -> Result<(), LayOut> {
        let mut numbers: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        let mut work = 0;
        for kind in 0..4_u8 {
            // Where the set of rules that name a port changes: what begins there, what has ended before.
            let mut edges: BTreeMap<u32, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
            for (index, bound) in (0_u32..).zip(&self.rules) {
                for range in bound.ports.iter().flatten().filter(|range| range.kind == kind) {
                    edges.entry(u32::from(range.first)).or_default().0.push(index);
                    edges.entry(u32::from(range.last) + 1).or_default().1.push(index);
                }
            }
            if edges.is_empty() {
                continue;
            }
            value.flags |= RULES_PORTS;
            let mut open: BTreeMap<u32, u32> = BTreeMap::new();
            let mut runs: Vec<(u16, u16)> = vec![(0, 0)];
            for (port, (begin, end)) in edges {
                for index in end {
                    if let Some(count) = open.get_mut(&index) {
                        *count -= 1;
                        if *count == 0 {
                            open.remove(&index);
                        }
                    }
                }
                for index in begin {
                    *open.entry(index).or_default() += 1;
                }
                let Ok(port) = u16::try_from(port) else { continue };
                work += open.len();
                if work > MOST_WORK || numbers.len() >= MOST_GROUPS {
                    return Err(LayOut::TooMany);
                }
                let group = if open.is_empty() {
                    0
                } else {
                    let rules: Vec<u32> = open.keys().copied().collect();
                    let next = numbers.len() as u32 + 1;
                    *numbers.entry(rules).or_insert(next)
                };
                match runs.last_mut() {
                    Some(last) if last.0 == port => last.1 = group as u16,
                    _ => runs.push((port, group as u16)),
                }
            }
            value.ports[kind as usize] = if kind < 3 {
                pages.hold_ports(&runs, &mut self.pages, ops).map_err(LayOut::Full)?
            } else {
                let mut page = Box::new(crate::layout::Page { groups: [0; 256] });
                for (number, entry) in (0_u16..).zip(page.groups.iter_mut()) {
                    *entry = runs.iter().rev().find(|run| run.0 <= number).map_or(0, |run| run.1);
                }
                let id = pages.hold(page, ops).map_err(LayOut::Full)?;
                self.pages.push(id);
                id
            };
        }
        for (rules, group) in &numbers {
            for index in rules {
                let bound = &self.rules[*index as usize];
                self.groups_of[*index as usize].push(*group);
                if bound.is_for_any() {
                    let best = self.any_of.entry(*group).or_insert(Best::NONE);
                    *best = best.better(bound.best());
                }
            }
        }
        Ok(())
    }

    /// Atoms that its rules name.
    pub(super) fn atoms(&self) -> impl Iterator<Item = u32> + '_ {
        self.rules.iter().flat_map(|bound| bound.peers.iter().flatten().copied().chain(bound.besides))
    }

    /// Rules that name a class with these atoms.
    fn met(&self, atoms: &[u32]) -> BTreeSet<u32> {
        let mut met = BTreeSet::new();
        for atom in atoms {
            for index in self.by_atom.get(atom).into_iter().flatten() {
                let bound = &self.rules[*index as usize];
                // Found by the port's atom; the peers must be met as well.
                if bound.besides.is_some()
                    && bound
                        .peers
                        .as_ref()
                        .is_some_and(|peers| !peers.iter().any(|peer| atoms.contains(peer)))
                {
                    continue;
                }
                met.insert(*index);
            }
        }
        met
    }

    /// What a class with these atoms is to it: the best of the rules without ports that name it, and those with ports, by
    /// which its peer set is given.
    fn rules_for(&self, atoms: &[u32]) -> (Best, Box<[u32]>) {
        let (plain, with_ports): (Vec<u32>, Vec<u32>) =
            self.met(atoms).into_iter().partition(|index| self.rules[*index as usize].ports.is_none());
        let best =
            plain.iter().fold(Best::NONE, |best, index| best.better(self.rules[*index as usize].best()));
        (best, with_ports.into())
    }

    /// Whether an address may be denied something once it is of the other class: it has lost a rule that allows, or met one
    /// that denies. A rule that passes does either, by what comes behind it.
    pub(super) fn may_deny_more(&self, before: &[u32], after: &[u32]) -> bool {
        let (before, after) = (self.met(before), self.met(after));
        let action = |index: &u32| self.rules[*index as usize].rule & 3;
        before.difference(&after).any(|lost| action(lost) != DENY)
            || after.difference(&before).any(|won| action(won) != ALLOW)
    }

    /// Whether two classes are the same to it.
    pub(super) fn tells_apart(&self, one: &[u32], other: &[u32]) -> bool {
        self.rules_for(one) != self.rules_for(other)
    }

    /// Enters a class.
    pub(super) fn enter(&mut self, class: u32, atoms: &[u32], ops: &mut Vec<Op>) {
        let (best, with_ports) = self.rules_for(atoms);
        if with_ports.is_empty() && best == Best::NONE {
            return;
        }
        if !self.classes.insert(class) {
            return;
        }
        let peer_set = if with_ports.is_empty() { 0 } else { self.hold_peer_set(with_ports, ops) };
        ops.push(Op::Class(ClassKey { rules: self.id, class }, Some(ClassValue { peer_set, best })));
    }

    fn hold_peer_set(&mut self, rules: Box<[u32]>, ops: &mut Vec<Op>) -> u32 {
        if let Some(known) = self.peer_sets.get_mut(&rules) {
            known.classes += 1;
            return known.id;
        }
        let id = self.next_peers;
        self.next_peers += 1;
        let mut crosses: BTreeMap<u32, Best> = BTreeMap::new();
        for index in &rules {
            let best = self.rules[*index as usize].best();
            for group in &self.groups_of[*index as usize] {
                let entry = crosses
                    .entry(*group)
                    .or_insert_with(|| self.any_of.get(group).copied().unwrap_or(Best::NONE));
                *entry = entry.better(best);
            }
        }
        for (group, best) in &crosses {
            ops.push(Op::Cross(CrossKey { rules: self.id, peer_set: id, group: *group }, Some(*best)));
        }
        self.crosses += crosses.len();
        let groups = crosses.into_keys().collect();
        self.peer_sets.insert(rules, PeerSet { id, classes: 1, groups });
        id
    }

    /// Takes a class out.
    pub(super) fn leave(&mut self, class: u32, atoms: &[u32], ops: &mut Vec<Op>) {
        if !self.classes.remove(&class) {
            return;
        }
        ops.push(Op::Class(ClassKey { rules: self.id, class }, None));
        let (_, with_ports) = self.rules_for(atoms);
        if let Some(known) = self.peer_sets.get_mut(&with_ports) {
            known.classes -= 1;
            if known.classes == 0
                && let Some(gone) = self.peer_sets.remove(&with_ports)
            {
                self.crosses -= gone.groups.len();
                for group in gone.groups {
                    ops.push(Op::Cross(CrossKey { rules: self.id, peer_set: gone.id, group }, None));
                }
            }
        }
    }

    /// Removes what is left of it, once no class is in it.
    pub(super) fn dissolve(self, pages: &mut Pages, ops: &mut Vec<Op>) {
        ops.push(Op::Rules(self.id, None));
        for group in self.any_of.keys() {
            ops.push(Op::Cross(CrossKey { rules: self.id, peer_set: 0, group: *group }, None));
        }
        self.release_pages(pages);
    }

    fn release_pages(&self, pages: &mut Pages) {
        for page in &self.pages {
            pages.release(*page);
        }
    }
}

enum LayOut {
    Full(Full),
    TooMany,
}

/// A rule's number of place and action.
pub(super) fn number(place: usize, action: u32) -> u32 {
    let number = rule(place as u32, action);
    debug_assert_ne!(number, NO_RULE);
    number
}
