//! Time of the run: one clock, on whichever host of the simulated network one asks.
//!
//! In the fleet profile there is one runtime, and this is its clock. In the wire profile each host has a
//! runtime with a clock of its own; all of them advance alike, but their instants have nothing in common
//! and must never meet. What the world keeps of time (when a fault ends, when a call is answered) is
//! therefore counted from one anchor, and turned into an instant of the local clock only to sleep.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

thread_local! {
    /// A run stays on its thread, and so does what its hosts have in common.
    static ANCHOR: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// While it lives, the hosts of the simulated network on this thread share one time.
#[must_use = "the time is shared until this is dropped"]
#[derive(Debug)]
pub struct Shared(());

impl Shared {
    /// Time is shared from now on. What instant stands for the start does not matter: only differences
    /// are ever seen.
    pub fn begin() -> Self {
        ANCHOR.set(Some(Instant::now()));
        Self(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        ANCHOR.set(None);
    }
}

/// Now.
pub fn now() -> Instant {
    let shared = ANCHOR.get().and_then(|anchor| Some(anchor + turmoil::sim_elapsed()?));
    shared.unwrap_or_else(Instant::now)
}

/// Time that has passed since an instant of [`now`].
pub fn since(earlier: Instant) -> Duration {
    now().saturating_duration_since(earlier)
}

/// The instant of the local clock that an instant of [`now`] stands for: for timers, never to be kept.
pub fn local(at: Instant) -> Instant {
    if ANCHOR.get().is_none() {
        return at;
    }
    let here = Instant::now();
    match at.checked_duration_since(now()) {
        Some(ahead) => here + ahead,
        None => here,
    }
}

/// Sleeps until an instant of [`now`].
pub async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(local(at)).await;
}
