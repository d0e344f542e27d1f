//! The port [`Cloud`] within a budget.

use std::{fmt, future::Future, sync::Arc};

use async_trait::async_trait;
use terway_core::{
    address::AddressSet,
    cloud::{
        Action, Assign, Cloud, CloudError, CreateEni, CreateRoute, Eni, EniFilter, Page, RetryClass,
        RouteEntry, RouteTable, SecurityGroup, VSwitch, VSwitchFilter,
    },
    id::{EniId, InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VpcId},
    limits::InstanceLimits,
};
use tokio::time::Instant;

use super::{CallReport, Metrics, Share};

/// A cloud whose calls wait for their turn in a budget. A call that is throttled all the same is reported
/// as such and slows the budget down; it is not made again here.
pub struct Budgeted {
    cloud: Arc<dyn Cloud>,
    share: Share,
    metrics: Option<Arc<dyn Metrics>>,
}

impl fmt::Debug for Budgeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgeted").field("share", &self.share).finish_non_exhaustive()
    }
}

impl Budgeted {
    /// Calls of a cloud on a share's account.
    pub fn new(cloud: Arc<dyn Cloud>, share: Share, metrics: Option<Arc<dyn Metrics>>) -> Self {
        Self { cloud, share, metrics }
    }

    async fn call<T>(
        &self,
        action: Action,
        call: impl Future<Output = Result<T, CloudError>> + Send,
    ) -> Result<T, CloudError> {
        let waited = self.share.turn(action).await;
        let sent = Instant::now();
        let result = call.await;
        let error = result.as_ref().err();
        if let Some(error) = error {
            self.share.budget.learn(sent, error);
        }
        if let Some(metrics) = &self.metrics {
            metrics.call(&CallReport {
                action,
                share: self.share.name.clone(),
                latency: sent.elapsed(),
                waited,
                code: error.map(|error| error.code.clone()),
                throttled: error.is_some_and(|error| error.class == RetryClass::Throttled),
            });
        }
        result
    }
}

#[async_trait]
impl Cloud for Budgeted {
    async fn create_eni(&self, request: &CreateEni) -> Result<Eni, CloudError> {
        self.call(Action::CreateNetworkInterface, self.cloud.create_eni(request)).await
    }

    async fn attach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        self.call(Action::AttachNetworkInterface, self.cloud.attach_eni(eni, instance)).await
    }

    async fn detach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        self.call(Action::DetachNetworkInterface, self.cloud.detach_eni(eni, instance)).await
    }

    async fn delete_eni(&self, eni: &EniId) -> Result<(), CloudError> {
        self.call(Action::DeleteNetworkInterface, self.cloud.delete_eni(eni)).await
    }

    async fn describe_enis(&self, filter: &EniFilter, next: Option<String>) -> Result<Page<Eni>, CloudError> {
        self.call(Action::DescribeNetworkInterfaces, self.cloud.describe_enis(filter, next)).await
    }

    async fn assign_ipv4(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.call(Action::AssignPrivateIpAddresses, self.cloud.assign_ipv4(request)).await
    }

    async fn assign_ipv6(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.call(Action::AssignIpv6Addresses, self.cloud.assign_ipv6(request)).await
    }

    async fn unassign_ipv4(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.call(Action::UnassignPrivateIpAddresses, self.cloud.unassign_ipv4(eni, set)).await
    }

    async fn unassign_ipv6(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.call(Action::UnassignIpv6Addresses, self.cloud.unassign_ipv6(eni, set)).await
    }

    async fn describe_instance_type(
        &self,
        instance_type: &InstanceType,
    ) -> Result<InstanceLimits, CloudError> {
        self.call(Action::DescribeInstanceTypes, self.cloud.describe_instance_type(instance_type)).await
    }

    async fn describe_vswitches(
        &self,
        filter: &VSwitchFilter,
        next: Option<String>,
    ) -> Result<Page<VSwitch>, CloudError> {
        self.call(Action::DescribeVSwitches, self.cloud.describe_vswitches(filter, next)).await
    }

    async fn describe_security_groups(
        &self,
        ids: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, CloudError> {
        self.call(Action::DescribeSecurityGroups, self.cloud.describe_security_groups(ids)).await
    }

    async fn describe_route_tables(
        &self,
        vpc: &VpcId,
        next: Option<String>,
    ) -> Result<Page<RouteTable>, CloudError> {
        self.call(Action::DescribeRouteTableList, self.cloud.describe_route_tables(vpc, next)).await
    }

    async fn describe_route_entries(
        &self,
        table: &RouteTableId,
        next: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError> {
        self.call(Action::DescribeRouteEntryList, self.cloud.describe_route_entries(table, next)).await
    }

    async fn create_route_entry(&self, request: &CreateRoute) -> Result<RouteEntryId, CloudError> {
        self.call(Action::CreateRouteEntry, self.cloud.create_route_entry(request)).await
    }

    async fn delete_route_entry(&self, entry: &RouteEntry) -> Result<(), CloudError> {
        self.call(Action::DeleteRouteEntry, self.cloud.delete_route_entry(entry)).await
    }
}
