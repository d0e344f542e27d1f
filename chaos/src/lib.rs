//! terway-chaos
