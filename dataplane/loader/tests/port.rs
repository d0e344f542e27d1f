//! What the engine writes through the port stands in the kernel's maps as it stands in memory, and a successor takes over
//! without a trace of the one before. As root, in a namespace of the test's own.

use std::{collections::BTreeSet, sync::Arc};

use terway_bpf::{
    Method,
    bed::{Bed, SMALL},
    port::KernelMaps,
    table::{Layout, Table},
};
use terway_core::spawn::{Spawner, Task};
use terway_policy::{
    compile::{Compiler, EndpointSpec, Options},
    generate,
    layout::{CidrKey, PeerKey, RULES_READY, RuleSet, mapped},
    memory::Memory,
    model::Snapshot,
    op::Op,
    port::{Keep, PolicyMaps},
};

/// Blocking work is done at once: the test has nothing else to do.
struct Inline;

impl Spawner for Inline {
    fn spawn(&self, name: &'static str, _task: Task) {
        unreachable!("nothing here starts a task, least of all {name}");
    }

    fn block(&self, _name: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        work();
        Box::pin(std::future::ready(()))
    }
}

fn compiled(snapshot: &Snapshot, maps: &KernelMaps, memory: &mut Memory) -> (u32, BTreeSet<u32>) {
    let left = maps.left().expect("the maps can be read");
    let (view, epoch) = (left.next_view(), left.epoch());
    let mut compiler = Compiler::new(Options { limits: maps.limits(), view, epoch, ..Options::default() });
    compiler.load(snapshot);
    let mut links = BTreeSet::new();
    for (link, pod) in (1..).zip(snapshot.pods.values()) {
        compiler.set_endpoint(link, EndpointSpec { pod: pod.name.clone(), ips: pod.ips.clone(), flags: 0 });
        links.insert(link);
    }
    for phase in compiler.publish().expect("it fits").phases {
        maps.write(&phase).expect("the kernel takes it");
        for op in &phase {
            memory.apply(op);
        }
        futures::executor::block_on(maps.settle());
    }
    (view, links)
}

fn entries<L: Layout>(table: &Table<L>) -> usize {
    table.keys().expect("the map can be read").len()
}

fn same(maps: &KernelMaps, memory: &Memory, what: &str) {
    let tables = maps.tables();
    assert_eq!(maps.left().expect("it can be read").endpoints, memory.endpoints, "{what}: endpoints");
    for (key, value) in &memory.peers {
        assert_eq!(tables.peers.get(key).expect("it can be read"), Some(*value), "{what}: {key:?}");
    }
    for (key, value) in &memory.cidrs {
        assert_eq!(tables.cidrs.get(key).expect("it can be read"), Some(*value), "{what}: {key:?}");
    }
    for (key, value) in &memory.classes {
        assert_eq!(tables.classes.get(key).expect("it can be read"), Some(*value), "{what}: {key:?}");
    }
    for (key, value) in &memory.crosses {
        assert_eq!(tables.crossings.get(key).expect("it can be read"), Some(*value), "{what}: {key:?}");
    }
    for (key, value) in &memory.pages {
        assert_eq!(
            tables.pages.get(key).expect("it can be read").as_ref(),
            Some(&**value),
            "{what}: page {key}"
        );
    }
    let ready = |rules: &RuleSet| rules.flags & RULES_READY != 0;
    for id in 0..tables.rules.entries() {
        let written = tables.rules.get(&id).expect("it can be read").filter(ready);
        assert_eq!(written, memory.rules.get(&id).copied().filter(ready), "{what}: rule set {id}");
    }
    let counts = [
        (entries(&tables.peers), memory.peers.len()),
        (entries(&tables.cidrs), memory.cidrs.len()),
        (entries(&tables.classes), memory.classes.len()),
        (entries(&tables.crossings), memory.crosses.len()),
        (entries(&tables.endpoint_addresses), memory.endpoint_ips.len()),
        (entries(&tables.host), memory.hosts.len()),
        (entries(&tables.services), memory.services.len()),
    ];
    for (there, wanted) in counts {
        assert_eq!(there, wanted, "{what}: entries");
    }
}

#[test]
fn a_successor_takes_over_without_a_trace_of_the_one_before() {
    let Some(bed) = Bed::new(1, SMALL, Method::Best).expect("a bed") else { return };
    let maps = KernelMaps::new(bed.programs.tables().expect("the maps"), Arc::new(Inline));
    let mut memory = Memory::default();
    for seed in 0..20 {
        let (view, links) = compiled(&generate::cluster(seed, 12), &maps, &mut memory);
        // Each has other addresses and services than the one before.
        let host = mapped([192, 0, 2, seed as u8]);
        let service = (96 + 24, mapped([172, 16, seed as u8, 0]));
        let keep = Keep { view, links, hosts: [host].into(), services: [service].into() };
        let range = CidrKey { bits: 32 + service.0, key: PeerKey { view: 0, addr: service.1 } };
        let ops = [Op::Host(host, Some(1)), Op::Service(range, Some(1))];
        maps.write(&ops).expect("written");
        for op in &ops {
            memory.apply(op);
        }
        maps.keep_only(&keep).expect("the rest goes");
        memory.keep_only(&keep);
        // What was another's link and is none of these is gone from both.
        same(&maps, &memory, &format!("seed {seed}, view {view}"));
    }
}
