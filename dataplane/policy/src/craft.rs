//! Packets from plain values, for tests and measurements of whoever reads packets: frames with tags, IPv4 with options,
//! IPv6 with extension headers, fragments, what the transports look like, errors that quote. Lengths and checksums are
//! right; what is to be wrong, a test writes over.
//!
//! - `checksum`: the Internet's and SCTP's

mod checksum;

use std::net::{IpAddr, Ipv4Addr};

use self::checksum::{crc32c, internet};
use crate::packet::protocol;

/// What follows an IP header and its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    Tcp { source: u16, destination: u16, flags: u8 },
    Udp { source: u16, destination: u16 },
    Sctp { source: u16, destination: u16 },
    Icmp { kind: u8, code: u8, rest: [u8; 4] },
    Raw { protocol: u8 },
}

/// An IP packet in the making. [`Craft::frame`] gives its bytes from the Ethernet header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Craft {
    source: IpAddr,
    destination: IpAddr,
    tags: Vec<u16>,
    options: Vec<u8>,
    before: Vec<(u8, Vec<u8>)>,
    behind: Vec<(u8, Vec<u8>)>,
    hop_limit: u8,
    transport: Transport,
    payload: Vec<u8>,
}

/// A packet between two addresses of one family.
pub fn ip(source: IpAddr, destination: IpAddr) -> Craft {
    assert_eq!(source.is_ipv4(), destination.is_ipv4(), "a packet has addresses of one family");
    Craft {
        source,
        destination,
        tags: Vec::new(),
        options: Vec::new(),
        before: Vec::new(),
        behind: Vec::new(),
        hop_limit: 64,
        transport: Transport::Raw { protocol: 59 },
        payload: Vec::new(),
    }
}

/// A request for the hardware address of `target`.
pub fn arp(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    // Ethernet, IPv4, their lengths, request.
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend(POD);
    body.extend(sender.octets());
    body.extend([0; 6]);
    body.extend(target.octets());
    ethernet(0x0806, &body)
}

/// A frame of any type.
pub fn ethernet(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(HOST);
    frame.extend(POD);
    frame.extend(kind.to_be_bytes());
    frame.extend(body);
    frame
}

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const POD: [u8; 6] = [2, 0, 0, 0, 0, 2];

impl Craft {
    /// Adds a VLAN tag, the outer ones first: 0x8100 or 0x88a8.
    #[must_use]
    pub fn tag(mut self, kind: u16) -> Self {
        self.tags.push(kind);
        self
    }

