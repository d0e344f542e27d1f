//! What to write, and in which order.
//!
//! 1. Tables of rule sets that are new, under numbers that nothing speaks of; classes that are new, in every rule set
//!    that knows an atom of theirs. Nobody sees them.
//! 2. Addresses and prefixes move to classes that only tell more than before. Nothing changes under any rule set in use.
//! 3. Where more than one object will change, each endpoint that changes is given both rule sets, of which both must
//!    allow: what old and new deny stays denied all along, what both allow stays allowed. Then addresses move to classes
//!    that mean something else, each by one write.
//! 4. Each endpoint is given its new rule sets in one write, with an epoch that no flow has yet: its flows are judged once
//!    more.
//!
//! What is then unused is removed in later phases, each after a grace period, for packets that are under way.

use std::collections::BTreeSet;

use super::{Compiler, Full, address::Move, rule::Matter};
use crate::{
    layout::{Addr, Endpoint, NO_EPOCH},
    op::Op,
};

/// Writes that bring the tables to what the objects say now.
#[derive(Debug, Default)]
pub struct Publication {
    /// In this order; each is safe by itself.
    pub phases: Vec<Vec<Op>>,
}

impl Publication {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.phases.iter().all(Vec::is_empty)
    }

    /// All writes in order.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.phases.iter().flatten()
    }
}

struct Flip {
    link: u32,
    before: Option<Endpoint>,
    after: Endpoint,
}

impl Compiler {
    /// What to write for all that has changed since the last call. Between two phases every packet that was under way
    /// must have left the programs.
    pub fn publish(&mut self) -> Result<Publication, Full> {
        let mut ops = Vec::new();
        for space in std::mem::take(&mut self.dirty.spaces) {
            self.rematch_space(space);
        }
        for pod in std::mem::take(&mut self.dirty.pods) {
            self.rematch_pod(pod);
        }
        let gone = std::mem::take(&mut self.dirty.removed);
        let flips = self.flips(&mut ops)?;
        self.enter_known_classes(&flips, &mut ops);
        let moves = self.reclassify(&mut ops);
        self.check_room()?;
        let mut retired = BTreeSet::new();
        let mut phase = ops;
        self.write(&flips, moves, &mut phase, &mut retired);
        for link in gone {
            self.remove(link, &mut phase, &mut retired);
        }
        let mut phases = vec![phase];
        self.retire(&retired, &mut phases);
        phases.retain(|phase| !phase.is_empty());
        Ok(Publication { phases })
    }

    /// Endpoints that are to be written otherwise than they are.
    fn flips(&mut self, ops: &mut Vec<Op>) -> Result<Vec<Flip>, Full> {
        let mut flips = Vec::new();
        // Learning a port name can make other endpoints dirty.
        while let Some(link) = self.dirty.endpoints.pop_first() {
            let Some(mut after) = self.wanted(link, ops)? else { continue };
            let before = self.endpoints.get(&link).and_then(|local| local.written);
            after.epoch = before.map_or(0, |before| before.epoch);
            if before != Some(after) {
                flips.retain(|flip: &Flip| flip.link != link);
                flips.push(Flip { link, before, after });
            }
        }
        Ok(flips)
    }

    /// Enters the classes that exist into the rule sets that are new.
    fn enter_known_classes(&mut self, flips: &[Flip], ops: &mut Vec<Op>) {
        let new: BTreeSet<u32> =
            flips.iter().flat_map(|flip| flip.after.rules).filter(|id| *id != 0).collect();
        for id in new {
            let Some(set) = self.sets.get_mut(&id) else { continue };
            if set.holders > 0 {
                continue;
            }
            let atoms: BTreeSet<u32> = set.atoms().collect();
            let classes: BTreeSet<u32> = atoms
                .iter()
                .filter_map(|atom| self.atoms.get(*atom))
                .flat_map(|atom| atom.classes.iter().copied())
                .collect();
            for class in classes {
                let atoms = self.classes.atoms(class);
                set.enter(class, &atoms, ops);
            }
        }
    }

    fn check_room(&self) -> Result<(), Full> {
        let limits = &self.options.limits;
        let full =
            |map, needed: usize, room: usize| if needed > room { Err(Full { map, room }) } else { Ok(()) };
        full("terway_peer", self.peers, limits.peers)?;
        full("terway_cidr", self.prefixes.len(), limits.cidrs)?;
        full("terway_rs_peer", self.sets.values().map(|set| set.classes.len()).sum(), limits.classes)?;
        full("terway_policy_map", self.sets.values().map(|set| set.crosses).sum(), limits.crosses)
    }

