//! Security groups.

use serde_json::{Value, json};
use terway_core::cloud::SecurityGroup;

use super::{Answer, Call};
use crate::{
    cloud::{GroupQuery, PageAt},
    endpoint::fault::Fault,
};

/// Most rows of a page by number (documented).
const ROWS_MAX: usize = 50;
/// Most rows of a page by token (documented).
const TOKEN_ROWS_MAX: usize = 100;

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let (rows, next) = (params.number("MaxResults", 1..=TOKEN_ROWS_MAX)?, params.text("NextToken"));
    let by_token = rows.is_some() || next.is_some();
    let page = if by_token { token_page(rows, next.as_deref())? } else { call.page(ROWS_MAX)? };
    let params = &mut call.params;
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
    let more = by_token && found.total > page.number.saturating_mul(page.size);
    Ok(json!({
        "NextToken": if more { (page.number + 1).to_string() } else { String::new() },
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": found.total,
        "RegionId": call.place.region,
        "SecurityGroups": { "SecurityGroup": rows },
    }))
}

/// The page that a token stands for: its number, for this listing does not change between two pages.
fn token_page(rows: Option<usize>, next: Option<&str>) -> Result<PageAt, Fault> {
    let number = match next {
        None => 1,
        Some(token) => {
            let number = token.parse().ok().filter(|number| (1..=100_000).contains(number));
            number.ok_or_else(|| Fault::invalid("NextToken", token, "a token of this listing"))?
        }
    };
    Ok(PageAt { number, size: rows.unwrap_or(10) })
}
