//! What happens to the cloud other than by calls: building it, faults, people at the console.

use std::{net::IpAddr, sync::Arc};

use ipnet::{Ipv4Net, Ipv6Net};
use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{EniStatus, RouteTable},
    id::{EniId, InstanceId, InstanceType, RouteTableId, SecurityGroupId, VSwitchId, ZoneId},
    limits::InstanceLimits,
    metadata::NicMetadata,
};

use super::{
    FakeCloud,
    eni::NewEni,
    fate::FaultId,
    fault::FaultWindow,
    instance_types,
    lifecycle::Step,
    metadata::MetadataFault,
    observer::Removal,
    vswitch::{PREFIX_LENGTHS, VSwitchPool},
    world::{Instance, InstanceState, Place, World},
};

/// A scenario asks for a cloud that can not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No such instance type.
    #[error("instance type `{name}` is not known; did you mean `{nearest}`?")]
    UnknownType {
        /// As given.
        name: InstanceType,
        /// The known name nearest to it.
        nearest: &'static str,
    },
    /// The id is taken.
    #[error("`{0}` exists already")]
    Exists(String),
    /// No such vSwitch.
    #[error("vSwitch `{0}` does not exist")]
    NoVSwitch(VSwitchId),
    /// The vSwitch lies in another zone than the instance.
    #[error("vSwitch `{vswitch}` is not in zone `{zone}`")]
    ZoneMismatch {
        /// The vSwitch.
        vswitch: VSwitchId,
        /// Zone of the instance.
        zone: ZoneId,
    },
    /// No address for the primary NIC.
    #[error("vSwitch `{0}` has no address left for a primary NIC")]
    Exhausted(VSwitchId),
    /// The block is too large, too small, or not apart from the others.
    #[error("block {0} is not a /16 to /29 apart from all other vSwitches")]
    BadBlock(Ipv4Net),
}

impl FakeCloud {
    /// Adds a vSwitch, at any time. IPv6 addresses are counted from the start of `ipv6`, a /64.
    pub fn add_vswitch(
        self: &Arc<Self>,
        id: impl Into<VSwitchId>,
        zone: impl Into<ZoneId>,
        cidr: Ipv4Net,
        ipv6: Option<Ipv6Net>,
    ) -> Result<(), SetupError> {
        let (id, zone) = (id.into(), zone.into());
        self.with(|world, _| {
            if world.vswitches.contains_key(&id) {
                return Err(SetupError::Exists(id.to_string()));
            }
            let meets = |pool: &VSwitchPool| pool.cidr.contains(&cidr) || cidr.contains(&pool.cidr);
            if !PREFIX_LENGTHS.contains(&cidr.prefix_len()) || world.vswitches.values().any(meets) {
                return Err(SetupError::BadBlock(cidr));
            }
            world.vswitches.insert(id.clone(), VSwitchPool::new(id, zone, cidr, ipv6));
            world.routes.add_local(cidr);
            Ok(())
        })
    }

    /// Says where everything is. Call it before anything else is added.
    pub fn set_place(self: &Arc<Self>, place: Place) {
        self.with(|world, _| world.place = place);
    }

    /// Gives the VPC its block; without it, the VPC has the smallest one that holds all vSwitches.
    pub fn set_vpc_block(self: &Arc<Self>, cidr: Ipv4Net) {
        self.with(|world, _| world.vpc_cidr = Some(cidr));
    }

    /// Adds a security group, or renames it.
    pub fn add_security_group(self: &Arc<Self>, id: impl Into<SecurityGroupId>, name: &str) {
        let id = id.into();
        self.with(|world, _| world.groups.insert(id, name.to_owned()));
    }

    /// Adds a route table. The VPC's own (`system`) has no vSwitches; it serves those that no other has.
    pub fn add_route_table(
        self: &Arc<Self>,
        id: impl Into<RouteTableId>,
        system: bool,
        vswitches: Vec<VSwitchId>,
    ) {
        let id = id.into();
        self.with(|world, _| {
            let vpc = world.place.vpc.clone();
            world.routes.tables.insert(id.clone(), RouteTable { id, vpc, system, vswitches });
        });
    }

