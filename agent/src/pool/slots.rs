//! The addresses of one family on one ENI, each in one state, with counts kept as they change.

use std::collections::{BTreeMap, BTreeSet};

use super::Mono;

/// State of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Free since then.
    Idle {
        /// When it became free; the longest free is handed out first.
        since: Mono,
    },
    /// A pod has it.
    Assigned,
    /// Its last pod is gone; peers may still remember it.
    Cooling {
        /// When it is free.
        until: Mono,
    },
    /// Being given back.
    Releasing,
    /// Missing in what the cloud last said. Not handed out until a second look decides.
    Suspect,
}

/// How many addresses are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "one field per state")]
pub struct Counts {
    pub idle: u32,
    pub assigned: u32,
    pub cooling: u32,
    pub releasing: u32,
    pub suspect: u32,
}

impl Counts {
    /// Sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            idle: self.idle + other.idle,
            assigned: self.assigned + other.assigned,
            cooling: self.cooling + other.cooling,
            releasing: self.releasing + other.releasing,
            suspect: self.suspect + other.suspect,
        }
    }

    /// All of them.
    pub fn total(&self) -> u32 {
        self.idle + self.assigned + self.cooling + self.releasing + self.suspect
    }

    fn of(&mut self, slot: Slot) -> &mut u32 {
        match slot {
            Slot::Idle { .. } => &mut self.idle,
            Slot::Assigned => &mut self.assigned,
            Slot::Cooling { .. } => &mut self.cooling,
            Slot::Releasing => &mut self.releasing,
            Slot::Suspect => &mut self.suspect,
        }
    }
}

/// Addresses of one family.
#[derive(Clone, Debug)]
pub struct Slots<A> {
    states: BTreeMap<A, Slot>,
    idle: BTreeSet<(Mono, A)>,
    cooling: BTreeSet<(Mono, A)>,
    counts: Counts,
}

impl<A> Default for Slots<A> {
    fn default() -> Self {
        Self {
            states: BTreeMap::new(),
            idle: BTreeSet::new(),
            cooling: BTreeSet::new(),
            counts: Counts::default(),
        }
    }
}

impl<A: Ord + Copy> Slots<A> {
    /// Counts by state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many addresses there are.
    pub fn len(&self) -> u32 {
        self.counts.total()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// State of an address.
    pub fn get(&self, address: A) -> Option<Slot> {
        self.states.get(&address).copied()
    }

    /// Every address with its state.
    pub fn iter(&self) -> impl Iterator<Item = (A, Slot)> {
        self.states.iter().map(|(address, slot)| (*address, *slot))
    }

    /// Idle addresses, the longest idle first.
    pub fn idle(&self) -> impl Iterator<Item = A> {
        self.idle.iter().map(|(_, address)| *address)
    }

    /// End of the first cooldown.
    pub fn next_cooled(&self) -> Option<Mono> {
        self.cooling.first().map(|(until, _)| *until)
    }

    /// Addresses whose cooldown ends by then.
    pub fn cooled_by(&self, at: Mono) -> u32 {
        self.cooling.iter().take_while(|(until, _)| *until <= at).count() as u32
    }

    /// Adds an address, or leaves a known one as it is.
    pub fn add(&mut self, address: A, slot: Slot) {
        if !self.states.contains_key(&address) {
            self.put(address, slot);
        }
    }

    /// Changes the state of a known address. False when it is unknown.
    pub fn set(&mut self, address: A, slot: Slot) -> bool {
        let known = self.remove(address).is_some();
        if known {
            self.put(address, slot);
        }
        known
    }

    /// Forgets an address.
    pub fn remove(&mut self, address: A) -> Option<Slot> {
        let old = self.states.remove(&address)?;
        *self.counts.of(old) -= 1;
        match old {
            Slot::Idle { since } => self.idle.remove(&(since, address)),
            Slot::Cooling { until } => self.cooling.remove(&(until, address)),
            _ => true,
        };
        Some(old)
    }

    /// Moves addresses whose rest has ended to idle.
    pub fn expire_cooling(&mut self, now: Mono) -> Vec<A> {
        let mut ended = Vec::new();
        while let Some(&(until, address)) = self.cooling.first()
            && until <= now
        {
            self.set(address, Slot::Idle { since: until });
            ended.push(address);
        }
        ended
    }

    fn put(&mut self, address: A, slot: Slot) {
        self.states.insert(address, slot);
        *self.counts.of(slot) += 1;
        match slot {
            Slot::Idle { since } => self.idle.insert((since, address)),
            Slot::Cooling { until } => self.cooling.insert((until, address)),
            _ => true,
        };
    }
}
