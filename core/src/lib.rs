//! terway-core
