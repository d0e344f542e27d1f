//! Actions on the addresses of an ENI.

use ipnet::Ipv4Net;
use serde_json::json;
use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::Assign,
};

use super::{Answer, Call};

fn assign(call: &mut Call<'_>, v6: bool) -> Result<Assign, super::Refused> {
    let token = call.token();
    let params = &mut call.params;
    let eni = params.required("NetworkInterfaceId")?.into();
    // Bounds beyond those of the API: how many of one call are too many is for the cloud to say.
    let mut count = |name: &str| params.number(name, 1..=1_000u32).map(Option::unwrap_or_default);
    let count = if v6 {
        AddressCount { v6: count("Ipv6AddressCount")?, ..AddressCount::default() }
    } else {
        AddressCount {
            v4: count("SecondaryPrivateIpAddressCount")?,
            prefixes: count("Ipv4PrefixCount")?,
            v6: 0,
        }
    };
    call.params.finish()?;
    Ok(Assign { token, eni, count })
}

pub(super) async fn assign_v4(mut call: Call<'_>) -> Answer {
    let request = assign(&mut call, false)?;
    let set = call.cloud().assign_ipv4(&request).await?;
    Ok(json!({
        "AssignedPrivateIpAddressesSet": {
            "NetworkInterfaceId": request.eni,
            "PrivateIpSet": { "PrivateIpAddress": set.v4 },
            "Ipv4PrefixSet": { "Ipv4Prefixes": set.prefixes },
        },
    }))
}

pub(super) async fn assign_v6(mut call: Call<'_>) -> Answer {
    let request = assign(&mut call, true)?;
    let set = call.cloud().assign_ipv6(&request).await?;
    Ok(json!({
        "NetworkInterfaceId": request.eni,
        "Ipv6Sets": { "Ipv6Address": set.v6 },
        "Ipv6PrefixSets": { "Ipv6Prefix": [] },
    }))
}

pub(super) async fn unassign_v4(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let eni = params.required("NetworkInterfaceId")?.into();
    let set = AddressSet {
        v4: params.read_list("PrivateIpAddress", "an IPv4 address")?,
        prefixes: params.read_list::<Ipv4Net>("Ipv4Prefix", "an IPv4 prefix such as 10.0.0.16/28")?,
        v6: Vec::new(),
    };
    call.params.finish()?;
    call.cloud().unassign_ipv4(&eni, &set).await?;
    Ok(json!({}))
}

pub(super) async fn unassign_v6(mut call: Call<'_>) -> Answer {
    let eni = call.params.required("NetworkInterfaceId")?.into();
    let v6 = call.params.read_list("Ipv6Address", "an IPv6 address")?;
    call.params.finish()?;
    call.cloud().unassign_ipv6(&eni, &AddressSet { v6, ..AddressSet::default() }).await?;
    Ok(json!({}))
}
