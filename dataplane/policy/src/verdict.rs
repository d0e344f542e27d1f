//! The decision for one packet, at each of three hooks:
//!
//! - [`from_pod`]: ingress of the pod's host link. Source address, instance metadata, the pod's egress.
//! - [`to_pod`]: egress of the pod's host link. The pod's ingress; for a packet to a service that was translated on the
//!   way, its sender's egress too.
//! - [`exit`]: egress of an ENI. The sender's egress for packets to services, once it is known which backend they go to.
//!
//! In the order of cost: the flow table answers for flows that are known; rules are asked for the first packet of a
//! flow, and for the next one after a change.

mod error;
mod flow;
mod fragment;
mod quick;
mod rules;

pub use self::{
    error::error_in,
    flow::is_over,
    rules::{Decision, classify},
};
use self::{
    flow::{Known, key_of, look},
    fragment::{first_fragment, later_fragment},
};
use crate::{
    layout::{
        Addr, CONTROL_BLOCK_METADATA, CONTROL_NODE_CLOSED, CONTROL_TRACK, Control, CounterKey, EGRESS,
        ENDPOINT_LOCKED, ENDPOINT_METADATA, ENDPOINT_ROUTER, Endpoint, Event, FLOW_EXEMPT, FLOW_PENDING,
        INGRESS, NO_RULE, is_v4, mapped,
    },
    maps::Maps,
    packet::{Kind, Packet, Parsed, Part, Role, is_link_scope, parse_into},
};

/// Why a packet passed or was dropped.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No policy is about the pod in this direction.
    NotIsolated = 0,
    /// A rule allows it.
    Rule = 1,
    /// It belongs to a flow that was allowed.
    Established = 2,
    /// It comes from the pod's own node, or goes there.
    Node = 3,
    /// The pod speaks with itself.
    Itself = 4,
    /// Neighbour or router discovery, group membership, ARP.
    Link = 5,
    /// An ICMP error about a flow that was allowed.
    Related = 6,
    /// A later fragment of a packet that passed.
    Fragment = 7,
    /// To a service: judged behind the translation.
    Pending = 8,
    /// The pod is isolated and no rule matches.
    NoRule = 32,
    /// A rule denies it.
    Denied = 33,
    /// The pod's policy is not known yet.
    Locked = 34,
    /// The pod's policy could not be compiled, or a table lacks what the endpoint speaks of.
    Closed = 35,
    /// The link is no pod's.
    UnknownEndpoint = 36,
    /// The source address is not the pod's.
    Spoofed = 37,
    /// Too short, too deep, or against the rules of its protocol.
    Malformed = 38,
    /// A later fragment whose first was not seen, or was dropped.
    UnknownFragment = 39,
    /// The instance metadata is closed to pods.
    Metadata = 40,
    /// An ICMP error about no flow of this pod.
    Unrelated = 41,
    /// To a service, from a sender that cannot be told any more.
    Unjudged = 42,
    /// Neither IP nor ARP.
    NotIp = 43,
}

impl Reason {
    /// Whether a packet with it passes.
    #[inline(always)]
    pub const fn passes(self) -> bool {
        (self as u8) < FIRST_DROP
    }
}

/// Reasons from here on drop.
const FIRST_DROP: u8 = 32;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why, and with that whether it passes.
    pub reason: Reason,
    /// Rule set that was asked, or 0.
    pub rules: u32,
    /// Rule that decided, or [`NO_RULE`].
    pub rule: u32,
}

impl Outcome {
    #[inline(always)]
    const fn plain(reason: Reason) -> Self {
        Self { reason, rules: 0, rule: NO_RULE }
    }

    /// Whether the packet passes.
    #[inline(always)]
    pub const fn passes(&self) -> bool {
        self.reason.passes()
    }
}

/// What the kernel knows of a packet besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Index of the link that the program is on.
    pub link: u32,
    /// Index of the link that the packet came in by; 0 when it was made on this node.
    pub came_by: u32,
    /// The packet's mark; changed in place.
    pub mark: u32,
}

/// Addresses of the instance metadata: this cloud's and the customary one.
const METADATA: [Addr; 2] = [mapped([100, 100, 100, 200]), mapped([169, 254, 169, 254])];

