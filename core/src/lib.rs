//! Vocabulary, ports and configuration of terway-rs. No I/O happens in this crate.
//!
//! A map, in reading order:
//!
//! - [`id`]: typed names — ENI, vSwitch, instance, node, pod, sandbox, client token.
//! - [`address`]: what a pod is given — an IPv4 address and, in dual stack, an IPv6 address beside it.
//! - [`bandwidth`]: rates as annotations have them.
//! - [`limits`]: what an instance type may hold, and the capacity formulas that follow.
//! - [`config`]: `eni_conf` as operators write it, validated into [`config::PoolPolicy`].
//! - [`cause`]: the closed list of reasons for which an address can be refused.
//! - [`rpc`]: requests and replies of the allocation service, as the plugin sees them.
//! - the ports, each with a real and a simulated side: [`cloud`] (OpenAPI), [`metadata`] (instance
//!   metadata), [`host`] (the kernel's network state), [`time`] (wall clock and boot clock),
//!   [`entropy`], [`spawn`] (task scopes), [`probe`] (named crash points and rare paths).
//!
//! Monotonic time is not a port: it is `tokio::time`, which a simulator can pause.

pub mod address;
pub mod bandwidth;
pub mod cause;
pub mod cloud;
pub mod config;
pub mod duration;
pub mod entropy;
pub mod host;
pub mod id;
pub mod limits;
pub mod metadata;
pub mod probe;
pub mod rpc;
pub mod spawn;
pub mod time;
