//! Fuzzing of the packet path: whatever comes, the parser reads what a second, plain one reads; nothing malformed reaches
//! an isolated pod; and what passes is what the reference allows, or belongs to a flow that it allows.
//!
//! `cargo test` gives each target a second. For longer, bolero's own engine takes its time from the environment:
//! `BOLERO_RANDOM_TEST_TIME_MS=60000 cargo test --profile sim -p terway-policy --test fuzz`; a failure prints the
//! `BOLERO_RANDOM_SEED` that finds it again.
//!
//! - `plain`: the second parser
//! - `drawn`: packets that are nearly right
//! - `parser`, `hooks`: one packet at a time
//! - `steps`: what may happen to a pod, one after the other
//! - `flows`: sequences of packets, time and changes of policy, against a plain model of flows

#[path = "../packets/bed.rs"]
#[expect(dead_code, reason = "the rows of the table need more of it")]
mod bed;
mod drawn;
mod flows;
mod hooks;
mod parser;
mod plain;
mod steps;
