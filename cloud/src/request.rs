//! From typed requests to parameters, and from those to a signed HTTP request. Pure: date, nonce and
//! region are arguments.
//!
//! Names and limits of the parameters: references of ECS 2014-05-26 and VPC 2016-04-28.

use std::{borrow::Cow, fmt::Display};

use bytes::Bytes;
use http::{
    HeaderValue, Method,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT},
};
use terway_core::{
    address::AddressSet,
    cloud::{
        Action, Assign, CreateEni, CreateRoute, DESCRIBE_IDS_MAX, EniFilter, RouteEntry, TAG_CREATOR,
        TAG_INSTANCE, VSwitchFilter,
    },
    id::{EniId, InstanceId, InstanceType, RouteTableId, SecurityGroupId, VpcId},
};

use crate::{
    credentials::Credentials,
    endpoints::Endpoint,
    secret::Secret,
    sign::{self, Signable},
};

/// Rows of a numbered page: the most that `DescribeVSwitches` and `DescribeRouteTableList` give.
pub const PAGE_SIZE: u32 = 50;
/// Rows of a page of route entries: the most that the action gives.
pub const ROUTES_MAX: u32 = 100;

/// Who we are, in every request.
const AGENT: &str = concat!("terway-rs/", env!("CARGO_PKG_VERSION"));

/// An action with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    action: Action,
    parameters: Vec<(Cow<'static, str>, Cow<'a, str>)>,
}

impl<'a> Request<'a> {
    fn new(action: Action, region: &'a str) -> Self {
        let mut parameters = Vec::with_capacity(8);
        parameters.push(("RegionId".into(), region.into()));
        Self { action, parameters }
    }

    fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// `Name.1`, `Name.2` …
    fn list<V: Into<Cow<'a, str>>>(mut self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        for (index, value) in values.into_iter().enumerate() {
            self = self.with(format!("{name}.{}", index + 1), value);
        }
        self
    }

    fn shown<V: Display>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.list(name, values.into_iter().map(|value| value.to_string()))
    }

    /// A count; nothing is sent for none.
    fn count(self, name: &'static str, count: u32) -> Self {
        if count == 0 { self } else { self.with(name, count.to_string()) }
    }

    fn tags(mut self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        for (index, (key, value)) in tags.into_iter().enumerate() {
            self = self.with(format!("Tag.{}.Key", index + 1), key);
            self = self.with(format!("Tag.{}.Value", index + 1), value);
        }
        self
    }

    fn after(self, next: Option<&'a str>) -> Self {
        match next {
            Some(next) => self.with("NextToken", next),
            None => self,
        }
    }

    /// Pages of some actions have numbers: the port's token carries the next one.
    fn page(self, next: Option<&'a str>) -> Self {
        self.with("PageNumber", next.unwrap_or("1")).with("PageSize", PAGE_SIZE.to_string())
    }

    /// The action.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Its parameters as they are signed and sent.
    pub fn query(&self) -> String {
        sign::canonical_query(self.parameters.iter().map(|(name, value)| (&**name, &**value)))
    }
}

/// `CreateNetworkInterface`
pub fn create_eni<'a>(region: &'a str, request: &'a CreateEni) -> Request<'a> {
    let groups = request.security_groups.iter().map(SecurityGroupId::as_str);
    let tags = request.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Request::new(Action::CreateNetworkInterface, region)
        .with("VSwitchId", request.vswitch.as_str())
        .list("SecurityGroupIds", groups)
        .with("InstanceType", "Secondary")
        // The primary address comes by itself.
        .count("SecondaryPrivateIpAddressCount", request.count.v4.saturating_sub(1))
        .count("Ipv6AddressCount", request.count.v6)
        .count("Ipv4PrefixCount", request.count.prefixes)
        .tags(tags)
        .with("ClientToken", request.token.as_str())
}

