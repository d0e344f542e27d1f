//! The compiler with the verdict, against the reference: random clusters, every pod an endpoint, questions aimed at what
//! could matter. A difference is shrunk to a few objects and written out as manifests.

mod bed;
mod steps;

use bed::{Bed, counterexample};
use terway_policy::{
    generate::{self, questions, shrink},
    reference::judge,
};

/// Flows that are compared. A million, over clusters of every size up to 24.
const CLUSTERS: u64 = 5_000;
const QUESTIONS: usize = 220;

#[test]
fn reference_and_verdict_agree_on_a_million_flows() {
    let mut asked = 0_usize;
    for seed in 0..CLUSTERS {
        let snapshot = generate::cluster(seed, 2 + (seed as usize % 23));
        let bed = Bed::compile(&snapshot);
        for question in questions(&snapshot, seed, QUESTIONS) {
            asked += 1;
            let (expected, got) = (judge(&snapshot, &question), bed.judge(&question));
            if expected.allowed() != got.reason.passes() {
                let small = shrink(&snapshot, |smaller| {
                    smaller.pods.contains_key(question.pod)
                        && judge(smaller, &question).allowed()
                            != Bed::compile(smaller).judge(&question).reason.passes()
                });
                panic!("{}", counterexample(seed, &small, &question));
            }
        }
    }
    println!("{asked} flows over {CLUSTERS} clusters");
    assert!(asked >= 1_000_000, "only {asked} flows were compared");
}

#[test]
fn the_rule_that_is_named_is_the_reference_s() {
    let mut named = 0;
    for seed in 0..300 {
        let snapshot = generate::cluster(seed, 12);
        let bed = Bed::compile(&snapshot);
        for question in questions(&snapshot, seed, 100) {
            named += usize::from(bed.names_the_same(&snapshot, &question));
        }
    }
    assert!(named > 3000, "only {named} verdicts had a rule to name");
}
