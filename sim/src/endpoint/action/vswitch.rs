//! vSwitches.

use serde_json::{Value, json};
use terway_core::cloud::{VSwitch, VSwitchFilter};

use super::{Answer, Call};

/// Rows of the fake cloud's pages, the most that the action gives.
const ROWS_MAX: usize = 50;

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let place = call.fake().place();
    let params = &mut call.params;
    let filter = match (params.text("VSwitchId"), params.text("VpcId")) {
        (Some(id), _) => VSwitchFilter::Id(id.into()),
        (None, vpc) => VSwitchFilter::OfVpc(vpc.map_or(place.vpc, Into::into)),
    };
    let zone = params.text("ZoneId");
    let number: usize = params.number("PageNumber", 1..=10_000)?.unwrap_or(1);
    let size: usize = params.number("PageSize", 1..=ROWS_MAX)?.unwrap_or(10);
    call.params.clone().finish()?;
    // Pages of other sizes than the cloud's own are cut from its pages.
    let (mut rows, mut next) = (Vec::new(), None);
    loop {
        let page = call.cloud().describe_vswitches(&filter, next).await?;
        rows.extend(page.rows.into_iter().filter(|row| zone.as_ref().is_none_or(|zone| row.zone.as_str() == zone)));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let total = rows.len();
    let here: Vec<Value> = rows.iter().skip((number - 1) * size).take(size).map(|row| tell(&call, row)).collect();
    Ok(json!({
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": total,
        "VSwitches": { "VSwitch": here },
    }))
}

fn tell(call: &Call<'_>, row: &VSwitch) -> Value {
    let ipv6 = call.fake().vswitch_ipv6(&row.id).map(|block| block.to_string()).unwrap_or_default();
    json!({
        "VSwitchId": row.id,
        "VpcId": row.vpc,
        "ZoneId": row.zone,
        "CidrBlock": row.cidr,
        "Ipv6CidrBlock": ipv6,
        "Status": "Available",
        "AvailableIpAddressCount": row.available,
        "VSwitchName": "",
        "IsDefault": false,
    })
}