/// `AttachNetworkInterface`
pub fn attach_eni<'a>(region: &'a str, eni: &'a EniId, instance: &'a InstanceId) -> Request<'a> {
    of_eni(Action::AttachNetworkInterface, region, eni).with("InstanceId", instance.as_str())
}

/// `DetachNetworkInterface`
pub fn detach_eni<'a>(region: &'a str, eni: &'a EniId, instance: &'a InstanceId) -> Request<'a> {
    of_eni(Action::DetachNetworkInterface, region, eni).with("InstanceId", instance.as_str())
}

/// `DeleteNetworkInterface`
pub fn delete_eni<'a>(region: &'a str, eni: &'a EniId) -> Request<'a> {
    of_eni(Action::DeleteNetworkInterface, region, eni)
}

fn of_eni<'a>(action: Action, region: &'a str, eni: &'a EniId) -> Request<'a> {
    Request::new(action, region).with("NetworkInterfaceId", eni.as_str())
}

/// `DescribeNetworkInterfaces`. No ids mean all ENIs to the API: see the client.
pub fn describe_enis<'a>(region: &'a str, filter: &'a EniFilter, next: Option<&'a str>) -> Request<'a> {
    let request = Request::new(Action::DescribeNetworkInterfaces, region)
        // The default is ten.
        .with("MaxResults", DESCRIBE_IDS_MAX.to_string())
        .after(next);
    match filter {
        EniFilter::Ids(ids) => request.list("NetworkInterfaceId", ids.iter().map(EniId::as_str)),
        EniFilter::OnInstance(instance) => request.with("InstanceId", instance.as_str()),
        EniFilter::Ours => request.tags([TAG_CREATOR]),
        EniFilter::OfInstance(instance) => request.tags([TAG_CREATOR, (TAG_INSTANCE, instance.as_str())]),
    }
}

/// `AssignPrivateIpAddresses`
pub fn assign_ipv4<'a>(region: &'a str, request: &'a Assign) -> Request<'a> {
    of_eni(Action::AssignPrivateIpAddresses, region, &request.eni)
        .count("SecondaryPrivateIpAddressCount", request.count.v4)
        .count("Ipv4PrefixCount", request.count.prefixes)
        .with("ClientToken", request.token.as_str())
}

/// `AssignIpv6Addresses`
pub fn assign_ipv6<'a>(region: &'a str, request: &'a Assign) -> Request<'a> {
    of_eni(Action::AssignIpv6Addresses, region, &request.eni)
        .count("Ipv6AddressCount", request.count.v6)
        .with("ClientToken", request.token.as_str())
}

/// `UnassignPrivateIpAddresses`
pub fn unassign_ipv4<'a>(region: &'a str, eni: &'a EniId, set: &AddressSet) -> Request<'a> {
    of_eni(Action::UnassignPrivateIpAddresses, region, eni)
        .shown("PrivateIpAddress", &set.v4)
        .shown("Ipv4Prefix", &set.prefixes)
}

/// `UnassignIpv6Addresses`
pub fn unassign_ipv6<'a>(region: &'a str, eni: &'a EniId, set: &AddressSet) -> Request<'a> {
    of_eni(Action::UnassignIpv6Addresses, region, eni).shown("Ipv6Address", &set.v6)
}

/// `DescribeInstanceTypes`
pub fn describe_instance_type<'a>(region: &'a str, name: &'a InstanceType) -> Request<'a> {
    Request::new(Action::DescribeInstanceTypes, region).list("InstanceTypes", [name.as_str()])
}

/// `DescribeSecurityGroups`
pub fn describe_security_groups<'a>(region: &'a str, ids: &[SecurityGroupId]) -> Request<'a> {
    let list: serde_json::Value = ids.iter().map(SecurityGroupId::as_str).collect();
    let request =
        Request::new(Action::DescribeSecurityGroups, region).with("SecurityGroupIds", list.to_string());
    // All in one page. Its older form, by number, ends at fifty.
    if ids.len() > PAGE_SIZE as usize {
        request.with("MaxResults", DESCRIBE_IDS_MAX.to_string())
    } else {
        request.with("PageSize", PAGE_SIZE.to_string())
    }
}

