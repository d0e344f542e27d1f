//! What is in a fake cloud to begin with, as TOML.
//!
//! The same kind of complaints as of scenarios: the field in full, its value, what is allowed. What the text
//! refers to has to be in it, so that building from a topology that was read fails only where the cloud itself
//! says no (no address left for a primary NIC).

use std::{fmt::Display, str::FromStr, sync::Arc};

use ipnet::{Ipv4Net, Ipv6Net};
use terway_chaos::{InputError, near};
use terway_core::id::{InstanceId, InstanceType, RouteTableId, SecurityGroupId, VSwitchId, ZoneId};

use crate::{
    cloud::{CloudModel, FakeCloud, Place, SetupError, instance_types},
    scenario::{Section, read_cloud},
};

/// The topology that is used when none is given.
pub const DEFAULT: &str = include_str!("../../topology/default.toml");

const CIDR: &str = "an IPv4 block of /16 to /29 without host bits, such as 10.1.0.0/16";
const VPC_CIDR: &str = "an IPv4 block without host bits, such as 10.0.0.0/8";
const IPV6: &str = "an IPv6 /64 without host bits, such as 2408:4005:3a0:ff00::/64";

/// A vSwitch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VSwitch {
    id: VSwitchId,
    zone: ZoneId,
    cidr: Ipv4Net,
    ipv6: Option<Ipv6Net>,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    id: RouteTableId,
    system: bool,
    vswitches: Vec<VSwitchId>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instance {
    id: InstanceId,
    kind: InstanceType,
    vswitch: VSwitchId,
}

/// What is in the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    place: Place,
    vpc_cidr: Option<Ipv4Net>,
    vswitches: Vec<VSwitch>,
    groups: Vec<(SecurityGroupId, String)>,
    tables: Vec<Table>,
    instances: Vec<Instance>,
    /// How the cloud behaves: what was given to [`Topology::parse`], with the section `cloud` over it.
    pub model: CloudModel,
}

