//! Packets both ways through one pod, with its policies changing between them: epochs, flows and fragments of the loaded
//! program are those of the library.

use terway_bpf::Hook;
use terway_policy::{
    generate::SplitMix,
    verdict::{Context, Reason},
};

use crate::{
    bed::{Bed, ENI},
    draw,
    kernel::{Kernel, hex},
    setting,
    steps::{Happens, POLICIES, Sequence, Step, begin},
};

const SEQUENCES: u64 = 400;
/// Bytes that a sequence is drawn from: some hundred steps.
const BYTES: usize = 1024;
/// Steps of a sequence.
const STEPS: usize = 100;

#[test]
fn packets_both_ways_are_judged_alike_while_policies_change() {
    let mut bed = Bed::policies(&POLICIES);
    let link = bed.link("web");
    let Some(mut kernel) = Kernel::new(std::iter::once(link)) else { return };
    bed.translate();
    let (mut packets, mut changes, mut reasons) = (0, 0, [0_u32; 256]);
    for seed in 0..SEQUENCES {
        begin(&mut bed);
        let mut story = vec![setting::draw(&mut bed, &mut SplitMix::new(seed))];
        kernel.follow(&mut bed.nodes[0].memory);
        kernel.forget(&bed.nodes[0].memory);
        let mut sequence = Sequence::default();
        let mut steps = 0;
        for step in draw_steps(seed) {
            steps += 1;
            match sequence.happen(&step) {
                // Time of the two does not run alike.
                Happens::Nothing | Happens::Wait(_) => {}
                Happens::Change(change) => {
                    changes += 1;
                    change.make(&mut bed);
                    kernel.follow(&mut bed.nodes[0].memory);
                    story.push(format!("{step:?}"));
                }
                Happens::Packet { comes, by_node, frame } => {
                    packets += 1;
                    let (hook, came_by) = match (comes, by_node) {
                        (false, _) => (Hook::FromPod, link),
                        (true, true) => (Hook::ToPod, 0),
                        (true, false) => (Hook::ToPod, ENI),
                    };
                    let context = Context { link, came_by, mark: 0 };
                    story.push(format!("{step:?} {hook} {}", hex(&frame)));
                    match kernel.run(&bed.nodes[0].memory, hook, context, &frame) {
                        Ok(outcome) => reasons[outcome.reason as usize] += 1,
                        Err(difference) => panic!("seed {seed}: {difference}\nafter:\n{}", story.join("\n")),
                    }
                }
            }
        }
        assert!(steps > 0, "seed {seed} draws nothing");
        if let Err(difference) = kernel.same_state(&bed.nodes[0].memory) {
            panic!("seed {seed}: {difference}\nafter:\n{}", story.join("\n"));
        }
    }
    if let Err(difference) = kernel.take_counters(&bed.nodes[0].memory) {
        panic!("{difference}");
    }
    let by_reason: Vec<_> = reasons.iter().enumerate().filter(|(_, count)| **count > 0).collect();
    println!("{packets} packets, {changes} changes, {SEQUENCES} sequences; by reason {by_reason:?}");
    assert!(packets > 20_000, "only {packets} packets were compared");
    assert!(changes > 3_000, "only {changes} changes were made");
    let known =
        [Reason::Established, Reason::Related, Reason::Fragment].map(|reason| reasons[reason as usize]);
    assert!(known.iter().all(|count| *count > 20), "packets that meet what is known: {known:?}");
}

fn draw_steps(seed: u64) -> Vec<Step> {
    (0..STEPS as u64).map(|index| draw(seed << 16 | index, BYTES / STEPS * 4)).collect()
}
