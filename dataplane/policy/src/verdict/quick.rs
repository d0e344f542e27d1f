//! The ordinary packet of a flow that is known: Ethernet, IPv4 without options or IPv6 without extensions, TCP or UDP,
//! whole, neither opening nor ending anything. Its headers are read straight into the flow's key, in words of four bytes
//! as they stand in memory.
//!
//! Of every other packet nothing is said and nothing is changed here: it is asked about in full. What is said is what
//! would have been said then.

use core::mem::offset_of;

use bytemuck::{must_cast, must_cast_ref};

use super::{METADATA, Outcome, Reason, asks_behind, flow::is_over, is_governed, is_metadata_closed};
use crate::{
    layout::{CONTROL_TRACK, Control, EGRESS, Endpoint, FLOW_ANSWERED, FLOW_PENDING, FlowKey},
    maps::{Maps, Slot},
    packet::{Packet, protocol, tcp},
};

/// An address as it stands in memory.
type Words = [u32; 4];

/// First word of all reads: two bytes before the type, so that addresses and ports are whole words.
const BEGIN: usize = 10;
const ETHERNET: usize = 14;
/// The third word of a mapped address.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// What a packet's flow is told by.
struct Headers {
    source: Words,
    destination: Words,
    protocol: u8,
    ports: u32,
}

/// What is said of a packet that is ordinary, and belongs to a flow or to nobody's policy.
#[inline(always)]
pub(super) fn quick<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    at: (&Control, &Endpoint),
    link: u32,
    direction: u8,
    mark: &mut u32,
) -> Option<Outcome> {
    let [kind] = packet.near::<1>(BEGIN)?;
    let [_, _, kind @ ..] = kind.to_ne_bytes();
    let endpoint: &[u32; 16] = must_cast_ref(at.1);
    let own = |at: usize| [endpoint[at], endpoint[at + 1], endpoint[at + 2], endpoint[at + 3]];
    // Each to its end by itself: what both had in common would be moved to where the other has it.
    match u16::from_be_bytes(kind) {
        0x0800 => {
            let own = own(offset_of!(Endpoint, v4) / 4);
            known(maps, at, link, direction, mark, own, &ipv4(packet)?)
        }
        0x86dd => {
            let own = own(offset_of!(Endpoint, v6) / 4);
            if own == [0; 4] { None } else { known(maps, at, link, direction, mark, own, &ipv6(packet)?) }
        }
        _ => None,
    }
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P) -> Option<Headers> {
    let [_, begin, fragment, protocol, source, destination, ports] = packet.near::<7>(BEGIN)?;
    let [version, _, length @ ..] = begin.to_ne_bytes();
    let [_, protocol, _, _] = protocol.to_ne_bytes();
    // More fragments, or an offset.
    if version != 0x45 || fragment & u32::from_ne_bytes([0, 0, 0x3f, 0xff]) != 0 {
        return None;
    }
    transport(packet, protocol, ETHERNET + 20, ETHERNET + u16::from_be_bytes(length) as usize)?;
    let mapped = |address| [0, 0, MAPPED, address];
    Some(Headers { source: mapped(source), destination: mapped(destination), protocol, ports })
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P) -> Option<Headers> {
    let [_, version, length, a, b, c, d, e, f, g, h, ports] = packet.near::<12>(BEGIN)?;
    let [version, ..] = version.to_ne_bytes();
    let [high, low, protocol, _] = length.to_ne_bytes();
    let (source, destination) = ([a, b, c, d], [e, f, g, h]);
    if version >> 4 != 6 || passes_for_v4(&source) || passes_for_v4(&destination) {
        return None;
    }
    let length = u16::from_be_bytes([high, low]) as usize;
    // A length of zero is that of a packet too large for the field.
    if length == 0 {
        return None;
    }
    transport(packet, protocol, ETHERNET + 40, ETHERNET + 40 + length)?;
    Some(Headers { source, destination, protocol, ports })
}

#[inline(always)]
fn passes_for_v4(words: &Words) -> bool {
    words[0] | words[1] == 0 && words[2] == MAPPED
}

/// Whether the transport header is all there, within the packet's own length, and neither opens nor ends a flow.
#[inline(always)]
fn transport<P: Packet + ?Sized>(packet: &P, protocol: u8, offset: usize, end: usize) -> Option<()> {
    let header = match protocol {
        protocol::TCP => {
            let [word] = packet.near::<1>(offset + 12)?;
            let [words, flags, ..] = word.to_ne_bytes();
            if words >> 4 < 5 || flags & (tcp::FIN | tcp::SYN | tcp::RST) != 0 {
                return None;
            }
            20
        }
        protocol::UDP => 8,
        _ => return None,
    };
    if end < offset + header || end > packet.length() as usize { None } else { Some(()) }
}

#[inline(always)]
fn known<M: Maps>(
    maps: &M,
    (control, endpoint): (&Control, &Endpoint),
    link: u32,
    direction: u8,
    mark: &mut u32,
    own: Words,
    headers: &Headers,
) -> Option<Outcome> {
    let ports = headers.ports.to_ne_bytes();
    let source_port = u16::from_be_bytes([ports[0], ports[1]]);
    let destination_port = u16::from_be_bytes([ports[2], ports[3]]);
    let (local, remote, local_port, remote_port) = if direction == EGRESS {
        (headers.source, headers.destination, source_port, destination_port)
    } else {
        (headers.destination, headers.source, destination_port, source_port)
    };
    if local != own {
        return None;
    }
    if direction == EGRESS && is_metadata_closed(control, endpoint) {
        const CLOSED: [Words; 2] = [must_cast(METADATA[0]), must_cast(METADATA[1])];
        if remote == CLOSED[0] || remote == CLOSED[1] {
            return None;
        }
    }
    if control.flags & CONTROL_TRACK == 0
        && !is_governed(endpoint, direction)
        && !asks_behind(control, endpoint, direction)
    {
        return Some(Outcome::plain(Reason::NotIsolated));
    }
    let [a, b] = local_port.to_ne_bytes();
    let [c, d] = remote_port.to_ne_bytes();
    let key: [u32; 7] = [
        link,
        remote[0],
        remote[1],
        remote[2],
        remote[3],
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([headers.protocol, 0, 0, 0]),
    ];
    let slot = maps.flow(must_cast_ref(&key))?;
    let flow = slot.get();
    if flow.epoch != endpoint.epoch || (flow.direction != direction && flow.state & FLOW_ANSWERED == 0) {
        return None;
    }
    let now = maps.now();
    if now != flow.seen {
        if is_over(headers.protocol, &flow, now, control.hz) {
            return None;
        }
        slot.touch(now);
    }
    if direction == EGRESS && flow.state & FLOW_PENDING != 0 {
        *mark |= control.pending_mark;
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
