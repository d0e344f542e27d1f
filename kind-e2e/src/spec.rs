//! What a cluster is to be, and the cloud that follows from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use terway_core::{
    address::Stack,
    id::{VSwitchId, ZoneId},
};

use crate::names::{self, NameError, Names};

/// Most nodes: each costs a process, two namespaces and its share of two cores.
const NODES_MAX: usize = 64;
/// Most zones, one vSwitch each.
const ZONES_MAX: usize = 16;
/// Least and most MTU: what IPv6 needs, and what ENIs carry.
const MTU: std::ops::RangeInclusive<u32> = 1280..=9000;

/// The region.
pub const REGION: &str = "cn-e2e";
/// Security group of all ENIs.
pub const GROUP: &str = "sg-e2e";
/// Where metadata answers, as on a real instance.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// Where the OpenAPI and its control API answer.
pub const OPENAPI: Ipv4Addr = Ipv4Addr::new(100, 100, 0, 1);
/// Port of the control API.
pub const CONTROL_PORT: u16 = 8601;
/// Where the API server answers, and its port.
pub const API: (Ipv4Addr, u16) = (Ipv4Addr::new(100, 100, 0, 2), 6443);

/// Range of services, where policies are enforced; nothing translates them unless somebody does.
pub const SERVICES: &str = "172.16.0.0/20";

/// The network beyond the router: a host of it, and the router there.
pub const OUTSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(203, 0, 113, 1)];
/// The same for IPv6.
pub const OUTSIDE_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1),
];

/// A cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its name.
    pub name: String,
    /// How many nodes.
    pub nodes: usize,
    /// How many zones, one vSwitch each; nodes take them in turn.
    pub zones: usize,
    /// Families of pods and nodes.
    pub stack: Stack,
    /// MTU of every link, bytes.
    pub mtu: u32,
    /// Instance type of all nodes, which limits their ENIs and addresses.
    pub instance_type: String,
    /// Whether the cloud takes the time that the real one does.
    pub real_latency: bool,
    /// What latencies and lag are drawn from.
    pub seed: u64,
    /// Whether nodes have an agent. Without, ENIs are attached by hand and pods cannot be run.
    pub agents: bool,
    /// Whether agents enforce network policies.
    #[serde(default)]
    pub policy: bool,
    /// Keys of `eni_conf` over those that the cluster gives.
    pub eni_conf: Map<String, Value>,
}

