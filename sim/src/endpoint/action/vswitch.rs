//! vSwitches.

use serde_json::{Value, json};
use terway_core::cloud::VSwitch;

use super::{Answer, Call};
use crate::cloud::VSwitchQuery;

/// Most rows of a page (documented).
const ROWS_MAX: usize = 50;

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let page = call.page(ROWS_MAX)?;
    let params = &mut call.params;
    let query = VSwitchQuery {
        id: params.text("VSwitchId").map(Into::into),
        vpc: params.text("VpcId").map(Into::into),
        zone: params.text("ZoneId").map(Into::into),
        page,
    };
    call.params.finish()?;
    let found = call.fake().vswitches_where(call.caller(), query).await?;
    let rows: Vec<Value> = found.rows.iter().map(|vswitch| row(&call, vswitch)).collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": found.total,
        "VSwitches": { "VSwitch": rows },
    }))
}

fn row(call: &Call<'_>, vswitch: &VSwitch) -> Value {
    let ipv6 = call.fake().vswitch_ipv6(&vswitch.id).map(|block| block.to_string()).unwrap_or_default();
    json!({
        "VSwitchId": vswitch.id,
        "VpcId": vswitch.vpc,
        "ZoneId": vswitch.zone,
        "CidrBlock": vswitch.cidr,
        "Ipv6CidrBlock": ipv6,
        "Status": "Available",
        "AvailableIpAddressCount": vswitch.available,
        "VSwitchName": "",
        "IsDefault": false,
    })
}
