//! `[cluster]`: vSwitches and instance types.

use std::time::Duration;

use ipnet::Ipv4Net;
use terway_chaos::{InputError, near};

use super::{Cluster, VSwitchSpec, section::Section};
use crate::cloud::instance_types::{self, TABLE};

/// Lengths of a vSwitch's block that the vendor documents for `CreateVSwitch`.
const CIDR: &str = "an IPv4 block of /16 to /29 without host bits, such as 10.1.0.0/16";
/// Nodes per unit of weight do not matter, so this only keeps sums far from overflow.
const MOST_WEIGHT: i64 = 1_000_000;

/// Keys of a vSwitch, here and in an event that adds one.
pub(super) const VSWITCH_KEYS: [&str; 4] = ["id", "zone", "cidr", "ipv6"];

pub(super) fn read(from: Option<&Section<'_>>, root: &Section<'_>) -> Result<Cluster, InputError> {
    let from = from.ok_or_else(|| root.missing("cluster", "a table with vswitches and mix"))?;
    from.only(&["vswitches", "mix", "unannotated", "join_over"])?;
    let vswitches = from.sections("vswitches")?.iter().map(listed).collect::<Result<Vec<_>, InputError>>()?;
    if vswitches.is_empty() {
        return Err(from.missing("vswitches", "at least one [[cluster.vswitches]] with id, zone and cidr"));
    }
    Ok(Cluster {
        vswitches,
        mix: mix(from)?,
        unannotated: from.share("unannotated")?.unwrap_or(0.0),
        join_over: from.duration("join_over")?.unwrap_or(Duration::ZERO),
    })
}

fn listed(from: &Section<'_>) -> Result<VSwitchSpec, InputError> {
    from.only(&VSWITCH_KEYS)?;
    vswitch(from)
}

/// A vSwitch; the caller checks for keys that do not belong.
pub(super) fn vswitch(from: &Section<'_>) -> Result<VSwitchSpec, InputError> {
    let cidr = from.read("cidr", CIDR, |value| {
        let cidr: Ipv4Net = value.as_str()?.parse().ok()?;
        ((16..=29).contains(&cidr.prefix_len()) && cidr.trunc() == cidr).then_some(cidr)
    })?;
    Ok(VSwitchSpec {
        id: from.text("id")?.ok_or_else(|| from.missing("id", "a name such as vsw-a"))?.to_owned(),
        zone: from.text("zone")?.ok_or_else(|| from.missing("zone", "a name such as zone-a"))?.to_owned(),
        cidr: cidr.ok_or_else(|| from.missing("cidr", CIDR))?,
        ipv6: from.flag("ipv6")?.unwrap_or(false),
    })
}

fn mix(from: &Section<'_>) -> Result<Vec<(String, u32)>, InputError> {
    const ALLOWED: &str = "instance types with their weights, such as { \"ecs.g7.xlarge\" = 1 }";
    let table = from.section("mix")?.ok_or_else(|| from.missing("mix", ALLOWED))?;
    if table.table().is_empty() {
        return Err(from.wrong("mix", ALLOWED));
    }
    table.table().iter().map(|(name, weight)| entry(&table, name, weight)).collect()
}

fn entry(table: &Section<'_>, name: &str, weight: &toml::Value) -> Result<(String, u32), InputError> {
    if instance_types::lookup(name).is_none() {
        let known = || TABLE.iter().map(|row| row.name);
        return Err(InputError::UnknownKey {
            field: table.field(name),
            allowed: known().collect::<Vec<_>>().join(", "),
            near: Some(
                near::nearest(name, known()).unwrap_or_else(|| instance_types::nearest(name)).to_owned(),
            ),
        });
    }
    weight
        .as_integer()
        .filter(|weight| (1..=MOST_WEIGHT).contains(weight))
        .map(|weight| (name.to_owned(), weight as u32))
        .ok_or_else(|| table.wrong(name, format!("a whole number from 1 to {MOST_WEIGHT}")))
}
