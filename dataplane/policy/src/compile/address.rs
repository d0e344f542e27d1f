//! Which class an address has.

use std::collections::BTreeSet;

use super::{
    Compiler,
    block::{Block, Prefix},
    rule::Matter,
};
use crate::{
    layout::{Addr, CidrKey, PeerKey},
    memory::masked,
    op::Op,
};

/// An address that some pod shows.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Pods that show it; usually one.
    pub(super) pods: Vec<u32>,
    /// Class that is written for it; `None` when nothing is, and its prefix speaks for it.
    pub(super) class: Option<u32>,
}

/// A prefix in use: a block's, or a hole's.
#[derive(Debug, Default)]
pub(super) struct PrefixState {
    /// Blocks and holes that it stands for.
    pub(super) holders: usize,
    /// Atoms of the blocks that it is in, sorted.
    pub(super) atoms: Vec<u32>,
    /// Class that is written for it.
    pub(super) class: Option<u32>,
}

/// An address or prefix that gets another class.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) op: Op,
    pub(super) before: u32,
    pub(super) after: u32,
}

impl Compiler {
    /// The longest prefix that an address is in.
    fn prefix_of(&self, addr: &Addr) -> Option<&PrefixState> {
        self.prefix_lengths.keys().rev().find_map(|bits| {
            let prefix = Prefix { addr: masked(addr, u32::from(*bits)), bits: *bits };
            self.prefixes.get(&prefix)
        })
    }

    /// Takes a block's prefixes in, and its atom to where it counts.
    pub(super) fn add_block(&mut self, atom: u32, block: &Block) {
        for prefix in block.prefixes() {
            if let Some(known) = self.prefixes.get_mut(&prefix) {
                known.holders += 1;
                continue;
            }
            // What is said of it until now is what its parent says.
            let atoms = self.covering(&prefix);
            self.prefixes.insert(prefix, PrefixState { holders: 1, atoms, class: None });
            *self.prefix_lengths.entry(prefix.bits).or_default() += 1;
            self.dirty.prefixes.insert(prefix);
        }
        for (prefix, state) in &mut self.prefixes {
            if block.has(prefix)
                && let Err(place) = state.atoms.binary_search(&atom)
            {
                state.atoms.insert(place, atom);
                self.dirty.prefixes.insert(*prefix);
            }
        }
        self.dirty_range(&block.prefix);
    }

    /// Begins to tell addresses that no pod has from those of pods.
    pub(super) fn tell_outside(&mut self) {
        let atom = self.atoms.add(Matter::Outside);
        for block in Block::everything() {
            self.add_block(atom, &block);
        }
    }

    fn covering(&self, prefix: &Prefix) -> Vec<u32> {
        let parent = self.prefix_lengths.keys().rev().filter(|bits| **bits < prefix.bits).find_map(|bits| {
            self.prefixes.get(&Prefix { addr: masked(&prefix.addr, u32::from(*bits)), bits: *bits })
        });
        parent.map(|parent| parent.atoms.clone()).unwrap_or_default()
    }

    /// Takes them out again.
    pub(super) fn remove_block(&mut self, atom: u32, block: &Block) {
        for (prefix, state) in &mut self.prefixes {
            if let Ok(place) = state.atoms.binary_search(&atom) {
                state.atoms.remove(place);
                self.dirty.prefixes.insert(*prefix);
            }
        }
        for prefix in block.prefixes() {
            if let Some(known) = self.prefixes.get_mut(&prefix) {
                known.holders -= 1;
                self.dirty.prefixes.insert(prefix);
            }
        }
        self.dirty_range(&block.prefix);
    }

    fn dirty_range(&mut self, prefix: &Prefix) {
        let range = prefix.addr..=prefix.last();
        let with_class = self.addresses.range(range).map(|(addr, _)| *addr);
        self.dirty.addresses.extend(with_class);
    }

    /// Classes of all that changed: moves, with the classes that are new entered into every rule set first.
    pub(super) fn reclassify(&mut self, ops: &mut Vec<Op>) -> Vec<Move> {
        let mut moves = Vec::new();
        for prefix in std::mem::take(&mut self.dirty.prefixes) {
            self.reclassify_prefix(prefix, ops, &mut moves);
        }
        for addr in std::mem::take(&mut self.dirty.addresses) {
            self.reclassify_address(addr, ops, &mut moves);
        }
        moves
    }

