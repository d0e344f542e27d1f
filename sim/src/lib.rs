//! Deterministic simulator of thousand-node clusters that run the shipping agent.

pub mod root;
