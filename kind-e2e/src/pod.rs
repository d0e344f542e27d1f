//! A pod: an object at the API server, a namespace, and what the plugin made there.
//!
//! What a kubelet and a container runtime do between them, in their order: the object on its node, the namespace with
//! its loopback up, ADD, the status; and back: DEL, the namespace, the object.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::IpAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use terway_core::id::PodKey;
use terway_dataplane::{
    linux::direct,
    op::{Change, NetOp},
    state::Place,
};

use crate::{
    netns::{Netns, NetnsError},
    node::Node,
};

/// Name of the interface in the pod.
const IFNAME: &str = "eth0";

/// Why there is no pod, or still one.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// Its namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Loopback.
    #[error("pod {pod}: cannot prepare its namespace: {source}")]
    Prepare {
        /// Which pod.
        pod: PodKey,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The node's list of plugins.
    #[error("cannot read `{path}`: {source}; the agent of the node writes it while it serves")]
    Conflist {
        /// Which file.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The plugin did not run.
    #[error("cannot run the plugin `{program}`: {source}")]
    Plugin {
        /// Which program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The plugin refused.
    #[error("{verb} of pod {pod} was refused: {msg} (code {code}){details}")]
    Refused {
        /// ADD, DEL, …
        verb: &'static str,
        /// Which pod.
        pod: PodKey,
        /// The CNI error's code.
        code: u64,
        /// Its message.
        msg: String,
        /// Its details, with a separator before.
        details: String,
    },
    /// The plugin's answer is none.
    #[error("{verb} of pod {pod}: the plugin answered `{answer}`")]
    Answer {
        /// ADD, DEL, …
        verb: &'static str,
        /// Which pod.
        pod: PodKey,
        /// What it printed.
        answer: String,
    },
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Namespace and name.
    pub pod: PodKey,
    /// Node, counted from 1.
    pub node: usize,
    /// What it may receive, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<u64>,
    /// What it may send, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<u64>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations, those of limits aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl PodSpec {
    /// A pod without limits.
    pub fn new(namespace: &str, name: &str, node: usize) -> Self {
        Self {
            pod: PodKey::new(namespace, name),
            node,
            ingress: None,
            egress: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
}

/// A pod that there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: PodSpec,
    /// Id of its sandbox.
    pub container: String,
    /// Its namespace.
    pub netns: String,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// What ADD answered.
    pub result: Value,
}

/// A call of the plugin for a pod, in the way that a runtime calls it.
pub struct Call<'a> {
    /// The plugin.
    pub program: &'a Path,
    /// Node that it runs on.
    pub node: &'a Node,
    /// For whom.
    pub spec: &'a PodSpec,
    /// The sandbox.
    pub container: &'a str,
    /// UID of the pod's object.
    pub uid: &'a str,
    /// Path of the pod's namespace; empty: it is gone.
    pub netns: &'a str,
    /// Result of ADD, for CHECK and DEL.
    pub before: Option<&'a Value>,
}

impl Call<'_> {
    /// Starts it, with all that it reads.
    fn start(&self, verb: &'static str) -> Result<Child, PodError> {
        let failed = |source| self.did_not_run(source);
        let conf = self.conf()?;
        let args = [
            ("IgnoreUnknown", "1"),
            ("K8S_POD_NAMESPACE", &self.spec.pod.namespace),
            ("K8S_POD_NAME", &self.spec.pod.name),
            ("K8S_POD_INFRA_CONTAINER_ID", self.container),
            ("K8S_POD_UID", self.uid),
        ];
        let args = args.map(|(key, value)| format!("{key}={value}")).join(";");
        let mut command = Command::new(self.program);
        command
            .env_clear()
            .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", self.container), ("CNI_NETNS", self.netns)])
            .envs([("CNI_IFNAME", IFNAME), ("CNI_ARGS", &args)])
            .env("CNI_PATH", self.program.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.node.netns.run(|| command.spawn()).map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(conf.to_string().as_bytes()) {
                // It has ended without reading; what it says is told below.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                written => written.map_err(failed)?,
            }
        }
        Ok(child)
    }

    /// Kills it when it has run for so long; false when it had ended before. What it did until then stays.
    pub fn kill(&self, verb: &'static str, after: Duration) -> Result<bool, PodError> {
        let failed = |source| self.did_not_run(source);
        let mut child = self.start(verb)?;
        std::thread::park_timeout(after);
        let running = child.try_wait().map_err(failed)?.is_none();
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
        Ok(running)
    }

    fn did_not_run(&self, source: io::Error) -> PodError {
        PodError::Plugin { program: self.program.display().to_string(), source }
    }

    /// Calls it and gives what it printed, if that is a document.
    pub fn run(&self, verb: &'static str) -> Result<Option<Value>, PodError> {
        let failed = |source| self.did_not_run(source);
        let child = self.start(verb)?;
        let output = child.wait_with_output().map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let document: Option<Value> = serde_json::from_str(&text).ok();
        let pod = self.spec.pod.clone();
        if output.status.success() {
            return match document {
                None if !text.trim().is_empty() => Err(PodError::Answer { verb, pod, answer: text }),
                document => Ok(document),
            };
        }
        let answer = || format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        let error = document.filter(|it| it["code"].is_u64());
        let error = error.ok_or_else(|| PodError::Answer { verb, pod: pod.clone(), answer: answer() })?;
        let field = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let details = Some(field("details")).filter(|it| !it.is_empty()).map(|it| format!(": {it}"));
        Err(PodError::Refused {
            verb,
            pod,
            code: error["code"].as_u64().unwrap_or_default(),
            msg: field("msg"),
            details: details.unwrap_or_default(),
        })
    }

    /// The plugin's part of the node's list, with what a runtime adds.
    fn conf(&self) -> Result<Value, PodError> {
        let served = self.node.served_conflist();
        // A DEL must work while the agent is down, and a runtime remembers the list that it ADDed with.
        let path = if served.exists() { served } else { self.node.dir().join("10-terway.conflist") };
        let failed = |source| PodError::Conflist { path: path.display().to_string(), source };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let list: Value = serde_json::from_str(&text).map_err(|error| failed(io::Error::other(error)))?;
        let mut conf = list["plugins"][0].clone();
        for key in ["cniVersion", "name"] {
            conf[key] = list[key].clone();
        }
        if self.spec.ingress.is_some() || self.spec.egress.is_some() {
            let rate = |rate: Option<u64>| rate.unwrap_or(0);
            let (ingress, egress) = (rate(self.spec.ingress), rate(self.spec.egress));
            // containerd's bursts: the most that 32 bits hold.
            conf["runtimeConfig"] = json!({ "bandwidth": {
                "ingressRate": ingress, "ingressBurst": i32::MAX, "egressRate": egress, "egressBurst": i32::MAX,
            }});
        }
        if let Some(before) = self.before {
            conf["prevResult"] = before.clone();
        }
        Ok(conf)
    }
}

/// Addresses of the pod in the result of an ADD.
pub fn addresses(result: &Value) -> Vec<IpAddr> {
    let list = result["ips"].as_array().map(Vec::as_slice).unwrap_or_default();
    let nets = list.iter().filter_map(|ip| ip["address"].as_str()?.parse::<IpNet>().ok());
    nets.map(|net| net.addr()).collect()
}

/// Makes the namespace of a pod, with its loopback up.
pub fn prepare(pod: &PodKey, name: &str) -> Result<Netns, PodError> {
    let netns = Netns::create(name)?;
    let ops = [NetOp::new(Place::Host, Change::SetUp { dev: "lo".into(), up: true })];
    let done = netns.run(|| direct::apply(netns.path(), &ops).map_err(io::Error::other));
    done.map_err(|source| PodError::Prepare { pod: pod.clone(), source })?;
    Ok(netns)
}
