//! Quotas of instance types.

use serde_json::{Value, json};
use terway_core::{id::InstanceType, limits::InstanceLimits};

use super::{Answer, Call};
use crate::{
    cloud::{TypeQuery, instance_types},
    endpoint::fault::Fault,
};

/// Most types that one request may name (documented).
const NAMES_MAX: usize = 10;

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let names = params.list("InstanceTypes");
    if names.len() > NAMES_MAX {
        return Err(Fault::invalid("InstanceTypes.N", &names.len().to_string(), "at most ten types").into());
    }
    let query = TypeQuery {
        names: names.into_iter().map(Into::into).collect(),
        family: params.text("InstanceTypeFamily"),
        rows: params.number("MaxResults", 1..=100)?.unwrap_or(100),
    };
    let next = params.text("NextToken");
    call.params.finish()?;
    let page = call.fake().instance_types_where(call.caller(), query, next).await?;
    let types: Vec<Value> = page.rows.iter().map(|(name, limits)| row(name, limits)).collect();
    Ok(json!({
        "NextToken": page.next.unwrap_or_default(),
        "InstanceTypes": { "InstanceType": types },
    }))
}

fn row(name: &InstanceType, limits: &InstanceLimits) -> Value {
    json!({
        "InstanceTypeId": name,
        "InstanceTypeFamily": instance_types::family(name.as_str()),
        "EniQuantity": limits.eni_quantity,
        // It counts members of trunks as well, of which this cloud has none.
        "EniTotalQuantity": limits.eni_quantity,
        "EniPrivateIpAddressQuantity": limits.eni_private_ip_address_quantity,
        "EniIpv6AddressQuantity": limits.eni_ipv6_address_quantity,
        "EniTrunkSupported": false,
    })
}