/// What a pod sends, at the ingress of its host link.
#[inline(always)]
pub fn from_pod<M: Maps, P: Packet + ?Sized>(maps: &M, packet: &P, context: &mut Context) -> Outcome {
    if let Some(outcome) = quick_from_pod(maps, packet, context) {
        return outcome;
    }
    let mut parsed = Parsed::EMPTY;
    match from_pod_in(maps, packet, context, &mut parsed) {
        Some(outcome) => outcome,
        None => error_in(maps, packet, context, &parsed, EGRESS),
    }
}

/// The first half of [`from_pod`]: its answer for the ordinary packet of a flow that is known. The kernel's program calls
/// [`from_pod_in`] for all others, out of line.
#[inline(always)]
pub fn quick_from_pod<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
) -> Option<Outcome> {
    quick::quick(maps, packet, context, EGRESS)
}

/// [`from_pod`] in full, with the caller's [`Parsed::EMPTY`] to work in; but for ICMP errors, which [`error_in`] judges.
#[inline(always)]
pub fn from_pod_in<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    let (Some(control), Some(endpoint)) = (maps.control(), maps.endpoint(context.link)) else {
        return Some(drop_early(maps, Reason::UnknownEndpoint));
    };
    match parse_into(packet, parsed) {
        Kind::Ip => {}
        kind => return Some(not_ip(maps, endpoint, kind, &parsed.source, EGRESS)),
    }
    if endpoint.flags & ENDPOINT_ROUTER == 0 && !is_own(endpoint, &parsed.source) {
        let unnumbered = is_links_business(EGRESS, parsed) && is_link_scope(&parsed.source);
        if !unnumbered {
            let spoofed = Outcome::plain(Reason::Spoofed);
            return Some(tell(maps, control, packet, parsed, context.link, EGRESS, spoofed));
        }
    }
    if is_metadata_closed(control, endpoint) && METADATA.contains(&parsed.destination) {
        let closed = Outcome::plain(Reason::Metadata);
        return Some(tell(maps, control, packet, parsed, context.link, EGRESS, closed));
    }
    let at = At {
        maps,
        control,
        endpoint,
        link: context.link,
        came_by: context.came_by,
        direction: EGRESS,
        hook: Hook::Pod,
    };
    at.judge(packet, parsed, &mut context.mark)
}

/// What goes to a pod, at the egress of its host link.
#[inline(always)]
pub fn to_pod<M: Maps, P: Packet + ?Sized>(maps: &M, packet: &P, context: &mut Context) -> Outcome {
    let outcome = exit(maps, packet, context);
    if outcome.passes() { into_pod(maps, packet, context) } else { outcome }
}

/// The second half of [`to_pod`], behind [`exit`]: the pod's own ingress. The kernel's program calls the halves one after
/// the other, because its stack has no room for both.
#[inline(always)]
pub fn into_pod<M: Maps, P: Packet + ?Sized>(maps: &M, packet: &P, context: &mut Context) -> Outcome {
    if let Some(outcome) = quick_into_pod(maps, packet, context) {
        return outcome;
    }
    let mut parsed = Parsed::EMPTY;
    match into_pod_in(maps, packet, context, &mut parsed) {
        Some(outcome) => outcome,
        None => error_in(maps, packet, context, &parsed, INGRESS),
    }
}

/// What [`quick_from_pod`] is, for [`into_pod`].
#[inline(always)]
pub fn quick_into_pod<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
) -> Option<Outcome> {
    quick::quick(maps, packet, context, INGRESS)
}

/// [`into_pod`] in full, as [`from_pod_in`].
#[inline(always)]
pub fn into_pod_in<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
    parsed: &mut Parsed,
) -> Option<Outcome> {
    let (Some(control), Some(endpoint)) = (maps.control(), maps.endpoint(context.link)) else {
        return Some(drop_early(maps, Reason::UnknownEndpoint));
    };
    match parse_into(packet, parsed) {
        Kind::Ip => {}
        kind => return Some(not_ip(maps, endpoint, kind, &parsed.source, INGRESS)),
    }
    let at = At {
        maps,
        control,
        endpoint,
        link: context.link,
        came_by: context.came_by,
        direction: INGRESS,
        hook: Hook::Pod,
    };
    at.judge(packet, parsed, &mut context.mark)
}

/// What leaves by an ENI. Only packets to services are looked at: all others were judged at their pod's link.
#[inline(always)]
pub fn exit<M: Maps, P: Packet + ?Sized>(maps: &M, packet: &P, context: &mut Context) -> Outcome {
    exit_in(maps, packet, context, &mut { Parsed::EMPTY })
}

