//! One change of network state, its inverse, and what it does.
//!
//! A change carries what it replaces, so undoing needs no look at the kernel. [`NetOp::change`] is the model
//! that the properties of [`mod@crate::diff`] are tested on.

use std::fmt;

use terway_core::id::Mac;

use crate::state::{
    Address, Link, LinkKind, Neighbour, NetState, Place, Program, Qdisc, QdiscKind, Route, Rule, Side,
};

/// A change in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetOp {
    /// Where.
    pub place: Place,
    /// What.
    pub change: Change,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A veth pair is born, both ends down, the peer in the other namespace: names, MACs and MTUs at once.
    /// Aliases are not part of it.
    AddVeth {
        /// The end here.
        name: String,
        /// What it is like.
        link: Link,
        /// What the other end is like.
        peer: Link,
    },
    /// A link goes, and the other end of its pair with it, and all that was on either.
    DelLink {
        /// Its name.
        name: String,
        /// What it was like.
        link: Link,
    },
    /// A link's MTU.
    SetMtu {
        /// Link.
        dev: String,
        /// MTU before.
        from: u32,
        /// MTU after.
        to: u32,
    },
    /// A link's hardware address.
    SetMac {
        /// Link.
        dev: String,
        /// Address before.
        from: Mac,
        /// Address after.
        to: Mac,
    },
    /// A link's alias; the empty one is none.
    SetAlias {
        /// Link.
        dev: String,
        /// Alias before.
        from: String,
        /// Alias after.
        to: String,
    },
    /// A link goes up or down.
    SetUp {
        /// Link.
        dev: String,
        /// Up.
        up: bool,
    },
    /// A setting; written only when it differs.
    SetSysctl {
        /// Path below `/proc/sys`.
        key: String,
        /// Value before, where one was seen.
        from: Option<u32>,
        /// Value after.
        to: u32,
    },
    /// Something is added to a link or to the namespace.
    Add(Object),
    /// Something is removed.
    Del(Object),
}

/// What is added or removed whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// An address.
    Address(Address),
    /// A queueing discipline.
    Qdisc(Qdisc),
    /// A permanent neighbour.
    Neighbour(Neighbour),
    /// A route.
    Route(Route),
    /// A rule.
    Rule(Rule),
    /// A policy program.
    Program(Program),
}

impl Change {
    /// Kind of the object that it is about.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddVeth { .. }
            | Self::DelLink { .. }
            | Self::SetMtu { .. }
            | Self::SetMac { .. }
            | Self::SetAlias { .. }
            | Self::SetUp { .. } => "link",
            Self::SetSysctl { .. } => "setting",
            Self::Add(object) | Self::Del(object) => match object {
                Object::Address(_) => "address",
                Object::Qdisc(_) => "queue",
                Object::Neighbour(_) => "neighbour",
                Object::Route(_) => "route",
                Object::Rule(_) => "rule",
                Object::Program(_) => "program",
            },
        }
    }
}

impl Object {
    /// The link that it lives and dies with.
    pub fn dev(&self) -> Option<&str> {
        match self {
            Self::Address(it) => Some(&it.dev),
            Self::Qdisc(it) => Some(&it.dev),
            Self::Neighbour(it) => Some(&it.dev),
            Self::Route(it) => Some(&it.dev),
            Self::Program(it) => Some(&it.dev),
            Self::Rule(_) => None,
        }
    }
}

impl Side {
    /// Everything that is added and removed whole, in the order of adding.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let on_links = self.programs.iter().cloned().map(Object::Program);
        on_links
            .chain(self.addresses.iter().cloned().map(Object::Address))
            .chain(self.qdiscs.iter().cloned().map(Object::Qdisc))
            .chain(self.neighbours.iter().cloned().map(Object::Neighbour))
            .chain(self.routes.iter().cloned().map(Object::Route))
            .chain(self.rules.iter().cloned().map(Object::Rule))
    }

    /// Whether it is there.
    pub fn has(&self, object: &Object) -> bool {
        match object {
            Object::Address(it) => self.addresses.contains(it),
            Object::Qdisc(it) => self.qdiscs.contains(it),
            Object::Neighbour(it) => self.neighbours.contains(it),
            Object::Route(it) => self.routes.contains(it),
            Object::Rule(it) => self.rules.contains(it),
            Object::Program(it) => self.programs.contains(it),
        }
    }

    /// Adds it.
    pub fn insert(&mut self, object: Object) {
        match object {
            Object::Address(it) => self.addresses.insert(it),
            Object::Qdisc(it) => self.qdiscs.insert(it),
            Object::Neighbour(it) => self.neighbours.insert(it),
            Object::Route(it) => self.routes.insert(it),
            Object::Rule(it) => self.rules.insert(it),
            Object::Program(it) => self.programs.insert(it),
        };
    }

    /// Removes it.
    pub fn remove(&mut self, object: &Object) {
        match object {
            Object::Address(it) => self.addresses.remove(it),
            Object::Qdisc(it) => self.qdiscs.remove(it),
            Object::Neighbour(it) => self.neighbours.remove(it),
            Object::Route(it) => self.routes.remove(it),
            Object::Rule(it) => self.rules.remove(it),
            Object::Program(it) => self.programs.remove(it),
        };
    }

    /// Removes a link with all that is on it, its settings included.
    pub fn remove_link(&mut self, name: &str) {
        self.links.remove(name);
        let gone: Vec<Object> = self.objects().filter(|object| object.dev() == Some(name)).collect();
        for object in &gone {
            self.remove(object);
        }
        self.sysctls.retain(|key, _| sysctl_link(key) != Some(name));
    }
}

