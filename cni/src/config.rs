//! stdin: the network configuration, as the original's `10-terway.conflist` has it and the runtime adds to it.
//!
//! Two steps. What every verb needs is checked for every verb. What the datapath is built from is checked
//! where it is built or compared: a DEL must not fail because a key was edited meanwhile, or the pod could
//! never be deleted.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use ipnet::IpNet;
use serde_json::{Map, Value};
use terway_dataplane::pod::Bandwidth;
use terway_rpc::wire::node::Attachment;

use crate::{
    env::is_identifier,
    result::{CniResult, Dns, ResultError, Version},
};

/// Where the agent listens.
pub const SOCKET: &str = "/var/run/eni/eni.socket";

/// MTU where the configuration gives none: what every ENI carries.
const MTU: u32 = 1500;

/// Bytes of stdin that are read. A list of attachments of a full node is a tenth of it.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// stdin failed.
    #[error("cannot read the configuration from stdin: {0}")]
    Unreadable(#[source] io::Error),
    /// More than we read.
    #[error("the configuration on stdin is longer than {LONGEST} bytes")]
    Long,
    /// Not a JSON object.
    #[error("the configuration on stdin is not a JSON object: {0}")]
    Malformed(String),
    /// Not a version of ours.
    #[error("`cniVersion` is `{found}`, which {what} not supported")]
    Version {
        /// What it says.
        found: String,
        /// What is asked of that version.
        what: &'static str,
    },
    /// No network name, or none that could be one.
    #[error("`name` is {found}; expected letters, digits, `_`, `.` or `-`, the first a letter or digit")]
    Name {
        /// What it says.
        found: String,
    },
    /// Something that this verb cannot do without.
    #[error("`{key}` is missing: {why}")]
    Missing {
        /// Which key.
        key: &'static str,
        /// Why it must be there.
        why: &'static str,
    },
    /// A value that we do not take.
    #[error("`{key}` is {value}; expected {expected}")]
    Refused {
        /// Which key.
        key: &'static str,
        /// Its value, as JSON.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The result of the plugins before.
    #[error(transparent)]
    PrevResult(#[from] ResultError),
}

/// Reads stdin to its end.
pub fn read(stdin: &mut dyn Read) -> Result<Map<String, Value>, ConfigError> {
    let mut bytes = Vec::new();
    stdin.take(LONGEST + 1).read_to_end(&mut bytes).map_err(ConfigError::Unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(ConfigError::Long);
    }
    serde_json::from_slice(&bytes).map_err(|error| ConfigError::Malformed(error.to_string()))
}

/// The version that the configuration is of. None given is 0.1.0, which is too old for us.
pub fn version(document: &Map<String, Value>) -> Result<Version, ConfigError> {
    let refuse = |found: String| ConfigError::Version { found, what: "is" };
    match document.get("cniVersion") {
        None | Some(Value::Null) => Err(refuse("0.1.0".into())),
        Some(Value::String(text)) => Version::parse(text).ok_or_else(|| refuse(text.clone())),
        Some(other) => Err(refuse(other.to_string())),
    }
}

/// What every verb needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of the network.
    pub name: String,
    /// Where the agent listens.
    pub socket: PathBuf,
    document: Map<String, Value>,
}

/// What a pod's interface is built from, besides the agent's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datapath {
    /// MTU in bytes; 0 takes that of the node's primary interface.
    pub mtu: u32,
    /// Limits from the standard annotations; they override the agent's.
    pub bandwidth: Option<Bandwidth>,
    /// Name resolution, as the runtime wants it reported.
    pub dns: Dns,
}

fn refused(key: &'static str, value: &Value, expected: &'static str) -> ConfigError {
    ConfigError::Refused { key, value: value.to_string(), expected }
}

