//! From bytes to what policy asks of a packet: addresses, protocol, ports, and what it is to its flow.
//!
//! Reads over [`Packet`], which a slice and the kernel's packet both are. Every loop has a constant bound and every read
//! is checked; what is too short or too deep comes back as [`Seen::Malformed`].

use crate::layout::{Addr, is_v4, mapped};

/// Bytes of a packet, from its Ethernet header.
pub trait Packet {
    /// `N` bytes at an offset, if all of them are there.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
    /// The same, where few packets come: the kernel's program then has one way to get there instead of two.
    #[inline(always)]
    fn load_rare<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.load(offset)
    }
    /// `N` words of four bytes as they stand in memory, from an offset, if they are at hand: the kernel may have them
    /// elsewhere, and then only [`load`](Packet::load) finds them.
    fn near<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;
    /// Length of the whole packet in bytes.
    fn length(&self) -> u32;
}

impl Packet for [u8] {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..offset.checked_add(N)?)?.try_into().ok()
    }

    fn near<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let bytes = self.get(offset..offset.checked_add(4 * N)?)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().ok()?);
        }
        Some(words)
    }

    fn length(&self) -> u32 {
        self.len() as u32
    }
}

/// IP protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An IP packet.
    Ip(Parsed),
    /// ARP, with the address that its sender claims.
    Arp {
        /// IPv4 address in mapped form.
        sender: Addr,
    },
    /// Neither IP nor ARP.
    Other,
    /// Too short, too deep, or against the rules of its protocol.
    Malformed,
}

/// What a packet is to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It may open the flow or belong to it.
    Plain,
    /// It opens one and never answers: a TCP SYN, an ICMP question.
    Opens,
    /// It never opens one: an ICMP answer.
    Answers,
    /// An ICMP error about a packet of another flow.
    Error,
    /// Neighbour and router discovery, group membership: the link's own business.
    Link,
    /// ICMP of another kind: judged by itself, never part of a flow.
    Lone,
}

/// Where in a fragmented packet this one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Not fragmented.
    Whole,
    /// The one with the ports.
    First,
    /// One without.
    Later,
}

/// An IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Source.
    pub source: Addr,
    /// Destination.
    pub destination: Addr,
    /// IP protocol, behind IPv6 extension headers.
    pub protocol: u8,
    /// Source port; the identifier of an ICMP question; 0 where there is none.
    pub source_port: u16,
    /// Destination port; the identifier of an ICMP answer; 0 where there is none.
    pub destination_port: u16,
    /// What it is to its flow.
    pub role: Role,
    /// Flags of TCP.
    pub tcp_flags: u8,
    /// Where it stands.
    pub part: Part,
    /// Identification, when fragmented.
    pub fragment: u32,
    /// Where the quoted packet begins, for [`Role::Error`].
    pub quoted: usize,
}

impl Parsed {
    /// Nothing is known yet.
    pub const EMPTY: Self = Self {
        source: [0; 16],
        destination: [0; 16],
        protocol: 0,
        source_port: 0,
        destination_port: 0,
        role: Role::Plain,
        tcp_flags: 0,
        part: Part::Whole,
        fragment: 0,
        quoted: 0,
    };
}

/// Flag bits of TCP.
pub mod tcp {
    /// No more from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens.
    pub const SYN: u8 = 0x02;
    /// Ends at once.
    pub const RST: u8 = 0x04;
    /// Acknowledges.
    pub const ACK: u8 = 0x10;
}

const ETHERNET: usize = 14;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV6: u16 = 0x86dd;
/// Tags that are walked: one of 802.1ad around one of 802.1Q.
const TAGS: usize = 2;
/// Extension headers of IPv6 that are walked.
const EXTENSIONS: usize = 6;
/// Offsets beyond this are no header's.
const DEEPEST: usize = 1024;

/// What a frame is; the details are in the [`Parsed`] that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IP packet.
    Ip,
    /// ARP: [`Parsed::source`] is the address that its sender claims, in mapped form.
    Arp,
    /// Neither IP nor ARP.
    Other,
    /// Too short, too deep, or against the rules of its protocol.
    Malformed,
}

/// Parses a frame from its Ethernet header.
pub fn parse<P: Packet + ?Sized>(packet: &P) -> Seen {
    let mut parsed = Parsed::EMPTY;
    match parse_into(packet, &mut parsed) {
        Kind::Ip => Seen::Ip(parsed),
        Kind::Arp => Seen::Arp { sender: parsed.source },
        Kind::Other => Seen::Other,
        Kind::Malformed => Seen::Malformed,
    }
}

