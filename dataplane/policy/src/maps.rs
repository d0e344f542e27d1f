//! How a verdict reads its tables and keeps flows. The kernel's program implements this over eBPF maps, the library over
//! tables in memory; each method is one map operation.

use crate::layout::{
    Addr, Best, Booked, CidrKey, ClassKey, ClassValue, Control, CounterKey, CrossKey, Endpoint, Event, Flow,
    FlowKey, Fragment, FragmentKey, Page, PeerKey, RuleSet,
};

/// A flow in its table, to be read and changed in place.
pub trait Slot {
    /// What is booked there.
    fn get(&self) -> Booked;
    /// Books that.
    fn set(&self, booked: Booked);
    /// The pod's address, in words as they stand in memory.
    fn own(&self) -> [u32; 4];
    /// Writes the time of the last packet alone.
    fn touch(&self, seen: u64);
}

/// Tables of one node. Values that the agent writes are replaced whole, so a reference is one consistent version.
pub trait Maps {
    /// A place in the flow table.
    type Slot<'a>: Slot
    where
        Self: 'a;

    /// Ticks of a monotonic clock; [`Control::hz`] of them are a second.
    fn now(&self) -> u64;
    /// `terway_ctl`.
    fn control(&self) -> Option<&Control>;
    /// `terway_ep`.
    fn endpoint(&self, link: u32) -> Option<&Endpoint>;
    /// `terway_epoch`: the epoch that a flow of this link must have to pass without a look at the endpoint.
    fn epoch(&self, link: u32) -> Option<u32>;
    /// `terway_ep_ip`: endpoint that has an address.
    fn endpoint_of(&self, addr: &Addr) -> Option<u32>;
    /// `terway_host`: whether the node itself has the address.
    fn is_host(&self, addr: &Addr) -> bool;
    /// `terway_svc`: whether the address is a service's, translated behind the hook.
    fn is_service(&self, addr: &Addr) -> bool;
    /// `terway_peer`: class of a pod's address.
    fn peer(&self, key: &PeerKey) -> Option<u32>;
    /// `terway_cidr`: class of the longest prefix that covers an address. `bits` is the full length.
    fn cidr(&self, key: &CidrKey) -> Option<u32>;
    /// `terway_rs`.
    fn rules(&self, id: u32) -> Option<&RuleSet>;
    /// `terway_page`.
    fn page(&self, id: u32) -> Option<&Page>;
    /// `terway_rs_peer`.
    fn class(&self, key: &ClassKey) -> Option<&ClassValue>;
    /// `terway_policy_map`.
    fn cross(&self, key: &CrossKey) -> Option<&Best>;
    /// `terway_ct`: looks a flow up.
    fn flow(&self, key: &FlowKey) -> Option<Self::Slot<'_>>;
    /// `terway_ct`: adds a flow, or replaces it. One that finds no room is not tracked; its packets are judged each.
    fn insert_flow(&self, key: &FlowKey, flow: Flow);
    /// `terway_frag`: looks a fragmented packet up.
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment>;
    /// `terway_frag`: keeps what was decided of the first fragment.
    fn insert_fragment(&self, key: &FragmentKey, value: Fragment);
    /// `terway_cnt`: counts one packet of so many bytes.
    fn count(&self, key: &CounterKey, bytes: u32);
    /// `terway_drop`: counts a packet that was dropped, by reason.
    fn count_drop(&self, reason: u32);
    /// `terway_rate`: whether one more packet is told of; `denied` ones within [`Control::event_rate`], others as sampled.
    fn tells(&self, denied: bool) -> bool;
    /// `terway_ev`: tells of a packet, if there is room.
    fn tell(&self, event: &Event);
}
