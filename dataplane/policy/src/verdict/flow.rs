//! Flows that are known. State is kept per endpoint and made only by a packet that was allowed in its own direction, so
//! nothing that another sends can make or prolong it for a pod.

use bytemuck::must_cast;

use super::{Decision, classify, sides};
use crate::{
    layout::{
        Addr, Booked, CONTROL_KEEP_ESTABLISHED, Control, EGRESS, Endpoint, FLOW_ANSWERED, FLOW_EXEMPT,
        FLOW_FIN_ANSWERER, FLOW_FIN_OPENER, FLOW_PENDING, FLOW_RESET, Flow, FlowKey,
    },
    maps::{Maps, Slot},
    packet::{Parsed, Role, protocol, tcp},
};

/// Seconds after which a flow without packets is none any more.
mod idle {
    /// TCP and SCTP before the answer.
    pub(super) const HALF_OPEN: u64 = 20;
    /// TCP: five days, as Linux's own conntrack.
    pub(super) const ESTABLISHED: u64 = 5 * 24 * 3600;
    /// TCP after a FIN each way, or a reset.
    pub(super) const CLOSING: u64 = 10;
    /// UDP and others, before the answer.
    pub(super) const ONE_WAY: u64 = 10;
    /// UDP and others.
    pub(super) const BOTH_WAYS: u64 = 60;
    /// SCTP: heartbeats come every 30 s by default (RFC 9260, 16).
    pub(super) const SCTP: u64 = 300;
}

/// What the flow table knows of a packet.
pub(super) enum Known {
    /// It belongs to an allowed flow.
    Established {
        /// The flow goes to a service and is judged behind the translation.
        pending: bool,
    },
    /// It belongs to one that policies do not allow any more.
    Denied(Decision),
    /// Nothing: it is judged as a first packet.
    Unknown,
}

/// The key of a packet's flow, seen from the pod.
#[inline(always)]
pub(super) fn key_of(link: u32, direction: u8, parsed: &Parsed) -> FlowKey {
    let (remote, local_port, remote_port): (&Addr, u16, u16) = if direction == EGRESS {
        (&parsed.destination, parsed.source_port, parsed.destination_port)
    } else {
        (&parsed.source, parsed.destination_port, parsed.source_port)
    };
    let asker = match (parsed.protocol, parsed.role) {
        (protocol::ICMP | protocol::ICMPV6, Role::Opens) => 1 + direction,
        (protocol::ICMP | protocol::ICMPV6, Role::Answers) => 1 + (direction ^ 1),
        _ => 0,
    };
    FlowKey {
        endpoint: link,
        remote: *remote,
        local_port,
        remote_port,
        protocol: parsed.protocol,
        asker,
        pad: [0; 2],
    }
}

/// Adds the flow that a packet opens. Out of line, so that it is not on the stack while rules are asked. `judged` is epoch
/// and rule, `kind` direction and state.
#[inline(never)]
pub(super) fn open<M: Maps>(maps: &M, key: &FlowKey, own: &Addr, judged: u64, kind: u32) {
    let (epoch, rule) = ((judged >> 32) as u32, judged as u32);
    let (direction, state) = ((kind >> 8) as u8, kind as u8);
    maps.insert_flow(key, Flow { seen: maps.now(), epoch, rule, own: *own, direction, state, pad: [0; 6] });
}

/// Whether a flow of this protocol had no packet for too long.
#[inline(always)]
pub fn is_over(number: u8, flow: &Booked, now: u64, hz: u32) -> bool {
    let answered = flow.state & FLOW_ANSWERED != 0;
    let closed = flow.state & FLOW_RESET != 0
        || flow.state & (FLOW_FIN_OPENER | FLOW_FIN_ANSWERER) == FLOW_FIN_OPENER | FLOW_FIN_ANSWERER;
    let seconds = match number {
        protocol::TCP if closed => idle::CLOSING,
        protocol::TCP if answered => idle::ESTABLISHED,
        protocol::SCTP if answered => idle::SCTP,
        protocol::TCP | protocol::SCTP => idle::HALF_OPEN,
        _ if answered => idle::BOTH_WAYS,
        _ => idle::ONE_WAY,
    };
    // Another processor may have booked a later tick than this one read.
    now.saturating_sub(flow.seen) > seconds * u64::from(hz)
}

