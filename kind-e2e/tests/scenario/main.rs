//! One scenario in the simulator and on this machine's kernel: both must end alike.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;

use terway_e2e::{cluster::Cluster, play, programs::Programs};
use terway_sim::scenario::Scenario;

use crate::common::{name, root};

fn scenario(more: &[&str]) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let text = std::fs::read_to_string(folder.join("shared.toml")).expect("there");
    let file = |key: &str| format!("workload.trace.{key}='{}'", folder.join(format!("{key}.csv")).display());
    let mut set = vec![file("pods"), file("nodes")];
    set.extend(more.iter().map(ToString::to_string));
    Scenario::from_toml(&text, &set).expect("valid")
}

/// The simulator has a runtime of its own, so it runs before that of the cluster.
fn both_end_alike(scenario: &Scenario, faults: usize) {
    let outcome = play::simulate(scenario, 1).expect("it can be run");
    assert!(outcome.figures.passed, "{:?} {:?}", outcome.figures.violations, outcome.pending);
    let expected = outcome.ends;
    let pods: usize = expected.iter().map(|end| end.pods.len()).sum();
    assert_eq!(pods, 16, "two of three pods of the recording stay: {expected:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let own = std::env::current_exe().expect("we are a program");
        let programs = Programs::find(&own, |name| std::env::var_os(name).map(Into::into)).expect("built");
        let spec = play::spec_of(scenario, &name()).expect("playable");
        let cluster = Cluster::start(spec, Some(programs)).await.expect("a cluster");
        let played = play::play(&cluster, scenario, 1).await.expect("played");
        assert_eq!((played.faults.len(), played.left_out.len()), (faults, 0), "{played:?}");
        assert_eq!(played.ends, expected);
        cluster.down().await.expect("down");
    });
}

#[test]
fn the_simulator_and_the_kernel_end_alike_under_faults() {
    if !root() {
        return;
    }
    both_end_alike(&scenario(&[]), 2);
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let built_in = Scenario::builtin("thousand-nodes").expect("built in");
    let error = play::spec_of(&built_in, "x").expect_err("too many nodes").to_string();
    assert!(error.contains("`nodes` is 1000"), "{error}");
}
