//! Rows of lists of plugins: with Debian's own, driven as libcni drives a list, and by upstream's `cnitool`.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use terway_dataplane::linux::netns;
use tokio::time::Instant;

use crate::bed::{Bed, Netns, Outcome, Sandbox, plugin, say};

/// Debian's containernetworking-plugins.
const PEERS: &str = "/usr/lib/cni";
/// Where the pod is reached on the node, and where it listens.
const HOST_PORT: u16 = 8080;
const POD_PORT: u16 = 80;
/// Bits per second that `bandwidth` lets into the pod: half a megabyte takes half a second.
const RATE: u64 = 8_000_000;
const BURST: u64 = 400_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the others of the list are here. The kernel's packet filter is needed as well, by portmap.
pub(crate) fn peers() -> Result<(), String> {
    for name in ["loopback", "portmap", "bandwidth"] {
        if !Path::new(PEERS).join(name).exists() {
            return Err(format!("no {PEERS}/{name}; ci/setup installs containernetworking-plugins"));
        }
    }
    for name in ["iptables", "ip6tables"] {
        if !Path::new("/usr/sbin").join(name).exists() {
            return Err(format!("no /usr/sbin/{name}, which portmap calls; ci/setup installs iptables"));
        }
    }
    Ok(())
}

/// A list of plugins, run as libcni runs it: ADD forwards, each with the result of the one before; CHECK forwards and
/// DEL backwards, with the result of the last.
struct List<'a> {
    bed: &'a Bed,
    sandbox: &'a Sandbox,
    plugins: Vec<Value>,
    runtime: Value,
}

impl List<'_> {
    fn run(&self, verb: &str, entry: &Value, before: Option<&Value>) -> Outcome {
        let mut config = entry.clone();
        config["cniVersion"] = json!("1.0.0");
        config["name"] = json!("terway");
        // What the runtime has for a plugin is given to those that ask for it.
        let asked = entry["capabilities"].as_object().into_iter().flatten();
        for (capability, _) in asked.filter(|(_, wanted)| **wanted == json!(true)) {
            config["runtimeConfig"][capability] = self.runtime[capability].clone();
        }
        if let Some(object) = config.as_object_mut() {
            object.remove("capabilities");
        }
        if let Some(result) = before {
            config["prevResult"] = result.clone();
        }
        let kind = entry["type"].as_str().expect("text");
        let program = if kind == "terway" { plugin() } else { Path::new(PEERS).join(kind).into() };
        let tools = self.bed.dir.path().join(if self.bed.agent().state().only_v4 { "v4" } else { "both" });
        self.bed.verb_of(program, &tools, verb, self.sandbox, &config)
    }

    fn add(&self) -> Value {
        let mut result = None;
        for entry in &self.plugins {
            let outcome = self.run("ADD", entry, result.as_ref());
            assert_eq!(outcome.code, 0, "{}: {outcome:?}", entry["type"]);
            result = Some(outcome.json());
        }
        result.expect("a list has an entry")
    }

    /// The CHECK of portmap 1.1.1 fails of itself where there is `ip6tables` to look with: it looks for each family's
    /// rules among both families'. With a pod of both it is left out.
    fn check(&self, result: &Value) -> Result<(), String> {
        let broken = |entry: &&Value| entry["type"] == "portmap" && !self.bed.agent().state().only_v4;
        self.plugins.iter().filter(|entry| !broken(entry)).try_for_each(|entry| {
            let outcome = self.run("CHECK", entry, Some(result));
            if outcome.code == 0 { Ok(()) } else { Err(format!("{}: {outcome:?}", entry["type"])) }
        })
    }

    fn del(&self, result: Option<&Value>) {
        for entry in self.plugins.iter().rev() {
            let outcome = self.run("DEL", entry, result);
            assert_eq!(outcome.code, 0, "{}: {outcome:?}", entry["type"]);
        }
    }
}

/// All that the list makes on the host, the others' included.
fn all_residue(bed: &Bed) -> String {
    let others = "iptables -t nat -S | grep -e 10.0.3 -e CNI-DN-; ip6tables -t nat -S | grep -e CNI-DN-; ip -br link show type ifb; true";
    bed.residue() + &bed.host.run(others)
}

