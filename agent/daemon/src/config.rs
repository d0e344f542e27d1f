//! The configuration: `eni_conf` with the spellings that users know, and the CNI list that is handed out.
//!
//! A key that has no effect here is told as a warning, never passed over: silence would be a promise.

pub(crate) mod policy;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use terway_cloud::budget::{Budget, BudgetError};
use terway_core::{
    config::{AgentConfig, ConfigError, EniConf},
    id::VSwitchId,
};

use self::policy::PolicyConf;
use crate::{
    conflist::{self, ConflistError},
    options::Options,
};

/// Where the configuration is looked for: the flag's default in the original, and what its ConfigMap is mounted as.
const PLACES: [&str; 2] = ["/etc/eni/eni.json", "/etc/eni/eni_conf"];

/// Seed spellings: where a value may stand, and the key that it stands for.
const ALIASES: [(&str, &str); 4] = [
    ("ipam_config.min_pool_size", "min_pool_size"),
    ("ipam_config.max_pool_size", "max_pool_size"),
    ("ipam_config.ip_reclaim_timeout", "idle_ip_reclaim_after"),
    ("eni_config.eni_max_allocate_retry", "backoff_override.eni_create.steps"),
];

/// Keys that are read here and not by the pool.
const READ_HERE: [&str; 10] = [
    "access_key",
    "access_secret",
    "region_id",
    "backend_type",
    "vswitch_ids",
    "version",
    "ipam_config",
    "ebpf_config",
    "security_conf",
    "service_cidr",
];

/// Keys of the original that change nothing in this agent, and why.
const WITHOUT_EFFECT: [(&str, &str); 11] = [
    ("eniip_virtual_type", "pods are attached by veth"),
    ("zone_aware", "it is always so"),
    ("cross_zone_routing", "the VPC routes between zones"),
    ("disable_device_plugin", "shared ENIs need none"),
    ("prefix", "it is obsolete"),
    ("kube_client_qps", "calls are paced by the API server"),
    ("kube_client_burst", "calls are paced by the API server"),
    ("custom_stateful_workload_kinds", "it concerns fixed addresses, which shared ENIs do not have"),
    ("resource_group_id", "ENIs are made in the default group"),
    (
        "credential_path",
        "keys come from access_key, the mounted secret, the environment or the instance's role",
    ),
    ("enable_eni_trunking", "pods are attached to shared ENIs"),
];

/// What cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file.
    #[error("cannot read the configuration {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is none.
    #[error("there is no configuration: neither {} nor {} exists; give --config FILE", PLACES[0], PLACES[1])]
    None,
    /// A value.
    #[error("{}", .path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        #[source]
        source: ConfigError,
    },
    /// A value that is read here.
    #[error("{}: eni_conf key `{key}` is `{value}`; allowed: {allowed}", .path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Rate limits.
    #[error("{}: eni_conf key `rate_limit`", .path.display())]
    Rates {
        /// Which file.
        path: PathBuf,
        #[source]
        source: BudgetError,
    },
    /// The mode.
    #[error("--daemon-mode is `{0}`; allowed: ENIMultiIP (VPC and ENIOnly are not served by this agent)")]
    Mode(String),
    /// The node's name.
    #[error("--node-name is empty; give the node's name in Kubernetes, or set NODE_NAME from spec.nodeName")]
    NoName,
    /// The CNI list.
    #[error(transparent)]
    Conflist(#[from] ConflistError),
}

/// A configuration that can be worked with.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// Where it comes from.
    pub(crate) path: PathBuf,
    /// What the pool works by.
    pub(crate) agent: AgentConfig,
    /// vSwitches whose zone nobody has said.
    pub(crate) vswitch_ids: Vec<VSwitchId>,
    /// Region, if it is told here.
    pub(crate) region: Option<String>,
    /// Key pair, if it is told here.
    pub(crate) key: Option<(String, String)>,
    /// The CNI list.
    pub(crate) conflist: Value,
    /// How policy is enforced.
    pub(crate) policy: PolicyConf,
    /// What was passed over, and why.
    pub(crate) warnings: Vec<String>,
}

/// Reads and checks everything that flags name.
pub(crate) fn load(options: &Options) -> Result<Loaded, LoadError> {
    if options.daemon_mode != "ENIMultiIP" {
        return Err(LoadError::Mode(options.daemon_mode.clone()));
    }
    if options.node_name.is_empty() && !options.check_config {
        return Err(LoadError::NoName);
    }
    let path = match &options.config {
        Some(path) => path.clone(),
        None => PLACES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(LoadError::None)?,
    };
    let text =
        fs::read_to_string(&path).map_err(|source| LoadError::Unreadable { path: path.clone(), source })?;
    let conflist = conflist::make(options.cni_conf_template.as_deref(), &options.socket)?;
    let mut loaded = read(&path, &text, conflist, options.disable_policy)?;
    let gates = options.feature_gates.split(',').map(str::trim).filter(|gate| !gate.is_empty());
    loaded.warnings.extend(gates.map(|gate| format!("feature gate `{gate}` has no effect in this agent")));
    Ok(loaded)
}

