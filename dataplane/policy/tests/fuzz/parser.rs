//! The parser against the plain one.

use std::net::IpAddr;

use bolero::check;
use terway_policy::{
    layout::Addr,
    packet::{Parsed, Part, Role, Seen, parse, quoted},
};

use crate::{
    bed::at,
    drawn::Drawn,
    plain::{self, Ip, Reading, What},
};

pub(crate) fn addr(ip: IpAddr) -> Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// What the first parser is to have read, in its own words; where a quoted packet begins is its own business.
fn expected(ip: &Ip) -> Parsed {
    let part = match ip.fragment {
        None => Part::Whole,
        Some((_, 0, _)) => Part::First,
        Some(_) => Part::Later,
    };
    let (role, ports, tcp_flags) = match ip.what {
        What::Opaque => (Role::Plain, (0, 0), 0),
        What::Tcp { ports, flags } => {
            let opens = flags & 0x02 != 0 && flags & 0x10 == 0;
            (if opens { Role::Opens } else { Role::Plain }, ports, flags)
        }
        What::Ports(source, destination) => (Role::Plain, (source, destination), 0),
        What::Question(kind, id) => (Role::Opens, (id, u16::from(kind)), 0),
        What::Answer(kind, id) => (Role::Answers, (u16::from(kind), id), 0),
        What::Error(_) => (Role::Error, (0, 0), 0),
        What::Link => (Role::Link, (0, 0), 0),
        What::Lone => (Role::Lone, (0, 0), 0),
    };
    Parsed {
        source: addr(ip.source),
        destination: addr(ip.destination),
        protocol: ip.protocol,
        source_port: ports.0,
        destination_port: ports.1,
        role,
        tcp_flags,
        part,
        fragment: ip.fragment.map_or(0, |(id, _, _)| id),
        quoted: 0,
    }
}

fn compare(frame: &[u8]) {
    let (first, second) = (parse(frame), plain::read(frame));
    match (first, &second) {
        (Seen::Ip(parsed), Reading::Ip(ip)) => {
            assert_eq!(Parsed { quoted: 0, ..parsed }, expected(ip), "{frame:02x?}");
            if let What::Error(_) = ip.what {
                compare_quoted(frame, &parsed);
            }
        }
        (Seen::Arp { sender }, Reading::Arp(plain)) => assert_eq!(sender, addr((*plain).into())),
        (Seen::Other, Reading::Other) | (Seen::Malformed, Reading::Bad) => {}
        _ => panic!("{first:?} and {second:?} of {frame:02x?}"),
    }
}

/// The quoted packet, up to where the frame ends: how much of it is there is nobody's promise.
fn compare_quoted(frame: &[u8], error: &Parsed) {
    let v4 = terway_policy::layout::is_v4(&error.source);
    let bytes = &frame[error.quoted.min(frame.len())..];
    // Depth is counted from the frame on, and is not at stake in what a kilobyte of frame can quote.
    if frame.len() > 1024 {
        return;
    }
    match (quoted(frame, error), plain::read_quoted(bytes, v4)) {
        (None, None) => {}
        (Some(first), Some(second)) => {
            let mut second = expected(&second);
            // Flags are not asked of what is quoted.
            second.tcp_flags = 0;
            assert_eq!(Parsed { quoted: 0, ..first }, second, "{frame:02x?}");
        }
        (first, second) => panic!("{first:?} and {second:?} quoted in {frame:02x?}"),
    }
}

#[test]
fn the_parser_takes_any_bytes_and_reads_them_as_a_plain_one_does() {
    check!().for_each(compare);
}

#[test]
fn the_parser_reads_what_is_nearly_a_packet_as_a_plain_one_does() {
    check!().with_type::<(bool, Drawn)>().for_each(|(v4, drawn)| {
        let (from, to) = if *v4 { ("192.0.2.1", "10.0.0.10") } else { ("2001:db8::1", "fd00::10") };
        compare(&drawn.frame(at(from), at(to)));
    });
}
