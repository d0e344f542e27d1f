//! The second parser: a frame is cut into slices, header by header, as the RFCs have them. Slow, allocates, and shares no
//! code with the first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Ip(Ip),
    Arp(Ipv4Addr),
    Other,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// Identification, offset in units of eight bytes, and whether more follow.
    pub(crate) fragment: Option<(u32, u16, bool)>,
    pub(crate) what: What,
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A later fragment, or a protocol that is not looked into.
    Opaque,
    Tcp {
        ports: (u16, u16),
        flags: u8,
    },
    /// UDP or SCTP.
    Ports(u16, u16),
    /// A question, by its type, and its identifier.
    Question(u8, u16),
    /// An answer, by the type of its question.
    Answer(u8, u16),
    /// An error, with what it quotes.
    Error(Vec<u8>),
    /// The link's own business.
    Link,
    /// ICMP of another kind.
    Lone,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from(*bytes.get(at)?) << 8 | u16::from(*bytes.get(at + 1)?))
}

pub(crate) fn read(frame: &[u8]) -> Reading {
    frame_of(frame).unwrap_or(Reading::Bad)
}

fn frame_of(frame: &[u8]) -> Option<Reading> {
    let mut at = 12;
    let mut kind = word(frame, at)?;
    let mut tags = 0;
    while tags < 2 && [0x8100, 0x88a8].contains(&kind) {
        tags += 1;
        at += 4;
        kind = word(frame, at)?;
    }
    let body = &frame[at + 2..];
    match kind {
        0x0800 => Some(Reading::Ip(ipv4(body, false)?)),
        0x86dd => Some(Reading::Ip(ipv6(body, false, at + 2)?)),
        0x0806 => {
            let sender: [u8; 4] = body.get(14..18)?.try_into().ok()?;
            Some(Reading::Arp(sender.into()))
        }
        _ => Some(Reading::Other),
    }
}

/// What an error quotes, of the family of the error.
pub(crate) fn read_quoted(bytes: &[u8], v4: bool) -> Option<Ip> {
    if v4 { ipv4(bytes, true) } else { ipv6(bytes, true, 0) }
}

/// RFC 791.
fn ipv4(bytes: &[u8], quoted: bool) -> Option<Ip> {
    if bytes.len() < 20 || bytes[0] / 16 != 4 {
        return None;
    }
    let header = usize::from(bytes[0] % 16) * 4;
    let total = match usize::from(word(bytes, 2)?) {
        0 => bytes.len(),
        total => total,
    };
    if header < 20 {
        return None;
    }
    let bytes = if quoted {
        bytes
    } else if header <= total && total <= bytes.len() {
        &bytes[..total]
    } else {
        return None;
    };
    let of = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let flags = word(bytes, 6)?;
    let (more, units) = (flags & 0x2000 != 0, flags & 0x1fff);
    let fragment = (more || units > 0).then(|| (word(bytes, 4).map_or(0, u32::from), units, more));
    let mut ip = Ip {
        source: of(12).into(),
        destination: of(16).into(),
        protocol: bytes[9],
        fragment,
        what: What::Opaque,
    };
    carried(&mut ip, bytes.get(header..).unwrap_or(&[]), quoted, bytes[8])?;
    Some(ip)
}

/// RFC 8200. `at` is where it begins in its frame: headers beyond 1024 bytes are not followed.
fn ipv6(bytes: &[u8], quoted: bool, at: usize) -> Option<Ip> {
    if bytes.len() < 40 || bytes[0] / 16 != 6 {
        return None;
    }
    let length = usize::from(word(bytes, 4)?);
    let bytes = if quoted || length == 0 { bytes } else { bytes.get(..40 + length)? };
    let of = |at: usize| {
        let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
        Ipv6Addr::from(octets)
    };
    let (source, destination) = (of(8), of(24));
    if source.to_ipv4_mapped().is_some() || destination.to_ipv4_mapped().is_some() {
        return None;
    }
    let mut ip = Ip {
        source: source.into(),
        destination: destination.into(),
        protocol: bytes[6],
        fragment: None,
        what: What::Opaque,
    };
    let mut offset = 40;
    let mut headers = 0;
    loop {
        let size =
            |by: usize, plus: usize| bytes.get(offset + 1).map(|length| (usize::from(*length) + plus) * by);
        let size = match ip.protocol {
            0 | 43 | 60 | 135 | 139 | 140 => size(8, 1)?,
            51 => size(4, 2)?,
            44 => 8,
            _ => break,
        };
        headers += 1;
        if headers > 6 || at + offset + size > 1024 {
            return None;
        }
        let header = bytes.get(offset..offset + size)?;
        if ip.protocol == 44 {
            let (units, more) = (word(header, 2)? >> 3, header[3] & 1 != 0);
            if units > 0 || more {
                let id = u32::from(word(header, 4)?) << 16 | u32::from(word(header, 6)?);
                ip.fragment = Some((id, units, more));
            }
            if units > 0 {
                ip.protocol = header[0];
                offset += size;
                break;
            }
        }
        ip.protocol = header[0];
        offset += size;
    }
    carried(&mut ip, &bytes[offset..], quoted, bytes[7])?;
    Some(ip)
}

/// Looks into what a packet carries, if it is there.
fn carried(ip: &mut Ip, body: &[u8], quoted: bool, hops: u8) -> Option<()> {
    if let Some((_, units, _)) = ip.fragment
        && units > 0
    {
        // RFC 3128.
        return if units == 1 && ip.protocol == 6 { None } else { Some(()) };
    }
    let v4 = ip.source.is_ipv4();
    ip.what = match ip.protocol {
        // Routers quote eight bytes at least; the ports are in the first four.
        6 if quoted => What::Tcp { ports: (word(body, 0)?, word(body, 2)?), flags: 0x10 },
        17 | 132 if quoted => What::Ports(word(body, 0)?, word(body, 2)?),
        // RFC 9293: five words at least.
        6 if body.len() < 20 || body[12] >> 4 < 5 => return None,
        6 => What::Tcp { ports: (word(body, 0)?, word(body, 2)?), flags: body[13] },
        17 if body.len() < 8 => return None,
        132 if body.len() < 12 => return None,
        17 | 132 => What::Ports(word(body, 0)?, word(body, 2)?),
        1 if v4 => icmp(body)?,
        58 if !v4 => icmpv6(body, ip.source, hops)?,
        _ => What::Opaque,
    };
    Some(())
}

/// RFC 792.
fn icmp(body: &[u8]) -> Option<What> {
    if body.len() < 8 {
        return None;
    }
    let id = word(body, 4)?;
    Some(match body[0] {
        8 => What::Question(8, id),
        0 => What::Answer(8, id),
        13 => What::Question(13, id),
        14 => What::Answer(13, id),
        3 | 4 | 11 | 12 => What::Error(body[8..].to_vec()),
        _ => What::Lone,
    })
}

/// RFC 4443, 4861, 2710, 3810.
fn icmpv6(body: &[u8], source: IpAddr, hops: u8) -> Option<What> {
    if body.len() < 8 {
        return None;
    }
    let id = word(body, 4)?;
    Some(match body[0] {
        128 => What::Question(128, id),
        129 => What::Answer(128, id),
        1..=4 => What::Error(body[8..].to_vec()),
        133..=137 if hops != 255 => return None,
        133..=137 => What::Link,
        130..=132 | 143 if is_link(source) => What::Link,
        _ => What::Lone,
    })
}

/// Whether an address is of the link alone, or none yet.
pub(crate) fn is_link(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.is_unspecified() || v6.is_unicast_link_local())
}
