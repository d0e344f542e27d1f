//! The host's side of the kernel's policy programs.
//!
//! A map, in reading order:
//!
//! - [`object`]: the embedded object, and which sources it was built from.
//! - [`programs`]: loads the programs, adopts or replaces what is pinned.
//! - [`attach`]: puts them on links, by tcx where the kernel has it, by clsact where not.
//! - [`table`]: the maps, typed by `terway_policy::layout`.
//! - [`port`]: the maps as the agent's engine writes them.
//! - [`events`]: what the programs tell.
//! - [`inspect`]: what is pinned, for people; reads only.
//! - [`run`]: one packet through a program, without a network.
//! - `bed` (feature `bed`): a network namespace with veths and loaded programs, for tests and benches.
//!
//! What is pinned lives on without the agent: maps, programs through their links, and the links. A new agent adopts maps
//! of its own layout; those of another stay in force until the new ones are filled, attached and published.

pub mod attach;
#[cfg(feature = "bed")]
pub mod bed;
pub mod error;
pub mod events;
pub mod inspect;
pub mod object;
mod pins;
pub mod port;
pub mod programs;
pub mod run;
mod sys;
pub mod table;

pub use crate::{
    attach::{Attachment, Hook, Method},
    error::Error,
    programs::{Options, Origin, Programs, Sizes},
};
