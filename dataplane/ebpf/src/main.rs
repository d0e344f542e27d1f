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
    packet::Parsed,
    verdict::{self, Context, Outcome},
};

use crate::{kernel::Kernel, packet::Frame};

/// Goes on with the next program of the chain: `TC_ACT_UNSPEC`, which tcx calls `TCX_NEXT`.
const NEXT: i32 = -1;
/// Drops: `TC_ACT_SHOT`.
const SHOT: i32 = 2;

/// What a pod sends.
#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    if quick_out(skb) { NEXT } else { out(skb) }
}

/// What a pod is sent. A packet to a service comes here translated, with its sender's egress still to be judged.
#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the kernel gives a context that is valid while the program runs.
    if unsafe { (*skb).mark } != 0 && behind(skb) == SHOT {
        return SHOT;
    }
    if quick_into(skb) { NEXT } else { into(skb) }
}

/// What leaves the node.
#[classifier]
pub fn exit(ctx: TcContext) -> i32 {
    behind(ctx.skb.skb)
}

#[inline(never)]
fn behind(skb: *mut __sk_buff) -> i32 {
    run(skb, |frame, context, parsed| verdict::exit_in(&Kernel, frame, context, parsed))
}

#[inline(never)]
fn quick_out(skb: *mut __sk_buff) -> bool {
    quick(skb, |frame, context| verdict::quick_from_pod(&Kernel, frame, context)).is_some()
}

#[inline(never)]
fn quick_into(skb: *mut __sk_buff) -> bool {
    quick(skb, |frame, context| verdict::quick_into_pod(&Kernel, frame, context)).is_some()
}

#[inline(never)]
fn out(skb: *mut __sk_buff) -> i32 {
    run(skb, |frame, context, parsed| verdict::from_pod_in(&Kernel, frame, context, parsed))
}

#[inline(never)]
fn into(skb: *mut __sk_buff) -> i32 {
    run(skb, |frame, context, parsed| verdict::into_pod_in(&Kernel, frame, context, parsed))
}

/// Passes everything: what the cost of the others is measured against.
#[classifier]
pub fn empty(_: TcContext) -> i32 {
    NEXT
}

#[inline(always)]
fn run(skb: *mut __sk_buff, judge: impl FnOnce(&Frame, &mut Context, &mut Parsed) -> Outcome) -> i32 {
    let Some(parsed) = maps::scratch() else { return SHOT };
    match quick(skb, |frame, context| Some(judge(frame, context, parsed))) {
        Some(action) => action,
        None => SHOT,
    }
}

/// Judges without room for what is parsed, if that can be.
#[inline(always)]
fn quick(skb: *mut __sk_buff, judge: impl FnOnce(&Frame, &mut Context) -> Option<Outcome>) -> Option<i32> {
    // SAFETY: the kernel gives a context that is valid while the program runs.
    let mark = unsafe { (*skb).mark };
    // SAFETY: as above.
    let mut context = unsafe { Context { link: (*skb).ifindex, came_by: (*skb).ingress_ifindex, mark } };
    let outcome = judge(&Frame::new(skb), &mut context)?;
    if context.mark != mark {
        // SAFETY: as above.
        unsafe { (*skb).mark = context.mark }
    }
    Some(if outcome.passes() { NEXT } else { SHOT })
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