/// Parses a frame from its Ethernet header, into [`Parsed::EMPTY`]. The kernel's stack has room for few of them, so none
/// is returned by value.
#[inline(always)]
pub fn parse_into<P: Packet + ?Sized>(packet: &P, parsed: &mut Parsed) -> Kind {
    let Some(kind) = packet.load::<2>(12) else { return Kind::Malformed };
    let mut kind = u16::from_be_bytes(kind);
    let mut offset = ETHERNET;
    for _ in 0..TAGS {
        if kind != 0x8100 && kind != 0x88a8 {
            break;
        }
        let Some(inner) = packet.load::<2>(offset + 2) else { return Kind::Malformed };
        kind = u16::from_be_bytes(inner);
        offset += 4;
    }
    match kind {
        TYPE_IPV4 | TYPE_IPV6 => match ip(packet, offset, kind == TYPE_IPV4, false, parsed) {
            Some(()) => Kind::Ip,
            None => Kind::Malformed,
        },
        // Sender's protocol address, behind types, lengths, operation and hardware address.
        TYPE_ARP => match packet.load::<4>(offset + 14) {
            Some(sender) => {
                parsed.source = mapped(sender);
                Kind::Arp
            }
            None => Kind::Malformed,
        },
        _ => Kind::Other,
    }
}

/// The packet that an ICMP error quotes. Routers may cut it behind eight bytes of its transport header.
#[inline(always)]
pub fn quoted<P: Packet + ?Sized>(packet: &P, error: &Parsed) -> Option<Parsed> {
    let mut parsed = Parsed::EMPTY;
    ip(packet, error.quoted, is_v4(&error.source), true, &mut parsed)?;
    Some(parsed)
}

// Out of line: in the kernel the parser then has a stack frame of its own, and what it finds stays in memory.
#[inline(never)]
fn ip<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    v4: bool,
    quoted: bool,
    parsed: &mut Parsed,
) -> Option<()> {
    let behind = if v4 { ipv4(packet, offset, parsed)? } else { ipv6(packet, offset, parsed)? };
    if !quoted && !fits(packet, &behind, v4, parsed) {
        return None;
    }
    if let Part::Later = parsed.part {
        return Some(());
    }
    transport(packet, behind.offset, behind.hop_limit, v4, quoted, parsed)
}

/// Where the transport header begins, where the packet ends by its own word, and the hop limit, which neighbour discovery
/// proves its origin by.
struct Behind {
    offset: usize,
    end: usize,
    hop_limit: u8,
}

/// Whether a packet is all there, and its transport header within it: what fills a short frame up is none of it. A length
/// of zero is that of a packet too large for the field, which its receiver takes from segmentation offload alone.
#[inline(always)]
fn fits<P: Packet + ?Sized>(packet: &P, behind: &Behind, v4: bool, parsed: &Parsed) -> bool {
    let header = match parsed.protocol {
        _ if matches!(parsed.part, Part::Later) => 0,
        protocol::TCP => 20,
        protocol::UDP => 8,
        protocol::SCTP => 12,
        protocol::ICMP if v4 => 8,
        protocol::ICMPV6 if !v4 => 8,
        _ => 0,
    };
    behind.offset + header <= behind.end && behind.end <= packet.length() as usize
}

/// Where a packet ends of which a header at an offset says that so many bytes follow.
#[inline(always)]
fn end<P: Packet + ?Sized>(packet: &P, offset: usize, length: [u8; 2]) -> usize {
    match u16::from_be_bytes(length) {
        0 => packet.length() as usize,
        length => offset + length as usize,
    }
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, offset: usize, parsed: &mut Parsed) -> Option<Behind> {
    let header = packet.load::<20>(offset)?;
    let words = (header[0] & 0x0f) as usize;
    if header[0] >> 4 != 4 || words < 5 {
        return None;
    }
    parsed.source = mapped([header[12], header[13], header[14], header[15]]);
    parsed.destination = mapped([header[16], header[17], header[18], header[19]]);
    parsed.protocol = header[9];
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x3fff != 0 {
        parsed.fragment = u32::from(u16::from_be_bytes([header[4], header[5]]));
        place(fragment & 0x1fff, parsed)?;
    }
    let end = end(packet, offset, [header[2], header[3]]);
    Some(Behind { offset: offset + words * 4, end, hop_limit: header[8] })
}

