//! Randomness: tokens, jitter, choices. Seeded under the simulator, the system's otherwise.

use std::time::Duration;

/// A source of randomness.
pub trait Entropy: Send + Sync {
    /// 64 fresh bits.
    fn next_u64(&self) -> u64;

    /// A number in `0..1`.
    fn unit(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `base` stretched by up to `factor`, never shortened: jitter that keeps callers apart.
    fn jitter(&self, base: Duration, factor: f64) -> Duration {
        base.mul_f64(1.0 + factor * self.unit())
    }

    /// An index below `len`; 0 for an empty range.
    fn below(&self, len: usize) -> usize {
        if len == 0 { 0 } else { (self.next_u64() % len as u64) as usize }
    }
}
