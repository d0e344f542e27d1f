//! NetworkPolicy, from the API object to the packet.
//!
//! Without the feature `std` this crate is what the kernel's program is made of; the same source is the library that
//! explains, simulates and is fuzzed:
//!
//!
//! With `std`:
//!
//! - [`explain`]: why a flow passes or does not, and what came nearest
//! - [`generate`]: random clusters and questions (feature `generate`)
//! - [`manifest`]: Kubernetes objects to the model and back (feature `manifest`)
//! - [`reference`]: the same question answered naively, to compare with

#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
pub mod compile;
#[cfg(feature = "std")]
pub mod explain;
#[cfg(feature = "generate")]
pub mod generate;
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
pub mod packet;
#[cfg(feature = "std")]
pub mod reference;
pub mod verdict;
