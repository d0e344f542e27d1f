//! Numbers out of a seeded stream, beyond what [`terway_chaos::draw`] has.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
pub(super) use terway_chaos::draw::{stream, unit};

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
