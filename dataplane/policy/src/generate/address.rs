//! Addresses and CIDRs, good and bad.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, sample::select};

/// How many different addresses pods have, unless there are more pods.
pub(super) const SLOTS: usize = 48;

/// Last bytes that stand at the edges of small prefixes.
const EDGES: [u8; 12] = [0, 1, 2, 3, 4, 63, 64, 127, 128, 191, 254, 255];

/// Both addresses of a pod in a slot.
pub(super) fn of_pod(slot: usize) -> Vec<IpAddr> {
    let (block, last) = (slot / EDGES.len(), EDGES[slot % EDGES.len()]);
    let [high, low] = u16::try_from(block).unwrap_or(u16::MAX).to_be_bytes();
    vec![
        Ipv4Addr::new(10, high, low, last).into(),
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, u16::try_from(block).unwrap_or(u16::MAX), last.into()).into(),
    ]
}

/// Both addresses of a pod on one of three nodes' networks.
pub(super) fn of_node(slot: usize) -> Vec<IpAddr> {
    let node = u8::try_from(slot % 3).unwrap_or_default() + 1;
    vec![Ipv4Addr::new(192, 168, 0, node).into(), Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, node.into()).into()]
}

/// Addresses that are nobody's.
pub(super) const STRANGERS: [IpAddr; 7] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::BROADCAST),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Texts that people and old API servers have left where a CIDR should be.
const BAD: [&str; 14] = [
    "",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/8 ",
    " 10.0.0.0/8",
    "10.0.0.0/08",
    "10.0.0.0/+8",
    "010.0.0.0/8",
    "10.0.0/8",
    "fd00::/129",
    "::ffff:10.0.0.0/104",
    "::ffff:a00:1/128",
    "::ffff:10.0.0.0/8",
];

/// CIDRs as written: nested, overlapping, with bits of the host, of both families, and some that are none.
pub(super) fn cidr() -> impl Strategy<Value = String> {
    // Some lengths are between bytes, some are all or nothing.
    let v4 = (0..SLOTS, select(vec![0u8, 1, 7, 8, 15, 16, 22, 23, 24, 25, 26, 30, 31, 32]))
        .prop_map(|(slot, length)| format!("{}/{length}", of_pod(slot)[0]));
    let v6 = (0..SLOTS, select(vec![0u8, 1, 8, 63, 64, 96, 111, 112, 120, 121, 126, 127, 128]))
        .prop_map(|(slot, length)| format!("{}/{length}", of_pod(slot)[1]));
    let plain =
        select(vec!["0.0.0.0/0", "::/0", "10.0.0.0/8", "192.168.0.0/16", "192.168.0.1/32", "8.8.8.8/32"]);
    prop_oneof![
        8 => v4,
        4 => v6,
        4 => plain.prop_map(String::from),
        1 => select(BAD.to_vec()).prop_map(String::from),
    ]
}

/// Holes of a block. They need not be in it.
pub(super) fn except() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec(cidr(), 1..=3)]
}
