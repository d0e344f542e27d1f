//! One packet at each hook of an isolated pod: it passes exactly when the plain parser can read it and the reference
//! allows what it reads.

use std::{net::IpAddr, panic::AssertUnwindSafe};

use bolero::check;
use terway_policy::{
    model::{Direction, Name, Snapshot},
    reference::{Question, judge},
    verdict::{Context, from_pod, to_pod},
};

use crate::{
    bed::{Bed, ENI, at},
    drawn::Drawn,
    plain::{self, Ip, Reading, What, is_link},
    steps::{OTHERS, OWN, POLICIES},
};

/// The pod that packets come to and go from, in the plain words of the table.
pub(crate) struct Pod<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) direction: Direction,
    /// Link that the packet came in by: none for the node's own.
    pub(crate) came_by: Option<u32>,
    pub(crate) own_link: u32,
}

impl Pod<'_> {
    pub(crate) fn is_own(addr: IpAddr) -> bool {
        OWN.iter().any(|own| at(own) == addr)
    }

    /// The other side of a packet.
    pub(crate) fn remote(&self, ip: &Ip) -> IpAddr {
        if self.direction == Direction::Egress { ip.destination } else { ip.source }
    }

    /// Own node, or the pod itself.
    pub(crate) fn exempt(&self, remote: IpAddr) -> bool {
        let node = remote == at("10.0.0.1") || remote == at("fd00::1");
        match self.direction {
            Direction::Egress => node || Self::is_own(remote),
            Direction::Ingress => node && self.came_by.is_none() || self.came_by == Some(self.own_link),
        }
    }

    pub(crate) fn reference(&self, direction: Direction, remote: IpAddr, protocol: u8, port: u16) -> bool {
        let pod = Name::new("a", "web");
        judge(self.snapshot, &Question { pod: &pod, direction, remote, protocol, port }).allowed()
    }

    /// Whether a packet is the link's own business, and stays there.
    pub(crate) fn link(&self, ip: &Ip) -> bool {
        let stays = match ip.destination {
            _ if self.direction == Direction::Ingress => true,
            IpAddr::V6(to) if to.is_multicast() => to.octets()[1] & 0x0f == 2 || is_link(ip.source),
            to => is_link(to),
        };
        ip.what == What::Link && stays
    }

    /// Whether what a pod sends has a source that it may have.
    pub(crate) fn spoofed(&self, ip: &Ip) -> bool {
        self.direction == Direction::Egress
            && !Self::is_own(ip.source)
            && !(self.link(ip) && is_link(ip.source))
    }

    /// Whether a packet passes that no flow is known of.
    fn passes(&self, reading: &Reading) -> bool {
        let ip = match reading {
            Reading::Bad | Reading::Other => return false,
            Reading::Arp(sender) => {
                let sender = *sender;
                return self.direction == Direction::Ingress
                    || sender.is_unspecified()
                    || Self::is_own(sender.into());
            }
            Reading::Ip(ip) => ip,
        };
        if self.spoofed(ip) {
            return false;
        }
        if self.link(ip) {
            return true;
        }
        let remote = self.remote(ip);
        if matches!(ip.fragment, Some((_, 1.., _))) {
            return false;
        }
        let port = match ip.what {
            What::Error(_) => {
                let by_itself = self.direction == Direction::Ingress && self.came_by == Some(self.own_link);
                return self.exempt(remote) && !by_itself && !Self::is_own(remote);
            }
            What::Tcp { ports, .. } => ports.1,
            What::Ports(_, destination) => destination,
            _ => 0,
        };
        self.exempt(remote) || self.reference(self.direction, remote, ip.protocol, port)
    }
}

/// A frame at a hook: which, of what family, with whom, and how it came.
type Case = (bool, bool, u8, u8, u8);

fn run(bed: &Bed, case: Case, make: impl Fn(IpAddr, IpAddr) -> Vec<u8>) {
    let (comes, v6, other, way, strange) = case;
    let other = at(OTHERS[usize::from(v6)][usize::from(other) % 8]);
    // Now and then the pod's side is not the pod's either.
    let own = if strange > 240 {
        at(OTHERS[usize::from(v6)][usize::from(strange) % 8])
    } else {
        at(OWN[usize::from(v6)])
    };
    let own_link = bed.link("web");
    let came_by =
        if comes { [None, Some(ENI), Some(own_link)][usize::from(way) % 3] } else { Some(own_link) };
    let direction = if comes { Direction::Ingress } else { Direction::Egress };
    let frame = if comes { make(other, own) } else { make(own, other) };

    let memory = &bed.nodes[0].memory;
    memory.forget_flows();
    let mut context = Context { link: own_link, came_by: came_by.unwrap_or(0), mark: 0 };
    let outcome =
        if comes { to_pod(memory, &*frame, &mut context) } else { from_pod(memory, &*frame, &mut context) };
    memory.take_events();
    let reading = plain::read(&frame);
    let expected = Pod { snapshot: &bed.snapshot, direction, came_by, own_link }.passes(&reading);
    assert_eq!(outcome.passes(), expected, "{outcome:?} for {case:?}: {reading:?} of {frame:02x?}");
}

#[test]
fn what_is_nearly_a_packet_passes_only_as_what_the_reference_allows() {
    let bed = AssertUnwindSafe(Bed::policies(&POLICIES));
    check!().with_type::<(Case, Drawn)>().for_each(|(case, drawn)| {
        run(&bed, *case, |from, to| drawn.frame(from, to));
    });
}

#[test]
fn any_bytes_pass_only_as_what_the_reference_allows() {
    let bed = AssertUnwindSafe(Bed::policies(&POLICIES));
    check!().with_type::<(Case, u8, Vec<u8>)>().for_each(|(case, kind, bytes)| {
        run(&bed, *case, |_, _| {
            let mut frame = bytes.clone();
            // Most get as far as an IP header.
            if let Some(place) = frame.get_mut(12..15) {
                match kind % 4 {
                    0 => place.copy_from_slice(&[0x08, 0x00, 0x45]),
                    1 => place.copy_from_slice(&[0x86, 0xdd, 0x60]),
                    2 => place[..2].copy_from_slice(&[0x08, 0x06]),
                    _ => {}
                }
            }
            frame
        });
    });
}
