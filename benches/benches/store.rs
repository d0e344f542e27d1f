//! Making allocations durable: one by one, and 32 that wait for one commit.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use terway_benches::{goal::Goal, store::Bench};

/// One commit on a file: an ADD waits for it, and a slow disk's fsync takes a few milliseconds.
const ON_FILE: Duration = Duration::from_millis(10);
/// One commit without the disk, in the runs of the simulator.
const IN_MEMORY: Duration = Duration::from_micros(200);
/// The same for 32 allocations, where rows cost more than the commit.
const GROUP_IN_MEMORY: Duration = Duration::from_millis(1);

fn stores(criterion: &mut Criterion) {
    type Make = fn() -> Bench;
    let kinds: [(&'static str, Make, u32, Duration); 4] = [
        ("store/file-commit", Bench::on_file, 1, ON_FILE),
        ("store/file-commit-of-32", Bench::on_file, 32, ON_FILE),
        ("store/memory-commit", Bench::in_memory, 1, IN_MEMORY),
        ("store/memory-commit-of-32", Bench::in_memory, 32, GROUP_IN_MEMORY),
    ];
    for (name, make, together, goal) in kinds {
        let mut store = make();
        let mut group = criterion.benchmark_group("durable");
        group.throughput(Throughput::Elements(together.into())).sample_size(20);
        group.bench_function(name, |bench| bench.iter(|| store.allocate(together)));
        group.finish();
        Goal::measure(name, goal, || store.allocate(together)).report();
    }
}

criterion_group!(benches, stores);
criterion_main!(benches);
