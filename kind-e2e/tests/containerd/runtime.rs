//! A containerd of the test's own, in a node's network namespace, and a client for it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use k8s_cri::v1::{
    LinuxPodSandboxConfig, ListPodSandboxRequest, PodSandboxConfig, PodSandboxMetadata, PodSandboxState,
    PodSandboxStatusRequest, RemovePodSandboxRequest, RunPodSandboxRequest, StopPodSandboxRequest,
    VersionRequest, runtime_service_client::RuntimeServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use terway_core::id::PodKey;
use terway_e2e::{node::Node, process::Process};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep},
};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::common::PATIENCE;

const PROGRAMS: [&str; 5] = ["containerd", "runc", "ctr", "cc", "tar"];
/// containerd brings every sandbox's `lo` up by this plugin.
const LOOPBACK: &str = "/usr/lib/cni/loopback";
/// Of folders of runtimes.
const PREFIX: &str = "tw-cri-";
/// Record of the test that a folder belongs to.
const OWNER: &str = "owner.pid";
const IMAGE: &str = "terway.test/pause:1";

/// Whether containerd can be run. Says so aloud where it cannot.
pub(crate) fn available() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let mut missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !there(program)).collect();
    missing.extend([LOOPBACK].into_iter().filter(|path| !Path::new(path).is_file()));
    if !missing.is_empty() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: needs {}; ci/setup installs them", missing.join(", "));
    }
    missing.is_empty()
}

/// A containerd.
pub(crate) struct Containerd {
    dir: tempfile::TempDir,
    node: Arc<Node>,
    child: Option<Child>,
}