    /// Adds a running instance with its primary NIC, which has one address of `vswitch`.
    pub fn add_instance(
        self: &Arc<Self>,
        id: impl Into<InstanceId>,
        instance_type: impl Into<InstanceType>,
        zone: impl Into<ZoneId>,
        vswitch: &VSwitchId,
    ) -> Result<NicMetadata, SetupError> {
        let (id, name, zone) = (id.into(), instance_type.into(), zone.into());
        self.with(|world, now| {
            let Some(row) = instance_types::lookup(name.as_str()) else {
                let nearest = instance_types::nearest(name.as_str());
                return Err(SetupError::UnknownType { name, nearest });
            };
            if world.instances.contains_key(&id) {
                return Err(SetupError::Exists(id.to_string()));
            }
            let pool =
                world.vswitches.get_mut(vswitch).ok_or_else(|| SetupError::NoVSwitch(vswitch.clone()))?;
            if pool.zone != zone {
                return Err(SetupError::ZoneMismatch { vswitch: vswitch.clone(), zone });
            }
            let one = AddressCount { v4: 1, ..AddressCount::default() };
            let addresses = pool.take(one).ok_or_else(|| SetupError::Exhausted(vswitch.clone()))?;
            let (cidr, gateway, ipv6) = (pool.cidr, pool.gateway(), pool.ipv6_gateway());
            let new = NewEni {
                vswitch: vswitch.clone(),
                instance: Some(id.clone()),
                addresses,
                tags: Vec::new(),
                groups: Arc::default(),
                primary_nic: true,
            };
            let eni = world.add_eni(new, now);
            let enis = std::collections::BTreeSet::from([eni.id.clone()]);
            let instance = Instance {
                kind: name,
                zone,
                limits: row.limits(),
                state: InstanceState::Running,
                seen: enis.clone(),
                enis,
                metadata: MetadataFault::default(),
            };
            world.instances.insert(id, instance);
            let addresses = vec![IpAddr::V4(eni.primary)];
            let (mac, eni) = (eni.mac, eni.id.clone());
            Ok(NicMetadata { mac, eni, vswitch: vswitch.clone(), cidr, gateway, ipv6, addresses })
        })
    }

    /// Releases an instance for good. ENIs on it go with it or become `Available`, as
    /// `delete_on_release` says; ENIs that were `Available` stay. False when there is none.
    pub fn release_instance(self: &Arc<Self>, id: &InstanceId) -> bool {
        self.with(|world, now| {
            let Some(instance) = world.instances.get(id) else { return false };
            let enis = instance.enis.clone();
            for eni in enis {
                let record = world.enis.get_mut(&eni).expect("instances hold living ENIs");
                if record.primary_nic || world.model.delete_on_release {
                    world.end_eni(&eni, Removal::InstanceGone, now);
                } else {
                    record.epoch += 1;
                    record.held = false;
                    world.nic_vanishes(&eni);
                    world.detached(&eni, now);
                }
            }
            world.instances.remove(id);
            true
        })
    }

    /// Starts or stops an instance. Guests of stopped instances still count NICs. False when there is
    /// none.
    pub fn set_instance_state(self: &Arc<Self>, id: &InstanceId, state: InstanceState) -> bool {
        self.of_instance(id, |instance| instance.state = state)
    }

    /// Changes the limits of an instance; what it holds beyond them stays. False when there is none.
    pub fn limit_change(self: &Arc<Self>, id: &InstanceId, limits: InstanceLimits) -> bool {
        self.of_instance(id, |instance| instance.limits = limits)
    }

    /// Sets what is wrong with the metadata of an instance. False when there is none.
    pub fn set_metadata_fault(self: &Arc<Self>, id: &InstanceId, fault: MetadataFault) -> bool {
        self.of_instance(id, |instance| instance.metadata = fault)
    }

