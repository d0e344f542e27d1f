//! ICMP errors: each is about a packet of some flow, and judged by what is known of that flow. Apart from all else, because
//! the kernel's stack has no room for what a packet is judged by and what it quotes.

use bytemuck::Zeroable;

use super::{
    At, Context, Hook, Outcome, Reason, classify, drop_early,
    flow::{self, key_of},
    is_own, sides,
};
use crate::{
    layout::{Control, Endpoint, FlowKey},
    maps::Maps,
    packet::{Packet, Parsed, Part, Role, quoted},
};

/// What [`from_pod_in`](super::from_pod_in) and [`into_pod_in`](super::into_pod_in) leave open: an ICMP error, as they have
/// parsed it.
#[inline(always)]
pub fn error_in<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &Context,
    parsed: &Parsed,
    direction: u8,
) -> Outcome {
    let (Some(control), Some(endpoint)) = (maps.control(), maps.endpoint(context.link)) else {
        return drop_early(maps, Reason::UnknownEndpoint);
    };
    let (link, came_by) = (context.link, context.came_by);
    let at = At { maps, control, endpoint, link, came_by, direction, hook: Hook::Pod };
    at.said(packet, parsed, at.error(packet, parsed))
}

impl<M: Maps> At<'_, M> {
    /// An error passes when it is between pod and node, or quotes a packet of this pod's that belongs to an allowed
    /// flow; so path MTU discovery works under any policy, and nothing can be said about flows that are not there.
    #[inline(always)]
    fn error<P: Packet + ?Sized>(&self, packet: &P, parsed: &Parsed) -> Outcome {
        if !self.is_governed() {
            return Outcome::plain(Reason::NotIsolated);
        }
        if self.is_node(self.sides(parsed).1) {
            return Outcome::plain(Reason::Node);
        }
        let mut key = FlowKey::zeroed();
        let reason = quoted_flow(packet, parsed, self.endpoint, self.place(), &mut key);
        if !matches!(reason, Reason::Related) {
            return Outcome::plain(reason);
        }
        let about = about(self.maps, self.control, &key);
        let allowed = match about as u8 {
            ABOUT_NONE => false,
            ABOUT_EXEMPT => true,
            direction => {
                let (port, epoch) = ((about >> 16) as u16, (about >> 32) as u32);
                epoch == self.endpoint.epoch
                    || classify(self.maps, self.endpoint, direction, &key.remote, key.protocol, port)
                        .reason
                        .passes()
            }
        };
        Outcome::plain(if allowed { Reason::Related } else { Reason::Unrelated })
    }
}

/// Whether an ICMP error quotes a packet that may be of a flow of this pod's, and the flow's key. An error passes when
/// that flow is allowed, so path MTU discovery works under any policy, and nothing can be said about flows that are not
/// there.
#[inline(never)]
fn quoted_flow<P: Packet + ?Sized>(
    packet: &P,
    parsed: &Parsed,
    endpoint: &Endpoint,
    place: u64,
    key: &mut FlowKey,
) -> Reason {
    let Some(quoted) = quoted(packet, parsed) else { return Reason::Malformed };
    // The quoted packet went the other way.
    let was = place as u8 ^ 1;
    let (local, _) = sides(was, &quoted);
    if matches!(quoted.role, Role::Error | Role::Link | Role::Lone)
        || matches!(quoted.part, Part::Later)
        || !is_own(endpoint, local)
    {
        return Reason::Unrelated;
    }
    *key = key_of((place >> 8) as u32, was, &quoted);
    Reason::Related
}

/// There is no such flow.
const ABOUT_NONE: u8 = 2;
/// No policy is asked about it.
const ABOUT_EXEMPT: u8 = 3;

/// What is known of a flow: `ABOUT_*`; or from the low end direction, port in the third and fourth byte, and epoch.
#[inline(never)]
fn about<M: Maps>(maps: &M, control: &Control, key: &FlowKey) -> u64 {
    match flow::current(maps, control, key) {
        None => ABOUT_NONE.into(),
        Some(flow) if flow::is_exempt(control, &flow) => ABOUT_EXEMPT.into(),
        Some(flow) => {
            let port = flow::judged_port(&flow, key);
            u64::from(flow.epoch) << 32 | u64::from(port) << 16 | u64::from(flow.direction)
        }
    }
}
