//! What can go wrong.

use std::{io, path::PathBuf};

use crate::attach::Hook;

/// What was attempted on what, and why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room.
    #[error(
        "write an entry of the map {map}: all of its {entries} entries are taken; a larger size takes a restart"
    )]
    Full {
        /// Its name.
        map: &'static str,
        /// How many it holds.
        entries: u32,
    },
    /// A map refused an operation.
    #[error("{operation} an entry of the map {map}: {source}")]
    Map {
        /// What was attempted.
        operation: &'static str,
        /// On which map.
        map: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// A map is not what the program and this library speak of.
    #[error("map {map}: {found}; expected {expected}")]
    Shape {
        /// Its name.
        map: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The object as a whole was refused.
    #[error("load the eBPF object: {0}")]
    Load(#[source] Box<aya::EbpfError>),
    /// The object lacks something that is in the same sources.
    #[error("the eBPF object has no {0}; it was not built from these sources")]
    Missing(String),
    /// One program was refused.
    #[error("load the program {program}: {source}")]
    Verifier {
        /// Its name.
        program: &'static str,
        /// The kernel's error, with what the verifier said.
        source: Box<aya::programs::ProgramError>,
    },
    /// A file below the pin directory.
    #[error("{operation} {}: {source}", path.display())]
    Pin {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A link of the network.
    #[error("{operation} {hook} at the link of index {link}: {source}")]
    Link {
        /// What was attempted.
        operation: &'static str,
        /// Which program and direction.
        hook: Hook,
        /// Index of the link.
        link: u32,
        /// What the kernel says.
        source: io::Error,
    },
    /// A packet could not be run.
    #[error("run a packet of {length} bytes through {hook}: {source}")]
    Run {
        /// Which program.
        hook: Hook,
        /// Its length.
        length: usize,
        /// What the kernel says; it takes 14 bytes and more.
        source: Box<aya::programs::ProgramError>,
    },
    /// The clock's resolution tells how long a tick is.
    #[error("tell the kernel's tick: the resolution of the coarse clock is {0} ns; expected 1 to 10 ms")]
    Tick(i64),
    /// A test bed could not be made.
    #[error("make a test bed: {what}: {source}")]
    Bed {
        /// Which part.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
}
