//! Actions: from parameters to a call of the fake cloud, and from its answer to the documented JSON.
//!
//! One module per kind of thing; each function is one action. Parameters that the fake cloud has no use
//! for are refused by name ([`Params::finish`]), so that nobody tests against something that does nothing.

mod address;
mod eni;
mod group;
mod instance_type;
mod route;
mod vswitch;

use std::sync::Arc;

use serde_json::Value;
use terway_core::{
    cloud::{Action, Cloud, CloudError},
    id::{ClientToken, InstanceId},
};

use super::{Endpoint, fault::Fault, params::Params};
use crate::cloud::{FakeCloud, PageAt, Place};

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Refused {
    /// An answer that says why.
    Fault(Fault),
    /// No answer at all: the connection ends.
    Silence,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<CloudError> for Refused {
    fn from(error: CloudError) -> Self {
        match error.code.as_str() {
            "Timeout" | "Unreachable" => Self::Silence,
            _ => Self::Fault(Fault {
                request_id: Some(error.request_id),
                ..Fault::new(error.code, error.message)
            }),
        }
    }
}

pub(super) type Answer = Result<Value, Refused>;

/// A call that has passed the gate.
pub(super) struct Call<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// None: whoever has the account's key.
    pub(super) caller: Option<InstanceId>,
    pub(super) place: Place,
    pub(super) params: Params,
}

impl Call<'_> {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.fake().client_of(self.caller.as_ref())
    }

    fn caller(&self) -> Option<&InstanceId> {
        self.caller.as_ref()
    }

    fn fake(&self) -> &Arc<FakeCloud> {
        &self.endpoint.cloud
    }

    fn token(&mut self) -> ClientToken {
        // Without one the request is a new one each time.
        self.params.text("ClientToken").unwrap_or_else(|| self.endpoint.request_id()).into()
    }

    fn region(&mut self, action: Action) -> Result<(), Fault> {
        // These are documented to do without.
        let optional = matches!(
            action,
            Action::DescribeInstanceTypes
                | Action::DescribeVSwitches
                | Action::CreateRouteEntry
                | Action::DeleteRouteEntry
        );
        let here = &self.place.region;
        match self.params.text("RegionId") {
            None if optional => Ok(()),
            None => Err(Fault::missing("RegionId")),
            Some(region) if *region == **here => Ok(()),
            Some(region) => {
                let message = format!("The specified RegionId \"{region}\" does not exist; here is {here}.");
                Err(Fault::new("InvalidRegionId.NotFound", message))
            }
        }
    }

    /// `PageNumber` and `PageSize`.
    fn page(&mut self, most: usize) -> Result<PageAt, Fault> {
        let number = self.params.number("PageNumber", 1..=100_000)?.unwrap_or(1);
        let size = self.params.number("PageSize", 1..=most)?.unwrap_or(10);
        Ok(PageAt { number, size })
    }
}

/// Does an action.
pub(super) async fn perform(action: Action, mut call: Call<'_>) -> Answer {
    call.region(action)?;
    match action {
        Action::CreateNetworkInterface => eni::create(call).await,
        Action::AttachNetworkInterface => eni::attach(call).await,
        Action::DetachNetworkInterface => eni::detach(call).await,
        Action::DeleteNetworkInterface => eni::delete(call).await,
        Action::DescribeNetworkInterfaces => eni::describe(call).await,
        Action::AssignPrivateIpAddresses => address::assign_v4(call).await,
        Action::UnassignPrivateIpAddresses => address::unassign_v4(call).await,
        Action::AssignIpv6Addresses => address::assign_v6(call).await,
        Action::UnassignIpv6Addresses => address::unassign_v6(call).await,
        Action::DescribeInstanceTypes => instance_type::describe(call).await,
        Action::DescribeSecurityGroups => group::describe(call).await,
        Action::DescribeVSwitches => vswitch::describe(call).await,
        Action::DescribeRouteTableList => route::tables(call).await,
        Action::DescribeRouteEntryList => route::entries(call).await,
        Action::CreateRouteEntry => route::create(call).await,
        Action::DeleteRouteEntry => route::delete(call).await,
    }
}
