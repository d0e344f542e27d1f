//! The command line as a user meets it: exit codes, messages, and small runs.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

fn terway_sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_terway-sim")).args(args).output().expect("the binary was just built")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Exit code and standard error.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = terway_sim(args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A folder of one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("command").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_list_has_a_line_for_each_scenario_and_show_prints_its_file() {
    let list = terway_sim(&["list"]);
    assert!(list.status.success());
    let text = stdout(&list);
    assert_eq!(text.lines().count(), 18, "{text}");
    assert!(text.starts_with("thousand-nodes    1000 nodes   1h"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&terway_sim(&["list", "--json"]).stdout).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["nodes"]), (&"thousand-nodes".into(), &1000.into()));
    for entry in json.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
        assert_eq!(stdout(&terway_sim(&["show", name])), std::fs::read_to_string(file).unwrap());
    }
}

#[test]
fn bad_input_is_one_line_with_a_hint_and_exit_code_2() {
    for (args, expected) in [
        (
            &["run", "thousand-node"][..],
            "error: there is no scenario `thousand-node`\nhint: did you mean `thousand-nodes`?\n",
        ),
        (
            &["run", "elephant"],
            "error: there is no scenario `elephant`\nhint: `terway-sim list` names them; a file of one's own ends \
             in .toml\n",
        ),
        (
            &["run", "swarm", "--nodes", "-3"],
            "error: `nodes` is -3; allowed: a whole number from 1 to 50000\n",
        ),
        (
            &["run", "swarm", "--duration", "1hour"],
            "error: `duration` is \"1hour\"; allowed: a duration above zero with its units (h, m, s, ms), such as \
             250ms, 30s or 1h30m\n",
        ),
        (
            &["run", "swarm", "--set", "workload.lifetme=3m"],
            "error: `workload.lifetme` is not a key here, did you mean `lifetime`?; allowed: pods_per_node, lifetime, \
             lifetime_min, stateful, ramp, burst, trace\n",
        ),
        (
            &["run", "swarm", "--set", "nodes"],
            "error: `--set nodes` is not of the form path=value\nhint: for example --set agent.min_pool_size=4\n",
        ),
        (
            &["run", "trace"],
            "error: `workload.trace.pods` is missing: this scenario replays a recorded workload\nhint: give --trace \
             pods.csv --trace-nodes nodes.csv\n",
        ),
        (
            &["run", "missing.toml"],
            "error: cannot read `missing.toml`: No such file or directory (os error 2)\n",
        ),
        (
            &["replay", "swarm"],
            "error: `swarm` is a scenario, so that --seed is missing\nhint: terway-sim replay swarm --seed 1\n",
        ),
        (&["corpus", "/nowhere"], "error: cannot read `/nowhere`: No such file or directory (os error 2)\n"),
        (
            &["shrink", "/nowhere.toml"],
            "error: cannot read `/nowhere.toml`: No such file or directory (os error 2)\n",
        ),
    ] {
        assert_eq!(refused(args), (Some(2), expected.to_owned()), "{args:?}");
    }
    let (code, text) = refused(&["sweep", "swarm", "--seeds", "5..5"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("`5..5` has no seed in it; write A..B with A below B"), "{text}");
    assert_eq!(refused(&["run"]).0, Some(2));
}

#[test]
fn csv_files_that_cannot_be_used_are_told_with_the_columns_wanted() {
    let folder = folder("csv");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let nodes = file("nodes.csv", "sn,cpu_milli\nn0,4000\n");
    let pods = file("pods.csv", "name,creation_time\na,0\n");
    let (code, text) = refused(&["run", "trace", "--trace", &pods, "--trace-nodes", &nodes]);
    assert_eq!(code, Some(2));
    assert_eq!(
        text,
        format!(
            "error: `{pods}` has no column `deletion_time`\nhint: columns wanted: name, creation_time, deletion_time, \
             scheduled_time\n"
        )
    );
    let (code, text) = refused(&["run", "trace", "--trace", "gone.csv", "--trace-nodes", &nodes]);
    assert_eq!(
        (code, text.lines().next()),
        (Some(2), Some("error: cannot read `gone.csv`: No such file or directory (os error 2)"))
    );
}

#[cfg(not(feature = "deliberate-bugs"))]
#[test]
fn a_usual_build_carries_no_bugs() {
    for args in [&["bugs"][..], &["run", "swarm", "--bug", "no-cooling"]] {
        let (code, text) = refused(args);
        assert_eq!(code, Some(2));
        assert!(text.starts_with("error: this build carries no deliberate bugs\nhint: "), "{text}");
    }
}

#[test]
fn completions_are_printed() {
    let output = terway_sim(&["completions", "bash"]);
    assert!(output.status.success() && stdout(&output).contains("crash-points"));
}

/// A cluster that runs within a second or so.
const TINY: [&str; 6] = ["dual-stack", "--nodes", "3", "--duration", "2m", "--set"];

fn tiny<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command][..], &TINY, &["workload.ramp=30s"], more].concat()
}

#[test]
fn a_small_run_writes_its_figures_and_its_report() {
    let report = folder("run").join("report.html");
    let shown = report.display().to_string();
    let output = terway_sim(&tiny("run", &["--quiet", "--json", "-", "--report", &shown]));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["scenario"], &figures["nodes"]), (&"dual-stack".into(), &3.into()));
    assert!(figures["pods_started"].as_u64().unwrap() > 0);
    assert!(std::fs::read_to_string(report).unwrap().starts_with("<!"));
}

#[test]
fn a_file_of_ones_own_runs_as_a_built_in_scenario_does() {
    let path = folder("own").join("own.toml");
    std::fs::write(&path, terway_sim(&["show", "dual-stack"]).stdout).unwrap();
    let shown = path.display().to_string();
    let args = ["run", &shown, "--nodes", "2", "--duration", "1m", "--set", "workload.ramp=10s", "--quiet"];
    let output = terway_sim(&args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_seed_gives_one_trace_in_three_processes() {
    let output = terway_sim(&tiny("check", &["--seed", "5", "--repeat", "3"]));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("3 runs") && text.contains("the same trace hash"), "{text}");
}

#[test]
fn a_sweep_counts_its_seeds() {
    let output = terway_sim(&tiny("sweep", &["--seeds", "0..3", "--jobs", "2", "--quiet", "--json", "-"]));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert_eq!((&summary["seeds"]["run"], summary["failed"].as_array().unwrap().len()), (&3.into(), 0));
}

#[test]
fn a_broken_expectation_is_exit_code_1_and_told() {
    let output = terway_sim(&tiny("run", &["--quiet", "--set", "expect.pods_started=>= 1000000"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("pods_started") && stdout(&output).contains("terway-sim"));
}

#[test]
fn a_replay_prints_what_one_node_did() {
    let output = terway_sim(&tiny("replay", &["--seed", "5", "--until", "30s", "--node", "node-00001"]));
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.lines().count() > 0 && text.lines().all(|line| line.contains("node-00001")), "{text}");
}

#[test]
fn a_crash_at_each_point_converges() {
    let args = tiny("crash-points", &["--most", "1"]);
    let output = terway_sim(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}
