//! Changes, one object at a time. After every single write each flow is judged as before the change or as after it;
//! and what changes led to is what a compiler says that saw the end alone.

use terway_policy::{
    compile::{NodeRule, Options, Whom},
    generate::{self, questions},
    layout::INGRESS,
    model::{Direction, Name, Snapshot},
    packet::protocol::{TCP, UDP},
    reference::{Question, judge},
};

use crate::bed::Bed;

/// One object as it is to be; `None` removes it.
enum Change {
    Namespace(String),
    Pod(Name),
    Policy(Name),
    Cluster(String),
}

/// What leads from one cluster to another, in an order that a seed shuffles.
fn changes(from: &Snapshot, to: &Snapshot, seed: u64) -> Vec<Change> {
    let mut all = Vec::new();
    let keys = |a: Vec<Name>, b: Vec<Name>| a.into_iter().chain(b).collect::<std::collections::BTreeSet<_>>();
    for name in keys(from.pods.keys().cloned().collect(), to.pods.keys().cloned().collect()) {
        if from.pods.get(&name) != to.pods.get(&name) {
            all.push(Change::Pod(name));
        }
    }
    for name in keys(from.policies.keys().cloned().collect(), to.policies.keys().cloned().collect()) {
        if from.policies.get(&name) != to.policies.get(&name) {
            all.push(Change::Policy(name));
        }
    }
    for name in from.namespaces.keys().chain(to.namespaces.keys()).collect::<std::collections::BTreeSet<_>>()
    {
        if from.namespaces.get(name) != to.namespaces.get(name) {
            all.push(Change::Namespace(name.clone()));
        }
    }
    for name in from
        .cluster_policies
        .keys()
        .chain(to.cluster_policies.keys())
        .collect::<std::collections::BTreeSet<_>>()
    {
        if from.cluster_policies.get(name) != to.cluster_policies.get(name) {
            all.push(Change::Cluster(name.clone()));
        }
    }
    let mut rng = generate::SplitMix::new(seed);
    for last in (1..all.len()).rev() {
        all.swap(last, (rng.next() % (last as u64 + 1)) as usize);
    }
    all
}

/// Makes one change in the snapshot and in the compiler.
fn make(change: &Change, to: &Snapshot, now: &mut Snapshot, bed: &mut Bed) {
    match change {
        Change::Namespace(name) => {
            if let Some(namespace) = to.namespaces.get(name) {
                now.namespaces.insert(name.clone(), namespace.clone());
                bed.compiler.set_namespace(namespace);
            } else {
                now.namespaces.remove(name);
                bed.compiler.remove_namespace(name);
            }
        }
        Change::Pod(name) => {
            if let Some(pod) = to.pods.get(name) {
                now.pods.insert(name.clone(), pod.clone());
                bed.compiler.set_pod(pod);
                let next = bed.links.values().max().map_or(1, |last| last + 1);
                let link = bed.links.get(name).copied().unwrap_or(next);
                bed.place(link, pod);
            } else {
                now.pods.remove(name);
                bed.compiler.remove_pod(name);
                if let Some(link) = bed.links.remove(name) {
                    bed.compiler.remove_endpoint(link);
                }
            }
        }
        Change::Policy(name) => {
            if let Some(policy) = to.policies.get(name) {
                now.policies.insert(name.clone(), policy.clone());
                bed.compiler.set_policy(policy);
            } else {
                now.policies.remove(name);
                bed.compiler.remove_policy(name);
            }
        }
        Change::Cluster(name) => {
            if let Some(policy) = to.cluster_policies.get(name) {
                now.cluster_policies.insert(name.clone(), policy.clone());
                bed.compiler.set_cluster_policy(policy);
            } else {
                now.cluster_policies.remove(name);
                bed.compiler.remove_cluster_policy(name);
            }
        }
    }
}

/// What every second cluster's node denies to who is no pod.
const DENIED: [(u8, (u16, u16)); 2] = [(TCP, (0, 1023)), (UDP, (53, 53))];

fn options(seed: u64) -> Options {
    let rule = |(protocol, ports)| NodeRule {
        name: "denied".into(),
        direction: INGRESS,
        protocol,
        ports,
        whom: Whom::Outside,
    };
    let node_rules = if is_closed(seed) { DENIED.map(rule).into() } else { Vec::new() };
    Options { node_rules, ..Options::default() }
}

fn is_closed(seed: u64) -> bool {
    seed % 2 == 1
}

