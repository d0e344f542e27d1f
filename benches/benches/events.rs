//! What an event of an agent costs in a simulated run: fifty nodes for five minutes, everything in it,
//! from the kubelet's call through the store to the cloud and back.

use std::{cell::Cell, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use terway_benches::goal::Goal;
use terway_sim::{
    figures::Figures,
    run::{RunSpec, TextTrace, run},
    scenario::{Builtin, Scenario},
};

// What the simulator ships with: a run allocates as much as it computes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GOAL: Duration = Duration::from_micros(20);

fn spec() -> RunSpec {
    let overrides = vec!["nodes=50".to_owned(), "duration=5m".to_owned()];
    let text = Builtin::named("thousand-nodes").expect("it is built in").text;
    let scenario = Scenario::from_toml(text, &overrides).expect("the overrides fit");
    RunSpec { scenario, seed: 1, schedule: None, bug: None, text: TextTrace::Off, overrides, file: None }
}

fn once(spec: &RunSpec) -> Figures {
    run(spec, &mut |_| {}).expect("the scenario can be set up").figures
}

fn per_event(figures: &Figures) -> Duration {
    Duration::from_secs_f64(figures.wall_seconds / figures.events as f64)
}

fn events(criterion: &mut Criterion) {
    let spec = spec();
    let events = Cell::new(0);
    let mut group = criterion.benchmark_group("agent");
    group.sample_size(10);
    group.bench_function("simulated-event", |bench| {
        // One iteration stands for one event; runs are whole, so the time is scaled to the events asked for.
        bench.iter_custom(|iterations| {
            let figures = once(&spec);
            events.set(figures.events);
            per_event(&figures).mul_f64(iterations as f64)
        });
    });
    group.finish();
    let mut runs: Vec<Duration> = (0..5).map(|_| per_event(&once(&spec))).collect();
    runs.sort_unstable();
    Goal::of("agent/simulated-event", GOAL, runs[2]).report();
}

criterion_group!(benches, events);
criterion_main!(benches);
