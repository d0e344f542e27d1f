//! Runs the planner whenever something has changed, starts what it decides, serves those who wait.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{Assign, CreateEni, TAG_CREATOR, TAG_INSTANCE, TAG_TOKEN},
    id::{EniId, Mac, VSwitchId},
};
use tokio::time::{sleep, sleep_until};

use crate::{
    pool::{Creating, Mono, Phase, PoolAction, Slot, plan},
    shared::{Shared, State},
    store::{EniPhase, Intent},
};

/// After a look at the host that failed, the next one waits this long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Plans until the agent ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let wake_at = shared.turn();
        match wake_at {
            None => shared.kick.notified().await,
            Some(at) => {
                let at = shared.instant(at);
                // Biased towards the kick: a due timer that is lost is found again by the next plan.
                tokio::select! {
                    biased;
                    () = shared.kick.notified() => {}
                    () = sleep_until(at) => {}
                }
            }
        }
    }
}

impl Shared {
    /// One look at the pool: serve, plan, start.
    fn turn(self: &Arc<Self>) -> Option<Mono> {
        let mut state = self.state();
        let now = self.now();
        state.pool.expire_cooling(now);
        self.serve(&mut state);
        if state.waiters.is_empty() || state.pool.gather_until.is_some_and(|until| until <= now) {
            state.pool.gather_until = None;
        }
        state.pool.note_levels(now);
        self.note_sufficiency(&mut state, now);
        note_reclaim(self, &mut state, now);
        let mut waiters = state.waiters.len() as u32;
        if terway_core::bug!(self.ports.probe, DemandCountedTwice) {
            waiters *= 2;
        }
        let mut plan = plan(&state.pool, waiters, now, self.ports.entropy.next_u64());
        if terway_core::bug!(self.ports.probe, WaiterNeverFailed) {
            plan.refuse = None;
        }
        if let Some((count, cause)) = plan.refuse {
            self.ports.probe.sometimes(refused(cause.name()));
            // The last to come are the first to be told: those before them may still be served.
            for _ in 0..count {
                if let Some(waiter) = state.waiters.pop_back() {
                    // Whoever has hung up meanwhile needs no answer.
                    let _ = waiter.answer.send(Err(cause.clone()));
                }
            }
        }
        let shrinks = |action| matches!(action, &PoolAction::Unassign { .. } | &PoolAction::Remove { .. });
        if plan.actions.iter().any(shrinks) {
            state.pool.reclaim_at = None;
        }
        for action in plan.actions {
            self.start(&mut state, action);
        }
        plan.wake_at
    }

    /// Hands idle addresses to those who wait, first come first served.
    fn serve(&self, state: &mut State) {
        state.waiters.retain(|waiter| !waiter.answer.is_closed());
        while let Some(waiter) = state.waiters.pop_front() {
            let Some(granted) = self.grant(state, &waiter.claim) else {
                state.waiters.push_front(waiter);
                return;
            };
            // If it hangs up just now, the record stands and the DEL that follows frees it.
            let _ = waiter.answer.send(Ok(granted));
        }
    }

    /// Marks an action in the pool and starts the task that carries it out.
    fn start(self: &Arc<Self>, state: &mut State, action: PoolAction) {
        let shared = self.clone();
        match action {
            PoolAction::Create { vswitch, count, units } => {
                let request = self.create_request(vswitch, count);
                state.pool.vswitches.begin(&request.vswitch);
                state.pool.creating.insert(request.token.clone(), Creating { units });
                self.spawn("create", async move { shared.create(request).await });
            }
            PoolAction::Assign { eni, count } => {
                let Some(entry) = state.pool.enis.get_mut(&eni) else { return };
                let asked = count.v4 + count.prefixes;
                if asked > 0 {
                    entry.ops.v4 = Some(asked);
                } else {
                    entry.ops.v6 = Some(count.v6);
                }
                let vswitch = entry.vswitch.clone();
                state.pool.vswitches.begin(&vswitch);
                let request = Assign { token: self.token(), eni, count };
                self.spawn("assign", async move { shared.assign(request).await });
            }
            PoolAction::Unassign { eni, set } => self.start_unassign(state, eni, set),
            PoolAction::Remove { eni } => {
                let Some(entry) = state.pool.enis.get_mut(&eni) else { return };
                entry.phase = Phase::Leaving(EniPhase::Detaching);
                entry.touched = self.now();
                self.ports.probe.sometimes("eni-given-back");
                self.spawn("remove", async move { shared.remove(eni).await });
            }
        }
    }