fn read(path: &Path, text: &str, conflist: Value, no_policy: bool) -> Result<Loaded, LoadError> {
    let invalid = |source| LoadError::Invalid { path: path.into(), source };
    let mut document: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| invalid(ConfigError::Malformed(error.to_string())))?;
    let mut warnings = Vec::new();
    for (alias, key) in ALIASES {
        take_alias(&mut document, alias, key, &mut warnings);
    }
    let refused = |key, value: &Value, allowed| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        LoadError::Refused { path: path.into(), key, value, allowed }
    };
    if let Some(value) = document.get("backend_type").filter(|value| *value != "ENIMultiIP") {
        return Err(refused(
            "backend_type",
            value,
            "ENIMultiIP; other ways of attaching pods are not served",
        ));
    }
    let text_of = |key: &'static str| match document.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(refused(key, other, "text")),
    };
    let key = match (text_of("access_key")?, text_of("access_secret")?) {
        (Some(id), Some(secret)) => Some((id, secret)),
        (None, None) => None,
        _ => {
            let value = Value::from("half a pair");
            return Err(refused("access_key", &value, "both `access_key` and `access_secret`, or neither"));
        }
    };
    let vswitch_ids = match document.get("vswitch_ids") {
        None | Some(Value::Null) => Vec::new(),
        Some(value) => {
            let ids: Option<Vec<&str>> =
                value.as_array().and_then(|ids| ids.iter().map(Value::as_str).collect());
            let ids = ids.ok_or_else(|| refused("vswitch_ids", value, "a list of ids such as `vsw-…`"))?;
            ids.into_iter().map(VSwitchId::from).collect()
        }
    };
    let region = text_of("region_id")?;
    let policy = PolicyConf::read(&document, &conflist, no_policy)
        .map_err(|(key, value, allowed)| refused(key, &value, allowed))?;
    let document_security = document.get("security_conf").cloned();
    let conf = EniConf::from_json(&Value::Object(document).to_string()).map_err(invalid)?;
    let agent = conf.validate().map_err(invalid)?;
    Budget::new(&agent.rate_limit).map_err(|source| LoadError::Rates { path: path.into(), source })?;
    for key in conf.unknown.keys().filter(|key| !READ_HERE.contains(&key.as_str())) {
        let why = WITHOUT_EFFECT.iter().find(|(name, _)| name == key).map(|(_, why)| *why);
        warnings.push(match why {
            Some(why) => format!("eni_conf key `{key}` has no effect: {why}"),
            None => format!("eni_conf key `{key}` is not known to this agent and has no effect"),
        });
    }
    warnings.extend(without_effect(document_security.as_ref()));
    if agent.vswitches.is_empty() && vswitch_ids.is_empty() {
        warnings.push("eni_conf names no vSwitch: set `vswitches`, or no ENI can be made".into());
    }
    Ok(Loaded { path: path.into(), agent, vswitch_ids, region, key, conflist, policy, warnings })
}

