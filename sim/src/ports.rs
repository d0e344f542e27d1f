//! The small ports of an agent: clocks, entropy, probe.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use rand_chacha::{ChaCha8Rng, rand_core::Rng as _};
use terway_chaos::draw;
use terway_core::{
    entropy::Entropy,
    probe::{Fate, Probe},
    time::{BootTime, Clock},
};
use tokio::time::Instant;

use crate::{disk::SimDisk, scope::Scope, time};

/// Wall-clock time at the start of every run: 2026-01-01T00:00:00Z.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// Clocks of one machine.
pub struct SimClock {
    started: Instant,
    /// Milliseconds by which the wall clock is off.
    offset_ms: AtomicI64,
    boot: Mutex<(u64, Instant)>,
}

impl SimClock {
    /// A machine that boots now.
    pub fn new(started: Instant) -> Arc<Self> {
        let boot = Mutex::new((1, time::now()));
        Arc::new(Self { started, offset_ms: AtomicI64::new(0), boot })
    }

    /// The wall clock jumps.
    pub fn step(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Relaxed);
    }

    /// The machine boots again.
    pub fn reboot(&self) {
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        *boot = (boot.0 + 1, time::now());
    }
}

impl Clock for SimClock {
    fn now(&self) -> SystemTime {
        let true_time = SystemTime::UNIX_EPOCH + EPOCH + time::since(self.started);
        let offset = self.offset_ms.load(Relaxed);
        let by = Duration::from_millis(offset.unsigned_abs());
        let stepped = if offset < 0 { true_time.checked_sub(by) } else { true_time.checked_add(by) };
        stepped.unwrap_or(true_time)
    }

    fn boot(&self) -> BootTime {
        let (boot_id, at) = *self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        BootTime { boot_id, elapsed: time::since(at) }
    }
}

/// Seeded randomness of one agent.
pub struct SimEntropy(Mutex<ChaCha8Rng>);

impl SimEntropy {
    /// The stream of one incarnation of a node's agent.
    pub fn new(seed: u64, node: &str, incarnation: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(draw::stream(seed, "entropy", &format!("{node}#{incarnation}")))))
    }
}

impl Entropy for SimEntropy {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

/// Rare paths of the whole run, by name.
#[derive(Default)]
pub struct Coverage(Mutex<BTreeMap<&'static str, u64>>);

impl Coverage {
    /// Counts one.
    pub fn count(&self, name: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(0) += 1;
    }

    /// All names reached.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Crash points that are armed on a node, and how often each was passed. Outlives the agent.
#[derive(Default)]
pub struct Points {
    armed: Mutex<Vec<(String, u32)>>,
    passed: Mutex<BTreeMap<&'static str, u64>>,
}

impl Points {
    /// The agent dies when it passes `point` the `nth` time from now on.
    pub fn arm(&self, point: &str, nth: u32) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).push((point.to_owned(), nth.max(1)));
    }

    /// Nothing is armed any more.
    pub fn disarm(&self) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often each point was passed.
    pub fn passed(&self) -> BTreeMap<&'static str, u64> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn strikes(&self, point: &'static str) -> bool {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner).entry(point).or_insert(0) += 1;
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut strikes = false;
        armed.retain_mut(|(name, left)| {
            if name == point {
                *left -= 1;
                strikes |= *left == 0;
            }
            *left > 0
        });
        strikes
    }
}

/// The probe of one incarnation of an agent.
pub struct SimProbe {
    /// The scope that dies at a crash point.
    pub scope: Arc<Scope>,
    /// Its disk, for crashes in the middle of a commit.
    pub disk: Arc<SimDisk>,
    /// Crash points of the node.
    pub points: Arc<Points>,
    /// Rare paths of the run.
    pub coverage: Arc<Coverage>,
    /// Sites where odd but legal things happen in this run.
    pub buggified: Arc<BTreeSet<&'static str>>,
    /// Draws for those sites.
    pub draws: AtomicU64,
    /// The deliberate bug of this run.
    #[cfg(feature = "deliberate-bugs")]
    pub bug: Option<terway_core::probe::Bug>,
}

impl Probe for SimProbe {
    fn reached(&self, point: &'static str) -> Fate {
        if self.scope.is_dead() {
            return Fate::Halt;
        }
        if point == "store.commit.before" && self.points.strikes("store.commit.torn") {
            self.coverage.count("crashed-in-commit");
            self.disk.crash_in_commit((self.draws.fetch_add(1, Relaxed) % 4) as u32);
        }
        if self.points.strikes(point) {
            self.coverage.count("crashed-at-point");
            self.scope.kill();
            return Fate::Halt;
        }
        Fate::Continue
    }

    fn sometimes(&self, name: &'static str) {
        self.coverage.count(name);
    }

    fn buggify(&self, site: &'static str) -> bool {
        // A chosen site fires in one of four passages, by a hash of the passage's number.
        self.buggified.contains(site)
            && draw::mix(self.draws.fetch_add(1, Relaxed) ^ site.len() as u64).is_multiple_of(4)
    }

    #[cfg(feature = "deliberate-bugs")]
    fn bug(&self) -> Option<terway_core::probe::Bug> {
        self.bug
    }
}
