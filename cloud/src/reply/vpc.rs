//! Replies about what ENIs live in: vSwitches, security groups, routes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use terway_core::{
    cloud::{NextHop, Page, RouteEntry, RouteStatus, RouteTable, SecurityGroup, VSwitch},
    id::RouteEntryId,
};

use super::{DecodeError, Envelope, eni::after, essential, invalid, parse, read};
use crate::{
    lenient::{Flag, List, Number, Object, Text},
    request::PAGE_SIZE,
};

/// What the pages with numbers have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Numbered {
    code: Text,
    message: Text,
    success: Flag,
    total_count: Number,
    page_size: Number,
    #[serde(rename = "VSwitches")]
    vswitches: List<Object<VSwitchRow>>,
    router_table_list: List<Object<TableRow>>,
}

impl Numbered {
    fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reply: Self = parse(body)?;
        let (code, message) = (std::mem::take(&mut reply.code), std::mem::take(&mut reply.message));
        Envelope { code, message, success: reply.success, ..Envelope::default() }.check()?;
        Ok(reply)
    }

    /// The number after the one that was asked for, if there is more.
    fn next(&self, asked: Option<&str>, rows: usize) -> Option<String> {
        let number: u64 = asked.map_or(Some(1), |asked| asked.parse().ok())?;
        let size = self.page_size.0.unwrap_or(u64::from(PAGE_SIZE));
        let more = match self.total_count.0 {
            Some(total) => number.saturating_mul(size) < total,
            None => rows >= PAGE_SIZE as usize,
        };
        (more && rows > 0).then(|| number.saturating_add(1).to_string())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VSwitchRow {
    #[serde(rename = "VSwitchId")]
    vswitch_id: Text,
    vpc_id: Text,
    zone_id: Text,
    cidr_block: Text,
    available_ip_address_count: Number,
}

/// `DescribeVSwitches`; `asked` is the token that the page was asked with.
pub fn describe_vswitches(asked: Option<&str>, body: &[u8]) -> Result<Page<VSwitch>, DecodeError> {
    let reply = Numbered::parse(body)?;
    let row = |Object(row): &Object<VSwitchRow>| {
        const FREE: &str = "AvailableIpAddressCount";
        Ok(VSwitch {
            id: essential("VSwitchId", &row.vswitch_id)?.into(),
            vpc: essential("VpcId", &row.vpc_id)?.into(),
            zone: essential("ZoneId", &row.zone_id)?.into(),
            cidr: read("CidrBlock", essential("CidrBlock", &row.cidr_block)?, "an IPv4 block")?,
            available: row.available_ip_address_count.0.ok_or(DecodeError::Missing { field: FREE })?,
        })
    };
    let rows: Vec<VSwitch> = reply.vswitches.0.iter().map(row).collect::<Result<_, DecodeError>>()?;
    Ok(Page { next: reply.next(asked, rows.len()), rows })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TableRow {
    route_table_id: Text,
    route_table_type: Text,
    vpc_id: Text,
    #[serde(rename = "VSwitchIds")]
    vswitch_ids: List<Text>,
}

/// `DescribeRouteTableList`; `asked` is the token that the page was asked with.
pub fn describe_route_tables(asked: Option<&str>, body: &[u8]) -> Result<Page<RouteTable>, DecodeError> {
    let reply = Numbered::parse(body)?;
    let row = |Object(row): &Object<TableRow>| {
        Ok(RouteTable {
            id: essential("RouteTableId", &row.route_table_id)?.into(),
            vpc: essential("VpcId", &row.vpc_id)?.into(),
            system: essential("RouteTableType", &row.route_table_type)? == "System",
            vswitches: row.vswitch_ids.0.iter().filter_map(Text::some).map(Into::into).collect(),
        })
    };
    let rows: Vec<RouteTable> =
        reply.router_table_list.0.iter().map(row).collect::<Result<_, DecodeError>>()?;
    Ok(Page { next: reply.next(asked, rows.len()), rows })
}

/// `DescribeSecurityGroups`, sorted by id: the API has them the other way round, others in no order.
pub fn describe_security_groups(body: &[u8]) -> Result<Vec<SecurityGroup>, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        security_groups: List<Object<Row>>,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Row {
        security_group_id: Text,
        security_group_name: Text,
        vpc_id: Text,
    }
    let reply: Reply = parse(body)?;
    let row = |Object(row): Object<Row>| {
        Ok(SecurityGroup {
            id: essential("SecurityGroupId", &row.security_group_id)?.into(),
            vpc: essential("VpcId", &row.vpc_id)?.into(),
            name: row.security_group_name.0,
        })
    };
    let mut rows: Vec<SecurityGroup> =
        reply.security_groups.0.into_iter().map(row).collect::<Result<_, DecodeError>>()?;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(rows)
}

/// `DescribeRouteEntryList`
pub fn describe_route_entries(body: &[u8]) -> Result<Page<RouteEntry>, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        code: Text,
        message: Text,
        success: Flag,
        next_token: Text,
        // Spelled so.
        route_entrys: List<Object<EntryRow>>,
    }
    let reply: Reply = parse(body)?;
    let Reply { code, message, success, .. } = reply;
    Envelope { code, message, success, ..Envelope::default() }.check()?;
    let rows: Vec<RouteEntry> =
        reply.route_entrys.0.iter().map(|row| row.0.entry()).collect::<Result<_, DecodeError>>()?;
    Ok(Page { next: after(&reply.next_token, rows.len()), rows })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct EntryRow {
    route_entry_id: Text,
    route_table_id: Text,
    destination_cidr_block: Text,
    #[serde(rename = "Type")]
    kind: Text,
    status: Text,
    next_hops: List<Object<Hop>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Hop {
    next_hop_type: Text,
    next_hop_id: Text,
}

impl EntryRow {
    fn entry(&self) -> Result<RouteEntry, DecodeError> {
        let destination = essential("DestinationCidrBlock", &self.destination_cidr_block)?;
        Ok(RouteEntry {
            id: essential("RouteEntryId", &self.route_entry_id)?.into(),
            table: essential("RouteTableId", &self.route_table_id)?.into(),
            destination: block(destination)?,
            status: status(essential("Status", &self.status)?)?,
            custom: self.kind.0 == "Custom",
            next_hop: self.next_hops.0.iter().find_map(|hop| hop.0.next_hop()),
        })
    }
}

impl Hop {
    /// None for what the cloud serves by itself, which the API tells as `local` or not at all. Of several
    /// hops the first is told: we make no such routes.
    fn next_hop(&self) -> Option<NextHop> {
        let (kind, id) = (self.next_hop_type.some()?, self.next_hop_id.some().unwrap_or(""));
        (!kind.eq_ignore_ascii_case("local")).then(|| NextHop::new(kind, id))
    }
}

/// A block; an address without a length stands for itself (documented).
fn block(text: &str) -> Result<IpNet, DecodeError> {
    let field = "DestinationCidrBlock";
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => read(field, text, "a block such as 10.0.0.0/24"),
    }
}

fn status(text: &str) -> Result<RouteStatus, DecodeError> {
    Ok(match text {
        "Pending" | "Creating" => RouteStatus::Pending,
        "Available" | "Created" => RouteStatus::Available,
        "Modifying" => RouteStatus::Modifying,
        "Deleting" => RouteStatus::Deleting,
        _ => {
            let allowed = "Pending, Creating, Available, Created, Modifying or Deleting";
            return Err(invalid("Status", text, allowed));
        }
    })
}

/// `CreateRouteEntry`
pub fn create_route_entry(body: &[u8]) -> Result<RouteEntryId, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        code: Text,
        message: Text,
        success: Flag,
        route_entry_id: Text,
    }
    let Reply { code, message, success, route_entry_id } = parse(body)?;
    Envelope { code, message, success, ..Envelope::default() }.check()?;
    essential("RouteEntryId", &route_entry_id).map(Into::into)
}
