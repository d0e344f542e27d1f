//! Whether a pod could be served now: what CNI STATUS and the node's condition tell.

use std::time::Duration;

use crate::{
    pool::Mono,
    shared::{Shared, State},
};

/// How long it must be so before it is told that no pod can be served: the answer must not flap.
const LASTING: Duration = Duration::from_secs(15);

/// A kubelet asks for a pod again within a minute or so: when nobody has for this long after a refusal may be over,
/// nobody waits, and the next who comes may well be served.
const UNTRIED: Duration = Duration::from_secs(60);

/// What the agent answers to STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// An ADD can be served now, or after the pool has grown.
    Ready,
    /// No address can be had and the pool cannot grow.
    Unavailable {
        /// Why.
        why: String,
    },
    /// As well as that, or instead: running pods suffer.
    Impaired {
        /// Why.
        why: String,
    },
}

impl Shared {
    /// Whether another pod could be served: an address is idle, or growth is possible. What was refused last counts
    /// as refused until it is proven otherwise, or until nobody has tried for a while after it might be.
    pub(crate) fn sufficient(&self, state: &State) -> bool {
        let pool = &state.pool;
        let now = self.now();
        let room = pool.capacity.pods() > pool.counts().total();
        let blocked = pool.blocked.as_ref().is_some_and(|blocked| blocked.until + UNTRIED > now);
        let open = pool.vswitches.ids().iter().any(|id| pool.vswitches.hopeful(id, now, UNTRIED));
        pool.idle() > 0 || (room && open && !blocked)
    }

    /// Remembers since when no pod could be served.
    pub(crate) fn note_sufficiency(&self, state: &mut State, now: Mono) {
        if self.sufficient(state) {
            state.insufficient_since = None;
        } else {
            state.insufficient_since.get_or_insert(now);
        }
    }

    /// The answer to STATUS, from memory.
    pub(crate) fn status(&self) -> Status {
        if let Some(why) = self.impairment() {
            return Status::Impaired { why };
        }
        let mut state = self.state();
        let now = self.now();
        self.note_sufficiency(&mut state, now);
        match state.insufficient_since {
            Some(since) if now.saturating_sub(since) >= LASTING => {
                Status::Unavailable { why: why_insufficient(&state) }
            }
            _ => Status::Ready,
        }
    }
}

fn why_insufficient(state: &State) -> String {
    let pool = &state.pool;
    if let Some(blocked) = &pool.blocked {
        return blocked.cause.to_string();
    }
    let counts = pool.counts();
    if pool.capacity.pods() <= counts.total() {
        return format!(
            "node is full: all {} addresses that {} ENIs may have are in use or cooling",
            pool.capacity.pods(),
            pool.capacity.max_enis
        );
    }
    let ids = pool.vswitches.ids();
    if ids.is_empty() {
        return "no vSwitch is configured for the zone of this node; add one to `vswitches`".into();
    }
    let ids: Vec<&str> = ids.iter().map(terway_core::id::VSwitchId::as_str).collect();
    format!("no address left in vSwitch {}; add a vSwitch of this zone to `vswitches`", ids.join(", "))
}
