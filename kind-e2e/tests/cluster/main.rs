//! Nodes with the agent that ships and pods by the plugin that ships, on this machine's kernel.
//!
//! Both programs are looked for beside this one and in `PATH`, or as `TERWAY_DAEMON` and `TERWAY_PLUGIN` say.

mod churn;
#[path = "../common/mod.rs"]
mod common;
mod messages;
mod pods;
mod reach;
mod verbs;
