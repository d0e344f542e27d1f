//! First packets of flows in random clusters: reference, library and loaded program say the same, and the latter two for
//! the same reason. A difference is shrunk to a few objects and written out as manifests.

use std::net::IpAddr;

use terway_bpf::Hook;
use terway_policy::{
    craft,
    generate::{self, questions, shrink},
    manifest,
    memory::Memory,
    model::{Direction, Snapshot},
    reference::{Question, judge},
    verdict::Context,
};

use crate::{
    cluster::{Bed, FIRST_LINK},
    kernel::{Kernel, hex},
};

/// Some 250,000 flows, of clusters of every size up to [`PODS`] pods.
const CLUSTERS: u64 = 1500;
const QUESTIONS: usize = 200;
const PODS: usize = 24;
/// A link that is no pod's, by which packets come from elsewhere.
const UPLINK: u32 = 1_000_000;
const SYN: u8 = 0x02;
/// No next header.
const NOTHING: u8 = 59;

fn kernel() -> Option<Kernel> {
    Kernel::new((FIRST_LINK..).take(PODS))
}

/// The cluster of a seed in both sets of tables.
fn compile(kernel: &mut Kernel, snapshot: &Snapshot) -> Bed {
    let mut bed = Bed::compile(snapshot);
    kernel.follow(&mut bed.memory);
    bed
}

/// A packet that asks a question, and the question that it asks; `None` where the pod has no address of the family.
fn packet<'a>(snapshot: &Snapshot, question: &Question<'a>, number: u16) -> Option<(Question<'a>, Vec<u8>)> {
    let mut question = question.clone();
    let remote = question.remote;
    let own = *snapshot.pods[question.pod].ips.iter().find(|ip| ip.is_ipv4() == remote.is_ipv4())?;
    let (from, to) = match question.direction {
        Direction::Ingress => (remote, own),
        Direction::Egress => (own, remote),
    };
    let (packet, port) = (craft::ip(from, to), question.port);
    let packet = match (question.protocol, remote) {
        (6, _) => packet.tcp(number, port, SYN),
        (17, _) => packet.udp(number, port),
        (132, _) => packet.sctp(number, port),
        (1, IpAddr::V4(_)) | (58, IpAddr::V6(_)) => packet.ping(number, 1),
        // There it is an extension header, of which more follows.
        (0, IpAddr::V6(_)) => {
            question.protocol = NOTHING;
            packet.extension(0, &[0; 6]).raw(NOTHING)
        }
        (protocol, _) => packet.raw(protocol).payload(&[0x5a; 16]),
    };
    Some((question, packet.frame()))
}

/// Asks all three. Says what differs; else whether the question could be asked, and the reason.
fn ask(
    kernel: &mut Kernel,
    bed: &Bed,
    snapshot: &Snapshot,
    question: &Question<'_>,
) -> Result<Option<u8>, String> {
    let Some((question, frame)) = packet(snapshot, question, 40_000) else { return Ok(None) };
    let link = bed.links[question.pod];
    let (hook, came_by) = match question.direction {
        Direction::Ingress => (Hook::ToPod, UPLINK),
        Direction::Egress => (Hook::FromPod, link),
    };
    let pod = &snapshot.pods[question.pod];
    // Not policy's business, so the reference has nothing to say of it.
    let itself = question.direction == Direction::Egress && pod.ips.contains(&question.remote);
    let expected = itself || judge(snapshot, &question).allowed();
    let outcome = kernel.run(&bed.memory, hook, Context { link, came_by, mark: 0 }, &frame);
    let flows = kernel.take_flows(&bed.memory);
    bed.memory.forget_flows();
    let outcome = outcome.and_then(|outcome| flows.map(|()| outcome));
    let difference = match outcome {
        Ok(outcome) if outcome.passes() == expected => return Ok(Some(outcome.reason as u8)),
        Ok(outcome) => format!("program and library: {outcome:?}"),
        Err(difference) => difference,
    };
    Err(format!(
        "{question:?}\nreference: {:?}\n{difference}\nframe: {}",
        judge(snapshot, &question),
        hex(&frame)
    ))
}

/// The smallest cluster that still shows a difference, and the difference if it shows again.
fn smallest(kernel: &mut Kernel, snapshot: &Snapshot, question: &Question<'_>) -> (Snapshot, Option<String>) {
    kernel.forget(&Memory::default());
    let mut fails = |smaller: &Snapshot| {
        if !smaller.pods.contains_key(question.pod) {
            return None;
        }
        let bed = compile(kernel, smaller);
        ask(kernel, &bed, smaller, question).err()
    };
    let small = shrink(snapshot, |smaller| fails(smaller).is_some());
    let difference = fails(&small);
    (small, difference)
}

#[test]
fn reference_library_and_program_agree_on_two_hundred_thousand_flows() {
    let Some(mut kernel) = kernel() else { return };
    let mut reasons = [0_u32; 256];
    for seed in 0..CLUSTERS {
        let snapshot = generate::cluster(seed, 2 + (seed as usize % (PODS - 1)));
        let bed = compile(&mut kernel, &snapshot);
        for question in questions(&snapshot, seed, QUESTIONS) {
            let asked = ask(&mut kernel, &bed, &snapshot, &question);
            if let Err(difference) = &asked {
                let (small, again) = smallest(&mut kernel, &snapshot, &question);
                let again = again.unwrap_or_else(|| format!("only once: {difference}"));
                panic!("seed {seed}: {again}\nmanifests:\n{}", manifest::write(&small));
            }
            if let Ok(Some(reason)) = asked {
                reasons[usize::from(reason)] += 1;
            }
        }
        // Every question has had its flow taken away, so no flow is left on either side.
        let left = kernel.same_state(&bed.memory);
        if let Err(difference) = left.and_then(|()| kernel.take_counters(&bed.memory)) {
            panic!("seed {seed}: {difference}");
        }
    }
    let asked: u32 = reasons.iter().sum();
    let by_reason: Vec<_> = reasons.iter().enumerate().filter(|(_, count)| **count > 0).collect();
    println!("{asked} flows over {CLUSTERS} clusters; by reason {by_reason:?}");
    assert!(asked >= 200_000, "only {asked} flows were compared");
}

#[test]
fn a_map_that_lacks_entries_is_found_and_shrunk_to_few_objects() {
    let Some(mut kernel) = kernel() else { return };
    kernel.forgets_crossings = true;
    let found = (0..50).find_map(|seed| {
        let snapshot = generate::cluster(seed, 12);
        let bed = compile(&mut kernel, &snapshot);
        let asked = questions(&snapshot, seed, QUESTIONS);
        let question =
            asked.into_iter().find(|question| ask(&mut kernel, &bed, &snapshot, question).is_err())?;
        Some(smallest(&mut kernel, &snapshot, &question))
    });
    let (small, difference) = found.expect("a difference");
    let difference = difference.expect("it shows again");
    let objects = small.pods.len() + small.policies.len() + small.cluster_policies.len();
    assert!(objects <= 4, "{difference}\n{}", manifest::write(&small));
    assert!(difference.contains("passes") && difference.contains("frame"), "{difference}");
}