    fn start_unassign(self: &Arc<Self>, state: &mut State, eni: EniId, set: AddressSet) {
        let Some(entry) = state.pool.enis.get_mut(&eni) else { return };
        entry.ops.release = true;
        if !terway_core::bug!(self.ports.probe, ReleaseRacesAllocation) {
            entry.set_all(&set, Slot::Releasing);
        }
        self.ports.probe.sometimes("pool-shrank");
        let (shared, token) = (self.clone(), self.token());
        self.spawn("unassign", async move {
            shared.unassign(Intent::Unassign { token, eni, set }).await;
        });
    }

    fn create_request(&self, vswitch: VSwitchId, count: AddressCount) -> CreateEni {
        let config = self.config();
        let mut tags = config.eni_tags.clone();
        tags.insert(TAG_CREATOR.0.to_owned(), TAG_CREATOR.1.to_owned());
        tags.insert(TAG_INSTANCE.to_owned(), self.identity.instance.to_string());
        let token = self.token();
        tags.insert(TAG_TOKEN.to_owned(), token.to_string());
        CreateEni {
            token,
            vswitch,
            security_groups: config.security_groups.clone(),
            count,
            tags: tags.into_iter().collect(),
        }
    }
}

/// Name of the rare path "a waiting pod was refused for this cause".
fn refused(cause: &'static str) -> &'static str {
    match cause {
        "node-full" => "waiter-refused-node-full",
        "vswitch-exhausted" => "waiter-refused-vswitch-exhausted",
        "quota" => "waiter-refused-quota",
        "denied" => "waiter-refused-denied",
        "cooling" => "waiter-refused-cooling",
        "not-ready" => "waiter-refused-not-ready",
        _ => "waiter-refused-otherwise",
    }
}

/// Arms slow reclaim once the pool has been quiet for long enough.
fn note_reclaim(shared: &Shared, state: &mut State, now: Mono) {
    let Some(reclaim) = &shared.config().pool.reclaim else { return };
    if state.pool.reclaim_at.is_none() {
        let quiet = (state.pool.last_activity + reclaim.after).max(now);
        state.pool.reclaim_at = Some(quiet + shared.ports.entropy.jitter(reclaim.interval, reclaim.jitter));
    }
}

/// Watches the host's interfaces: an ENI that vanishes must not serve another pod.
pub(crate) async fn watch_nics(shared: Arc<Shared>) {
    loop {
        // What changed while the agent was down shows in the first look.
        let Ok(nics) = shared.ports.host.nics().await else {
            sleep(LOOK_AGAIN).await;
            continue;
        };
        shared.note_nics(&nics);
        shared.ports.host.nics_changed(&nics).await;
    }
}

impl Shared {
    /// Compares the interfaces that the host sees with the ENIs in use.
    pub(crate) fn note_nics(&self, nics: &[Mac]) {
        let seen: BTreeSet<&Mac> = nics.iter().collect();
        let mut vanished = false;
        for eni in self.state().pool.enis.values_mut() {
            if eni.phase == Phase::InUse && !seen.contains(&eni.mac) {
                tracing::warn!(eni = %eni.id, "the interface of an ENI in use has vanished");
                eni.phase = Phase::Missing;
                vanished = true;
            }
        }
        if vanished {
            self.ports.probe.sometimes("nic-vanished");
            self.doubt.notify_one();
            self.kick.notify_one();
        }
    }
}
