//! What the kernel enforces, read from the pinned maps: for an operator, agent running or not. Maps are opened so that
//! nothing can be changed by it, and the program's own bookkeeping (which flow was used last) is not touched.
//!
//! - [`Pinned`]: what stands in a folder of pins, by layout
//! - [`status`](mod@status): endpoints, programs on links, room, drops, figures of flows, and what does not fit together
//! - [`rules`]: rule sets with those whom they name; [`peers`]: addresses by class
//! - [`flows`]: flows that are known
//! - `read`: whole maps; `links`: names of links and programs on them
//!
//! Names of pods and policies are not in the maps: links, addresses and rules' numbers are.

pub mod flows;
mod links;
pub mod peers;
mod read;
pub mod rules;
pub mod status;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use serde::Serialize;
use terway_policy::{
    layout::{Addr, Control, LAYOUT, addr_of, is_v4},
    packet::protocol,
};

use self::links::Names;
use crate::{
    error::Error,
    pins,
    programs::Tables,
    sys::{self, Raw},
    table::{Controls, Layout, Table},
};

/// What stands in a folder of pins.
#[derive(Debug)]
pub enum Pinned {
    /// No maps of policy.
    Nothing,
    /// Maps that another version wrote; what they hold cannot be read here.
    Other {
        /// The version; `None` where the map that tells it holds no number.
        layout: Option<u32>,
    },
    /// Maps of this version.
    Node(Box<Node>),
}

/// The maps of a node, to be read.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    tables: Tables,
    control: Control,
    names: Names,
}

impl Pinned {
    /// Looks at a folder. One that is not there has nothing pinned in it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let Some(layout) = layout(folder)? else { return Ok(Self::Nothing) };
        if layout != Some(LAYOUT) {
            return Ok(Self::Other { layout });
        }
        let tables = tables(folder)?;
        let control = tables.control.get(&0)?.unwrap_or_default();
        let names = Names::new()?;
        Ok(Self::Node(Box::new(Node { folder: folder.to_owned(), tables, control, names })))
    }
}

impl Node {
    /// The maps; what would change them is refused.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The link that is meant by its index, its name, or an address that is an endpoint's.
    pub fn find(&self, text: &str) -> Result<Option<u32>, Error> {
        if let Ok(link) = text.parse() {
            return Ok(Some(link));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return self.tables.endpoint_addresses.get(&addr_of(ip));
        }
        Ok(self.names.index(text))
    }

    /// The name of a link in the network namespace of the calling thread.
    pub fn name(&self, link: u32) -> Option<String> {
        self.names.name(link)
    }
}

/// The version that the maps of a folder say they are of: nothing is pinned, or the map holds no number, or it.
#[expect(clippy::option_option, reason = "three answers, used in two places below")]
fn layout(folder: &Path) -> Result<Option<Option<u32>>, Error> {
    let Some(map) = map(folder, Controls::NAME)? else { return Ok(None) };
    let info = map.info().map_err(|error| Error::Shape {
        map: Controls::NAME,
        found: error.to_string(),
        expected: "a map of the kernel".into(),
    })?;
    // The number is first in all versions, whatever comes behind it.
    let (key, mut value) = (0_u32.to_ne_bytes(), vec![0; info.value_size() as usize]);
    if info.key_size() as usize != key.len() {
        return Ok(Some(None));
    }
    let fd = std::os::fd::AsFd::as_fd(map.fd());
    let found = Raw { fd, key: key.len(), value: value.len() }
        .lookup(&key, &mut value)
        .map_err(|source| Error::Map { operation: "read", map: Controls::NAME, source })?;
    let number = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    Ok(Some(number.filter(|number| found && *number != 0)))
}

/// A pinned map, if it is pinned.
fn map(folder: &Path, name: &'static str) -> Result<Option<MapData>, Error> {
    let path = folder.join(name);
    let fd = match sys::open_read_only(&path) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Not below a bpf file system: whatever the file is, it is none of ours.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(pins::failed("open", &path)(error)),
    };
    let map = MapData::from_fd(fd).map_err(|error| Error::Shape {
        map: name,
        found: error.to_string(),
        expected: format!("a map pinned at {}", path.display()),
    })?;
    Ok(Some(map))
}

fn table<L: Layout>(folder: &Path) -> Result<Table<L>, Error> {
    let missing = || Error::Shape {
        map: L::NAME,
        found: "it is not pinned".into(),
        expected: format!("a map at {}, as {} says", folder.join(L::NAME).display(), Controls::NAME),
    };
    Table::new(map(folder, L::NAME)?.ok_or_else(missing)?)
}

fn tables(folder: &Path) -> Result<Tables, Error> {
    Ok(Tables {
        control: table(folder)?,
        endpoints: table(folder)?,
        epochs: table(folder)?,
        endpoint_addresses: table(folder)?,
        host: table(folder)?,
        host_bits: table(folder)?,
        services: table(folder)?,
        peers: table(folder)?,
        cidrs: table(folder)?,
        rules: table(folder)?,
        pages: table(folder)?,
        classes: table(folder)?,
        crossings: table(folder)?,
        flows: table(folder)?,
        fragments: table(folder)?,
        counters: table(folder)?,
        drops: table(folder)?,
    })
}

/// Whether a set that is not in force yet stands beside.
fn is_staged(folder: &Path) -> bool {
    fs::metadata(folder.join(pins::STAGE)).is_ok()
}

/// The address that sixteen bytes stand for.
pub fn ip_of(addr: &Addr) -> IpAddr {
    if is_v4(addr) {
        Ipv4Addr::new(addr[12], addr[13], addr[14], addr[15]).into()
    } else {
        Ipv6Addr::from(*addr).into()
    }
}

/// The name of an IP protocol.
pub fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "TCP".into(),
        protocol::UDP => "UDP".into(),
        protocol::SCTP => "SCTP".into(),
        protocol::ICMP => "ICMP".into(),
        protocol::ICMPV6 => "ICMPv6".into(),
        47 => "GRE".into(),
        number => format!("protocol {number}"),
    }
}

/// One of the two sides that a pod is judged at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl Direction {
    /// Both, in the order of the maps.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn of(number: u8) -> Self {
        Self::BOTH[usize::from(number & 1)]
    }
}
