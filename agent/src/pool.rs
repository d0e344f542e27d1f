//! The node's addresses in memory: which are idle, assigned, cooling or leaving, and what is on its
//! way. Pure state: it takes the time as an argument, does no I/O, and decides nothing about the
//! cloud (that is [`plan()`]).
//!
//! An address is `Idle → Assigned → Cooling → Idle`, and leaves by `Idle → Releasing → gone`. It is
//! handed out only while its ENI is usable: `InUse` in the cloud and seen by the host.

mod eni;
pub mod plan;
mod slots;
mod vswitch;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

pub use self::{
    eni::{FamilyOps, Phase, PoolEni, addresses_of},
    plan::{Plan, PoolAction, plan},
    slots::{Counts, Slot, Slots},
    vswitch::VSwitches,
};
use crate::store::Allocation;
use terway_core::{
    address::PodIps,
    cause::Cause,
    config::{EniSelection, PoolPolicy},
    id::{ClientToken, ContainerId, EniId, PodKey},
    limits::NodeCapacity,
};

/// Monotonic time since the agent started.
pub type Mono = Duration;

/// How long an address rests that the cloud shows and nobody here remembers.
pub(crate) const ADOPTED_REST: Duration = terway_core::config::DEFAULT_COOLDOWN;

/// How long growth waits for company when pods begin to wait. A kubelet starts the pods of a burst within
/// about this time, and one call then serves them all; the original gathers for 300 ms.
pub const GATHER: Duration = Duration::from_millis(500);

/// Growth is pointless until a point in time, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// When to try again.
    pub until: Mono,
    /// What a waiting pod is told.
    pub cause: Cause,
    /// Times in a row, for the backoff.
    pub strikes: u32,
}

/// An ENI being created: it has no id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creating {
    /// Pods it will serve.
    pub units: u32,
}

/// The pool of one node.
#[derive(Debug)]
pub struct Pool {
    /// What the node may hold.
    pub capacity: NodeCapacity,
    /// What operators chose.
    pub policy: PoolPolicy,
    /// ENIs by id.
    pub enis: BTreeMap<EniId, PoolEni>,
    /// ENIs without an id yet, by the token of their creation.
    pub creating: BTreeMap<ClientToken, Creating>,
    /// vSwitches of this zone.
    pub vswitches: VSwitches,
    /// Set after a refusal that waiting cannot mend.
    pub blocked: Option<Blocked>,
    /// The last trouble with a call that is being retried, and when: what a waiter is told when its
    /// own time runs out.
    pub trouble: Option<(Mono, Cause)>,
    /// Pods have begun to wait: growth holds until then, so that one call serves those that come
    /// together.
    pub gather_until: Option<Mono>,
    /// Since when idle addresses exceed the maximum.
    pub over_max_since: Option<Mono>,
    /// Last allocation or release.
    pub last_activity: Mono,
    /// When the next slow reclaim is due.
    pub reclaim_at: Option<Mono>,
    allocations: BTreeMap<String, Allocation>,
    by_pod: BTreeMap<PodKey, BTreeSet<String>>,
    by_container: BTreeMap<ContainerId, String>,
}

impl Pool {
    /// An empty pool.
    pub fn new(capacity: NodeCapacity, policy: PoolPolicy, vswitches: VSwitches) -> Self {
        Self {
            capacity,
            policy,
            enis: BTreeMap::new(),
            creating: BTreeMap::new(),
            vswitches,
            blocked: None,
            trouble: None,
            gather_until: None,
            over_max_since: None,
            last_activity: Mono::ZERO,
            reclaim_at: None,
            allocations: BTreeMap::new(),
            by_pod: BTreeMap::new(),
            by_container: BTreeMap::new(),
        }
    }

    /// Pods that could be served now.
    pub fn idle(&self) -> u32 {
        self.enis.values().filter(|eni| eni.usable()).map(|eni| eni.idle_units(self.capacity.stack)).sum()
    }

    /// Addresses by state over all ENIs (IPv4 only in dual stack: pairs count once).
    pub fn counts(&self) -> Counts {
        self.enis.values().map(|eni| eni.v4.counts()).fold(Counts::default(), Counts::plus)
    }

    /// Allocations, by row key.
    pub fn allocations(&self) -> impl Iterator<Item = &Allocation> {
        self.allocations.values()
    }

    /// The allocation of a sandbox's interface.
    pub fn of_container(&self, container: &ContainerId) -> Option<&Allocation> {
        self.allocations.get(self.by_container.get(container)?)
    }

