//! Keys and values of the maps, as the kernel's program and everyone else sees them. All padding is explicit, integers
//! are native-endian, ports are host order, addresses are sixteen bytes in network order: IPv4 stands in its mapped
//! form `::ffff:a.b.c.d`, which no IPv6 packet may carry.
//!
//! How a verdict is found: an address has a *class* (what all rules on this node together can tell of it); a rule set
//! maps classes to *peer sets* and ports to *port groups*, and a pair of those to the best rule. Each step is one
//! lookup, whatever the number of rules.

use core::net::IpAddr;

use bytemuck::{Pod, Zeroable};

/// Version of all that is in this file. A program and maps of another one are replaced, never mixed.
pub const LAYOUT: u32 = 2;

/// Sixteen bytes of address.
pub type Addr = [u8; 16];

/// The mapped form of an IPv4 address.
pub const fn mapped(v4: [u8; 4]) -> Addr {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// The form of any address.
pub const fn addr_of(ip: IpAddr) -> Addr {
    match ip {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Whether an address stands for an IPv4 one.
pub fn is_v4(addr: &Addr) -> bool {
    matches!(addr, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
}

/// No rule.
pub const NO_RULE: u32 = u32::MAX;

/// A matched rule: its place in the order of precedence, and what it does. The smaller of two of one tier wins.
pub const fn rule(place: u32, action: u32) -> u32 {
    place << 2 | action
}

/// The rule allows.
pub const ALLOW: u32 = 0;
/// The rule denies.
pub const DENY: u32 = 1;
/// The rule leaves its tier.
pub const PASS: u32 = 2;

/// Best rule by tier: Admin, NetworkPolicy, Baseline; [`NO_RULE`] where none matches.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Best {
    /// Of ClusterNetworkPolicies of the tier Admin.
    pub admin: u32,
    /// Of NetworkPolicies.
    pub policy: u32,
    /// Of ClusterNetworkPolicies of the tier Baseline.
    pub baseline: u32,
}

impl Best {
    /// No rule in any tier.
    pub const NONE: Self = Self { admin: NO_RULE, policy: NO_RULE, baseline: NO_RULE };

    /// The better of both in each tier.
    #[inline(always)]
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        Self {
            admin: if other.admin < self.admin { other.admin } else { self.admin },
            policy: if other.policy < self.policy { other.policy } else { self.policy },
            baseline: if other.baseline < self.baseline { other.baseline } else { self.baseline },
        }
    }
}

/// Map `terway_ctl`: array of one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// [`LAYOUT`].
    pub layout: u32,
    /// `CONTROL_*`.
    pub flags: u32,
    /// Ticks of the program's clock per second.
    pub hz: u32,
    /// One of so many new flows is told as an event; 0 is none.
    pub sample: u32,
    /// Bit of the packet's mark that says "not judged yet": 0 where no services are translated behind the hook.
    pub pending_mark: u32,
    /// Denied packets told as events, per second and processor, at most.
    pub event_rate: u32,
}

/// Flows are tracked: set once the cluster has any policy. Without it pods that nothing isolates skip the flow table.
pub const CONTROL_TRACK: u32 = 1;
/// Flows that were allowed stay allowed when policies change.
pub const CONTROL_KEEP_ESTABLISHED: u32 = 2;
/// Addresses of a pod's own node are judged like any other when the pod opens the flow.
pub const CONTROL_NODE_CLOSED: u32 = 4;
/// Pods may not reach the instance metadata, but for those with [`ENDPOINT_METADATA`].
pub const CONTROL_BLOCK_METADATA: u32 = 8;

/// Map `terway_ep`: by the index of the pod's host link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Endpoint {
    /// Rule sets for what comes and what goes.
    pub rules: [u32; 2],
    /// Rule sets that must allow as well, while a change is made to more than one object; 0 is none.
    pub next: [u32; 2],
    /// Which classification of addresses the rule sets speak of.
    pub view: u32,
    /// The same for `next`.
    pub next_view: u32,
    /// Changes whenever a verdict of this pod may have changed; no other endpoint has had the same, and it is not
    /// [`NO_EPOCH`].
    pub epoch: u32,
    /// `ENDPOINT_*`.
    pub flags: u32,
    /// Its IPv4 address in mapped form; zero is none.
    pub v4: Addr,
    /// Its IPv6 address; zero is none.
    pub v6: Addr,
}

/// What `terway_epoch` says where no flow is to be passed without a look at its endpoint.
pub const NO_EPOCH: u32 = 0;