    fn of_instance(self: &Arc<Self>, id: &InstanceId, change: impl FnOnce(&mut Instance)) -> bool {
        self.with(|world, _| world.instances.get_mut(id).map(change).is_some())
    }

    /// Begins a fault; it ends by itself.
    pub fn add_window(self: &Arc<Self>, window: FaultWindow) -> FaultId {
        self.with(|world, now| world.faults.add(window, now))
    }

    /// Ends a fault early. False when it is over already.
    pub fn remove_window(self: &Arc<Self>, id: FaultId) -> bool {
        let found = self.with(|world, _| world.faults.remove(id));
        self.healed.notify_waiters();
        found
    }

    /// Ends all windows and all metadata faults. vSwitches stay as they are: see
    /// [`Self::relieve_vswitch`].
    pub fn heal(self: &Arc<Self>) {
        self.with(|world, _| {
            world.faults.clear();
            for instance in world.instances.values_mut() {
                instance.metadata = MetadataFault::default();
            }
        });
        self.healed.notify_waiters();
    }

    /// Others take all but `leave` addresses of a vSwitch. False when there is none.
    pub fn exhaust_vswitch(self: &Arc<Self>, id: &VSwitchId, leave: u32) -> bool {
        self.with(|world, _| world.vswitches.get_mut(id).map(|pool| pool.reserve_all_but(leave)).is_some())
    }

    /// Others give back what [`Self::exhaust_vswitch`] took. False when there is none.
    pub fn relieve_vswitch(self: &Arc<Self>, id: &VSwitchId) -> bool {
        self.with(|world, _| world.vswitches.get_mut(id).map(VSwitchPool::release_reserved).is_some())
    }

    /// Someone begins to detach a secondary ENI that is `InUse`. False when it is not.
    pub fn out_of_band_detach(self: &Arc<Self>, eni: &EniId) -> bool {
        self.with(|world, now| {
            let in_use = world.secondary_eni(eni, |status| status == EniStatus::InUse);
            if in_use {
                let mut rng = super::draws::fork(&mut world.rng);
                world.begin(eni, Step::Detach, None, false, now, &mut rng);
            }
            in_use
        })
    }

    /// A secondary ENI vanishes at once, whatever its state. False when there is none.
    pub fn out_of_band_delete(self: &Arc<Self>, eni: &EniId) -> bool {
        self.with(|world, now| {
            let found = world.secondary_eni(eni, |_| true);
            if found {
                world.end_eni(eni, Removal::OutOfBand, now);
            }
            found
        })
    }

    /// An address, or the prefix that holds it, is taken off its ENI at once. False when no secondary
    /// ENI has it, or when it is its primary one.
    pub fn out_of_band_unassign(self: &Arc<Self>, ip: IpAddr) -> bool {
        let Some((id, ..)) = self.owner_of(ip) else { return false };
        self.with(|world, now| {
            let Some(eni) = world.live(&id).cloned() else { return false };
            let mut set = AddressSet::default();
            match ip {
                IpAddr::V4(v4) if eni.primary == v4 => return false,
                IpAddr::V4(v4) => {
                    set.prefixes.extend(eni.addresses.prefixes.iter().filter(|prefix| prefix.contains(&v4)));
                    set.v4.extend(eni.addresses.v4.iter().filter(|other| **other == v4));
                }
                IpAddr::V6(v6) => set.v6.push(v6),
            }
            world.strip(&eni, &set, Removal::OutOfBand, now);
            true
        })
    }
}

impl World {
    fn secondary_eni(&self, id: &EniId, status: impl FnOnce(EniStatus) -> bool) -> bool {
        let secondary = self.enis.get(id).filter(|record| !record.primary_nic);
        secondary.and_then(|record| record.live.as_ref()).is_some_and(|eni| status(eni.status))
    }
}