/// The link whose setting this is: the third part of `net/ipv4/conf/<link>/…`. `all` and `default` are none.
pub fn sysctl_link(key: &str) -> Option<&str> {
    let mut parts = key.split('/');
    let link = parts.nth(3)?;
    (key.starts_with("net/") && link != "all" && link != "default").then_some(link)
}

impl NetOp {
    /// A change in a place.
    pub fn new(place: Place, change: Change) -> Self {
        Self { place, change }
    }

    /// The change that takes this one back. None: what was there before is not known,
    /// as with all that was on a deleted link.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let change = match self.change.clone() {
            Change::AddVeth { name, link, .. } => Change::DelLink { name, link },
            Change::DelLink { .. } | Change::Del(Object::Qdisc(Qdisc { kind: QdiscKind::Other(_), .. })) => {
                return None;
            }
            Change::SetMtu { dev, from, to } => Change::SetMtu { dev, from: to, to: from },
            Change::SetMac { dev, from, to } => Change::SetMac { dev, from: to, to: from },
            Change::SetAlias { dev, from, to } => Change::SetAlias { dev, from: to, to: from },
            Change::SetUp { dev, up } => Change::SetUp { dev, up: !up },
            Change::SetSysctl { key, from, to } => Change::SetSysctl { key, from: Some(to), to: from? },
            Change::Add(object) => Change::Del(object),
            Change::Del(object) => Change::Add(object),
        };
        Some(Self { place: self.place, change })
    }

    /// What it does to a state.
    pub fn change(&self, state: &mut NetState) {
        match &self.change {
            Change::AddVeth { name, link, peer } => {
                let born = |end: &Link| Link { up: false, alias: None, ..end.clone() };
                let LinkKind::Veth { peer: Some(other) } = &link.kind else { return };
                state.side_mut(self.place.other()).links.insert(other.clone(), born(peer));
                state.side_mut(self.place).links.insert(name.clone(), born(link));
            }
            Change::DelLink { name, link } => {
                state.side_mut(self.place).remove_link(name);
                if let LinkKind::Veth { peer: Some(other) } = &link.kind {
                    state.side_mut(self.place.other()).remove_link(other);
                }
            }
            Change::SetMtu { dev, to, .. } => self.on_link(state, dev, |link| link.mtu = *to),
            Change::SetMac { dev, to, .. } => {
                self.on_link(state, dev, |link| link.mac = *to);
                // The kernel forgets the neighbours behind a link whose own address changes, given ones too.
                state.side_mut(self.place).neighbours.retain(|neighbour| neighbour.dev != *dev);
            }
            Change::SetAlias { dev, to, .. } => {
                self.on_link(state, dev, |link| {
                    link.alias = Some(to.clone()).filter(|alias| !alias.is_empty());
                });
            }
            Change::SetUp { dev, up } => self.on_link(state, dev, |link| link.up = *up),
            Change::SetSysctl { key, to, .. } => {
                state.side_mut(self.place).sysctls.insert(key.clone(), *to);
            }
            Change::Add(object) => state.side_mut(self.place).insert(object.clone()),
            Change::Del(object) => state.side_mut(self.place).remove(object),
        }
    }

    fn on_link(&self, state: &mut NetState, dev: &str, change: impl FnOnce(&mut Link)) {
        if let Some(link) = state.side_mut(self.place).links.get_mut(dev) {
            change(link);
        }
    }
}

impl fmt::Display for NetOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.change {
            Change::AddVeth { name, .. } => write!(f, "add veth pair {name}"),
            Change::DelLink { name, .. } => write!(f, "delete link {name}"),
            Change::SetMtu { dev, to, .. } => write!(f, "set mtu of {dev} to {to}"),
            Change::SetMac { dev, to, .. } => write!(f, "set mac of {dev} to {to}"),
            Change::SetAlias { dev, to, .. } => write!(f, "set alias of {dev} to `{to}`"),
            Change::SetUp { dev, up } => write!(f, "set {dev} {}", if *up { "up" } else { "down" }),
            Change::SetSysctl { key, to, .. } => write!(f, "set {key} to {to}"),
            Change::Add(object) => write!(f, "add {object}"),
            Change::Del(object) => write!(f, "delete {object}"),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(it) => write!(f, "address {it}"),
            Self::Qdisc(it) => write!(f, "qdisc {it}"),
            Self::Neighbour(it) => write!(f, "neighbour {it}"),
            Self::Route(it) => write!(f, "route {it}"),
            Self::Rule(it) => write!(f, "rule {it}"),
            Self::Program(it) => write!(f, "program {it}"),
        }
    }
}
