//! Security groups.

use serde_json::{Value, json};
use terway_core::cloud::SecurityGroup;

use super::{Answer, Call};
use crate::cloud::GroupQuery;

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let mut page = call.page(50)?;
    let params = &mut call.params;
    // The newer way to ask for a page. Of those that follow the first, only the older way tells here.
    if let Some(rows) = params.number("MaxResults", 1..=100)? {
        page.size = rows;
    }
    let mut ids = params.json_list("SecurityGroupIds")?;
    ids.extend(params.text("SecurityGroupId"));
    let query = GroupQuery {
        ids: ids.into_iter().map(Into::into).collect(),
        vpc: params.text("VpcId").map(Into::into),
        page,
    };
    call.params.finish()?;
    let found = call.fake().security_groups_where(call.caller(), query).await?;
    let row = |group: &SecurityGroup| {
        json!({
            "SecurityGroupId": group.id,
            "SecurityGroupName": group.name,
            "VpcId": group.vpc,
            "SecurityGroupType": "normal",
            "Tags": { "Tag": [] },
        })
    };
    let rows: Vec<Value> = found.rows.iter().map(row).collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": found.total,
        "RegionId": call.place.region,
        "SecurityGroups": { "SecurityGroup": rows },
    }))
}
