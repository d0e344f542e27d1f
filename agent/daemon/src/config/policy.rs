//! How policy is enforced: `ebpf_config` of `eni_conf`, and `network_policy_provider` of the CNI configuration.

use ipnet::IpNet;
use serde_json::{Map, Value};

/// What `network_policy_provider` may be.
const PROVIDERS: &str = "iptables (policy is another agent's business), ebpf (this agent enforces it)";
/// Entries of `terway_policy_map` if nothing is said.
const MAP_SIZE: u32 = 65_536;
/// Flows that are tracked if nothing is said: 75 MiB of them.
const MAX_FLOWS: u32 = 524_288;
/// Fewest and most that are taken.
const MAP_SIZES: std::ops::RangeInclusive<u64> = 1024..=16_777_216;

/// A value that cannot be: key, value, what is allowed.
pub(crate) type Refusal = (&'static str, Value, &'static str);

/// How policy is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub(crate) struct PolicyConf {
    /// Whether it is, by this agent.
    pub(crate) enabled: bool,
    /// Entries of `terway_policy_map`.
    pub(crate) map_size: u32,
    /// Flows that are tracked, of all pods together.
    pub(crate) max_flows: u32,
    /// `debug` tells each change of the engine.
    pub(crate) debug: bool,
    /// Whether pods are kept from the instance metadata.
    pub(crate) block_metadata: bool,
    /// Whether flows that were allowed stay so when policies change.
    pub(crate) keep_established: bool,
    /// Whether a pod's traffic to its own node is judged.
    pub(crate) node_closed: bool,
    /// One of so many allowed flows is told as an event; 0 is none.
    pub(crate) sample: u32,
    /// Ranges of service addresses; none: the API server is asked.
    pub(crate) services: Vec<IpNet>,
}

