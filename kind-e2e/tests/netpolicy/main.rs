//! Network policies on a real kernel: the agent and the plugin that ship, real packets between namespaces.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod edits;
mod matrix;
mod node;
mod services;
mod start;
mod tell;
