//! Puts pinned policy programs on links, before these are up: the plugin for a pod that starts, the agent for all that is
//! there already. Small, since the plugin lives for milliseconds: a handful of system calls, no loader.
//!
//! By tcx where the kernel has it (6.6): a link object that is pinned, so that it outlives whoever made it, and whose
//! program is changed in one step. By a filter of clsact where not: it belongs to the network, and is replaced in place.
//!
//! - [`hook`]: which program, where on a link, under which pin.
//! - [`mod@attach`]: puts programs on links, sees whether they are there, takes them off.
//! - `bpf`: the system call; `clsact`: queues and filters by netlink.

pub mod attach;
mod bpf;
mod clsact;
pub mod hook;

pub use crate::{
    attach::{Attachment, Method, attach, attached, detach, is_attached, links, pinned_links, remove_dead},
    bpf::Program,
    hook::Hook,
};