/// Entries of `terway_epoch`, an array of `u32`: the epoch that flows of a link must have to pass at first sight, at
/// [`epoch_slot`] of the link. Links that share an entry cost each other the long way, never a verdict: epochs are unique.
/// The entry is written before the endpoint whose epoch it is, so no flow of an earlier one passes behind that write.
pub const EPOCHS: u32 = 65_536;

/// Where the epoch of a link's endpoint stands in `terway_epoch`.
#[inline(always)]
pub const fn epoch_slot(link: u32) -> u32 {
    link % EPOCHS
}

/// Bit of an address in `terway_host_bits`, an array of one `u64` that has the bits of all in `terway_host`: what is not
/// in there is no address of the node, which most are not, and is not looked up. It may have more bits than it must.
#[inline(always)]
pub const fn host_bit(addr: &Addr) -> u64 {
    let number = u128::from_ne_bytes(*addr);
    let words = number as u64 ^ (number >> 64) as u64;
    // Multiplicative hashing: the golden ratio's 64 bits, odd, spread the low bits over the high ones.
    1 << (words.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

/// Index of what comes in [`Endpoint::rules`].
pub const INGRESS: u8 = 0;
/// Index of what goes.
pub const EGRESS: u8 = 1;

/// The pod forwards for others: the source address of what it sends is not checked.
pub const ENDPOINT_ROUTER: u32 = 1;
/// The pod may reach the instance metadata even where [`CONTROL_BLOCK_METADATA`] is set.
pub const ENDPOINT_METADATA: u32 = 2;
/// Its policy is not known yet: nothing but its node and itself.
pub const ENDPOINT_LOCKED: u32 = 4;
/// What is written is older than what is wanted, for want of room.
pub const ENDPOINT_DEGRADED: u32 = 8;

/// Key of `terway_peer`: an address that is a pod's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct PeerKey {
    /// Which classification.
    pub view: u32,
    /// The address.
    pub addr: Addr,
}

/// Key of `terway_cidr`, a longest-prefix map: bytes of [`PeerKey`] behind a length in bits. View and the mapped form
/// count, so an IPv4 /8 has a length of 32 + 96 + 8.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CidrKey {
    /// Bits that count.
    pub bits: u32,
    /// View and address.
    pub key: PeerKey,
}

/// Map `terway_rs`, an array by rule set; 0 is "not isolated, no rules".
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct RuleSet {
    /// `RULES_*`.
    pub flags: u32,
    /// Pages of the first level for TCP, UDP and SCTP, then a page by IP protocol number for all others; 0 is "no rule
    /// names any".
    pub ports: [u32; 4],
    /// Rules for any peer and everything.
    pub any: Best,
}

/// A NetworkPolicy selects the pod in this direction.
pub const RULES_ISOLATED: u32 = 1;
/// Some rule names ports.
pub const RULES_PORTS: u32 = 2;
/// Some rule names peers.
pub const RULES_PEERS: u32 = 4;
/// It is written. Without it everything but node and self is denied: the policy could not be compiled, or an endpoint
/// speaks of an entry that is not there.
pub const RULES_READY: u32 = 8;

/// Value of `terway_page`, an array: port group by one byte of the port. In a page of the first level (the port's high
/// byte) an entry with [`PAGE_LINK`] is the number of a page of the second level (its low byte).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Page {
    /// By byte.
    pub groups: [u16; 256],
}

/// The entry is a page's number.
pub const PAGE_LINK: u16 = 0x8000;

/// Key of `terway_rs_peer`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct ClassKey {
    /// Rule set.
    pub rules: u32,
    /// Class of the address.
    pub class: u32,
}

/// Value of `terway_rs_peer`; absent is peer set 0 and no rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ClassValue {
    /// Which of the rules with ports name this class; 0 is none.
    pub peer_set: u32,
    /// Best of the rules that name this class and no ports.
    pub best: Best,
}

/// Key of `terway_policy_map`: what is decided by peer and port together.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CrossKey {
    /// Rule set.
    pub rules: u32,
    /// Peer set; 0 is a peer that no rule with ports names.
    pub peer_set: u32,
    /// Port group, never 0.
    pub group: u32,
}

/// Key of `terway_ct`: a flow of one endpoint, from the pod's side, whoever began it. The pod's own address is told by
/// the endpoint and by the family of the other, and stands in the value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct FlowKey {
    /// Endpoint.
    pub endpoint: u32,
    /// The other side.
    pub remote: Addr,
    /// The pod's port; the identifier of an ICMP question of its own, else the question's type.
    pub local_port: u16,
    /// The other side's port; the identifier or the question's type for ICMP, whichever the other one is not.
    pub remote_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// For ICMP, who asks: 1 + direction of the request, so that an answer never admits a question. 0 else.
    pub asker: u8,
    /// Zero.
    pub pad: [u8; 2],
}

