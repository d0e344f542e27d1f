//! Who is meant: a pod, a node, the host outside, or an address.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use terway_core::id::PodKey;

use crate::names::{NameError, check_label};

/// One end of traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// A pod.
    Pod(PodKey),
    /// A node, counted from 1.
    Node(usize),
    /// The host outside of the VPC.
    Outside,
    /// An address, whoever has it.
    Ip(IpAddr),
}

/// What nobody can be meant by.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a pod's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a node's number.
    #[error("`{0}` names no node; allowed: `node:` and a number from 1")]
    Node(String),
}

impl Target {
    /// A pod of the namespace `default`.
    pub fn pod(name: &str) -> Self {
        Self::Pod(PodKey::new("default", name))
    }
}

/// `namespace/name`, or the name alone where the namespace is `default`.
pub fn pod_key(text: &str, namespace: &str) -> Result<PodKey, NameError> {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    check_label("namespace", namespace)?;
    check_label("pod", name)?;
    Ok(PodKey::new(namespace, name))
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text == "outside" {
            return Ok(Self::Outside);
        }
        if let Some(number) = text.strip_prefix("node:") {
            let number = number.parse().ok().filter(|number| *number > 0);
            return number.map(Self::Node).ok_or_else(|| TargetError::Node(text.to_owned()));
        }
        match text.parse() {
            Ok(ip) => Ok(Self::Ip(ip)),
            Err(_) => Ok(Self::Pod(pod_key(text, "default")?)),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(pod) if &*pod.namespace == "default" => f.write_str(&pod.name),
            Self::Pod(pod) => write!(f, "{pod}"),
            Self::Node(number) => write!(f, "node:{number}"),
            Self::Outside => f.write_str("outside"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_read_as_it_is_written() {
        for text in ["a", "kube-system/b", "node:2", "outside", "10.0.0.1", "2001:db8::1"] {
            assert_eq!(text.parse::<Target>().expect("valid").to_string(), text);
        }
        for bad in ["node:", "node:0", "A", "a/b/c", ""] {
            bad.parse::<Target>().expect_err(bad);
        }
    }
}
