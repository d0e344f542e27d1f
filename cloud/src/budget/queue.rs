//! The line before an action: shares in turn, and within a share who came first.
//!
//! A share is in the round while someone of it waits; after its turn it goes to the end. The first in
//! line stays the first until it is served or leaves: it is the only one that sleeps for the next call,
//! and whoever becomes the first is woken.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::Notify;

struct Waiter {
    id: u64,
    wake: Arc<Notify>,
}

/// A line.
#[derive(Default)]
pub(super) struct Queue {
    round: VecDeque<Arc<str>>,
    /// Those of each share in the round; never an empty line.
    waiters: BTreeMap<Arc<str>, VecDeque<Waiter>>,
    next_id: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.round.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.values().map(VecDeque::len).sum()
    }

    /// Joins at the end of its share's line.
    pub(super) fn push(&mut self, share: Arc<str>, wake: Arc<Notify>) -> u64 {
        self.next_id += 1;
        let waiter = Waiter { id: self.next_id, wake };
        let line = self.waiters.entry(share.clone()).or_default();
        if line.is_empty() {
            self.round.push_back(share);
        }
        line.push_back(waiter);
        self.next_id
    }

    fn head(&self) -> Option<&Waiter> {
        self.waiters.get(self.round.front()?)?.front()
    }

    /// Who is first.
    pub(super) fn first(&self) -> Option<u64> {
        self.head().map(|waiter| waiter.id)
    }

    /// The first had its turn, and so had its share.
    pub(super) fn served(&mut self) {
        let Some(share) = self.round.pop_front() else { return };
        if let Some(line) = self.waiters.get_mut(&share) {
            line.pop_front();
            if line.is_empty() {
                self.waiters.remove(&share);
            } else {
                self.round.push_back(share);
            }
        }
        self.wake();
    }

    /// Somebody does not want to wait any longer, or was served.
    pub(super) fn leave(&mut self, share: &Arc<str>, id: u64) {
        let first = self.first() == Some(id);
        let Some(line) = self.waiters.get_mut(share) else { return };
        line.retain(|waiter| waiter.id != id);
        if line.is_empty() {
            self.waiters.remove(share);
            self.round.retain(|other| other != share);
        }
        if first {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(first) = self.head() {
            first.wake.notify_one();
        }
    }
}