    fn reclassify_prefix(&mut self, prefix: Prefix, ops: &mut Vec<Op>, moves: &mut Vec<Move>) {
        let Some(state) = self.prefixes.get(&prefix) else { return };
        let key = CidrKey {
            bits: 32 + u32::from(prefix.bits),
            key: PeerKey { view: self.options.view, addr: prefix.addr },
        };
        let before = state.class;
        if state.holders == 0 {
            self.prefixes.remove(&prefix);
            if let Some(count) = self.prefix_lengths.get_mut(&prefix.bits) {
                *count -= 1;
                if *count == 0 {
                    self.prefix_lengths.remove(&prefix.bits);
                }
            }
            if let Some(before) = before {
                self.leave_class(before);
                let after = self.classes.find(&self.covering(&prefix)).unwrap_or(0);
                moves.push(Move { op: Op::Cidr(key, None), before, after });
            }
            return;
        }
        let atoms = state.atoms.clone();
        let after = self.class_for(atoms, ops);
        if before == Some(after) {
            return;
        }
        self.classes.join(after);
        let told = before.unwrap_or_else(|| self.classes.find(&self.covering(&prefix)).unwrap_or(0));
        if let Some(before) = before {
            self.leave_class(before);
        }
        if let Some(state) = self.prefixes.get_mut(&prefix) {
            state.class = Some(after);
        }
        moves.push(Move { op: Op::Cidr(key, Some(after)), before: told, after });
    }

    fn reclassify_address(&mut self, addr: Addr, ops: &mut Vec<Op>, moves: &mut Vec<Move>) {
        let Some(address) = self.addresses.get(&addr) else { return };
        let before = address.class;
        let gone = address.pods.is_empty();
        // Should two pods show one address for a moment, the first by name has it.
        let owner = address.pods.iter().filter_map(|pod| self.pod(*pod)).min_by(|a, b| a.name.cmp(&b.name));
        let below = self.prefix_of(&addr).map(|prefix| prefix.atoms.clone()).unwrap_or_default();
        let outside = self.atoms.find(&Matter::Outside);
        // Where that counts, a pod's address is told from others even if no rule names the pod.
        let told_apart = outside.is_some() && owner.is_some();
        let own = owner.map(|pod| pod.atoms.clone()).unwrap_or_default();
        let key = PeerKey { view: self.options.view, addr };
        let told = before.unwrap_or_else(|| self.classes.find(&below).unwrap_or(0));
        let after = if own.is_empty() && !told_apart {
            None
        } else {
            let mut atoms = own;
            atoms.extend(below.iter().filter(|atom| Some(**atom) != outside));
            atoms.sort_unstable();
            atoms.dedup();
            Some(self.class_for(atoms, ops))
        };
        if gone {
            self.addresses.remove(&addr);
        }
        if before == after {
            return;
        }
        if let Some(after) = after {
            self.classes.join(after);
        }
        if let Some(before) = before {
            self.leave_class(before);
        }
        self.peers = self.peers + usize::from(after.is_some()) - usize::from(before.is_some());
        if let Some(address) = self.addresses.get_mut(&addr) {
            address.class = after;
        }
        let to = after.unwrap_or_else(|| self.classes.find(&below).unwrap_or(0));
        moves.push(Move { op: Op::Peer(key, after), before: told, after: to });
    }

    fn leave_class(&mut self, class: u32) {
        if self.classes.leave(class) {
            self.dirty.classes.insert(class);
        }
    }

    /// The class of a set of atoms; one that is new is entered into every rule set that names an atom of it.
    fn class_for(&mut self, atoms: Vec<u32>, ops: &mut Vec<Op>) -> u32 {
        if let Some(class) = self.classes.find(&atoms) {
            return class;
        }
        let sets: BTreeSet<u32> = atoms
            .iter()
            .filter_map(|atom| self.atoms.get(*atom))
            .flat_map(|atom| atom.sets.iter().copied())
            .collect();
        let class = self.classes.add(atoms, &mut self.atoms);
        let atoms = self.classes.atoms(class);
        for set in sets {
            if let Some(set) = self.sets.get_mut(&set) {
                set.enter(class, &atoms, ops);
            }
        }
        class
    }

    /// Gives a block's atom up, or a selector's.
    pub(super) fn drop_atom(&mut self, number: u32) {
        let Some(matter) = self.atoms.get(number).map(|atom| atom.matter.clone()) else { return };
        match &matter {
            Matter::Addresses(block) => self.remove_block(number, block),
            Matter::Outside => {}
            matter => self.withdraw(number, matter),
        }
        matter.strings().into_iter().for_each(|sym| self.strings.release(sym));
    }
}
