//! Replies of ECS: ENIs, addresses, instance types.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use serde::Deserialize;
use terway_core::{
    address::AddressSet,
    cloud::{Eni, EniStatus, Page},
    id::{InstanceType, Mac},
    limits::InstanceLimits,
};

use super::{DecodeError, essential, invalid, parse, read};
use crate::lenient::{List, Number, Object, Text};

const IPV4: &str = "an IPv4 address";
const IPV6: &str = "an IPv6 address";
const PREFIX: &str = "an IPv4 prefix such as 10.0.0.16/28";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Row {
    network_interface_id: Text,
    status: Text,
    #[serde(rename = "VSwitchId")]
    vswitch_id: Text,
    mac_address: Text,
    private_ip_address: Text,
    instance_id: Text,
    attachment: Object<Attachment>,
    private_ip_sets: List<Object<PrivateIp>>,
    ipv6_sets: List<Object<Ipv6>>,
    ipv4_prefix_sets: List<Object<Prefix>>,
    tags: List<Object<Tag>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Attachment {
    instance_id: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PrivateIp {
    private_ip_address: Text,
    primary: crate::lenient::Flag,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipv6 {
    ipv6_address: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Prefix {
    ipv4_prefix: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Tag {
    tag_key: Text,
    tag_value: Text,
}

impl Row {
    fn eni(self) -> Result<Eni, DecodeError> {
        let primary = self.primary()?;
        let v4 = self.private_ip_sets.0.iter().map(|row| &row.0.private_ip_address);
        let mut v4 = texts::<Ipv4Addr>("PrivateIpSets.PrivateIpAddress", v4, IPV4)?;
        if !v4.contains(&primary) {
            v4.insert(0, primary);
        }
        let v6 = self.ipv6_sets.0.iter().map(|row| &row.0.ipv6_address);
        let prefixes = self.ipv4_prefix_sets.0.iter().map(|row| &row.0.ipv4_prefix);
        let addresses = AddressSet {
            v4,
            v6: texts::<Ipv6Addr>("Ipv6Sets.Ipv6Address", v6, IPV6)?,
            prefixes: texts::<Ipv4Net>("Ipv4PrefixSets.Ipv4Prefix", prefixes, PREFIX)?,
        };
        let mac = essential("MacAddress", &self.mac_address)?;
        let mac = Mac::try_from(mac.to_owned());
        let mac =
            mac.map_err(|_| invalid("MacAddress", &self.mac_address.0, "six octets as 00:16:3e:01:02:03"))?;
        let instance = self.instance_id.some().or_else(|| self.attachment.0.instance_id.some());
        let mut tags: Vec<(String, String)> =
            self.tags.0.iter().map(|tag| (tag.0.tag_key.0.clone(), tag.0.tag_value.0.clone())).collect();
        tags.sort_unstable();
        Ok(Eni {
            id: essential("NetworkInterfaceId", &self.network_interface_id)?.into(),
            status: status(essential("Status", &self.status)?)?,
            mac,
            vswitch: essential("VSwitchId", &self.vswitch_id)?.into(),
            instance: instance.map(Into::into),
            primary,
            addresses,
            tags,
        })
    }

    /// The primary address: by its own field, or as the set marks it.
    fn primary(&self) -> Result<Ipv4Addr, DecodeError> {
        let marked = || self.private_ip_sets.0.iter().find(|row| row.0.primary.0 == Some(true));
        let text = match self.private_ip_address.some() {
            Some(text) => text,
            None => match marked().and_then(|row| row.0.private_ip_address.some()) {
                Some(text) => text,
                None => return Err(DecodeError::Missing { field: "PrivateIpAddress" }),
            },
        };
        read("PrivateIpAddress", text, IPV4)
    }
}

fn status(text: &str) -> Result<EniStatus, DecodeError> {
    Ok(match text {
        "Available" => EniStatus::Available,
        "Attaching" => EniStatus::Attaching,
        "InUse" => EniStatus::InUse,
        "Detaching" => EniStatus::Detaching,
        // What could not be made goes away by itself; nothing else may be done with it.
        "Deleting" | "CreateFailed" => EniStatus::Deleting,
        _ => {
            let allowed = "Available, Attaching, InUse, Detaching, Deleting or CreateFailed";
            return Err(invalid("Status", text, allowed));
        }
    })
}

/// Texts that read as `T`; empty ones are left out.
fn texts<'a, T: std::str::FromStr>(
    field: &'static str,
    texts: impl Iterator<Item = &'a Text>,
    allowed: &'static str,
) -> Result<Vec<T>, DecodeError> {
    texts.filter_map(Text::some).map(|text| read(field, text, allowed)).collect()
}

/// `CreateNetworkInterface`
pub fn create_eni(body: &[u8]) -> Result<Eni, DecodeError> {
    let mut row: Row = parse(body)?;
    if row.network_interface_id.some().is_none() {
        return Err(DecodeError::NothingCreated { field: "NetworkInterfaceId" });
    }
    if row.status.some().is_none() {
        // The call is answered when the ENI is there.
        row.status = Text("Available".to_owned());
    }
    row.eni()
}

/// `DescribeNetworkInterfaces`
pub fn describe_enis(body: &[u8]) -> Result<Page<Eni>, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        next_token: Text,
        network_interface_sets: List<Object<Row>>,
    }
    let reply: Reply = parse(body)?;
    let rows: Vec<Eni> =
        reply.network_interface_sets.0.into_iter().map(|row| row.0.eni()).collect::<Result<_, _>>()?;
    Ok(Page { next: after(&reply.next_token, rows.len()), rows })
}

/// The token of the next page. A page without rows is the last, whatever it says: else a list might
/// have no end.
pub(super) fn after(token: &Text, rows: usize) -> Option<String> {
    token.some().filter(|_| rows > 0).map(str::to_owned)
}

/// `AssignPrivateIpAddresses`
pub fn assign_ipv4(body: &[u8]) -> Result<AddressSet, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        assigned_private_ip_addresses_set: Option<Object<Assigned>>,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Assigned {
        private_ip_set: List<Text>,
        ipv4_prefix_set: List<Text>,
    }
    const FIELD: &str = "AssignedPrivateIpAddressesSet";
    let reply: Reply = parse(body)?;
    let set = reply.assigned_private_ip_addresses_set.ok_or(DecodeError::Missing { field: FIELD })?.0;
    Ok(AddressSet {
        v4: texts("PrivateIpSet.PrivateIpAddress", set.private_ip_set.0.iter(), IPV4)?,
        v6: Vec::new(),
        prefixes: texts("Ipv4PrefixSet.Ipv4Prefixes", set.ipv4_prefix_set.0.iter(), PREFIX)?,
    })
}

/// `AssignIpv6Addresses`
pub fn assign_ipv6(body: &[u8]) -> Result<AddressSet, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        ipv6_sets: Option<List<Text>>,
    }
    let reply: Reply = parse(body)?;
    let set = reply.ipv6_sets.ok_or(DecodeError::Missing { field: "Ipv6Sets" })?;
    let v6 = texts("Ipv6Sets.Ipv6Address", set.0.iter(), IPV6)?;
    Ok(AddressSet { v6, ..AddressSet::default() })
}