impl Topology {
    /// Reads a topology. `usual` is how the cloud behaves where the text says nothing.
    pub fn parse(text: &str, usual: CloudModel) -> Result<Self, InputError> {
        let table = text.parse::<toml::Table>().map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            InputError::Syntax(format!("{place}{}", error.message().replace('\n', "; ")))
        })?;
        let root = Section::new("", &table);
        root.only(&["region", "vpc", "vswitch", "security_group", "route_table", "instance", "cloud"])?;
        let mut topology = Self {
            place: Place::default(),
            vpc_cidr: None,
            vswitches: Vec::new(),
            groups: Vec::new(),
            tables: Vec::new(),
            instances: Vec::new(),
            model: read_cloud(root.section("cloud")?.as_ref(), usual)?,
        };
        if let Some(region) = root.text("region")? {
            topology.place.region = region.into();
        }
        topology.vpc(&root)?;
        for from in root.sections("vswitch")? {
            topology.vswitch(&from)?;
        }
        if topology.vswitches.is_empty() {
            return Err(root.missing("vswitch", "at least one [[vswitch]] with id, zone and cidr"));
        }
        for from in root.sections("security_group")? {
            from.only(&["id", "name"])?;
            let id: SecurityGroupId = id(&from, "sg-1", topology.groups.iter().map(|(id, _)| id))?;
            topology.groups.push((id, from.text("name")?.unwrap_or_default().to_owned()));
        }
        for from in root.sections("route_table")? {
            topology.table(&from)?;
        }
        for from in root.sections("instance")? {
            topology.instance(&from)?;
        }
        Ok(topology)
    }

    /// Puts everything into an empty cloud.
    pub fn build(&self, cloud: &Arc<FakeCloud>) -> Result<(), SetupError> {
        cloud.set_place(self.place.clone());
        if let Some(cidr) = self.vpc_cidr {
            cloud.set_vpc_block(cidr);
        }
        for (id, name) in &self.groups {
            cloud.add_security_group(id.clone(), name);
        }
        // Before the vSwitches: each of these puts its own route into every table.
        for table in &self.tables {
            cloud.add_route_table(table.id.clone(), table.system, table.vswitches.clone());
        }
        for vswitch in &self.vswitches {
            cloud.add_vswitch(vswitch.id.clone(), vswitch.zone.clone(), vswitch.cidr, vswitch.ipv6)?;
        }
        for instance in &self.instances {
            let zone = self.vswitches.iter().find(|vswitch| vswitch.id == instance.vswitch);
            let zone = zone.expect("looked up when the topology was read").zone.clone();
            cloud.add_instance(instance.id.clone(), instance.kind.clone(), zone, &instance.vswitch)?;
        }
        Ok(())
    }

    fn vpc(&mut self, root: &Section<'_>) -> Result<(), InputError> {
        let Some(from) = root.section("vpc")? else { return Ok(()) };
        from.only(&["id", "cidr"])?;
        if let Some(id) = from.text("id")? {
            self.place.vpc = id.into();
        }
        self.vpc_cidr = from
            .read("cidr", VPC_CIDR, |value| parsed(value).filter(|cidr: &Ipv4Net| cidr.trunc() == *cidr))?;
        Ok(())
    }

    fn vswitch(&mut self, from: &Section<'_>) -> Result<(), InputError> {
        from.only(&["id", "zone", "cidr", "ipv6"])?;
        let cidr = from.read("cidr", CIDR, |value| {
            parsed(value)
                .filter(|cidr: &Ipv4Net| (16..=29).contains(&cidr.prefix_len()) && cidr.trunc() == *cidr)
        })?;
        let cidr = cidr.ok_or_else(|| from.missing("cidr", CIDR))?;
        if let Some(vpc) = self.vpc_cidr.filter(|vpc| !vpc.contains(&cidr)) {
            return Err(from.wrong("cidr", format!("a block within that of the VPC, {vpc}")));
        }
        let meets = |other: &&VSwitch| other.cidr.contains(&cidr) || cidr.contains(&other.cidr);
        if let Some(other) = self.vswitches.iter().find(meets) {
            return Err(from.wrong("cidr", format!("a block apart from {} of {}", other.cidr, other.id)));
        }
        let ipv6 = from.read("ipv6", IPV6, |value| {
            parsed(value).filter(|block: &Ipv6Net| block.prefix_len() == 64 && block.trunc() == *block)
        })?;
        if let Some(other) = self.vswitches.iter().find(|other| ipv6.is_some() && other.ipv6 == ipv6) {
            return Err(from.wrong("ipv6", format!("a block other than that of {}", other.id)));
        }
        let zone = from.text("zone")?.ok_or_else(|| from.missing("zone", "a name such as cn-sim-a"))?.into();
        let id = id(from, "vsw-a", self.vswitches.iter().map(|vswitch| &vswitch.id))?;
        self.vswitches.push(VSwitch { id, zone, cidr, ipv6 });
        Ok(())
    }

    fn table(&mut self, from: &Section<'_>) -> Result<(), InputError> {
        from.only(&["id", "system", "vswitches"])?;
        let id = id(from, "vtb-1", self.tables.iter().map(|table| &table.id))?;
        let system = from.flag("system")?.unwrap_or(false);
        if system && self.tables.iter().any(|table| table.system) {
            return Err(from.wrong("system", "true in one route table: a VPC has one of its own"));
        }
        let names = from.read("vswitches", "ids of vSwitches, such as [\"vsw-a\"]", |value| {
            value.as_array()?.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>()
        })?;
        let names = names.unwrap_or_default();
        if let Some(unknown) = names.iter().find(|name| !self.has_vswitch(name)) {
            return Err(from.wrong_near("vswitches", self.known(), self.nearest(unknown)));
        }
        if system && !names.is_empty() {
            return Err(
                from.wrong("vswitches", "nothing where `system` is true: it serves all that no other does")
            );
        }
        let vswitches = names.into_iter().map(VSwitchId::from).collect();
        self.tables.push(Table { id, system, vswitches });
        Ok(())
    }

    fn instance(&mut self, from: &Section<'_>) -> Result<(), InputError> {
        from.only(&["id", "type", "vswitch"])?;
        let id = id(from, "i-1", self.instances.iter().map(|instance| &instance.id))?;
        let types = || instance_types::TABLE.iter().map(|row| row.name);
        let known = || format!("one of {}", types().collect::<Vec<_>>().join(", "));
        let kind = from.text("type")?.ok_or_else(|| from.missing("type", known()))?;
        if instance_types::lookup(kind).is_none() {
            return Err(from.wrong_near("type", known(), near::nearest(kind, types())));
        }
        let vswitch = from.text("vswitch")?.ok_or_else(|| from.missing("vswitch", self.known()))?;
        if !self.has_vswitch(vswitch) {
            return Err(from.wrong_near("vswitch", self.known(), self.nearest(vswitch)));
        }
        self.instances.push(Instance { id, kind: kind.into(), vswitch: vswitch.into() });
        Ok(())
    }

    fn has_vswitch(&self, id: &str) -> bool {
        self.vswitches.iter().any(|vswitch| vswitch.id.as_str() == id)
    }

    fn known(&self) -> String {
        let ids: Vec<&str> = self.vswitches.iter().map(|vswitch| vswitch.id.as_str()).collect();
        format!("a vSwitch of this topology: {}", ids.join(", "))
    }

    fn nearest(&self, id: &str) -> Option<&str> {
        near::nearest(id, self.vswitches.iter().map(|vswitch| vswitch.id.as_str()))
    }
}

