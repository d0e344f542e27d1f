//! What to ask of the cloud next: a pure function of the pool, the number of waiting pods, the time
//! and one random number.
//!
//! Demand is counted once: waiting pods, plus the floor that the configuration asks for, less what
//! is idle and what is already on its way. Release and growth are decided apart, so that a full
//! vSwitch stops the one and not the other.

use std::time::Duration;

use terway_core::{
    address::{ADDRESSES_PER_PREFIX, AddressCount, AddressSet, Grain, Stack},
    cause::Cause,
    cloud::{BATCH, CREATE_SECONDARY_MAX},
    id::{EniId, VSwitchId},
};

use super::{Mono, Phase, Pool, PoolEni};

/// An ENI that has been attaching for this long is stuck: waiting pods are told so.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Pods wait for a cooling address that is free within this time; otherwise they are told to retry.
pub const WORTH_WAITING: Duration = Duration::from_secs(30);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolAction {
    /// Make an ENI and attach it.
    Create {
        /// Where.
        vswitch: VSwitchId,
        /// With what; `v4` includes the primary address.
        count: AddressCount,
        /// Pods it will serve.
        units: u32,
    },
    /// Add addresses of one family, or prefixes, to an ENI.
    Assign {
        /// Where.
        eni: EniId,
        /// How many; one field is non-zero.
        count: AddressCount,
    },
    /// Give idle addresses back.
    Unassign {
        /// From where.
        eni: EniId,
        /// Which.
        set: AddressSet,
    },
    /// Detach and delete an ENI on which nothing is in use.
    Remove {
        /// Which.
        eni: EniId,
    },
}

/// What [`plan`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be done now, all independent of each other.
    pub actions: Vec<PoolAction>,
    /// How many waiting pods nothing is on its way for, and why. They are told at once.
    pub refuse: Option<(u32, Cause)>,
    /// When to plan again even if nothing happens.
    pub wake_at: Option<Mono>,
}

/// Decides what to do for `waiters` waiting pods.
pub fn plan(pool: &Pool, waiters: u32, now: Mono, random: u64) -> Plan {
    let mut plan = Plan::default();
    let idle = pool.idle();
    let incoming = incoming(pool, now);
    let (min, max, threshold) = pool.policy.bounds(&pool.capacity);

    // What is stuck may never come: it is neither waited for nor counted.
    let coming = idle + incoming.healthy;
    let floor = if coming.saturating_sub(waiters) < threshold { min } else { 0 };
    let need = (waiters + floor).saturating_sub(coming);
    let mut growth = Growth { pool, now, random, left: need, ordered: 0, plan: &mut plan };
    if pool.gather_until.is_none_or(|until| until <= now) {
        growth.run();
    } else {
        growth.ordered = need;
    }
    let ordered = growth.ordered;
    if let Some(until) = pool.gather_until {
        wake(&mut plan, now, until);
    }

    // A pod waits only for what is really on its way to it, or free before long.
    let soon = pool.cooled_by(now + WORTH_WAITING);
    let covered = coming + ordered + soon;
    if waiters > covered
        && let Some(cause) = refusal(pool, now, &incoming, ordered > 0)
    {
        plan.refuse = Some((waiters - covered, cause));
    }
    if waiters > 0 {
        for at in [pool.next_cooled(), incoming.first_stuck_at].into_iter().flatten() {
            wake(&mut plan, now, at);
        }
    }
    if need > 0 {
        // Come back for whatever stands in the way of growth.
        let blocked = pool.blocked.as_ref().map(|blocked| blocked.until);
        let full = pool.enis.values().map(|eni| eni.full_until).filter(|until| *until > now).min();
        for at in [blocked, pool.vswitches.next_probe(now), full].into_iter().flatten() {
            wake(&mut plan, now, at);
        }
    }
    if waiters == 0 && incoming.total() == 0 {
        shrink(pool, now, idle, min, max, &mut plan);
    }
    plan
}

