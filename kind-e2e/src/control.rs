//! What is said over the control socket of a running cluster: one line of JSON for a request, one for its answer.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terway_core::id::PodKey;

use crate::{names::Names, pod::PodSpec, target::Target};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What the cluster is like.
    Status,
    /// Run a pod.
    RunPod(PodSpec),
    /// Take a pod away.
    DeletePod(PodKey),
    /// Call CHECK for a pod.
    CheckPod(PodKey),
    /// Make or change a NetworkPolicy or a Namespace.
    Apply(Value),
    /// Remove a network policy, named as pods are.
    RemovePolicy(PodKey),
    /// Where a target is; answered by an [`End`].
    Find(Target),
    /// Something with the agent of a node.
    Agent {
        /// The node.
        node: usize,
        /// What.
        act: AgentAct,
    },
    /// End the cluster; answered when it begins to.
    Down,
}

/// What can be done with an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentAct {
    /// Start it and wait until it serves.
    Start,
    /// Ask it to end.
    Stop,
    /// Kill it.
    Kill,
    /// Stop, then start.
    Restart,
}

/// One end of traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its namespace; none of a bare address.
    pub netns: Option<String>,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// Environment of programs there that talk to the cloud.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done; what was asked for.
    Done(Value),
    /// It is not, and why.
    Failed(String),
}

/// Why a running cluster did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is none.
    #[error("no cluster `{name}` runs{others}; `terway-e2e up --name {name}` starts it")]
    Nobody {
        /// The name.
        name: String,
        /// Others that run.
        others: String,
    },
    /// The conversation broke off.
    #[error("cannot talk to cluster `{name}` at `{path}`: {source}; `terway-e2e logs` may tell more")]
    Broken {
        /// The name.
        name: String,
        /// Its socket.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// It says no.
    #[error("{0}")]
    Failed(String),
}

/// Asks a running cluster. Blocks until it answers.
pub fn ask(names: &Names, request: &Request) -> Result<Value, ControlError> {
    let path = names.control_socket();
    let broken =
        |source| ControlError::Broken { name: names.cluster().to_owned(), path: path.clone(), source };
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(nobody(names));
        }
        Err(error) => return Err(broken(error)),
    };
    let line = serde_json::to_string(request).map_err(|error| broken(error.into()))?;
    writeln!(stream, "{line}").map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
    match serde_json::from_str(&answer).map_err(|error| broken(error.into()))? {
        Reply::Done(value) => Ok(value),
        Reply::Failed(why) => Err(ControlError::Failed(why)),
    }
}

/// That there is no such cluster, with those that there are.
pub fn nobody(names: &Names) -> ControlError {
    let running = |name: &String| Names::new(name).is_ok_and(|names| crate::clean::owner(&names).is_some());
    let others: Vec<String> = crate::clean::clusters().into_iter().filter(running).collect();
    let others = if others.is_empty() { String::new() } else { format!(" (running: {})", others.join(", ")) };
    ControlError::Nobody { name: names.cluster().to_owned(), others }
}
