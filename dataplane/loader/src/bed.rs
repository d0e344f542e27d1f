//! A network namespace with pairs of veths and loaded programs, for tests and benches.

use std::{
    io,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    net::{AddressFamily, SocketType, netdevice, socket},
    thread::UnshareFlags,
};

use crate::{
    attach::Method,
    error::Error,
    pins,
    programs::{Options, Origin, Programs, Sizes},
};

/// Loaded programs in a namespace of their own. The thread that makes it is in that namespace for the rest of its life;
/// what it pins goes away with it.
#[derive(Debug)]
pub struct Bed {
    /// The programs, published.
    pub programs: Programs,
    /// Indices of the host's ends, `host0` and so on, by pod. The pods' ends `pod0` and so on are in the same namespace.
    pub links: Vec<u32>,
    pins: Pinned,
}

/// A pin folder that goes away, however far its bed came.
#[derive(Debug)]
struct Pinned(PathBuf);

/// Room for tests: little, so that beds are made quickly.
pub const SMALL: Sizes =
    Sizes { peers: 4096, cidrs: 1024, classes: 8192, crossings: 8192, flows: 4096, counters: 1024 };

impl Bed {
    /// A bed with so many pods, or `None` (printed) where this user may not make one.
    pub fn new(pods: u32, sizes: Sizes, method: Method) -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: eBPF programs are loaded by root");
            return Ok(None);
        }
        enter()?;
        let links = (0..pods).map(veth).collect::<Result<_, _>>()?;
        let pins = Pinned(folder());
        let options = Options { pins: pins.0.clone(), sizes, method };
        let mut programs = Programs::load(&options)?;
        programs.publish()?;
        Ok(Some(Self { programs, links, pins }))
    }

    /// What the programs were loaded with, to load them once more.
    pub fn options(&self, sizes: Sizes, method: Method) -> Options {
        Options { pins: self.pins.0.clone(), sizes, method }
    }

    /// Loads the programs once more, as an agent that was started again.
    pub fn reload(&mut self, sizes: Sizes, method: Method) -> Result<&Origin, Error> {
        self.programs = Programs::load(&self.options(sizes, method))?;
        Ok(self.programs.origin())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = pins::remove_folder(&self.0) {
            eprintln!("left behind: {error}");
        }
    }
}

/// A pin folder of this process that no other bed has.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/sys/fs/bpf/terway-bed-{}-{number}", std::process::id()))
}

#[expect(deprecated, reason = "unsafe for file descriptors and file systems only; a network is unshared")]
fn enter() -> Result<(), Error> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
        .map_err(|error| Error::Bed { what: "a network namespace".into(), source: error.into() })?;
    ip("link set lo up")
}

/// A pair of links, both up, with hardware addresses that follow from the number.
fn veth(pod: u32) -> Result<u32, Error> {
    ip(&format!("link add host{pod} type veth peer name pod{pod}"))?;
    ip(&format!("link set host{pod} up"))?;
    ip(&format!("link set pod{pod} up"))?;
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None);
    socket
        .and_then(|socket| netdevice::name_to_index(&socket, &format!("host{pod}")))
        .map_err(|error| Error::Bed { what: format!("the index of host{pod}"), source: error.into() })
}

/// What iproute2 does in the namespace of this thread.
pub fn ip(line: &str) -> Result<(), Error> {
    let failed = |source| Error::Bed { what: format!("ip {line}"), source };
    let output = Command::new("ip").args(line.split(' ')).output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())))
}
