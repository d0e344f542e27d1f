//! The device below the store: a file in production, a model of one in the simulator.

use std::{fs, io, path::PathBuf};

use redb::{Builder, Database, DatabaseError};

/// Opens and wipes the device of the agent's store.
pub trait Disk: Send + Sync {
    /// A database on the device with whatever survived on it; a new one when it is empty.
    fn open(&self, builder: Builder) -> Result<Database, DatabaseError>;
    /// Puts a damaged store aside, so that the next [`open`](Self::open) finds an empty device.
    fn set_aside(&self) -> io::Result<()>;
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileDisk {
    path: PathBuf,
}

impl FileDisk {
    /// The store at this path; directories must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Disk for FileDisk {
    fn open(&self, builder: Builder) -> Result<Database, DatabaseError> {
        builder.create(&self.path)
    }

    fn set_aside(&self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("damaged"))
    }
}
