//! The tables in memory: the same keys and values, read by the same verdict. For the simulator, for explanations, and
//! as one of the three that must agree.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use crate::{
    layout::{
        Addr, Best, Booked, CidrKey, ClassKey, ClassValue, Control, Counter, CounterKey, CrossKey, Endpoint,
        Event, Flow, FlowKey, Fragment, FragmentKey, Page, PeerKey, RuleSet,
    },
    maps::{Maps, Slot},
    op::Op,
    port::Keep,
};

/// Tables of one node.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// `terway_ctl`.
    pub control: Control,
    /// `terway_ep`.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// `terway_ep_ip`.
    pub endpoint_ips: BTreeMap<Addr, u32>,
    /// `terway_host`.
    pub hosts: BTreeMap<Addr, u32>,
    /// `terway_svc`, by prefix length and masked address.
    pub services: BTreeMap<(u32, Addr), u32>,
    /// `terway_peer`.
    pub peers: BTreeMap<PeerKey, u32>,
    /// `terway_cidr`; keys are masked.
    pub cidrs: BTreeMap<CidrKey, u32>,
    /// `terway_rs`.
    pub rules: BTreeMap<u32, RuleSet>,
    /// `terway_page`.
    pub pages: BTreeMap<u32, Box<Page>>,
    /// `terway_rs_peer`.
    pub classes: BTreeMap<ClassKey, ClassValue>,
    /// `terway_policy_map`.
    pub crosses: BTreeMap<CrossKey, Best>,
    /// The clock, in ticks.
    pub ticks: Cell<u64>,
    flows: RefCell<BTreeMap<FlowKey, Flow>>,
    fragments: RefCell<BTreeMap<FragmentKey, Fragment>>,
    counters: RefCell<BTreeMap<CounterKey, Counter>>,
    drops: RefCell<BTreeMap<u32, u64>>,
    events: RefCell<Vec<Event>>,
}

impl Memory {
    /// Applies one write.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Control(value) => self.control = *value,
            Op::Endpoint(key, value) => put(&mut self.endpoints, *key, *value),
            Op::EndpointIp(key, value) => put(&mut self.endpoint_ips, *key, *value),
            Op::Host(key, value) => put(&mut self.hosts, *key, *value),
            Op::Service(key, value) => put(&mut self.services, (key.bits - 32, key.key.addr), *value),
            Op::Peer(key, value) => put(&mut self.peers, *key, *value),
            Op::Cidr(key, value) => put(&mut self.cidrs, *key, *value),
            Op::Rules(key, value) => put(&mut self.rules, *key, *value),
            Op::Page(key, value) => put(&mut self.pages, *key, value.clone()),
            Op::Class(key, value) => put(&mut self.classes, *key, *value),
            Op::Cross(key, value) => put(&mut self.crosses, *key, *value),
        }
    }

    /// Flows that are kept, in the order of their keys.
    pub fn flows(&self) -> Vec<(FlowKey, Flow)> {
        self.flows.borrow().iter().map(|(key, flow)| (*key, *flow)).collect()
    }

    /// Packets of which a first fragment was seen, in the order of their keys.
    pub fn fragments(&self) -> Vec<(FragmentKey, Fragment)> {
        self.fragments.borrow().iter().map(|(key, fragment)| (*key, *fragment)).collect()
    }

    /// Forgets every flow and fragment.
    pub fn forget_flows(&self) {
        self.flows.borrow_mut().clear();
        self.fragments.borrow_mut().clear();
    }

    /// Packets that rules judged.
    pub fn counters(&self) -> BTreeMap<CounterKey, Counter> {
        self.counters.borrow().clone()
    }

    /// Packets dropped, by reason.
    pub fn drops(&self) -> BTreeMap<u32, u64> {
        self.drops.borrow().clone()
    }

    /// What was told since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.borrow_mut())
    }
}

fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => _ = table.insert(key, value),
        None => _ = table.remove(&key),
    }
}

/// The first `bits` of an address, the rest zero.
pub(crate) fn masked(addr: &Addr, bits: u32) -> Addr {
    if bits >= 128 {
        return *addr;
    }
    let mask = !(u128::MAX >> bits);
    (u128::from_be_bytes(*addr) & mask).to_be_bytes()
}

/// A flow's place.
#[derive(Debug)]
pub struct Place<'a> {
    flows: &'a RefCell<BTreeMap<FlowKey, Flow>>,
    key: FlowKey,
    flow: Flow,
}

