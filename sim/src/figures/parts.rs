//! The smaller parts of the figures.

use serde::{Deserialize, Serialize};

/// How much of the pools lay idle.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct AddressWaste {
    /// Mean share over time, 0 to 1; `null` if no pool ever had an address.
    pub mean: Option<f64>,
    /// Largest share at any time.
    pub max: Option<f64>,
    /// Share at the end.
    pub at_end: Option<f64>,
}

/// A burst of pods, beside what the cloud's limits alone impose.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// From the burst until the last of its pods was ready; `null` if some never were.
    pub all_ready_seconds: Option<f64>,
    /// The time that rate limits and latencies of the cloud impose on anyone.
    pub bound_seconds: f64,
    /// The first over the second.
    pub ratio: Option<f64>,
}

impl Burst {
    /// A burst with its ratio worked out.
    pub fn new(all_ready_seconds: Option<f64>, bound_seconds: f64) -> Self {
        let ratio = all_ready_seconds.filter(|_| bound_seconds > 0.0).map(|ready| ready / bound_seconds);
        Self { all_ready_seconds, bound_seconds, ratio }
    }
}

/// Time to heal after faults of one kind, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Recovery {
    /// Faults that were healed.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The longest.
    pub max: f64,
}

impl Recovery {
    /// Sums up the times of one kind.
    pub(super) fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let Some(max) = seconds.last().copied() else { return Self::default() };
        Self { count: seconds.len() as u64, p50: seconds[(seconds.len() - 1) / 2], max }
    }
}

/// A rare path, and how often it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sometimes {
    /// Its name in the code.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// A parameter of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelParameter {
    /// What it is.
    pub name: String,
    /// Its value with its unit.
    pub value: String,
    /// Where the value comes from; `assumed` if nowhere.
    pub source: String,
}
