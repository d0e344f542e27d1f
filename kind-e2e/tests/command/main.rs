//! The program, as a user types it: what is left, what is told, what scripts rely on.

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use terway_e2e::{
    clean,
    names::{Names, cluster_of},
    netns::Netns,
    process::Process,
};

use common::{name, root, until};

/// What names of namespaces begin with that are no cluster's.
const FOREIGN: &str = "foreign-to-e2e-";

/// Whether the kernel can be worked on. Clusters in the background outlive a test that was killed or has failed: those of
/// test runs that have ended are ended, too, and their namespaces go.
fn ready() -> bool {
    if !root() {
        return false;
    }
    let ended = |pid: &str| pid.parse::<u32>().is_ok_and(|pid| Process::of(pid).is_err());
    for cluster in clean::clusters() {
        if cluster.strip_prefix('t').and_then(|it| it.split_once('x')).is_some_and(|(pid, _)| ended(pid)) {
            // Another test may be doing the same.
            let _ended = e2e(&["down", "--name", &cluster]);
        }
    }
    for name in Netns::names() {
        if name.strip_prefix(FOREIGN).is_some_and(ended) {
            let _removed = Netns::remove(&name);
        }
    }
    true
}

fn e2e(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_terway-e2e")).args(args).output().expect("it runs")
}

/// What it printed; it must have ended well.
fn told(args: &[&str]) -> String {
    let output = e2e(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out.into_owned()
}

fn refused(args: &[&str], code: i32) -> String {
    let output = e2e(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn namespaces(cluster: &str) -> BTreeSet<String> {
    Netns::names().into_iter().filter(|name| cluster_of(name) == Some(cluster)).collect()
}

fn owner(cluster: &str) -> Process {
    clean::owner(&Names::new(cluster).expect("valid")).expect("it runs")
}

fn kill(process: &Process, signal: Signal) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).expect("a number");
    kill_process(pid, signal).expect("it is there");
}

#[test]
fn a_cluster_runs_in_the_background_until_it_is_taken_down() {
    if !ready() {
        return;
    }
    let name = name();
    let which = ["--name", &name];
    let said = told(&[
        "up",
        which[0],
        which[1],
        "--no-agents",
        "--nodes",
        "2",
        "--zones",
        "2",
        "--ip-stack",
        "dual",
    ]);
    assert!(
        said.contains("n2    cn-e2e-b") && said.contains(&format!("terway-e2e down --name {name}")),
        "{said}"
    );
    let status: Value = serde_json::from_str(&told(&["status", "--json", which[0], which[1]])).expect("JSON");
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["nodes"][1]["ips"], serde_json::json!(["10.0.1.1", "2001:db8:0:1::2"]));
    let ping =
        ["ping", "node:1", "node:2", "--count", "1", "--size", "8192", "--json", "-6", which[0], which[1]];
    let ping: Value = serde_json::from_str(&told(&ping)).expect("JSON");
    assert_eq!((&ping["received"], &ping["bytes"]), (&1.into(), &8192.into()));
    let links = told(&["exec", which[0], which[1], "--node", "2", "--", "cat", "/proc/net/dev"]);
    assert!(links.contains("eth0"), "{links}");
    let says = refused(&["ping", "node:1", "10.0.0.77", "--count", "1", which[0], which[1]], 1);
    assert!(says.is_empty(), "{says}");
    let says = refused(&["up", which[0], which[1]], 2);
    assert!(says.contains("runs already") || says.contains("not found"), "{says}");
    let says = refused(&["pod", "run", "a", "--node", "1", which[0], which[1]], 1);
    assert!(says.contains("have no agents"), "{says}");
    let says = refused(&["exec", "a", which[0], which[1], "--", "true"], 1);
    assert!(says.contains("there is no pod `a`; there are: none"), "{says}");
    told(&["down", which[0], which[1]]);
    assert_eq!(namespaces(&name), BTreeSet::new());
    assert!(!Names::new(&name).expect("valid").dir().exists());
    let says = refused(&["status", which[0], which[1]], 2);
    assert!(says.contains(&format!("no cluster `{name}` runs")), "{says}");
}

