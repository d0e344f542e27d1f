//! NetworkPolicy, from the API object to the packet.
//!
//! Without the feature `std` this crate is what the kernel's program is made of; the same source is the library that
//! explains, simulates and is fuzzed:
//!
//! - `layout`: keys and values of the maps.
//! - `packet`: from bytes to addresses, protocol and ports.
//! - `maps`: how a verdict reads tables and keeps flows.
//! - `verdict`: the decision for one packet.
//!
//! With `std`:
//!
//! - `model`: pods, namespaces and policies, as far as policy looks at them.
//! - `compile`: from the model to tables, incrementally, in an order in which every write is safe.
//! - `op`: one such write; `port`: who makes it; `memory`: the tables in memory.
//! - `explain`: both ends' verdicts in words, with what nearly matched.
//! - `reference`: the semantics written down plainly. Shares nothing with the compiler, to compare with.
//! - `manifest`: Kubernetes objects to the model and back (feature `manifest`).
//! - `generate`: random clusters and questions (feature `generate`).
//! - `craft`: packets from plain values (feature `generate`).

#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
pub mod compile;
#[cfg(feature = "generate")]
pub mod craft;
#[cfg(feature = "std")]
pub mod explain;
#[cfg(feature = "generate")]
pub mod generate;
#[allow(clippy::inline_always, reason = "the kernel's verifier wants one function")]
pub mod layout;
#[cfg(feature = "manifest")]
pub mod manifest;
pub mod maps;
#[cfg(feature = "std")]
pub mod memory;
#[cfg(feature = "std")]
pub mod model;
#[cfg(feature = "std")]
pub mod op;
#[allow(clippy::inline_always, reason = "the kernel's verifier wants one function")]
pub mod packet;
#[cfg(feature = "std")]
pub mod port;
#[cfg(feature = "std")]
pub mod reference;
#[allow(clippy::inline_always, reason = "the kernel's verifier wants one function")]
pub mod verdict;
