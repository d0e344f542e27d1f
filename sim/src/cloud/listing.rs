//! Describe calls with all of their filters and page sizes, and calls that name more than the port can say: what
//! the endpoint serves. One method is one call of the API, so it takes one token from the buckets.

use std::sync::Arc;

use ipnet::IpNet;
use terway_core::{
    cloud::{
        Action, Cloud, CloudError, CreateEni, Eni, Page, RouteEntry, RouteTable, SecurityGroup, VSwitch,
    },
    id::{InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VSwitchId, VpcId, ZoneId},
    limits::InstanceLimits,
};

use super::{
    FakeCloud, Labels,
    call::Call,
    client::Client,
    query::{EniQuery, Found},
    world::World,
};

/// A page by number, and how many rows all pages have together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// Rows of all pages.
    pub total: usize,
}

impl<T> Numbered<T> {
    pub(super) fn map<R>(self, row: impl FnMut(T) -> R) -> Numbered<R> {
        Numbered { rows: self.rows.into_iter().map(row).collect(), total: self.total }
    }
}

/// Which page of a listing: its number, from 1, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageAt {
    /// From 1.
    pub number: usize,
    /// Rows per page.
    pub size: usize,
}

impl PageAt {
    /// Cuts the page out of all rows.
    pub(super) fn cut<T>(self, all: impl Iterator<Item = T>) -> Numbered<T> {
        let from = self.number.saturating_sub(1).saturating_mul(self.size);
        let until = from.saturating_add(self.size);
        let (mut rows, mut total) = (Vec::new(), 0);
        for row in all {
            if (from..until).contains(&total) {
                rows.push(row);
            }
            total += 1;
        }
        Numbered { rows, total }
    }
}

/// Filters of `DescribeVSwitches`; what is left empty lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VSwitchQuery {
    /// This one.
    pub id: Option<VSwitchId>,
    /// Of this VPC.
    pub vpc: Option<VpcId>,
    /// In this zone.
    pub zone: Option<ZoneId>,
    /// Which page.
    pub page: PageAt,
}

/// Filters of `DescribeSecurityGroups`; what is left empty lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupQuery {
    /// One of these, at most a hundred; none: all.
    pub ids: Vec<SecurityGroupId>,
    /// Of this VPC.
    pub vpc: Option<VpcId>,
    /// Which page.
    pub page: PageAt,
}

/// Filters of `DescribeRouteTableList`; what is left empty lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableQuery {
    /// This one.
    pub id: Option<RouteTableId>,
    /// Of this VPC.
    pub vpc: Option<VpcId>,
    /// Which page.
    pub page: PageAt,
}

/// Filters of `DescribeRouteEntryList`; what is left empty lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryQuery {
    /// The table.
    pub table: RouteTableId,
    /// This one.
    pub id: Option<RouteEntryId>,
    /// Whether someone made it.
    pub custom: Option<bool>,
    /// For exactly this.
    pub destination: Option<IpNet>,
    /// Kind of its next hop.
    pub hop_kind: Option<String>,
    /// Of this family.
    pub ipv4: Option<bool>,
    /// Its next hop.
    pub hop: Option<String>,
    /// Rows per page.
    pub rows: usize,
}

impl EntryQuery {
    /// All entries of a table, so many a page.
    pub fn all(table: RouteTableId, rows: usize) -> Self {
        Self { table, id: None, custom: None, destination: None, ipv4: None, hop_kind: None, hop: None, rows }
    }

    pub(super) fn passes(&self, entry: &RouteEntry) -> bool {
        let hop = entry.next_hop.as_ref();
        entry.table == self.table
            && self.id.as_ref().is_none_or(|id| entry.id == *id)
            && self.custom.is_none_or(|custom| entry.custom == custom)
            && self.destination.is_none_or(|destination| entry.destination == destination)
            && self.ipv4.is_none_or(|ipv4| entry.destination.addr().is_ipv4() == ipv4)
            && self.hop_kind.as_ref().is_none_or(|kind| hop.is_some_and(|hop| hop.kind() == kind))
            && self.hop.as_ref().is_none_or(|id| hop.is_some_and(|hop| hop.id() == id))
    }
}