/// Whether the node denies what is asked about, read from its words.
fn is_denied(snapshot: &Snapshot, question: &Question<'_>) -> bool {
    let shown = |ip| {
        let pods = snapshot.pods.values();
        pods.filter(|pod| !pod.host_network && !pod.finished).any(|pod| pod.ips.contains(ip))
    };
    question.direction == Direction::Ingress
        && DENIED.iter().any(|(protocol, (first, last))| {
            *protocol == question.protocol && (*first..=*last).contains(&question.port)
        })
        && !shown(&question.remote)
}

/// What is to come of a question.
fn is_allowed(seed: u64, snapshot: &Snapshot, question: &Question<'_>) -> bool {
    !(is_closed(seed) && is_denied(snapshot, question)) && judge(snapshot, question).allowed()
}

#[test]
fn changes_lead_where_a_fresh_start_leads() {
    let mut denied = 0;
    for seed in 0..400 {
        let from = generate::cluster(seed, 10);
        let to = generate::cluster(seed + 1_000_000, 10);
        let mut bed = Bed::compile_with(&from, options(seed));
        let mut now = from.clone();
        for (index, change) in changes(&from, &to, seed).iter().enumerate() {
            make(change, &to, &mut now, &mut bed);
            let publication = bed.publish();
            bed.apply(&publication);
            for question in questions(&now, seed + index as u64, 40) {
                denied += usize::from(is_closed(seed) && is_denied(&now, &question));
                assert_eq!(
                    is_allowed(seed, &now, &question),
                    bed.judge(&question).reason.passes(),
                    "seed {seed}, after change {index}: {question:?}\n{:?}\n{:?}",
                    judge(&now, &question),
                    bed.judge(&question)
                );
            }
        }
        assert_eq!(now, to);
        // Numbers that a port name does not stand for any more go one publication later.
        let publication = bed.publish();
        bed.apply(&publication);
        // Nothing is left behind: as many entries as one needs that saw the end alone.
        let fresh = Bed::compile_with(&to, options(seed));
        let entries = |bed: &Bed| {
            let memory = &bed.memory;
            [
                memory.peers.len(),
                memory.cidrs.len(),
                memory.rules.len(),
                memory.classes.len(),
                memory.crosses.len(),
            ]
        };
        assert_eq!(entries(&bed), entries(&fresh), "seed {seed}: entries are left behind");
    }
    assert!(denied > 1_000, "the node denied only {denied}");
}

/// Flows between the pods of the cluster as they were and as they will be: what both ends say.
fn flow(bed: &Bed, egress: &Question<'_>, ingress: Option<&Question<'_>>) -> bool {
    let asks = |question: &Question<'_>| {
        !bed.links.contains_key(question.pod) || bed.judge(question).reason.passes()
    };
    asks(egress) && ingress.is_none_or(asks)
}

#[test]
fn each_write_leaves_every_flow_as_before_or_as_after() {
    let mut checked = 0_usize;
    for seed in 0..150 {
        let from = generate::cluster(seed, 8);
        let to = generate::cluster(seed + 2_000_000, 8);
        let mut bed = Bed::compile_with(&from, options(seed));
        let mut now = from.clone();
        for change in changes(&from, &to, seed) {
            // A namespace's labels move all of its pods, one write each: flows between two of them may be judged by one
            // end's new labels and the other's old ones. What is promised is told in docs/policy.md.
            let exact = matches!(change, Change::Policy(_) | Change::Pod(_) | Change::Cluster(_));
            let before = now.clone();
            make(&change, &to, &mut now, &mut bed);
            let publication = bed.publish();
            let asked = questions(&before, seed, 30).into_iter().filter(|question| {
                // The pod itself is there before and after, as it was placed.
                let (old, new) = (before.pods.get(question.pod), now.pods.get(question.pod));
                matches!((old, new), (Some(old), Some(new)) if old.ips == new.ips)
            });
            let asked: Vec<_> = asked
                .map(|question| {
                    let (old, new) =
                        (is_allowed(seed, &before, &question), is_allowed(seed, &now, &question));
                    (question, old, new)
                })
                .collect();
            for op in publication.ops() {
                bed.memory.apply(op);
                for (question, old, new) in &asked {
                    checked += 1;
                    let got = flow(&bed, question, None);
                    assert!(
                        !exact || got == *old || got == *new,
                        "seed {seed}: {question:?} was {old}, will be {new}, is {got} after {op:?}"
                    );
                }
            }
        }
    }
    assert!(checked > 100_000, "only {checked} verdicts were looked at");
}
