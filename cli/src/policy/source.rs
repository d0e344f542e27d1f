//! A cluster from manifests.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    net::IpAddr,
    path::{Path, PathBuf},
};

use terway_policy::{
    explain::{ExplainError, Explainer},
    manifest::{self, Object},
    model::{Name, Snapshot},
};

use crate::failure::Failure;

/// Kinds that pods come of.
const MAKE_PODS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"];

/// A cluster, and what is known of it besides.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) snapshot: Snapshot,
    /// Addresses of the nodes that pods are on.
    pub(super) nodes: BTreeMap<Name, BTreeSet<IpAddr>>,
    /// What a user should know of how it was read.
    pub(super) notes: Vec<String>,
    /// Kinds of what was skipped although pods come of it.
    workloads: BTreeMap<String, usize>,
}

impl Cluster {
    pub(super) fn explainer(&self) -> Result<Explainer<'_>, Failure> {
        let explainer = Explainer::new(&self.snapshot);
        let mut explainer = explainer.map_err(|error| Failure::input(error.to_string()))?;
        for (pod, addresses) in &self.nodes {
            explainer.set_node(pod.clone(), addresses.iter().copied());
        }
        Ok(explainer)
    }

    /// An error with what may have led to it.
    pub(super) fn hint(&self, error: &ExplainError) -> String {
        let workloads: Vec<_> =
            self.workloads.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        match error {
            ExplainError::NoPod { .. } if !workloads.is_empty() => format!(
                "{error}; the manifests have {}, and pods are not made of them: write the pods (kubectl get pods -o yaml)",
                workloads.join(", ")
            ),
            _ => error.to_string(),
        }
    }

    /// Takes in a manifest.
    fn add(&mut self, path: &str, text: &str) -> Result<(), Failure> {
        let objects = manifest::read(text).map_err(|error| Failure::input(format!("{path}: {error}")))?;
        for object in objects {
            let twice = match &object {
                Object::Pod(pod) => {
                    self.snapshot.pods.contains_key(&pod.name).then(|| format!("Pod {}", pod.name))
                }
                Object::Policy(policy) => {
                    let there = self.snapshot.policies.contains_key(&policy.name);
                    there.then(|| format!("NetworkPolicy {}", policy.name))
                }
                Object::ClusterPolicy(policy) => {
                    let there = self.snapshot.cluster_policies.contains_key(&policy.name);
                    there.then(|| format!("ClusterNetworkPolicy {}", policy.name))
                }
                Object::Namespace(namespace) => {
                    let there = self.snapshot.namespaces.contains_key(&namespace.name);
                    there.then(|| format!("Namespace {}", namespace.name))
                }
                Object::Other { kind, .. } => {
                    let kind = kind.rsplit(' ').next().unwrap_or(kind);
                    if MAKE_PODS.contains(&kind) {
                        *self.workloads.entry(kind.to_owned()).or_default() += 1;
                    }
                    None
                }
            };
            if let Some(object_name) = twice {
                self.notes.push(format!("{path}: {object_name} is there twice; the last one counts"));
            }
            self.snapshot.apply(object);
        }
        Ok(())
    }
}

/// Reads manifests: files, folders with all that is in them, standard input.
pub(super) fn read(paths: &[PathBuf]) -> Result<Cluster, Failure> {
    let mut cluster = Cluster::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            read.map_err(|error| Failure::input(format!("-f -: standard input can not be read: {error}")))?;
            cluster.add("standard input", &text)?;
            continue;
        }
        let mut files = Vec::new();
        collect(path, true, &mut files)?;
        if files.is_empty() {
            let path = path.display();
            return Err(Failure::input(format!("-f: `{path}` has no .yaml, .yml or .json file in it")));
        }
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            cluster.add(&file.display().to_string(), &text)?;
        }
    }
    cluster.snapshot.add_missing_namespaces();
    Ok(cluster)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("-f: `{}` can not be read: {error}", path.display()))
}

/// Files of a path in the order of their names; what is not named must look like a manifest.
fn collect(path: &Path, named: bool, into: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| unreadable(path, &error);
    let kind = if named { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    if kind.map_err(failed)?.is_dir() {
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let mut entries =
            entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_unstable();
        return entries.iter().try_for_each(|entry| collect(entry, false, into));
    }
    let looks = path.extension().and_then(|it| it.to_str());
    if named || matches!(looks, Some("yaml" | "yml" | "json")) {
        into.push(path.to_owned());
    }
    Ok(())
}
