//! NetworkPolicy, from the API object to the packet.
//!
//! Without the feature `std` this crate is what the kernel's program is made of; the same source is the library that
//! explains, simulates and is fuzzed:
//!
//!
//! With `std`:
//!
//! - [`reference`]: the same question answered naively, to compare with

#![cfg_attr(not(feature = "std"), no_std)]

pub mod layout;
pub mod maps;
#[cfg(feature = "std")]
pub mod model;
#[cfg(feature = "std")]
pub mod reference;
