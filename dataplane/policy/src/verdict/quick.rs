//! The ordinary packet of a flow that is known: Ethernet, IPv4 without options or IPv6 without extensions, TCP or UDP,
//! whole, neither opening nor ending anything. Its headers are read straight into the flow's key, in words of four bytes
//! as they stand in memory.
//!
//! Of every other packet nothing is said and nothing is changed here: it is asked about in full. What is said is what
//! would have been said then.

use core::mem::offset_of;

use bytemuck::{must_cast, must_cast_ref};

use super::{Context, METADATA, Outcome, Reason, asks_behind, flow::is_over, is_governed};
use crate::{
    layout::{CONTROL_BLOCK_METADATA, CONTROL_TRACK, EGRESS, Endpoint, FLOW_ANSWERED, FLOW_PENDING, FlowKey},
    maps::{Maps, Slot},
    packet::{Packet, protocol, tcp},
};

/// An address as it stands in memory.
type Words = [u32; 4];

const ETHERNET: usize = 14;
/// The third word of a mapped address.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// What is said of a packet that is ordinary, and belongs to a flow or to nobody's policy.
#[inline(always)]
pub(super) fn quick<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
    direction: u8,
) -> Option<Outcome> {
    // With two bytes before it, since a word has four.
    let [kind] = packet.near::<1>(10)?;
    let [_, _, kind @ ..] = kind.to_ne_bytes();
    // Each to its end by itself: what both had in common would be moved to where the other has it.
    match u16::from_be_bytes(kind) {
        0x0800 => ipv4(maps, packet, context, direction),
        0x86dd => ipv6(maps, packet, context, direction),
        _ => None,
    }
}

// Nothing is looked up for what opens a flow, which would be looked up again. Nothing is read before it is needed: the
// kernel's program has few registers to keep it in.

#[inline(always)]
fn ipv4<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
    direction: u8,
) -> Option<Outcome> {
    let [begin, fragment, protocol] = packet.near::<3>(ETHERNET)?;
    let [version, _, length @ ..] = begin.to_ne_bytes();
    let [_, protocol, _, _] = protocol.to_ne_bytes();
    // More fragments, or an offset.
    if version != 0x45 || fragment & u32::from_ne_bytes([0, 0, 0x3f, 0xff]) != 0 {
        return None;
    }
    transport(packet, protocol, ETHERNET + 20, ETHERNET + u16::from_be_bytes(length) as usize)?;
    let [source, destination, ports] = packet.near::<3>(ETHERNET + 12)?;
    let (local, remote) = if direction == EGRESS { (source, destination) } else { (destination, source) };
    let sides = ([0, 0, MAPPED, local], [0, 0, MAPPED, remote]);
    known(maps, context, direction, sides, offset_of!(Endpoint, v4), protocol, ports)
}

#[inline(always)]
fn ipv6<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
    direction: u8,
) -> Option<Outcome> {
    let [version, length] = packet.near::<2>(ETHERNET)?;
    let [version, ..] = version.to_ne_bytes();
    let [high, low, protocol, _] = length.to_ne_bytes();
    let length = u16::from_be_bytes([high, low]) as usize;
    // A length of zero is that of a packet too large for the field.
    if version >> 4 != 6 || length == 0 {
        return None;
    }
    transport(packet, protocol, ETHERNET + 40, ETHERNET + 40 + length)?;
    let (local, remote) = if direction == EGRESS { (8, 24) } else { (24, 8) };
    let sides = (packet.near::<4>(ETHERNET + local)?, packet.near::<4>(ETHERNET + remote)?);
    // No address at all, or one that would pass for IPv4.
    if !differ(sides.0, [0; 4]) || is_mapped(sides.0) || is_mapped(sides.1) {
        return None;
    }
    let [ports] = packet.near::<1>(ETHERNET + 40)?;
    known(maps, context, direction, sides, offset_of!(Endpoint, v6), protocol, ports)
}