impl Config {
    /// Checks what every verb needs.
    pub fn new(document: Map<String, Value>) -> Result<Self, ConfigError> {
        let name = match document.get("name") {
            Some(Value::String(name)) if is_identifier(name) => name.clone(),
            None => return Err(ConfigError::Name { found: "missing".into() }),
            Some(other) => return Err(ConfigError::Name { found: other.to_string() }),
        };
        let socket = match document.get("agent_socket") {
            None => SOCKET.into(),
            Some(Value::String(path)) if path.starts_with('/') => path.into(),
            Some(other) => return Err(refused("agent_socket", other, "an absolute path")),
        };
        Ok(Self { name, socket, document })
    }

    /// The result of the plugins before ours, or on CHECK and DEL that of the whole ADD.
    pub fn prev_result(&self) -> Result<Option<CniResult>, ConfigError> {
        match self.document.get("prevResult") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(CniResult::read(value.clone())?)),
        }
    }

    /// Attachments that GC must keep. Missing or null is an error: freeing a whole node is not a default.
    pub fn valid_attachments(&self) -> Result<Vec<Attachment>, ConfigError> {
        const KEY: &str = "cni.dev/valid-attachments";
        const EXPECTED: &str = "a list of objects with `containerID` and `ifname`";
        let value = self.document.get(KEY).or_else(|| self.document.get("cni.dev/attachments"));
        let missing = || ConfigError::Missing { key: KEY, why: "without it nothing tells what to keep" };
        let value = value.filter(|value| !value.is_null()).ok_or_else(missing)?;
        let list = value.as_array().ok_or_else(|| refused(KEY, value, EXPECTED))?;
        let attachment = |entry: &Value| {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
            let (Some(container), Some(ifname)) = (text("containerID"), text("ifname")) else {
                return Err(refused(KEY, entry, EXPECTED));
            };
            Ok(Attachment { container, ifname })
        };
        list.iter().map(attachment).collect()
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.document.get(key).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &'static str) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| refused(key, value, "true or false"))
    }

    /// One of a few words, whatever its case.
    fn word(&self, key: &'static str, words: &[&str], expected: &'static str) -> Result<(), ConfigError> {
        let Some(value) = self.get(key) else { return Ok(()) };
        let known = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        if value.as_str().is_some_and(known) { Ok(()) } else { Err(refused(key, value, expected)) }
    }

    /// A switch for what this datapath does not do: silence would be a promise.
    fn off(&self, key: &'static str) -> Result<(), ConfigError> {
        if self.flag(key)? {
            return Err(refused(key, &Value::Bool(true), "false; this plugin does not do it"));
        }
        Ok(())
    }

    fn text(&self, key: &'static str) -> Result<(), ConfigError> {
        match self.get(key) {
            None | Some(Value::String(_)) => Ok(()),
            Some(other) => Err(refused(key, other, "text")),
        }
    }

    /// Checks every key that the datapath is built from. `edt` is enforced by token buckets too: no program
    /// of ours paces packets, and a limit that is not enforced would be worse.
    pub fn datapath(&self) -> Result<Datapath, ConfigError> {
        self.word(
            "eniip_virtual_type",
            &["veth", "datapathv2"],
            "`veth` or `datapathv2`; ipvlan is not built by this plugin",
        )?;
        self.word("vlan_strip_type", &["filter", "vlan"], "`filter` or `vlan`")?;
        self.word("bandwidth_mode", &["tc", "edt"], "`tc` or `edt`")?;
        self.word("network_policy_provider", &["iptables", "ebpf"], "`iptables` or `ebpf`")?;
        self.flag("disable_host_peer")?;
        self.flag("debug")?;
        self.off("enable_network_priority")?;
        self.off("symmetric_routing")?;
        if let Some(value) = self.get("symmetric_routing_config").filter(|value| !value.is_object()) {
            return Err(refused("symmetric_routing_config", value, "an object"));
        }
        for key in [
            "veth_prefix",
            "cilium_args",
            "cilium_hubble_metrics",
            "cilium_hubble_listen_address",
            "cilium_hubble_metrics_server",
        ] {
            self.text(key)?;
        }
        if let Some(value) =
            self.get("cilium_enable_hubble").filter(|value| !value.is_boolean() && !value.is_string())
        {
            return Err(refused("cilium_enable_hubble", value, "true, false or text"));
        }
        self.host_stack_cidrs()?;
        let runtime = match self.get("runtimeConfig") {
            None => &Map::new(),
            Some(Value::Object(runtime)) => runtime,
            Some(other) => return Err(refused("runtimeConfig", other, "an object")),
        };
        if let Some(value) = runtime.get("portMappings").filter(|value| !value.is_null() && !value.is_array())
        {
            return Err(refused("runtimeConfig.portMappings", value, "a list; portmap acts on it"));
        }
        Ok(Datapath { mtu: self.mtu()?, bandwidth: bandwidth(runtime)?, dns: dns(runtime)? })
    }

    /// Destinations that go through the host's stack. With veth all traffic does, so they are only checked.
    fn host_stack_cidrs(&self) -> Result<(), ConfigError> {
        const EXPECTED: &str = "a list of blocks such as `169.254.20.10/32`";
        let Some(value) = self.get("host_stack_cidrs") else { return Ok(()) };
        let list = value.as_array().ok_or_else(|| refused("host_stack_cidrs", value, EXPECTED))?;
        let bad = |entry: &&Value| entry.as_str().is_none_or(|text| text.parse::<IpNet>().is_err());
        list.iter().find(bad).map_or(Ok(()), |entry| Err(refused("host_stack_cidrs", entry, EXPECTED)))
    }

    fn mtu(&self) -> Result<u32, ConfigError> {
        let automatic = self.flag("auto_mtu")?;
        let Some(value) = self.get("mtu") else { return Ok(if automatic { 0 } else { MTU }) };
        let allowed = |mtu: &u32| (1280..=65535).contains(mtu);
        let mtu = value.as_u64().and_then(|mtu| u32::try_from(mtu).ok()).filter(allowed);
        mtu.ok_or_else(|| refused("mtu", value, "1280 to 65535"))
    }
}