/// Asks for another look at a time to come. What is due already was taken into account just now.
fn wake(plan: &mut Plan, now: Mono, at: Mono) {
    if at > now {
        plan.wake_at = Some(plan.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Pods that calls under way will serve.
struct Incoming {
    healthy: u32,
    stuck: u32,
    first_stuck_at: Option<Mono>,
}

impl Incoming {
    fn total(&self) -> u32 {
        self.healthy + self.stuck
    }
}

fn incoming(pool: &Pool, now: Mono) -> Incoming {
    let stack = pool.capacity.stack;
    let mut sum = Incoming {
        healthy: pool.creating.values().map(|creating| creating.units).sum(),
        stuck: 0,
        first_stuck_at: None,
    };
    for eni in pool.enis.values() {
        match eni.phase {
            Phase::Attaching { accepted } => {
                let units = eni.idle_units(stack);
                // Before the call is accepted it may wait for the account's rate: that is not stuck.
                let stuck_at = accepted.map(|at| at + STUCK_AFTER);
                if stuck_at.is_some_and(|at| at <= now) {
                    sum.stuck += units;
                } else {
                    sum.healthy += units;
                }
                if let Some(at) = stuck_at.filter(|at| *at > now) {
                    sum.first_stuck_at = Some(sum.first_stuck_at.map_or(at, |first| first.min(at)));
                }
            }
            Phase::InUse => sum.healthy += assigning_units(eni, stack),
            Phase::Missing | Phase::Leaving(_) => {}
        }
    }
    sum
}

/// Pods that an ENI's calls under way will make room for beyond those it can serve now.
fn assigning_units(eni: &PoolEni, stack: Stack) -> u32 {
    let v4 = match eni.grain {
        Grain::Address => eni.ops.v4.unwrap_or(0),
        Grain::Prefix => eni.ops.v4.unwrap_or(0) * ADDRESSES_PER_PREFIX,
    };
    match stack {
        Stack::Ipv4 => v4,
        Stack::Dual => {
            let after = (eni.v4.counts().idle + v4).min(eni.v6.counts().idle + eni.ops.v6.unwrap_or(0));
            after.saturating_sub(eni.idle_units(stack))
        }
    }
}

/// Why nothing is on its way for a waiting pod; nothing when something can still come.
fn refusal(pool: &Pool, now: Mono, incoming: &Incoming, growing: bool) -> Option<Cause> {
    if let Some(blocked) = pool.blocked.as_ref().filter(|blocked| blocked.until > now) {
        return Some(blocked.cause.clone());
    }
    if pool.vswitches.ids().is_empty() {
        return Some(Cause::NoVSwitch { zone: pool.vswitches.zone().to_string() });
    }
    let open = |id| pool.vswitches.open(id, now);
    let attached = (pool.enis.len() + pool.creating.len()) as u32;
    let room_for_eni = attached < pool.capacity.max_enis;
    let creating_room = pool.creating.values().any(|creating| creating.units < pool.capacity.pods_per_eni());
    let mut room_without_addresses = room_for_eni && !pool.vswitches.ids().iter().any(open);
    let mut hope = creating_room || (room_for_eni && !room_without_addresses);
    for eni in pool.enis.values().filter(|eni| room(pool, eni) > 0) {
        match eni.phase {
            // It grows once it is in use, unless it never will be.
            Phase::Attaching { accepted } => hope |= accepted.is_none_or(|at| now < at + STUCK_AFTER),
            Phase::InUse if eni.ops.none() && !open(&eni.vswitch) => room_without_addresses = true,
            Phase::InUse => hope |= eni.full_until <= now,
            Phase::Missing | Phase::Leaving(_) => {}
        }
    }
    // Nothing was ordered although there is room: what is stuck stands for it, or takes up the places
    // of the ENIs that may be under way.
    let behind_stuck = incoming.stuck > 0 && incoming.healthy == 0 && !growing;
    if hope && !behind_stuck {
        return None;
    }
    if room_without_addresses {
        return Some(Cause::VSwitchExhausted { vswitches: pool.vswitches.ids().to_vec() });
    }
    if incoming.stuck > 0 {
        return Some(stuck_cause());
    }
    let counts = pool.counts();
    Some(match pool.next_cooled() {
        Some(at) => {
            Cause::Cooling { cooling: counts.cooling, next_ms: at.saturating_sub(now).as_millis() as u64 }
        }
        None => {
            Cause::NodeFull { enis: attached, max_enis: pool.capacity.max_enis, addresses: counts.total() }
        }
    })
}

fn stuck_cause() -> Cause {
    Cause::NotReady { waiting_for: "an ENI that is stuck in `Attaching`".into() }
}

/// Slots of the cloud's limit that are free on an ENI.
fn room(pool: &Pool, eni: &PoolEni) -> u32 {
    pool.capacity
        .per_eni
        .saturating_sub(eni.slots_used() + eni.ops.v4.unwrap_or(0).max(eni.ops.v6.unwrap_or(0)))
}

struct Growth<'a> {
    pool: &'a Pool,
    now: Mono,
    random: u64,
    /// Pods still to be provided for.
    left: u32,
    /// Pods that the actions will serve: more than asked for where addresses come in lots.
    ordered: u32,
    plan: &'a mut Plan,
}

impl Growth<'_> {
    fn run(&mut self) {
        if self.left == 0 || self.pool.blocked.as_ref().is_some_and(|blocked| blocked.until > self.now) {
            return;
        }
        let probing = self.pool.vswitches.any_set_aside();
        for eni in self.pool.enis.values() {
            if self.left == 0 {
                return;
            }
            self.assign(eni);
            // While a vSwitch is set aside a single call at a time tests it.
            if probing && !self.plan.actions.is_empty() {
                return;
            }
        }
        self.create();
    }

    /// Adds to an ENI with room.
    fn assign(&mut self, eni: &PoolEni) {
        let pool = self.pool;
        // Nor while addresses leave it: the cloud may give one of them again, and a release whose answer was
        // lost could not tell the new one from the old.
        if !(eni.usable()
            && eni.ops.none()
            && eni.full_until <= self.now
            && pool.vswitches.open(&eni.vswitch, self.now))
        {
            return;
        }
        let per_slot = match eni.grain {
            Grain::Address => 1,
            Grain::Prefix => ADDRESSES_PER_PREFIX,
        };
        let slots = self.left.div_ceil(per_slot).min(room(pool, eni)).min(BATCH);
        match pool.capacity.stack {
            Stack::Ipv4 if slots > 0 => {
                let count = match eni.grain {
                    Grain::Address => AddressCount { v4: slots, ..AddressCount::default() },
                    Grain::Prefix => AddressCount { prefixes: slots, ..AddressCount::default() },
                };
                self.push_assign(eni, count);
                self.note(slots * per_slot);
            }
            Stack::Ipv4 => {}
            Stack::Dual => self.assign_pairs(eni),
        }
    }

    /// Both families, so that they end level: one may be ahead after a short reply.
    fn assign_pairs(&mut self, eni: &PoolEni) {
        let (v4, v6) = (eni.v4.len(), eni.v6.len());
        let level = v4.min(v6) + self.left.min(BATCH);
        let level = level.min(self.pool.capacity.per_eni);
        let (add4, add6) = (level.saturating_sub(v4).min(BATCH), level.saturating_sub(v6).min(BATCH));
        if add4 > 0 {
            self.push_assign(eni, AddressCount { v4: add4, ..AddressCount::default() });
        }
        if add6 > 0 {
            self.push_assign(eni, AddressCount { v6: add6, ..AddressCount::default() });
        }
        let pairs = (v4 + add4).min(v6 + add6) - v4.min(v6);
        self.note(pairs);
    }

    /// Counts pods that an action will serve.
    fn note(&mut self, units: u32) {
        self.left = self.left.saturating_sub(units);
        self.ordered += units;
    }

    fn push_assign(&mut self, eni: &PoolEni, count: AddressCount) {
        self.plan.actions.push(PoolAction::Assign { eni: eni.id.clone(), count });
    }

    fn create(&mut self) {
        let pool = self.pool;
        let attaching = pool.enis.values().filter(|eni| matches!(eni.phase, Phase::Attaching { .. })).count();
        let mut under_way = (attaching + pool.creating.len()) as u32;
        let mut held = (pool.enis.len() + pool.creating.len()) as u32;
        while self.left > 0 && held < pool.capacity.max_enis && under_way < pool.policy.parallel_enis {
            let Some(vswitch) = pool.vswitches.pick(self.now, self.random.rotate_left(held)) else { return };
            let (count, units) = self.create_count();
            self.plan.actions.push(PoolAction::Create { vswitch: vswitch.clone(), count, units });
            self.note(units);
            under_way += 1;
            held += 1;
            if pool.vswitches.any_set_aside() {
                return;
            }
        }
    }

    fn create_count(&self) -> (AddressCount, u32) {
        let capacity = &self.pool.capacity;
        match capacity.grain {
            Grain::Address => {
                let units = self.left.min(capacity.per_eni).min(CREATE_SECONDARY_MAX + 1);
                let v6 = if capacity.stack == Stack::Dual { units } else { 0 };
                (AddressCount { v4: units, v6, prefixes: 0 }, units)
            }
            Grain::Prefix => {
                let prefixes = self.left.div_ceil(ADDRESSES_PER_PREFIX).min(capacity.per_eni).min(BATCH);
                (AddressCount { v4: 1, v6: 0, prefixes }, prefixes * ADDRESSES_PER_PREFIX)
            }
        }
    }
}

/// Gives back what is idle beyond the maximum for long enough, or what slow reclaim allows.
fn shrink(pool: &Pool, now: Mono, idle: u32, min: u32, max: u32, plan: &mut Plan) {
    // The end of a rest is no event: where it makes a surplus, come and see.
    if idle + pool.counts().cooling > max
        && let Some(at) = pool.next_cooled()
    {
        wake(plan, now, at);
    }
    let mut surplus = 0;
    if let Some(since) = pool.over_max_since {
        let due = since + pool.policy.surplus_hold;
        if due <= now {
            surplus = idle.saturating_sub(max);
        } else {
            wake(plan, now, due);
        }
    }
    if let Some(reclaim) = &pool.policy.reclaim {
        match pool.reclaim_at {
            Some(at) if at <= now => surplus = surplus.max(reclaim.batch.min(idle.saturating_sub(min))),
            Some(at) => wake(plan, now, at),
            None => {}
        }
    }
    // Whole ENIs first, the smallest first; then single addresses from the emptiest ENIs.
    let mut vacant: Vec<&PoolEni> =
        pool.enis.values().filter(|eni| eni.phase == Phase::InUse && eni.vacant()).collect();
    vacant.sort_by_key(|eni| (eni.v4.len(), &eni.id));
    let mut removed = Vec::new();
    for eni in vacant {
        let units = eni.idle_units(pool.capacity.stack);
        if units > 0 && units <= surplus {
            surplus -= units;
            removed.push(&eni.id);
            plan.actions.push(PoolAction::Remove { eni: eni.id.clone() });
        }
    }
    let mut rest: Vec<&PoolEni> = pool
        .enis
        .values()
        .filter(|eni| eni.phase == Phase::InUse && eni.ops.none() && !removed.contains(&&eni.id))
        .collect();
    rest.sort_by_key(|eni| (eni.v4.counts().assigned, &eni.id));
    for eni in rest {
        if surplus == 0 {
            return;
        }
        let set = releasable(pool, eni, surplus);
        let units = match eni.grain {
            Grain::Address => set.v4.len() as u32,
            Grain::Prefix => set.prefixes.len() as u32 * ADDRESSES_PER_PREFIX,
        };
        if units > 0 {
            surplus = surplus.saturating_sub(units);
            plan.actions.push(PoolAction::Unassign { eni: eni.id.clone(), set });
        }
    }
}

/// Idle addresses of an ENI that may leave: never its primary one, whole prefixes only, the longest
/// idle first.
fn releasable(pool: &Pool, eni: &PoolEni, surplus: u32) -> AddressSet {
    let mut set = AddressSet::default();
    match eni.grain {
        Grain::Prefix => {
            let idle = eni.prefixes.iter().filter(|(_, busy)| **busy == 0);
            let most = (surplus / ADDRESSES_PER_PREFIX).min(BATCH) as usize;
            set.prefixes = idle.map(|(prefix, _)| *prefix).take(most).collect();
        }
        Grain::Address => {
            let most = surplus.min(BATCH) as usize;
            set.v4 = eni.v4.idle().filter(|address| *address != eni.primary).take(most).collect();
            if pool.capacity.stack == Stack::Dual {
                set.v6 = eni.v6.idle().take(set.v4.len()).collect();
                set.v4.truncate(set.v6.len());
            }
        }
    }
    set
}
