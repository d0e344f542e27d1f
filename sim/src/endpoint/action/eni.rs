//! Actions on ENIs.

use serde_json::{Value, json};
use terway_core::{
    address::AddressCount,
    cloud::{CREATE_SECONDARY_MAX, CreateEni, Eni, EniStatus},
    id::{EniId, InstanceId},
};

use super::{Answer, Call};
use crate::{
    cloud::{EniQuery, Found, Labels},
    endpoint::{fault::Fault, reply::utc},
};

/// Most rows of a page (documented).
const ROWS_MAX: usize = 500;

pub(super) async fn create(mut call: Call<'_>) -> Answer {
    let token = call.token();
    let params = &mut call.params;
    let vswitch = params.required("VSwitchId")?.into();
    let mut security_groups = params.list("SecurityGroupIds");
    if let Some(one) = params.text("SecurityGroupId") {
        if !security_groups.is_empty() {
            let message = "SecurityGroupId and SecurityGroupIds.N cannot be specified together.";
            return Err(Fault::new("InvalidParameter.Conflict", message).into());
        }
        security_groups.push(one);
    }
    params.fixed("InstanceType", "Secondary")?;
    params.fixed("NetworkInterfaceTrafficMode", "Standard")?;
    params.fixed("SourceDestCheck", "false")?;
    params.fixed("DeleteOnRelease", "true")?;
    let secondary = params.number("SecondaryPrivateIpAddressCount", 1..=CREATE_SECONDARY_MAX)?.unwrap_or(0);
    let count = AddressCount {
        v4: 1 + secondary,
        v6: params.number("Ipv6AddressCount", 1..=CREATE_SECONDARY_MAX)?.unwrap_or(0),
        prefixes: params.number("Ipv4PrefixCount", 1..=10)?.unwrap_or(0),
    };
    let tags = params.tags();
    check_tags(&tags)?;
    let labels = Labels {
        name: params.text("NetworkInterfaceName").unwrap_or_default(),
        description: params.text("Description").unwrap_or_default(),
    };
    call.params.finish()?;
    let security_groups = security_groups.into_iter().map(Into::into).collect();
    let request = CreateEni { token, vswitch, security_groups, count, tags };
    let eni = call.fake().create_labelled(call.caller(), &request, labels).await?;
    Ok(row(&call, &eni))
}

/// Tags as documented: at most 20, keys of up to 128 characters, none twice.
fn check_tags(tags: &[(String, String)]) -> Result<(), Fault> {
    if tags.len() > 20 {
        return Err(Fault::new("QuotaExceed.Tags", "At most 20 tags are allowed on a network interface."));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 || key.starts_with("aliyun") || key.starts_with("acs:")
        {
            return Err(Fault::new(
                "InvalidTagKey.Malformed",
                format!("The tag key \"{key}\" is not valid."),
            ));
        }
        if value.chars().count() > 128 {
            let message = format!("The value of tag \"{key}\" has more than 128 characters.");
            return Err(Fault::new("InvalidTagValue.Malformed", message));
        }
        if tags[..index].iter().any(|(before, _)| before == key) {
            return Err(Fault::new("Duplicate.TagKey", format!("The tag key \"{key}\" is given twice.")));
        }
    }
    Ok(())
}

fn eni_and_instance(call: &mut Call<'_>) -> Result<(EniId, InstanceId), Fault> {
    let eni = call.params.required("NetworkInterfaceId")?;
    let instance = call.params.required("InstanceId")?;
    Ok((eni.into(), instance.into()))
}

pub(super) async fn attach(mut call: Call<'_>) -> Answer {
    let (eni, instance) = eni_and_instance(&mut call)?;
    call.params.finish()?;
    call.cloud().attach_eni(&eni, &instance).await?;
    Ok(json!({}))
}

pub(super) async fn detach(mut call: Call<'_>) -> Answer {
    let (eni, instance) = eni_and_instance(&mut call)?;
    call.params.finish()?;
    call.cloud().detach_eni(&eni, &instance).await?;
    Ok(json!({}))
}

pub(super) async fn delete(mut call: Call<'_>) -> Answer {
    let eni = call.params.required("NetworkInterfaceId")?.into();
    call.params.finish()?;
    call.cloud().delete_eni(&eni).await?;
    Ok(json!({}))
}