/// [`exit`] with the caller's [`Parsed::EMPTY`] to work in.
#[inline(always)]
pub fn exit_in<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    packet: &P,
    context: &mut Context,
    parsed: &mut Parsed,
) -> Outcome {
    let Some(control) = maps.control() else { return drop_early(maps, Reason::UnknownEndpoint) };
    if control.pending_mark == 0 || context.mark & control.pending_mark == 0 {
        return Outcome::plain(Reason::NotIsolated);
    }
    match parse_into(packet, parsed) {
        Kind::Ip => behind_translation(maps, control, packet, parsed, context),
        _ => drop_early(maps, Reason::Malformed),
    }
}

/// Judges the egress of a packet to a service by the backend that was chosen, and takes the mark from it.
#[inline(always)]
fn behind_translation<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    control: &Control,
    packet: &P,
    parsed: &Parsed,
    context: &mut Context,
) -> Outcome {
    context.mark &= !control.pending_mark;
    // The link that it came by tells who sent it, even where the node put its own address in place of the sender's, and for
    // a router. Behind a detour through another link, only the address does.
    let sender = match maps.endpoint(context.came_by) {
        Some(_) => Some(context.came_by),
        None => maps.endpoint_of(&parsed.source),
    };
    let Some(link) = sender else {
        return tell(maps, control, packet, parsed, context.link, EGRESS, Outcome::plain(Reason::Unjudged));
    };
    let Some(endpoint) = maps.endpoint(link) else { return drop_early(maps, Reason::UnknownEndpoint) };
    if is_metadata_closed(control, endpoint) && METADATA.contains(&parsed.destination) {
        return tell(maps, control, packet, parsed, link, EGRESS, Outcome::plain(Reason::Metadata));
    }
    let at = At { maps, control, endpoint, link, came_by: link, direction: EGRESS, hook: Hook::Behind };
    let mut mark = 0;
    // Nothing is left open here.
    at.judge(packet, parsed, &mut mark).unwrap_or(Outcome::plain(Reason::Unrelated))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Pod,
    /// Behind the translation of services: a service's address here is judged as what it is.
    Behind,
}

/// One endpoint in one direction.
struct At<'a, M> {
    maps: &'a M,
    control: &'a Control,
    endpoint: &'a Endpoint,
    link: u32,
    came_by: u32,
    direction: u8,
    hook: Hook,
}

