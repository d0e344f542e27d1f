//! A running cluster: what tests and the supervisor work with.
//!
//! All of it lives as long as this value and the process around it: cloud, API server and fabric are tasks here, the
//! agents are processes of ours. What a killed process leaves is found by name and by record, see [`crate::clean`].

mod look;
mod pods;

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use terway_core::id::PodKey;
use terway_sim::apiserver::{ApiError, NodeSpec, Resource};

pub use self::look::{NodeStatus, Status};
use crate::{
    clean::{self, CleanError, Lock, OWNER},
    names::{Names, node_name},
    netns::NetnsError,
    node::{Node, NodeError},
    pod::{Pod, PodError},
    process::Process,
    programs::Programs,
    spec::{ClusterSpec, REGION, SpecError},
    task::blocking,
    vpc::{Vpc, VpcError},
};

/// How long an agent may take to serve: with real latency it waits for an ENI, some ten seconds.
const READY: Duration = Duration::from_secs(60);
/// How long an agent may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// No labels.
static EMPTY: LazyLock<Value> = LazyLock::new(|| json!({}));

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The cluster cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It is there already.
    #[error("cluster `{name}` runs already (process {pid}); `terway-e2e down --name {name}` ends it")]
    Running {
        /// Its name.
        name: String,
        /// Its owner.
        pid: u32,
    },
    /// Its folder.
    #[error("cannot write `{path}`: {source}")]
    Folder {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Leftovers, or its own end.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// The VPC.
    #[error(transparent)]
    Vpc(#[from] VpcError),
    /// A node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A pod.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The API server refuses.
    #[error("the API server refuses: {0}")]
    Api(#[from] ApiError),
    /// There is no such thing.
    #[error("there is no {what} `{name}`; there are: {known}")]
    Unknown {
        /// Node or pod.
        what: &'static str,
        /// As asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Not a kind that is applied.
    #[error("kind `{0}` cannot be applied; allowed: NetworkPolicy, Namespace")]
    Kind(String),
    /// Nodes have no agents.
    #[error("the nodes of this cluster have no agents; start it without --no-agents")]
    NoAgents,
    /// The kernel was not seen.
    #[error("cannot look at the kernel of {node}: {source}")]
    Look {
        /// Which node.
        node: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A cluster.
pub struct Cluster {
    /// What it was asked to be.
    pub spec: ClusterSpec,
    /// Its names.
    pub names: Names,
    /// Its cloud, its API server and its network.
    pub vpc: Vpc,
    programs: Option<Programs>,
    nodes: Vec<Arc<Node>>,
    pods: Mutex<BTreeMap<PodKey, Pod>>,
}

impl Cluster {
    /// Starts a cluster and waits until all its nodes are ready. What other clusters left is taken away before. After
    /// an error nothing of it is left. `programs`: not needed where nodes have no agents.
    pub async fn start(spec: ClusterSpec, programs: Option<Programs>) -> Result<Self, ClusterError> {
        let names = spec.check()?;
        if let Some(owner) = other_owner(&names) {
            return Err(ClusterError::Running { name: spec.name, pid: owner.pid });
        }
        clean::stale().await?;
        claim(&spec, &names).await?;
        match Self::build(spec, names.clone(), programs).await {
            Ok(cluster) => Ok(cluster),
            Err(error) => {
                // The first error is the one to tell.
                if let Err(left) = clean::remove(&names).await {
                    tracing::warn!(error = %left, "not everything is taken away; `terway-e2e clean` does it");
                }
                Err(error)
            }
        }
    }

    async fn build(
        spec: ClusterSpec,
        names: Names,
        programs: Option<Programs>,
    ) -> Result<Self, ClusterError> {
        let vpc = Vpc::start(&spec, &names).await?;
        for namespace in ["default", "kube-system"] {
            make_namespace(&vpc, namespace, &json!({}))?;
        }
        let mut nodes = Vec::new();
        for number in 1..=spec.nodes {
            let ips = addresses(&vpc, number);
            vpc.api.create_node(&node_object(&spec, number, &ips))?;
            nodes.push(Arc::new(Node::new(&spec, &names, number, ips, &vpc.key)?));
        }
        let cluster = Self { spec, names, vpc, programs, nodes, pods: Mutex::default() };
        if cluster.spec.agents {
            for number in 1..=cluster.spec.nodes {
                cluster.start_daemon(number)?;
            }
            for node in &cluster.nodes {
                node.ready(READY).await?;
            }
        }
        Ok(cluster)
    }

    /// Ends it and takes everything away.
    pub async fn down(self) -> Result<(), ClusterError> {
        let ends = self.nodes.iter().map(|node| node.stop_daemon(GRACE));
        let ended = futures::future::join_all(ends).await;
        let names = self.names.clone();
        drop(self);
        clean::remove(&names).await?;
        for end in ended {
            end?;
        }
        Ok(())
    }

    /// A node, counted from 1.
    pub fn node(&self, number: usize) -> Result<&Arc<Node>, ClusterError> {
        number.checked_sub(1).and_then(|index| self.nodes.get(index)).ok_or_else(|| ClusterError::Unknown {
            what: "node",
            name: number.to_string(),
            known: format!("1 to {}", self.nodes.len()),
        })
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// Starts the agent of a node; see [`Self::ready`].
    pub fn start_daemon(&self, number: usize) -> Result<(), ClusterError> {
        let programs = self.programs.as_ref().ok_or(ClusterError::NoAgents)?;
        Ok(self.node(number)?.start_daemon(&programs.daemon)?)
    }

    /// Kills the agent of a node.
    pub async fn kill_daemon(&self, number: usize) -> Result<(), ClusterError> {
        Ok(self.node(number)?.kill_daemon().await?)
    }

    /// Ends the agent of a node in order.
    pub async fn stop_daemon(&self, number: usize) -> Result<(), ClusterError> {
        Ok(self.node(number)?.stop_daemon(GRACE).await?)
    }

    /// Ends the agent of a node in order and starts it again; waits until it serves.
    pub async fn restart_daemon(&self, number: usize) -> Result<(), ClusterError> {
        self.stop_daemon(number).await?;
        self.start_daemon(number)?;
        self.ready(number).await
    }

    /// Makes a namespace with labels, or gives one that is there other labels.
    pub fn label_namespace(&self, name: &str, labels: &Value) -> Result<(), ClusterError> {
        make_namespace(&self.vpc, name, labels)
    }

    /// Makes or changes a NetworkPolicy or a Namespace, as its manifest says.
    pub fn apply(&self, object: &Value) -> Result<(), ClusterError> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
        match text("/kind") {
            "NetworkPolicy" => {
                let namespace = if namespace.is_empty() { "default" } else { namespace };
                self.apply_policy(namespace, name, &object["spec"])
            }
            "Namespace" => {
                let labels = &object["metadata"]["labels"];
                self.label_namespace(name, if labels.is_null() { &EMPTY } else { labels })
            }
            other => Err(ClusterError::Kind(other.to_owned())),
        }
    }

    /// Makes a network policy, or puts it in the place of the one of its name.
    pub fn apply_policy(&self, namespace: &str, name: &str, spec: &Value) -> Result<(), ClusterError> {
        let policies = Resource::NetworkPolicies;
        if self.vpc.api.get(policies, namespace, name).is_some() {
            // Merged by keys: what the new one does not name must go.
            let mut whole =
                json!({ "podSelector": null, "ingress": null, "egress": null, "policyTypes": null });
            for (key, value) in spec.as_object().into_iter().flatten() {
                whole[key] = value.clone();
            }
            self.vpc.api.merge(policies, namespace, name, json!({ "spec": whole }))?;
        } else {
            let object = json!({ "metadata": { "namespace": namespace, "name": name }, "spec": spec });
            self.vpc.api.create(policies, object)?;
        }
        Ok(())
    }

    /// Removes a network policy.
    pub fn remove_policy(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        self.vpc.api.remove(Resource::NetworkPolicies, namespace, name)?;
        Ok(())
    }

    /// Gives a pod other labels.
    pub fn label_pod(&self, pod: &PodKey, labels: &Value) -> Result<(), ClusterError> {
        let patch = json!({ "metadata": { "labels": labels } });
        self.vpc.api.merge(Resource::Pods, &pod.namespace, &pod.name, patch)?;
        Ok(())
    }

    /// Waits until the agent of a node serves.
    pub async fn ready(&self, number: usize) -> Result<(), ClusterError> {
        Ok(self.node(number)?.ready(READY).await?)
    }

    fn pods(&self) -> std::sync::MutexGuard<'_, BTreeMap<PodKey, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder and says whose it is, before there is anything else of the cluster. Again does no harm.
pub async fn claim(spec: &ClusterSpec, names: &Names) -> Result<(), ClusterError> {
    let (name, names) = (spec.name.clone(), names.clone());
    let text = serde_json::to_string_pretty(spec).map_err(io::Error::other);
    blocking(move || {
        let dir = names.dir();
        let failed = |source| ClusterError::Folder { path: dir.clone(), source };
        let _lock = Lock::take().map_err(failed)?;
        if let Some(owner) = other_owner(&names) {
            return Err(ClusterError::Running { name, pid: owner.pid });
        }
        let made = fs::create_dir_all(&dir).and_then(|()| Process::own()?.record(&dir.join(OWNER)));
        made.and(text).and_then(|text| fs::write(dir.join("cluster.json"), text)).map_err(failed)
    })
    .await
}

fn make_namespace(vpc: &Vpc, name: &str, labels: &Value) -> Result<(), ClusterError> {
    let mut labels = labels.clone();
    labels["kubernetes.io/metadata.name"] = name.into();
    let object = json!({ "metadata": { "name": name, "labels": labels } });
    if vpc.api.get(Resource::Namespaces, "", name).is_some() {
        vpc.api.merge(Resource::Namespaces, "", name, object)?;
    } else {
        vpc.api.create(Resource::Namespaces, object)?;
    }
    Ok(())
}

/// Who has the name, if not we.
fn other_owner(names: &Names) -> Option<Process> {
    clean::owner(names).filter(|owner| owner.pid != std::process::id())
}

fn addresses(vpc: &Vpc, number: usize) -> Vec<IpAddr> {
    let instance = crate::names::instance(number);
    let eni = vpc.cloud.primary_nic(&instance).and_then(|id| vpc.cloud.eni(&id));
    let set = eni.map(|eni| eni.addresses.clone()).unwrap_or_default();
    let v4 = set.v4.into_iter().map(IpAddr::V4);
    v4.chain(set.v6.into_iter().map(IpAddr::V6)).collect()
}

fn node_object(spec: &ClusterSpec, number: usize, ips: &[IpAddr]) -> NodeSpec {
    let labels = [
        ("kubernetes.io/hostname", node_name(number)),
        ("topology.kubernetes.io/region", REGION.to_owned()),
        ("topology.kubernetes.io/zone", spec.zone_name(number)),
        ("node.kubernetes.io/instance-type", spec.instance_type.clone()),
    ];
    NodeSpec {
        name: node_name(number),
        labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        internal_ip: ips.first().map(ToString::to_string),
        provider_id: Some(format!("{REGION}.{}", crate::names::instance(number))),
        ..NodeSpec::default()
    }
}
