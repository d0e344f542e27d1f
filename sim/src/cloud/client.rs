//! The port [`Cloud`] over the wire: each method is one call, and what it asks for in short.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rand_chacha::ChaCha8Rng;
use terway_core::{
    address::{ADDRESSES_PER_PREFIX, AddressCount, AddressSet},
    cloud::{
        Action, Assign, Cloud, CloudError, CreateEni, CreateRoute, DESCRIBE_IDS_MAX, Eni, EniFilter, Page,
        RouteEntry, RouteTable, SecurityGroup, VSwitch, VSwitchFilter,
    },
    id::{EniId, InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VpcId},
    limits::InstanceLimits,
};

use super::{
    FakeCloud,
    call::{Call, Refusal},
    eni::Labels,
    listing::{EntryQuery, GroupQuery, Numbered, PageAt, RouteSelector, TableQuery, VSwitchQuery},
    observer::RequestSummary,
    query::{EniQuery, Found},
    read::VSWITCHES_PER_PAGE,
    route::{ENTRIES_PER_PAGE, ROUTE_TABLES_PER_PAGE},
    world::World,
};

/// A client of one instance, or of an operator.
pub(super) struct Client {
    pub(super) cloud: Arc<FakeCloud>,
    pub(super) caller: Option<InstanceId>,
    /// Shared by all clients of the caller, so that an agent's restart does not repeat its luck.
    pub(super) stream: Arc<Mutex<ChaCha8Rng>>,
}

fn about(eni: &EniId) -> RequestSummary {
    RequestSummary { eni: Some(eni.clone()), ..RequestSummary::default() }
}

fn addresses(count: AddressCount) -> u32 {
    count.v4 + count.v6 + count.prefixes * ADDRESSES_PER_PREFIX
}

/// The page that a token of the port stands for: listings of this kind have numbered pages, from 1.
fn page_of(next: Option<String>, size: usize) -> PageAt {
    PageAt { number: next.and_then(|next| next.parse().ok()).unwrap_or(1).max(1), size }
}

/// A numbered page as the port has it: the token is the number of the next one.
fn numbered<T>(found: Numbered<T>, page: PageAt) -> Page<T> {
    let more = found.total > page.number.saturating_mul(page.size);
    Page { rows: found.rows, next: more.then(|| (page.number + 1).to_string()) }
}

impl Client {
    async fn call<T: Send + 'static>(
        &self,
        action: Action,
        summary: &RequestSummary,
        apply: impl FnOnce(&mut World, &mut Call) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, CloudError> {
        self.cloud.call(self.caller.as_ref(), &self.stream, action, summary, apply).await
    }

    /// A call that asks for nothing that is counted.
    pub(super) async fn plain<T: Send + 'static>(
        &self,
        action: Action,
        apply: impl FnOnce(&mut World, &mut Call) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, CloudError> {
        self.call(action, &RequestSummary::default(), apply).await
    }

    pub(super) async fn describe_where(
        &self,
        query: EniQuery,
        next: Option<String>,
    ) -> Result<Found, CloudError> {
        let action = Action::DescribeNetworkInterfaces;
        self.plain(action, move |world, call| world.describe_enis(call, &query, next.as_deref())).await
    }

    pub(super) async fn create(&self, request: &CreateEni, labels: Labels) -> Result<Eni, CloudError> {
        let summary = RequestSummary {
            eni: None,
            vswitch: Some(request.vswitch.clone()),
            token: Some(request.token.clone()),
            addresses_asked: addresses(request.count),
        };
        let request = request.clone();
        let action = Action::CreateNetworkInterface;
        self.call(action, &summary, move |world, call| world.create(call, &request, labels)).await
    }

    async fn assign(&self, action: Action, request: &Assign) -> Result<AddressSet, CloudError> {
        let summary = RequestSummary {
            token: Some(request.token.clone()),
            addresses_asked: addresses(request.count),
            ..about(&request.eni)
        };
        let request = request.clone();
        self.call(action, &summary, move |world, call| world.assign(call, &request)).await
    }

    async fn unassign(&self, action: Action, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        let (id, set) = (eni.clone(), set.clone());
        self.call(action, &about(eni), move |world, call| world.unassign(call, &id, &set)).await
    }
}

#[async_trait]
impl Cloud for Client {
    async fn create_eni(&self, request: &CreateEni) -> Result<Eni, CloudError> {
        self.create(request, Labels::default()).await
    }

