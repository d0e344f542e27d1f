//! Security groups.

use serde_json::{Value, json};

use super::{Answer, Call};

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let place = call.fake().place();
    let all = call.fake().state().security_groups;
    let params = &mut call.params;
    let mut ids = params.json_list("SecurityGroupIds")?;
    ids.extend(params.text("SecurityGroupId"));
    let elsewhere = params.text("VpcId").is_some_and(|vpc| place.vpc.as_str() != vpc);
    let number: usize = params.number("PageNumber", 1..=10_000)?.unwrap_or(1);
    let size: usize = params.number("PageSize", 1..=100)?.unwrap_or(10);
    call.params.clone().finish()?;
    let ids: Vec<_> = if ids.is_empty() {
        all.into_iter().map(|group| group.id).skip((number - 1) * size).take(size).collect()
    } else {
        ids.into_iter().map(Into::into).collect()
    };
    let groups = call.cloud().describe_security_groups(&ids).await?;
    let row = |group: &terway_core::cloud::SecurityGroup| {
        json!({
            "SecurityGroupId": group.id,
            "SecurityGroupName": group.name,
            "VpcId": group.vpc,
            "SecurityGroupType": "normal",
            "Tags": { "Tag": [] },
        })
    };
    let rows: Vec<Value> = if elsewhere { Vec::new() } else { groups.iter().map(row).collect() };
    Ok(json!({
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": rows.len(),
        "RegionId": place.region,
        "SecurityGroups": { "SecurityGroup": rows },
    }))
}
