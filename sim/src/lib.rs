//! terway-sim
pub mod apiserver;
