//! Who takes part, and how each is called.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    agent::DUAL,
    node::{ENI_NAME, Ns},
};

/// Debian's containernetworking-plugins.
pub(crate) const PEERS: &str = "/usr/lib/cni";

/// Which table the bare program's rules lead to.
const TABLE: &str = "1003";

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// `terway`, with the agent's services behind a socket.
    Terway,
    /// The same, with an IPv6 address as well.
    TerwayDual,
    /// `ptp` with `host-local`.
    Ptp,
    /// The kernel's part alone.
    Bare,
    /// The same, with an IPv6 address as well.
    BareDual,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terway => "terway",
            Self::TerwayDual => "terway-dual",
            Self::Ptp => "ptp+host-local",
            Self::Bare => "bare",
            Self::BareDual => "bare-dual",
        }
    }
}

/// Where programs and state are.
pub(crate) struct Setting {
    pub(crate) plugin: PathBuf,
    pub(crate) bare: PathBuf,
    pub(crate) dir: PathBuf,
}

/// A contestant on a node of its own.
pub(crate) struct Contestant<'a> {
    pub(crate) who: Who,
    pub(crate) node: Ns,
    setting: &'a Setting,
}

/// A pod, and what its ADD said.
pub(crate) struct Pod {
    netns: Ns,
    number: u16,
    result: Value,
}

impl Pod {
    pub(crate) fn new(number: u16) -> Self {
        Self { netns: Ns::new(), number, result: Value::Null }
    }

    /// As long as containerd's.
    fn id(&self) -> String {
        format!("{:064x}", u64::from(self.number) * 0x9e37_79b9_7f4a_7c15)
    }
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(who: Who, setting: &'a Setting) -> Self {
        Self { who, node: Ns::node(), setting }
    }

    /// Time from exec to exit of an ADD.
    pub(crate) fn add(&self, pod: &mut Pod) -> Duration {
        let (elapsed, stdout) = self.call("ADD", pod);
        pod.result = serde_json::from_slice(&stdout).unwrap_or_default();
        elapsed
    }

    /// Time from exec to exit of a DEL.
    pub(crate) fn del(&self, pod: &Pod) -> Duration {
        self.call("DEL", pod).0
    }

    fn call(&self, verb: &str, pod: &Pod) -> (Duration, Vec<u8>) {
        let (mut command, stdin) = self.command(verb, pod);
        self.node.run(|| {
            let started = Instant::now();
            let mut child = command.spawn().expect("starts");
            child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("read");
            let output = child.wait_with_output().expect("ends");
            let elapsed = started.elapsed();
            let said = [&output.stdout[..], &output.stderr].concat();
            assert!(output.status.success(), "{:?} {verb}: {}", self.who, String::from_utf8_lossy(&said));
            (elapsed, output.stdout)
        })
    }

    /// The command, from the node's namespace, and its stdin.
    fn command(&self, verb: &str, pod: &Pod) -> (Command, String) {
        let setting = self.setting;
        let program = match self.who {
            Who::Terway | Who::TerwayDual => setting.plugin.clone(),
            Who::Ptp => Path::new(PEERS).join("ptp"),
            Who::Bare | Who::BareDual => setting.bare.clone(),
        };
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if matches!(self.who, Who::Bare | Who::BareDual) {
            self.bare(verb, pod, &mut command);
            return (command, String::new());
        }
        let dual = self.who == Who::TerwayDual;
        let namespace = if dual { DUAL } else { "default" };
        let number = pod.number;
        let args =
            format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=web-{number};K8S_POD_UID=u");
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", pod.id())
            .env("CNI_NETNS", &pod.netns.path)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", args)
            .env("CNI_PATH", PEERS)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut config = match self.who {
            Who::Ptp => json!({"cniVersion": "1.0.0", "name": "ptp", "type": "ptp", "mtu": 1500, "ipam": {
                "type": "host-local", "dataDir": setting.dir.join("host-local"),
                "ranges": [[{"subnet": "10.4.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}),
            _ => json!({"cniVersion": "1.0.0", "name": "terway", "type": "terway",
                "agent_socket": self.socket()}),
        };
        if verb != "ADD" {
            config["prevResult"] = pod.result.clone();
        }
        (command, config.to_string())
    }

    /// Where this contestant's agent listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.setting.dir.join(format!("{}.socket", self.who.name()))
    }

    fn bare(&self, verb: &str, pod: &Pod, command: &mut Command) {
        let [high, low] = pod.number.to_be_bytes();
        let link = format!("cali{:011x}", pod.number);
        if verb == "ADD" {
            command.arg("add").arg(&pod.netns.path).args([&link, ENI_NAME, TABLE]);
        } else {
            command.arg("del").args([&link, TABLE]);
        }
        command.arg(format!("10.3.{high}.{low}"));
        if self.who == Who::BareDual {
            command.arg(format!("2408::{:x}", pod.number));
        }
    }

    /// Time from exec to the first byte on the agent's socket, of an ADD.
    pub(crate) fn first_byte(&self, pod: &Pod, listener: &std::os::unix::net::UnixListener) -> Duration {
        let (mut command, stdin) = self.command("ADD", pod);
        let socket = listener.local_addr().expect("bound");
        let socket = socket.as_pathname().expect("it has a path");
        let mut config: Value = serde_json::from_str(&stdin).expect("JSON");
        config["agent_socket"] = json!(socket);
        self.node.run(|| {
            let started = Instant::now();
            let mut child = command.spawn().expect("starts");
            child.stdin.take().expect("piped").write_all(config.to_string().as_bytes()).expect("read");
            let (mut stream, _) = listener.accept().expect("connected");
            std::io::Read::read_exact(&mut stream, &mut [0]).expect("a byte");
            let elapsed = started.elapsed();
            // It is not answered: it would only try to give back what it did not get.
            child.kill().expect("our own child");
            child.wait().expect("ends");
            elapsed
        })
    }
}
