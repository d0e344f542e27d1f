//! Packets that are right or nearly so.

use std::net::IpAddr;

use bolero::TypeGenerator;
use terway_policy::craft::{self, Craft};

/// A packet between two addresses, as drawn.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) struct Drawn {
    tags: u8,
    options: Option<u8>,
    extensions: Vec<(u8, u8)>,
    inner: Option<(u8, u8)>,
    carries: Carries,
    payload: u8,
    cut: Option<Piece>,
    changes: Vec<Change>,
}

/// Of a packet that is cut, the piece.
#[derive(Clone, Debug, TypeGenerator)]
struct Piece {
    id: u8,
    size: u8,
    which: u8,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Carries {
    Tcp(u8, u8, u8),
    Udp(u8, u8),
    Sctp(u8, u8),
    Ping(u8),
    Pong(u8),
    Icmp(u8, u8, [u8; 4]),
    Discovery(u8),
    Error(u8, u8, u8),
    Raw(u8),
}

/// What makes a packet wrong.
#[derive(Clone, Debug, TypeGenerator)]
enum Change {
    /// A byte of its headers becomes another.
    Set(u8, u8),
    /// One bit of them does.
    Flip(u8, u8),
    /// It ends early.
    Cut(u16),
    /// Something stands behind it.
    Fill(u8),
}

/// Ports that rules of a test name, and their neighbours.
pub(crate) const PORTS: [u16; 8] = [0, 53, 79, 80, 81, 443, 8080, 65535];
const EXTENSIONS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];
const ERRORS4: [u8; 4] = [3, 4, 11, 12];

fn port(draw: u8) -> u16 {
    PORTS[usize::from(draw) % PORTS.len()]
}

impl Drawn {
    pub(crate) fn frame(&self, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let v4 = from.is_ipv4();
        let mut packet = craft::ip(from, to);
        for tag in 0..self.tags.saturating_sub(250) {
            packet = packet.tag(if tag == 0 { 0x88a8 } else { 0x8100 });
        }
        if v4 {
            if let Some(count) = self.options {
                packet = packet.options(&vec![1; usize::from(count % 41)]);
            }
        } else {
            for (kind, size) in self.extensions.iter().take(8) {
                let kind = EXTENSIONS[usize::from(*kind) % EXTENSIONS.len()];
                packet = packet.extension(kind, &vec![0; usize::from(*size) % 40]);
            }
            if let Some((kind, size)) = self.inner {
                let kind = EXTENSIONS[usize::from(kind) % EXTENSIONS.len()];
                packet = packet.inner_extension(kind, &vec![0; usize::from(size) % 40]);
            }
        }
        let packet = self.carry(packet, from, to);
        let mut frame = match &self.cut {
            None => packet.frame(),
            Some(piece) => {
                let size = usize::from(piece.size % 8 + 1) * 8;
                let mut pieces = packet.fragments(u32::from(piece.id % 4), size);
                if pieces.is_empty() {
                    packet.frame()
                } else {
                    pieces.swap_remove(usize::from(piece.which) % pieces.len())
                }
            }
        };
        for change in self.changes.iter().take(4) {
            change.apply(&mut frame);
        }
        frame
    }

    fn carry(&self, packet: Craft, from: IpAddr, to: IpAddr) -> Craft {
        let packet = packet.payload(&vec![0x5a; usize::from(self.payload)]);
        match self.carries {
            Carries::Tcp(source, destination, flags) => packet.tcp(port(source), port(destination), flags),
            Carries::Udp(source, destination) => packet.udp(port(source), port(destination)),
            Carries::Sctp(source, destination) => packet.sctp(port(source), port(destination)),
            Carries::Ping(id) => packet.ping(u16::from(id), 1),
            Carries::Pong(id) => packet.pong(u16::from(id), 1),
            Carries::Icmp(kind, code, rest) => packet.icmp(kind, code, rest),
            Carries::Discovery(kind) => packet.hop_limit(255).icmp(130 + kind % 8, 0, [0; 4]),
            Carries::Error(kind, source, destination) => {
                let kind = if from.is_ipv4() { ERRORS4[usize::from(kind % 4)] } else { 1 + kind % 4 };
                packet.about(kind, 0, &craft::ip(to, from).udp(port(source), port(destination)).frame())
            }
            Carries::Raw(protocol) => packet.raw(protocol),
        }
    }
}

impl Change {
    fn apply(&self, frame: &mut Vec<u8>) {
        if frame.is_empty() {
            return;
        }
        // Where headers are, after the addresses of Ethernet.
        let place = |at: u8, length: usize| (12 + usize::from(at) % 96).min(length - 1);
        match self {
            Self::Set(at, value) => {
                let at = place(*at, frame.len());
                frame[at] = *value;
            }
            Self::Flip(at, bit) => {
                let at = place(*at, frame.len());
                frame[at] ^= 1 << (bit % 8);
            }
            Self::Cut(at) => frame.truncate(usize::from(*at) % frame.len()),
            Self::Fill(count) => frame.resize(frame.len() + usize::from(*count), 0x50),
        }
    }
}
