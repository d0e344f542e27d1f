//! terway-agent
