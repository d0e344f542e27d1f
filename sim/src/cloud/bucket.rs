//! Token buckets of the account and of each action: what the cloud throttles by.
//!
//! Levels are integers (10⁻¹² of a call), so that 20 calls per second are exactly one per 50 ms and
//! no rounding decides who is throttled. A refused call takes nothing from any bucket.

use std::{collections::BTreeMap, time::Duration};

use terway_core::cloud::Action;
use tokio::time::Instant;

use super::model::{BucketModel, CloudModel};

/// One call, in units of a level.
const CALL: u128 = 1_000_000_000_000;

/// A token bucket.
#[derive(Clone, Debug)]
struct Bucket {
    capacity: u128,
    /// Calls per 1000 s.
    rate: u128,
    level: u128,
    updated: Instant,
}

impl Bucket {
    fn new(model: BucketModel, now: Instant) -> Self {
        let capacity = u128::from(model.capacity) * CALL;
        let rate = (model.refill_per_second.max(0.0) * 1000.0).round() as u128;
        Self { capacity, rate, level: capacity, updated: now }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed: Duration = now - self.updated;
        self.updated = now;
        // ns × calls/1000 s = 10⁻¹² calls.
        self.level = self.capacity.min(self.level + elapsed.as_nanos() * self.rate);
    }
}

/// All buckets.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    account: Option<Bucket>,
    actions: BTreeMap<Action, Bucket>,
}

impl Buckets {
    pub(super) fn new(model: &CloudModel, now: Instant) -> Self {
        let of_action = |action: Action| {
            let per_minute = f64::from(action.per_minute()) * model.action_factor;
            let usual =
                BucketModel { capacity: per_minute.ceil() as u32, refill_per_second: per_minute / 60.0 };
            let chosen = model.action_buckets.get(&action).copied();
            chosen.or((model.action_factor > 0.0).then_some(usual)).map(|bucket| (action, bucket))
        };
        Self {
            account: model.account_bucket.map(|bucket| Bucket::new(bucket, now)),
            actions: Action::ALL
                .iter()
                .copied()
                .filter_map(of_action)
                .map(|(action, bucket)| (action, Bucket::new(bucket, now)))
                .collect(),
        }
    }

    /// Takes one call of `action` from every bucket it falls under, or nothing from any.
    pub(super) fn take(&mut self, action: Action, now: Instant) -> bool {
        let mut buckets: Vec<&mut Bucket> =
            self.account.iter_mut().chain(self.actions.get_mut(&action)).collect();
        for bucket in &mut buckets {
            bucket.refill(now);
        }
        let enough = buckets.iter().all(|bucket| bucket.level >= CALL);
        if enough {
            for bucket in buckets {
                bucket.level -= CALL;
            }
        }
        enough
    }
}
