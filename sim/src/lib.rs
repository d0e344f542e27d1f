//! Deterministic simulator of thousand-node clusters that run the shipping agent.
//!
//! The agent, its store, its kube client are the shipped code; everything they touch is here.

pub mod apiserver;
pub mod cloud;
pub mod figures;
pub mod report;
pub mod root;
pub mod run;
pub mod scenario;
