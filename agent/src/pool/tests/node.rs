//! A node for property tests: a pool, the pods on it, and the cloud calls that the planner started.
//!
//! It carries actions out as the agent does, minus everything that is not the pool: a call is an
//! entry in a list until a step of the history ends it.

mod cloud;
mod sums;

use terway_core::{
    address::{AddressCount, AddressSet, Grain, Stack},
    config::VSwitchSelection,
    id::VSwitchId,
};

use super::super::*;
use crate::store::EniPhase;

/// How a cloud call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that was asked for.
    Done,
    /// Only so many addresses, where a call can give fewer.
    Partial(u32),
    /// The vSwitch has no address left.
    Exhausted,
    /// A quota of the account.
    Quota,
    /// Permission or configuration.
    Denied,
    /// The ENI's state, or its limit, does not allow it.
    Conflict,
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Pods arrive.
    Arrive(u32),
    /// A pod leaves; which one.
    Leave(usize),
    /// Waiting pods hang up.
    HangUp(u32),
    /// Milliseconds pass.
    Pass(u64),
    /// A call under way ends; which one.
    End(usize, Outcome),
    /// The host loses sight of an ENI, or sees it again; which one.
    Blink(usize),
    /// An ENI vanishes from the cloud; which one.
    Lose(usize),
}

/// A call under way.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Create { token: ClientToken, vswitch: VSwitchId, count: AddressCount },
    Attach { eni: EniId },
    Assign { eni: EniId, vswitch: VSwitchId, count: AddressCount },
    Unassign { eni: EniId, set: AddressSet },
    Remove { eni: EniId },
}

/// A node of four ENIs with ten slots each and no floor.
pub(super) fn empty(grain: Grain, stack: Stack) -> Node {
    let capacity = NodeCapacity { max_enis: 4, per_eni: 10, grain, stack };
    let policy = PoolPolicy {
        min_pool: 0,
        max_pool: 5,
        replenish_threshold: 0,
        min_eni: 0,
        max_eni: 0,
        eni_cap_ratio: 1.0,
        eni_cap_shift: 0,
        max_ips_per_eni: 0,
        parallel_enis: 5,
        surplus_hold: Duration::from_secs(120),
        cooldown: Duration::from_secs(130),
        reclaim: None,
        eni_selection: EniSelection::MostIps,
        vswitch_selection: VSwitchSelection::Ordered,
        stack,
        grain,
    };
    Node::new(capacity, policy, 1)
}

/// The node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) pool: Pool,
    pub(super) now: Mono,
    pub(super) waiting: u32,
    pub(super) pods: Vec<(EniId, PodIps)>,
    pub(super) calls: Vec<Call>,
    serial: u32,
}

impl Node {
    pub(super) fn new(capacity: NodeCapacity, policy: PoolPolicy, vswitches: u32) -> Self {
        let ids = (0..vswitches).map(|n| format!("vsw-{n}").into()).collect();
        let vswitches = VSwitches::new("zone-a".into(), ids, policy.vswitch_selection);
        let pool = Pool::new(capacity, policy, vswitches);
        let now = Mono::from_secs(1000);
        Self { pool, now, waiting: 0, pods: Vec::new(), calls: Vec::new(), serial: 0 }
    }

    /// What the agent does before it plans: expire, serve, note.
    pub(super) fn settle(&mut self) {
        self.pool.expire_cooling(self.now);
        while self.waiting > 0
            && let Some(given) = self.pool.take(self.now)
        {
            self.waiting -= 1;
            self.pods.push(given);
        }
        if self.waiting == 0 || self.pool.gather_until.is_some_and(|until| until <= self.now) {
            self.pool.gather_until = None;
        }
        self.pool.note_levels(self.now);
        if let Some(reclaim) = self.pool.policy.reclaim
            && self.pool.reclaim_at.is_none()
        {
            let quiet = (self.pool.last_activity + reclaim.after).max(self.now);
            self.pool.reclaim_at = Some(quiet + reclaim.interval);
        }
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan_for(self.waiting)
    }

    pub(super) fn plan_for(&self, waiters: u32) -> Plan {
        plan(&self.pool, waiters, self.now, u64::from(self.serial).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Carries a plan out as far as the agent does in one breath.
    pub(super) fn start(&mut self, plan: Plan) {
        if let Some((count, _)) = plan.refuse {
            self.waiting = self.waiting.saturating_sub(count);
        }
        let gives =
            |action: &PoolAction| matches!(action, PoolAction::Unassign { .. } | PoolAction::Remove { .. });
        if plan.actions.iter().any(gives) {
            self.pool.reclaim_at = None;
        }
        for action in plan.actions {
            let call = match action {
                PoolAction::Create { vswitch, count, units } => {
                    self.pool.vswitches.begin(&vswitch);
                    let token = ClientToken::from(format!("token-{}", self.next()));
                    self.pool.creating.insert(token.clone(), Creating { units });
                    Call::Create { token, vswitch, count }
                }
                PoolAction::Assign { eni, count } => {
                    let entry = self.pool.enis.get_mut(&eni).expect("plans name ENIs of the pool");
                    let asked = count.v4 + count.prefixes;
                    *(if asked > 0 { &mut entry.ops.v4 } else { &mut entry.ops.v6 }) =
                        Some(asked.max(count.v6));
                    let vswitch = entry.vswitch.clone();
                    self.pool.vswitches.begin(&vswitch);
                    Call::Assign { eni, vswitch, count }
                }
                PoolAction::Unassign { eni, set } => {
                    let entry = self.pool.enis.get_mut(&eni).expect("plans name ENIs of the pool");
                    entry.ops.release = true;
                    entry.set_all(&set, Slot::Releasing);
                    Call::Unassign { eni, set }
                }
                PoolAction::Remove { eni } => {
                    let entry = self.pool.enis.get_mut(&eni).expect("plans name ENIs of the pool");
                    entry.phase = Phase::Leaving(EniPhase::Detaching);
                    Call::Remove { eni }
                }
            };
            self.calls.push(call);
        }
    }

    /// Applies a step; steps that name nothing do nothing.
    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Arrive(pods) => {
                if self.waiting == 0 {
                    self.pool.gather_until = Some(self.now + GATHER);
                }
                self.waiting += pods;
            }
            Step::HangUp(pods) => self.waiting = self.waiting.saturating_sub(pods),
            Step::Pass(ms) => self.now += Duration::from_millis(ms),
            Step::Leave(which) if !self.pods.is_empty() => {
                let (eni, ips) = self.pods.swap_remove(which % self.pods.len());
                let until = self.now + self.pool.policy.cooldown;
                self.pool.cool(&eni, ips, until, self.now);
            }
            Step::End(which, outcome) if !self.calls.is_empty() => {
                let call = self.calls.swap_remove(which % self.calls.len());
                self.end(call, outcome);
            }
            Step::Blink(which) => self.blink(which),
            Step::Lose(which) => {
                if let Some(id) = self.any_eni(which) {
                    self.pool.enis.remove(&id);
                }
            }
            Step::Leave(_) | Step::End(..) => {}
        }
    }

    fn blink(&mut self, which: usize) {
        let Some(id) = self.any_eni(which) else { return };
        let eni = self.pool.enis.get_mut(&id).expect("just found");
        eni.phase = match eni.phase {
            Phase::InUse => Phase::Missing,
            Phase::Missing => Phase::InUse,
            other => other,
        };
    }

    fn any_eni(&self, which: usize) -> Option<EniId> {
        let count = self.pool.enis.len().max(1);
        self.pool.enis.keys().nth(which % count).cloned()
    }

    fn next(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }
}