/// Value of `terway_ct`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Flow {
    /// Tick of the last packet.
    pub seen: u64,
    /// Epoch of the endpoint under which it was judged.
    pub epoch: u32,
    /// Rule that allowed it; [`NO_RULE`] when none was needed.
    pub rule: u32,
    /// Direction of the packet that opened it.
    pub direction: u8,
    /// `FLOW_*`.
    pub state: u8,
    /// Zero.
    pub pad: [u8; 6],
    /// The pod's address in it: what has another source is not of this flow, whatever its ports.
    pub own: Addr,
}

/// What changes of a [`Flow`]: all but the address, which is that of the endpoint that it was made for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Booked {
    /// As in the flow, and so the others.
    pub seen: u64,
    /// Epoch.
    pub epoch: u32,
    /// Rule.
    pub rule: u32,
    /// Direction.
    pub direction: u8,
    /// State.
    pub state: u8,
    /// Zero.
    pub pad: [u8; 6],
}

const _: () = assert!(
    size_of::<Booked>() == core::mem::offset_of!(Flow, own)
        && core::mem::offset_of!(Booked, epoch) == core::mem::offset_of!(Flow, epoch)
        && core::mem::offset_of!(Booked, rule) == core::mem::offset_of!(Flow, rule)
        && core::mem::offset_of!(Booked, direction) == core::mem::offset_of!(Flow, direction)
        && core::mem::offset_of!(Booked, state) == core::mem::offset_of!(Flow, state)
);

impl Flow {
    /// What changes of it.
    pub const fn booked(&self) -> Booked {
        let Self { seen, epoch, rule, direction, state, pad, own: _ } = *self;
        Booked { seen, epoch, rule, direction, state, pad }
    }

    /// The same flow with that changed.
    #[must_use]
    pub const fn with(self, booked: Booked) -> Self {
        let Booked { seen, epoch, rule, direction, state, pad } = booked;
        Self { seen, epoch, rule, direction, state, pad, own: self.own }
    }
}

/// The other side has answered.
pub const FLOW_ANSWERED: u8 = 1;
/// The opener has sent a FIN.
pub const FLOW_FIN_OPENER: u8 = 2;
/// The other side has sent a FIN.
pub const FLOW_FIN_ANSWERER: u8 = 4;
/// A reset was seen.
pub const FLOW_RESET: u8 = 8;
/// The flow is the node's own, or the pod's with itself: no policy is asked.
pub const FLOW_EXEMPT: u8 = 32;
/// The flow goes to a service address that is translated behind this hook; its egress is judged there.
pub const FLOW_PENDING: u8 = 16;

/// Key of `terway_frag`: the fragments of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct FragmentKey {
    /// Endpoint.
    pub endpoint: u32,
    /// Source.
    pub source: Addr,
    /// Destination.
    pub destination: Addr,
    /// Identification.
    pub id: u32,
    /// IP protocol.
    pub protocol: u8,
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: u8,
    /// Zero.
    pub pad: [u8; 2],
}

/// Value of `terway_frag`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Fragment {
    /// Tick of the first fragment.
    pub seen: u64,
    /// Whether the first fragment passed.
    pub passed: u32,
    /// Zero.
    pub pad: u32,
}

/// Key of `terway_cnt`: packets and bytes of new flows and of denials, by rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CounterKey {
    /// Rule set.
    pub rules: u32,
    /// Rule; [`NO_RULE`] counts what no rule matched.
    pub rule: u32,
}

/// Value of `terway_cnt`, per processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Counter {
    /// Packets that were judged by the rule: the first of each flow, and each that was denied.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the ring buffer `terway_ev` tells of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// Nanoseconds of monotonic time.
    pub at: u64,
    /// Endpoint.
    pub endpoint: u32,
    /// Rule set that was asked, or 0.
    pub rules: u32,
    /// Rule that decided, or [`NO_RULE`].
    pub rule: u32,
    /// Bytes of the packet.
    pub length: u32,
    /// Source.
    pub source: Addr,
    /// Destination.
    pub destination: Addr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// [`INGRESS`] or [`EGRESS`].
    pub direction: u8,
    /// [`crate::verdict::Reason`] as a number.
    pub reason: u8,
    /// 1 when it passed.
    pub passed: u8,
}
