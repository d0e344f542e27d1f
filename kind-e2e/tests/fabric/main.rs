//! The VPC alone, on this machine's kernel: nodes without agents, NICs plugged in by calls of the cloud's API.

#[path = "../common/mod.rs"]
mod common;
mod plug;