pub(super) async fn describe(mut call: Call<'_>) -> Answer {
    let params = &mut call.params;
    let max_results = params.number("MaxResults", 1..=ROWS_MAX)?;
    let next = params.text("NextToken");
    // Pages by token when that is asked for, by number otherwise: only these count the rows.
    let by_token = max_results.is_some() || next.is_some();
    let page = if by_token { None } else { Some(call.page(ROWS_MAX)?) };
    let params = &mut call.params;
    let query = EniQuery {
        ids: params.list("NetworkInterfaceId").into_iter().map(Into::into).collect(),
        instance: params.text("InstanceId").map(Into::into),
        tags: params.tags(),
        status: params.text("Status").map(|text| status(&text)).transpose()?,
        primary_nic: params.text("Type").map(|text| primary(&text)).transpose()?,
        vswitch: params.text("VSwitchId").map(Into::into),
        group: params.text("SecurityGroupId").map(Into::into),
        addresses: params.read_list("PrivateIpAddress", "an IPv4 address")?,
        rows: max_results.or(page.map(|page| page.size)).unwrap_or(10),
        number: page.map(|page| page.number),
    };
    let elsewhere = params.text("VpcId").is_some_and(|vpc| call.place.vpc.as_str() != vpc);
    call.params.finish()?;
    let (number, size) = (query.number.unwrap_or(1), query.rows);
    let mut found = call.fake().enis_where(call.caller(), query, next).await?;
    if elsewhere {
        found = Found { rows: Vec::new(), next: None, total: Some(0) };
    }
    let rows: Vec<Value> = found.rows.iter().map(|eni| row(&call, eni)).collect();
    Ok(json!({
        "NextToken": found.next.unwrap_or_default(),
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": found.total.unwrap_or(rows.len()),
        "NetworkInterfaceSets": { "NetworkInterfaceSet": rows },
    }))
}

fn status(text: &str) -> Result<EniStatus, Fault> {
    Ok(match text {
        "Available" => EniStatus::Available,
        "Attaching" => EniStatus::Attaching,
        "InUse" => EniStatus::InUse,
        "Detaching" => EniStatus::Detaching,
        "Deleting" => EniStatus::Deleting,
        _ => {
            let allowed = "Available, Attaching, InUse, Detaching or Deleting";
            return Err(Fault::invalid("Status", text, allowed));
        }
    })
}

fn primary(text: &str) -> Result<bool, Fault> {
    match text {
        "Primary" => Ok(true),
        "Secondary" => Ok(false),
        _ => Err(Fault::invalid("Type", text, "Primary or Secondary")),
    }
}

/// An ENI as the API tells it.
fn row(call: &Call<'_>, eni: &Eni) -> Value {
    let details = call.fake().eni_details(&eni.id);
    let instance = eni.instance.as_ref().map_or("", InstanceId::as_str);
    let set = &eni.addresses;
    let v4: Vec<Value> =
        set.v4.iter().map(|ip| json!({ "PrivateIpAddress": ip, "Primary": *ip == eni.primary })).collect();
    let v6: Vec<Value> = set.v6.iter().map(|ip| json!({ "Ipv6Address": ip })).collect();
    let prefixes: Vec<Value> = set.prefixes.iter().map(|prefix| json!({ "Ipv4Prefix": prefix })).collect();
    let tags: Vec<Value> =
        eni.tags.iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect();
    let mut row = json!({
        "NetworkInterfaceId": eni.id,
        "Status": format!("{:?}", eni.status),
        "Type": "Secondary",
        "VpcId": call.place.vpc,
        "VSwitchId": eni.vswitch,
        "MacAddress": eni.mac,
        "PrivateIpAddress": eni.primary,
        "InstanceId": instance,
        "ResourceGroupId": "",
        "ServiceManaged": false,
        "NetworkInterfaceTrafficMode": "Standard",
        "PrivateIpSets": { "PrivateIpSet": v4 },
        "Ipv6Sets": { "Ipv6Set": v6 },
        "Ipv4PrefixSets": { "Ipv4PrefixSet": prefixes },
        "Ipv6PrefixSets": { "Ipv6PrefixSet": [] },
        "Tags": { "Tag": tags },
        "Attachment": {},
        "AssociatedPublicIp": {},
    });
    if !instance.is_empty() {
        row["Attachment"] = json!({ "InstanceId": instance });
    }
    if let Some(details) = details {
        let made = call.endpoint.now() - details.age;
        row["ZoneId"] = json!(details.zone);
        row["SecurityGroupIds"] = json!({ "SecurityGroupId": &*details.groups });
        row["Type"] = json!(if details.primary_nic { "Primary" } else { "Secondary" });
        row["NetworkInterfaceName"] = json!(details.labels.name);
        row["Description"] = json!(details.labels.description);
        row["CreationTime"] = json!(utc(made));
    }
    row
}
