//! Pods of a cluster: what a kubelet and a runtime do between them.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use terway_cloud::system::SystemEntropy;
use terway_core::{entropy::Entropy as _, id::PodKey};
use terway_sim::apiserver::{PodSpec as PodObject, PodStatus};

use super::{Cluster, ClusterError};
use crate::{
    names::node_name,
    netns::Netns,
    node::Node,
    pod::{self, Call, Pod, PodError, PodSpec},
    programs::Programs,
    target::Target,
    task::blocking,
};

impl Cluster {
    /// Runs a pod: its object, its namespace, ADD, its status. After an error nothing of it is left, but what DEL
    /// could not take away.
    pub async fn run_pod(&self, spec: &PodSpec) -> Result<Pod, ClusterError> {
        self.run_pod_watched(spec, |_| Ok(())).await.map(|(pod, ())| pod)
    }

    /// As [`Self::run_pod`], with something that is in the pod's namespace before the plugin is called.
    pub async fn run_pod_watched<W: Send + 'static>(
        &self,
        spec: &PodSpec,
        watch: impl FnOnce(&Netns) -> io::Result<W> + Send + 'static,
    ) -> Result<(Pod, W), ClusterError> {
        let node = Arc::clone(self.node(spec.node)?);
        let programs = self.programs.clone().ok_or(ClusterError::NoAgents)?;
        let key = &spec.pod;
        let object = self.vpc.api.create_pod(&pod_object(spec))?;
        let uid = object.uid.to_string();
        let (netns, container) = (self.names.pod(key), container_id());
        let made = {
            let (spec, netns, container) = (spec.clone(), netns.clone(), container.clone());
            let node = Arc::clone(&node);
            blocking(move || {
                let made = pod::prepare(&spec.pod, &netns)?;
                let watch =
                    watch(&made).map_err(|source| PodError::Prepare { pod: spec.pod.clone(), source })?;
                Ok((add(&programs, &node, &spec, &made, &container, &uid)?, watch))
            })
            .await
        };
        let (result, watch) = match made {
            Ok(made) => made,
            Err(error) => {
                self.vpc.api.remove_pod(&key.namespace, &key.name)?;
                return Err(ClusterError::Pod(error));
            }
        };
        let pod = Pod { spec: spec.clone(), container, netns, ips: pod::addresses(&result), result };
        self.keep(&pod)?;
        let status = PodStatus {
            phase: Some("Running".to_owned()),
            pod_ips: Some(pod.ips.iter().map(ToString::to_string).collect()),
            host_ip: node.ips.first().map(ToString::to_string),
            ready: Some(true),
        };
        self.vpc.api.update_pod_status(&key.namespace, &key.name, &status)?;
        self.pods().insert(key.clone(), pod.clone());
        Ok((pod, watch))
    }

    /// Takes a pod away: DEL, its namespace, its object. Where DEL is refused all stays, so that it can be tried again.
    pub async fn delete_pod(&self, key: &PodKey) -> Result<(), ClusterError> {
        let pod = self.pod(key)?;
        // As the API server tells the agent that a pod is on its way out.
        self.vpc.api.set_deletion_timestamp(&key.namespace, &key.name, 30)?;
        self.call(key, "DEL").await?;
        let name = pod.netns;
        blocking(move || Netns::remove(&name)).await?;
        self.vpc.api.remove_pod(&key.namespace, &key.name)?;
        self.pods().remove(key);
        match fs::remove_file(self.record_of(key)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ClusterError::Folder { path: self.record_of(key), source })
            }
            _ => Ok(()),
        }
    }

    /// Runs a pod whose plugin is killed when its ADD has run for so long, and takes it away again as a runtime does
    /// that was told of a failure; false when the ADD had ended before.
    pub async fn kill_add(&self, spec: &PodSpec, after: Duration) -> Result<bool, ClusterError> {
        let node = Arc::clone(self.node(spec.node)?);
        let programs = self.programs.clone().ok_or(ClusterError::NoAgents)?;
        let uid = self.vpc.api.create_pod(&pod_object(spec))?.uid.to_string();
        let (name, container, of_call) = (self.names.pod(&spec.pod), container_id(), spec.clone());
        let killed = blocking(move || {
            let netns = pod::prepare(&of_call.pod, &name)?;
            let path = netns.path().display().to_string();
            let call = Call {
                program: &programs.plugin,
                node: &node,
                spec: &of_call,
                container: &container,
                uid: &uid,
                netns: &path,
                before: None,
            };
            let killed = call.kill("ADD", after);
            call.run("DEL")?;
            Netns::remove(&name)?;
            killed
        });
        let killed = killed.await?;
        self.vpc.api.remove_pod(&spec.pod.namespace, &spec.pod.name)?;
        Ok(killed)
    }

    /// Kills the plugin when a call for a running pod has run for so long; false when it had ended before.
    pub async fn kill_call(
        &self,
        key: &PodKey,
        verb: &'static str,
        after: Duration,
    ) -> Result<bool, ClusterError> {
        self.plugin(key, move |call| call.kill(verb, after)).await
    }

    /// Makes a pod's object alone, bound to its node, for a runtime that builds the rest. Returns its UID.
    pub fn create_object(&self, spec: &PodSpec) -> Result<String, ClusterError> {
        self.node(spec.node)?;
        Ok(self.vpc.api.create_pod(&pod_object(spec))?.uid.to_string())
    }

    /// Removes a pod's object alone.
    pub fn remove_object(&self, key: &PodKey) -> Result<(), ClusterError> {
        self.vpc.api.remove_pod(&key.namespace, &key.name)?;
        Ok(())
    }

    /// Calls the plugin for a running pod: CHECK, or a verb out of turn.
    pub async fn call(&self, key: &PodKey, verb: &'static str) -> Result<(), ClusterError> {
        self.plugin(key, move |call| call.run(verb)).await.map(|_| ())
    }

    async fn plugin<T: Send + 'static>(
        &self,
        key: &PodKey,
        ask: impl FnOnce(&Call<'_>) -> Result<T, PodError> + Send + 'static,
    ) -> Result<T, ClusterError> {
        let pod = self.pod(key)?;
        let node = Arc::clone(self.node(pod.spec.node)?);
        let programs = self.programs.clone().ok_or(ClusterError::NoAgents)?;
        let done = blocking(move || {
            let path = netns_path(&pod.netns);
            ask(&Call {
                program: &programs.plugin,
                node: &node,
                spec: &pod.spec,
                container: &pod.container,
                uid: "",
                netns: &path,
                before: Some(&pod.result),
            })
        });
        Ok(done.await?)
    }

    /// A pod.
    pub fn pod(&self, key: &PodKey) -> Result<Pod, ClusterError> {
        let pods = self.pods();
        pods.get(key).cloned().ok_or_else(|| {
            let known: Vec<String> = pods.keys().map(|key| Target::Pod(key.clone()).to_string()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            ClusterError::Unknown { what: "pod", name: Target::Pod(key.clone()).to_string(), known }
        })
    }

    /// All pods, by namespace and name.
    pub fn all_pods(&self) -> Vec<Pod> {
        self.pods().values().cloned().collect()
    }

    fn keep(&self, pod: &Pod) -> Result<(), ClusterError> {
        let path = self.record_of(&pod.spec.pod);
        let text = serde_json::to_string_pretty(pod).map_err(io::Error::other);
        let dir = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = dir.and(text).and_then(|text| fs::write(&path, text));
        written.map_err(|source| ClusterError::Folder { path, source })
    }

    fn record_of(&self, key: &PodKey) -> PathBuf {
        self.names.dir().join("pods").join(format!("{}.{}.json", key.namespace, key.name))
    }
}