fn parsed<T: FromStr>(value: &toml::Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// An id that no other thing of the kind has. It stands in paths, so that a slash in it would be lost.
fn id<'a, T>(from: &Section<'_>, such: &str, mut taken: impl Iterator<Item = &'a T>) -> Result<T, InputError>
where
    T: for<'b> From<&'b str> + Display + PartialEq + 'a,
{
    let allowed = format!("letters, digits, `-`, `_` and `.`, such as {such}");
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let read = |value: &toml::Value| {
        value.as_str().filter(|id| !id.is_empty() && id.chars().all(letter)).map(|id| T::from(id))
    };
    let id = from.read("id", &allowed, read)?.ok_or_else(|| from.missing("id", &allowed))?;
    if taken.any(|other| *other == id) {
        return Err(from.wrong("id", "an id that stands here once"));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        Topology::parse(text, CloudModel::instant()).expect_err("it is wrong").to_string()
    }

    fn cloud_of(topology: &Topology) -> Arc<FakeCloud> {
        let cloud = FakeCloud::new(topology.model.clone(), 1);
        topology.build(&cloud).expect("it can be built");
        cloud
    }

    #[tokio::test]
    async fn the_default_can_be_built() {
        let topology = Topology::parse(DEFAULT, CloudModel::instant()).expect("it is right");
        let state = cloud_of(&topology).state();
        assert_eq!((&*state.region, state.vpc.as_str()), ("cn-sim", "vpc-sim"));
        assert_eq!((state.vswitches.len(), state.instances.len(), state.enis.len()), (3, 4, 4));
        // A route for each vSwitch's own block.
        assert_eq!(state.route_entries.len(), 3);
        assert_eq!(topology.model, CloudModel::instant());
    }

    #[test]
    fn complaints_name_the_field_the_value_and_what_is_allowed() {
        let one = "[[vswitch]]\nid = \"vsw-a\"\nzone = \"z\"\ncidr = \"10.1.0.0/24\"\n";
        for (text, expected) in [
            ("regoin = 'x'", "`regoin` is not a key here, did you mean `region`?; allowed: region, vpc"),
            ("", "`vswitch` is missing; allowed: at least one [[vswitch]]"),
            (
                &one.replace("/24", "/8"),
                "`vswitch[1].cidr` is \"10.1.0.0/8\"; allowed: an IPv4 block of /16 to /29",
            ),
            (
                &format!("{one}{one}"),
                "`vswitch[2].cidr` is \"10.1.0.0/24\"; allowed: a block apart from 10.1.0.0/24 of vsw-a",
            ),
            (
                &format!("{one}{}", one.replace("10.1", "10.2")),
                "`vswitch[2].id` is \"vsw-a\"; allowed: an id that stands here once",
            ),
            (
                &format!("{one}[vpc]\ncidr = '172.16.0.0/12'"),
                "`vswitch[1].cidr` is \"10.1.0.0/24\"; allowed: a block within that of the VPC, 172.16.0.0/12",
            ),
            (
                &format!("{one}[[instance]]\nid = 'i-1'\ntype = 'ecs.g7.xlarg'\nvswitch = 'vsw-a'"),
                "`instance[1].type` is \"ecs.g7.xlarg\", did you mean `ecs.g7.xlarge`?",
            ),
            (
                &format!("{one}[[instance]]\nid = 'i-1'\ntype = 'ecs.g7.xlarge'\nvswitch = 'vsw-b'"),
                "`instance[1].vswitch` is \"vsw-b\", did you mean `vsw-a`?; allowed: a vSwitch of this topology: vsw-a",
            ),
            (
                &format!("{one}[[instance]]\nid = 'i/1'"),
                "`instance[1].id` is \"i/1\"; allowed: letters, digits",
            ),
            (
                &format!("{one}[cloud]\naccount_eni_qouta = 1"),
                "`cloud.account_eni_qouta` is not a key here, did you mean `account_eni_quota`?",
            ),
            ("region = ", "not TOML: line 1: "),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(expected), "{complaint}");
        }
    }

    #[tokio::test]
    async fn the_cloud_section_changes_how_the_cloud_behaves() {
        let text = format!("{DEFAULT}\n[cloud]\naccount_eni_quota = 5\n");
        let topology = Topology::parse(&text, CloudModel::instant()).expect("it is right");
        assert_eq!(topology.model, CloudModel { account_eni_quota: 5, ..CloudModel::instant() });
    }

    #[tokio::test]
    async fn a_vpc_without_a_block_has_the_smallest_one_that_holds_its_vswitches() {
        let text = "[[vswitch]]\nid = 'a'\nzone = 'z'\ncidr = '10.0.0.0/24'\n[[vswitch]]\nid = 'b'\nzone = 'z'\n\
                    cidr = '10.0.3.0/24'\n";
        let topology = Topology::parse(text, CloudModel::instant()).expect("it is right");
        assert_eq!(cloud_of(&topology).vpc_block().to_string(), "10.0.0.0/22");
    }
}