impl Containerd {
    /// Starts one in the namespace of a node, with our plugin as its network.
    pub(crate) async fn start(node: &Arc<Node>) -> Self {
        clean();
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a folder");
        Process::own().and_then(|own| own.record(&dir.path().join(OWNER))).expect("recorded");
        let own = std::env::current_exe().expect("we are a program");
        let programs =
            terway_e2e::programs::Programs::find(&own, |name| std::env::var_os(name).map(Into::into));
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).expect("made");
        symlink(programs.expect("they are built").plugin, bin.join("terway")).expect("linked");
        symlink(LOOPBACK, bin.join("loopback")).expect("linked");
        fs::write(dir.path().join("config.toml"), config(dir.path(), &node.dir().join("net.d")))
            .expect("written");
        let mut containerd = Self { dir, node: Arc::clone(node), child: None };
        containerd.spawn().await;
        let image = image(containerd.dir.path());
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(containerd.socket()).args(["-n", "k8s.io", "images", "import"]).arg(&image);
        let imported = ctr.output().expect("ctr is there");
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        containerd
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    async fn spawn(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("a log");
        let mut command = Command::new("containerd");
        command
            .arg("--config")
            .arg(self.dir.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        // What it starts lives in the node's network, as on a node.
        self.child = Some(self.node.netns.run(|| command.spawn()).expect("started"));
        let start = Instant::now();
        while self.connect().await.is_none() {
            assert!(start.elapsed() < PATIENCE, "containerd does not serve:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn connect(&self) -> Option<Client> {
        let socket = self.socket();
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The address is not looked at.
        let channel =
            Endpoint::from_static("http://containerd").connect_with_connector(connect).await.ok()?;
        let mut client = RuntimeServiceClient::new(channel);
        client.version(VersionRequest { version: "v1".into() }).await.ok()?;
        Some(Client(client))
    }

    pub(crate) async fn client(&self) -> Client {
        self.connect().await.expect("it serves")
    }

    async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let start = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it and starts it again, sandboxes running.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.spawn().await;
    }

    /// Ends it, when all sandboxes are gone.
    pub(crate) async fn end(mut self) {
        self.stop().await;
    }
}

impl Drop for Containerd {
    /// A test that failed has left sandboxes: their processes and mounts are ours to end.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        take_away(self.dir.path());
    }
}

/// Takes away what runtimes left whose test was killed.
fn clean() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // One without a record is being made, or being taken away.
        if ours && Process::read(&path.join(OWNER)).is_some_and(|owner| !owner.runs()) {
            take_away(&path);
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Ends the processes of a runtime in a folder and undoes its mounts, namespaces of sandboxes among them.
fn take_away(dir: &Path) {
    end_processes(dir);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut ours: Vec<&str> = paths.filter(|path| Path::new(path).starts_with(dir)).collect();
    ours.sort_unstable();
    for mount in ours.into_iter().rev() {
        let _ = Command::new("umount").args(["-l", mount]).status();
    }
}

/// Ends the runtimes and shims whose command line names this folder, and what their sandboxes run.
fn end_processes(dir: &Path) {
    let dir = dir.display().to_string();
    let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = read(entry.path().join("cmdline"));
        let program = line.split('\0').next().unwrap_or_default();
        let runtime = program.ends_with("/containerd-shim-runc-v2") || program == "containerd";
        // A sandbox's program has our image's folder as its root.
        let inside = fs::read_link(entry.path().join("root")).is_ok_and(|root| root.starts_with(&dir));
        if (runtime && line.contains(&dir)) || inside {
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

/// `restrict_oom_score_adj`: sandboxes start on machines without CAP_SYS_RESOURCE too.
fn config(dir: &Path, conf_dir: &Path) -> String {
    let (dir, conf_dir) = (dir.display(), conf_dir.display());
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
[grpc]
  address = "{dir}/containerd.sock"
[ttrpc]
  address = "{dir}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{IMAGE}"
  disable_apparmor = true
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{dir}/bin"
    conf_dir = "{conf_dir}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"#
    )
}

/// An image with one program that waits, made here: no registry is asked.
fn image(dir: &Path) -> PathBuf {
    let work = dir.join("image");
    fs::create_dir_all(work.join("layer")).expect("made");
    let source = "#include <signal.h>\n#include <unistd.h>\nstatic void end(int s) { (void)s; _exit(0); }\n\
                  int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }\n";
    fs::write(work.join("pause.c"), source).expect("written");
    run(Command::new("cc")
        .args(["-static", "-Os", "-o"])
        .arg(work.join("layer/pause"))
        .arg(work.join("pause.c")));
    run(Command::new("tar")
        .arg("-C")
        .arg(work.join("layer"))
        .arg("-cf")
        .arg(work.join("layer.tar"))
        .arg("pause"));
    let mut digest = String::new();
    for byte in Sha256::digest(fs::read(work.join("layer.tar")).expect("made")) {
        let _ = write!(digest, "{byte:02x}");
    }
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(work.join("config.json"), config.to_string()).expect("written");
    fs::write(work.join("manifest.json"), manifest.to_string()).expect("written");
    let image = dir.join("image.tar");
    let parts = ["manifest.json", "config.json", "layer.tar"];
    run(Command::new("tar").arg("-C").arg(&work).arg("-cf").arg(&image).args(parts));
    image
}

fn run(command: &mut Command) {
    let output = command.output().expect("it is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a kubelet says to a runtime.
#[derive(Clone)]
pub(crate) struct Client(RuntimeServiceClient<Channel>);

impl Client {
    fn config(pod: &PodKey, uid: &str) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: pod.name.to_string(),
                namespace: pod.namespace.to_string(),
                uid: uid.to_owned(),
                attempt: 0,
            }),
            log_directory: String::new(),
            linux: Some(LinuxPodSandboxConfig { cgroup_parent: "/terway-test".into(), ..Default::default() }),
            ..Default::default()
        }
    }

    pub(crate) async fn run(&self, pod: &PodKey, uid: &str) -> Result<String, String> {
        let request =
            RunPodSandboxRequest { config: Some(Self::config(pod, uid)), runtime_handler: String::new() };
        let reply =
            self.0.clone().run_pod_sandbox(request).await.map_err(|status| status.message().to_owned())?;
        Ok(reply.into_inner().pod_sandbox_id)
    }

    pub(crate) async fn stop(&self, id: &str) -> Result<(), String> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.into() };
        self.0.clone().stop_pod_sandbox(request).await.map(drop).map_err(|status| status.message().to_owned())
    }

    pub(crate) async fn remove(&self, id: &str) -> Result<(), String> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        self.0
            .clone()
            .remove_pod_sandbox(request)
            .await
            .map(drop)
            .map_err(|status| status.message().to_owned())
    }

    /// Sandboxes that run.
    pub(crate) async fn list(&self) -> BTreeSet<String> {
        let reply = self.0.clone().list_pod_sandbox(ListPodSandboxRequest::default()).await.expect("listed");
        let ready = PodSandboxState::SandboxReady as i32;
        reply.into_inner().items.into_iter().filter(|it| it.state == ready).map(|it| it.id).collect()
    }

    /// What the runtime has for a sandbox's address.
    pub(crate) async fn ip(&self, id: &str) -> IpAddr {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose: false };
        let reply = self.0.clone().pod_sandbox_status(request).await.expect("told").into_inner();
        let network = reply.status.expect("a status").network.expect("a network");
        network.ip.parse().expect("an address")
    }
}
