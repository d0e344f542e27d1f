//! Results: one shape inside, that of 1.1.0; the differences of older versions exist only where a result is
//! read and where it is printed.
//!
//! Fields of a `prevResult` that we do not know are kept: another plugin may.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Versions of CNI that we speak, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.0.
    V0_3_0,
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: CHECK.
    V0_4_0,
    /// 1.0.0: no `version` in `ips`.
    V1_0_0,
    /// 1.1.0: GC, STATUS.
    V1_1_0,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// What is said where the runtime did not say.
    pub const LATEST: Self = Self::V1_1_0;

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// As read.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// All as written.
    pub fn names() -> [&'static str; 5] {
        Self::ALL.map(Self::as_str)
    }
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// 1.1.0 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Path of the namespace; absent on the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// 1.1.0 only.
    #[serde(rename = "socketPath", default, skip_serializing_if = "Option::is_none")]
    pub socket_path: Option<String>,
    /// 1.1.0 only.
    #[serde(rename = "pciID", default, skip_serializing_if = "Option::is_none")]
    pub pci_id: Option<String>,
    /// What else was there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// Below 1.0.0: `4` or `6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The address with its prefix length, host bits kept.
    pub address: IpNet,
    /// Its gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<u32>,
    /// What else was there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub dst: IpNet,
    /// Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// 1.1.0 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// 1.1.0 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// 1.1.0 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// 1.1.0 only; 0 is a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// 1.1.0 only; 0 is global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u32>,
    /// What else was there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Name resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Local domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Search list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniResult {
    /// Interfaces, those of the host too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// Addresses, IPv4 first: runtimes take the first one as the pod's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<Ip>,
    /// Routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Name resolution.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub dns: Dns,
    /// What else was there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn is_empty(dns: &Dns) -> bool {
    *dns == Dns::default()
}

/// Why a `prevResult` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Not of the shape.
    #[error("cannot decode `prevResult`: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Of a version that we do not speak.
    #[error("`prevResult.cniVersion` is `{0}`; expected {versions}", versions = Version::names().join(", "))]
    Version(String),
    /// An address under the wrong version.
    #[error("`prevResult.ips` holds {address} with `version` `{version}`")]
    Contradiction {
        /// The address.
        address: IpNet,
        /// What is said of it.
        version: String,
    },
}

#[derive(Serialize)]
struct Versioned {
    #[serde(rename = "cniVersion")]
    version: &'static str,
    #[serde(flatten)]
    result: CniResult,
}

impl CniResult {
    /// Reads a `prevResult`. One that carries no version is of that of the configuration; the shapes are
    /// told apart by what they hold.
    pub fn read(mut value: Value) -> Result<Self, ResultError> {
        match value.as_object_mut().and_then(|object| object.remove("cniVersion")) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() || Version::parse(&text).is_some() => {}
            Some(Value::String(text)) => return Err(ResultError::Version(text)),
            Some(other) => return Err(ResultError::Version(other.to_string())),
        }
        // A list that is null is an empty one: Go writes it so.
        if let Some(object) = value.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        let mut result: Self = serde_json::from_value(value)?;
        for ip in &mut result.ips {
            if let Some(version) = ip.version.take().filter(|version| version != family(&ip.address)) {
                return Err(ResultError::Contradiction { address: ip.address, version });
            }
        }
        Ok(result)
    }

    /// The JSON in the version asked for.
    pub fn json(mut self, version: Version) -> String {
        if version < Version::V1_1_0 {
            for interface in &mut self.interfaces {
                interface.mtu = None;
                interface.socket_path = None;
                interface.pci_id = None;
            }
            for route in &mut self.routes {
                (route.mtu, route.advmss, route.priority) = (None, None, None);
                (route.table, route.scope) = (None, None);
            }
        }
        if version < Version::V1_0_0 {
            for ip in &mut self.ips {
                ip.version = Some(family(&ip.address).to_owned());
            }
        }
        let versioned = Versioned { version: version.as_str(), result: self };
        serde_json::to_string(&versioned).expect("texts and numbers are always JSON")
    }
}

fn family(net: &IpNet) -> &'static str {
    match net {
        IpNet::V4(_) => "4",
        IpNet::V6(_) => "6",
    }
}

#[cfg(test)]
mod tests;
