//! Deterministic simulator of thousand-node clusters that run the shipping agent.

pub mod cloud;
pub mod root;
