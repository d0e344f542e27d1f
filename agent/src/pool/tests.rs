//! Tests of the pool and of its planner.
//!
//! The planner is tested by its properties: [`node`] is a small world in which pods come and go and
//! cloud calls end well or badly, [`draw`] makes such worlds and histories at random, and each of
//! the property files says what must hold at every step of every history.

mod demand;
mod draw;
mod handout;
mod limits;
mod node;
mod progress;
mod release;
mod slots;
mod vswitches;
mod wakeups;
