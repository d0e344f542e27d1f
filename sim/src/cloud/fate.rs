//! What the active faults do to a call or to a transition.
//!
//! Which calls a window meets is decided by draws of the call's own stream, so a window that is
//! taken out of a schedule does not change the latencies of any call.

use std::{collections::BTreeMap, time::Duration};

use rand_chacha::ChaCha8Rng;
use terway_core::{cloud::Action, id::InstanceId};
use tokio::time::Instant;

use super::{
    draws::{below, unit},
    fault::{FaultKind, FaultWindow},
};

/// Names an active window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(u64);

/// What becomes of a call that leaves its caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    pub(super) unreachable: bool,
    pub(super) slow: f64,
}

/// What becomes of a call that arrives.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "faults are independent; several may meet one call")]
pub(super) struct Arrival {
    pub(super) lost: bool,
    pub(super) refused: Option<String>,
    pub(super) answer_lost: bool,
    pub(super) answer_error: bool,
    pub(super) partial: bool,
    pub(super) stale: Option<Duration>,
}

/// The windows that are active.
#[derive(Debug, Default)]
pub(super) struct CloudFaults {
    next: u64,
    windows: BTreeMap<FaultId, (Instant, FaultWindow)>,
    /// Calls and transitions met, by the name of the kind.
    pub(super) met: BTreeMap<&'static str, u64>,
}

impl CloudFaults {
    pub(super) fn add(&mut self, window: FaultWindow, now: Instant) -> FaultId {
        self.windows.retain(|_, (until, _)| *until > now);
        self.next += 1;
        let id = FaultId(self.next);
        self.windows.insert(id, (now + Duration::from_millis(window.for_ms), window));
        id
    }

    pub(super) fn remove(&mut self, id: FaultId) -> bool {
        self.windows.remove(&id).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.windows.clear();
    }

    /// Decides about a call that leaves.
    pub(super) fn departing(
        &mut self,
        action: Action,
        caller: Option<&InstanceId>,
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) -> Departure {
        let mut fate = Departure { unreachable: false, slow: 1.0 };
        for (until, window) in self.windows.values() {
            let here = matches!(window.kind, FaultKind::Slow { .. } | FaultKind::Unreachable);
            if !here || *until <= now || !window.meets(action, caller) || unit(rng) >= window.probability {
                continue;
            }
            *self.met.entry(window.kind.name()).or_default() += 1;
            match window.kind {
                FaultKind::Slow { factor } => fate.slow *= factor.max(1.0),
                _ => fate.unreachable = true,
            }
        }
        fate
    }

    /// Decides about a call that arrives. Of several refusals the oldest window's wins.
    pub(super) fn arriving(
        &mut self,
        action: Action,
        caller: Option<&InstanceId>,
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) -> Arrival {
        let mut fate = Arrival::default();
        for (until, window) in self.windows.values() {
            let elsewhere = matches!(
                window.kind,
                FaultKind::Slow { .. } | FaultKind::Unreachable | FaultKind::StuckState
            );
            if elsewhere || *until <= now || !window.meets(action, caller) || unit(rng) >= window.probability
            {
                continue;
            }
            *self.met.entry(window.kind.name()).or_default() += 1;
            match &window.kind {
                FaultKind::Timeout => fate.lost = true,
                FaultKind::AppliedTimeout => fate.answer_lost = true,
                FaultKind::AppliedError => fate.answer_error = true,
                FaultKind::Partial => fate.partial = true,
                FaultKind::StaleRead { lag_ms } => {
                    fate.stale = fate.stale.max(Some(Duration::from_millis(*lag_ms)));
                }
                refusal => {
                    let code = refusal_code(refusal, rng);
                    fate.refused.get_or_insert(code);
                }
            }
        }
        fate
    }

    /// Until when a transition that `action` of `caller` began is held; `chance` is its own draw in
    /// `0..1`.
    pub(super) fn stuck(
        &self,
        action: Action,
        caller: Option<&InstanceId>,
        now: Instant,
        chance: f64,
    ) -> Option<Instant> {
        self.windows
            .values()
            .filter(|(until, window)| {
                window.kind == FaultKind::StuckState
                    && *until > now
                    && window.meets(action, caller)
                    && chance < window.probability
            })
            .map(|(until, _)| *until)
            .max()
    }
}

fn refusal_code(kind: &FaultKind, rng: &mut ChaCha8Rng) -> String {
    match kind {
        FaultKind::Throttle { code } | FaultKind::Quota { code } => code.clone(),
        FaultKind::Conflict => "Operation.Conflict".to_owned(),
        FaultKind::Denied => "Forbidden.RAM".to_owned(),
        FaultKind::BadState => "InvalidOperation.InvalidEniState".to_owned(),
        _ => ["InternalError", "ServiceUnavailable"][below(rng, 2) as usize].to_owned(),
    }
}