pub(crate) fn with_debians() {
    let (bed, pod, neighbour) = (Bed::new(), Netns::new(), Netns::new());
    reachable(&bed, &neighbour);
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let list = List {
        bed: &bed,
        sandbox: &sandbox,
        plugins: vec![
            json!({"type": "loopback"}),
            json!({"type": "terway", "agent_socket": bed.socket()}),
            json!({"type": "portmap", "capabilities": {"portMappings": true}}),
            json!({"type": "bandwidth", "capabilities": {"bandwidth": true}}),
        ],
        runtime: json!({
            "portMappings": [{"hostPort": HOST_PORT, "containerPort": POD_PORT, "protocol": "tcp"}],
            "bandwidth": {"ingressRate": RATE, "ingressBurst": BURST, "egressRate": RATE, "egressBurst": BURST},
        }),
    };
    for (folder, names) in [("v4", &["iptables"][..]), ("both", &["iptables", "ip6tables"])] {
        let folder = bed.dir.path().join(folder);
        std::fs::create_dir(&folder).expect("a folder");
        for name in names {
            std::os::unix::fs::symlink(Path::new("/usr/sbin").join(name), folder.join(name)).expect("linked");
        }
    }
    let clean = all_residue(&bed);
    for (remembered, only_v4) in [(true, true), (false, true), (true, false)] {
        bed.agent().state().only_v4 = only_v4;
        let result = list.add();
        let names: Vec<&str> = result["interfaces"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        assert!(names.contains(&"lo") && names.contains(&"eth0"), "each kept what was before it: {result}");
        list.check(&result).expect("as it was made");
        let took = serve(&pod, &neighbour, "10.0.0.9".parse().expect("valid"));
        assert!(took > Duration::from_millis(300), "{BYTES} bytes came in {took:?}");
        // What is taken from us is still named with the others behind us.
        bed.host.run("ip rule del priority 512");
        let told = list.check(&result).expect_err("a rule is gone");
        assert!(told.starts_with("\"terway\"") && told.contains("priority 512"), "{told}");
        list.del(remembered.then_some(&result));
        assert_eq!(all_residue(&bed), clean);
        assert!(!pod.run("ip -br link").contains("eth0"));
        assert!(bed.agent().state().records.is_empty());
    }
    // To come first is refused by these two themselves, whoever is behind them.
    for kind in ["portmap", "bandwidth"] {
        let outcome = list.run("ADD", &json!({"type": kind, "runtimeConfig": list.runtime}), None);
        assert!(outcome.code != 0 && outcome.stdout.contains("chained"), "{kind}: {outcome:?}");
    }
}

/// The other end of the ENI is the neighbour's; the ENI is as the agent sets it up.
fn reachable(bed: &Bed, neighbour: &Netns) {
    let path = neighbour.path().display().to_string();
    let pid = path.split('/').nth(2).expect("a process");
    bed.host.run(&format!(
        "ip link set vpc netns {pid} && ip address add 10.0.0.9/24 dev ens6 && ip link set lo up && \
         ip route add default via 10.0.0.1 dev ens6 onlink table $((1000 + $(cat /proc/self/net/dev_snmp6/ens6 | \
         awk '$1 == \"ifIndex\" {{print $2}}')))"
    ));
    neighbour.run("ip address add 10.0.0.1/24 dev vpc && ip link set vpc up");
}

const BYTES: usize = 500_000;

/// The neighbour connects to the node's port; the pod answers, and takes what it is sent. How long that took.
fn serve(pod: &Netns, neighbour: &Netns, node: std::net::Ipv4Addr) -> Duration {
    let inside = |at: &Netns| File::open(at.path()).expect("a namespace");
    let listen = || TcpListener::bind(("0.0.0.0", POD_PORT));
    let listener = netns::within(inside(pod).as_fd(), listen).expect("the pod listens");
    let address = SocketAddr::from((node, HOST_PORT));
    let connect = || TcpStream::connect_timeout(&address, PATIENCE);
    let mut client =
        netns::within(inside(neighbour).as_fd(), connect).expect("the node's port leads to the pod");
    let (mut server, _) = listener.accept().expect("the pod accepts");
    let reached = server.local_addr().expect("bound");
    assert!(reached.to_string().starts_with("10.0.3.") && reached.port() == POD_PORT, "{reached}");
    server.set_read_timeout(Some(PATIENCE)).expect("set");
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || client.write_all(&vec![7; BYTES]).expect("sent"));
        server.read_exact(&mut vec![0; BYTES]).expect("received");
    });
    started.elapsed()
}

/// Upstream's tool: that of `TERWAY_CNITOOL`.
pub(crate) fn tool() -> Result<PathBuf, String> {
    let path = std::env::var_os("TERWAY_CNITOOL").map(PathBuf::from);
    let path = path.ok_or("no upstream's cnitool: TERWAY_CNITOOL names it; the step 45-plugin builds it")?;
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("there is no {}, which TERWAY_CNITOOL names", path.display()))
    }
}

pub(crate) fn by_cnitool() {
    let Ok(tool) = tool() else { panic!("asked for without the tool") };
    let (bed, pod) = (Bed::new(), Netns::new());
    let clean = bed.residue();
    let bin = bed.dir.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(plugin(), bin.join("terway")).expect("linked");
    for version in ["0.4.0", "1.0.0", "1.1.0"] {
        let list = json!({"cniVersion": version, "name": "terway", "plugins": [
            {"type": "terway", "agent_socket": bed.socket()}]});
        std::fs::write(bed.dir.path().join("10-terway.conflist"), list.to_string()).expect("written");
        // It keeps results below /var/lib/cni: here that is memory which nobody else sees.
        let verbs = if version == "1.1.0" { "status add check del status del" } else { "add check del del" };
        let script = format!(
            "set -e; mount -t tmpfs none /var/lib; for verb in {verbs}; do {} $verb terway {}; done",
            tool.display(),
            pod.path().display()
        );
        let mut command = bed.host.command("unshare");
        let output = command
            .args(["--mount", "sh", "-c", &script])
            .env("NETCONFPATH", bed.dir.path())
            .env("CNI_PATH", &bin)
            .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web")
            .output()
            .expect("util-linux is there");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{version}: {stdout}{stderr}");
        let result: Value = serde_json::from_str(&stdout).expect("what the ADD said, and nothing else");
        assert!(result["ips"][0]["address"].as_str().is_some_and(|it| it.starts_with("10.0.3.")), "{result}");
        assert_eq!(result["cniVersion"], version);
        assert_eq!(bed.residue(), clean);
        assert!(bed.agent().state().records.is_empty());
    }
    say(&format!("driven by {}", tool.display()));
}
