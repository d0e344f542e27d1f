//! Frames that are right, nearly so, or anything at all, to and from an isolated pod and out by an ENI: the loaded program
//! reads and judges each as the library does.

use std::net::IpAddr;

use terway_bpf::Hook;
use terway_policy::{generate::SplitMix, verdict::Context};

use crate::{
    bed::{Bed, ENI, MARK, at},
    draw,
    drawn::Drawn,
    kernel::{Kernel, hex, runnable},
    setting,
    steps::{OTHERS, OWN, POLICIES},
};

/// Frames of each kind.
const FRAMES: u64 = 40_000;
/// So many come after each other before flows and fragments are compared and forgotten.
const GROUP: u64 = 40;
/// By family: a service that is translated behind the hook, and the instance metadata, which has no IPv6 address.
const SPECIAL: [[&str; 2]; 2] = [["172.16.0.7", "100.100.100.200"], ["fd01::7", "fd01::8"]];
/// The loopback, which is what a run without a link has.
const LOOPBACK: u32 = 1;

/// Runs frames that are made of a seed between two addresses.
fn compare(make: impl Fn(u64, IpAddr, IpAddr) -> Vec<u8>) {
    let mut bed = Bed::policies(&POLICIES);
    bed.translate();
    let link = bed.link("web");
    let Some(mut kernel) = Kernel::new(std::iter::once(link)) else { return };
    let (mut ran, mut reasons) = (0, [0_u32; 256]);
    for group in 0..FRAMES / GROUP {
        let mut story = vec![setting::draw(&mut bed, &mut SplitMix::new(group))];
        kernel.follow(&mut bed.nodes[0].memory);
        let memory = &bed.nodes[0].memory;
        for seed in group * GROUP..(group + 1) * GROUP {
            let mut rng = SplitMix::new(seed ^ u64::MAX);
            let family = rng.below(2);
            let other = if rng.one_in(8) { *rng.pick(&SPECIAL[family]) } else { *rng.pick(&OTHERS[family]) };
            // Now and then the pod's side is not the pod's either.
            let own = if rng.one_in(16) { *rng.pick(&OTHERS[family]) } else { OWN[family] };
            let hook = *rng.pick(&[Hook::FromPod, Hook::FromPod, Hook::ToPod, Hook::ToPod, Hook::Exit]);
            let (from, to) = if hook == Hook::ToPod { (other, own) } else { (own, other) };
            let context = Context {
                link: if hook == Hook::Exit { LOOPBACK } else { link },
                came_by: if hook == Hook::FromPod { link } else { *rng.pick(&[0, ENI, link]) },
                mark: *rng.pick(&[0, 0, 1, MARK, MARK | 1]),
            };
            let Some(frame) = runnable(make(seed, at(from), at(to))) else { continue };
            story.push(format!("{hook} {context:?} {}", hex(&frame)));
            match kernel.run(memory, hook, context, &frame) {
                Ok(outcome) => reasons[outcome.reason as usize] += 1,
                Err(difference) => panic!("seed {seed}: {difference}\nafter:\n{}", story.join("\n")),
            }
            ran += 1;
        }
        if let Err(difference) = kernel.same_state(memory) {
            panic!("{difference}\nafter:\n{}", story.join("\n"));
        }
        kernel.forget(memory);
    }
    if let Err(difference) = kernel.take_counters(&bed.nodes[0].memory) {
        panic!("{difference}");
    }
    let by_reason: Vec<_> = reasons.iter().enumerate().filter(|(_, count)| **count > 0).collect();
    println!("{ran} frames; by reason {by_reason:?}");
    assert!(ran >= FRAMES * 3 / 4, "only {ran} frames could be run");
    assert!(by_reason.len() >= 6, "frames do not get far: {by_reason:?}");
}

#[test]
fn what_is_nearly_a_packet_is_judged_alike() {
    compare(|seed, from, to| draw::<Drawn>(seed, 256).frame(from, to));
}

#[test]
fn any_bytes_are_judged_alike() {
    compare(|seed, from, to| {
        let mut rng = SplitMix::new(seed);
        let length = 14 + if rng.one_in(8) { rng.below(2400) } else { rng.below(240) };
        let mut frame: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
        match rng.below(8) {
            0 => frame[12..14].copy_from_slice(&[0x08, 0x06]),
            1 => {}
            _ => headed(&mut frame, &mut rng, from, to),
        }
        frame
    });
}

/// Makes an IP header of the first bytes, as far as they reach: right in what decides whether one looks further.
fn headed(frame: &mut [u8], rng: &mut SplitMix, from: IpAddr, to: IpAddr) {
    let length = frame.len() - 14;
    let mut write = |at: usize, bytes: &[u8]| {
        for (place, byte) in frame.iter_mut().skip(14 + at).zip(bytes) {
            *place = *byte;
        }
    };
    let next = *rng.pick(&[0, 1, 6, 17, 43, 44, 47, 50, 51, 58, 60, 132, 135, 139, 140]);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            write(0, &[*rng.pick(&[0x45, 0x45, 0x46, 0x4f])]);
            write(2, &(length as u16).to_be_bytes());
            if !rng.one_in(4) {
                write(6, &[0, 0]);
            }
            write(9, &[next]);
            write(12, &from.octets());
            write(16, &to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            write(0, &[0x60]);
            write(4, &(length.saturating_sub(40) as u16).to_be_bytes());
            write(6, &[next]);
            write(8, &from.octets());
            write(24, &to.octets());
            // Chains go on if what stands next is a short header of a known kind.
            match rng.below(4) {
                0 | 1 => write(40, &[*rng.pick(&[0, 6, 17, 43, 44, 51, 58, 60, 132]), rng.below(4) as u8]),
                // Around the end of where one looks: 1024 bytes.
                2 => write(40, &[*rng.pick(&[0, 6, 17, 44, 58, 60]), 118 + rng.below(8) as u8]),
                _ => {}
            }
        }
        _ => unreachable!("both are of one family"),
    }
    let kind: [u8; 2] = if from.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
    frame[12..14].copy_from_slice(&kind);
}