/// Books where a fragment stands, by its offset in units of eight bytes. One that would write over the flags of a TCP
/// header is an attack (RFC 3128).
#[inline(always)]
fn place(units: u16, parsed: &mut Parsed) -> Option<()> {
    parsed.part = if units == 0 { Part::First } else { Part::Later };
    if units == 1 && parsed.protocol == protocol::TCP { None } else { Some(()) }
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, offset: usize, parsed: &mut Parsed) -> Option<Behind> {
    let header = packet.load::<8>(offset)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    parsed.source = packet.load::<16>(offset + 8)?;
    parsed.destination = packet.load::<16>(offset + 24)?;
    // Never on the wire (RFC 4942, 2.2), and here it would pass for IPv4.
    if is_v4(&parsed.source) || is_v4(&parsed.destination) {
        return None;
    }
    let end = end(packet, offset + 40, [header[4], header[5]]);
    let hop_limit = header[7];
    let mut next = header[6];
    let mut at = offset + 40;
    for walked in 0..=EXTENSIONS {
        let kind = next;
        if !matches!(kind, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
            parsed.protocol = kind;
            return Some(Behind { offset: at, end, hop_limit });
        }
        // Each of them has eight bytes at least.
        let header = packet.load_rare::<8>(at)?;
        next = header[0];
        at += match kind {
            44 => 8,
            // Authentication: its length counts words of four bytes, less two.
            51 => (header[1] as usize + 2) * 4,
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            _ => (header[1] as usize + 1) * 8,
        };
        if kind == 44 {
            let units = u16::from_be_bytes([header[2], header[3]]);
            // An atomic fragment (RFC 6946) is a whole packet.
            if units & 0xfff9 != 0 {
                parsed.fragment = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                parsed.protocol = next;
                place(units >> 3, parsed)?;
                if let Part::Later = parsed.part
                    && walked < EXTENSIONS
                {
                    return Some(Behind { offset: at, end, hop_limit });
                }
            }
        }
        if at > DEEPEST {
            return None;
        }
    }
    None
}

#[inline(always)]
fn transport<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    hop_limit: u8,
    v4: bool,
    quoted: bool,
    parsed: &mut Parsed,
) -> Option<()> {
    match parsed.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            let ports = packet.load::<4>(offset)?;
            parsed.source_port = u16::from_be_bytes([ports[0], ports[1]]);
            parsed.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
            if quoted {
                return Some(());
            }
            match parsed.protocol {
                protocol::TCP => {
                    // All of the fixed header, so that nothing of it can come in another fragment.
                    packet.load::<1>(offset + 19)?;
                    let [words, flags] = packet.load::<2>(offset + 12)?;
                    if words >> 4 < 5 {
                        return None;
                    }
                    parsed.tcp_flags = flags;
                    if parsed.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
                        parsed.role = Role::Opens;
                    }
                }
                protocol::UDP => _ = packet.load::<1>(offset + 7)?,
                _ => _ = packet.load::<1>(offset + 11)?,
            }
        }
        protocol::ICMP if v4 => icmp(packet, offset, parsed)?,
        protocol::ICMPV6 if !v4 => icmpv6(packet, offset, hop_limit, parsed)?,
        _ => {}
    }
    Some(())
}

#[inline(always)]
fn icmp<P: Packet + ?Sized>(packet: &P, offset: usize, parsed: &mut Parsed) -> Option<()> {
    let header = packet.load::<8>(offset)?;
    let id = u16::from_be_bytes([header[4], header[5]]);
    match header[0] {
        // Echo and timestamp, question and answer. One pair of types never answers the other's: the low byte of what
        // stands in for the other port tells them apart.
        8 | 13 => question(id, header[0], parsed),
        0 => answer(id, 8, parsed),
        14 => answer(id, 13, parsed),
        // Unreachable, source quench, time exceeded, parameter problem.
        3 | 4 | 11 | 12 => error(offset, parsed),
        _ => parsed.role = Role::Lone,
    }
    Some(())
}

#[inline(always)]
fn icmpv6<P: Packet + ?Sized>(packet: &P, offset: usize, hop_limit: u8, parsed: &mut Parsed) -> Option<()> {
    let header = packet.load::<8>(offset)?;
    let id = u16::from_be_bytes([header[4], header[5]]);
    match header[0] {
        128 => question(id, 128, parsed),
        129 => answer(id, 128, parsed),
        1..=4 => error(offset, parsed),
        // Listener queries, reports, done; reports of version 2. They come from link-local addresses, which no router
        // forwards (RFC 3810, 5.1.14 and 5.2.13).
        130..=132 | 143 if is_link_scope(&parsed.source) => parsed.role = Role::Link,
        // Discovery comes from the link alone, which a hop limit of 255 proves (RFC 4861, 6.1 and 7.1).
        133..=137 if hop_limit == 255 => parsed.role = Role::Link,
        133..=137 => return None,
        _ => parsed.role = Role::Lone,
    }
    Some(())
}

/// Unspecified or link-local: what neighbour discovery may come from before and besides the pod's address.
#[inline(always)]
pub(crate) fn is_link_scope(addr: &Addr) -> bool {
    *addr == [0; 16] || (addr[0] == 0xfe && addr[1] & 0xc0 == 0x80)
}

#[inline(always)]
fn question(id: u16, kind: u8, parsed: &mut Parsed) {
    parsed.role = Role::Opens;
    parsed.source_port = id;
    parsed.destination_port = u16::from(kind);
}

#[inline(always)]
fn answer(id: u16, asked: u8, parsed: &mut Parsed) {
    parsed.role = Role::Answers;
    parsed.source_port = u16::from(asked);
    parsed.destination_port = id;
}

#[inline(always)]
fn error(offset: usize, parsed: &mut Parsed) {
    parsed.role = Role::Error;
    parsed.quoted = offset + 8;
}
