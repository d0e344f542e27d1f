//! The trace: every event of a run as `(time, node, what)`, folded into one 64-bit hash.
//!
//! Two runs of one seed must give the same hash; it is kept per simulated minute so that the first
//! minute that differs can be run again with text. Formatting goes straight into the hash: a run
//! without text allocates nothing for it.

use std::{
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::run::TextTrace;
use crate::time;

const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The trace of one run.
pub struct Trace {
    started: Instant,
    text: TextTrace,
    inner: Mutex<Inner>,
}

struct Inner {
    hash: Hasher,
    events: u64,
}

/// FNV-1a over what is written into it.
#[derive(Clone, Copy)]
struct Hasher(u64);

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

impl Hasher {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

impl Trace {
    /// A trace that starts now.
    pub fn new(seed: u64, text: TextTrace) -> Self {
        let hash = Hasher(terway_chaos::draw::hash(seed, "trace", ""));
        Self { started: time::now(), text, inner: Mutex::new(Inner { hash, events: 0 }) }
    }

    /// Cluster time.
    pub fn now(&self) -> Duration {
        time::since(self.started)
    }

    /// Notes an event of a node (or of the world: empty name).
    pub fn event(&self, node: &str, what: fmt::Arguments<'_>) {
        let now = self.now();
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.events += 1;
            inner.hash.bytes(&(now.as_micros() as u64).to_le_bytes());
            inner.hash.bytes(node.as_bytes());
            inner.hash.write_fmt(what).expect("hashing does not fail");
        }
        if self.shows(node, now) {
            let (minutes, seconds) = (now.as_secs() / 60, now.as_secs_f64() % 60.0);
            let line = format!("{minutes:>4}m{seconds:06.3}s {node:<14} {what}\n");
            // A reader that closed the pipe has seen enough.
            let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), line.as_bytes());
        }
    }

    fn shows(&self, node: &str, now: Duration) -> bool {
        match &self.text {
            TextTrace::Off => false,
            TextTrace::On { node: only, until, from } => {
                only.as_deref().is_none_or(|only| only == node || node.is_empty())
                    && until.is_none_or(|until| now <= until)
                    && from.is_none_or(|from| now >= from)
            }
        }
    }

    /// Hash of everything so far.
    pub fn hash(&self) -> u64 {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        terway_chaos::draw::mix(inner.hash.0)
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).events
    }
}