    /// The allocations kept for a pod's name, whatever sandbox they are of.
    pub fn of_pod(&self, pod: &PodKey) -> Vec<Allocation> {
        let keys = self.by_pod.get(pod).into_iter().flatten();
        keys.filter_map(|key| self.allocations.get(key)).cloned().collect()
    }

    /// The allocation under a row key.
    pub fn allocation(&self, key: &str) -> Option<&Allocation> {
        self.allocations.get(key)
    }

    /// Takes an idle address for a pod, or nothing when none is idle on a usable ENI.
    pub fn take(&mut self, now: Mono) -> Option<(EniId, PodIps)> {
        let stack = self.capacity.stack;
        let candidates = self.enis.values().filter(|eni| eni.usable() && eni.idle_units(stack) > 0);
        let id = match self.policy.eni_selection {
            // `max_by_key` keeps the last of equals, so reverse the ids to prefer the first.
            EniSelection::MostIps => candidates.max_by_key(|eni| (eni.v4.len(), std::cmp::Reverse(&eni.id))),
            EniSelection::LeastIps => candidates.min_by_key(|eni| (eni.v4.len(), &eni.id)),
        }?
        .id
        .clone();
        let eni = self.enis.get_mut(&id)?;
        let ips = eni.take(stack)?;
        self.last_activity = now;
        self.reclaim_at = None;
        Some((id, ips))
    }

    /// Records whom an address belongs to. The slot is marked assigned if it exists.
    pub fn bind(&mut self, allocation: Allocation) {
        if let Some(eni) = self.enis.get_mut(&allocation.eni) {
            eni.set(allocation.ips, Slot::Assigned);
        }
        let key = allocation.key();
        self.by_pod.entry(allocation.pod.clone()).or_default().insert(key.clone());
        if let Some(container) = &allocation.container {
            self.by_container.insert(container.clone(), key.clone());
        }
        self.allocations.insert(key, allocation);
    }

    /// Forgets whom an address belongs to; the slot stays assigned until the caller decides.
    pub fn unbind(&mut self, key: &str) -> Option<Allocation> {
        let allocation = self.allocations.remove(key)?;
        if let Some(keys) = self.by_pod.get_mut(&allocation.pod) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_pod.remove(&allocation.pod);
            }
        }
        if let Some(container) = &allocation.container {
            self.by_container.remove(container);
        }
        Some(allocation)
    }

    /// Lets an address cool down. False when its ENI is gone, so that there is nothing to cool.
    pub fn cool(&mut self, eni: &EniId, ips: PodIps, until: Mono, now: Mono) -> bool {
        self.last_activity = now;
        self.reclaim_at = None;
        self.enis.get_mut(eni).is_some_and(|eni| eni.set(ips, Slot::Cooling { until }))
    }

    /// Those of some addresses that no ENI carries: what is stored of them may go. One that left an ENI may
    /// have been given to another before the answer came that it had left.
    pub fn forgotten(&self, addresses: impl Iterator<Item = Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
        addresses.filter(|address| self.enis.values().all(|eni| eni.v4.get(*address).is_none()))
    }

    /// Moves cooled addresses to idle; returns those whose rest ended now.
    pub fn expire_cooling(&mut self, now: Mono) -> Vec<IpAddr> {
        self.enis.values_mut().flat_map(|eni| eni.expire_cooling(now)).collect()
    }

    /// When the next cooling address is free.
    pub fn next_cooled(&self) -> Option<Mono> {
        self.enis.values().filter(|eni| eni.usable()).filter_map(|eni| eni.v4.next_cooled()).min()
    }

    /// How many pods the addresses that are cooled by `at` can serve.
    pub fn cooled_by(&self, at: Mono) -> u32 {
        self.enis.values().filter(|eni| eni.usable()).map(|eni| eni.v4.cooled_by(at)).sum()
    }

    /// Notes whether idle is above its maximum; call after each change, before planning.
    pub fn note_levels(&mut self, now: Mono) {
        let (_, max, _) = self.policy.bounds(&self.capacity);
        if self.idle() > max {
            self.over_max_since.get_or_insert(now);
        } else {
            self.over_max_since = None;
        }
    }

    /// Stops growth for a while. Each block in a row lasts twice as long, up to `cap`.
    pub fn block(&mut self, cause: Cause, base: Duration, cap: Duration, now: Mono) {
        let strikes = self.blocked.as_ref().map_or(0, |blocked| blocked.strikes + 1);
        let wait = base.saturating_mul(1 << strikes.min(16)).min(cap);
        self.blocked = Some(Blocked { until: now + wait, cause, strikes });
    }

    /// Growth works again.
    pub fn unblock(&mut self) {
        self.blocked = None;
    }
}

#[cfg(test)]
mod tests;
