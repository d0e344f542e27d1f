//! A node: a namespace, a folder, an agent inside.
//!
//! The folder is what `/var/run/eni`, `/etc/cni/net.d` and the store's place are on a real node. The agent is the
//! program that ships; it is started inside the namespace and knows its cloud by addresses that only the router has.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use terway_core::id::InstanceId;
use tokio::time::{Instant, sleep};

use crate::{
    names::{self, Names},
    netns::Netns,
    process::Process,
    spec::{API, ClusterSpec, METADATA, OPENAPI, REGION},
    task::blocking,
};

/// How often is looked whether an agent serves.
const LOOK: Duration = Duration::from_millis(20);
/// Where an agent tells of itself, in its node alone.
const PAGES: &str = "127.0.0.1:9999";
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Lines of a log that an error shows.
const TAIL: usize = 12;

/// What went wrong with a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Files of its folder.
    #[error("{node}: cannot write `{path}`: {source}")]
    File {
        /// Its name.
        node: String,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The agent could not be started or signalled.
    #[error("{node}: cannot {what} `{program}`: {source}")]
    Daemon {
        /// Its name.
        node: String,
        /// What was tried.
        what: &'static str,
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It runs already.
    #[error("{0}: its agent runs already")]
    Runs(String),
    /// It ended by itself.
    #[error("{node}: the agent ended ({status}) before it served; its log ends with:\n{tail}")]
    Ended {
        /// Its name.
        node: String,
        /// How.
        status: ExitStatus,
        /// End of its log.
        tail: String,
    },
    /// It does not serve.
    #[error("{node}: the agent does not serve after {} s; its log ends with:\n{tail}", waited.as_secs())]
    Late {
        /// Its name.
        node: String,
        /// For how long it was given.
        waited: Duration,
        /// End of its log.
        tail: String,
    },
}

/// A node of a running cluster.
pub struct Node {
    /// Kubernetes' name.
    pub name: String,
    /// The cloud's name.
    pub instance: InstanceId,
    /// Its namespace.
    pub netns: Netns,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    dir: PathBuf,
    pins: PathBuf,
    mtu: u32,
    /// What an agent is started with besides.
    environment: Vec<(&'static str, String)>,
    daemon: Mutex<Option<Child>>,
}

impl Node {
    /// Makes the folder of a node that has its namespace already. `key`: of the cloud's account.
    pub fn new(
        spec: &ClusterSpec,
        names: &Names,
        number: usize,
        ips: Vec<IpAddr>,
        key: &(String, String),
    ) -> Result<Self, NodeError> {
        let (name, dir) = (names::node_name(number), names.node_dir(number));
        let netns = Netns::open(&names.node(number)).map_err(|error| NodeError::File {
            node: name.clone(),
            path: names.node(number).into(),
            source: io::Error::other(error),
        })?;
        let openapi = format!("http://{OPENAPI}");
        let environment = vec![
            ("ECS_ENDPOINT", openapi.clone()),
            ("VPC_ENDPOINT", openapi),
            ("ALIBABA_CLOUD_REGION_ID", REGION.to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", key.0.clone()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.1.clone()),
        ];
        let (instance, daemon) = (names::instance(number), Mutex::new(None));
        let pins = names.node_pins(number);
        let node = Self { name, instance, netns, ips, dir, pins, mtu: spec.mtu, environment, daemon };
        node.write(&node.dir.join("eni_conf.json"), &spec.eni_conf())?;
        node.write(&node.dir.join("10-terway.conflist"), &node.conflist())?;
        Ok(node)
    }

    fn write(&self, path: &Path, value: &Value) -> Result<(), NodeError> {
        let written = fs::create_dir_all(&self.dir).and_then(|()| fs::write(path, format!("{value:#}\n")));
        written.map_err(|source| NodeError::File { node: self.name.clone(), path: path.to_owned(), source })
    }

    /// The list of plugins that the agent puts where the runtime finds it.
    fn conflist(&self) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "name": "terway",
            "plugins": [{
                "type": "terway",
                "agent_socket": self.socket(),
                "mtu": self.mtu,
                "capabilities": { "bandwidth": true },
            }],
        })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its agent tells of denied packets.
    pub fn policy_events(&self) -> PathBuf {
        self.dir.join("policy_events.socket")
    }

    /// Where its programs and maps of policy are pinned.
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// Where its agent listens for the plugin.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("eni.socket")
    }

    /// The list of plugins, there from when the agent first served.
    pub fn served_conflist(&self) -> PathBuf {
        self.dir.join("net.d/10-terway.conflist")
    }

    /// The agent's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// Environment of programs that talk to the cloud.
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// Starts the agent. It does not serve yet, see [`Self::ready`].
    pub fn start_daemon(&self, program: &Path) -> Result<(), NodeError> {
        let mut daemon = self.daemon();
        if let Some(child) = &mut *daemon
            && matches!(child.try_wait(), Ok(None))
        {
            return Err(NodeError::Runs(self.name.clone()));
        }
        let failed = |source| self.failed("start", program, source);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let mut command = Command::new(program);
        let metadata = format!("http://{METADATA}/instances/{}", self.instance);
        let place = |name: &str| self.dir.join(name);
        for (flag, path) in [
            ("--config", place("eni_conf.json")),
            ("--socket", self.socket()),
            ("--state-dir", place("state")),
            ("--cni-conf-dir", place("net.d")),
            ("--cni-conf-template", place("10-terway.conflist")),
            ("--debug-socket", place("debug.socket")),
            ("--bpf-pin-dir", self.pins.clone()),
            ("--policy-events", self.policy_events()),
        ] {
            command.arg(flag).arg(path);
        }
        command
            .args(["--node-name", &self.name, "--listen", PAGES, "--log-format", "text"])
            .args(["--kube-url", &format!("http://{}:{}", API.0, API.1)])
            .args(["--metadata-endpoint", &metadata])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(std::env::var_os("RUST_LOG").map(|filter| ("RUST_LOG", filter)))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C at a terminal is for the cluster, which then ends its agents in order.
            .process_group(0);
        for dir in ["state", "net.d"] {
            fs::create_dir_all(place(dir)).map_err(failed)?;
        }
        let child = self.netns.run(|| command.spawn()).map_err(failed)?;
        let recorded = Process::of(child.id()).and_then(|it| it.record(&place("daemon.pid")));
        *daemon = Some(child);
        // One that has ended already needs no record; `ready` tells.
        if let Err(error) = recorded {
            tracing::warn!(node = self.name, %error, "no record of the agent");
        }
        Ok(())
    }

    /// Waits until the agent serves and the list of plugins is there.
    pub async fn ready(self: &Arc<Self>, patience: Duration) -> Result<(), NodeError> {
        let start = Instant::now();
        loop {
            if self.serves().await && self.served_conflist().exists() {
                return Ok(());
            }
            if let Some(child) = &mut *self.daemon()
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(NodeError::Ended { node: self.name.clone(), status, tail: self.tail() });
            }
            if start.elapsed() > patience {
                return Err(NodeError::Late { node: self.name.clone(), waited: patience, tail: self.tail() });
            }
            sleep(LOOK).await;
        }
    }

    /// Whether the agent says that it serves plugins.
    pub async fn serves(self: &Arc<Self>) -> bool {
        let node = Arc::clone(self);
        let answer = blocking(move || node.netns.run(|| get("/readyz"))).await;
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// What the agent tells of itself: a page of metrics.
    pub async fn metrics(self: &Arc<Self>) -> io::Result<String> {
        let node = Arc::clone(self);
        let answer = blocking(move || node.netns.run(|| get("/metrics"))).await?;
        Ok(answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, page)| page).to_owned())
    }

    /// Whether the agent runs.
    pub fn runs(&self) -> bool {
        self.daemon().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Number of the agent's process, if it runs.
    pub fn daemon_pid(&self) -> Option<u32> {
        let mut daemon = self.daemon();
        let child = daemon.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id())
    }

    /// Kills the agent, as a crash would, and waits until it is dead.
    pub async fn kill_daemon(&self) -> Result<(), NodeError> {
        self.end_daemon(Signal::KILL, Duration::from_secs(5)).await
    }

    /// Asks the agent to end; kills it when it does not within `grace`.
    pub async fn stop_daemon(&self, grace: Duration) -> Result<(), NodeError> {
        self.end_daemon(Signal::TERM, grace).await
    }

    async fn end_daemon(&self, signal: Signal, patience: Duration) -> Result<(), NodeError> {
        let what = if signal == Signal::KILL { "kill" } else { "stop" };
        let failed = |source| self.failed(what, Path::new("terway-daemon"), source);
        let Some(process) = self.daemon_pid().and_then(|pid| Process::of(pid).ok()) else { return Ok(()) };
        if signal == Signal::KILL {
            process.signal(signal).map_err(failed)?;
            process.gone(patience).await;
        } else {
            process.end(patience).await.map_err(failed)?;
        }
        if let Some(mut child) = self.daemon().take() {
            // It has ended: this takes no time.
            child.wait().map_err(failed)?;
        }
        match fs::remove_file(self.dir.join("daemon.pid")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// The end of the agent's log.
    fn tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(TAIL);
        lines[last..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }

    fn daemon(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &'static str, program: &Path, source: io::Error) -> NodeError {
        NodeError::Daemon { node: self.name.clone(), what, program: program.to_owned(), source }
    }
}

/// A page of the agent's in the calling thread's namespace, with its head.
fn get(path: &str) -> io::Result<String> {
    let address: SocketAddr = PAGES.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {PAGES}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
