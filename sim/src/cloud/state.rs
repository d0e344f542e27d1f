//! The account as data: to be shown, to be kept in a file, and to go on from there.
//!
//! What is under way when the state is kept begins anew: an ENI that was `Attaching` takes its time
//! once more. Idempotency tokens are not kept; a client that repeats a call across a restart of the
//! cloud finds what its first call made by tag, as it must when a token expires.

use std::{net::IpAddr, sync::Arc};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use terway_core::{
    cloud::{Eni, EniStatus, RouteEntry, RouteStatus, RouteTable},
    id::{EniId, InstanceId, InstanceType, SecurityGroupId, VSwitchId, VpcId, ZoneId},
    limits::InstanceLimits,
};
use tokio::time::Instant;

use super::{
    FakeCloud,
    eni::{EniDetails, Labels},
    lifecycle::Step,
    metadata::MetadataFault,
    vswitch::VSwitchPool,
    world::{Instance, InstanceState, Place, World},
};
use crate::time;

/// A vSwitch with what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VSwitchState {
    /// Its id.
    pub id: VSwitchId,
    /// Its zone.
    pub zone: ZoneId,
    /// Its IPv4 block.
    pub cidr: Ipv4Net,
    /// Its IPv6 block, a /64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Net>,
    /// IPv4 addresses that can be had.
    pub available: u32,
    /// IPv4 addresses that others hold.
    pub withheld: u32,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name.
    pub name: String,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Its id.
    pub id: InstanceId,
    /// Its type.
    pub instance_type: InstanceType,
    /// Its zone.
    pub zone: ZoneId,
    /// Its state.
    pub state: InstanceState,
    /// Its limits.
    pub limits: InstanceLimits,
}

/// An ENI with what the API tells of it beyond [`Eni`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniEntry {
    /// As described.
    #[serde(flatten)]
    pub eni: Eni,
    /// Its security groups.
    #[serde(default)]
    pub groups: Vec<SecurityGroupId>,
    /// Whether it is the primary NIC of its instance.
    #[serde(default)]
    pub primary_nic: bool,
    /// Its name and description.
    #[serde(flatten)]
    pub labels: Labels,
}

/// Everything in the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudState {
    /// Region.
    pub region: Arc<str>,
    /// VPC.
    pub vpc: VpcId,
    /// Its block, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_cidr: Option<Ipv4Net>,
    /// vSwitches by id.
    pub vswitches: Vec<VSwitchState>,
    /// Security groups by id.
    pub security_groups: Vec<GroupState>,
    /// Instances by id.
    pub instances: Vec<InstanceRecord>,
    /// ENIs by id, primary NICs included.
    pub enis: Vec<EniEntry>,
    /// Route tables by id.
    pub route_tables: Vec<RouteTable>,
    /// Route entries by id, the cloud's own included.
    pub route_entries: Vec<RouteEntry>,
    /// How many ENIs and route entries there have been: ids are made of these.
    pub serials: (u32, u32),
}

/// A kept state does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Something refers to what is not there.
    #[error("`{field}` of {of} is `{value}`, which is not in this state")]
    Dangling {
        /// The field.
        field: &'static str,
        /// Whose.
        of: String,
        /// What it names.
        value: String,
    },
    /// An address is taken twice, or lies outside of its vSwitch.
    #[error("an address of {0} is taken already, or lies outside of its vSwitch")]
    Address(EniId),
    /// The cloud is not empty.
    #[error("the account has something in it already; a state is loaded into an empty one")]
    NotEmpty,
}

impl FakeCloud {
    /// Where everything is.
    pub fn place(&self) -> Place {
        self.lock().place.clone()
    }

    /// What the API tells of an ENI beyond [`Eni`]; also of one that only reads which lag still see.
    pub fn eni_details(&self, id: &EniId) -> Option<EniDetails> {
        let world = self.lock();
        let record = world.enis.get(id)?;
        let eni = record.live.as_ref().or_else(|| record.past.back().and_then(|(_, eni)| eni.as_ref()))?;
        Some(EniDetails {
            zone: world.vswitches.get(&eni.vswitch)?.zone.clone(),
            groups: Arc::clone(&record.groups),
            primary_nic: record.primary_nic,
            age: time::now() - record.made,
            labels: record.labels.as_deref().cloned().unwrap_or_default(),
        })
    }

    /// IPv6 block of a vSwitch.
    pub fn vswitch_ipv6(&self, id: &VSwitchId) -> Option<Ipv6Net> {
        self.lock().vswitches.get(id)?.ipv6
    }

    /// Block of the VPC.
    pub fn vpc_block(&self) -> Ipv4Net {
        self.lock().vpc_block()
    }

    /// The primary NIC of an instance.
    pub fn primary_nic(&self, instance: &InstanceId) -> Option<EniId> {
        let world = self.lock();
        let primary = |id: &&EniId| world.enis.get(*id).is_some_and(|record| record.primary_nic);
        world.instances.get(instance)?.enis.iter().find(primary).cloned()
    }

