//! Named network namespaces: made and removed by netns-rs, entered on threads of their own.
//!
//! A name keeps its namespace alive without a process in it, and `ip netns` shows it. netns-rs enters with the
//! calling thread and comes back; here nobody comes back, because a thread that could not would do the machine's own
//! work in a node ([`terway_dataplane::linux::netns`] has the argument).

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use netns_rs::NetNs;
use terway_dataplane::linux::netns;

/// Where names of namespaces are, for `ip netns` and for us.
const DIR: &str = "/var/run/netns";

/// What went wrong with a namespace.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} network namespace `{name}`: {source}")]
pub struct NetnsError {
    what: &'static str,
    name: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl NetnsError {
    fn new(
        what: &'static str,
        name: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what, name: name.to_owned(), source: source.into() }
    }
}

/// A named namespace. Dropping it leaves the namespace where it is.
#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
    file: File,
}

impl Netns {
    /// Makes a namespace; an error when the name is taken.
    pub fn create(name: &str) -> Result<Self, NetnsError> {
        if path(name).exists() {
            return Err(NetnsError::new(
                "make",
                name,
                "the name is taken; `terway-e2e clean` removes leftovers",
            ));
        }
        NetNs::new(name).map_err(|error| NetnsError::new("make", name, error))?;
        Self::open(name)
    }

    /// Opens one that exists.
    pub fn open(name: &str) -> Result<Self, NetnsError> {
        let path = path(name);
        let file = netns::open(&path).map_err(|error| NetnsError::new("open", name, error))?;
        Ok(Self { name: name.to_owned(), path, file })
    }

    /// Takes the name away. What still runs inside keeps the namespace until it ends.
    pub fn remove(name: &str) -> Result<(), NetnsError> {
        if !path(name).exists() {
            return Ok(());
        }
        match NetNs::get(name).and_then(NetNs::remove) {
            Ok(()) => Ok(()),
            // A maker that was killed between the two steps leaves a name with nothing mounted on it.
            Err(_) if std::fs::remove_file(path(name)).is_ok() => Ok(()),
            Err(error) => Err(NetnsError::new("remove", name, error)),
        }
    }

    /// Names of all namespaces of the machine that have one.
    pub fn names() -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(DIR) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path, for those who open it by themselves.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something inside, on a thread of its own, and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        netns::within(self.file.as_fd(), work)
    }

    /// Moves the calling thread inside, for good: for a process that becomes another one.
    pub fn enter(&self) -> Result<(), NetnsError> {
        let netns = NetNs::get(&self.name).map_err(|error| NetnsError::new("open", &self.name, error))?;
        netns.enter().map_err(|error| NetnsError::new("enter", &self.name, error))
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}
