//! The maps, typed. Each is one table of `terway_policy::layout`, under the name that it is pinned by.

use std::{io, marker::PhantomData, os::fd::AsFd};

use aya::maps::MapData;
use bytemuck::{Pod, Zeroable};
use terway_policy::layout::{
    Addr, Best, CidrKey, ClassKey, ClassValue, Control, Counter, CounterKey, CrossKey, Endpoint, Flow,
    FlowKey, Fragment, FragmentKey, Page, PeerKey, RuleSet,
};

use crate::{error::Error, sys::Raw};

/// A map by its name, its key and its value.
pub trait Layout {
    /// Under which it is pinned.
    const NAME: &'static str;
    /// Its keys.
    type Key: Pod;
    /// Its values.
    type Value: Pod;
    /// Whether there is a value for each processor.
    const PER_CPU: bool = false;
}

macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident = $pin:literal: $key:ty => $value:ty $(, per_cpu = $per_cpu:literal)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl Layout for $name {
                const NAME: &'static str = $pin;
                type Key = $key;
                type Value = $value;
                $(const PER_CPU: bool = $per_cpu;)?
            }
        )*
    };
}

/// Key of `terway_svc`, a longest-prefix map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ServiceKey {
    /// Bits that count.
    pub bits: u32,
    /// The network, in sixteen bytes.
    pub addr: Addr,
}

layouts! {
    /// What holds for the node.
    Controls = "terway_ctl": u32 => Control;
    /// Endpoints by link.
    Endpoints = "terway_ep": u32 => Endpoint;
    /// Epochs of endpoints, by [`terway_policy::layout::epoch_slot`] of their links.
    Epochs = "terway_epoch": u32 => u32;
    /// Links of endpoints by address.
    EndpointAddresses = "terway_ep_ip": Addr => u32;
    /// The node's own addresses.
    HostAddresses = "terway_host": Addr => u32;
    /// Bits of the node's own addresses, [`terway_policy::layout::host_bit`].
    HostBits = "terway_host_bits": u32 => u64;
    /// Networks of services that are translated behind the hook.
    Services = "terway_svc": ServiceKey => u32;
    /// Classes of pods' addresses.
    Peers = "terway_peer": PeerKey => u32;
    /// Classes of all other addresses.
    Cidrs = "terway_cidr": CidrKey => u32;
    /// Rule sets.
    RuleSets = "terway_rs": u32 => RuleSet;
    /// Pages of port groups.
    Pages = "terway_page": u32 => Page;
    /// What rule sets know of classes.
    Classes = "terway_rs_peer": ClassKey => ClassValue;
    /// What rule sets know of peers and ports together.
    Crossings = "terway_policy_map": CrossKey => Best;
    /// Flows.
    Flows = "terway_ct": FlowKey => Flow;
    /// Packets of which a first fragment was seen.
    Fragments = "terway_frag": FragmentKey => Fragment;
    /// Counters by rule.
    Counters = "terway_cnt": CounterKey => Counter, per_cpu = true;
    /// Drops by reason.
    Drops = "terway_drop": u32 => u64, per_cpu = true;
}

/// One map of the kernel.
#[derive(Debug)]
pub struct Table<L> {
    data: MapData,
    entries: u32,
    processors: usize,
    layout: PhantomData<L>,
}

impl<L: Layout> Table<L> {
    /// Takes a map over, if its keys and values have the sizes that are spoken of here.
    pub(crate) fn new(data: MapData) -> Result<Self, Error> {
        let info = data.info().map_err(|error| Error::Shape {
            map: L::NAME,
            found: error.to_string(),
            expected: "a map of the kernel".into(),
        })?;
        let (key, value) = (info.key_size() as usize, info.value_size() as usize);
        let expected = (size_of::<L::Key>(), size_of::<L::Value>());
        if (key, value) != expected {
            return Err(Error::Shape {
                map: L::NAME,
                found: format!("keys of {key} and values of {value} bytes"),
                expected: format!("{} and {}", expected.0, expected.1),
            });
        }
        let entries = info.max_entries();
        let processors = if L::PER_CPU {
            aya::util::nr_cpus().map_err(|(what, source)| Error::Pin {
                operation: "read",
                path: what.into(),
                source,
            })?
        } else {
            1
        };
        Ok(Self { data, entries, processors, layout: PhantomData })
    }

    /// How many entries there is room for.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Bytes from one processor's value to the next.
    pub(crate) fn stride() -> usize {
        if L::PER_CPU { size_of::<L::Value>().next_multiple_of(8) } else { size_of::<L::Value>() }
    }

    pub(crate) fn raw(&self) -> Raw<'_> {
        Raw { fd: self.data.fd().as_fd(), key: size_of::<L::Key>(), value: Self::stride() * self.processors }
    }

    /// The value of a key, or of one processor after the other.
    pub fn get_all(&self, key: &L::Key) -> Result<Option<Vec<L::Value>>, Error> {
        let mut bytes = vec![0; Self::stride() * self.processors];
        let found = self.raw().lookup(bytemuck::bytes_of(key), &mut bytes).map_err(failed::<L>("read"))?;
        let values = || {
            bytes
                .chunks_exact(Self::stride())
                .map(|chunk| bytemuck::pod_read_unaligned(&chunk[..size_of::<L::Value>()]))
        };
        Ok(found.then(|| values().collect()))
    }

    /// The value of a key.
    pub fn get(&self, key: &L::Key) -> Result<Option<L::Value>, Error> {
        Ok(self.get_all(key)?.and_then(|values| values.first().copied()))
    }

    /// Writes an entry, whatever was there.
    pub fn put(&self, key: &L::Key, value: &L::Value) -> Result<(), Error> {
        let one = bytemuck::bytes_of(value);
        let written = if L::PER_CPU {
            let mut all = vec![0; Self::stride() * self.processors];
            all.chunks_exact_mut(Self::stride()).for_each(|chunk| chunk[..one.len()].copy_from_slice(one));
            self.raw().update(bytemuck::bytes_of(key), &all)
        } else {
            self.raw().update(bytemuck::bytes_of(key), one)
        };
        written.map_err(|source| match source.raw_os_error() {
            // Hash and array say E2BIG, longest-prefix maps ENOSPC.
            Some(libc::E2BIG | libc::ENOSPC) => Error::Full { map: L::NAME, entries: self.entries },
            _ => failed::<L>("write")(source),
        })
    }

    /// Removes an entry; whether it was there.
    pub fn delete(&self, key: &L::Key) -> Result<bool, Error> {
        self.raw().delete(bytemuck::bytes_of(key)).map_err(failed::<L>("delete"))
    }

    /// All keys, in the map's own order. While others write, keys may come twice or not at all; at most two rounds of
    /// the map are walked.
    pub fn keys(&self) -> Result<Vec<L::Key>, Error> {
        let limit = self.entries as usize * 2;
        let mut keys: Vec<L::Key> = Vec::new();
        let mut next = L::Key::zeroed();
        while keys.len() < limit {
            let last = keys.last().copied();
            let last = last.as_ref().map(bytemuck::bytes_of);
            if !self.raw().next(last, bytemuck::bytes_of_mut(&mut next)).map_err(failed::<L>("find"))? {
                break;
            }
            keys.push(next);
        }
        Ok(keys)
    }
}

pub(crate) fn failed<L: Layout>(operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Map { operation, map: L::NAME, source }
}