impl<M: Maps> At<'_, M> {
    #[inline(always)]
    fn is_governed(&self) -> bool {
        is_governed(self.endpoint, self.direction)
    }

    #[inline(always)]
    fn asks_behind(&self) -> bool {
        matches!(self.hook, Hook::Pod) && asks_behind(self.control, self.endpoint, self.direction)
    }

    #[inline(always)]
    fn judge<P: Packet + ?Sized>(&self, packet: &P, parsed: &Parsed, mark: &mut u32) -> Option<Outcome> {
        if !self.is_governed() && !self.asks_behind() && self.control.flags & CONTROL_TRACK == 0 {
            return Some(Outcome::plain(Reason::NotIsolated));
        }
        let outcome = match parsed.role {
            _ if is_links_business(self.direction, parsed) => return Some(Outcome::plain(Reason::Link)),
            _ if matches!(parsed.part, Part::Later) => self.later_fragment(parsed),
            Role::Error if matches!(self.hook, Hook::Pod) => return None,
            // No error is ever marked as one to a service.
            Role::Error => Outcome::plain(Reason::Unrelated),
            _ => self.flow(packet, parsed, mark),
        };
        Some(self.said(packet, parsed, outcome))
    }

    /// Keeps and tells what was decided.
    #[inline(always)]
    fn said<P: Packet + ?Sized>(&self, packet: &P, parsed: &Parsed, outcome: Outcome) -> Outcome {
        if matches!(parsed.part, Part::First) && self.is_governed() {
            first_fragment(self.maps, parsed, self.place(), outcome.passes());
        }
        match outcome.reason {
            Reason::Established | Reason::Fragment | Reason::Related => outcome,
            _ => tell(self.maps, self.control, packet, parsed, self.link, self.direction, outcome),
        }
    }

    #[inline(always)]
    fn flow<P: Packet + ?Sized>(&self, packet: &P, parsed: &Parsed, mark: &mut u32) -> Outcome {
        let (local, remote) = self.sides(parsed);
        let tracked = is_own(self.endpoint, local) && !matches!(parsed.role, Role::Lone | Role::Link);
        let key = key_of(self.link, self.direction, parsed);
        if tracked {
            match look(self.maps, self.control, self.endpoint, self.direction, parsed, &key) {
                Known::Established { pending } => {
                    if pending && self.direction == EGRESS {
                        *mark |= self.control.pending_mark;
                    }
                    return Outcome::plain(Reason::Established);
                }
                Known::Denied(decision) => {
                    self.count(packet, &decision.outcome());
                    return decision.outcome();
                }
                Known::Unknown => {}
            }
        }
        let (outcome, state) = self.first(parsed, remote);
        if state & FLOW_PENDING != 0 {
            *mark |= self.control.pending_mark;
        }
        let opens = tracked && !matches!(parsed.role, Role::Answers);
        if outcome.passes() && opens && (self.control.flags & CONTROL_TRACK != 0 || self.is_governed()) {
            let judged = u64::from(self.endpoint.epoch) << 32 | u64::from(outcome.rule);
            flow::open(self.maps, &key, local, judged, u32::from(self.direction) << 8 | u32::from(state));
        }
        self.count(packet, &outcome);
        outcome
    }

    #[inline(always)]
    fn count<P: Packet + ?Sized>(&self, packet: &P, outcome: &Outcome) {
        if outcome.rules != 0 {
            self.maps.count(&CounterKey { rules: outcome.rules, rule: outcome.rule }, packet.length());
        }
    }

    /// The first packet of a flow: exemptions, then rules. With the state of the flow that it opens.
    #[inline(always)]
    fn first(&self, parsed: &Parsed, remote: &Addr) -> (Outcome, u8) {
        // What comes is the pod's own when it came by the pod's link; its address alone can be forged.
        let itself =
            if self.direction == INGRESS { self.came_by == self.link } else { is_own(self.endpoint, remote) };
        if itself {
            return (Outcome::plain(Reason::Itself), FLOW_EXEMPT);
        }
        // Asked of pods that nothing isolates too: once something does, this flow is still the node's.
        if self.is_node(remote) {
            return (Outcome::plain(Reason::Node), FLOW_EXEMPT);
        }
        if self.asks_behind() && self.endpoint.flags & ENDPOINT_LOCKED == 0 && self.maps.is_service(remote) {
            return (Outcome::plain(Reason::Pending), FLOW_PENDING);
        }
        let decision = classify(
            self.maps,
            self.endpoint,
            self.direction,
            remote,
            parsed.protocol,
            parsed.destination_port,
        );
        (decision.outcome(), 0)
    }

    /// Whether the other side is the node itself, and open to the pod. What the node forwards with its own address is
    /// judged like any other (a NodePort's client, masqueraded).
    #[inline(always)]
    fn is_node(&self, remote: &Addr) -> bool {
        let open = if self.direction == INGRESS {
            self.came_by == 0
        } else {
            self.control.flags & CONTROL_NODE_CLOSED == 0
        };
        open && self.maps.is_host(remote)
    }

    #[inline(always)]
    fn later_fragment(&self, parsed: &Parsed) -> Outcome {
        if !self.is_governed() {
            return Outcome::plain(Reason::NotIsolated);
        }
        let passed = later_fragment(self.maps, self.control, parsed, self.place());
        Outcome::plain(if passed { Reason::Fragment } else { Reason::UnknownFragment })
    }

    /// Link and direction in one number, for functions out of line.
    #[inline(always)]
    fn place(&self) -> u64 {
        u64::from(self.link) << 8 | u64::from(self.direction)
    }

    #[inline(always)]
    fn sides<'p>(&self, parsed: &'p Parsed) -> (&'p Addr, &'p Addr) {
        sides(self.direction, parsed)
    }
}

/// The pod's side of a packet, and the other.
#[inline(always)]
fn sides(direction: u8, parsed: &Parsed) -> (&Addr, &Addr) {
    if direction == EGRESS {
        (&parsed.source, &parsed.destination)
    } else {
        (&parsed.destination, &parsed.source)
    }
}