/// Keys of `security_conf` that change nothing here, each with a word about it.
fn without_effect(security: Option<&Value>) -> Vec<String> {
    let keys = |section: &str| {
        let table = security.and_then(|conf| conf.get(section)).and_then(Value::as_object);
        table.into_iter().flat_map(Map::keys).map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    let known =
        ["enable_audit", "audit_log_path", "audit_log_retention", "blocked_protocols", "privileged_ports"]
            .map(|key| format!("access_control.{key}"));
    let all = ["access_control", "compliance"].into_iter().flat_map(keys);
    all.filter(|key| !known.contains(key))
        .map(|key| format!("eni_conf key `security_conf.{key}` has no effect in this agent"))
        .collect()
}

/// A value under another spelling. The real key wins, and a contradiction is told.
fn take_alias(document: &mut Map<String, Value>, alias: &str, key: &str, warnings: &mut Vec<String>) {
    let mut found: Option<&Value> = None;
    for (depth, part) in alias.split('.').enumerate() {
        found = if depth == 0 { document.get(part) } else { found.and_then(|value| value.get(part)) };
    }
    let Some(value) = found.cloned() else { return };
    match document.get(key) {
        None if key.contains('.') => {
            warnings.push(format!(
                "eni_conf key `{alias}` has no effect: ENIs are tried again as the error demands"
            ));
        }
        None => {
            document.insert(key.into(), value);
        }
        Some(real) if *real != value => {
            warnings.push(format!(
                "ConfigError: eni_conf has `{key}` {real} and `{alias}` {value}; the first one counts"
            ));
        }
        Some(_) => {}
    }
}

impl Loaded {
    /// What comes of it, for people or programs. Secrets are not shown.
    pub(crate) fn describe(&self, as_json: bool) -> String {
        let pool = &self.agent.pool;
        let vswitches: Map<String, Value> = self
            .agent
            .vswitches
            .iter()
            .map(|(zone, ids)| (zone.to_string(), ids.iter().map(|id| Value::from(id.as_str())).collect()))
            .collect();
        let facts = [
            ("config", json!(self.path)),
            ("min_pool_size", json!(pool.min_pool)),
            ("max_pool_size", json!(pool.max_pool)),
            ("min_eni", json!(pool.min_eni)),
            ("max_eni", json!(pool.max_eni)),
            ("ip_stack", json!(pool.stack)),
            ("enable_ip_prefix", json!(pool.grain == terway_core::address::Grain::Prefix)),
            ("ip_reuse_cooldown_seconds", json!(pool.cooldown.as_secs_f64())),
            ("vswitches", Value::Object(vswitches)),
            ("vswitch_ids", self.vswitch_ids.iter().map(|id| Value::from(id.as_str())).collect()),
            (
                "security_groups",
                self.agent.security_groups.iter().map(|id| Value::from(id.as_str())).collect(),
            ),
            ("region_id", json!(self.region)),
            ("access_key", json!(self.key.as_ref().map(|(id, _)| id))),
            ("network_policy", self.policy.describe()),
            ("cni", self.conflist.clone()),
            ("warnings", json!(self.warnings)),
        ];
        if as_json {
            return Value::Object(facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
                .to_string();
        }
        let mut lines: Vec<String> =
            self.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
        let told = facts.into_iter().filter(|(key, value)| *key != "warnings" && !value.is_null());
        lines.extend(told.map(|(key, value)| format!("{key}: {value}")));
        lines.push("the configuration is valid".into());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Loaded, LoadError> {
        super::read(Path::new("/etc/eni/eni_conf"), text, Value::Null, false)
    }

    #[test]
    fn the_spellings_of_the_seed_are_taken() {
        let loaded = read(
            r#"{"version": "1", "backend_type": "ENIMultiIP", "eniip_virtual_type": "Veth",
                "vswitch_ids": ["vsw-1"], "security_group_ids": ["sg-1"],
                "ipam_config": {"max_pool_size": 100, "min_pool_size": 10, "pool_replenish_rate": 10}}"#,
        )
        .expect("valid");
        assert_eq!((loaded.agent.pool.min_pool, loaded.agent.pool.max_pool), (10, 100));
        assert_eq!(loaded.vswitch_ids, [VSwitchId::from("vsw-1")]);
        assert_eq!(loaded.agent.security_groups.len(), 1);
        assert!(loaded.warnings[0].contains("`eniip_virtual_type` has no effect"), "{:?}", loaded.warnings);
    }

    #[test]
    fn the_real_key_wins_and_a_contradiction_is_told() {
        let loaded =
            read(r#"{"max_pool_size": 7, "ipam_config": {"max_pool_size": 9}, "vswitches": {"z": ["v"]}}"#);
        let loaded = loaded.expect("valid");
        assert_eq!(loaded.agent.pool.max_pool, 7);
        assert!(loaded.warnings[0].starts_with("ConfigError"), "{:?}", loaded.warnings);
    }

    #[test]
    fn what_cannot_be_is_refused_with_key_value_and_what_is_allowed() {
        for (text, words) in [
            (r#"{"backend_type": "VPCRoute"}"#, "`backend_type` is `VPCRoute`; allowed: ENIMultiIP"),
            (r#"{"vswitch_ids": "vsw-1"}"#, "`vswitch_ids` is `vsw-1`; allowed: a list"),
            (r#"{"access_key": "id"}"#, "both `access_key` and `access_secret`"),
            (r#"{"region_id": 7}"#, "`region_id` is `7`; allowed: text"),
        ] {
            let error = read(text).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = read(r#"{"rate_limit": {"Nonsense": 1}}"#).expect_err("no such action");
        assert!(matches!(error, LoadError::Rates { .. }));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let loaded = read(r#"{"access_key": "id", "access_secret": "hush", "vswitches": {"z": ["v"]}}"#);
        let loaded = loaded.expect("valid");
        for text in [loaded.describe(true), loaded.describe(false)] {
            assert!(text.contains("\"id\"") && !text.contains("hush"), "{text}");
        }
    }
}