fn pod_object(spec: &PodSpec) -> PodObject {
    let limits = [("ingress", spec.ingress), ("egress", spec.egress)];
    let annotation = |(way, rate): (&str, Option<u64>)| {
        Some((format!("kubernetes.io/{way}-bandwidth"), rate?.to_string()))
    };
    PodObject {
        namespace: spec.pod.namespace.to_string(),
        name: spec.pod.name.to_string(),
        node: Some(node_name(spec.node)),
        labels: spec.labels.clone(),
        annotations: limits.into_iter().filter_map(annotation).chain(spec.annotations.clone()).collect(),
        ..PodObject::default()
    }
}

/// As container runtimes name sandboxes: 64 hexadecimal digits.
fn container_id() -> String {
    let draw = || SystemEntropy.next_u64();
    format!("{:016x}{:016x}{:016x}{:016x}", draw(), draw(), draw(), draw())
}

fn netns_path(name: &str) -> String {
    Netns::open(name).map(|netns| netns.path().display().to_string()).unwrap_or_default()
}

/// ADD; after a refusal DEL, as containerd does, and the namespace goes.
fn add(
    programs: &Programs,
    node: &Node,
    spec: &PodSpec,
    netns: &Netns,
    container: &str,
    uid: &str,
) -> Result<serde_json::Value, PodError> {
    let path = netns.path().display().to_string();
    let call = Call { program: &programs.plugin, node, spec, container, uid, netns: &path, before: None };
    let refused = match call.run("ADD") {
        Ok(Some(result)) => return Ok(result),
        Ok(None) => PodError::Answer { verb: "ADD", pod: spec.pod.clone(), answer: String::new() },
        Err(error) => error,
    };
    if let Err(error) = call.run("DEL") {
        tracing::warn!(pod = %spec.pod, %error, "DEL after a refused ADD was refused, too");
    }
    Netns::remove(netns.name())?;
    Err(refused)
}
