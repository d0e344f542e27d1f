//! Benches of terway-rs, and the goals that they are read against.
//!
//! A bench is a report, not a test: it prints what was measured beside its goal, and never fails for
//! it, because a slow or busy machine is no bug. `cargo bench -p terway-benches` runs them all.
//!
//! - [`goal`]: figures beside their goals; [`node`]: pools of a full node; [`store`]: stores on a file
//!   and in memory.
//! - `benches/planner.rs`, `benches/events.rs`, `benches/store.rs`,
//!   `benches/cloud.rs`, `benches/endpoint.rs`: what is measured.
//! - `benches/cni/`: the plugin against peers, and against `bare/`, the kernel's part alone.

pub mod goal;
pub mod node;
pub mod store;
