//! Names of links, and what is attached to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    path::Path,
};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use serde::Serialize;
use terway_guard::{Attachment, Hook, Program};

use crate::{error::Error, pins};

/// Names of links in the network namespace of the thread that asks.
#[derive(Debug)]
pub(super) struct Names(OwnedFd);

impl Names {
    pub(super) fn new() -> Result<Self, Error> {
        let made = socket(AddressFamily::INET, SocketType::DGRAM, None);
        made.map(Self).map_err(|error| pins::failed("ask for links at", Path::new("a socket"))(error.into()))
    }

    pub(super) fn name(&self, link: u32) -> Option<String> {
        netdevice::index_to_name(&self.0, link).ok()
    }

    pub(super) fn index(&self, name: &str) -> Option<u32> {
        netdevice::name_to_index(&self.0, name).ok()
    }
}

/// A program at its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Index of the link.
    pub link: u32,
    /// Its name.
    pub interface: Option<String>,
    /// Name of the program.
    pub program: &'static str,
    /// `tcx` or `clsact`.
    pub by: &'static str,
    /// The program's number in the kernel.
    pub program_id: u32,
}

/// Everything that is attached here, by link.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Links that exist.
    pub(super) there: BTreeSet<u32>,
    /// Numbers of programs that are pinned for whoever makes a link.
    pub(super) programs: BTreeMap<Hook, u32>,
    pub(super) attached: Vec<(Hook, Attached)>,
    /// Pins of links that are gone.
    pub(super) dead: Vec<(Hook, u32)>,
}

impl Links {
    pub(super) fn look(folder: &Path, names: &Names) -> Result<Self, Error> {
        let there = terway_guard::links().map_err(pins::failed("list links by", Path::new("/proc")))?;
        let mut links = Self { there: there.into_iter().collect(), ..Self::default() };
        for hook in Hook::ATTACHED {
            let pin = hook.pin(folder);
            match Program::pinned(&pin) {
                Ok(program) => _ = links.programs.insert(hook, program.id()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(pins::failed("open", &pin)(error)),
            }
        }
        let pinned = match terway_guard::pinned_links(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            pinned => pinned.map_err(pins::failed("list", folder))?,
        };
        links.dead = pinned.into_iter().filter(|(_, link)| !links.there.contains(link)).collect();
        for link in links.there.clone() {
            for hook in Hook::ATTACHED {
                let failed = |source| Error::Link { operation: "look at", hook, link, source };
                for (by, program_id) in terway_guard::attached(hook, folder, link).map_err(failed)? {
                    let by = match by {
                        Attachment::Tcx => "tcx",
                        Attachment::Clsact => "clsact",
                    };
                    let (interface, program) = (names.name(link), hook.program());
                    links.attached.push((hook, Attached { link, interface, program, by, program_id }));
                }
            }
        }
        Ok(links)
    }
}
