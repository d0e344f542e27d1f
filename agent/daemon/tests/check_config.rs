//! `--check-config`, as an operator and a script use it.

use std::process::{Command, Output};

fn check(json: &str) -> Output {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("eni_conf");
    std::fs::write(&path, json).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_terway-daemon"));
    command.args(["--check-config", "--json", "--config"]).arg(&path).env_clear();
    command.output().expect("it runs")
}

#[test]
fn a_valid_configuration_is_told_with_what_comes_of_it() {
    let output = check(r#"{"max_pool_size": 7, "vswitches": {"z": ["vsw-1"]}, "ip_stack": "dual"}"#);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["max_pool_size"], &told["ip_stack"]), (&7.into(), &"dual".into()));
    assert_eq!(told["vswitches"], serde_json::json!({"z": ["vsw-1"]}));
}

#[test]
fn a_bad_value_ends_with_2_and_names_the_key() {
    let output = check(r#"{"max_pool_size": -3}"#);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let says = String::from_utf8_lossy(&output.stderr);
    assert!(says.contains("`max_pool_size` is `-3`"), "{says}");
}

/// Root without one capability, as a container that lacks it in its list.
#[test]
fn a_missing_capability_is_named_before_anything_is_touched() {
    if !rustix::process::geteuid().is_root() {
        use std::io::Write as _;
        let _ =
            std::io::stderr().write_all(b"SKIPPED: needs root, to give a capability up; CI runs as root\n");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("eni_conf");
    std::fs::write(&config, "{}").expect("written");
    let socket = dir.path().join("run/eni.socket");
    let output = Command::new("setpriv")
        .args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"])
        .arg(env!("CARGO_BIN_EXE_terway-daemon"))
        .args(["--node-name", "n1", "--listen", "off", "--readonly-listen", "off", "--log-format", "text"])
        .arg("--config")
        .arg(&config)
        .arg("--socket")
        .arg(&socket)
        .output()
        .expect("setpriv is there");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let says = String::from_utf8_lossy(&output.stderr);
    assert!(says.contains("missing capabilities: NET_ADMIN"), "{says}");
    assert!(!socket.parent().expect("a folder").exists(), "nothing was made");
}
