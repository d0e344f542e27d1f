//! The kernel's side of policy: three traffic control programs, each a thin shell over `terway_policy::verdict`.
//!
//! - `from_pod`: what a pod sends, at the ingress of its host link.
//! - `to_pod`: what a pod is sent, at the egress of its host link.
//! - `exit`: what leaves the node, at the egress of an ENI: nothing that still waits for its judgement gets out.
//!
//! A packet that passes goes on to whatever else is attached; one that does not is dropped here. Helpers are those of
//! Linux 5.10.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod kernel;
mod maps;
mod packet;

use aya_ebpf::{bindings::__sk_buff, macros::classifier, programs::TcContext};
use terway_policy::{
    layout::{EGRESS, INGRESS},
    packet::Parsed,
    verdict::{self, Context, Outcome},
};

use crate::{kernel::Kernel, packet::Frame};

/// Goes on with the next program of the chain: `TC_ACT_UNSPEC`, which tcx calls `TCX_NEXT`.
const NEXT: i32 = -1;
/// Drops: `TC_ACT_SHOT`.
const SHOT: i32 = 2;
/// Somebody else has to say; no action of the kernel.
const OPEN: i32 = 0x7e77;

/// What a pod sends.
#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    match judged(skb, |frame, context| verdict::quick_from_pod(&Kernel, frame, context)) {
        OPEN => match out(skb) {
            OPEN => error(skb, EGRESS),
            action => action,
        },
        action => action,
    }
}

/// What a pod is sent. A packet to a service comes here translated, with its sender's egress still to be judged.
#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the kernel gives a context that is valid while the program runs.
    if unsafe { (*skb).mark } != 0 && behind(skb) == SHOT {
        return SHOT;
    }
    match judged(skb, |frame, context| verdict::quick_into_pod(&Kernel, frame, context)) {
        OPEN => match into(skb) {
            OPEN => error(skb, INGRESS),
            action => action,
        },
        action => action,
    }
}

/// What leaves the node.
#[classifier]
pub fn exit(ctx: TcContext) -> i32 {
    behind(ctx.skb.skb)
}

// Out of line each, one after the other: a program and what it calls have 512 bytes of stack together.

#[inline(never)]
fn behind(skb: *mut __sk_buff) -> i32 {
    run(skb, |frame, context, parsed| Some(verdict::exit_in(&Kernel, frame, context, parsed)))
}

#[inline(never)]
fn out(skb: *mut __sk_buff) -> i32 {
    run(skb, |frame, context, parsed| verdict::from_pod_in(&Kernel, frame, context, parsed))
}

#[inline(never)]
fn into(skb: *mut __sk_buff) -> i32 {
    run(skb, |frame, context, parsed| verdict::into_pod_in(&Kernel, frame, context, parsed))
}

#[inline(never)]
fn error(skb: *mut __sk_buff, direction: u8) -> i32 {
    let Some(parsed) = maps::parsed() else { return SHOT };
    judged(skb, |frame, context| Some(verdict::error_in(&Kernel, frame, context, parsed, direction)))
}

/// Passes everything: what the cost of the others is measured against.
#[classifier]
pub fn empty(_: TcContext) -> i32 {
    NEXT
}

/// Judges with room for what is parsed.
#[inline(always)]
fn run(skb: *mut __sk_buff, judge: impl FnOnce(&Frame, &mut Context, &mut Parsed) -> Option<Outcome>) -> i32 {
    let Some(parsed) = maps::scratch() else { return SHOT };
    judged(skb, |frame, context| judge(frame, context, parsed))
}

/// Judges, and writes the mark that came of it. [`OPEN`] where nothing was said.
#[inline(always)]
fn judged(skb: *mut __sk_buff, judge: impl FnOnce(&Frame, &mut Context) -> Option<Outcome>) -> i32 {
    // SAFETY: the kernel gives a context that is valid while the program runs.
    let mark = unsafe { (*skb).mark };
    // SAFETY: as above.
    let mut context = unsafe { Context { link: (*skb).ifindex, came_by: (*skb).ingress_ifindex, mark } };
    let Some(outcome) = judge(&Frame::new(skb), &mut context) else { return OPEN };
    if context.mark != mark {
        // SAFETY: as above.
        unsafe { (*skb).mark = context.mark }
    }
    if outcome.passes() { NEXT } else { SHOT }
}

/// Which sources this object was built from: the loader compares it with its own.
#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = "terway.source")]
static TERWAY_SOURCE: [u8; 64] = *source();

const fn source() -> &'static [u8; 64] {
    match env!("TERWAY_EBPF_SOURCE").as_bytes().as_array() {
        Some(hash) => hash,
        None => panic!("TERWAY_EBPF_SOURCE is a SHA-256 in hexadecimal"),
    }
}

/// Helpers of the kernel are open to programs under its licence only.
#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";

/// Nothing panics: the verifier refuses a program that could come here.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
