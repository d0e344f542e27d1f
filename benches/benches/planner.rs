//! The planner and the hand-out of addresses on a full node.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use terway_agent::pool::{Pool, plan};
use terway_benches::{
    goal::Goal,
    node::{self, NOW},
};

const GOAL: Duration = Duration::from_micros(50);

/// An address is taken, cools, and is free again.
fn cycle(pool: &mut Pool) {
    let (eni, ips) = pool.take(NOW).expect("some are idle");
    pool.cool(&eni, ips, NOW, NOW);
    pool.expire_cooling(NOW);
}

fn planner(criterion: &mut Criterion) {
    type Make = fn() -> Pool;
    let kinds: [(Make, [&'static str; 3], &'static str); 2] = [
        (
            node::of_addresses,
            ["planner/full-node", "planner/full-node-refill", "planner/full-node-shrink"],
            "pool/take-and-cool",
        ),
        (
            node::of_prefixes,
            [
                "planner/full-node-prefixes",
                "planner/full-node-prefixes-refill",
                "planner/full-node-prefixes-shrink",
            ],
            "pool/take-and-cool-prefixes",
        ),
    ];
    for (make, [rest, refill, shrink], hand_out) in kinds {
        // At its levels; short, with pods waiting; and idle all over, which takes sorting.
        let mut at_rest = make();
        node::fill(&mut at_rest, 15);
        let mut short = make();
        short.capacity.max_enis *= 2;
        short.capacity.per_eni += 10;
        node::fill(&mut short, 0);
        let mut over = make();
        let idle = over.idle();
        node::fill(&mut over, idle - 30);
        over.over_max_since = Some(Duration::ZERO);
        assert!(plan(&at_rest, 0, NOW, 7).actions.is_empty());
        assert!(!plan(&short, 64, NOW, 7).actions.is_empty());
        assert!(!plan(&over, 0, NOW, 7).actions.is_empty());
        for (name, pool, waiters) in [(rest, &at_rest, 0), (refill, &short, 64), (shrink, &over, 0)] {
            criterion.bench_function(name, |bench| bench.iter(|| plan(black_box(pool), waiters, NOW, 7)));
            Goal::measure(name, GOAL, || plan(black_box(pool), waiters, NOW, 7)).report();
        }
        let mut pool = at_rest;
        criterion.bench_function(hand_out, |bench| bench.iter(|| cycle(&mut pool)));
        Goal::measure(hand_out, GOAL, || cycle(&mut pool)).report();
    }
}

criterion_group!(benches, planner);
criterion_main!(benches);