/// An address of an endpoint, by its offset.
#[inline(always)]
fn address(endpoint: &Endpoint, offset: usize) -> Words {
    let words: &[u32; 16] = must_cast_ref(endpoint);
    let at = offset / 4;
    [words[at], words[at + 1], words[at + 2], words[at + 3]]
}

#[inline(always)]
fn differ(a: Words, b: Words) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) != 0
}

#[inline(always)]
fn is_mapped(words: Words) -> bool {
    words[0] | words[1] | (words[2] ^ MAPPED) == 0
}

/// Whether the transport header is all there, within the packet's own length, and neither opens nor ends a flow.
#[inline(always)]
fn transport<P: Packet + ?Sized>(packet: &P, protocol: u8, offset: usize, end: usize) -> Option<()> {
    if end > packet.length() as usize {
        return None;
    }
    match protocol {
        protocol::TCP => {
            let [word] = packet.near::<1>(offset + 12)?;
            // A data offset of five words at least; and flags.
            let small = word & u32::from_ne_bytes([0xf0, 0, 0, 0]) < 0x50;
            let special = word & u32::from_ne_bytes([0, tcp::FIN | tcp::SYN | tcp::RST, 0, 0]) != 0;
            if small || special || end < offset + 20 { None } else { Some(()) }
        }
        protocol::UDP if end >= offset + 8 => Some(()),
        _ => None,
    }
}

/// By the flow alone, where it has the epoch of its endpoint: then it was judged by the endpoint as it is, and has the
/// pod's address from there.
#[inline(always)]
fn known<M: Maps>(
    maps: &M,
    context: &mut Context,
    direction: u8,
    (own, remote): (Words, Words),
    offset: usize,
    protocol: u8,
    ports: u32,
) -> Option<Outcome> {
    let control = maps.control()?;
    if direction == EGRESS && control.flags & CONTROL_BLOCK_METADATA != 0 {
        const CLOSED: [Words; 2] = [must_cast(METADATA[0]), must_cast(METADATA[1])];
        // Unless the pod is exempt.
        if !differ(remote, CLOSED[0]) || !differ(remote, CLOSED[1]) {
            return None;
        }
    }
    if control.flags & CONTROL_TRACK == 0 {
        let endpoint = maps.endpoint(context.link)?;
        if differ(own, address(endpoint, offset)) {
            return None;
        }
        if !is_governed(endpoint, direction) && !asks_behind(control, endpoint, direction) {
            return Some(Outcome::plain(Reason::NotIsolated));
        }
    }
    let [a, b, c, d] = ports.to_ne_bytes();
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (local, other) = if direction == EGRESS { (source, destination) } else { (destination, source) };
    let ([a, b], [c, d]) = (local.to_ne_bytes(), other.to_ne_bytes());
    let key: [u32; 7] = [
        context.link,
        remote[0],
        remote[1],
        remote[2],
        remote[3],
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([protocol, 0, 0, 0]),
    ];
    let slot = maps.flow(must_cast_ref(&key))?;
    let flow = slot.get();
    if flow.epoch != maps.epoch(context.link)?
        || differ(own, slot.own())
        || (flow.direction != direction && flow.state & FLOW_ANSWERED == 0)
    {
        return None;
    }
    let now = maps.now();
    if now != flow.seen {
        if is_over(protocol, &flow, now, control.hz) {
            return None;
        }
        slot.touch(now);
    }
    if direction == EGRESS && flow.state & FLOW_PENDING != 0 {
        context.mark |= control.pending_mark;
    }
    Some(Outcome::plain(Reason::Established))
}

// The key above is written by words.
const _: () = assert!(
    offset_of!(FlowKey, endpoint) == 0
        && offset_of!(FlowKey, remote) == 4
        && offset_of!(FlowKey, local_port) == 20
        && offset_of!(FlowKey, remote_port) == 22
        && offset_of!(FlowKey, protocol) == 24
        && offset_of!(FlowKey, asker) == 25
);
