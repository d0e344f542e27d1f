//! Route tables of the VPC and their entries: what the calls check and do, and changes that take time.
//!
//! A VPC takes one change at a time: while an entry is being made or deleted, every other change is
//! refused with `TaskConflict`. Codes of refusals that the documentation leaves open are assumed, and
//! said so where they stand.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use ipnet::{IpNet, Ipv4Net};
use terway_core::{
    cloud::{CreateRoute, NextHop, Page, RouteEntry, RouteStatus, RouteTable},
    id::{RouteEntryId, RouteTableId},
};
use tokio::time::{Instant, sleep};

use super::{
    FakeCloud,
    call::{Call, Refusal, refuse},
    listing::{EntryQuery, Numbered, RouteSelector, TableQuery},
    token::{self, Answer},
    world::{Effect, World},
};

/// Most custom entries of a table (documented default).
const ENTRIES_MAX: usize = 200;
/// Most rows of a page of entries (documented).
pub(super) const ENTRIES_PER_PAGE: usize = 100;
/// Most rows of a page of tables (documented).
pub(super) const ROUTE_TABLES_PER_PAGE: usize = 50;
/// No destination may lie in the block of the cloud's own services (documented).
const SERVICES: &str = "100.64.0.0/10";

/// All tables and entries.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) tables: BTreeMap<RouteTableId, RouteTable>,
    pub(super) entries: BTreeMap<RouteEntryId, RouteEntry>,
    pub(super) serial: u32,
}

impl Routes {
    /// The entry that is being changed.
    fn busy(&self) -> Option<&RouteEntry> {
        self.entries.values().find(|entry| entry.status != RouteStatus::Available)
    }

    fn add(&mut self, entry: impl FnOnce(RouteEntryId) -> RouteEntry) -> RouteEntryId {
        self.serial += 1;
        let id = RouteEntryId::from(format!("rte-{:08x}", self.serial));
        self.entries.insert(id.clone(), entry(id.clone()));
        id
    }

    /// The cloud's own entry for the block of a vSwitch, in every table.
    pub(super) fn add_local(&mut self, cidr: Ipv4Net) {
        for table in self.tables.keys().cloned().collect::<Vec<_>>() {
            self.add(|id| RouteEntry {
                id,
                table,
                destination: cidr.into(),
                status: RouteStatus::Available,
                custom: false,
                next_hop: None,
            });
        }
    }
}

/// A change of an entry under way.
#[derive(Clone, Debug)]
pub(super) struct RouteTimer {
    entry: RouteEntryId,
    settles: Duration,
}

impl World {
    pub(super) fn describe_route_tables(&self, call: &mut Call, query: &TableQuery) -> Numbered<RouteTable> {
        call.useful = true;
        let passes = |table: &&RouteTable| {
            query.vpc.as_ref().is_none_or(|vpc| table.vpc == *vpc)
                && query.id.as_ref().is_none_or(|id| table.id == *id)
        };
        query.page.cut(self.routes.tables.values().filter(passes)).map(RouteTable::clone)
    }

    pub(super) fn describe_route_entries(
        &self,
        call: &mut Call,
        query: &EntryQuery,
        next: Option<&str>,
    ) -> Result<Page<RouteEntry>, Refusal> {
        self.table(&query.table)?;
        let from = next.map_or(Bound::Unbounded, |last| Bound::Excluded(RouteEntryId::from(last)));
        let mut found =
            self.routes.entries.range((from, Bound::Unbounded)).filter(|(_, entry)| query.passes(entry));
        let rows: Vec<RouteEntry> =
            found.by_ref().take(query.rows.max(1)).map(|(_, entry)| entry.clone()).collect();
        let more = found.next().is_some();
        let next = rows.last().filter(|_| more).map(|last| last.id.to_string());
        call.useful = true;
        Ok(Page { rows, next })
    }

    pub(super) fn create_route(
        &mut self,
        call: &mut Call,
        request: &CreateRoute,
    ) -> Result<RouteEntryId, Refusal> {
        let parameters = token::of_route(request);
        if let Some(Answer::Route(id)) = self.replay(call, &request.token, parameters)? {
            return Ok(id);
        }
        self.table(&request.table)?;
        self.check_destination(request.destination)?;
        self.check_next_hop(&request.next_hop)?;
        let custom =
            || self.routes.entries.values().filter(|entry| entry.table == request.table && entry.custom);
        if custom().any(|entry| entry.destination == request.destination) {
            return refuse("RouterEntryConflict.Duplicated", format!("{} has a route", request.destination));
        }
        if custom().count() >= ENTRIES_MAX {
            // The family is documented, this member of it is assumed.
            return refuse("QuotaExceeded.RouteEntry", format!("{} has 200 entries", request.table));
        }
        self.at_rest()?;
        let id = self.routes.add(|id| RouteEntry {
            id,
            table: request.table.clone(),
            destination: request.destination,
            status: RouteStatus::Pending,
            custom: true,
            next_hop: Some(request.next_hop.clone()),
        });
        self.settle_route_later(call, &id);
        let answer = Answer::Route(id.clone());
        self.tokens.keep(call.action, &request.token, parameters, (call.now, call.answered), answer);
        Ok(id)
    }

