//! Fragments without ports: each is what the first one of its packet was.

use crate::{
    layout::{Control, Fragment, FragmentKey, is_v4},
    maps::Maps,
    packet::Parsed,
};

// What follows is out of line so that its keys are not on the stack of whoever judges; a function of the kernel's program
// has five arguments and returns one register.

/// Keeps what was decided of a packet's first fragment.
#[inline(never)]
pub(super) fn first_fragment<M: Maps>(maps: &M, parsed: &Parsed, place: u64, passed: bool) {
    let value = Fragment { seen: maps.now(), passed: u32::from(passed), pad: 0 };
    maps.insert_fragment(&fragment_key(parsed, place), value);
}

/// Whether a later fragment is one of a packet whose first has passed.
#[inline(never)]
pub(super) fn later_fragment<M: Maps>(maps: &M, control: &Control, parsed: &Parsed, place: u64) -> bool {
    match maps.fragment(&fragment_key(parsed, place)) {
        // Reassembly gives up after 30 s (IPv4, Linux) or 60 s (RFC 8200); an identification comes again.
        Some(first) => {
            first.passed == 1 && maps.now().saturating_sub(first.seen) <= 30 * u64::from(control.hz)
        }
        None => false,
    }
}

#[inline(always)]
fn fragment_key(parsed: &Parsed, place: u64) -> FragmentKey {
    FragmentKey {
        endpoint: (place >> 8) as u32,
        source: parsed.source,
        destination: parsed.destination,
        id: parsed.fragment,
        // IPv6 has the protocol in the first fragment alone, behind its inner extensions (RFC 8200, 4.5).
        protocol: if is_v4(&parsed.source) { parsed.protocol } else { 0 },
        direction: place as u8,
        pad: [0; 2],
    }
}