    /// Adds options to an IPv4 header, filled up to words of four bytes; 40 bytes at most.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        assert!(self.source.is_ipv4(), "IPv6 has extensions, not options");
        self.options.extend(options);
        self.options.resize(self.options.len().next_multiple_of(4), 0);
        assert!(self.options.len() <= 40, "an IPv4 header has room for 40 bytes of options");
        self
    }

    /// Adds an extension header to those in front of a fragment header.
    #[must_use]
    pub fn extension(mut self, kind: u8, body: &[u8]) -> Self {
        assert!(self.source.is_ipv6(), "IPv4 has options, not extensions");
        self.before.push((kind, Vec::from(body)));
        self
    }

    /// Adds an extension header to those behind a fragment header, which are part of what is cut.
    #[must_use]
    pub fn inner_extension(mut self, kind: u8, body: &[u8]) -> Self {
        assert!(self.source.is_ipv6(), "IPv4 has options, not extensions");
        self.behind.push((kind, Vec::from(body)));
        self
    }

    /// TTL or hop limit; 64 unless told, and 255 for neighbour discovery.
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = hops;
        self
    }

    /// A TCP segment.
    #[must_use]
    pub fn tcp(mut self, source: u16, destination: u16, flags: u8) -> Self {
        self.transport = Transport::Tcp { source, destination, flags };
        self
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(mut self, source: u16, destination: u16) -> Self {
        self.transport = Transport::Udp { source, destination };
        self
    }

    /// An SCTP packet.
    #[must_use]
    pub fn sctp(mut self, source: u16, destination: u16) -> Self {
        self.transport = Transport::Sctp { source, destination };
        self
    }

    /// An ICMP or, between IPv6 addresses, an ICMPv6 message, with the four bytes behind its checksum.
    #[must_use]
    pub fn icmp(mut self, kind: u8, code: u8, rest: [u8; 4]) -> Self {
        self.transport = Transport::Icmp { kind, code, rest };
        self
    }

    /// An echo request.
    #[must_use]
    pub fn ping(self, id: u16, sequence: u16) -> Self {
        let kind = if self.source.is_ipv4() { 8 } else { 128 };
        self.icmp(kind, 0, pair(id, sequence))
    }

    /// An echo reply.
    #[must_use]
    pub fn pong(self, id: u16, sequence: u16) -> Self {
        let kind = if self.source.is_ipv4() { 0 } else { 129 };
        self.icmp(kind, 0, pair(id, sequence))
    }

    /// An ICMP error of a kind about a packet, given as its frame without tags. Quotes its header and the first bytes
    /// behind it: 8 for IPv4, for IPv6 all that fits.
    #[must_use]
    pub fn about(self, kind: u8, code: u8, frame: &[u8]) -> Self {
        let packet = frame.get(14..).expect("the packet that is quoted has an Ethernet header");
        let room = if self.source.is_ipv4() { usize::from(packet[0] & 0x0f) * 4 + 8 } else { 1232 };
        let quoted = Vec::from(&packet[..packet.len().min(room)]);
        self.icmp(kind, code, [0; 4]).payload(&quoted)
    }

    /// A solicitation of IPv6 neighbour discovery.
    #[must_use]
    pub fn solicits(self, target: std::net::Ipv6Addr) -> Self {
        self.hop_limit(255).icmp(135, 0, [0; 4]).payload(&target.octets())
    }

    /// Any other protocol, of which the payload is all.
    #[must_use]
    pub fn raw(mut self, protocol: u8) -> Self {
        self.transport = Transport::Raw { protocol };
        self
    }

    /// What the packet carries.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = Vec::from(payload);
        self
    }

    /// Its bytes, from the Ethernet header on.
    pub fn frame(&self) -> Vec<u8> {
        self.part(None, &self.body())
    }

    /// The same packet in fragments that carry up to `size` bytes each, a multiple of eight.
    pub fn fragments(&self, id: u32, size: usize) -> Vec<Vec<u8>> {
        assert!(
            size > 0 && size.is_multiple_of(8),
            "fragments begin at multiples of eight bytes, not {size}"
        );
        let body = self.body();
        let count = body.len().div_ceil(size);
        let part = |(index, bytes): (usize, &[u8])| {
            let units = (index * size / 8) as u16;
            self.part(Some(Cut { id, units, more: index + 1 < count }), bytes)
        };
        body.chunks(size).enumerate().map(part).collect()
    }

    /// What is cut into fragments: inner extensions, transport header and payload.
    fn body(&self) -> Vec<u8> {
        let number = self.protocol();
        let mut body = Vec::new();
        for (index, (kind, content)) in self.behind.iter().enumerate() {
            let next = self.behind.get(index + 1).map_or(number, |(kind, _)| *kind);
            body.extend(extension(*kind, next, content));
        }
        body.extend(self.transport());
        body
    }

    fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp { .. } => protocol::TCP,
            Transport::Udp { .. } => protocol::UDP,
            Transport::Sctp { .. } => protocol::SCTP,
            Transport::Icmp { .. } if self.source.is_ipv4() => protocol::ICMP,
            Transport::Icmp { .. } => protocol::ICMPV6,
            Transport::Raw { protocol } => protocol,
        }
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let checksum_at = match self.transport {
            Transport::Tcp { source, destination, flags } => {
                bytes.extend(pair(source, destination));
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
                Some(16)
            }
            Transport::Udp { source, destination } => {
                bytes.extend(pair(source, destination));
                bytes.extend(((8 + self.payload.len()) as u16).to_be_bytes());
                bytes.extend([0, 0]);
                Some(6)
            }
            Transport::Sctp { source, destination } => {
                bytes.extend(pair(source, destination));
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]);
                bytes.extend(&self.payload);
                let sum = crc32c(&bytes).to_le_bytes();
                bytes[8..12].copy_from_slice(&sum);
                return bytes;
            }
            Transport::Icmp { kind, code, rest } => {
                bytes.extend([kind, code, 0, 0]);
                bytes.extend(rest);
                Some(2)
            }
            Transport::Raw { .. } => None,
        };
        bytes.extend(&self.payload);
        if let Some(at) = checksum_at {
            let mut summed = Vec::new();
            if self.protocol() != protocol::ICMP {
                summed.extend(octets(self.source));
                summed.extend(octets(self.destination));
                summed.extend((bytes.len() as u32).to_be_bytes());
                summed.extend([0, 0, 0, self.protocol()]);
            }
            summed.extend(&bytes);
            let sum = internet(&summed);
            // Zero would be "none" to UDP.
            let sum = if sum == 0 && self.protocol() == protocol::UDP { 0xffff } else { sum };
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    fn part(&self, cut: Option<Cut>, body: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        for tag in &self.tags {
            packet.extend([0, 7]);
            packet.extend(tag.to_be_bytes());
        }
        // A tag's own type stands in front of it: each type moves one place towards the Ethernet header.
        let kind = if self.source.is_ipv4() { 0x0800_u16 } else { 0x86dd };
        let first = self.tags.first().copied().unwrap_or(kind);
        for (index, place) in (2..).step_by(4).take(self.tags.len()).enumerate() {
            let inner = self.tags.get(index + 1).copied().unwrap_or(kind);
            packet[place..place + 2].copy_from_slice(&inner.to_be_bytes());
        }
        if self.source.is_ipv4() {
            packet.extend(self.ipv4(cut, body.len()));
        } else {
            packet.extend(self.ipv6(cut, body.len()));
        }
        packet.extend(body);
        ethernet(first, &packet)
    }

    fn ipv4(&self, cut: Option<Cut>, body: usize) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut header = vec![0x40 | (length / 4) as u8, 0];
        header.extend(((length + body) as u16).to_be_bytes());
        let cut = cut.unwrap_or(Cut { id: 0, units: 0, more: false });
        header.extend((cut.id as u16).to_be_bytes());
        header.extend((u16::from(cut.more) << 13 | cut.units).to_be_bytes());
        header.extend([self.hop_limit, self.protocol(), 0, 0]);
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        header.extend(&self.options);
        let sum = internet(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        header
    }

    fn ipv6(&self, cut: Option<Cut>, body: usize) -> Vec<u8> {
        let inner = self.behind.first().map_or_else(|| self.protocol(), |(kind, _)| *kind);
        let behind = if cut.is_some() { 44 } else { inner };
        let mut extensions = Vec::new();
        for (index, (kind, content)) in self.before.iter().enumerate() {
            let next = self.before.get(index + 1).map_or(behind, |(kind, _)| *kind);
            extensions.extend(extension(*kind, next, content));
        }
        if let Some(cut) = cut {
            extensions.extend([inner, 0]);
            extensions.extend((cut.units << 3 | u16::from(cut.more)).to_be_bytes());
            extensions.extend(cut.id.to_be_bytes());
        }
        let mut header = vec![0x60, 0, 0, 0];
        header.extend(((extensions.len() + body) as u16).to_be_bytes());
        header.extend([self.before.first().map_or(behind, |(kind, _)| *kind), self.hop_limit]);
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        header.extend(extensions);
        header
    }
}

/// Where a fragment belongs.
#[derive(Clone, Copy)]
struct Cut {
    id: u32,
    units: u16,
    more: bool,
}

/// An extension header, filled up to eight bytes. An authentication header counts in words of four, less two.
fn extension(kind: u8, next: u8, content: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend(content);
    header.resize(header.len().next_multiple_of(8), 0);
    let units = if kind == 51 { header.len() / 4 - 2 } else { header.len() / 8 - 1 };
    header[1] = u8::try_from(units).expect("an extension header fits its length");
    header
}

fn pair(first: u16, second: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
    [a, b, c, d]
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => Vec::from(v4.octets()),
        IpAddr::V6(v6) => Vec::from(v6.octets()),
    }
}
