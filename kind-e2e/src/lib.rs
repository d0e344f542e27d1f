//! A cluster on a real kernel: a VPC and nodes of network namespaces, with the agent and the plugin that ship.
//!
//! A map, in reading order; `docs/e2e.md` is what a user reads.
//!
//! - [`spec`]: what a cluster is to be, and the cloud that follows; [`names`]: what its things are called.
//! - [`vpc`]: cloud, API server and fabric of a running cluster; [`fabric`]: the router, as a plan and its steps.
//! - [`node`]: a namespace with an agent; [`pod`]: a namespace that the plugin is called for; [`cluster`]: all of it.
//! - [`target`] and [`traffic`]: who sends to whom, and what became of it.
//! - [`supervisor`], [`control`]: the process behind a cluster that was started by hand, and what it is asked.
//! - [`clean`], over [`process`] and [`netns`]: what a killed cluster leaves is found and taken away.
//! - [`programs`]: where the agent and the plugin are; [`task`]: tasks and blocking work.

pub mod clean;
pub mod cluster;
pub mod control;
pub mod fabric;
pub mod names;
pub mod netns;
pub mod node;
mod observe;
pub mod play;
pub mod pod;
pub mod process;
pub mod programs;
pub mod spec;
pub mod supervisor;
pub mod target;
pub mod task;
pub mod traffic;
pub mod vpc;
