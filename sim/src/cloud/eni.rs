//! One ENI: what it is, what it was, and the timers and guests that concern it.
//!
//! Old states are kept by reference for as long as a read can lag, so an ENI at rest costs one copy
//! of itself.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use terway_core::{
    address::{ADDRESSES_PER_PREFIX, AddressSet},
    cloud::{Eni, TAG_INSTANCE},
    id::{InstanceId, SecurityGroupId, VSwitchId, ZoneId},
};
use tokio::time::Instant;

use super::observer::Removal;

/// One ENI: what it is, and what it was.
#[derive(Clone, Debug)]
pub(super) struct EniRecord {
    /// None when deleted: only reads that lag see it.
    pub(super) live: Option<Arc<Eni>>,
    /// States that were, each with the instant at which it ended.
    pub(super) past: VecDeque<(Instant, Option<Arc<Eni>>)>,
    pub(super) primary_nic: bool,
    /// Counts transitions, so that a timer of an earlier one does nothing.
    pub(super) epoch: u64,
    /// The transition under way is held by a fault.
    pub(super) held: bool,
    /// The guest that sees it.
    pub(super) nic: Option<InstanceId>,
    /// Who asked for its deletion.
    pub(super) doomed_by: Removal,
    pub(super) made: Instant,
    pub(super) groups: Arc<[SecurityGroupId]>,
    pub(super) labels: Option<Box<Labels>>,
}

/// What people call an ENI; the cloud makes nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// `NetworkInterfaceName`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `Description`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What the cloud tells of an ENI beyond [`Eni`].
#[derive(Clone, Debug)]
pub struct EniDetails {
    /// Zone of its vSwitch.
    pub zone: ZoneId,
    /// Its security groups.
    pub groups: Arc<[SecurityGroupId]>,
    /// Whether it is the primary NIC of its instance.
    pub primary_nic: bool,
    /// Since it was made.
    pub age: Duration,
    /// Its name and description.
    pub labels: Labels,
}

impl EniRecord {
    /// An ENI that was not there before `now`.
    pub(super) fn new(
        eni: Arc<Eni>,
        groups: Arc<[SecurityGroupId]>,
        primary_nic: bool,
        now: Instant,
    ) -> Self {
        Self {
            made: now,
            groups,
            labels: None,
            live: Some(eni),
            past: VecDeque::from([(now, None)]),
            primary_nic,
            epoch: 0,
            held: false,
            nic: None,
            doomed_by: Removal::OutOfBand,
        }
    }

    /// What it was at `then`.
    pub(super) fn at(&self, then: Instant) -> Option<&Arc<Eni>> {
        match self.past.iter().find(|(ended, _)| *ended > then) {
            Some((_, state)) => state.as_ref(),
            None => self.live.as_ref(),
        }
    }

    /// Whether no read can see anything but the present.
    pub(super) fn settled(&self) -> bool {
        self.past.is_empty()
    }
}

/// What [`super::world::World::add_eni`] makes an ENI from.
#[derive(Debug)]
pub(super) struct NewEni {
    pub(super) vswitch: VSwitchId,
    pub(super) instance: Option<InstanceId>,
    pub(super) addresses: AddressSet,
    pub(super) tags: Vec<(String, String)>,
    pub(super) groups: Arc<[SecurityGroupId]>,
    pub(super) primary_nic: bool,
}

/// The instance that an ENI is tagged for.
pub(super) fn tagged(eni: &Eni) -> Option<&str> {
    eni.tags.iter().find(|(key, _)| key == TAG_INSTANCE).map(|(_, value)| value.as_str())
}

/// Single addresses of a set, IPv4 first.
pub(super) fn singles(set: &AddressSet) -> impl Iterator<Item = IpAddr> + '_ {
    set.v4.iter().copied().map(IpAddr::V4).chain(set.v6.iter().copied().map(IpAddr::V6))
}

/// Every address of a set, a prefix as its sixteen.
pub(super) fn each_address(set: &AddressSet) -> Vec<IpAddr> {
    let of_prefix = |prefix: &Ipv4Net| {
        let base = u32::from(prefix.network());
        (0..ADDRESSES_PER_PREFIX).map(move |offset| IpAddr::V4(Ipv4Addr::from(base + offset)))
    };
    singles(set).chain(set.prefixes.iter().flat_map(of_prefix)).collect()
}
