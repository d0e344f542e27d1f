//! One ENI and its addresses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::Ipv4Net;
use terway_core::{
    address::{ADDRESSES_PER_PREFIX, AddressSet, Grain, PodIps, Stack},
    id::{EniId, Mac, VSwitchId},
};

use super::{Mono, Slot, Slots};
use crate::store::{EniPhase, EniRecord};

/// Where an ENI stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Created, on its way to the instance.
    Attaching {
        /// When the cloud accepted the attach call.
        accepted: Option<Mono>,
    },
    /// In use in the cloud and seen by the host.
    InUse,
    /// Was in use, but the host or the cloud no longer shows it. Its addresses are not handed out.
    Missing,
    /// Leaving.
    Leaving(EniPhase),
}

/// Calls under way on an ENI: one per family at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyOps {
    /// IPv4 addresses (or prefixes) asked for and not yet answered.
    pub v4: Option<u32>,
    /// IPv6 addresses asked for and not yet answered.
    pub v6: Option<u32>,
    /// Addresses are being given back.
    pub release: bool,
}

impl FamilyOps {
    /// True when nothing is under way.
    pub fn none(&self) -> bool {
        *self == Self::default()
    }
}

/// An ENI of the pool.
#[derive(Clone, Debug)]
pub struct PoolEni {
    /// Its id.
    pub id: EniId,
    /// Its hardware address.
    pub mac: Mac,
    /// Its vSwitch.
    pub vswitch: VSwitchId,
    /// Block and gateway of the vSwitch.
    pub net: Option<(Ipv4Net, Ipv4Addr)>,
    /// VPC gateway of the vSwitch's IPv6 block, if it has one.
    pub gateway6: Option<Ipv6Addr>,
    /// Primary address.
    pub primary: Ipv4Addr,
    /// Where it stands.
    pub phase: Phase,
    /// Single addresses or prefixes.
    pub grain: Grain,
    /// IPv4 addresses that pods can have.
    pub v4: Slots<Ipv4Addr>,
    /// IPv6 addresses.
    pub v6: Slots<Ipv6Addr>,
    /// Prefixes, with the number of their addresses that are not idle.
    pub prefixes: BTreeMap<Ipv4Net, u32>,
    /// Calls under way.
    pub ops: FamilyOps,
    /// No more addresses here until then: the cloud said that the ENI is full.
    pub full_until: Mono,
    /// When something about it last changed by our hand; younger reads of the cloud may be older.
    pub touched: Mono,
}

impl PoolEni {
    /// From its record. Addresses are idle; allocations and cooling are put on top by the caller.
    pub fn from_record(record: &EniRecord, grain: Grain, now: Mono) -> Self {
        let mut eni = Self {
            id: record.id.clone(),
            mac: record.mac,
            vswitch: record.vswitch.clone(),
            net: record.net,
            gateway6: record.gateway6,
            primary: record.primary,
            phase: match record.phase {
                EniPhase::Attaching => Phase::Attaching { accepted: None },
                EniPhase::InUse => Phase::InUse,
                leaving => Phase::Leaving(leaving),
            },
            grain,
            v4: Slots::default(),
            v6: Slots::default(),
            prefixes: BTreeMap::new(),
            ops: FamilyOps::default(),
            full_until: Mono::ZERO,
            touched: now,
        };
        eni.add(&record.addresses, Slot::Idle { since: now });
        eni
    }

    /// Its record.
    pub fn record(&self) -> EniRecord {
        let v4 = match self.grain {
            Grain::Address => self.v4.iter().map(|(address, _)| address).collect(),
            Grain::Prefix => vec![self.primary],
        };
        EniRecord {
            id: self.id.clone(),
            mac: self.mac,
            vswitch: self.vswitch.clone(),
            net: self.net,
            gateway6: self.gateway6,
            primary: self.primary,
            phase: match self.phase {
                Phase::Attaching { .. } => EniPhase::Attaching,
                Phase::InUse | Phase::Missing => EniPhase::InUse,
                Phase::Leaving(phase) => phase,
            },
            addresses: AddressSet {
                v4,
                v6: self.v6.iter().map(|(address, _)| address).collect(),
                prefixes: self.prefixes.keys().copied().collect(),
            },
        }
    }

    /// Whether its addresses may be handed out.
    pub fn usable(&self) -> bool {
        self.phase == Phase::InUse && self.net.is_some()
    }

    /// Adds addresses that it did not carry before.
    pub fn add(&mut self, set: &AddressSet, slot: Slot) {
        if self.grain == Grain::Address {
            for &address in &set.v4 {
                self.v4.add(address, slot);
            }
        }
        for &address in &set.v6 {
            self.v6.add(address, slot);
        }
        for &prefix in &set.prefixes {
            if self.prefixes.contains_key(&prefix) {
                continue;
            }
            for address in addresses_of(prefix) {
                self.v4.add(address, slot);
            }
            let busy = if matches!(slot, Slot::Idle { .. }) { 0 } else { ADDRESSES_PER_PREFIX };
            self.prefixes.insert(prefix, busy);
        }
    }