    /// Entries in use and room, by map.
    pub fn usage(&self) -> [(&'static str, usize, usize); 6] {
        let limits = &self.options.limits;
        [
            ("terway_peer", self.peers, limits.peers),
            ("terway_cidr", self.prefixes.len(), limits.cidrs),
            ("terway_rs", self.sets.len(), (limits.rules / 2) as usize),
            ("terway_page", self.pages.used(), (limits.pages / 2) as usize),
            ("terway_rs_peer", self.sets.values().map(|set| set.classes.len()).sum(), limits.classes),
            ("terway_policy_map", self.sets.values().map(|set| set.crosses).sum(), limits.crosses),
        ]
    }

    fn write(&mut self, flips: &[Flip], moves: Vec<Move>, phase: &mut Vec<Op>, retired: &mut BTreeSet<u32>) {
        let mut again = BTreeSet::new();
        let mut meaningful = Vec::new();
        for each in moves {
            let (means, sets) = self.meaning(&each);
            again.extend(sets);
            if means { meaningful.push(each.op) } else { phase.push(each.op) }
        }
        let rules_change = |flip: &&Flip| flip.before.is_some_and(|before| before.rules != flip.after.rules);
        let both = flips.iter().filter(rules_change).count() + meaningful.len() > 1;
        for flip in flips {
            // Who holds what: the new is held before the old is let go.
            for id in flip.after.rules {
                if let Some(set) = self.sets.get_mut(&id) {
                    set.holders += 1;
                }
            }
            for id in flip.before.map_or([0; 2], |before| before.rules) {
                if let Some(set) = self.sets.get_mut(&id) {
                    set.holders -= 1;
                    retired.insert(id);
                }
            }
            if let Some(before) = flip.before
                && both
                && before.rules != flip.after.rules
            {
                let shared = Endpoint { next: flip.after.rules, next_view: flip.after.view, ..before };
                phase.push(Op::Endpoint(flip.link, Some(shared)));
            }
        }
        phase.append(&mut meaningful);
        for flip in flips {
            let after = Endpoint { epoch: self.next_epoch(), ..flip.after };
            phase.push(Op::Endpoint(flip.link, Some(after)));
            let before = flip.before.map_or([[0; 16]; 2], |before| [before.v4, before.v6]);
            for (old, new) in before.into_iter().zip([after.v4, after.v6]) {
                self.rename(flip.link, old, new, phase);
            }
            if let Some(local) = self.endpoints.get_mut(&flip.link) {
                local.written = Some(after);
            }
        }
        let asked: Vec<u32> = self
            .endpoints
            .iter()
            .filter(|(_, local)| {
                local.written.is_some_and(|written| written.rules.iter().any(|id| again.contains(id)))
            })
            .map(|(link, _)| *link)
            .filter(|link| !flips.iter().any(|flip| flip.link == *link))
            .collect();
        for link in asked {
            let epoch = self.next_epoch();
            if let Some(written) = self.endpoints.get_mut(&link).and_then(|local| local.written.as_mut()) {
                written.epoch = epoch;
                phase.push(Op::Endpoint(link, Some(*written)));
            }
        }
    }

    /// An epoch that no flow has.
    fn next_epoch(&mut self) -> u32 {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == NO_EPOCH {
            self.epoch += 1;
        }
        self.epoch
    }

    fn rename(&self, link: u32, old: Addr, new: Addr, phase: &mut Vec<Op>) {
        const NONE: Addr = [0; 16];
        if old == new {
            return;
        }
        if new != NONE {
            phase.push(Op::EndpointIp(new, Some(link)));
        }
        // The address may be another endpoint's by now.
        let taken = self.endpoints.iter().any(|(other, local)| {
            *other != link && local.written.is_some_and(|written| written.v4 == old || written.v6 == old)
        });
        if old != NONE && !taken {
            phase.push(Op::EndpointIp(old, None));
        }
    }

    /// Whether a move means something to a rule set in use, and to which of them it may deny what was allowed.
    fn meaning(&self, each: &Move) -> (bool, Vec<u32>) {
        let (before, after) = (self.classes.atoms(each.before), self.classes.atoms(each.after));
        let only = |one: &[u32], other: &[u32]| {
            one.iter().copied().filter(|atom| !other.contains(atom)).collect::<Vec<_>>()
        };
        let (lost, won) = (only(&before, &after), only(&after, &before));
        let mut means = false;
        let mut again = Vec::new();
        let sets: BTreeSet<u32> = lost
            .iter()
            .chain(&won)
            .filter_map(|atom| self.atoms.get(*atom))
            .flat_map(|atom| atom.sets.iter().copied())
            .collect();
        for id in sets {
            let Some(set) = self.sets.get(&id).filter(|set| set.holders > 0) else { continue };
            if set.tells_apart(&before, &after) {
                means = true;
                if set.may_deny_more(&before, &after) {
                    again.push(id);
                }
            }
        }
        (means, again)
    }

    fn remove(&mut self, link: u32, phase: &mut Vec<Op>, retired: &mut BTreeSet<u32>) {
        let Some(local) = self.endpoints.remove(&link) else { return };
        let Some(written) = local.written else { return };
        phase.push(Op::Endpoint(link, None));
        for addr in [written.v4, written.v6] {
            self.rename(link, addr, [0; 16], phase);
        }
        for id in written.rules {
            if let Some(set) = self.sets.get_mut(&id) {
                set.holders -= 1;
                retired.insert(id);
            }
        }
    }

    /// Removes rule sets that no endpoint has, atoms that no rule set names, classes that no address has.
    fn retire(&mut self, candidates: &BTreeSet<u32>, phases: &mut Vec<Vec<Op>>) {
        let mut gone = Vec::new();
        let mut orphans = BTreeSet::new();
        let mut names = Vec::new();
        // A set that was built on the way and is no endpoint's after all goes too.
        let unused: Vec<u32> = self.sets.values().filter(|set| set.holders == 0).map(|set| set.id).collect();
        debug_assert!(
            candidates
                .iter()
                .all(|id| self.sets.get(id).is_none_or(|set| set.holders > 0 || unused.contains(id)))
        );
        for id in unused {
            let Some(mut set) = self.sets.remove(&id) else { continue };
            names.extend(self.unbook(id));
            for class in set.classes.clone() {
                let atoms = self.classes.atoms(class);
                set.leave(class, &atoms, &mut gone);
            }
            for number in set.atoms().collect::<BTreeSet<u32>>() {
                if let Some(atom) = self.atoms.get_mut(number) {
                    atom.sets.remove(&id);
                    if atom.sets.is_empty() {
                        orphans.insert(number);
                    }
                }
            }
            set.dissolve(&mut self.pages, &mut gone);
            self.free_sets.push_back(id);
        }
        orphans.extend(self.forget_names(&names));
        // An atom of a name that is still in use stays, for its pods' sake.
        orphans.retain(|number| match self.atoms.get(*number).map(|atom| &atom.matter) {
            Some(Matter::Port { name, protocol, port }) => {
                let known = self.port_names.get(&(*name, *protocol));
                known.and_then(|known| known.atoms.get(port)) != Some(number)
            }
            Some(Matter::Outside) | None => false,
            Some(_) => true,
        });
        for orphan in &orphans {
            self.drop_atom(*orphan);
        }
        let moves = self.reclassify(&mut gone);
        gone.extend(moves.into_iter().map(|each| each.op));
        phases.push(gone);
        let mut empty = Vec::new();
        for class in std::mem::take(&mut self.dirty.classes) {
            let sets: BTreeSet<u32> = {
                let atoms = self.classes.atoms(class);
                atoms
                    .iter()
                    .filter_map(|atom| self.atoms.get(*atom))
                    .flat_map(|atom| atom.sets.iter().copied())
                    .collect()
            };
            let Some(atoms) = self.classes.remove_empty(class, &mut self.atoms) else { continue };
            self.dirty.ports = true;
            for id in sets {
                if let Some(set) = self.sets.get_mut(&id) {
                    set.leave(class, &atoms, &mut empty);
                }
            }
        }
        if std::mem::take(&mut self.dirty.ports) {
            self.forget_ports();
        }
        for orphan in orphans {
            self.atoms.remove(orphan);
        }
        phases.push(empty);
    }
}
