//! Policy in the simulator: the maps of simulated nodes, the policies of a scenario, and the oracle that compares what the
//! maps decide with the reference.
//!
//! - `maps`: the kernel's layouts in memory; they outlive the agent.
//! - `draw`: policies and labels, drawn from the seed.
//! - `law`: what the policies are, and were a while ago; changes of them and of labels while the run goes on.
//! - `check`: flows asked of the maps and of the reference.

mod check;
mod draw;
mod law;
mod maps;

pub(crate) use self::{
    check::{disagreements, watch_start},
    law::drive,
};
pub use self::{
    law::{Law, PolicyFigures},
    maps::SimMaps,
};
