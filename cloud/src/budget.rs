//! A budget of calls: how many of each action may be made, and who is next.
//!
//! The account has limits that nobody tells and that others use as well. So the rate of each action is a
//! guess that learns: it falls by a factor when the cloud throttles and rises again by steps, between a
//! floor and a ceiling ([`bucket`]). What there is goes round the shares, one turn each, and within a share
//! to who came first (`queue`): a node that asks for a hundred things at once does not keep the others
//! from asking for one.
//!
//! There is no task behind it: the first in line sleeps until its turn and wakes the next. Whoever gives
//! up waiting is taken out of the line, and wakes the next if it was the first.

pub mod bucket;
mod budgeted;
mod queue;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use terway_core::cloud::{Action, CloudError, RetryClass};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

pub use self::budgeted::Budgeted;
use self::{bucket::Bucket, queue::Queue};

/// A wait that is worth a line in the log (practice of the original).
const LONG: Duration = Duration::from_secs(5);

/// A ceiling that can not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// No such action.
    #[error(
        "rate limit of `{name}`: there is no such action; allowed are the actions of the API, such as `{nearest}`"
    )]
    UnknownAction {
        /// What was given.
        name: String,
        /// An action that sounds like it.
        nearest: &'static str,
    },
    /// None per minute.
    #[error("rate limit of `{name}`: 0 calls a minute; allowed is 1 and more")]
    Zero {
        /// The action.
        name: String,
    },
}

/// One call, when it has been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// What was called.
    pub action: Action,
    /// For whom.
    pub share: Arc<str>,
    /// Time from the request to the answer.
    pub latency: Duration,
    /// Time in the line before it.
    pub waited: Duration,
    /// Code of the error; none for success.
    pub code: Option<String>,
    /// Whether it was refused for the rate of calls.
    pub throttled: bool,
}

/// Is told of each call.
pub trait Metrics: Send + Sync {
    /// A call has been answered.
    fn call(&self, report: &CallReport);
}

/// How an action stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// The action.
    pub action: Action,
    /// Its rate now, in calls a minute.
    pub per_minute: f64,
    /// Calls in line.
    pub waiting: usize,
}

/// A budget; clones are the same one.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    ceilings: BTreeMap<Action, u32>,
    lanes: Mutex<BTreeMap<Action, Lane>>,
}

struct Lane {
    bucket: Bucket,
    queue: Queue,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("ceilings", &self.0.ceilings).finish_non_exhaustive()
    }
}

impl Budget {
    /// A budget with [`Action::per_minute`] as the ceilings, but for those that are given by name.
    pub fn new(per_minute: &BTreeMap<String, u32>) -> Result<Self, BudgetError> {
        let mut ceilings: BTreeMap<Action, u32> =
            Action::ALL.iter().map(|action| (*action, action.per_minute())).collect();
        for (name, limit) in per_minute {
            let action = Action::parse(name)
                .ok_or_else(|| BudgetError::UnknownAction { name: name.clone(), nearest: nearest(name) })?;
            if *limit == 0 {
                return Err(BudgetError::Zero { name: name.clone() });
            }
            ceilings.insert(action, *limit);
        }
        Ok(Self(Arc::new(Inner { ceilings, lanes: Mutex::default() })))
    }

    /// The share of a name: all of one name take turns as one.
    pub fn share(&self, name: impl Into<Arc<str>>) -> Share {
        Share { budget: self.clone(), name: name.into() }
    }

    /// How all actions stand.
    pub fn gauges(&self) -> Vec<Gauge> {
        let now = Instant::now();
        let gauge = |action: &Action| {
            self.with(*action, now, |lane| Gauge {
                action: *action,
                per_minute: lane.bucket.per_minute(),
                waiting: lane.queue.len(),
            })
        };
        Action::ALL.iter().map(gauge).collect()
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Action, Lane>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, action: Action, now: Instant, then: impl FnOnce(&mut Lane) -> T) -> T {
        let ceiling = self.0.ceilings[&action];
        let mut lanes = self.lanes();
        let lane = lanes
            .entry(action)
            .or_insert_with(|| Lane { bucket: Bucket::new(ceiling, now), queue: Queue::default() });
        lane.bucket.refill(now);
        then(lane)
    }

    /// What an answer says of the rate. `sent` is when the call was made: those that were under way
    /// together are refused for one and the same reason.
    fn learn(&self, sent: Instant, error: &CloudError) {
        if error.class == RetryClass::Throttled {
            let now = Instant::now();
            self.with(error.action, now, |lane| lane.bucket.throttled(now, sent, error.retry_after));
        }
    }
}

/// The action that shares the longest beginning with a name.
fn nearest(name: &str) -> &'static str {
    let common = |action: &Action| {
        action.name().bytes().zip(name.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    Action::ALL.iter().copied().max_by_key(common).map_or("", Action::name)
}

/// Someone who calls: a node, or a part of a program.
#[derive(Clone, Debug)]
pub struct Share {
    budget: Budget,
    name: Arc<str>,
}

impl Share {
    /// Waits until a call of an action may be made; returns how long that took. Dropping the future gives
    /// the place in the line up and nothing else.
    pub async fn turn(&self, action: Action) -> Duration {
        let start = Instant::now();
        let Some(place) = self.enter(action, start) else { return Duration::ZERO };
        loop {
            match place.next() {
                Next::Go => break,
                Next::At(then) => sleep_until(then).await,
                Next::Behind => place.wake.notified().await,
            }
        }
        let waited = start.elapsed();
        if waited > LONG {
            let waited_ms = waited.as_millis() as u64;
            tracing::warn!(%action, share = &*self.name, waited_ms, "a cloud call waited for the client's own rate limit");
        }
        waited
    }

    /// Takes a place in the line; none is needed when nobody waits and a call is left.
    fn enter(&self, action: Action, now: Instant) -> Option<Place> {
        let wake = Arc::new(Notify::new());
        let id = self.budget.with(action, now, |lane| {
            if lane.queue.is_empty() && lane.bucket.take(now).is_ok() {
                return None;
            }
            Some(lane.queue.push(self.name.clone(), wake.clone()))
        })?;
        Some(Place { share: self.clone(), action, id, wake })
    }
}

/// A place in the line of an action; out of it when dropped.
struct Place {
    share: Share,
    action: Action,
    id: u64,
    wake: Arc<Notify>,
}

enum Next {
    /// The call may be made.
    Go,
    /// First in line, for the call that will be left then.
    At(Instant),
    /// Not first.
    Behind,
}

impl Place {
    fn next(&self) -> Next {
        let now = Instant::now();
        self.share.budget.with(self.action, now, |lane| {
            if lane.queue.first() != Some(self.id) {
                return Next::Behind;
            }
            match lane.bucket.take(now) {
                Ok(()) => {
                    lane.queue.served();
                    Next::Go
                }
                Err(then) => Next::At(then),
            }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        self.share.budget.with(self.action, now, |lane| lane.queue.leave(&self.share.name, self.id));
    }
}

#[cfg(test)]
mod tests;
