//! What the describe calls tell of vSwitches, security groups and instance types. ENIs: see `query`.

use std::collections::BTreeSet;

use terway_core::{
    cloud::{DESCRIBE_IDS_MAX, Page, SecurityGroup, VSwitch, VSwitchFilter},
    id::{InstanceType, SecurityGroupId},
    limits::InstanceLimits,
};

use super::{
    call::{Call, Refusal, refuse},
    draws::unit,
    instance_types,
    vswitch::VSwitchPool,
    world::World,
};

/// Most rows of a page of vSwitches.
const VSWITCHES_PER_PAGE: usize = 50;

impl World {
    pub(super) fn describe_vswitches(
        &mut self,
        call: &mut Call,
        filter: &VSwitchFilter,
        next: Option<&str>,
    ) -> Page<VSwitch> {
        let wrong = (2.0 * unit(&mut call.rng) - 1.0) * self.model.vswitch_count_error;
        call.useful = true;
        let row = |pool: &VSwitchPool| VSwitch {
            id: pool.id.clone(),
            vpc: self.place.vpc.clone(),
            zone: pool.zone.clone(),
            cidr: pool.cidr,
            available: (f64::from(pool.available()) * (1.0 + wrong)) as u64,
        };
        match filter {
            VSwitchFilter::Id(id) => Page::only(self.vswitches.get(id).map(row).into_iter().collect()),
            VSwitchFilter::OfVpc(vpc) if *vpc != self.place.vpc => Page::only(Vec::new()),
            VSwitchFilter::OfVpc(_) => {
                // Pages of this action have numbers, from 1.
                let number: usize = next.and_then(|next| next.parse().ok()).unwrap_or(1).max(1);
                let rows = self.vswitches.values().skip((number - 1) * VSWITCHES_PER_PAGE);
                let rows = rows.take(VSWITCHES_PER_PAGE).map(row).collect();
                let more = self.vswitches.len() > number * VSWITCHES_PER_PAGE;
                Page { rows, next: more.then(|| (number + 1).to_string()) }
            }
        }
    }

    pub(super) fn describe_groups(
        &mut self,
        call: &mut Call,
        ids: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, Refusal> {
        if ids.len() > DESCRIBE_IDS_MAX {
            return refuse("InvalidParameter", "at most 100 SecurityGroupIds");
        }
        call.useful = true;
        let ids: BTreeSet<&SecurityGroupId> = ids.iter().collect();
        let found = ids.into_iter().filter_map(|id| self.groups.get_key_value(id));
        let row = |(id, name): (&SecurityGroupId, &String)| SecurityGroup {
            id: id.clone(),
            name: name.clone(),
            vpc: self.place.vpc.clone(),
        };
        Ok(found.map(row).collect())
    }

    /// Limits of a type. The instance that asks for its own type is told its own limits, which a
    /// scenario may have changed.
    pub(super) fn describe_type(
        &mut self,
        call: &mut Call,
        name: &InstanceType,
    ) -> Result<InstanceLimits, Refusal> {
        let own = call.caller.as_ref().and_then(|id| self.instances.get(id));
        let own = own.filter(|instance| instance.kind == *name).map(|instance| instance.limits);
        let known =
            own.or_else(|| instance_types::lookup(name.as_str()).map(instance_types::TypeRow::limits));
        call.useful = known.is_some();
        let nearest = instance_types::nearest(name.as_str());
        known.map_or_else(
            || refuse("InvalidParameter", format!("type {name} is not known; did you mean {nearest}?")),
            Ok,
        )
    }
}
