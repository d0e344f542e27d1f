//! Numbers out of a seeded stream.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A number in `0..1`.
pub(super) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A number below `bound`; 0 when that is 0.
pub(super) fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    if bound == 0 { 0 } else { (rng.next_u64() % u64::from(bound)) as u32 }
}

/// A number of the standard normal distribution (Box–Muller).
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle) = (1.0 - unit(rng), unit(rng));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// A stream of its own, from one draw of `parent`: what is drawn from it never shifts the parent.
pub(super) fn fork(parent: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(parent.next_u64())
}

/// Stopgap for `terway_chaos::draw::stream`.
pub(super) fn stream(seed: u64, purpose: &str, object: &str) -> ChaCha8Rng {
    let bytes = seed.to_le_bytes().into_iter().chain(purpose.bytes()).chain([0xff]).chain(object.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ChaCha8Rng::seed_from_u64(hash)
}
