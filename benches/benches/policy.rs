//! What the compiler takes: a cluster from nothing, one change, and how much of it pods share.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use terway_benches::goal::Goal;
use terway_policy::{
    compile::{Compiler, EndpointSpec, Options},
    generate::large,
    memory::Memory,
    model::{Name, Pod, Snapshot},
    op::Op,
};

/// A cluster of 30,000 pods with 1,000 policies, a node with 110 of the pods.
const NAMESPACES: usize = 100;
const PODS: usize = 30_000;
const POLICIES: usize = 1_000;
const LOCAL: usize = 110;
/// All of it at once: an agent that starts is blind for so long.
const WHOLE: Duration = Duration::from_millis(300);
/// One peer: clusters start 150 pods a second, and every node hears of each.
const PEER: Duration = Duration::from_micros(50);
/// What the compiler holds of it.
const MEMORY_MIB: f64 = 100.0;

fn compile(snapshot: &Snapshot) -> (Compiler, Vec<Op>) {
    let mut compiler = Compiler::new(Options::default());
    compiler.load(snapshot);
    // Spread as a scheduler would: every so many-th pod.
    for (link, pod) in (1..).zip(snapshot.pods.values().step_by(PODS / LOCAL).take(LOCAL)) {
        compiler.set_endpoint(link, EndpointSpec { pod: pod.name.clone(), ips: pod.ips.clone(), flags: 0 });
    }
    let publication = compiler.publish().expect("the maps hold it");
    let ops = publication.phases.into_iter().flatten().collect();
    (compiler, ops)
}

/// Resident memory of this process, in MiB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096.0 / f64::from(1 << 20)
}

fn policy(criterion: &mut Criterion) {
    let snapshot = large(NAMESPACES, PODS, POLICIES);
    let before = resident();
    let (mut compiler, ops) = compile(&snapshot);
    println!(
        "compiled: {} rule sets for {LOCAL} pods, {} writes; {:.1} MiB more than before, goal {MEMORY_MIB}, ratio {:.3}",
        compiler.rule_sets(),
        ops.len(),
        resident() - before,
        (resident() - before) / MEMORY_MIB
    );
    for (map, used, room) in compiler.usage() {
        println!("  {map}: {used} of {room}");
    }
    let mut group = criterion.benchmark_group("policy");
    group.sample_size(10).bench_function("compile", |bench| bench.iter(|| compile(&snapshot)));
    group.finish();
    Goal::measure("policy/compile-1000-policies-30000-pods", WHOLE, || compile(&snapshot)).report();

    // Into memory as well: what publishing adds is the map's own cost, which the kernel bench measures.
    let mut memory = Memory::default();
    for op in &ops {
        memory.apply(op);
    }
    let like: Vec<Pod> = snapshot.pods.values().step_by(7).take(4096).cloned().collect();
    let mut number = 0_usize;
    Goal::measure("policy/peer-comes-and-goes", PEER * 2, || {
        let mut pod = like[number % like.len()].clone();
        pod.name = Name::new(pod.name.namespace.clone(), format!("new-{number}"));
        pod.ips = vec![std::net::Ipv4Addr::from(0x0b00_0000 + (number as u32 & 0xffff)).into()];
        number += 1;
        compiler.set_pod(&pod);
        let come = compiler.publish().expect("one more fits");
        come.ops().for_each(|op| memory.apply(op));
        compiler.remove_pod(&pod.name);
        let go = compiler.publish().expect("one less fits");
        go.ops().for_each(|op| memory.apply(op));
    })
    .report();

    // The same policies on every pod of a node: one rule set a direction.
    let mut same = Compiler::new(Options::default());
    let mut alike = snapshot.clone();
    let template = alike.pods.values().next().expect("there are pods").clone();
    for number in 0..LOCAL {
        let name = Name::new(template.name.namespace.clone(), format!("alike-{number}"));
        let ips = vec![std::net::Ipv4Addr::from(0x0c00_0000 + number as u32).into()];
        alike.pods.insert(name.clone(), Pod { name, ips, ..template.clone() });
    }
    same.load(&alike);
    for number in 0..LOCAL {
        let name = Name::new(template.name.namespace.clone(), format!("alike-{number}"));
        let ips = alike.pods[&name].ips.clone();
        same.set_endpoint(number as u32 + 1, EndpointSpec { pod: name, ips, flags: 0 });
    }
    same.publish().expect("it fits");
    println!("{LOCAL} pods alike: {} rule sets, goal 2 (one a direction)", same.rule_sets());
}

criterion_group!(benches, policy);
criterion_main!(benches);
