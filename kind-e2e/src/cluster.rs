//! A running cluster: what tests and the supervisor work with.
//!
//! All of it lives as long as this value and the process around it: cloud, API server and fabric are tasks here, the
//! agents are processes of ours. What a killed process leaves is found by name and by record, see [`crate::clean`].

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use terway_cloud::system::SystemEntropy;
use terway_core::{cloud::Eni, entropy::Entropy as _, id::PodKey};
use terway_dataplane::{linux::direct, state::Side};
use terway_sim::apiserver::{ApiError, NodeSpec, PodSpec as PodObject, PodStatus};

use crate::{
    clean::{self, CleanError, Cleaned, OWNER},
    names::{Names, node_name},
    netns::{Netns, NetnsError},
    node::{Node, NodeError},
    pod::{self, Call, Pod, PodError, PodSpec},
    process::Process,
    programs::Programs,
    spec::{ClusterSpec, OUTSIDE, OUTSIDE_V6, REGION, SpecError},
    target::Target,
    task::blocking,
    traffic::{self, Load},
    vpc::{Vpc, VpcError},
};

/// How long an agent may take to serve: with real latency it waits for an ENI, some ten seconds.
const READY: Duration = Duration::from_secs(60);
/// How long an agent may take to end.
const GRACE: Duration = Duration::from_secs(10);

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

/// What a cluster is like.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Nodes.
    pub nodes: Vec<NodeStatus>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Packets dropped by the router since their source was not their ENI's.
    pub spoofed: u64,
}

/// What a node is like.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its instance.
    pub instance: String,
    /// Its zone.
    pub zone: String,
    /// Its namespace.
    pub netns: String,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Number of its agent's process, if that runs.
    pub daemon: Option<u32>,
    /// Whether its agent serves.
    pub ready: bool,
    /// Its ENIs, the primary one included.
    pub enis: Vec<Eni>,
}

