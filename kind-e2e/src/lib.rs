//! x
pub mod clean;
pub mod fabric;
pub mod names;
pub mod netns;
pub mod process;
pub mod spec;
mod task;
pub mod vpc;
