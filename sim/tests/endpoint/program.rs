//! `terway-sim cloud` as a program: what it prints, and what survives it.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

fn terway_sim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_terway-sim"));
    command.args(args);
    command
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A running cloud; dropping it kills it.
struct Running {
    child: Child,
    told: Value,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = terway_sim(&["cloud", "--listen", "127.0.0.1:0", "--latency", "none", "--json"]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().expect("the binary was just built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where");
        let told = serde_json::from_str(&line).expect("one line of JSON");
        Self { child, told }
    }

    fn control(&self) -> String {
        self.told["control"].as_str().expect("an address").replace("http://", "")
    }

    fn state(&self) -> Value {
        let output =
            terway_sim(&["cloud", "state", "--json", "--control", &self.control()]).output().expect("run");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Asks it to end, as a service manager does.
    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill is there").success());
        assert!(self.child.wait().expect("it ends").success(), "SIGTERM is a good end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("endpoint").join(name);
    let _gone = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder of the test's own");
    folder
}

#[test]
fn the_state_survives_a_restart() {
    let file = folder("restart").join("state.json");
    let file = file.to_str().expect("a plain path");
    let first = Running::start(&["--state", file]);
    let fault = ["cloud", "fault", "exhausted", "--target", "vswitch:vsw-sim-c", "--for", "1h", "--control"];
    let output = terway_sim(&fault).arg(first.control()).output().expect("run");
    assert_eq!(out(&output), "0s exhausted on vswitch:vsw-sim-c for 1h\n");
    let before = first.state();
    assert_eq!(before["vswitches"][2]["available"], 0);
    first.stop();
    let second = Running::start(&["--state", file, "--seed", "2"]);
    assert_eq!(second.state(), before);
    second.stop();
}

#[test]
fn a_file_that_is_no_state_is_refused_and_left_alone() {
    let file = folder("bad").join("state.json");
    std::fs::write(&file, "{\"region\":1}").expect("a file");
    let args = ["cloud", "--listen", "127.0.0.1:0", "--state", file.to_str().expect("a plain path")];
    let output = terway_sim(&args).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is not the state of a cloud") && said.contains("hint: remove it"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "{\"region\":1}");
}

#[test]
fn people_are_told_where_it_listens_and_what_to_export() {
    let mut child = terway_sim(&["cloud", "--listen", "127.0.0.1:0", "--latency", "none"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was just built");
    let lines: Vec<String> = BufReader::new(child.stdout.take().expect("piped"))
        .lines()
        .take(9)
        .collect::<Result<_, _>>()
        .expect("it says where");
    let running = Running { child, told: Value::Null };
    let begins = [
        "openapi   http://127.0.0.1:",
        "control   http://127.0.0.1:",
        "metadata  http://127.0.0.1:",
        "",
        "export ECS_ENDPOINT=http://127.0.0.1:",
        "export VPC_ENDPOINT=http://127.0.0.1:",
        "export ALIBABA_CLOUD_REGION_ID=cn-sim",
        "export ALIBABA_CLOUD_ACCESS_KEY_ID=sim-access-key",
        "export ALIBABA_CLOUD_ACCESS_KEY_SECRET=sim-access-key-secret",
    ];
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{lines:#?}");
    }
    running.stop();
}

#[test]
fn a_secret_of_ones_own_is_not_repeated() {
    let running = Running::start(&["--access-key-id", "mine", "--access-key-secret", "hush"]);
    assert_eq!(
        (&running.told["access_key_id"], &running.told["access_key_secret"]),
        (&"mine".into(), &"".into())
    );
    running.stop();
}

#[test]
fn a_topology_is_printed_read_and_complained_about() {
    let folder = folder("topology");
    let printed = out(&terway_sim(&["cloud", "topology"]).output().expect("run"));
    let file = folder.join("mine.toml");
    std::fs::write(&file, printed.replace("cn-sim\"", "cn-mine\"")).expect("a file");
    let file = file.to_str().expect("a plain path");
    let running = Running::start(&["--topology", file]);
    assert_eq!(running.told["region"], "cn-mine");
    running.stop();
    std::fs::write(file, printed.replace("ecs.g6.large", "ecs.g6.larg")).expect("a file");
    let output = terway_sim(&["cloud", "--topology", file]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("`instance[3].type` is \"ecs.g6.larg\", did you mean `ecs.g6.large`?"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn without_a_cloud_the_control_commands_say_what_to_do() {
    let output = terway_sim(&["cloud", "state", "--control", "127.0.0.1:1"]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: no cloud answers on 127.0.0.1:1: ") && said.contains("hint:"), "{said}");
}
