//! terway-benches
