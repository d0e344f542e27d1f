//! Names of what belongs to a cluster: namespaces, folders, and back from a name to its cluster.
//!
//! All namespaces of a cluster begin with `tw-<cluster>-`. A cluster's name has no dash, so no cluster's names can be
//! taken for another's.

use std::path::{Path, PathBuf};

use terway_core::id::{InstanceId, PodKey};

/// What all our namespaces begin with.
const PREFIX: &str = "tw-";
/// Where clusters keep their sockets, logs and records. It does not outlive a boot, and namespaces do not either.
pub const ROOT: &str = "/run/terway-e2e";
/// Where their nodes pin programs and maps.
pub const PINS: &str = "/sys/fs/bpf/terway-e2e";
/// Longest name of a cluster.
const LONGEST: usize = 16;

/// A name that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{value}` is not a name of a {what}; allowed: {allowed}")]
pub struct NameError {
    what: &'static str,
    value: String,
    allowed: &'static str,
}

/// Checks the name of a cluster.
pub fn check_cluster(name: &str) -> Result<(), NameError> {
    let fits = (1..=LONGEST).contains(&name.len());
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if fits && letters {
        return Ok(());
    }
    let allowed = "1 to 16 lower-case letters and digits";
    Err(NameError { what: "cluster", value: name.to_owned(), allowed })
}

/// Checks the name of a pod or of a Kubernetes namespace: a DNS label, as Kubernetes wants it.
pub fn check_label(what: &'static str, name: &str) -> Result<(), NameError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let dash = name.starts_with('-') || name.ends_with('-');
    if (1..=63).contains(&name.len()) && name.bytes().all(inner) && !dash {
        return Ok(());
    }
    let allowed = "1 to 63 lower-case letters, digits and dashes, no dash at an end";
    Err(NameError { what, value: name.to_owned(), allowed })
}

/// Names of one cluster's things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    cluster: String,
}

impl Names {
    /// Those of a cluster.
    pub fn new(cluster: &str) -> Result<Self, NameError> {
        check_cluster(cluster)?;
        Ok(Self { cluster: cluster.to_owned() })
    }

    /// The cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Namespace of the VPC's router.
    pub fn vpc(&self) -> String {
        format!("{PREFIX}{}-vpc", self.cluster)
    }

    /// Namespace of what is outside of the VPC.
    pub fn outside(&self) -> String {
        format!("{PREFIX}{}-out", self.cluster)
    }

    /// Namespace of a node, counted from 1.
    pub fn node(&self, number: usize) -> String {
        format!("{PREFIX}{}-{}", self.cluster, node_name(number))
    }

    /// Namespace of a pod; those of the namespace `default` go by their name alone.
    pub fn pod(&self, pod: &PodKey) -> String {
        let namespace =
            if &*pod.namespace == "default" { String::new() } else { format!("{}.", pod.namespace) };
        format!("{PREFIX}{}-p-{namespace}{}", self.cluster, pod.name)
    }

    /// The cluster's folder.
    pub fn dir(&self) -> PathBuf {
        Path::new(ROOT).join(&self.cluster)
    }

    /// A node's folder.
    pub fn node_dir(&self, number: usize) -> PathBuf {
        self.dir().join(node_name(number))
    }

    /// Folder of what its nodes pin.
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(&self.cluster)
    }

    /// Folder of what a node pins.
    pub fn node_pins(&self, number: usize) -> PathBuf {
        self.pins().join(node_name(number))
    }

    /// Where a running cluster takes commands.
    pub fn control_socket(&self) -> PathBuf {
        self.dir().join("control.socket")
    }
}

/// Kubernetes' name of a node.
pub fn node_name(number: usize) -> String {
    format!("n{number}")
}

/// The cloud's name of a node.
pub fn instance(number: usize) -> InstanceId {
    format!("i-{}", node_name(number)).into()
}

/// The cluster that a namespace belongs to; none when the name is nobody's of ours.
pub fn cluster_of(netns: &str) -> Option<&str> {
    let (cluster, rest) = netns.strip_prefix(PREFIX)?.split_once('-')?;
    check_cluster(cluster).ok()?;
    let number = |rest: &str| rest.strip_prefix('n').is_some_and(|it| it.parse::<usize>().is_ok());
    let ours = matches!(rest, "vpc" | "out") || number(rest) || rest.starts_with("p-");
    ours.then_some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_cluster_and_no_foreign_one_does() {
        let names = Names::new("demo").expect("valid");
        let pods =
            [PodKey::new("default", "a"), PodKey::new("kube-system", "b-1")].map(|pod| names.pod(&pod));
        assert_eq!(pods, ["tw-demo-p-a", "tw-demo-p-kube-system.b-1"]);
        for name in pods.into_iter().chain([names.vpc(), names.outside(), names.node(12)]) {
            assert_eq!(cluster_of(&name), Some("demo"), "{name}");
        }
        for name in [
            "demo-vpc",
            "tw-",
            "tw-demo",
            "tw-Demo-vpc",
            "tw-demo-vpn",
            "tw-demo-n",
            "tw-demo-nx",
            "twx-demo-vpc",
        ] {
            assert_eq!(cluster_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_bad_name_is_told_with_what_is_allowed() {
        let says = Names::new("my-cluster").expect_err("a dash").to_string();
        assert_eq!(
            says,
            "`my-cluster` is not a name of a cluster; allowed: 1 to 16 lower-case letters and digits"
        );
        check_label("pod", "web-0").expect("valid");
        for bad in ["", "-a", "A", "a.b", "a/b"] {
            check_label("pod", bad).expect_err(bad);
        }
    }
}
