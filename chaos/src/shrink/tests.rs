//! Shrinking finds the smallest case, and never returns one that does not fail.

use proptest::prelude::*;

use super::*;
use crate::{FaultKind, Target};

fn crash(at_secs: u64, node: u32) -> Fault {
    Fault::new(Duration::from_secs(at_secs), Target::Node(format!("node-{node:04}")), FaultKind::Crash)
}

fn same_if(fails: bool) -> Outcome {
    if fails { Outcome::SameFailure } else { Outcome::Pass }
}

fn big_case() -> Case {
    let faults = (0..60).map(|i| crash(u64::from(i) * 37 + 1, i % 20));
    Case { nodes: 100, duration: Duration::from_hours(1), schedule: faults.collect() }
}

fn has(case: &Case, node: &str) -> bool {
    case.schedule.faults().iter().any(|fault| fault.target.node() == Some(node))
}

#[test]
fn a_pair_hidden_among_sixty_is_found() {
    let pair = |case: &Case| same_if(has(case, "node-0003") && has(case, "node-0011"));
    let mut last = None;
    let shrunk = shrink(&big_case(), Options::default(), pair, |progress| last = Some(progress)).unwrap();
    assert_eq!(shrunk.case.schedule.len(), 2);
    assert_eq!(shrunk.case.nodes, 12, "node-0011 needs twelve nodes");
    assert!(shrunk.case.duration < Duration::from_mins(30));
    assert!(!shrunk.out_of_budget && shrunk.trials <= 200);
    assert_eq!(last.unwrap().trials, shrunk.trials);
    assert!(shrunk.story[0].starts_with("faults: 60 → 2 (trial "), "{:?}", shrunk.story);
    assert!(shrunk.story.iter().any(|line| line.starts_with("nodes: 100 → 12")), "{:?}", shrunk.story);
}

#[test]
fn another_failure_does_not_count() {
    let run = |case: &Case| match case.schedule.len() {
        60 => Outcome::SameFailure,
        _ => Outcome::Other,
    };
    let shrunk = shrink(&big_case(), Options::default(), run, |_| {}).unwrap();
    assert_eq!(shrunk.case.schedule.len(), 60);
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    assert_eq!(shrink(&big_case(), Options::default(), |_| Outcome::Pass, |_| {}), Err(NotReproduced));
}

#[test]
fn a_failure_without_faults_is_recognised_at_once() {
    let shrunk = shrink(&big_case(), Options::default(), |_| Outcome::SameFailure, |_| {}).unwrap();
    assert!(shrunk.case.schedule.is_empty());
    assert_eq!((shrunk.case.nodes, shrunk.case.duration), (1, Duration::from_secs(10)));
}

#[test]
fn the_budget_is_kept_and_the_best_so_far_returned() {
    let pair = |case: &Case| same_if(has(case, "node-0003") && has(case, "node-0011"));
    let options = Options { budget: 6, ..Options::default() };
    let shrunk = shrink(&big_case(), options, pair, |_| {}).unwrap();
    assert!(shrunk.out_of_budget);
    assert_eq!(shrunk.trials, 6);
    assert_eq!(pair(&shrunk.case), Outcome::SameFailure);
}

#[test]
fn times_are_rounded() {
    let odd = Fault { at: Duration::from_millis(723_518), ..crash(0, 0) };
    let late = |case: &Case| same_if(case.schedule.faults().iter().any(|f| f.at > Duration::from_mins(10)));
    let case = Case { nodes: 1, duration: Duration::from_hours(1), schedule: Schedule::new(vec![odd]) };
    let shrunk = shrink(&case, Options::default(), late, |_| {}).unwrap();
    assert_eq!(shrunk.case.schedule.faults()[0].at, Duration::from_mins(12));
}

#[test]
fn nodes_are_numbered_at_the_end_of_their_name() {
    assert_eq!(trailing_number("node-0012"), Some(12));
    assert_eq!(trailing_number("node"), None);
    assert_eq!(trailing_number("ü7"), Some(7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any set of needed faults, exactly those are left, and what is returned was seen to fail.
    #[test]
    fn exactly_what_is_needed_is_left(
        needed in prop::collection::btree_set(0_u64..40, 0..4),
        budget in 1_u32..400,
    ) {
        let faults: Vec<Fault> = (0..40).map(|i| crash(i * 60 + 7, 0)).collect();
        let case = Case { nodes: 8, duration: Duration::from_hours(1), schedule: Schedule::new(faults) };
        let fails = |case: &Case| needed.iter().all(|n| case.schedule.faults().iter().any(|f| f.at.as_secs() / 60 == *n));
        let mut failed = Vec::new();
        let run = |case: &Case| {
            if fails(case) { failed.push(case.clone()); Outcome::SameFailure } else { Outcome::Pass }
        };
        let shrunk = shrink(&case, Options { budget, ..Options::default() }, run, |_| {}).unwrap();
        prop_assert!(shrunk.trials <= budget);
        prop_assert!(failed.contains(&shrunk.case));
        if !shrunk.out_of_budget {
            prop_assert_eq!(shrunk.case.schedule.len(), needed.len());
            prop_assert_eq!(shrunk.case.nodes, 1);
        }
    }
}
