//! The kernel: netlink for links, addresses, routes, rules, neighbours and queues; `/proc/sys` for settings.
//!
//! - [`direct`]: one blocking socket for each namespace, no runtime: the plugin's side.
//! - [`rtnl`]: the agent's side, asynchronous, on the host's namespace only.
//! - [`host`]: the port `HostNet` over it.
//! - [`netns`]: entering a namespace, on a thread of its own.
//!
//! Both executors speak the same messages and read the same answers; they differ in how they wait.

mod decode;
pub mod direct;
mod encode;
pub mod host;
pub mod netns;
mod program;
pub mod rtnl;
mod run;
mod snapshot;
mod sysctl;
mod tbf;

pub use self::run::{ApplyError, ObserveError, Refused};
