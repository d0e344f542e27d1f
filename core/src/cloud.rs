//! The cloud as the agent sees it: ENIs, their addresses, vSwitches, routes, instance limits.
//!
//! One method is one OpenAPI action and one request on the wire; nothing here retries, waits or
//! pages behind the caller's back, because calls are what the account pays for in rate limits.

mod action;
mod code;
mod eni;
mod error;
mod vpc;

use async_trait::async_trait;

pub use self::{
    action::{Action, Product},
    code::{CODES, RetryClass, classify},
    eni::{
        Assign, BATCH, CREATE_SECONDARY_MAX, CreateEni, DESCRIBE_IDS_MAX, Eni, EniFilter, EniStatus,
        TAG_CREATOR, TAG_INSTANCE, TAG_TOKEN,
    },
    error::CloudError,
    vpc::{CreateRoute, NextHop, RouteEntry, RouteStatus, RouteTable, SecurityGroup, VSwitch, VSwitchFilter},
};
use crate::{
    address::AddressSet,
    id::{EniId, InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VpcId},
    limits::InstanceLimits,
};

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Ask again with this for more.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The only page.
    pub const fn only(rows: Vec<T>) -> Self {
        Self { rows, next: None }
    }
}

/// The cloud's API. Every call may take seconds, fail after it applied, or answer with stale data.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Makes an ENI. Idempotent by token.
    async fn create_eni(&self, request: &CreateEni) -> Result<Eni, CloudError>;
    /// Starts attaching; the ENI is usable when described as `InUse`.
    async fn attach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError>;
    /// Starts detaching; allowed again while `Detaching`.
    async fn detach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError>;
    /// Starts deleting; only from `Available`, allowed again while `Deleting`.
    async fn delete_eni(&self, eni: &EniId) -> Result<(), CloudError>;
    /// Reads ENIs; the answer may lag writes by seconds.
    async fn describe_enis(&self, filter: &EniFilter, next: Option<String>) -> Result<Page<Eni>, CloudError>;
    /// Adds IPv4 addresses or prefixes. Idempotent by token. May give fewer than asked.
    async fn assign_ipv4(&self, request: &Assign) -> Result<AddressSet, CloudError>;
    /// Adds IPv6 addresses. Idempotent by token. May give fewer than asked.
    async fn assign_ipv6(&self, request: &Assign) -> Result<AddressSet, CloudError>;
    /// Takes IPv4 addresses or prefixes away; addresses that are gone already are an error of class
    /// [`RetryClass::AlreadyDone`].
    async fn unassign_ipv4(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError>;
    /// Takes IPv6 addresses away.
    async fn unassign_ipv6(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError>;
    /// Quotas of an instance type.
    async fn describe_instance_type(
        &self,
        instance_type: &InstanceType,
    ) -> Result<InstanceLimits, CloudError>;
    /// vSwitches by id or VPC.
    async fn describe_vswitches(
        &self,
        filter: &VSwitchFilter,
        next: Option<String>,
    ) -> Result<Page<VSwitch>, CloudError>;
    /// Security groups by id, at most [`DESCRIBE_IDS_MAX`]; unknown ones give no row.
    async fn describe_security_groups(
        &self,
        ids: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, CloudError>;
    /// Route tables of a VPC.
    async fn describe_route_tables(
        &self,
        vpc: &VpcId,
        next: Option<String>,
    ) -> Result<Page<RouteTable>, CloudError>;
    /// Entries of a route table, the cloud's own included.
    async fn describe_route_entries(
        &self,
        table: &RouteTableId,
        next: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError>;
    /// Starts making a route entry. Idempotent by token. A VPC takes one change at a time.
    async fn create_route_entry(&self, request: &CreateRoute) -> Result<RouteEntryId, CloudError>;
    /// Starts deleting a route entry; only from `Available`. An entry that is gone already is an error
    /// of class [`RetryClass::AlreadyDone`].
    async fn delete_route_entry(&self, entry: &RouteEntry) -> Result<(), CloudError>;
}