impl PolicyConf {
    /// From `eni_conf` and the CNI list. `disabled` is the environment's word, which goes before all.
    pub(crate) fn read(
        document: &Map<String, Value>,
        conflist: &Value,
        disabled: bool,
    ) -> Result<Self, Refusal> {
        let nothing = Map::new();
        let ebpf = match document.get("ebpf_config") {
            None | Some(Value::Null) => &nothing,
            Some(Value::Object(ebpf)) => ebpf,
            Some(other) => return Err(("ebpf_config", other.clone(), "an object")),
        };
        let switch = |name: &str, key, default| match ebpf.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err((key, other.clone(), "true, false")),
        };
        if let Some(mode) = ebpf.get("bpf_policy_mode").filter(|mode| *mode != "native") {
            return Err(("ebpf_config.bpf_policy_mode", mode.clone(), "native"));
        }
        let size = |name: &str, key, default| match ebpf.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(size) => {
                let taken = size.as_u64().filter(|size| MAP_SIZES.contains(size));
                let taken = taken.and_then(|size| u32::try_from(size).ok());
                taken.ok_or((key, size.clone(), "1024 to 16777216"))
            }
        };
        let debug = match ebpf.get("bpf_log_level").map(|level| (level.as_str(), level)) {
            Some((Some("debug" | "trace"), _)) => true,
            None | Some((Some("info" | "warn" | "warning" | "error" | ""), _)) => false,
            Some((_, other)) => {
                return Err(("ebpf_config.bpf_log_level", other.clone(), "error, warn, info, debug, trace"));
            }
        };
        let keep_established = match ebpf.get("established").map(|value| (value.as_str(), value)) {
            None | Some((Some("reevaluate"), _)) => false,
            Some((Some("keep"), _)) => true,
            Some((_, other)) => return Err(("ebpf_config.established", other.clone(), "reevaluate, keep")),
        };
        let sample = match ebpf.get("sample_allowed") {
            None | Some(Value::Null) => 0,
            Some(value) => {
                let taken = value.as_u64().and_then(|value| u32::try_from(value).ok());
                taken.ok_or((
                    "ebpf_config.sample_allowed",
                    value.clone(),
                    "0 (none) to 4294967295: one of so many",
                ))?
            }
        };
        let enabled = match conflist["plugins"][0].get("network_policy_provider").map(|it| (it.as_str(), it))
        {
            None | Some((Some(""), _)) => switch("enable_bpf", "ebpf_config.enable_bpf", false)?,
            Some((Some("ebpf"), _)) => switch("enable_bpf", "ebpf_config.enable_bpf", true)?,
            Some((Some("iptables"), provider)) if switch("enable_bpf", "ebpf_config.enable_bpf", false)? => {
                let allowed = "ebpf, as `ebpf_config.enable_bpf` is true";
                return Err(("network_policy_provider", provider.clone(), allowed));
            }
            Some((Some("iptables"), _)) => false,
            Some((_, other)) => return Err(("network_policy_provider", other.clone(), PROVIDERS)),
        };
        Ok(Self {
            enabled: enabled && !disabled,
            map_size: size("bpf_map_size", "ebpf_config.bpf_map_size", MAP_SIZE)?,
            max_flows: size("max_flows", "ebpf_config.max_flows", MAX_FLOWS)?,
            debug,
            block_metadata: switch("block_instance_metadata", "ebpf_config.block_instance_metadata", false)?,
            keep_established,
            node_closed: switch("node_closed", "ebpf_config.node_closed", false)?,
            sample,
            services: services(document)?,
        })
    }

    /// For people and programs.
    pub(crate) fn describe(&self) -> Value {
        if !self.enabled {
            return "not enforced by this agent".into();
        }
        serde_json::json!({
            "bpf_map_size": self.map_size,
            "max_flows": self.max_flows,
            "block_instance_metadata": self.block_metadata,
            "established": if self.keep_established { "keep" } else { "reevaluate" },
            "node_closed": self.node_closed,
            "sample_allowed": self.sample,
            "service_cidr": self.services.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// `service_cidr`: one block, or several with commas between; the original knows the first form.
fn services(document: &Map<String, Value>) -> Result<Vec<IpNet>, Refusal> {
    let refused = |value: &Value| {
        ("service_cidr", value.clone(), "blocks such as `172.16.0.0/20`, with commas between")
    };
    let text = match document.get("service_cidr") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_str().ok_or_else(|| refused(value))?,
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.parse::<IpNet>().map_err(|_| refused(&Value::from(part)))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: &Value, provider: &Value) -> Result<PolicyConf, Refusal> {
        let list = json!({"plugins": [{"type": "terway", "network_policy_provider": provider}]});
        PolicyConf::read(document.as_object().expect("an object"), &list, false)
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        let none = json!({"plugins": [{"type": "terway"}]});
        let enabled = |document: &Value, list: &Value, disabled| {
            PolicyConf::read(document.as_object().expect("an object"), list, disabled).expect("valid").enabled
        };
        let (empty, on) = (json!({}), json!({"ebpf_config": {"enable_bpf": true}}));
        assert!(!enabled(&empty, &none, false));
        assert!(enabled(&on, &none, false));
        assert!(!enabled(&on, &none, true), "DISABLE_POLICY");
        assert!(read(&empty, &json!("ebpf")).expect("valid").enabled);
        assert!(!read(&empty, &json!("iptables")).expect("valid").enabled);
        assert!(
            !read(&json!({"ebpf_config": {"enable_bpf": false}}), &json!("ebpf")).expect("valid").enabled
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (document, provider, key) in [
            (json!({}), json!("calico"), "network_policy_provider"),
            (json!({"ebpf_config": {"enable_bpf": true}}), json!("iptables"), "network_policy_provider"),
            (json!({"ebpf_config": {"bpf_map_size": 7}}), json!("ebpf"), "ebpf_config.bpf_map_size"),
            (
                json!({"ebpf_config": {"bpf_policy_mode": "fast"}}),
                json!("ebpf"),
                "ebpf_config.bpf_policy_mode",
            ),
            (json!({"ebpf_config": {"bpf_log_level": 3}}), json!("ebpf"), "ebpf_config.bpf_log_level"),
            (json!({"ebpf_config": {"established": "cut"}}), json!("ebpf"), "ebpf_config.established"),
            (json!({"ebpf_config": {"node_closed": "yes"}}), json!("ebpf"), "ebpf_config.node_closed"),
            (json!({"ebpf_config": 1}), json!("ebpf"), "ebpf_config"),
            (json!({"service_cidr": "172.16.0.0"}), json!("ebpf"), "service_cidr"),
        ] {
            assert_eq!(read(&document, &provider).expect_err("refused").0, key, "{document}");
        }
    }

    #[test]
    fn services_are_of_both_families() {
        let conf =
            read(&json!({"service_cidr": "172.16.0.0/20, fd00::/108"}), &json!("ebpf")).expect("valid");
        assert_eq!(conf.services.len(), 2);
    }
}
