//! The one source of randomness: streams split by purpose and object.
//!
//! A run is `(scenario, seed, version)`. Were there one generator, each draw would shift all later ones, and a
//! shrunk schedule or an added node would change what everything else does. So nothing shares a generator:
//! whoever needs randomness asks for the stream of its own purpose and object, and draws from that alone.
//!
//! Laws for callers:
//! - `purpose` is a constant (`workload`, `latency`, `faults`, `shuffle`, `buggify`, `entropy`, …), `object` is
//!   a stable name (a node, a pod, an action), never an index into something that may grow in the middle.
//! - take the stream once and keep it; asking again starts the same numbers again.
//! - these functions are part of what a seed means. Changing them makes every stored seed worthless, so a test
//!   pins their output.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The generator for `object` in its role `purpose`, in the run of `seed`.
///
/// ChaCha with eight rounds: its output is specified, hence the same on every platform and in every release
/// of the library, and streams from related keys are unrelated.
pub fn stream(seed: u64, purpose: &str, object: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(hash(seed, purpose, object))
}

/// A stable 64-bit hash of the three parts of a stream's name.
///
/// FNV-1a over the bytes, then the splitmix64 finaliser, because FNV alone leaves the high bits of short
/// inputs nearly equal. Parts are separated by a byte that no UTF-8 text has, so `("ab", "c")` and
/// `("a", "bc")` differ.
pub fn hash(seed: u64, purpose: &str, object: &str) -> u64 {
    let separator = [0xff_u8];
    let bytes = seed
        .to_le_bytes()
        .into_iter()
        .chain(purpose.bytes())
        .chain(separator)
        .chain(object.bytes())
        .chain(separator);
    mix(bytes.fold(FNV_OFFSET, |h, byte| (h ^ u64::from(byte)).wrapping_mul(FNV_PRIME)))
}

/// The finaliser of splitmix64: a bijection in which each input bit changes half of the output bits.
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number in `[0, 1)`, from the top 53 bits of the next draw.
pub fn unit(rng: &mut impl Rng) -> f64 {
    unit_of(rng.next_u64())
}

/// The number in `[0, 1)` that a 64-bit draw stands for.
pub fn unit_of(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number in `[low, high]`; `low` when the range is empty. The bias is below 2⁻³² for ranges below 2³².
pub fn between(rng: &mut impl Rng, low: u64, high: u64) -> u64 {
    if high <= low {
        // The draw is taken all the same, so that an edited range does not shift later draws.
        rng.next_u64();
        return low;
    }
    let span = u128::from(high - low) + 1;
    low + ((u128::from(rng.next_u64()) * span) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// If this fails, every stored seed means something else. Do not update the numbers lightly.
    #[test]
    fn the_meaning_of_a_seed_is_pinned() {
        let mut rng = stream(1, "faults", "node-0001");
        let first: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(format!("{:016x}", hash(1, "faults", "node-0001")), "8d73617ca393b21a");
        assert_eq!(
            first.iter().map(|n| format!("{n:016x}")).collect::<Vec<_>>(),
            ["4b218176b17313fd", "a06de1c199d8b719", "e5cb2d3bffd7ad6a"]
        );
    }

    #[test]
    fn the_border_between_purpose_and_object_counts() {
        assert_ne!(hash(1, "ab", "c"), hash(1, "a", "bc"));
        assert_ne!(hash(1, "", "x"), hash(1, "x", ""));
    }

    proptest! {
        #[test]
        fn ranges_are_kept(seed: u64, low in 0_u64..1000, width in 0_u64..1000) {
            let mut rng = stream(seed, "test", "range");
            let drawn = between(&mut rng, low, low + width);
            prop_assert!((low..=low + width).contains(&drawn));
            let unit = unit(&mut rng);
            prop_assert!((0.0..1.0).contains(&unit));
        }

        #[test]
        fn one_bit_of_the_seed_changes_the_stream(seed: u64, bit in 0_u32..64) {
            prop_assert_ne!(hash(seed, "a", "b"), hash(seed ^ (1 << bit), "a", "b"));
        }
    }
}