/// Looks a packet's flow up and books the packet in it.
#[inline(always)]
pub(super) fn look<M: Maps>(
    maps: &M,
    control: &Control,
    endpoint: &Endpoint,
    direction: u8,
    parsed: &Parsed,
    key: &FlowKey,
) -> Known {
    // What opens a TCP flow is always judged: a port comes again (TIME_WAIT), and a SYN against the flow's direction is no
    // answer.
    if matches!(parsed.role, Role::Opens) && parsed.protocol == protocol::TCP {
        return Known::Unknown;
    }
    let Some(slot) = maps.flow(key) else { return Known::Unknown };
    let mut flow = slot.get();
    let now = maps.now();
    let (own, _) = sides(direction, parsed);
    // A question repeated within its flow, an echo every second, is no new one. What the pod had under another address is
    // not its flow any more.
    if is_over(parsed.protocol, &flow, now, control.hz) || slot.own() != must_cast::<Addr, [u32; 4]>(*own) {
        return Known::Unknown;
    }
    let mut state = flow.state;
    if flow.direction != direction {
        state |= FLOW_ANSWERED;
    }
    if parsed.tcp_flags & (tcp::FIN | tcp::RST) != 0 {
        if parsed.tcp_flags & tcp::RST != 0 {
            state |= FLOW_RESET;
        }
        if parsed.tcp_flags & tcp::FIN != 0 {
            state |= if flow.direction == direction { FLOW_FIN_OPENER } else { FLOW_FIN_ANSWERER };
        }
    }
    if flow.epoch != endpoint.epoch {
        // Opened while nothing isolated the pod, so nobody had to ask which backend it went to.
        if control.pending_mark != 0
            && flow.direction == EGRESS
            && endpoint.rules[1] != 0
            && maps.is_service(&key.remote)
        {
            flow.state |= FLOW_PENDING;
            state |= FLOW_PENDING;
        }
        let decision = again(maps, control, endpoint, &flow, key);
        if let Some(decision) = decision {
            if !decision.reason.passes() {
                return Known::Denied(decision);
            }
            flow.rule = decision.rule;
        }
        flow.epoch = endpoint.epoch;
        flow.seen = now;
        flow.state = state;
        slot.set(flow);
    } else if state != flow.state {
        flow.seen = now;
        flow.state = state;
        slot.set(flow);
    } else if now != flow.seen {
        slot.touch(now);
    }
    Known::Established { pending: state & FLOW_PENDING != 0 }
}

/// Judges a flow once more by the packet that opened it; `None` when no rule has a say in it.
#[inline(always)]
fn again<M: Maps>(
    maps: &M,
    control: &Control,
    endpoint: &Endpoint,
    flow: &Booked,
    key: &FlowKey,
) -> Option<Decision> {
    if is_exempt(control, flow) {
        return None;
    }
    Some(classify(maps, endpoint, flow.direction, &key.remote, key.protocol, judged_port(flow, key)))
}

/// Whether no rule has a say in a flow that is known.
#[inline(always)]
pub(super) fn is_exempt(control: &Control, flow: &Booked) -> bool {
    flow.state & (FLOW_EXEMPT | FLOW_PENDING) != 0 || control.flags & CONTROL_KEEP_ESTABLISHED != 0
}

/// The port that rules were asked about when a flow was opened.
#[inline(always)]
pub(super) fn judged_port(flow: &Booked, key: &FlowKey) -> u16 {
    if flow.direction == EGRESS { key.remote_port } else { key.local_port }
}

/// A flow that is not over. Changes nothing.
#[inline(always)]
pub(super) fn current<M: Maps>(maps: &M, control: &Control, key: &FlowKey) -> Option<Booked> {
    let flow = maps.flow(key)?.get();
    if is_over(key.protocol, &flow, maps.now(), control.hz) { None } else { Some(flow) }
}
