//! A node made of namespaces: a host with an ENI, pods, and an agent on a unix socket that behaves.
//!
//! Namespaces are those of sleeping processes, so they vanish with them, and the processes end with the
//! thread that started them: nothing is left, whatever kills the test. The machine's own namespace is never
//! entered.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

pub(crate) mod agent;

/// The program under test: `TERWAY_PLUGIN` where another build of it is to be tried, such as that of `ci/plugin`.
pub(crate) fn plugin() -> OsString {
    std::env::var_os("TERWAY_PLUGIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_terway").into())
}

/// Says something past the test runner, which keeps what passing tests print.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) const ENI_MAC: &str = "00:16:3e:00:00:01";

/// One test at a time. A process that another thread is about to start has, for a moment, a copy of an agent's listener:
/// whoever connects then to an agent that was killed is not refused.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether namespaces can be made and programs be traced here; says so loudly where they cannot.
pub(crate) fn can_run(test: &str) -> bool {
    let works = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    for (program, args) in [("unshare", &["-n", "true"][..]), ("ip", &["-V"]), ("strace", &["-V"])] {
        if !works(program, args) {
            say(&format!("SKIPPED {test}: needs root and `{program}`; ci/setup installs it"));
            return false;
        }
    }
    true
}

/// A network namespace, for as long as it is held.
pub(crate) struct Netns(Child);

impl Netns {
    pub(crate) fn new() -> Self {
        let mut child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "-n",
                "sh",
                "-c",
                "ip link set lo up; echo; exec sleep infinity",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is there");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the namespace is ready");
        Self(child)
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    /// Runs a command inside and gives its output.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.command("sh").args(["-c", line]).output().expect("nsenter is there");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program);
        command
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the plugin left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it succeeded without a word.
    pub(crate) fn silent(&self) -> Result<(), String> {
        if self.code == 0 && self.stdout.is_empty() { Ok(()) } else { Err(format!("{self:?}")) }
    }

    /// That it failed with this code, in one document; gives message and details.
    pub(crate) fn failed(&self, code: u64) -> Result<String, String> {
        let json: Value = serde_json::from_str(&self.stdout).map_err(|error| format!("{error}: {self:?}"))?;
        if self.code == 0 || json["code"] != code || json["cniVersion"].as_str().is_none_or(str::is_empty) {
            return Err(format!("wanted code {code}: {self:?}"));
        }
        Ok(format!(
            "{} {}",
            json["msg"].as_str().unwrap_or_default(),
            json["details"].as_str().unwrap_or_default()
        ))
    }
}

/// A node.
pub(crate) struct Bed {
    pub(crate) host: Netns,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) agent: Option<agent::Running>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let host = Netns::new();
        // A veth stands in for the ENI.
        host.run(&format!(
            "ip link add ens6 address {ENI_MAC} type veth peer name vpc && ip link set ens6 up && ip link set vpc up"
        ));
        let dir = tempfile::tempdir().expect("a folder");
        let agent = Some(agent::Running::start(&dir.path().join("eni.socket")));
        Self { host, dir, agent }
    }

    pub(crate) fn agent(&self) -> &agent::Running {
        self.agent.as_ref().expect("the agent runs")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("eni.socket")
    }

    /// The agent dies: nobody listens, its memory is gone.
    pub(crate) fn kill_agent(&mut self) {
        self.agent = None;
    }

    pub(crate) fn start_agent(&mut self) {
        self.agent = Some(agent::Running::start(&self.socket()));
    }

    pub(crate) fn config(&self) -> Value {
        json!({"cniVersion": "1.1.0", "name": "terway", "type": "terway", "agent_socket": self.socket()})
    }

    /// Runs the plugin on the node.
    pub(crate) fn plugin(&self, variables: &[(&str, &str)], stdin: &str) -> Outcome {
        finish(self.host.command(plugin()), variables, stdin, |_| {})
    }

    /// Starts the plugin, does something while it waits for stdin, and runs it.
    pub(crate) fn plugin_after(
        &self,
        variables: &[(&str, &str)],
        stdin: &str,
        meanwhile: impl FnOnce(),
    ) -> Outcome {
        finish(self.host.command(plugin()), variables, stdin, |pid| {
            let of = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            // `read` of descriptor 0, by the plugin and not by what becomes it.
            while of("comm").trim_end() != "terway" || !of("syscall").starts_with("0 0x0 ") {
                std::thread::yield_now();
            }
            meanwhile();
        })
    }

    /// Runs a verb on a sandbox.
    pub(crate) fn verb(&self, verb: &str, sandbox: &Sandbox, config: &Value) -> Outcome {
        Self::verb_by(self.host.command(plugin()), verb, sandbox, config)
    }

    /// Runs a verb of another program, which finds those that it needs in a folder.
    pub(crate) fn verb_of(
        &self,
        program: OsString,
        path: &Path,
        verb: &str,
        sandbox: &Sandbox,
        config: &Value,
    ) -> Outcome {
        let mut command = self.host.command("env");
        command.arg(format!("PATH={}", path.display())).arg(program);
        Self::verb_by(command, verb, sandbox, config)
    }

    /// Runs a verb under strace.
    pub(crate) fn traced(&self, options: &[&str], verb: &str, sandbox: &Sandbox) -> Outcome {
        self.traced_with(options, verb, sandbox, &self.config())
    }

    /// The same, with this configuration.
    pub(crate) fn traced_with(
        &self,
        options: &[&str],
        verb: &str,
        sandbox: &Sandbox,
        config: &Value,
    ) -> Outcome {
        let mut command = self.host.command("strace");
        command.args(options).arg(plugin());
        Self::verb_by(command, verb, sandbox, config)
    }

    fn verb_by(command: Command, verb: &str, sandbox: &Sandbox, config: &Value) -> Outcome {
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID=u-1",
            sandbox.pod, sandbox.id
        );
        let netns = sandbox.netns.display().to_string();
        let variables = [
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", &*sandbox.id),
            ("CNI_NETNS", &netns),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", &args),
            ("CNI_PATH", "/opt/cni/bin"),
        ];
        finish(command, &variables, &config.to_string(), |_| {})
    }

    /// ADD that must succeed; gives its result.
    pub(crate) fn add(&self, sandbox: &Sandbox) -> Value {
        let outcome = self.verb("ADD", sandbox, &self.config());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.json()
    }

    /// The configuration with the result of an ADD.
    pub(crate) fn after(&self, result: &Value) -> Value {
        let mut config = self.config();
        config["prevResult"] = result.clone();
        config
    }

    /// All that ADD makes on the host, in words that do not hold indexes or counters.
    pub(crate) fn residue(&self) -> String {
        self.host.run(
            "ip -br link | grep cali; ip rule | grep -v -e '^0:' -e '^3276'; ip -6 rule | grep -v -e '^0:' -e '^3276'; \
             ip route; ip -6 route | grep -v fe80::/64; true",
        )
    }
}

fn finish(
    mut command: Command,
    variables: &[(&str, &str)],
    stdin: &str,
    meanwhile: impl FnOnce(u32),
) -> Outcome {
    let mut child = command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    meanwhile(child.id());
    // A plugin that does not read stdin closes it; that is its right.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("ends");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A sandbox of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    pub(crate) pod: String,
    pub(crate) id: String,
    pub(crate) netns: PathBuf,
}

impl Sandbox {
    pub(crate) fn new(pod: &str, id: &str, netns: &Path) -> Self {
        Self { pod: pod.into(), id: id.into(), netns: netns.into() }
    }
}