    /// Forgets addresses.
    pub fn remove(&mut self, set: &AddressSet) {
        for &address in &set.v4 {
            self.v4.remove(address);
        }
        for &address in &set.v6 {
            self.v6.remove(address);
        }
        for prefix in &set.prefixes {
            self.prefixes.remove(prefix);
            for address in addresses_of(*prefix) {
                self.v4.remove(address);
            }
        }
    }

    /// Changes the state of a pod's addresses. False when the IPv4 one is unknown.
    pub fn set(&mut self, ips: PodIps, slot: Slot) -> bool {
        if let Some(v6) = ips.v6 {
            self.v6.set(v6, slot);
        }
        self.set_v4(ips.v4, slot)
    }

    /// Changes the state of a set of addresses.
    pub fn set_all(&mut self, set: &AddressSet, slot: Slot) {
        for &address in &set.v4 {
            self.set_v4(address, slot);
        }
        for &address in &set.v6 {
            self.v6.set(address, slot);
        }
        for prefix in &set.prefixes {
            for address in addresses_of(*prefix) {
                self.set_v4(address, slot);
            }
        }
    }

    /// Changes the state of one IPv4 address, keeping the count of its prefix.
    pub fn set_v4(&mut self, address: Ipv4Addr, slot: Slot) -> bool {
        let Some(old) = self.v4.get(address) else { return false };
        let idle = |slot| matches!(slot, Slot::Idle { .. });
        if self.grain == Grain::Prefix
            && let Some(busy) = self.prefixes.get_mut(&prefix_of(address))
        {
            *busy = *busy + u32::from(!idle(slot)) - u32::from(!idle(old));
        }
        self.v4.set(address, slot)
    }

    /// Pods it could serve now if it is usable.
    pub fn idle_units(&self, stack: Stack) -> u32 {
        match stack {
            Stack::Ipv4 => self.v4.counts().idle,
            Stack::Dual => self.v4.counts().idle.min(self.v6.counts().idle),
        }
    }

    /// Takes an idle address (pair). The longest idle first; from the fullest prefix in prefix grain,
    /// so that others drain and can be given back.
    pub fn take(&mut self, stack: Stack) -> Option<PodIps> {
        let v4 = match self.grain {
            Grain::Address => self.v4.idle().next()?,
            Grain::Prefix => {
                let full = ADDRESSES_PER_PREFIX;
                let open = self.prefixes.iter().filter(|(_, busy)| **busy < full);
                let (prefix, _) = open.max_by_key(|(prefix, busy)| (**busy, std::cmp::Reverse(**prefix)))?;
                addresses_of(*prefix)
                    .find(|address| matches!(self.v4.get(*address), Some(Slot::Idle { .. })))?
            }
        };
        let v6 = match stack {
            Stack::Ipv4 => None,
            Stack::Dual => Some(self.v6.idle().next()?),
        };
        let ips = PodIps { v4, v6 };
        self.set(ips, Slot::Assigned);
        Some(ips)
    }

    /// Moves cooled addresses to idle.
    pub fn expire_cooling(&mut self, now: Mono) -> Vec<IpAddr> {
        let ended = self.v4.expire_cooling(now);
        if self.grain == Grain::Prefix {
            for address in &ended {
                if let Some(busy) = self.prefixes.get_mut(&prefix_of(*address)) {
                    *busy -= 1;
                }
            }
        }
        let ended6 = self.v6.expire_cooling(now);
        ended.into_iter().map(IpAddr::V4).chain(ended6.into_iter().map(IpAddr::V6)).collect()
    }

    /// Slots of the cloud's limit that are taken: addresses, or prefixes.
    pub fn slots_used(&self) -> u32 {
        match self.grain {
            Grain::Address => self.v4.len().max(self.v6.len()),
            Grain::Prefix => u32::try_from(self.prefixes.len()).expect("a handful of prefixes"),
        }
    }

    /// Whether no pod has, had of late, or is about to have anything of it.
    pub fn vacant(&self) -> bool {
        let (v4, v6) = (self.v4.counts(), self.v6.counts());
        self.ops.none() && v4.idle == v4.total() && v6.idle == v6.total()
    }
}

/// The addresses of a /28.
pub fn addresses_of(prefix: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let base = prefix.network().to_bits();
    (0..ADDRESSES_PER_PREFIX).map(move |offset| Ipv4Addr::from_bits(base + offset))
}

/// The /28 of an address.
pub(super) fn prefix_of(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, 28).expect("28 is a prefix length").trunc()
}
