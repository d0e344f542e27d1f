//! What the describe calls tell of vSwitches, security groups and instance types. ENIs: see `query`.

use std::collections::BTreeSet;

use terway_core::{
    cloud::{DESCRIBE_IDS_MAX, Page, SecurityGroup, VSwitch},
    id::{InstanceType, SecurityGroupId, VpcId},
    limits::InstanceLimits,
};

use super::{
    call::{Call, Refusal, refuse},
    draws::unit,
    instance_types,
    listing::{GroupQuery, Numbered, TypeQuery, VSwitchQuery},
    vswitch::VSwitchPool,
    world::World,
};

/// Most rows of a page of vSwitches.
pub(super) const VSWITCHES_PER_PAGE: usize = 50;

impl World {
    pub(super) fn describe_vswitches(&mut self, call: &mut Call, query: &VSwitchQuery) -> Numbered<VSwitch> {
        let wrong = (2.0 * unit(&mut call.rng) - 1.0) * self.model.vswitch_count_error;
        call.useful = true;
        let row = |pool: &VSwitchPool| VSwitch {
            id: pool.id.clone(),
            vpc: self.place.vpc.clone(),
            zone: pool.zone.clone(),
            cidr: pool.cidr,
            available: (f64::from(pool.available()) * (1.0 + wrong)) as u64,
        };
        let passes = |pool: &&VSwitchPool| query.zone.as_ref().is_none_or(|zone| pool.zone == *zone);
        let here = self.here(query.vpc.as_ref());
        let found: Box<dyn Iterator<Item = &VSwitchPool>> = match &query.id {
            Some(id) => Box::new(self.vswitches.get(id).into_iter()),
            None => Box::new(self.vswitches.values()),
        };
        query.page.cut(found.filter(|_| here).filter(passes)).map(row)
    }

    /// Whether a filter by VPC lets what is here pass.
    pub(super) fn here(&self, vpc: Option<&VpcId>) -> bool {
        vpc.is_none_or(|vpc| *vpc == self.place.vpc)
    }

    pub(super) fn describe_groups(
        &mut self,
        call: &mut Call,
        query: &GroupQuery,
    ) -> Result<Numbered<SecurityGroup>, Refusal> {
        if query.ids.len() > DESCRIBE_IDS_MAX {
            return refuse("InvalidParameter", "at most 100 SecurityGroupIds");
        }
        call.useful = true;
        let ids: BTreeSet<&SecurityGroupId> = query.ids.iter().collect();
        let here = self.here(query.vpc.as_ref());
        let found: Box<dyn Iterator<Item = (&SecurityGroupId, &String)>> = if ids.is_empty() {
            Box::new(self.groups.iter())
        } else {
            Box::new(ids.into_iter().filter_map(|id| self.groups.get_key_value(id)))
        };
        let row = |(id, name): (&SecurityGroupId, &String)| SecurityGroup {
            id: id.clone(),
            name: name.clone(),
            vpc: self.place.vpc.clone(),
        };
        Ok(query.page.cut(found.filter(|_| here)).map(row))
    }

    /// Limits of a type. The instance that asks for its own type is told its own limits, which a
    /// scenario may have changed.
    pub(super) fn describe_type(
        &mut self,
        call: &mut Call,
        name: &InstanceType,
    ) -> Result<InstanceLimits, Refusal> {
        let known = self.limits_for(call, name);
        call.useful = known.is_some();
        let nearest = instance_types::nearest(name.as_str());
        known.map_or_else(
            || refuse("InvalidParameter", format!("type {name} is not known; did you mean {nearest}?")),
            Ok,
        )
    }

    /// Types by name, family, or all in the order of the table. Unknown names give no row.
    pub(super) fn describe_types(
        &mut self,
        call: &mut Call,
        query: &TypeQuery,
        next: Option<&str>,
    ) -> Result<Page<(InstanceType, InstanceLimits)>, Refusal> {
        let from: usize = match next.map(str::parse) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => return refuse("InvalidParameter", "NextToken is not one of this listing"),
        };
        let names: Vec<InstanceType> = if query.names.is_empty() {
            instance_types::TABLE.iter().map(|row| InstanceType::from(row.name)).collect()
        } else {
            query.names.clone()
        };
        let of_family = |name: &InstanceType| {
            query.family.as_deref().is_none_or(|family| instance_types::family(name.as_str()) == family)
        };
        let row = |name: InstanceType| {
            let limits = self.limits_for(call, &name)?;
            Some((name, limits))
        };
        let mut found = names.into_iter().filter(of_family).filter_map(row).skip(from);
        let rows: Vec<_> = found.by_ref().take(query.rows.max(1)).collect();
        let next = found.next().map(|_| (from + rows.len()).to_string());
        call.useful = !rows.is_empty();
        Ok(Page { rows, next })
    }

    fn limits_for(&self, call: &Call, name: &InstanceType) -> Option<InstanceLimits> {
        let own = call.caller.as_ref().and_then(|id| self.instances.get(id));
        let own = own.filter(|instance| instance.kind == *name).map(|instance| instance.limits);
        own.or_else(|| instance_types::lookup(name.as_str()).map(instance_types::TypeRow::limits))
    }
}