impl Cluster {
    /// Starts a cluster and waits until all its nodes are ready. What other clusters left is taken away before. After
    /// an error nothing of it is left. `programs`: not needed where nodes have no agents.
    pub async fn start(spec: ClusterSpec, programs: Option<Programs>) -> Result<Self, ClusterError> {
        let names = spec.check()?;
        if let Some(owner) = clean::owner(&names).filter(|owner| owner.pid != std::process::id()) {
            return Err(ClusterError::Running { name: spec.name, pid: owner.pid });
        }
        clean::stale().await?;
        claim(&spec, &names)?;
        match Self::build(spec, names.clone(), programs).await {
            Ok(cluster) => Ok(cluster),
            Err(error) => {
                // The first error is the one to tell.
                if let Err(left) = clean::remove(&names, &mut Cleaned::default()).await {
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
        clean::remove(&names, &mut Cleaned::default()).await?;
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

    /// Waits until the agent of a node serves.
    pub async fn ready(&self, number: usize) -> Result<(), ClusterError> {
        Ok(self.node(number)?.ready(READY).await?)
    }

    /// Runs a pod: its object, its namespace, ADD, its status. After an error nothing of it is left, but what DEL
    /// could not take away.
    pub async fn run_pod(&self, spec: &PodSpec) -> Result<Pod, ClusterError> {
        let node = Arc::clone(self.node(spec.node)?);
        let programs = self.programs.clone().ok_or(ClusterError::NoAgents)?;
        let key = &spec.pod;
        let object = self.vpc.api.create_pod(&pod_object(spec))?;
        let uid = object.uid.to_string();
        let (netns, container) = (self.names.pod(key), container_id());
        let made = {
            let (spec, netns, container) = (spec.clone(), netns.clone(), container.clone());
            let node = Arc::clone(&node);
            blocking(move || add(&programs, &node, &spec, &netns, &container, &uid)).await
        };
        let result = match made {
            Ok(result) => result,
            Err(error) => {
                self.vpc.api.remove_pod(&key.namespace, &key.name)?;
                return Err(error.into());
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
        Ok(pod)
    }

    /// Takes a pod away: DEL, its namespace, its object. Where DEL is refused all stays, so that it can be tried again.
    pub async fn delete_pod(&self, key: &PodKey) -> Result<(), ClusterError> {
        let pod = self.pod(key)?;
        // As the API server tells the agent that a pod is on its way out.
        self.vpc.api.set_deletion_timestamp(&key.namespace, &key.name, 30)?;
        let node = Arc::clone(self.node(pod.spec.node)?);
        let programs = self.programs.clone().ok_or(ClusterError::NoAgents)?;
        blocking(move || del(&programs, &node, &pod)).await?;
        self.vpc.api.remove_pod(&key.namespace, &key.name)?;
        self.pods().remove(key);
        match fs::remove_file(self.record_of(key)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ClusterError::Folder { path: self.record_of(key), source })
            }
            _ => Ok(()),
        }
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
        let pod = self.pod(key)?;
        let node = Arc::clone(self.node(pod.spec.node)?);
        let programs = self.programs.clone().ok_or(ClusterError::NoAgents)?;
        let done = blocking(move || {
            let path = netns_path(&pod.netns);
            let call = Call {
                program: &programs.plugin,
                node: &node,
                spec: &pod.spec,
                container: &pod.container,
                uid: "",
                netns: &path,
                before: Some(&pod.result),
            };
            call.run(verb)
        });
        done.await?;
        Ok(())
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

    /// Addresses of one end, IPv4 first.
    pub fn ips(&self, target: &Target) -> Result<Vec<IpAddr>, ClusterError> {
        Ok(match target {
            Target::Pod(key) => self.pod(key)?.ips,
            Target::Node(number) => self.node(*number)?.ips.clone(),
            Target::Outside => vec![OUTSIDE[0].into(), OUTSIDE_V6[0].into()],
            Target::Ip(ip) => vec![*ip],
        })
    }

    /// Namespace of one end; none of a bare address.
    pub fn netns(&self, target: &Target) -> Result<Option<Netns>, ClusterError> {
        let name = match target {
            Target::Pod(key) => self.pod(key)?.netns,
            Target::Node(number) => {
                self.node(*number)?;
                self.names.node(*number)
            }
            Target::Outside => self.names.outside(),
            Target::Ip(_) => return Ok(None),
        };
        Ok(Some(Netns::open(&name)?))
    }

    /// Sends from one end to the other, in one family; how long it took, or why it did not get there.
    pub async fn send(
        &self,
        from: &Target,
        to: &Target,
        v6: bool,
        load: Load,
    ) -> Result<io::Result<Duration>, ClusterError> {
        let nowhere = |target: &Target| ClusterError::Unknown {
            what: "end with an address of that family and a namespace",
            name: target.to_string(),
            known: "pods, nodes and outside; IPv6 with --ip-stack dual".to_owned(),
        };
        let ip = self.ips(to)?.into_iter().find(|ip| ip.is_ipv6() == v6).ok_or_else(|| nowhere(to))?;
        let (source, at) = (self.netns(from)?.ok_or_else(|| nowhere(from))?, self.netns(to)?);
        Ok(blocking(move || traffic::send(&source, at.as_ref(), ip, load)).await)
    }

    /// What the kernel of a node has: links, addresses, routes, rules, neighbours.
    pub async fn kernel(&self, number: usize) -> Result<Side, ClusterError> {
        let node = Arc::clone(self.node(number)?);
        let name = node.name.clone();
        let seen = blocking(move || node.netns.run(|| direct::observe_all().map_err(io::Error::other))).await;
        seen.map_err(|source| ClusterError::Look { node: name, source })
    }

    /// What it is like.
    pub async fn status(&self) -> Result<Status, ClusterError> {
        let state = self.vpc.cloud.state();
        let mut nodes = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let of_node = |eni: &&Eni| eni.instance.as_ref() == Some(&node.instance);
            nodes.push(NodeStatus {
                name: node.name.clone(),
                instance: node.instance.to_string(),
                zone: self.spec.zone_name(index + 1),
                netns: node.netns.name().to_owned(),
                ips: node.ips.clone(),
                daemon: node.daemon_pid(),
                ready: node.daemon_pid().is_some() && node.serves().await,
                enis: state.enis.iter().map(|it| &it.eni).filter(of_node).cloned().collect(),
            });
        }
        let spoofed = self.vpc.with_fabric(crate::fabric::Fabric::dropped).await.map_err(VpcError::from)?;
        Ok(Status { name: self.spec.name.clone(), nodes, pods: self.all_pods(), spoofed })
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

    fn pods(&self) -> std::sync::MutexGuard<'_, BTreeMap<PodKey, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder and says whose it is, before there is anything else of the cluster. Again does no harm.
pub fn claim(spec: &ClusterSpec, names: &Names) -> Result<(), ClusterError> {
    let dir = names.dir();
    let text = serde_json::to_string_pretty(spec).map_err(io::Error::other);
    let made =
        fs::create_dir_all(&dir).and_then(|()| Process::own()).and_then(|own| own.record(&dir.join(OWNER)));
    let made = made.and(text).and_then(|text| fs::write(dir.join("cluster.json"), text));
    made.map_err(|source| ClusterError::Folder { path: dir, source })
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

fn pod_object(spec: &PodSpec) -> PodObject {
    let limits = [("ingress", spec.ingress), ("egress", spec.egress)];
    let annotation = |(way, rate): (&str, Option<u64>)| {
        Some((format!("kubernetes.io/{way}-bandwidth"), rate?.to_string()))
    };
    PodObject {
        namespace: spec.pod.namespace.to_string(),
        name: spec.pod.name.to_string(),
        node: Some(node_name(spec.node)),
        annotations: limits.into_iter().filter_map(annotation).collect(),
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

/// Namespace and ADD; after a refusal DEL, as containerd does, and the namespace goes.
fn add(
    programs: &Programs,
    node: &Node,
    spec: &PodSpec,
    name: &str,
    container: &str,
    uid: &str,
) -> Result<serde_json::Value, PodError> {
    let netns = pod::prepare(&spec.pod, name)?;
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
    Netns::remove(name)?;
    Err(refused)
}

fn del(programs: &Programs, node: &Node, pod: &Pod) -> Result<(), PodError> {
    let path = netns_path(&pod.netns);
    let call = Call {
        program: &programs.plugin,
        node,
        spec: &pod.spec,
        container: &pod.container,
        uid: "",
        netns: &path,
        before: Some(&pod.result),
    };
    call.run("DEL")?;
    Ok(Netns::remove(&pod.netns)?)
}