/// `DescribeInstanceTypes` of one type. One that the cloud does not know gives an empty list there, and
/// the error that the cloud has for other bad parameters here.
pub fn describe_instance_type(name: &InstanceType, body: &[u8]) -> Result<InstanceLimits, DecodeError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Reply {
        instance_types: List<Object<Type>>,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Type {
        instance_type_id: Text,
        eni_quantity: Number,
        eni_private_ip_address_quantity: Number,
        eni_ipv6_address_quantity: Number,
    }
    let reply: Reply = parse(body)?;
    let found = reply.instance_types.0.into_iter().find(|row| row.0.instance_type_id.0 == name.as_str());
    let Some(Object(row)) = found else {
        let message = format!("the instance type `{name}` is not known in this region");
        return Err(DecodeError::Refused { code: "InvalidParameter".to_owned(), message });
    };
    let count = |field, number: Number| {
        let number = number.0.ok_or(DecodeError::Missing { field })?;
        u32::try_from(number).map_err(|_| invalid(field, number, "a count below 2^32"))
    };
    Ok(InstanceLimits::new(
        count("EniQuantity", row.eni_quantity)?,
        count("EniPrivateIpAddressQuantity", row.eni_private_ip_address_quantity)?,
        count("EniIpv6AddressQuantity", Number(row.eni_ipv6_address_quantity.0.or(Some(0))))?,
    ))
}
