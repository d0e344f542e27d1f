//! The oracles have teeth: each deliberate bug is found, within a stated number of seeds; and without a
//! bug the same runs find nothing.
//!
//! Needs the feature `deliberate-bugs`, which no release build has.
#![cfg(feature = "deliberate-bugs")]

use terway_core::probe::Bug;
use terway_sim::{
    run::{RunSpec, TextTrace, run},
    scenario::{Builtin, Scenario},
};

/// Where a bug is looked for: scenario, overrides, and the most seeds that may be needed.
struct Hunt {
    bug: Bug,
    scenario: &'static str,
    set: &'static [&'static str],
    seeds: u64,
}

const fn hunt(bug: Bug, scenario: &'static str, set: &'static [&'static str], seeds: u64) -> Hunt {
    Hunt { bug, scenario, set, seeds }
}

/// Attach calls are refused for quota, now and then.
const REFUSED_ATTACH: &[&str] = &[
    "nodes=10",
    "duration=25m",
    "faults.quota.per_hour=20",
    "faults.quota.for=[\"1m\", \"2m\"]",
    "faults.quota.probability=0.6",
    "faults.quota.code=EniPerInstanceLimitExceeded",
    "faults.quota.target=action:AttachNetworkInterface",
];
/// DELs are lost while a vSwitch is full.
const LOST_DELS: &[&str] = &[
    "duration=35m",
    "faults.del-lost.per_node_hour=8",
    "faults.del-lost.for=[\"1m\", \"2m\"]",
    "faults.del-lost.probability=0.7",
];
/// Reads are ten seconds old all the time, and agents restart, which makes them look.
const OLD_READS: &[&str] = &[
    "nodes=20",
    "faults.stale-read.per_hour=60",
    "faults.stale-read.for=[\"2m\", \"4m\"]",
    "faults.stale-read.probability=1.0",
    "faults.stale-read.lag=10s",
    "faults.crash.per_node_hour=20",
    "agent.min_pool_size=2",
    "agent.max_pool_size=3",
    "agent.ip_pool_sync_period=5s",
];
const CREATE_CRASHES: &[&str] = &[
    "nodes=10",
    "duration=10m",
    "cluster.join_over=0s",
    "faults.crash-at-point.per_node_hour=20",
    "faults.crash-at-point.point=cloud.CreateNetworkInterface.after",
    "faults.crash-at-point.nth=1",
];
const FEW_NODES: &[&str] = &["nodes=6", "duration=5m", "settle=1m"];
/// Agents hear late of pods that start on their nodes.
const LATE_NEWS: &[&str] = &[
    "nodes=6",
    "duration=5m",
    "settle=2m",
    "faults.watch-lag.per_node_hour=30",
    "faults.watch-lag.for=[\"1m\", \"2m\"]",
    "faults.watch-lag.lag=5s",
];
const SMALL_BURST: &[&str] = &["nodes=10", "workload.burst.pods=300", "duration=5m"];

fn hunts() -> Vec<Hunt> {
    vec![
        hunt(Bug::ForgetCooling, "crash-loop", &[], 3),
        hunt(Bug::EarlyHandOut, "swarm", &[], 3),
        hunt(Bug::LeakOnAttachFailure, "thousand-nodes", REFUSED_ATTACH, 5),
        hunt(Bug::FreshTokenOnRetry, "swarm", &[], 6),
        hunt(Bug::StaleDelFrees, "crash-loop", &[], 3),
        hunt(Bug::ReleaseRacesAllocation, "crash-loop", &[], 3),
        hunt(Bug::DemandCountedTwice, "burst-150-nodes", SMALL_BURST, 1),
        hunt(Bug::WaiterNeverFailed, "vswitch-full", &[], 2),
        hunt(Bug::GcStopsOnExhaustion, "vswitch-full", LOST_DELS, 3),
        hunt(Bug::TrustLaggingDescribe, "crash-loop", OLD_READS, 5),
        hunt(Bug::SkipStoreWrite, "crash-loop", &[], 1),
        hunt(Bug::SkipIntent, "thousand-nodes", CREATE_CRASHES, 3),
        hunt(Bug::TrustEmptyPodList, "swarm", &[], 6),
        hunt(Bug::IgnorePartialBatch, "crash-loop", &[], 5),
        hunt(Bug::ThrottleIsFatal, "crash-loop", &[], 6),
        hunt(Bug::CommitAfterReply, "crash-loop", &[], 2),
        hunt(Bug::NoCooling, "swarm", &[], 1),
        hunt(Bug::OpenStart, "policy", LATE_NEWS, 3),
        hunt(Bug::UnguardedLink, "policy", FEW_NODES, 1),
        hunt(Bug::LostEdit, "policy", FEW_NODES, 1),
        hunt(Bug::StaleLabels, "policy", FEW_NODES, 1),
        hunt(Bug::OverwriteBinding, "crash-loop", &[], 2),
    ]
}

/// Invariants that a run breaks, by name.
fn broken(hunt: &Hunt, seed: u64, bug: Option<Bug>) -> Vec<String> {
    let set: Vec<String> = hunt.set.iter().map(ToString::to_string).collect();
    let text = Builtin::named(hunt.scenario).expect("a built-in scenario").text;
    let scenario = Scenario::from_toml(text, &set).expect("the overrides fit the scenario");
    let spec = RunSpec {
        scenario,
        seed,
        schedule: None,
        bug: bug.map(|bug| bug.name().to_owned()),
        text: TextTrace::Off,
        overrides: Vec::new(),
        file: None,
    };
    let outcome = run(&spec, &mut |_| {}).expect("the scenario runs");
    let mut ids: Vec<String> = outcome
        .figures
        .violations
        .iter()
        .filter(|violation| violation.severity > terway_chaos::Severity::Minor)
        .map(|violation| violation.id.to_string())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn every_deliberate_bug_is_hunted() {
    for bug in Bug::ALL {
        assert!(hunts().iter().any(|hunt| hunt.bug == *bug), "nobody looks for `{}`", bug.name());
    }
}

#[test]
fn every_deliberate_bug_is_found_and_nothing_else_is() {
    let mut missed = Vec::new();
    for hunt in hunts() {
        let found = (0..hunt.seeds).find_map(|seed| {
            let ids = broken(&hunt, seed, Some(hunt.bug));
            (!ids.is_empty()).then_some((seed, ids))
        });
        match found {
            Some((seed, ids)) => {
                println!(
                    "{:<26} found by {} in {} with seed {seed} (of {} allowed)",
                    hunt.bug.name(),
                    ids.join(" "),
                    hunt.scenario,
                    hunt.seeds
                );
                // The same run without the bug is clean: it is the bug that was found.
                let clean = broken(&hunt, seed, None);
                assert!(clean.is_empty(), "{} seed {seed} breaks {clean:?} without the bug", hunt.scenario);
            }
            None => missed.push(hunt.bug.name()),
        }
    }
    assert!(missed.is_empty(), "not found within the seeds allowed: {missed:?}");
}
