//! terway-sim
