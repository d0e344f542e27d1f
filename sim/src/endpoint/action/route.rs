//! Route tables and their entries.

use ipnet::IpNet;
use serde_json::{Value, json};
use terway_core::{
    cloud::{CreateRoute, NextHop, RouteEntry, RouteTable},
    id::{RouteEntryId, RouteTableId},
};

use super::{Answer, Call};
use crate::endpoint::fault::Fault;

pub(super) async fn tables(mut call: Call<'_>) -> Answer {
    let place = call.fake().place();
    let params = &mut call.params;
    let vpc = params.text("VpcId").map_or(place.vpc, Into::into);
    let one = params.text("RouteTableId");
    let number: usize = params.number("PageNumber", 1..=10_000)?.unwrap_or(1);
    let size: usize = params.number("PageSize", 1..=50)?.unwrap_or(10);
    call.params.clone().finish()?;
    let mut rows = call.cloud().describe_route_tables(&vpc, None).await?.rows;
    rows.retain(|table| one.as_ref().is_none_or(|one| table.id.as_str() == one));
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
    let here: Vec<Value> = rows.iter().skip((number - 1) * size).take(size).map(row).collect();
    Ok(json!({
        "Code": "200",
        "Message": "successful",
        "Success": true,
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": rows.len(),
        "RouterTableList": { "RouterTableListType": here },
    }))
}

pub(super) async fn entries(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let table: RouteTableId = params.required("RouteTableId")?.into();
    let one = params.text("RouteEntryId");
    let kind = params.text("RouteEntryType");
    let destination: Option<IpNet> = params.read("DestinationCidrBlock", "a CIDR block")?;
    let size: usize = params.number("MaxResult", 1..=100)?.unwrap_or(10);
    let after = params.text("NextToken");
    call.params.clone().finish()?;
    let custom = match kind.as_deref() {
        None => None,
        Some("Custom") => Some(true),
        Some("System") => Some(false),
        Some(other) => return Err(Fault::invalid("RouteEntryType", other, "Custom or System").into()),
    };
    let passes = |entry: &RouteEntry| {
        one.as_ref().is_none_or(|one| entry.id.as_str() == one)
            && custom.is_none_or(|custom| entry.custom == custom)
            && destination.is_none_or(|destination| entry.destination == destination)
    };
    // One row more than asked for tells whether there is a next page.
    let (mut rows, mut next) = (Vec::new(), after);
    loop {
        let page = call.cloud().describe_route_entries(&table, next).await?;
        rows.extend(page.rows.into_iter().filter(passes));
        next = page.next;
        if next.is_none() || rows.len() > size {
            break;
        }
    }
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|last| last.id.to_string()).unwrap_or_default();
    let rows: Vec<Value> = rows.iter().map(|entry| tell(&call, entry)).collect();
    Ok(json!({ "NextToken": next, "RouteEntrys": { "RouteEntry": rows } }))
}

fn tell(call: &Call<'_>, entry: &RouteEntry) -> Value {
    let hop = |hop: &NextHop| {
        json!({
            "NextHopType": hop.kind(),
            "NextHopId": hop.id(),
            "NextHopRegionId": call.endpoint.region(),
            "Weight": 0,
            "Enabled": 1,
        })
    };
    // Routes within the VPC need no hop: the documentation's samples tell them as `local`.
    let hops = entry.next_hop.as_ref().map_or_else(|| json!({ "NextHopType": "local", "NextHopId": "" }), hop);
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
    call.params.clone().finish()?;
    let request =
        CreateRoute { token, table, destination: block(&text)?, next_hop: NextHop::new(&kind, &hop) };
    let id = call.cloud().create_route_entry(&request).await?;
    Ok(json!({ "RouteEntryId": id }))
}

/// A block; an address without a length stands for itself (documented).
fn block(text: &str) -> Result<IpNet, Fault> {
    let alone = || text.parse().ok().map(IpNet::from);
    text.parse().ok().or_else(alone).filter(|net: &IpNet| net.trunc() == *net).ok_or_else(|| {
        let message = format!("The specified DestinationCidrBlock \"{text}\" is not a CIDR block.");
        Fault::new("InvalidCidrBlock.Malformed", message)
    })
}

pub(super) async fn delete(mut call: Call<'_>) -> Answer {
    let state = call.fake().state();
    let params = &mut call.params;
    let by_id = params.text("RouteEntryId");
    let table = params.text("RouteTableId");
    let destination = params.text("DestinationCidrBlock");
    let hop = params.text("NextHopId");
    call.params.clone().finish()?;
    let entry = match (by_id, table, destination) {
        (Some(id), ..) => entry_of(&state.route_entries, &id.into()),
        (None, Some(table), Some(text)) => {
            let destination = block(&text)?;
            let is = |entry: &&RouteEntry| {
                entry.table.as_str() == table
                    && entry.destination == destination
                    && hop.as_ref().is_none_or(|id| entry.next_hop.as_ref().is_some_and(|hop| hop.id() == id))
            };
            state.route_entries.iter().find(is).cloned()
        }
        (None, None, _) => return Err(Fault::missing("RouteEntryId").into()),
        (None, Some(_), None) => return Err(Fault::missing("DestinationCidrBlock").into()),
    };
    let Some(entry) = entry else {
        return Err(Fault::new("InvalidRouteEntry.NotFound", "The specified route entry does not exist.").into());
    };
    call.cloud().delete_route_entry(&entry).await?;
    Ok(json!({}))
}

fn entry_of(entries: &[RouteEntry], id: &RouteEntryId) -> Option<RouteEntry> {
    entries.iter().find(|entry| entry.id == *id).cloned()
}
