//! Which ENIs a describe call tells, and as of when: the past, more or less recent.
//!
//! The age is drawn anew for each call, so that two reads may even contradict each other in order: a
//! caller does not read its own writes, and a later answer can be the older one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    ops::Bound,
};

use terway_core::{
    cloud::{DESCRIBE_IDS_MAX, Eni, EniFilter, EniStatus, TAG_CREATOR, TAG_INSTANCE},
    id::{EniId, InstanceId, SecurityGroupId, VSwitchId},
};
use tokio::time::Instant;

use super::{
    call::{Call, Refusal, refuse},
    eni::EniRecord,
    listing::{Numbered, PageAt},
    world::World,
};

/// Filters of `DescribeNetworkInterfaces`; what is left empty lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EniQuery {
    /// One of these, at most [`DESCRIBE_IDS_MAX`].
    pub ids: Vec<EniId>,
    /// On this instance, or on its way to or from it.
    pub instance: Option<InstanceId>,
    /// With all of these tags; an empty value stands for any.
    pub tags: Vec<(String, String)>,
    /// In this state.
    pub status: Option<EniStatus>,
    /// Whether the primary NIC of an instance.
    pub primary_nic: Option<bool>,
    /// In this vSwitch.
    pub vswitch: Option<VSwitchId>,
    /// In this security group.
    pub group: Option<SecurityGroupId>,
    /// With one of these addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Rows per page.
    pub rows: usize,
    /// Pages by number, from 1, and rows are counted; otherwise pages by token.
    pub number: Option<usize>,
}

/// A page of ENIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rows.
    pub rows: Vec<Eni>,
    /// Ask again with this for more; none on pages by number.
    pub next: Option<String>,
    /// Rows of all pages, on pages by number.
    pub total: Option<usize>,
}

impl Default for EniQuery {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            instance: None,
            tags: Vec::new(),
            status: None,
            primary_nic: None,
            vswitch: None,
            group: None,
            addresses: Vec::new(),
            rows: DESCRIBE_IDS_MAX,
            number: None,
        }
    }
}

impl From<&EniFilter> for EniQuery {
    fn from(filter: &EniFilter) -> Self {
        let ours = (TAG_CREATOR.0.to_owned(), TAG_CREATOR.1.to_owned());
        match filter {
            EniFilter::Ids(ids) => Self { ids: ids.clone(), ..Self::default() },
            EniFilter::OnInstance(instance) => Self { instance: Some(instance.clone()), ..Self::default() },
            EniFilter::Ours => Self { tags: vec![ours], ..Self::default() },
            EniFilter::OfInstance(instance) => {
                let tags = vec![ours, (TAG_INSTANCE.to_owned(), instance.to_string())];
                Self { tags, ..Self::default() }
            }
        }
    }
}

impl EniQuery {
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn passes(&self, record: &EniRecord, eni: &Eni) -> bool {
        let wants = |(key, value): &(String, String)| {
            eni.tags.iter().any(|(name, is)| name == key && (value.is_empty() || is == value))
        };
        self.instance.as_ref().is_none_or(|instance| eni.instance.as_ref() == Some(instance))
            && self.status.is_none_or(|status| eni.status == status)
            && self.primary_nic.is_none_or(|primary| record.primary_nic == primary)
            && self.vswitch.as_ref().is_none_or(|vswitch| eni.vswitch == *vswitch)
            && self.group.as_ref().is_none_or(|group| record.groups.contains(group))
            && (self.addresses.is_empty() || self.addresses.iter().any(|ip| eni.addresses.v4.contains(ip)))
            && self.tags.iter().all(wants)
    }
}

impl World {
    pub(super) fn describe_enis(
        &mut self,
        call: &mut Call,
        query: &EniQuery,
        next: Option<&str>,
    ) -> Result<Found, Refusal> {
        let usual = self.model.read_lag.age(&mut call.rng);
        let lag = call.fate.stale.unwrap_or(usual).min(self.model.history());
        if query.ids.len() > DESCRIBE_IDS_MAX {
            return refuse("InvalidParameter", "at most 100 NetworkInterfaceId");
        }
        call.useful = true;
        Ok(self.page(query, next, call.now - lag))
    }

    fn page(&self, query: &EniQuery, next: Option<&str>, then: Instant) -> Found {
        let from = next.map_or(Bound::Unbounded, |last| Bound::Excluded(EniId::from(last)));
        let found = |id: &EniId| {
            let record = self.enis.get(id)?;
            record.at(then).filter(|eni| query.passes(record, eni))
        };
        let mut rows = self.candidates(query, from).filter_map(found);
        if let Some(number) = query.number {
            let Numbered { rows, total } = PageAt { number, size: query.rows }.cut(rows);
            let rows = rows.into_iter().map(|eni| (**eni).clone()).collect();
            return Found { rows, next: None, total: Some(total) };
        }
        let here: Vec<Eni> = rows.by_ref().take(query.rows.max(1)).map(|eni| (**eni).clone()).collect();
        let more = rows.next().is_some();
        let next = here.last().filter(|_| more).map(|last| last.id.to_string());
        Found { rows: here, next, total: None }
    }

    /// The smallest index that has all that pass, in order of ids.
    fn candidates<'a>(
        &'a self,
        query: &EniQuery,
        from: Bound<EniId>,
    ) -> Box<dyn Iterator<Item = &'a EniId> + 'a> {
        let range = (from, Bound::Unbounded);
        let of = |set: Option<&'a BTreeSet<EniId>>| {
            let range = range.clone();
            Box::new(set.into_iter().flat_map(move |ids| ids.range(range.clone())))
        };
        if !query.ids.is_empty() {
            let asked: BTreeSet<&EniId> = query.ids.iter().collect();
            let known = |id: &EniId| self.enis.get_key_value(id).map(|(id, _)| id);
            let known: Vec<&EniId> = asked.into_iter().filter_map(known).collect();
            let from = range.0;
            return Box::new(known.into_iter().filter(move |id| match &from {
                Bound::Excluded(last) => *id > last,
                _ => true,
            }));
        }
        if let Some(instance) = &query.instance {
            return of(self.instances.get(instance).map(|found| &found.seen));
        }
        if query.tag(TAG_CREATOR.0) == Some(TAG_CREATOR.1) {
            return match query.tag(TAG_INSTANCE) {
                Some(instance) if !instance.is_empty() => of(self.by_tag.get(&InstanceId::from(instance))),
                _ => of(Some(&self.ours)),
            };
        }
        let all: &BTreeMap<EniId, EniRecord> = &self.enis;
        Box::new(all.range(range).map(|(id, _)| id))
    }
}
