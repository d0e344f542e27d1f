//! Chaos: what may go wrong, said as data.
//!
//! Nothing here runs a cluster. The simulator and the tests on real kernels both read this vocabulary, so
//! that a schedule found by the one can be tried by the other.
//!
//! - [`draw`]: the one source of randomness; start here, every stream of a run comes from it.
//! - [`kind`]: the fault vocabulary, with its classes and targets; [`points`] names the crash points.
//! - [`schedule`]: faults with their time and target, and the text form that people read and edit.
//! - [`swarm`]: draws a schedule from a seed and a table of rates.
//! - [`shrink`]: makes a failing case small.
//! - [`reproducer`]: a failure kept in the corpus.
//! - [`invariant`]: what must hold, and how a breach is reported.
//! - [`duration`] and [`near`]: the text form of durations, and "did you mean".

pub mod draw;
pub mod duration;
pub mod invariant;
pub mod kind;
pub mod near;
pub mod points;
pub mod reproducer;
pub mod schedule;
pub mod shrink;
pub mod swarm;

pub use invariant::{InvariantId, Severity, Violation};
pub use kind::{FaultClass, FaultKind, TargetKind};
pub use reproducer::{Expect, Reproducer};
pub use schedule::{Fault, InputError, Schedule, Target};