/// A cluster that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Its name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A figure out of its range.
    #[error("`{key}` is {value}; allowed: {allowed}")]
    Range {
        /// Which.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl ClusterSpec {
    /// Three nodes in one zone, IPv4, 1500 bytes, a cloud without latency.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nodes: 3,
            zones: 1,
            stack: Stack::Ipv4,
            mtu: 1500,
            instance_type: "ecs.g7.xlarge".to_owned(),
            real_latency: false,
            seed: 1,
            agents: true,
            policy: false,
            eni_conf: Map::new(),
        }
    }

    /// Checks it; gives the names of its things.
    pub fn check(&self) -> Result<Names, SpecError> {
        let names = Names::new(&self.name)?;
        let range = |key, value: usize, most| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(SpecError::Range { key, value: value.to_string(), allowed: format!("1 to {most}") })
        };
        range("nodes", self.nodes, NODES_MAX)?;
        range("zones", self.zones, ZONES_MAX)?;
        if !MTU.contains(&self.mtu) {
            let allowed = format!("{} to {}", MTU.start(), MTU.end());
            return Err(SpecError::Range { key: "mtu", value: self.mtu.to_string(), allowed });
        }
        Ok(names)
    }

    /// Number of the zone of a node, from 0.
    pub fn zone_of(&self, node: usize) -> usize {
        (node - 1) % self.zones
    }

    /// Name of the zone of a node.
    pub fn zone_name(&self, node: usize) -> String {
        zone_id(self.zone_of(node)).to_string()
    }

    /// The cloud's content, as `terway-sim` reads topologies.
    pub fn topology(&self) -> String {
        let vswitch_of = |zone: usize| {
            let mut table = json!({ "id": vswitch(zone), "zone": zone_id(zone), "cidr": cidr(zone) });
            if self.stack == Stack::Dual {
                table["ipv6"] = json!(cidr_v6(zone));
            }
            table
        };
        let instance_of = |node: usize| {
            let vswitch = vswitch(self.zone_of(node));
            json!({ "id": names::instance(node), "type": self.instance_type, "vswitch": vswitch })
        };
        let topology = json!({
            "region": REGION,
            "vpc": { "id": "vpc-e2e", "cidr": "10.0.0.0/8" },
            "vswitch": (0..self.zones).map(vswitch_of).collect::<Vec<_>>(),
            "security_group": [{ "id": GROUP, "name": "nodes" }],
            "route_table": [{ "id": "vtb-e2e", "system": true }],
            "instance": (1..=self.nodes).map(instance_of).collect::<Vec<_>>(),
        });
        toml::to_string(&topology).expect("a tree of tables, lists and texts is TOML")
    }

    /// `eni_conf` of all nodes.
    pub fn eni_conf(&self) -> Value {
        let vswitches: Map<String, Value> =
            (0..self.zones).map(|zone| (zone_id(zone).to_string(), json!([vswitch(zone)]))).collect();
        let mut conf = json!({
            "version": "1",
            "max_pool_size": 5,
            "min_pool_size": 1,
            "security_group": GROUP,
            "vswitches": vswitches,
            "ip_stack": if self.stack == Stack::Dual { "dual" } else { "ipv4" },
        });
        if self.policy {
            // A share of one machine's memory, which all nodes have together.
            conf["ebpf_config"] = json!({ "enable_bpf": true, "bpf_map_size": 8192, "max_flows": 131_072 });
            conf["service_cidr"] = SERVICES.into();
        }
        for (key, value) in &self.eni_conf {
            conf[key] = value.clone();
        }
        conf
    }
}

/// The vSwitch of a zone.
pub fn vswitch(zone: usize) -> VSwitchId {
    format!("vsw-{}", letter(zone)).into()
}

fn zone_id(zone: usize) -> ZoneId {
    format!("{REGION}-{}", letter(zone)).into()
}

fn letter(zone: usize) -> char {
    char::from(b'a' + u8::try_from(zone).expect("zones are few"))
}

/// IPv4 block of a zone's vSwitch, with its gateway at `.253`.
fn cidr(zone: usize) -> Ipv4Net {
    let third = u8::try_from(zone).expect("zones are few");
    Ipv4Net::new(Ipv4Addr::new(10, 0, third, 0), 24).expect("24 is a length")
}

fn cidr_v6(zone: usize) -> Ipv6Net {
    let fourth = u16::try_from(zone).expect("zones are few");
    Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0, fourth, 0, 0, 0, 0), 64).expect("64 is a length")
}

/// The host beyond the router, in one family.
pub fn outside(v6: bool) -> IpAddr {
    if v6 { OUTSIDE_V6[0].into() } else { OUTSIDE[0].into() }
}

#[cfg(test)]
mod tests {
    use terway_core::config::EniConf;
    use terway_sim::{cloud::CloudModel, endpoint::topology::Topology};

    use super::*;

    #[test]
    fn topology_and_configuration_are_what_their_readers_take() {
        let spec = ClusterSpec { nodes: 3, zones: 2, stack: Stack::Dual, ..ClusterSpec::new("demo") };
        spec.check().expect("valid");
        Topology::parse(&spec.topology(), CloudModel::instant()).expect("the simulator takes it");
        let config =
            EniConf::from_json(&spec.eni_conf().to_string()).expect("JSON").validate().expect("valid");
        assert_eq!(config.vswitches.len(), 2);
    }

    #[test]
    fn figures_out_of_range_are_told() {
        let says = |spec: ClusterSpec| spec.check().expect_err("out of range").to_string();
        assert_eq!(says(ClusterSpec { nodes: 0, ..ClusterSpec::new("a") }), "`nodes` is 0; allowed: 1 to 64");
        assert_eq!(
            says(ClusterSpec { mtu: 100, ..ClusterSpec::new("a") }),
            "`mtu` is 100; allowed: 1280 to 9000"
        );
    }
}
