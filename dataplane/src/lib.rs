//! A pod's network on its node: what it is to be, how it differs from what is there, and how the kernel is told.
//!
//! A map, in reading order:
//!
//! - [`pod`]: what is asked for — [`pod::PodNet`] for a pod's interface, [`pod::EniNet`] for an ENI — and the
//!   [`pod::HostFacts`] that the answer depends on.
//! - [`name`]: names and hardware addresses that follow from a pod and its sandbox alone.
//! - [`state`]: links, addresses, routes, rules, neighbours, settings and queues as plain ordered values.
//! - [`desired`]: the state that a pod or an ENI is to have (veth with policy routing, IPv4 and dual stack).
//! - [`op`]: one change, its inverse, and what it does to a state.
//! - [`mod@diff`]: the changes that lead from one state to another, in the order that the kernel accepts.
//! - [`difference`]: the same comparison in words, for CHECK; what chained plugins may have changed is tolerated.
//! - [`select`]: which part of a node's state is one pod's.
//! - [`orphan`]: what on a node belongs to no pod and is provably ours.
//! - [`linux`]: the kernel — a blocking executor for the plugin, an asynchronous one for the agent.
//!
//! One description of a pod's network, five verbs: ADD applies the diff, CHECK demands that there is no
//! difference, repair applies the diff again, DEL applies the diff to nothing, GC does so for what no one owns.

pub mod desired;
pub mod diff;
pub mod difference;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod name;
pub mod op;
pub mod orphan;
pub mod pod;
pub mod select;
pub mod state;
