//! The loaded programs against the library and the reference, by `BPF_PROG_TEST_RUN`: the same tables, the same packets,
//! and everything that can be seen of a verdict compared — whether the packet passes, its mark, what is told of it and
//! why, drops by reason, counters by rule, and the flows and fragments that are kept.
//!
//! - `kernel`: the maps as a mirror of tables in memory, and one packet through both
//! - `clusters`: first packets in random clusters, with the reference as the third
//! - `setting`: switches, flags, and a change under way
//! - `sequences`: packets both ways with changes of policy between
//! - `frames`: what is nearly a packet, and what is none
//!
//! What is drawn is shared with the tests of terway-policy, which compare the library with the reference at length.

#[path = "../../../policy/tests/packets/bed.rs"]
#[expect(dead_code, reason = "the rows of the table need more of it")]
mod bed;
#[path = "../../../policy/tests/agreement/bed.rs"]
#[expect(dead_code, reason = "who names the rules is asked elsewhere")]
mod cluster;
mod clusters;
#[path = "../../../policy/tests/fuzz/drawn.rs"]
mod drawn;
mod frames;
mod kernel;
mod sequences;
mod setting;
#[path = "../../../policy/tests/fuzz/steps.rs"]
#[expect(dead_code, reason = "nobody waits here")]
mod steps;

use bolero::{
    TypeGenerator,
    generator::bolero_generator::driver::{ByteSliceDriver, Options},
};
use terway_policy::generate::SplitMix;

/// The value of a seed, drawn from so many bytes; what is drawn beyond them is zero.
fn draw<T: TypeGenerator>(seed: u64, bytes: usize) -> T {
    let mut rng = SplitMix::new(seed);
    let bytes: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| rng.next().to_le_bytes()).collect();
    let mut driver = ByteSliceDriver::new(&bytes, &Options::default());
    T::generate(&mut driver).expect("bytes do not run out")
}