    async fn attach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        let (id, instance, action) = (eni.clone(), instance.clone(), Action::AttachNetworkInterface);
        self.call(action, &about(eni), move |world, call| world.attach(call, &id, &instance)).await
    }

    async fn detach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        let (id, instance, action) = (eni.clone(), instance.clone(), Action::DetachNetworkInterface);
        self.call(action, &about(eni), move |world, call| world.detach(call, &id, &instance)).await
    }

    async fn delete_eni(&self, eni: &EniId) -> Result<(), CloudError> {
        let (id, action) = (eni.clone(), Action::DeleteNetworkInterface);
        self.call(action, &about(eni), move |world, call| world.delete(call, &id)).await
    }

    async fn describe_enis(&self, filter: &EniFilter, next: Option<String>) -> Result<Page<Eni>, CloudError> {
        let Found { rows, next, .. } = self.describe_where(filter.into(), next).await?;
        Ok(Page { rows, next })
    }

    async fn assign_ipv4(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.assign(Action::AssignPrivateIpAddresses, request).await
    }

    async fn assign_ipv6(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.assign(Action::AssignIpv6Addresses, request).await
    }

    async fn unassign_ipv4(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.unassign(Action::UnassignPrivateIpAddresses, eni, set).await
    }

    async fn unassign_ipv6(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.unassign(Action::UnassignIpv6Addresses, eni, set).await
    }

    async fn describe_instance_type(
        &self,
        instance_type: &InstanceType,
    ) -> Result<InstanceLimits, CloudError> {
        let (name, action) = (instance_type.clone(), Action::DescribeInstanceTypes);
        self.plain(action, move |world, call| world.describe_type(call, &name)).await
    }

    async fn describe_vswitches(
        &self,
        filter: &VSwitchFilter,
        next: Option<String>,
    ) -> Result<Page<VSwitch>, CloudError> {
        let page = page_of(next, VSWITCHES_PER_PAGE);
        let query = match filter.clone() {
            VSwitchFilter::Id(id) => VSwitchQuery { id: Some(id), vpc: None, zone: None, page },
            VSwitchFilter::OfVpc(vpc) => VSwitchQuery { id: None, vpc: Some(vpc), zone: None, page },
        };
        let action = Action::DescribeVSwitches;
        let found = self.plain(action, move |world, call| Ok(world.describe_vswitches(call, &query))).await?;
        Ok(numbered(found, page))
    }

    async fn describe_security_groups(
        &self,
        ids: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, CloudError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let page = PageAt { number: 1, size: DESCRIBE_IDS_MAX };
        let query = GroupQuery { ids: ids.to_vec(), vpc: None, page };
        let action = Action::DescribeSecurityGroups;
        Ok(self.plain(action, move |world, call| world.describe_groups(call, &query)).await?.rows)
    }

    async fn describe_route_tables(
        &self,
        vpc: &VpcId,
        next: Option<String>,
    ) -> Result<Page<RouteTable>, CloudError> {
        let page = page_of(next, ROUTE_TABLES_PER_PAGE);
        let query = TableQuery { id: None, vpc: Some(vpc.clone()), page };
        let action = Action::DescribeRouteTableList;
        let found =
            self.plain(action, move |world, call| Ok(world.describe_route_tables(call, &query))).await?;
        Ok(numbered(found, page))
    }

    async fn describe_route_entries(
        &self,
        table: &RouteTableId,
        next: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError> {
        let query = EntryQuery::all(table.clone(), ENTRIES_PER_PAGE);
        self.plain(Action::DescribeRouteEntryList, move |world, call| {
            world.describe_route_entries(call, &query, next.as_deref())
        })
        .await
    }

    async fn create_route_entry(&self, request: &CreateRoute) -> Result<RouteEntryId, CloudError> {
        let summary = RequestSummary { token: Some(request.token.clone()), ..RequestSummary::default() };
        let request = request.clone();
        self.call(Action::CreateRouteEntry, &summary, move |world, call| world.create_route(call, &request))
            .await
    }

    async fn delete_route_entry(&self, entry: &RouteEntry) -> Result<(), CloudError> {
        let which = RouteSelector::Id(entry.id.clone());
        self.plain(Action::DeleteRouteEntry, move |world, call| world.delete_route(call, &which)).await
    }
}