#[test]
fn what_a_killed_cluster_left_is_taken_away_and_nothing_else() {
    if !ready() {
        return;
    }
    let (killed, running, foreign) = (name(), name(), format!("{FOREIGN}{}", std::process::id()));
    for name in [&killed, &running] {
        told(&["up", "--name", name, "--no-agents", "--nodes", "1"]);
    }
    Netns::create(&foreign).expect("made");
    let process = owner(&killed);
    // A record may name a process of somebody else by the time that it is read.
    let mut other = Command::new("sleep").arg("60").spawn().expect("sleep is there");
    let record = Process { pid: other.id(), ..process.clone() };
    record.record(&Names::new(&killed).expect("valid").dir().join("n1/daemon.pid")).expect("written");
    assert_eq!(namespaces(&killed).len(), 3);
    // Whoever starts or cleans from now on takes away what is left, another test among them.
    kill(&process, Signal::KILL);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(until("it is dead", async || !process.runs()));
    told(&["clean"]);
    assert_eq!(namespaces(&killed), BTreeSet::new());
    assert!(!Names::new(&killed).expect("valid").dir().exists());
    assert!(Process::of(other.id()).is_ok(), "a process that is not ours was killed");
    assert_eq!(namespaces(&running).len(), 3, "a running cluster lost something");
    told(&["ping", "node:1", "outside", "--count", "1", "--name", &running]);
    assert!(Netns::names().contains(&foreign), "a foreign namespace was removed");
    other.kill().and_then(|()| other.wait()).expect("ours");
    Netns::remove(&foreign).expect("removed");
    // The next start cleans by itself.
    let process = owner(&running);
    kill(&process, Signal::KILL);
    runtime.block_on(until("it is dead", async || !process.runs()));
    let next = name();
    told(&["up", "--name", &next, "--no-agents", "--nodes", "1"]);
    assert_eq!(namespaces(&running), BTreeSet::new());
    // A signal ends it in order.
    let process = owner(&next);
    kill(&process, Signal::TERM);
    runtime.block_on(until("everything is gone", async || namespaces(&next).is_empty() && !process.runs()));
    assert!(!Path::new(terway_e2e::names::ROOT).join(&next).exists());
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    if !ready() {
        return;
    }
    let (name, dir) = (name(), tempfile::tempdir().expect("a folder"));
    // An agent that never serves.
    let agent = dir.path().join("agent");
    std::fs::write(&agent, "#!/bin/sh\nexec sleep 60\n").expect("written");
    std::fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    let mut up = Command::new(env!("CARGO_BIN_EXE_terway-e2e"))
        .args(["up", "--name", &name, "--nodes", "1", "--plugin", "/bin/true", "--daemon"])
        .arg(&agent)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let record = Names::new(&name).expect("valid").dir().join("n1/daemon.pid");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(until("its agent is started", async || Process::read(&record).is_some()));
    let process = Process::read(&record).expect("there");
    kill(&Process::of(up.id()).expect("it waits"), Signal::INT);
    assert_eq!(up.wait().expect("it ends").code(), Some(1));
    assert_eq!(namespaces(&name), BTreeSet::new());
    assert!(!process.runs() && !Path::new(terway_e2e::names::ROOT).join(&name).exists());
}

#[test]
fn bad_input_is_told_with_what_is_allowed() {
    if !ready() {
        return;
    }
    for (args, says) in [
        (&["up", "--no-agents", "--name", "My_Cluster"][..], "1 to 16 lower-case letters and digits"),
        (&["up", "--no-agents", "--nodes", "0"], "`nodes` is 0; allowed: 1 to 64"),
        (&["up", "--no-agents", "--mtu", "90000"], "`mtu` is 90000; allowed: 1280 to 9000"),
        (&["up", "--no-agents", "--set", "x"], "allowed: KEY=VALUE"),
        (&["up", "--daemon", "/nowhere"], "`terway-daemon` was not found"),
        (
            &["up", "--no-agents", "--name", "bad1", "--instance-type", "ecs.g7.xlarg"],
            "did you mean `ecs.g7.xlarge`?",
        ),
        (&["pod", "run", "A", "--node", "1"], "`A` is not a name of a pod"),
        (&["ping", "node:0", "a"], "`node:0` names no node"),
    ] {
        let output = e2e(args);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(err.contains(says), "{args:?}: {err}");
        assert!(matches!(output.status.code(), Some(1 | 2)), "{args:?}: {output:?}");
    }
    assert_eq!(namespaces("bad1"), BTreeSet::new());
    let shell = told(&["completions", "bash"]);
    assert!(shell.contains("terway-e2e") && shell.contains("--ip-stack"), "{shell}");
}