    pub(super) fn delete_route(&mut self, call: &mut Call, which: &RouteSelector) -> Result<(), Refusal> {
        let entry = match which {
            RouteSelector::Id(id) => match self.routes.entries.get(id) {
                Some(entry) => entry,
                None => return refuse("InvalidRouteEntryId.NotFound", format!("{id} does not exist")),
            },
            RouteSelector::Of { table, destination, hop } => {
                self.table(table)?;
                let query = EntryQuery {
                    destination: Some(*destination),
                    hop: hop.clone(),
                    ..EntryQuery::all(table.clone(), 1)
                };
                match self.routes.entries.values().find(|entry| query.passes(entry)) {
                    Some(entry) => entry,
                    None => {
                        return refuse("InvalidRouteEntry.NotFound", format!("{table} has no {destination}"));
                    }
                }
            }
        };
        let id = entry.id.clone();
        if !entry.custom {
            return refuse("OperationDenied.DeleteManagedRouteEntry", format!("{id} is the cloud's own"));
        }
        if entry.status != RouteStatus::Available {
            return refuse("IncorrectRouteEntryStatus", format!("{id} is {:?}", entry.status));
        }
        self.at_rest()?;
        self.routes.entries.get_mut(&id).expect("found above").status = RouteStatus::Deleting;
        self.settle_route_later(call, &id);
        Ok(())
    }

    fn table(&self, id: &RouteTableId) -> Result<&RouteTable, Refusal> {
        match self.routes.tables.get(id) {
            Some(table) => Ok(table),
            None => refuse("InvalidRouteTableId.NotFound", format!("{id} does not exist")),
        }
    }

    fn check_destination(&self, destination: IpNet) -> Result<(), Refusal> {
        let IpNet::V4(destination) = destination else { return Ok(()) };
        let services: Ipv4Net = SERVICES.parse().expect("a block");
        if services.contains(&destination) {
            return refuse("InvalidCidrBlock", format!("{destination} lies in {services}"));
        }
        match self.vswitches.values().find(|pool| pool.cidr.contains(&destination)) {
            Some(pool) => {
                refuse("InvalidCidrBlock", format!("{destination} lies in {} {}", pool.id, pool.cidr))
            }
            None => Ok(()),
        }
    }

    /// The codes are assumed: those of other actions for what does not exist.
    fn check_next_hop(&self, next_hop: &NextHop) -> Result<(), Refusal> {
        match next_hop {
            NextHop::Instance(id) if !self.instances.contains_key(id) => {
                refuse("InvalidInstanceId.NotFound", format!("{id} does not exist"))
            }
            NextHop::NetworkInterface(id) if self.live(id).is_none() => {
                refuse("InvalidEniId.NotFound", format!("{id} does not exist"))
            }
            NextHop::Other(kind, _) => {
                refuse("InvalidParameter", format!("NextHopType {kind} is not served here"))
            }
            _ => Ok(()),
        }
    }

    fn at_rest(&self) -> Result<(), Refusal> {
        match self.routes.busy() {
            Some(entry) => refuse("TaskConflict", format!("{} is {:?}", entry.id, entry.status)),
            None => Ok(()),
        }
    }

    fn settle_route_later(&mut self, call: &mut Call, entry: &RouteEntryId) {
        let settles = self.model.route_settles.draw(&mut call.rng);
        self.effects.push(Effect::Route(RouteTimer { entry: entry.clone(), settles }));
        call.useful = true;
    }

    /// Carries on with a change that was under way when the state was kept.
    pub(super) fn resume_route(&mut self, entry: &RouteEntryId) {
        let settles = self.model.route_settles.draw(&mut self.rng);
        self.effects.push(Effect::Route(RouteTimer { entry: entry.clone(), settles }));
    }

    fn settle_route(&mut self, timer: &RouteTimer) {
        let Some(entry) = self.routes.entries.get_mut(&timer.entry) else { return };
        match entry.status {
            RouteStatus::Deleting => drop(self.routes.entries.remove(&timer.entry)),
            _ => entry.status = RouteStatus::Available,
        }
    }
}

impl FakeCloud {
    /// Carries a change of a route entry to its end.
    pub(super) async fn run_route(self: Arc<Self>, timer: RouteTimer) {
        sleep(timer.settles).await;
        self.with(|world, _: Instant| world.settle_route(&timer));
    }
}
