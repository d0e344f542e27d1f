//! Atoms and classes: what can be told of an address, and the sets of it that occur.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::rule::Matter;

/// One thing that a rule can name.
#[derive(Debug)]
pub(super) struct Atom {
    pub(super) matter: Matter,
    /// Rule sets that name it.
    pub(super) sets: BTreeSet<u32>,
    /// Classes that have it.
    pub(super) classes: BTreeSet<u32>,
}

/// Atoms by number; numbers come again once nothing speaks of them.
#[derive(Debug, Default)]
pub(super) struct Atoms {
    slots: Vec<Option<Atom>>,
    numbers: BTreeMap<Matter, u32>,
    free: Vec<u32>,
}

impl Atoms {
    pub(super) fn find(&self, matter: &Matter) -> Option<u32> {
        self.numbers.get(matter).copied()
    }

    pub(super) fn add(&mut self, matter: Matter) -> u32 {
        let atom = Atom { matter: matter.clone(), sets: BTreeSet::new(), classes: BTreeSet::new() };
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = Some(atom);
            number
        } else {
            self.slots.push(Some(atom));
            (self.slots.len() - 1) as u32
        };
        self.numbers.insert(matter, number);
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Atom> {
        let atom = self.slots[number as usize].take()?;
        // A port that went and came back has another atom by now.
        if self.numbers.get(&atom.matter) == Some(&number) {
            self.numbers.remove(&atom.matter);
        }
        self.free.push(number);
        Some(atom)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Atom> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Atom> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Atom)> {
        (0..).zip(&self.slots).filter_map(|(number, atom)| Some((number, atom.as_ref()?)))
    }
}

/// A set of atoms that some address has.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) atoms: Arc<[u32]>,
    /// Addresses and prefixes in it.
    pub(super) members: usize,
}

/// Classes by number. Numbers never come again: a packet under way may still hold one. 0 is that of no atoms.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) by_number: BTreeMap<u32, Class>,
    numbers: BTreeMap<Arc<[u32]>, u32>,
    last: u32,
}

impl Classes {
    pub(super) fn find(&self, atoms: &[u32]) -> Option<u32> {
        if atoms.is_empty() { Some(0) } else { self.numbers.get(atoms).copied() }
    }

    pub(super) fn add(&mut self, atoms: Vec<u32>, all: &mut Atoms) -> u32 {
        self.last += 1;
        for atom in &atoms {
            if let Some(atom) = all.get_mut(*atom) {
                atom.classes.insert(self.last);
            }
        }
        let atoms: Arc<[u32]> = atoms.into();
        self.numbers.insert(atoms.clone(), self.last);
        self.by_number.insert(self.last, Class { atoms, members: 0 });
        self.last
    }

    pub(super) fn atoms(&self, number: u32) -> Arc<[u32]> {
        self.by_number.get(&number).map_or_else(|| Arc::from([]), |class| class.atoms.clone())
    }

    pub(super) fn join(&mut self, number: u32) {
        if let Some(class) = self.by_number.get_mut(&number) {
            class.members += 1;
        }
    }

    /// Takes a member out; whether it was the last.
    pub(super) fn leave(&mut self, number: u32) -> bool {
        match self.by_number.get_mut(&number) {
            Some(class) => {
                class.members -= 1;
                class.members == 0
            }
            None => false,
        }
    }

    /// Removes a class that has no member, unless it has got one again.
    pub(super) fn remove_empty(&mut self, number: u32, all: &mut Atoms) -> Option<Arc<[u32]>> {
        if self.by_number.get(&number)?.members > 0 {
            return None;
        }
        let class = self.by_number.remove(&number)?;
        self.numbers.remove(&class.atoms);
        for atom in class.atoms.iter() {
            if let Some(atom) = all.get_mut(*atom) {
                atom.classes.remove(&number);
            }
        }
        Some(class.atoms)
    }
}
