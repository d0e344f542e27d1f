//! Seeded draws: a counter hashed with (seed, purpose, node).
//!
//! Each client owns its streams, so that a request of one node never shifts
//! the latencies or faults of another; without that, shrinking a failing run
//! would change the run it shrinks. A stream is sixteen bytes.

use std::time::Duration;

/// One stream of draws, for one purpose of one node.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    key: u64,
    drawn: u64,
}

impl Draws {
    /// The stream of `node` for `purpose` in the run of `seed`.
    pub(super) fn new(seed: u64, purpose: &str, node: &str) -> Self {
        Self { key: hash(seed, &[purpose, node]), drawn: 0 }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with probability `p`. It draws even when `p` is zero: setting a
    /// fault then does not shift what this stream decides afterwards.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Exponentially distributed with this mean; at most 37 means, since the
    /// draw has 53 bits.
    pub(super) fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}

/// 64 bits that depend on every byte of `parts` and on where each part ends.
pub(super) fn hash(seed: u64, parts: &[&str]) -> u64 {
    let mut state = mix(seed.wrapping_add(GOLDEN));
    for part in parts {
        for &byte in part.as_bytes() {
            // FNV-1a's step; the mixing at the end of each part spreads it.
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        state = mix(state ^ part.len() as u64);
    }
    state
}

/// The increment of splitmix64: 2^64 over the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_replayable_and_independent() {
        let mut a = Draws::new(1, "latency", "node-a");
        let mut again = Draws::new(1, "latency", "node-a");
        let mut b = Draws::new(1, "latency", "node-b");
        let first: Vec<u64> = (0..8).map(|_| a.bits()).collect();
        let second: Vec<u64> = (0..8).map(|_| (again.bits(), b.bits()).0).collect();
        assert_eq!(first, second);
        assert_ne!(first[0], Draws::new(1, "latency", "node-b").bits());
        assert_ne!(hash(1, &["ab", "c"]), hash(1, &["a", "bc"]));
    }

    #[test]
    fn the_exponential_has_its_mean() {
        let mut draws = Draws::new(7, "mean", "");
        let total: Duration = (0..10_000).map(|_| draws.exponential(Duration::from_millis(5))).sum();
        let mean = total / 10_000;
        assert!((4_800..5_200).contains(&mean.as_micros()), "{mean:?}");
    }
}
