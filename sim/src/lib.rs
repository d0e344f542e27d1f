//! terway-sim

pub mod figures;
pub mod report;
