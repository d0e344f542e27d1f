//! Network state as plain ordered values: what is wanted and what is there are compared as sets.
//!
//! Only what somebody chose is state. What the kernel makes by itself — its local table, link-local addresses,
//! prefix routes, neighbours it learned — is neither described nor observed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
};

use ipnet::IpNet;
use terway_core::id::Mac;
pub use terway_guard::Hook;

/// The kernel's main routing table.
pub const MAIN_TABLE: u32 = 254;

/// State of the two namespaces that a pod's network lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetState {
    /// The node's side.
    pub host: Side,
    /// The pod's side.
    pub pod: Side,
}

impl NetState {
    /// The state of a host that no pod is looked at with.
    pub fn of_host(host: Side) -> Self {
        Self { host, pod: Side::default() }
    }

    /// One side of it.
    pub fn side(&self, place: Place) -> &Side {
        match place {
            Place::Host => &self.host,
            Place::Pod => &self.pod,
        }
    }

    /// One side of it, to change.
    pub fn side_mut(&mut self, place: Place) -> &mut Side {
        match place {
            Place::Host => &mut self.host,
            Place::Pod => &mut self.pod,
        }
    }
}

/// Which namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The node's.
    Host,
    /// The pod's.
    Pod,
}

impl Place {
    /// Where the other end of a veth pair is.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Host => Self::Pod,
            Self::Pod => Self::Host,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Pod => "pod",
        })
    }
}

/// State of one namespace, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Links by name.
    pub links: BTreeMap<String, Link>,
    /// Addresses.
    pub addresses: BTreeSet<Address>,
    /// Permanent neighbours.
    pub neighbours: BTreeSet<Neighbour>,
    /// Unicast routes.
    pub routes: BTreeSet<Route>,
    /// Routing policy rules.
    pub rules: BTreeSet<Rule>,
    /// Root queueing disciplines that somebody set.
    pub qdiscs: BTreeSet<Qdisc>,
    /// Settings below `/proc/sys`, by path.
    pub sysctls: BTreeMap<String, u32>,
    /// Policy programs on links.
    pub programs: BTreeSet<Program>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Hardware address.
    pub mac: Mac,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Free text kept with it.
    pub alias: Option<String>,
    /// Index that it is made with; 0 leaves that to the kernel, and is what is seen.
    pub index: u32,
    /// What it is.
    pub kind: LinkKind,
}

/// What a link is, and so who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A physical interface: it comes and goes with the machine, we only configure it.
    Nic,
    /// One end of a pair; the other one is in the other namespace, under this name. None: it is elsewhere.
    Veth {
        /// Name of the other end.
        peer: Option<String>,
    },
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Link that has it.
    pub dev: String,
    /// The address with its prefix length.
    pub net: IpNet,
}

/// A neighbour that is not learned but given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Link it is behind.
    pub dev: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
}

/// A unicast route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Table it is in.
    pub table: u32,
    /// Destination.
    pub dst: IpNet,
    /// Link that it leads through.
    pub dev: String,
    /// Gateway, reached on that link without a route of its own (`onlink`). None: the destination is itself
    /// on the link (scope link where the family has scopes).
    pub via: Option<IpAddr>,
}

/// A routing policy rule that looks up a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Priority; lower ones come first.
    pub priority: u32,
    /// What it selects on.
    pub select: Select,
    /// Table that it looks up.
    pub table: u32,
}

/// What a rule selects on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Select {
    /// Destination.
    To(IpNet),
    /// Source.
    From(IpNet),
}

impl Select {
    /// The network selected.
    pub fn net(self) -> IpNet {
        match self {
            Self::To(net) | Self::From(net) => net,
        }
    }
}

/// The root queueing discipline of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Qdisc {
    /// Link it is on.
    pub dev: String,
    /// What it is.
    pub kind: QdiscKind,
}

/// Kinds of queueing discipline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QdiscKind {
    /// Token bucket.
    Tbf(Tbf),
    /// Another one, by its name.
    Other(String),
}

/// How long a packet may wait in a token bucket: the original's 25 ms.
const TBF_LATENCY_MS: u64 = 25;

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tbf {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes that may leave at once.
    pub burst: u32,
    /// Bytes that may wait, the burst included.
    pub limit: u32,
    /// The original's `minburst`: the link's MTU. It has no effect without a peak rate.
    pub minburst: u32,
}

impl Tbf {
    /// The bucket for a rate on a link. Burst is `max(rate/1000, mtu+1500)`: a millisecond's worth, and never
    /// less than what lets a whole frame through. Limits beyond the kernel's 32 bits are the largest it takes.
    pub fn new(rate: u64, mtu: u32) -> Self {
        let burst = u32::try_from(rate / 1000).unwrap_or(u32::MAX).max(mtu.saturating_add(1500));
        let waiting = u128::from(rate) * u128::from(TBF_LATENCY_MS) / 1000;
        let limit = u32::try_from(waiting + u128::from(burst)).unwrap_or(u32::MAX);
        Self { rate, burst, limit, minburst: mtu }
    }
}

/// A policy program on a link: the one that is pinned now, not one of its name that was pinned before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Link it is on.
    pub dev: String,
    /// Which one, and so where on the link.
    pub hook: Hook,
    /// Folder of the pins.
    pub pins: PathBuf,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.hook, self.dev)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.net, self.dev)
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lladdr {} dev {}", self.ip, self.mac, self.dev)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dst)?;
        if let Some(via) = self.via {
            write!(f, " via {via} onlink")?;
        }
        write!(f, " dev {} table {}", self.dev, self.table)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} lookup {}", self.priority, self.select, self.table)
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(net) => write!(f, "to {net}"),
            Self::From(net) => write!(f, "from {net}"),
        }
    }
}

impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.kind, self.dev)
    }
}

impl fmt::Display for QdiscKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tbf(it) => write!(f, "tbf rate {} B/s burst {} B limit {} B", it.rate, it.burst, it.limit),
            Self::Other(name) => f.write_str(name),
        }
    }
}