/// Whether some policy is about the pod in this direction, or it is locked.
#[inline(always)]
fn is_governed(endpoint: &Endpoint, direction: u8) -> bool {
    let index = (direction & 1) as usize;
    endpoint.rules[index] | endpoint.next[index] | endpoint.flags & ENDPOINT_LOCKED != 0
}

#[inline(always)]
fn is_metadata_closed(control: &Control, endpoint: &Endpoint) -> bool {
    control.flags & CONTROL_BLOCK_METADATA != 0 && endpoint.flags & ENDPOINT_METADATA == 0
}

/// Whether what the pod sends to a service has to be looked at behind the translation: by its policy, or because a
/// service may stand in front of the instance metadata.
#[inline(always)]
fn asks_behind(control: &Control, endpoint: &Endpoint, direction: u8) -> bool {
    control.pending_mark != 0
        && direction == EGRESS
        && (is_governed(endpoint, direction) || is_metadata_closed(control, endpoint))
}

#[inline(always)]
fn is_own(endpoint: &Endpoint, addr: &Addr) -> bool {
    if is_v4(addr) { *addr == endpoint.v4 } else { *addr == endpoint.v6 && *addr != [0; 16] }
}

/// Whether a packet is the link's own business and stays on the link: anything could be told to anyone in the guise of a
/// solicitation that is routed.
#[inline(always)]
fn is_links_business(direction: u8, parsed: &Parsed) -> bool {
    let to = &parsed.destination;
    let stays = is_link_scope(to)
        || (to[0] == 0xff && (to[1] & 0x0f == 2 || is_link_scope(&parsed.source)))
        || direction == INGRESS;
    stays && matches!(parsed.role, Role::Link)
}

#[inline(always)]
fn not_ip<M: Maps>(maps: &M, endpoint: &Endpoint, kind: Kind, sender: &Addr, direction: u8) -> Outcome {
    let governed = is_governed(endpoint, direction);
    let reason = match kind {
        Kind::Arp if direction == EGRESS && endpoint.flags & ENDPOINT_ROUTER == 0 => {
            // An address that is probed for before it is used stands in ARP's target, with a sender of zero (RFC 5227).
            if is_own(endpoint, sender) || *sender == mapped([0; 4]) { Reason::Link } else { Reason::Spoofed }
        }
        Kind::Arp => Reason::Link,
        Kind::Malformed if governed || direction == EGRESS => Reason::Malformed,
        Kind::Other if governed => Reason::NotIp,
        _ => Reason::NotIsolated,
    };
    if !reason.passes() {
        maps.count_drop(reason as u32);
    }
    Outcome::plain(reason)
}

#[inline(always)]
fn drop_early<M: Maps>(maps: &M, reason: Reason) -> Outcome {
    maps.count_drop(reason as u32);
    Outcome::plain(reason)
}

/// Tells of a packet that was dropped, or that opened a flow.
#[inline(always)]
fn tell<M: Maps, P: Packet + ?Sized>(
    maps: &M,
    control: &Control,
    packet: &P,
    parsed: &Parsed,
    link: u32,
    direction: u8,
    outcome: Outcome,
) -> Outcome {
    let passed = outcome.passes();
    if !passed {
        maps.count_drop(outcome.reason as u32);
    }
    if if passed { control.sample != 0 } else { control.event_rate != 0 } {
        let place = u64::from(link) << 16 | u64::from(direction) << 8 | outcome.reason as u64;
        let rule = u64::from(outcome.rules) << 32 | u64::from(outcome.rule);
        event(maps, packet, parsed, place, rule);
    }
    outcome
}

/// Out of line, so that an event is not on the stack of whoever judges. Numbers come in pairs because a function of the
/// kernel's program has five arguments.
#[inline(never)]
fn event<M: Maps, P: Packet + ?Sized>(maps: &M, packet: &P, parsed: &Parsed, place: u64, rule: u64) {
    let reason = place as u8;
    let passed = reason < FIRST_DROP;
    if !maps.tells(!passed) {
        return;
    }
    let event = Event {
        at: 0,
        endpoint: (place >> 16) as u32,
        rules: (rule >> 32) as u32,
        rule: rule as u32,
        length: packet.length(),
        source: parsed.source,
        destination: parsed.destination,
        source_port: parsed.source_port,
        destination_port: parsed.destination_port,
        protocol: parsed.protocol,
        direction: (place >> 8) as u8,
        reason,
        passed: u8::from(passed),
    };
    maps.tell(&event);
}
