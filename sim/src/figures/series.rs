//! Courses over the run, on one time axis of buckets of equal width.
//!
//! The width is chosen for the length of the run, so that a report has at most [`MOST_BUCKETS`] points whether
//! it shows ten minutes or a day. A run that goes on for longer than planned halves its resolution.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most points in a course: about one per two pixels of a wide page.
pub(super) const MOST_BUCKETS: usize = 600;

/// Widths that people can think in, in seconds.
const WIDTHS: [u64; 15] = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

/// The courses; each list has one entry a bucket.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// Width of a bucket. Bucket i is from `i × bucket_seconds` on.
    pub bucket_seconds: f64,
    /// Pods that have their network, at the end of the bucket.
    pub pods_running: Vec<u64>,
    /// Pods bound to a node and waiting, at the end of the bucket.
    pub pods_pending: Vec<u64>,
    /// Idle addresses of all pools, at the end of the bucket.
    pub pool_idle: Vec<u64>,
    /// Addresses in use by pods.
    pub pool_assigned: Vec<u64>,
    /// Addresses cooling down.
    pub pool_cooling: Vec<u64>,
    /// Cloud calls in the bucket, by action.
    pub cloud_calls: BTreeMap<String, Vec<u64>>,
    /// Calls refused for their rate in the bucket.
    pub throttled: Vec<u64>,
    /// Median of the ADDs that ended in the bucket, in milliseconds; `null` if none did.
    pub add_p50_ms: Vec<Option<f64>>,
    /// Their 99th percentile.
    pub add_p99_ms: Vec<Option<f64>>,
    /// Faults injected in the bucket, by kind.
    pub faults: BTreeMap<String, Vec<u64>>,
    /// Breaches seen in the bucket, by invariant.
    pub violations: BTreeMap<String, Vec<u64>>,
}

/// The smallest usual width with which `length` fits.
pub(super) fn width_for(length: Duration) -> u64 {
    let seconds = length.as_millis().div_ceil(1000) as u64;
    let fits = |width: &u64| seconds.div_ceil(*width) <= MOST_BUCKETS as u64;
    WIDTHS.into_iter().find(fits).unwrap_or_else(|| seconds.div_ceil(MOST_BUCKETS as u64))
}

/// A count per bucket.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<u64>);

impl Counts {
    pub(super) fn add(&mut self, bucket: usize, count: u64) {
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, 0);
        }
        self.0[bucket] += count;
    }

    /// Joins each two buckets.
    pub(super) fn fold(&mut self) {
        self.0 = self.0.chunks(2).map(|pair| pair.iter().sum()).collect();
    }

    pub(super) fn finish(mut self, buckets: usize) -> Vec<u64> {
        self.0.resize(buckets, 0);
        self.0
    }
}

/// The last level seen per bucket; a bucket without a sample keeps the level of the one before.
#[derive(Debug)]
pub(super) struct Levels<const N: usize>(Vec<[u64; N]>);

impl<const N: usize> Levels<N> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn set(&mut self, bucket: usize, levels: [u64; N]) {
        self.extend(bucket + 1);
        self.0[bucket] = levels;
    }

    fn extend(&mut self, buckets: usize) {
        let last = self.0.last().copied().unwrap_or([0; N]);
        if self.0.len() < buckets {
            self.0.resize(buckets, last);
        }
    }

    pub(super) fn fold(&mut self) {
        self.0 = self.0.chunks(2).map(|pair| pair[pair.len() - 1]).collect();
    }

    pub(super) fn finish(mut self, buckets: usize) -> [Vec<u64>; N] {
        self.extend(buckets);
        self.0.truncate(buckets);
        std::array::from_fn(|i| self.0.iter().map(|levels| levels[i]).collect())
    }
}

/// A figure per bucket that only some buckets have; joined buckets keep the larger.
#[derive(Debug, Default)]
pub(super) struct Peaks(Vec<Option<f64>>);

impl Peaks {
    pub(super) fn set(&mut self, bucket: usize, value: Option<f64>) {
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, None);
        }
        self.0[bucket] = larger(self.0[bucket], value);
    }

    pub(super) fn fold(&mut self) {
        self.0 = self.0.chunks(2).map(|pair| pair.iter().copied().fold(None, larger)).collect();
    }

    pub(super) fn finish(mut self, buckets: usize) -> Vec<Option<f64>> {
        self.0.resize(buckets, None);
        self.0
    }
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}
