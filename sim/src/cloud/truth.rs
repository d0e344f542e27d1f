//! The truth, for oracles: what is, not what a call would tell. Costs no call and no time.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use serde::{Serialize, Serializer};
use terway_core::{
    cloud::{Action, Eni, EniStatus},
    id::{EniId, InstanceId, VSwitchId, ZoneId},
    limits::InstanceLimits,
};

use super::FakeCloud;

/// Counts of one action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallCounts {
    /// Calls that left their callers.
    pub started: u64,
    /// Answered with success.
    pub succeeded: u64,
    /// Answered with an error, or not in time.
    pub failed: u64,
    /// Of both: changed nothing, or told nothing.
    pub wasted: u64,
    /// Sum of the times until the answer; told in milliseconds.
    #[serde(rename = "busy_ms", serialize_with = "millis")]
    pub busy: Duration,
}

/// Counts since the cloud was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// By action.
    pub calls: BTreeMap<Action, CallCounts>,
    /// Errors by code.
    pub codes: BTreeMap<String, u64>,
    /// Calls and transitions that faults met, by the name of the kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Secondary ENIs made.
    pub enis_created: u64,
    /// Secondary ENIs gone.
    pub enis_deleted: u64,
}

fn millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(duration.as_millis() as u64)
}

impl Counters {
    pub(super) fn of(&mut self, action: Action) -> &mut CallCounts {
        self.calls.entry(action).or_default()
    }
}

impl FakeCloud {
    /// Who has an address: the ENI, its state, and the instance it is attached to.
    pub fn owner_of(&self, ip: IpAddr) -> Option<(EniId, EniStatus, Option<InstanceId>)> {
        let world = self.lock();
        let of_prefix = || match ip {
            IpAddr::V4(v4) => world.prefix_owners.get(&Ipv4Net::new(v4, 28).ok()?.network()),
            IpAddr::V6(_) => None,
        };
        let eni = world.owners.get(&ip).or_else(of_prefix)?;
        let live = world.live(eni)?;
        Some((live.id.clone(), live.status, live.instance.clone()))
    }

    /// The ENI; None when there is none.
    pub fn eni(&self, eni: &EniId) -> Option<Arc<Eni>> {
        self.lock().live(eni).cloned()
    }

    /// Attached, attaching and detaching ENIs of an instance by id, the primary NIC included.
    pub fn enis_of(&self, instance: &InstanceId) -> Vec<Arc<Eni>> {
        let world = self.lock();
        let Some(found) = world.instances.get(instance) else { return Vec::new() };
        found.enis.iter().filter_map(|eni| world.live(eni).cloned()).collect()
    }

    /// All ENIs of ours by id, attached or not.
    pub fn all_ours(&self) -> Vec<Arc<Eni>> {
        let world = self.lock();
        world.ours.iter().filter_map(|eni| world.live(eni).cloned()).collect()
    }

    /// ENIs of ours that are tagged for an instance, by id.
    pub fn ours_tagged(&self, instance: &InstanceId) -> Vec<Arc<Eni>> {
        let world = self.lock();
        let ids = world.by_tag.get(instance).into_iter().flatten();
        ids.filter_map(|eni| world.live(eni).cloned()).collect()
    }

    /// Secondary ENIs that exist.
    pub fn eni_count(&self) -> u32 {
        self.lock().secondary
    }

    /// Addresses that can be had in a vSwitch; 0 when there is none of that id.
    pub fn vswitch_free(&self, id: &VSwitchId) -> u32 {
        self.lock().vswitches.get(id).map_or(0, super::vswitch::VSwitchPool::available)
    }

    /// Zone of a vSwitch.
    pub fn zone_of(&self, id: &VSwitchId) -> Option<ZoneId> {
        self.lock().vswitches.get(id).map(|pool| pool.zone.clone())
    }

    /// All vSwitches.
    pub fn vswitches(&self) -> Vec<VSwitchId> {
        self.lock().vswitches.keys().cloned().collect()
    }

    /// All instances.
    pub fn instances(&self) -> Vec<InstanceId> {
        self.lock().instances.keys().cloned().collect()
    }

    /// Whether an instance exists.
    pub fn has_instance(&self, id: &InstanceId) -> bool {
        self.lock().instances.contains_key(id)
    }

    /// Limits of an instance.
    pub fn limits_of(&self, id: &InstanceId) -> Option<InstanceLimits> {
        self.lock().instances.get(id).map(|instance| instance.limits)
    }

    /// Counts since the cloud was made.
    pub fn counters(&self) -> Counters {
        let world = self.lock();
        Counters { faults: world.faults.met.clone(), ..world.counters.clone() }
    }
}
