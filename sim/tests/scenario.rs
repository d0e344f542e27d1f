//! Scenario files: the built-in ones read, and bad input is told exactly.

use std::{path::PathBuf, time::Duration};

use terway_sim::scenario::{EventKind, Scenario, ScenarioError, builtins};

/// A small scenario that tests change.
const SMALL: &str = r#"
name = "small"
nodes = 5
duration = "2m"

[cluster]
mix = { "ecs.g7.xlarge" = 1 }

[[cluster.vswitches]]
id = "vsw-a"
zone = "zone-a"
cidr = "10.0.0.0/20"

[workload]
pods_per_node = 4
lifetime = "1m"
"#;

fn small(set: &[&str]) -> Result<Scenario, ScenarioError> {
    Scenario::from_toml(SMALL, &set.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

fn complaint(set: &[&str]) -> String {
    small(set).expect_err(&format!("{set:?} is not allowed")).to_string()
}

/// A file of this test, in a folder of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scenario");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn with_trace(pods: &str, nodes: &str, more: &[String]) -> Result<Scenario, ScenarioError> {
    let trace = builtins().iter().find(|builtin| builtin.name == "trace").unwrap();
    let mut set = vec![format!("workload.trace.pods={pods}"), format!("workload.trace.nodes={nodes}")];
    set.extend_from_slice(more);
    Scenario::from_toml(trace.text, &set)
}

#[test]
fn every_built_in_scenario_reads_and_is_named_like_its_file() {
    for builtin in builtins() {
        match Scenario::from_toml(builtin.text, &[]) {
            Ok(scenario) => {
                assert_eq!(scenario.name, builtin.name);
                assert!(scenario.about.len() < 100 && scenario.about != "a scenario of one's own");
            }
            Err(ScenarioError::NoTrace(_)) => assert_eq!(builtin.name, "trace"),
            Err(error) => panic!("{}: {error}", builtin.name),
        }
    }
}

#[test]
fn the_main_scenario_has_what_its_name_says() {
    let scenario = Scenario::builtin("thousand-nodes").unwrap();
    assert_eq!((scenario.nodes, scenario.duration), (1000, Duration::from_hours(1)));
    let starts = 1000.0 * scenario.workload.pods_per_node * 3600.0 / scenario.workload.lifetime.as_secs_f64();
    assert!(starts > 120_000.0);
    assert!(scenario.expect.iter().any(|(key, ..)| key == "mutating_calls_per_pod"));
}

#[test]
fn an_override_changes_one_thing_and_the_hash() {
    let before = small(&[]).unwrap();
    let after = small(&["agent.min_pool_size=4", "workload.lifetime=90s"]).unwrap();
    assert_eq!((before.agent.pool.min_pool, after.agent.pool.min_pool), (0, 4));
    assert_eq!(after.workload.lifetime, Duration::from_secs(90));
    assert_ne!(before.config_hash, after.config_hash);
    assert_eq!(before.config_hash, small(&[]).unwrap().config_hash);
}

#[test]
fn paths_reach_into_lists_and_quoted_keys() {
    let changed = small(&[
        "cluster.vswitches[1].cidr=10.9.0.0/18",
        "cluster.mix.\"ecs.g6.4xlarge\"=3",
        "cloud.create=[\"1s\", \"2s\"]",
        "about=two words",
    ])
    .unwrap();
    assert_eq!(changed.cluster.vswitches[0].cidr.to_string(), "10.9.0.0/18");
    assert_eq!(changed.cluster.mix.len(), 2);
    assert_eq!((changed.cloud.create.min_ms, changed.cloud.create.max_ms), (1000, 2000));
    assert_eq!(changed.about, "two words");
}

#[test]
fn a_repeated_event_is_written_out() {
    let text = format!(
        "{SMALL}\n[[event]]\nat = \"1m\"\nkind = \"autoscale\"\nadd = 1\nevery = \"20s\"\n\
         [[event]]\nat = \"30s\"\nkind = \"rolling-restart\"\nbatch = 2\npause = \"5s\"\n"
    );
    let events = Scenario::from_toml(&text, &[]).unwrap().events;
    let seconds: Vec<u64> = events.iter().map(|event| event.at.as_secs()).collect();
    assert_eq!(seconds, [30, 60, 80, 100]);
    assert_eq!(events[3].kind, EventKind::Autoscale { remove: 0, add: 1 });
}

#[test]
fn asking_for_nodes_ends_the_draw_of_their_number() {
    let swarm = builtins().iter().find(|builtin| builtin.name == "swarm").unwrap();
    let drawn = Scenario::from_toml(swarm.text, &[]).unwrap().swarm.unwrap();
    let fixed = Scenario::from_toml(swarm.text, &["nodes=7".to_owned()]).unwrap();
    assert_eq!((drawn.min_nodes, drawn.max_nodes), (5, 40));
    assert_eq!(fixed.swarm.map(|swarm| (swarm.min_nodes, swarm.max_nodes)), Some((7, 7)));
    assert_eq!(fixed.nodes, 7);
}

#[test]
fn complaints_name_field_value_and_what_is_allowed() {
    const POSITIVE: &str = "a duration above zero with its units (h, m, s, ms), such as 250ms, 30s or 1h30m";
    for (set, expected) in [
        ("nodes=0", "`nodes` is 0; allowed: a whole number from 1 to 50000".to_owned()),
        ("nodes=-3", "`nodes` is -3; allowed: a whole number from 1 to 50000".to_owned()),
        ("nodes=many", "`nodes` is \"many\"; allowed: a whole number from 1 to 50000".to_owned()),
        ("duration=0", format!("`duration` is 0; allowed: {POSITIVE}")),
        ("duration=10", format!("`duration` is 10; allowed: {POSITIVE}")),
        ("duration=1hour", format!("`duration` is \"1hour\"; allowed: {POSITIVE}")),
        ("duration=-1h", format!("`duration` is \"-1h\"; allowed: {POSITIVE}")),
        ("workload.stateful=1.5", "`workload.stateful` is 1.5; allowed: a number from 0 to 1".to_owned()),
        ("cluster.unannotated=-0.1", "`cluster.unannotated` is -0.1; allowed: a number from 0 to 1".to_owned()),
        (
            "cluster.mix.\"ecs.g7.xlarge\"=0",
            "`cluster.mix.ecs.g7.xlarge` is 0; allowed: a whole number from 1 to 1000000".to_owned(),
        ),
        (
            "workload.lifetme=1m",
            "`workload.lifetme` is not a key here, did you mean `lifetime`?; allowed: pods_per_node, lifetime, \
             lifetime_min, stateful, ramp, burst, trace"
                .to_owned(),
        ),
        ("cluster.vswitches=[]", "`cluster.vswitches` is missing; allowed: at least one [[cluster.vswitches]] with \
             id, zone and cidr".to_owned()),
        (
            "cluster.vswitches[1].cidr=10.0.0.0/30",
            "`cluster.vswitches[1].cidr` is \"10.0.0.0/30\"; allowed: an IPv4 block of /16 to /29 without host \
             bits, such as 10.1.0.0/16"
                .to_owned(),
        ),
        (
            "cluster.vswitches[1].cidr=10.255.1.0/24",
            "`cluster.vswitches[1].cidr` is 10.255.1.0/24; allowed: a block outside 10.255.0.0/16, the nodes' own"
                .to_owned(),
        ),
        ("agent.max_pool_size=-1", "`agent.max_pool_size` is -1; allowed: a whole number, 0 or more".to_owned()),
        ("agent.max_pool_size=few", "`agent.max_pool_size` is \"few\"; allowed: a whole number".to_owned()),
        (
            "agent.ip_reuse_cooldown=soon",
            "`agent.ip_reuse_cooldown` is soon; allowed: a duration such as `300s` or `10m`".to_owned(),
        ),
        (
            "agent.max_eni=0.5",
            "`agent.max_eni` is 0.5; allowed: a whole number".to_owned(),
        ),
        (
            "agent.eni_cap_ratio=0.2",
            "`cluster.mix` is ecs.g7.xlarge; allowed: types that have room for a pod under the limits of [agent]"
                .to_owned(),
        ),
        (
            "agent.ip_stack=dual",
            "`cluster.vswitches[1].ipv6` is false; allowed: true while agent.ip_stack is dual".to_owned(),
        ),
        (
            "workload.burst.pods=1000",
            "`workload.burst.pods` is 1000; allowed: at most 225, which is all that 5 nodes have addresses for"
                .to_owned(),
        ),
        (
            "cloud.create=[\"2s\", \"1s\"]",
            "`cloud.create` is [\"2s\", \"1s\"]; allowed: two durations, the shorter first, such as \
             [\"300ms\", \"1.5s\"], at most 1h"
                .to_owned(),
        ),
        ("cloud.timeout_ms=0", "`cloud.timeout_ms` is 0; allowed: a whole number from 1 to 3600000".to_owned()),
        (
            "cloud.account_bucket={capacity=1}",
            "`cloud.account_bucket.refill_per_second` is missing; allowed: a number above 0".to_owned(),
        ),
        (
            "api.request_base=5",
            "`api.request_base` is 5; allowed: a duration with its units (h, m, s, ms), such as 250ms, 30s or 1h30m"
                .to_owned(),
        ),
        ("faults.crash.per_hour=-1", "`faults.crash.per_hour` is -1; allowed: a number from 0 to 3600".to_owned()),
        (
            "faults.error={per_hour=1, probability=1.5}",
            "`faults.error.probability` is 1.5; allowed: a number above 0, at most 1".to_owned(),
        ),
        (
            "faults.exhausted={per_hour=1, target=\"vswitch:vsw-b\"}",
            "`faults.exhausted.target` is vsw-b, did you mean `vsw-a`?; allowed: vsw-a".to_owned(),
        ),
        (
            "expect.leaked_eni=== 0",
            "`expect.leaked_eni` is not a key here, did you mean `leaked_enis`?; allowed: ".to_owned(),
        ),
        (
            "expect.leaked_enis=0",
            "`expect.leaked_enis` is 0; allowed: a relation and a number of at least 0, such as \"<= 0.2\", \
             \">= 100000\" or \"== 0\""
                .to_owned(),
        ),
        (
            "expect.burst.ratoi=<= 2",
            "`expect.burst.ratoi` is not a key here, did you mean `ratio`?; allowed: all_ready_seconds, bound_seconds, \
             ratio"
                .to_owned(),
        ),
        (
            "expect.cloud_calls.AtachNetworkInterface=<= 2",
            "`expect.cloud_calls.AtachNetworkInterface` is not a key here, did you mean `AttachNetworkInterface`?; \
             allowed: CreateNetworkInterface"
                .to_owned(),
        ),
        ("name=Big Cluster", "`name` is \"Big Cluster\"; allowed: lower-case words joined by hyphens, such as \
             my-cluster".to_owned()),
        ("nodes", "`--set nodes` is not of the form path=value".to_owned()),
        ("fault[1].at=1s", "`--set fault[1].at=1s` asks for entry 1 of what is not a list".to_owned()),
        ("nodes.x=1", "`--set nodes.x=1` asks for `x` in what is not a table".to_owned()),
    ] {
        let told = complaint(&[set]);
        let whole = !expected.ends_with(": ") && !expected.ends_with("CreateNetworkInterface");
        assert!(if whole { told == expected } else { told.starts_with(&expected) }, "{set}\n{told}\n{expected}");
        assert!(!told.contains('\n'));
    }
    let told = complaint(&["cluster.mix={\"ecs.g7.xlrge\"=1}"]);
    assert!(
        told.starts_with(
            "`cluster.mix.ecs.g7.xlrge` is not a key here, did you mean `ecs.g7.xlarge`?; allowed: ecs."
        ),
        "{told}"
    );
    let told = complaint(&["agent.min_pool_sise=1"]);
    assert!(
        told.starts_with("`agent.min_pool_sise` is not a key here, did you mean `min_pool_size`?"),
        "{told}"
    );
    let told = complaint(&["faults.crsh.per_hour=1"]);
    assert!(told.starts_with("`faults.crsh` is \"crsh\", did you mean `crash`?"), "{told}");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line() {
    let told = Scenario::from_toml("name = \"x\"\nnodes = = 3\n", &[]).unwrap_err().to_string();
    assert!(told.starts_with("not TOML: line 2: ") && !told.contains('\n'), "{told}");
}

#[test]
fn an_unknown_name_gets_the_nearest() {
    let error = Scenario::builtin("thousand-node").unwrap_err();
    assert_eq!(error.to_string(), "there is no scenario `thousand-node`");
    assert_eq!(error.hint().as_deref(), Some("did you mean `thousand-nodes`?"));
}

const PODS: &str = "name,cpu_milli,creation_time,deletion_time,scheduled_time
a,1000,0,3600,0
b,1000,10,7200,3600
c,x,10,7200,3600
d,1000,10,7200,
e,1000,10,50,60
a,1000,0,1,0
g,1000,0
";
const NODES: &str = "sn,cpu_milli,model\nn0,4000,\nn1,8000,\nn2,0,\n";

#[test]
fn unusable_rows_of_a_trace_are_named_and_the_rest_is_played() {
    let (pods, nodes) = (file("pods.csv", PODS), file("nodes.csv", NODES));
    let more = ["workload.trace.copies=3".to_owned(), "workload.lifetime_min=1s".to_owned()];
    let scenario = with_trace(&pods.display().to_string(), &nodes.display().to_string(), &more).unwrap();
    let trace = scenario.workload.trace.as_ref().unwrap();
    assert_eq!(trace.pods.len(), 2 * 3, "rows less skipped, times copies");
    assert_eq!((scenario.nodes, scenario.duration), (2, Duration::from_mins(1)));
    let names: std::collections::BTreeSet<&str> = trace.pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names.len(), 6);
    assert!(trace.pods.iter().all(|pod| pod.node < 2 && pod.lifetime >= Duration::from_secs(1)));
    let skipped: Vec<(u64, &str)> =
        scenario.workload.skipped().iter().map(|row| (row.line, row.reason.as_str())).collect();
    assert_eq!(
        skipped,
        [
            (4, "`x` in cpu_milli is not a whole number"),
            (5, "was never scheduled: scheduled_time is empty"),
            (6, "is deleted before it is scheduled"),
            (7, "repeats the name `a`"),
            (8, "has 3 fields, not 5"),
            (4, "`0` in cpu_milli is not a whole number above 0"),
        ]
    );
}

#[test]
fn a_trace_without_a_column_or_a_row_is_refused() {
    let nodes = file("nodes-ok.csv", NODES).display().to_string();
    let refused = |name: &str, text: &str| {
        let error = with_trace(&file(name, text).display().to_string(), &nodes, &[]).unwrap_err();
        (error.to_string().split_once("` ").unwrap().1.to_owned(), error.hint().unwrap())
    };
    assert_eq!(
        refused("no-column.csv", "name,creation_time\na,1\n"),
        (
            "has no column `deletion_time`".to_owned(),
            "columns wanted: name, creation_time, deletion_time, scheduled_time".to_owned()
        )
    );
    let header = "name,creation_time,deletion_time,scheduled_time\n";
    assert_eq!(refused("no-rows.csv", header).0, "has no usable row: it has no rows");
    assert_eq!(
        refused("all-bad.csv", &format!("{header}a,1,2,\nb,1,2,\n")).0,
        "has no usable row: line 2 was never scheduled: scheduled_time is empty"
    );
    let error = with_trace("/nowhere/pods.csv", &nodes, &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read `/nowhere/pods.csv`: "), "{error}");
    let trace = builtins().iter().find(|builtin| builtin.name == "trace").unwrap();
    let error = Scenario::from_toml(trace.text, &[]).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("give --trace pods.csv --trace-nodes nodes.csv"));
}
