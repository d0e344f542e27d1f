//! Random clusters are worth their name: every kind of answer is reached, and by the ways that go wrong.

use std::collections::BTreeMap;

use terway_policy::{
    generate::{self, SplitMix},
    model::{Direction, Name, Tier},
    reference::{Judgement, Question, Why, judge},
};

/// An answer without its names.
fn kind(judgement: &Judgement) -> &'static str {
    match (judgement, judgement.why()) {
        (Judgement::Allowed(_), Why::Cluster { tier: Tier::Admin, .. }) => "admin allows",
        (Judgement::Denied(_), Why::Cluster { tier: Tier::Admin, .. }) => "admin denies",
        (Judgement::Allowed(_), Why::Cluster { tier: Tier::Baseline, .. }) => "baseline allows",
        (Judgement::Denied(_), Why::Cluster { tier: Tier::Baseline, .. }) => "baseline denies",
        (_, Why::Policy { .. }) => "a policy allows",
        (_, Why::NoRule { .. }) => "no rule",
        (_, Why::NotIsolated) => "not isolated",
        (_, Why::NoPod) => "no pod",
    }
}

#[test]
fn random_questions_reach_every_kind_of_answer() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..300 {
        let snapshot = generate::cluster(seed, 8);
        for question in generate::questions(&snapshot, seed, 100) {
            *seen.entry(kind(&judge(&snapshot, &question))).or_default() += 1;
        }
    }
    let kinds = [
        "admin allows",
        "admin denies",
        "baseline allows",
        "baseline denies",
        "a policy allows",
        "no rule",
        "not isolated",
    ];
    for kind in kinds {
        // A twentieth of an even share.
        assert!(seen.get(kind).is_some_and(|count| *count > 30_000 / 7 / 20), "{kind} is rare: {seen:?}");
    }
    assert_eq!(seen.len(), kinds.len(), "{seen:?}");
}

#[test]
fn a_seed_is_one_cluster_and_one_list_of_questions() {
    let (one, other) = (generate::cluster(7, 8), generate::cluster(7, 8));
    assert_eq!(one, other);
    assert_eq!(generate::questions(&one, 7, 50), generate::questions(&other, 7, 50));
    assert_ne!(one, generate::cluster(8, 8));
    // The sequence's published numbers for this seed.
    let mut rng = SplitMix::new(1_234_567);
    assert_eq!(rng.next(), 6_457_827_717_110_365_317);
    assert_eq!(rng.next(), 3_203_168_211_198_807_973);
}

#[test]
fn no_two_running_pods_have_one_address() {
    for seed in 0..300 {
        let snapshot = generate::cluster(seed, 24);
        let running = snapshot.pods.values().filter(|p| !p.finished && !p.host_network);
        let mut addresses: Vec<_> = running.flat_map(|p| p.ips.clone()).collect();
        let all = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), all, "seed {seed}");
    }
}

#[test]
fn a_difference_shrinks_to_what_makes_it() {
    // One who takes a named port for a number of any protocol differs where a name is there with another one.
    let wrong = |snapshot: &terway_policy::model::Snapshot, question: &Question<'_>| {
        let mut simple = snapshot.clone();
        for pod in simple.pods.values_mut() {
            for port in &mut pod.ports {
                port.protocol = terway_policy::model::Protocol::Tcp;
            }
        }
        judge(&simple, question).allowed()
    };
    let differs = |snapshot: &terway_policy::model::Snapshot, question: &Question<'_>| {
        snapshot.pods.contains_key(question.pod)
            && wrong(snapshot, question) != judge(snapshot, question).allowed()
    };
    let mut found = 0;
    for seed in 0..400 {
        let snapshot = generate::cluster(seed, 8);
        let questions = generate::questions(&snapshot, seed, 200);
        let Some(question) = questions.iter().find(|question| differs(&snapshot, question)) else { continue };
        let small = generate::shrink(&snapshot, |smaller| differs(smaller, question));
        assert!(differs(&small, question));
        let objects = small.pods.len() + small.policies.len() + small.cluster_policies.len();
        assert!(objects <= 4, "{objects} objects are left of seed {seed}");
        found += 1;
    }
    assert!(found > 10, "only {found} clusters showed it");
}

#[test]
fn a_large_cluster_is_as_large_as_asked_and_its_policies_matter() {
    let snapshot = generate::large(20, 2000, 200);
    assert_eq!((snapshot.namespaces.len(), snapshot.pods.len(), snapshot.policies.len()), (20, 2000, 200));
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for question in generate::questions(&snapshot, 1, 3000) {
        *seen.entry(kind(&judge(&snapshot, &question))).or_default() += 1;
    }
    assert!(seen["a policy allows"] > 30 && seen["no rule"] > 30, "{seen:?}");
    let first = Name::new("namespace-0", "policy-0");
    assert_eq!(snapshot.policies[&first].types, [Direction::Ingress]);
}
