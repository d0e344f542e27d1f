//! Quotas of instance types.

use serde_json::json;
use terway_core::id::InstanceType;

use super::{Answer, Call};
use crate::{cloud::instance_types, endpoint::fault::Fault};

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let mut names = call.params.list("InstanceTypes");
    let rows: usize = call.params.number("MaxResults", 1..=100)?.unwrap_or(100);
    let next = call.params.text("NextToken");
    call.params.clone().finish()?;
    if names.len() > 10 {
        return Err(Fault::invalid("InstanceTypes.N", &names.len().to_string(), "at most ten types").into());
    }
    let mut next_token = String::new();
    if names.is_empty() {
        let from: usize = match &next {
            None => 0,
            Some(text) => text.parse().map_err(|_| Fault::invalid("NextToken", text, "a token of this list"))?,
        };
        let table = &instance_types::TABLE;
        names = table.iter().skip(from).take(rows).map(|row| row.name.to_owned()).collect();
        if from + names.len() < table.len() {
            next_token = (from + names.len()).to_string();
        }
    }
    let mut types = Vec::new();
    for name in names {
        let limits = call.cloud().describe_instance_type(&InstanceType::from(name.as_str())).await?;
        types.push(json!({
            "InstanceTypeId": name,
            "InstanceTypeFamily": name.rsplit_once('.').map_or(name.as_str(), |(family, _)| family),
            "EniQuantity": limits.eni_quantity,
            "EniTotalQuantity": limits.eni_total_quantity,
            "EniPrivateIpAddressQuantity": limits.eni_private_ip_address_quantity,
            "EniIpv6AddressQuantity": limits.eni_ipv6_address_quantity,
            "EniTrunkSupported": false,
        }));
    }
    Ok(json!({ "NextToken": next_token, "InstanceTypes": { "InstanceType": types } }))
}
