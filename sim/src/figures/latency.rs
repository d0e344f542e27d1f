//! Latencies: percentiles and the shape of a distribution.
//!
//! Recorded in microseconds with two significant digits: an error below 1 %, which no reader can see, and a few
//! kilobytes a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles in milliseconds, each `null` if nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Half were at most this.
    pub p50: Option<f64>,
    /// Nine in ten.
    pub p90: Option<f64>,
    /// Ninety-nine in a hundred.
    pub p99: Option<f64>,
    /// All but one in a thousand.
    pub p999: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// ADD latencies, split by whether the pool had an idle address.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct AddLatency {
    /// An idle address was at hand.
    pub hit: Latency,
    /// The ADD had to wait for the cloud.
    pub miss: Latency,
}

/// Counts of ADDs in bins of equal ratio.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencyShape {
    /// Upper end of each bin, in milliseconds; the first bin starts at zero.
    pub upper_ms: Vec<f64>,
    /// Pool hits in each bin.
    pub hit: Vec<u64>,
    /// Pool misses in each bin.
    pub miss: Vec<u64>,
}

/// Bins per factor of ten: fine enough to show two humps, coarse enough to be drawn.
const BINS_PER_DECADE: u32 = 6;
/// From 0.1 ms, below which nothing of a pod's ADD happens, over seven decades to 1000 s.
const FIRST_UPPER_MS: f64 = 0.1;
const BINS: u32 = 7 * BINS_PER_DECADE + 1;

/// A histogram that grows with its values.
#[derive(Debug)]
pub(super) struct Recorded(Histogram<u64>);

impl Recorded {
    pub(super) fn new() -> Self {
        Self(Histogram::new(2).expect("two significant digits are allowed"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        // An hour bounds the memory; a longer ADD is counted as an hour.
        let micros = latency.as_micros().min(3_600_000_000) as u64;
        self.0.record(micros).expect("the histogram resizes itself");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    /// The latency in milliseconds at a quantile; `None` if nothing was recorded.
    pub(super) fn at(&self, quantile: f64) -> Option<f64> {
        (!self.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1000.0)
    }

    pub(super) fn latency(&self) -> Latency {
        Latency {
            count: self.0.len(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.at(1.0),
        }
    }

    fn bins(&self) -> Vec<u64> {
        let mut bins = vec![0; BINS as usize];
        for value in self.0.iter_recorded() {
            let ms = value.value_iterated_to() as f64 / 1000.0;
            let bin = ((ms / FIRST_UPPER_MS).log10() * f64::from(BINS_PER_DECADE)).ceil().max(0.0) as usize;
            bins[bin.min(BINS as usize - 1)] += value.count_since_last_iteration();
        }
        bins
    }
}

/// The distributions of hits and misses on common bins.
pub(super) fn shape(hit: &Recorded, miss: &Recorded) -> LatencyShape {
    let upper = |bin: u32| FIRST_UPPER_MS * 10_f64.powf(f64::from(bin) / f64::from(BINS_PER_DECADE));
    // Three digits: the bins are no finer than that, and the document stays readable.
    let rounded = |ms: f64| format!("{ms:.2e}").parse().expect("a printed float reads back");
    LatencyShape {
        upper_ms: (0..BINS).map(|bin| rounded(upper(bin))).collect(),
        hit: hit.bins(),
        miss: miss.bins(),
    }
}