    /// Everything, as it is now.
    pub fn state(&self) -> CloudState {
        let world = self.lock();
        let entry = |record: &super::eni::EniRecord| {
            record.live.as_ref().map(|eni| EniEntry {
                eni: Eni::clone(eni),
                groups: record.groups.to_vec(),
                primary_nic: record.primary_nic,
                labels: record.labels.as_deref().cloned().unwrap_or_default(),
            })
        };
        CloudState {
            region: Arc::clone(&world.place.region),
            vpc: world.place.vpc.clone(),
            vpc_cidr: world.vpc_cidr,
            vswitches: world.vswitches.values().map(vswitch_state).collect(),
            security_groups: world
                .groups
                .iter()
                .map(|(id, name)| GroupState { id: id.clone(), name: name.clone() })
                .collect(),
            instances: world.instances.iter().map(instance_record).collect(),
            enis: world.enis.values().filter_map(entry).collect(),
            route_tables: world.routes.tables.values().cloned().collect(),
            route_entries: world.routes.entries.values().cloned().collect(),
            serials: (world.serial, world.routes.serial),
        }
    }

    /// Goes on from a state that was kept. The account must be empty; after an error it is of no use.
    pub fn restore(self: &Arc<Self>, state: &CloudState) -> Result<(), StateError> {
        self.with(|world, now| world.restore(state, now))
    }
}

fn vswitch_state(pool: &VSwitchPool) -> VSwitchState {
    VSwitchState {
        id: pool.id.clone(),
        zone: pool.zone.clone(),
        cidr: pool.cidr,
        ipv6: pool.ipv6,
        available: pool.available(),
        withheld: pool.withheld(),
    }
}

fn instance_record((id, instance): (&InstanceId, &Instance)) -> InstanceRecord {
    InstanceRecord {
        id: id.clone(),
        instance_type: instance.kind.clone(),
        zone: instance.zone.clone(),
        state: instance.state,
        limits: instance.limits,
    }
}

impl World {
    fn restore(&mut self, state: &CloudState, now: Instant) -> Result<(), StateError> {
        if !self.vswitches.is_empty() || !self.instances.is_empty() || !self.enis.is_empty() {
            return Err(StateError::NotEmpty);
        }
        self.place = Place { region: Arc::clone(&state.region), vpc: state.vpc.clone() };
        self.vpc_cidr = state.vpc_cidr;
        for kept in &state.vswitches {
            let pool = VSwitchPool::new(kept.id.clone(), kept.zone.clone(), kept.cidr, kept.ipv6);
            self.vswitches.insert(kept.id.clone(), pool);
        }
        self.groups = state.security_groups.iter().map(|g| (g.id.clone(), g.name.clone())).collect();
        for kept in &state.instances {
            let instance = Instance {
                kind: kept.instance_type.clone(),
                zone: kept.zone.clone(),
                limits: kept.limits,
                state: kept.state,
                enis: std::collections::BTreeSet::new(),
                seen: std::collections::BTreeSet::new(),
                metadata: MetadataFault::default(),
            };
            self.instances.insert(kept.id.clone(), instance);
        }
        for kept in &state.enis {
            self.restore_eni(kept, now)?;
        }
        for kept in &state.vswitches {
            self.vswitches.get_mut(&kept.id).expect("inserted above").withhold(kept.withheld);
        }
        self.routes.tables =
            state.route_tables.iter().map(|table| (table.id.clone(), table.clone())).collect();
        for entry in &state.route_entries {
            if !self.routes.tables.contains_key(&entry.table) {
                return Err(dangling("table", &entry.id, &entry.table));
            }
            self.routes.entries.insert(entry.id.clone(), entry.clone());
            if entry.status != RouteStatus::Available {
                self.resume_route(&entry.id);
            }
        }
        (self.serial, self.routes.serial) = state.serials;
        Ok(())
    }

    fn restore_eni(&mut self, kept: &EniEntry, now: Instant) -> Result<(), StateError> {
        let eni = &kept.eni;
        let Some(pool) = self.vswitches.get_mut(&eni.vswitch) else {
            return Err(dangling("vswitch", &eni.id, &eni.vswitch));
        };
        let taken = |ip: &std::net::Ipv6Addr| self.owners.contains_key(&IpAddr::V6(*ip));
        if !pool.claim(&eni.addresses) || eni.addresses.v6.iter().any(taken) {
            return Err(StateError::Address(eni.id.clone()));
        }
        if let Some(id) = &eni.instance {
            let Some(instance) = self.instances.get_mut(id) else {
                return Err(dangling("instance", &eni.id, id));
            };
            instance.enis.insert(eni.id.clone());
            instance.seen.insert(eni.id.clone());
        }
        self.insert_eni(eni.clone(), kept.groups.as_slice().into(), kept.primary_nic, now);
        self.label(&eni.id, kept.labels.clone());
        let record = self.enis.get_mut(&eni.id).expect("inserted above");
        // It was there before: no read may miss it.
        record.past.clear();
        record.nic = eni.instance.clone().filter(|_| eni.status == EniStatus::InUse && !kept.primary_nic);
        if !kept.primary_nic {
            self.secondary += 1;
        }
        let step = match eni.status {
            EniStatus::Attaching => Step::Attach,
            EniStatus::Detaching => Step::Detach,
            EniStatus::Deleting => Step::Delete,
            EniStatus::Available | EniStatus::InUse => return Ok(()),
        };
        let mut rng = super::draws::fork(&mut self.rng);
        self.begin(&eni.id, step, None, false, now, &mut rng);
        Ok(())
    }
}

fn dangling(field: &'static str, of: &impl ToString, value: &impl ToString) -> StateError {
    StateError::Dangling { field, of: of.to_string(), value: value.to_string() }
}
