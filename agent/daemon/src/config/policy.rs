//! How policy is enforced: `ebpf_config` of `eni_conf`, and `network_policy_provider` of the CNI configuration.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::audit::{self, AuditConf};

/// What `network_policy_provider` may be.
const PROVIDERS: &str = "iptables (policy is another agent's business), ebpf (this agent enforces it)";
/// Where the audit log is if nothing is said.
const AUDIT_LOG: &str = "/var/log/terway/audit.log";
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
    /// The audit log, if one is written.
    pub(crate) audit: Option<AuditConf>,
    /// IP protocols that pods of this node neither send nor take, with the names that they were given by.
    pub(crate) blocked: Vec<(String, u8)>,
    /// Ports of pods that nobody outside of the cluster reaches.
    pub(crate) privileged: Vec<u16>,
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
            audit: audit(document)?,
            blocked: blocked(document)?,
            privileged: privileged(document)?,
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
            "blocked_protocols": self.blocked.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            "privileged_ports": self.privileged,
            "audit_log": self.audit.as_ref().map(|audit| &audit.path),
            "service_cidr": self.services.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// `security_conf.access_control`, as far as it is about the audit log.
fn audit(document: &Map<String, Value>) -> Result<Option<AuditConf>, Refusal> {
    let Some(access) = document.get("security_conf").and_then(|conf| conf.get("access_control")) else {
        return Ok(None);
    };
    match access.get("enable_audit") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => {}
        Some(other) => {
            return Err(("security_conf.access_control.enable_audit", other.clone(), "true, false"));
        }
    }
    let path = match access.get("audit_log_path") {
        None | Some(Value::Null) => AUDIT_LOG.into(),
        Some(value) => {
            let path = value.as_str().filter(|path| path.starts_with('/') && !path.ends_with('/'));
            let allowed = "the path of a file, from the root";
            path.map(PathBuf::from).ok_or((
                "security_conf.access_control.audit_log_path",
                value.clone(),
                allowed,
            ))?
        }
    };
    let retention = match access.get("audit_log_retention") {
        None | Some(Value::Null) => Duration::from_secs(30 * 24 * 3600),
        Some(value) => {
            let allowed = "days or hours, such as 30d or 12h";
            let refused = ("security_conf.access_control.audit_log_retention", value.clone(), allowed);
            value.as_str().and_then(audit::retention).ok_or(refused)?
        }
    };
    Ok(Some(AuditConf { path, retention }))
}

/// `security_conf.access_control.blocked_protocols`.
fn blocked(document: &Map<String, Value>) -> Result<Vec<(String, u8)>, Refusal> {
    const KEY: &str = "security_conf.access_control.blocked_protocols";
    const ALLOWED: &str = "a list of ICMP, ICMPv6, TCP, UDP, SCTP, GRE, or numbers of IP protocols";
    let access = document.get("security_conf").and_then(|conf| conf.get("access_control"));
    let list = match access.and_then(|access| access.get("blocked_protocols")) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or((KEY, value.clone(), ALLOWED))?,
    };
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_u64().and_then(|number| u8::try_from(number).ok()),
        Value::String(text) => match text.to_ascii_uppercase().as_str() {
            "ICMP" => Some(1),
            "TCP" => Some(6),
            "UDP" => Some(17),
            "GRE" => Some(47),
            "ICMPV6" => Some(58),
            "SCTP" => Some(132),
            other => other.parse().ok(),
        },
        _ => None,
    };
    let named = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    list.iter().map(|value| Ok((named(value), number(value).ok_or((KEY, value.clone(), ALLOWED))?))).collect()
}

/// `security_conf.access_control.privileged_ports`.
fn privileged(document: &Map<String, Value>) -> Result<Vec<u16>, Refusal> {
    const KEY: &str = "security_conf.access_control.privileged_ports";
    const ALLOWED: &str = "a list of whole numbers from 1 to 65535";
    let access = document.get("security_conf").and_then(|conf| conf.get("access_control"));
    let list = match access.and_then(|access| access.get("privileged_ports")) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or((KEY, value.clone(), ALLOWED))?,
    };
    let port = |value: &Value| {
        let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
        number.filter(|number| *number > 0).ok_or((KEY, value.clone(), ALLOWED))
    };
    let mut ports = list.iter().map(port).collect::<Result<Vec<_>, _>>()?;
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
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
            (
                json!({"security_conf": {"access_control": {"enable_audit": true, "audit_log_retention": "30"}}}),
                json!("ebpf"),
                "security_conf.access_control.audit_log_retention",
            ),
            (
                json!({"security_conf": {"access_control": {"enable_audit": true, "audit_log_path": "audit.log"}}}),
                json!("ebpf"),
                "security_conf.access_control.audit_log_path",
            ),
        ] {
            assert_eq!(read(&document, &provider).expect_err("refused").0, key, "{document}");
        }
    }

    #[test]
    fn protocols_are_names_or_numbers() {
        let conf = |list: Value| json!({"security_conf": {"access_control": {"blocked_protocols": list}}});
        let read = |list| read(&conf(list), &json!("ebpf")).map(|conf| conf.blocked);
        let blocked = read(json!(["ICMP", "icmpv6", 47])).expect("valid");
        assert_eq!(blocked.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 58, 47]);
        for bad in [json!(["HTTP"]), json!([256]), json!("ICMP")] {
            assert_eq!(read(bad).expect_err("refused").0, "security_conf.access_control.blocked_protocols");
        }
    }

    #[test]
    fn privileged_ports_are_numbers() {
        let conf = |list: Value| json!({"security_conf": {"access_control": {"privileged_ports": list}}});
        let read = |list| read(&conf(list), &json!("ebpf")).map(|conf| conf.privileged);
        assert_eq!(read(json!([3389, 22, 22])).expect("valid"), [22, 3389]);
        assert_eq!(read(json!([])).expect("valid"), [0; 0]);
        for bad in [json!([0]), json!([65536]), json!(["22"]), json!([-1]), json!(22)] {
            assert_eq!(read(bad).expect_err("refused").0, "security_conf.access_control.privileged_ports");
        }
    }

    #[test]
    fn services_are_of_both_families() {
        let conf =
            read(&json!({"service_cidr": "172.16.0.0/20, fd00::/108"}), &json!("ebpf")).expect("valid");
        assert_eq!(conf.services.len(), 2);
    }
}