/// Rates in bits per second. Bursts are not taken: containerd sets them to the most that 32 bits hold.
fn bandwidth(runtime: &Map<String, Value>) -> Result<Option<Bandwidth>, ConfigError> {
    let value = match runtime.get("bandwidth") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let Some(object) = value.as_object() else {
        return Err(refused("runtimeConfig.bandwidth", value, "an object"));
    };
    let rate = |key: &str, name: &'static str| match object.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            let bits = value.as_u64();
            bits.map(|bits| bits.div_ceil(8))
                .ok_or_else(|| refused(name, value, "bits per second, 0 or more"))
        }
    };
    Ok(Some(Bandwidth {
        ingress: rate("ingressRate", "runtimeConfig.bandwidth.ingressRate")?,
        egress: rate("egressRate", "runtimeConfig.bandwidth.egressRate")?,
    }))
}

fn dns(runtime: &Map<String, Value>) -> Result<Dns, ConfigError> {
    let value = match runtime.get("dns") {
        None | Some(Value::Null) => return Ok(Dns::default()),
        Some(value) => value,
    };
    let list = |key: &str, name: &'static str| match value.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => {
            let texts = list.as_array().map(|list| {
                list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            });
            texts.flatten().ok_or_else(|| refused(name, list, "a list of texts"))
        }
    };
    if !value.is_object() {
        return Err(refused("runtimeConfig.dns", value, "an object"));
    }
    Ok(Dns {
        nameservers: list("servers", "runtimeConfig.dns.servers")?,
        domain: String::new(),
        search: list("searches", "runtimeConfig.dns.searches")?,
        options: list("options", "runtimeConfig.dns.options")?,
    })
}

#[cfg(test)]
mod tests;