/// `DescribeVSwitches`
pub fn describe_vswitches<'a>(
    region: &'a str,
    filter: &'a VSwitchFilter,
    next: Option<&'a str>,
) -> Request<'a> {
    let request = Request::new(Action::DescribeVSwitches, region);
    match filter {
        VSwitchFilter::Id(id) => request.with("VSwitchId", id.as_str()),
        VSwitchFilter::OfVpc(vpc) => request.with("VpcId", vpc.as_str()),
    }
    .page(next)
}

/// `DescribeRouteTableList`
pub fn describe_route_tables<'a>(region: &'a str, vpc: &'a VpcId, next: Option<&'a str>) -> Request<'a> {
    Request::new(Action::DescribeRouteTableList, region).with("VpcId", vpc.as_str()).page(next)
}

/// `DescribeRouteEntryList`
pub fn describe_route_entries<'a>(
    region: &'a str,
    table: &'a RouteTableId,
    next: Option<&'a str>,
) -> Request<'a> {
    Request::new(Action::DescribeRouteEntryList, region)
        .with("RouteTableId", table.as_str())
        // Singular, unlike elsewhere.
        .with("MaxResult", ROUTES_MAX.to_string())
        .after(next)
}

/// `CreateRouteEntry`
pub fn create_route_entry<'a>(region: &'a str, request: &'a CreateRoute) -> Request<'a> {
    Request::new(Action::CreateRouteEntry, region)
        .with("RouteTableId", request.table.as_str())
        .with("DestinationCidrBlock", request.destination.to_string())
        .with("NextHopType", request.next_hop.kind())
        .with("NextHopId", request.next_hop.id())
        .with("ClientToken", request.token.as_str())
}

/// `DeleteRouteEntry`
pub fn delete_route_entry<'a>(region: &'a str, entry: &'a RouteEntry) -> Request<'a> {
    Request::new(Action::DeleteRouteEntry, region).with("RouteEntryId", entry.id.as_str())
}

/// The HTTP request of an action: POST, parameters in the query, nothing in the body. Fails when a
/// credential has characters that no header may have.
pub fn signed(
    endpoint: &Endpoint,
    action: Action,
    query: &str,
    credentials: &Credentials,
    date: &str,
    nonce: &str,
) -> Result<http::Request<Bytes>, http::Error> {
    let token = credentials.token.as_ref().map(Secret::expose);
    let mut headers = Vec::with_capacity(7);
    headers.extend([
        ("host", endpoint.host()),
        ("x-acs-action", action.name()),
        ("x-acs-content-sha256", sign::EMPTY_BODY),
        ("x-acs-date", date),
    ]);
    headers.extend(token.map(|token| ("x-acs-security-token", token)));
    headers.extend([("x-acs-signature-nonce", nonce), ("x-acs-version", action.product().version())]);
    let signable =
        Signable { method: "POST", path: "/", query, headers: &headers, payload_hash: sign::EMPTY_BODY };
    let authorization = signable.authorization(&credentials.key_id, credentials.secret.expose());
    let uri = http::Uri::builder()
        .scheme(endpoint.scheme().clone())
        .authority(endpoint.authority().clone())
        .path_and_query(format!("/?{query}"))
        .build()?;
    let mut request = http::Request::builder().method(Method::POST).uri(uri);
    for (name, value) in &headers {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(*name == "x-acs-security-token");
        request = request.header(*name, value);
    }
    let mut authorization = HeaderValue::from_str(&authorization)?;
    authorization.set_sensitive(true);
    request
        .header(AUTHORIZATION, authorization)
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "gzip")
        .header(USER_AGENT, AGENT)
        .body(Bytes::new())
}

#[cfg(test)]
mod tests;