impl Slot for Place<'_> {
    fn get(&self) -> Booked {
        self.flow.booked()
    }

    fn set(&self, booked: Booked) {
        self.flows.borrow_mut().insert(self.key, self.flow.with(booked));
    }

    fn own(&self) -> [u32; 4] {
        bytemuck::must_cast(self.flow.own)
    }

    fn touch(&self, seen: u64) {
        self.set(Booked { seen, ..self.get() });
    }
}

impl Maps for Memory {
    type Slot<'a> = Place<'a>;

    fn now(&self) -> u64 {
        self.ticks.get()
    }

    fn control(&self) -> Option<&Control> {
        Some(&self.control)
    }

    fn endpoint(&self, link: u32) -> Option<&Endpoint> {
        self.endpoints.get(&link)
    }

    fn epoch(&self, link: u32) -> Option<u32> {
        self.endpoints.get(&link).map(|endpoint| endpoint.epoch)
    }

    fn endpoint_of(&self, addr: &Addr) -> Option<u32> {
        self.endpoint_ips.get(addr).copied()
    }

    fn is_host(&self, addr: &Addr) -> bool {
        self.hosts.contains_key(addr)
    }

    fn is_service(&self, addr: &Addr) -> bool {
        self.services.keys().any(|(bits, net)| masked(addr, *bits) == *net)
    }

    fn peer(&self, key: &PeerKey) -> Option<u32> {
        self.peers.get(key).copied()
    }

    fn cidr(&self, key: &CidrKey) -> Option<u32> {
        (0..=128).rev().find_map(|bits| {
            let addr = masked(&key.key.addr, bits);
            self.cidrs.get(&CidrKey { bits: 32 + bits, key: PeerKey { view: key.key.view, addr } }).copied()
        })
    }

    fn rules(&self, id: u32) -> Option<&RuleSet> {
        self.rules.get(&id)
    }

    fn page(&self, id: u32) -> Option<&Page> {
        self.pages.get(&id).map(Box::as_ref)
    }

    fn class(&self, key: &ClassKey) -> Option<&ClassValue> {
        self.classes.get(key)
    }

    fn cross(&self, key: &CrossKey) -> Option<&Best> {
        self.crosses.get(key)
    }

    fn flow(&self, key: &FlowKey) -> Option<Place<'_>> {
        self.flows.borrow().get(key).map(|flow| Place { flows: &self.flows, key: *key, flow: *flow })
    }

    fn insert_flow(&self, key: &FlowKey, flow: Flow) {
        self.flows.borrow_mut().insert(*key, flow);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.fragments.borrow().get(key).copied()
    }

    fn insert_fragment(&self, key: &FragmentKey, value: Fragment) {
        self.fragments.borrow_mut().insert(*key, value);
    }

    fn count(&self, key: &CounterKey, bytes: u32) {
        let mut counters = self.counters.borrow_mut();
        let counter = counters.entry(*key).or_default();
        counter.packets += 1;
        counter.bytes += u64::from(bytes);
    }

    fn count_drop(&self, reason: u32) {
        *self.drops.borrow_mut().entry(reason).or_default() += 1;
    }

    fn tells(&self, _denied: bool) -> bool {
        true
    }

    fn tell(&self, event: &Event) {
        self.events.borrow_mut().push(*event);
    }
}

impl Memory {
    /// Removes all that is none of this.
    pub fn keep_only(&mut self, keep: &Keep) {
        let Keep { view, ref links, ref hosts, ref services } = *keep;
        self.hosts.retain(|addr, _| hosts.contains(addr));
        self.services.retain(|range, _| services.contains(range));
        self.endpoints.retain(|link, endpoint| links.contains(link) && endpoint.view == view);
        let Self { endpoints, endpoint_ips, peers, cidrs, rules, classes, crosses, .. } = self;
        endpoint_ips.retain(|_, link| endpoints.contains_key(link));
        peers.retain(|key, _| key.view == view);
        cidrs.retain(|key, _| key.key.view == view);
        let used: std::collections::BTreeSet<u32> =
            endpoints.values().flat_map(|endpoint| endpoint.rules).collect();
        rules.retain(|id, _| used.contains(id));
        classes.retain(|key, _| used.contains(&key.rules));
        crosses.retain(|key, _| used.contains(&key.rules));
    }
}
