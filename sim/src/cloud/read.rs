//! What the describe calls tell: the past, more or less recent.
//!
//! The age is drawn anew for each call, so that two reads may even contradict each other in order: a
//! caller does not read its own writes, and a later answer can be the older one.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use terway_core::{
    cloud::{DESCRIBE_IDS_MAX, Eni, EniFilter, EniPage, VSwitch},
    id::{EniId, InstanceType, VSwitchId},
    limits::InstanceLimits,
};
use tokio::time::Instant;

use super::{
    call::{Call, Refusal, refuse},
    draws::unit,
    instance_types,
    world::World,
};

impl World {
    pub(super) fn describe_enis(
        &mut self,
        call: &mut Call,
        filter: &EniFilter,
        next: Option<&str>,
    ) -> Result<EniPage, Refusal> {
        let usual = self.model.read_lag.age(&mut call.rng);
        let lag = call.fate.stale.unwrap_or(usual).min(self.model.history());
        let then = call.now - lag;
        call.useful = true;
        match filter {
            EniFilter::Ids(ids) if ids.len() > DESCRIBE_IDS_MAX => {
                call.useful = false;
                refuse("InvalidParameter", "at most 100 NetworkInterfaceId")
            }
            EniFilter::Ids(ids) => {
                let ids: BTreeSet<&EniId> = ids.iter().collect();
                let enis = ids.into_iter().filter_map(|id| self.as_of(id, then)).map(|eni| (**eni).clone());
                Ok(EniPage { enis: enis.collect(), next: None })
            }
            EniFilter::OfInstance(instance) => Ok(self.page(self.by_tag.get(instance), next, then)),
            EniFilter::Ours => Ok(self.page(Some(&self.ours), next, then)),
        }
    }

    fn as_of(&self, id: &EniId, then: Instant) -> Option<&Arc<Eni>> {
        self.enis.get(id)?.at(then)
    }

    fn page(&self, ids: Option<&BTreeSet<EniId>>, next: Option<&str>, then: Instant) -> EniPage {
        let from = next.map_or(Bound::Unbounded, |last| Bound::Excluded(EniId::from(last)));
        let mut rows = ids
            .into_iter()
            .flat_map(|ids| ids.range((from.clone(), Bound::Unbounded)))
            .filter_map(|id| self.as_of(id, then));
        let enis: Vec<Eni> = rows.by_ref().take(DESCRIBE_IDS_MAX).map(|eni| (**eni).clone()).collect();
        let more = rows.next().is_some();
        let next = enis.last().filter(|_| more).map(|last| last.id.to_string());
        EniPage { enis, next }
    }

    pub(super) fn describe_vswitches(&mut self, call: &mut Call, ids: &[VSwitchId]) -> Vec<VSwitch> {
        let wrong = (2.0 * unit(&mut call.rng) - 1.0) * self.model.vswitch_count_error;
        call.useful = true;
        let ids: BTreeSet<&VSwitchId> = ids.iter().collect();
        let found = ids.into_iter().filter_map(|id| self.vswitches.get(id));
        found
            .map(|pool| VSwitch {
                id: pool.id.clone(),
                zone: pool.zone.clone(),
                cidr: pool.cidr,
                available: (f64::from(pool.available()) * (1.0 + wrong)) as u64,
            })
            .collect()
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
