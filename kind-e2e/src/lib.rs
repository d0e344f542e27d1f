//! x
pub mod clean;
pub mod cluster;
pub mod control;
pub mod fabric;
pub mod names;
pub mod netns;
pub mod node;
pub mod pod;
pub mod process;
pub mod programs;
pub mod spec;
pub mod supervisor;
pub mod target;
pub mod task;
pub mod traffic;
pub mod vpc;
