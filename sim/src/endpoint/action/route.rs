//! Route tables and their entries.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use terway_core::cloud::{CreateRoute, NextHop, RouteEntry, RouteTable};

use super::{Answer, Call};
use crate::{
    cloud::{EntryQuery, RouteSelector, TableQuery},
    endpoint::fault::Fault,
};

/// Most rows of a page of tables (documented).
const TABLES_MAX: usize = 50;
/// Most rows of a page of entries (documented).
const ENTRIES_MAX: usize = 100;

pub(super) async fn tables(mut call: Call<'_>) -> Answer {
    let page = call.page(TABLES_MAX)?;
    let params = &mut call.params;
    params.fixed("RouterType", "VRouter")?;
    let query = TableQuery {
        id: params.text("RouteTableId").map(Into::into),
        vpc: params.text("VpcId").map(Into::into),
        page,
    };
    call.params.finish()?;
    let found = call.fake().route_tables_where(call.caller(), query).await?;
    let row = |table: &RouteTable| {
        json!({
            "RouteTableId": table.id,
            "RouteTableType": if table.system { "System" } else { "Custom" },
            "RouterId": format!("vrt-{}", table.vpc),
            "RouterType": "VRouter",
            "VpcId": table.vpc,
            "Status": "Available",
            "AssociateType": "VSwitch",
            "VSwitchIds": { "VSwitchId": table.vswitches },
        })
    };
    let rows: Vec<Value> = found.rows.iter().map(row).collect();
    Ok(json!({
        "Code": "200",
        "Message": "successful",
        "Success": true,
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": found.total,
        "RouterTableList": { "RouterTableListType": rows },
    }))
}

pub(super) async fn entries(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let custom = match params.text("RouteEntryType").as_deref() {
        None => None,
        Some("Custom") => Some(true),
        Some("System") => Some(false),
        Some(other) => return Err(Fault::invalid("RouteEntryType", other, "Custom or System").into()),
    };
    let ipv4 = match params.text("IpVersion").as_deref() {
        None => None,
        Some("ipv4") => Some(true),
        Some("ipv6") => Some(false),
        Some(other) => return Err(Fault::invalid("IpVersion", other, "ipv4 or ipv6").into()),
    };
    let query = EntryQuery {
        table: params.required("RouteTableId")?.into(),
        id: params.text("RouteEntryId").map(Into::into),
        custom,
        destination: params.text("DestinationCidrBlock").map(|text| block(&text)).transpose()?,
        hop_kind: params.text("NextHopType"),
        hop: params.text("NextHopId"),
        ipv4,
        rows: params.number("MaxResult", 1..=ENTRIES_MAX)?.unwrap_or(10),
    };
    let next = params.text("NextToken");
    call.params.finish()?;
    let page = call.fake().route_entries_where(call.caller(), query, next).await?;
    let rows: Vec<Value> = page.rows.iter().map(|entry| tell(&call, entry)).collect();
    Ok(json!({
        "NextToken": page.next.unwrap_or_default(),
        "RouteEntrys": { "RouteEntry": rows },
    }))
}

fn tell(call: &Call<'_>, entry: &RouteEntry) -> Value {
    let hop = |hop: &NextHop| {
        json!({
            "NextHopType": hop.kind(),
            "NextHopId": hop.id(),
            "NextHopRegionId": call.place.region,
            "Weight": 0,
            "Enabled": 1,
        })
    };
    // Routes within the VPC need no hop: the documentation's samples tell them as `local`.
    let hops =
        entry.next_hop.as_ref().map_or_else(|| json!({ "NextHopType": "local", "NextHopId": "" }), hop);
    json!({
        "RouteEntryId": entry.id,
        "RouteEntryName": "",
        "RouteTableId": entry.table,
        "DestinationCidrBlock": entry.destination,
        "IpVersion": if entry.destination.addr().is_ipv4() { "ipv4" } else { "ipv6" },
        "Type": if entry.custom { "Custom" } else { "System" },
        "Status": format!("{:?}", entry.status),
        "NextHops": { "NextHop": [hops] },
    })
}

pub(super) async fn create(mut call: Call<'_>) -> Answer {
    let token = call.token();
    let params = &mut call.params;
    let table = params.required("RouteTableId")?.into();
    let text = params.required("DestinationCidrBlock")?;
    let kind = params.text("NextHopType").unwrap_or_else(|| "Instance".to_owned());
    let hop = params.required("NextHopId")?;
    call.params.finish()?;
    let request =
        CreateRoute { token, table, destination: block(&text)?, next_hop: NextHop::new(&kind, &hop) };
    let id = call.cloud().create_route_entry(&request).await?;
    Ok(json!({ "RouteEntryId": id }))
}

/// A block; an address without a length stands for itself (documented).
fn block(text: &str) -> Result<IpNet, Fault> {
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(alone).filter(|net: &IpNet| net.trunc() == *net).ok_or_else(|| {
        let message = format!("The specified DestinationCidrBlock \"{text}\" is not a CIDR block.");
        Fault::new("InvalidCidrBlock.Malformed", message)
    })
}

pub(super) async fn delete(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let by_id = params.text("RouteEntryId");
    let table = params.text("RouteTableId");
    let destination = params.text("DestinationCidrBlock");
    let hop = params.text("NextHopId");
    params.fixed("DryRun", "false")?;
    call.params.finish()?;
    let which = match (by_id, table, destination) {
        (Some(id), ..) => RouteSelector::Id(id.into()),
        (None, Some(table), Some(text)) => {
            RouteSelector::Of { table: table.into(), destination: block(&text)?, hop }
        }
        (None, None, _) => return Err(Fault::missing("RouteEntryId").into()),
        (None, Some(_), None) => return Err(Fault::missing("DestinationCidrBlock").into()),
    };
    call.fake().delete_route_where(call.caller(), which).await?;
    Ok(json!({}))
}
