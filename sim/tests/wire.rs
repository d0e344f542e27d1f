//! Runs over the simulated network: the same for a seed, and what the network does is felt where it is done.

use terway_sim::{
    run::{RunOutcome, RunSpec, TextTrace, run},
    scenario::{Builtin, Scenario},
};

fn simulate(name: &str, seed: u64, changes: &[&str]) -> RunOutcome {
    let overrides: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let text = Builtin::named(name).expect("built in").text;
    let scenario = Scenario::from_toml(text, &overrides).expect("a scenario");
    let text = TextTrace::Off;
    let spec = RunSpec { scenario, seed, schedule: None, bug: None, text, overrides, file: None };
    run(&spec, &mut |_| {}).expect("it runs")
}

fn held(outcome: &RunOutcome) {
    assert_eq!(outcome.pending, [] as [&str; 0]);
    assert!(outcome.figures.violations.is_empty(), "{:?}", outcome.figures.violations);
}

const SMALL: &[&str] = &["nodes=24", "duration=7m"];

#[test]
fn a_seed_over_the_network_is_a_trace() {
    let first = simulate("half-open", 3, SMALL);
    held(&first);
    assert_eq!(first.figures.trace_hash, simulate("half-open", 3, SMALL).figures.trace_hash);
    assert_ne!(first.figures.trace_hash, simulate("half-open", 4, SMALL).figures.trace_hash);
}

#[test]
fn a_zone_that_is_cut_off_waits_for_the_cloud_and_catches_up() {
    let few = ["nodes=20", "duration=11m", "workload.burst.pods=160"];
    let cut = simulate("cloud-partition", 1, &few);
    held(&cut);
    let whole = simulate("cloud-partition", 1, &[&few[..], &["fault=[]"]].concat());
    held(&whole);
    let slowest = |outcome: &RunOutcome| outcome.figures.pod_ready_ms.max.expect("pods were started");
    assert!(slowest(&whole) < 30_000.0, "{}", slowest(&whole));
    // Cut off for five minutes; then connections that hang have to be given up.
    let waited = slowest(&cut);
    assert!((240_000.0..420_000.0).contains(&waited), "{waited}");
}

#[test]
fn a_fault_of_the_network_strikes_calls_where_there_is_no_network() {
    let fleet = [SMALL, &["profile=fleet"]].concat();
    let outcome = simulate("half-open", 3, &fleet);
    held(&outcome);
    let lost = outcome.figures.cloud_outcomes.values().map(|by| by.get("failed").copied().unwrap_or(0));
    assert!(lost.sum::<u64>() > 10, "{:?}", outcome.figures.cloud_outcomes);
}
