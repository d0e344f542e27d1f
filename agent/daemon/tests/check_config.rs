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