/// Filters of `DescribeInstanceTypes`; what is left empty lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeQuery {
    /// One of these; unknown ones give no row.
    pub names: Vec<InstanceType>,
    /// Of this family, `ecs.g7`.
    pub family: Option<String>,
    /// Rows per page.
    pub rows: usize,
}

/// Names a route entry for its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSelector {
    /// By its id.
    Id(RouteEntryId),
    /// By what it does.
    Of {
        /// Its table.
        table: RouteTableId,
        /// What it is for.
        destination: IpNet,
        /// Where it leads, if that is to be checked.
        hop: Option<String>,
    },
}

impl FakeCloud {
    /// The port as a caller has it: an instance, or an operator.
    pub fn client_of(self: &Arc<Self>, caller: Option<&InstanceId>) -> Arc<dyn Cloud> {
        Arc::new(self.calls(caller))
    }

    fn calls(self: &Arc<Self>, caller: Option<&InstanceId>) -> Client {
        let stream = match caller {
            Some(instance) => self.stream("cloud", instance.as_str()),
            None => self.stream("cloud-operator", "operator"),
        };
        Client { cloud: Arc::clone(self), caller: caller.cloned(), stream }
    }

    /// `CreateNetworkInterface` with a name and a description.
    pub async fn create_labelled(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        request: &CreateEni,
        labels: Labels,
    ) -> Result<Eni, CloudError> {
        self.calls(caller).create(request, labels).await
    }

    /// `DescribeNetworkInterfaces` from `next` on.
    pub async fn enis_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        query: EniQuery,
        next: Option<String>,
    ) -> Result<Found, CloudError> {
        self.calls(caller).describe_where(query, next).await
    }

    /// `DescribeVSwitches`.
    pub async fn vswitches_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        query: VSwitchQuery,
    ) -> Result<Numbered<VSwitch>, CloudError> {
        let apply = move |world: &mut World, call: &mut Call| Ok(world.describe_vswitches(call, &query));
        self.calls(caller).plain(Action::DescribeVSwitches, apply).await
    }

    /// `DescribeSecurityGroups`.
    pub async fn security_groups_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        query: GroupQuery,
    ) -> Result<Numbered<SecurityGroup>, CloudError> {
        let apply = move |world: &mut World, call: &mut Call| world.describe_groups(call, &query);
        self.calls(caller).plain(Action::DescribeSecurityGroups, apply).await
    }

    /// `DescribeInstanceTypes` from `next` on.
    pub async fn instance_types_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        query: TypeQuery,
        next: Option<String>,
    ) -> Result<Page<(InstanceType, InstanceLimits)>, CloudError> {
        let apply =
            move |world: &mut World, call: &mut Call| world.describe_types(call, &query, next.as_deref());
        self.calls(caller).plain(Action::DescribeInstanceTypes, apply).await
    }

    /// `DescribeRouteTableList`.
    pub async fn route_tables_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        query: TableQuery,
    ) -> Result<Numbered<RouteTable>, CloudError> {
        let apply = move |world: &mut World, call: &mut Call| Ok(world.describe_route_tables(call, &query));
        self.calls(caller).plain(Action::DescribeRouteTableList, apply).await
    }

    /// `DescribeRouteEntryList` from `next` on.
    pub async fn route_entries_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        query: EntryQuery,
        next: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError> {
        let apply = move |world: &mut World, call: &mut Call| {
            world.describe_route_entries(call, &query, next.as_deref())
        };
        self.calls(caller).plain(Action::DescribeRouteEntryList, apply).await
    }

    /// `DeleteRouteEntry`.
    pub async fn delete_route_where(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        which: RouteSelector,
    ) -> Result<(), CloudError> {
        let apply = move |world: &mut World, call: &mut Call| world.delete_route(call, &which);
        self.calls(caller).plain(Action::DeleteRouteEntry, apply).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_from_all_rows_and_tell_how_many_there_are() {
        let page = |number, size| PageAt { number, size }.cut(0..7);
        assert_eq!(page(1, 3), Numbered { rows: vec![0, 1, 2], total: 7 });
        assert_eq!(page(3, 3), Numbered { rows: vec![6], total: 7 });
        assert_eq!(page(4, 3), Numbered { rows: Vec::new(), total: 7 });
        assert_eq!(page(usize::MAX, usize::MAX).rows, Vec::<i32>::new());
    }
}
