//! The kernel's maps as a mirror of tables in memory, and one packet through both.
//!
//! `BPF_PROG_TEST_RUN` is not quite a link:
//!
//! - A frame has more than an Ethernet header; and where that says IP, newer kernels want the fixed IP header whole. Links
//!   know no such thing, so [`runnable`] puts a tag in front of what is too short: then the kernel does not look.
//! - A frame fits on a page with room around it, and all of it is linear. Reads of what is not are a matter of the real
//!   links' tests.
//! - Its length is what was given, not rounded up to the shortest of Ethernet; a length that is told is compared.
//! - VLAN tags stay in the bytes, where a device would have taken the outer one out.
//! - Of `__sk_buff` the caller sets mark, `ingress_ifindex` and `ifindex`, and all others must be zero. The link must exist
//!   in the caller's network; 1 is the loopback. The link that a packet came in by need not exist.
//! - The clock is the kernel's: no time passes between packets as far as any timeout is concerned.

use std::{collections::BTreeMap, fmt::Debug};

use bytemuck::Zeroable as _;
use terway_bpf::{
    Hook, Method, Sizes,
    bed::{Bed, ip},
    events::Events,
    programs::Tables,
    run::Situation,
    table::{
        Cidrs, Classes, Controls, Counters, Crossings, Drops, EndpointAddresses, Flows, Fragments, Layout,
        Pages, Peers, RuleSets, ServiceKey, Services, Table,
    },
};
use terway_policy::{
    layout::{Addr, Control, Endpoint, Event, Flow, Fragment, LAYOUT},
    memory::Memory,
    verdict::{Context, Outcome, exit, from_pod, to_pod},
};

/// A frame, or the same with a VLAN tag, that can be run; `None` if there is nothing behind its Ethernet header.
pub(crate) fn runnable(mut frame: Vec<u8>) -> Option<Vec<u8>> {
    let header = match frame.get(12..14)? {
        [0x08, 0x00] => 20,
        [0x86, 0xdd] => 40,
        _ => 1,
    };
    if frame.len() < 14 + header {
        frame.splice(12..12, [0x81, 0, 0, 7]);
    }
    Some(frame)
}

/// Room for what random clusters need, and for flows so that none is evicted.
const SIZES: Sizes =
    Sizes { peers: 16_384, cidrs: 16_384, classes: 65_536, crossings: 65_536, flows: 8192, counters: 65_536 };

/// One map, and what was written to it.
struct Mirror<L: Layout> {
    table: Table<L>,
    written: BTreeMap<Vec<u8>, L::Value>,
    /// An array has no absent entries: zero is what "not there" is.
    is_array: bool,
}

impl<L: Layout<Value: PartialEq>> Mirror<L> {
    fn new(bed: &Bed) -> Self {
        let table = bed.programs.table::<L>().expect("a table");
        Self { table, written: BTreeMap::new(), is_array: false }
    }

    fn array(bed: &Bed) -> Self {
        Self { is_array: true, ..Self::new(bed) }
    }

    /// Writes what differs from what was written before.
    fn follow(&mut self, wanted: impl Iterator<Item = (L::Key, L::Value)>) {
        let wanted: BTreeMap<Vec<u8>, L::Value> =
            wanted.map(|(key, value)| (bytemuck::bytes_of(&key).to_vec(), value)).collect();
        for bytes in self.written.keys().filter(|key| !wanted.contains_key(*key)) {
            let key = bytemuck::pod_read_unaligned(bytes);
            if self.is_array {
                self.table.put(&key, &L::Value::zeroed()).expect("written");
            } else {
                assert!(self.table.delete(&key).expect("deleted"), "{}: an entry is gone by itself", L::NAME);
            }
        }
        for (bytes, value) in &wanted {
            if self.written.get(bytes) != Some(value) {
                self.table.put(&bytemuck::pod_read_unaligned(bytes), value).expect("written");
            }
        }
        self.written = wanted;
    }
}

/// Loaded programs with their maps.
pub(crate) struct Kernel {
    bed: Bed,
    control: Table<Controls>,
    hz: u32,
    tables: Tables,
    endpoints: BTreeMap<u32, Endpoint>,
    addresses: Mirror<EndpointAddresses>,
    hosts: BTreeMap<Addr, u32>,
    services: Mirror<Services>,
    peers: Mirror<Peers>,
    cidrs: Mirror<Cidrs>,
    rules: Mirror<RuleSets>,
    pages: Mirror<Pages>,
    classes: Mirror<Classes>,
    crossings: Mirror<Crossings>,
    flows: Table<Flows>,
    fragments: Table<Fragments>,
    counters: Table<Counters>,
    drops: Table<Drops>,
    events: Events,
    /// A map that is not written, to see that this is seen.
    pub(crate) forgets_crossings: bool,
}

impl Kernel {
    /// Programs in a network with these links, or `None` (printed) where this user may not load any.
    pub(crate) fn new(links: impl Iterator<Item = u32>) -> Option<Self> {
        let bed = Bed::new(0, SIZES, Method::Best).expect("a bed")?;
        for link in links {
            ip(&format!("link add link{link} index {link} type veth peer name peer{link}")).expect("a link");
        }
        let control = bed.programs.table::<Controls>().expect("a table");
        let hz = control.get(&0).expect("read").expect("the loader has written it").hz;
        let table = "a table";
        Some(Self {
            control,
            hz,
            tables: bed.programs.tables().expect(table),
            endpoints: BTreeMap::new(),
            addresses: Mirror::new(&bed),
            hosts: BTreeMap::new(),
            services: Mirror::new(&bed),
            peers: Mirror::new(&bed),
            cidrs: Mirror::new(&bed),
            rules: Mirror::array(&bed),
            pages: Mirror::array(&bed),
            classes: Mirror::new(&bed),
            crossings: Mirror::new(&bed),
            flows: bed.programs.table().expect(table),
            fragments: bed.programs.table().expect(table),
            counters: bed.programs.table().expect(table),
            drops: bed.programs.table().expect(table),
            events: bed.programs.events().expect("events"),
            bed,
            forgets_crossings: false,
        })
    }

    /// Makes the maps say what the tables say; and tells all, as the tables do.
    pub(crate) fn follow(&mut self, memory: &mut Memory) {
        memory.control.sample = 1;
        memory.control.event_rate = u32::MAX;
        let control = Control { layout: LAYOUT, hz: self.hz, ..memory.control };
        self.control.put(&0, &control).expect("written");
        let gone = self.endpoints.keys().filter(|link| !memory.endpoints.contains_key(link));
        gone.for_each(|link| self.tables.set_endpoint(*link, None).expect("removed"));
        for (link, endpoint) in &memory.endpoints {
            if self.endpoints.get(link) != Some(endpoint) {
                self.tables.set_endpoint(*link, Some(endpoint)).expect("written");
            }
        }
        self.endpoints.clone_from(&memory.endpoints);
        self.addresses.follow(pairs(&memory.endpoint_ips));
        let gone = self.hosts.keys().filter(|addr| !memory.hosts.contains_key(*addr));
        gone.for_each(|addr| self.tables.set_host(addr, None).expect("removed"));
        memory.hosts.iter().for_each(|(addr, value)| {
            self.tables.set_host(addr, Some(*value)).expect("written");
        });
        self.hosts.clone_from(&memory.hosts);
        let service =
            |((bits, addr), value): (&(u32, _), &u32)| (ServiceKey { bits: *bits, addr: *addr }, *value);
        self.services.follow(memory.services.iter().map(service));
        self.peers.follow(pairs(&memory.peers));
        self.cidrs.follow(pairs(&memory.cidrs));
        self.rules.follow(pairs(&memory.rules));
        self.pages.follow(memory.pages.iter().map(|(key, page)| (*key, **page)));
        self.classes.follow(pairs(&memory.classes));
        if !self.forgets_crossings {
            self.crossings.follow(pairs(&memory.crosses));
        }
    }

    /// One packet through program and library. Says what differs; else how it was judged.
    pub(crate) fn run(
        &mut self,
        memory: &Memory,
        hook: Hook,
        context: Context,
        frame: &[u8],
    ) -> Result<Outcome, String> {
        let judge = match hook {
            Hook::FromPod => from_pod::<Memory, [u8]>,
            Hook::ToPod => to_pod::<Memory, [u8]>,
            _ => exit::<Memory, [u8]>,
        };
        let mut after = context;
        let dropped = memory.drops();
        let outcome = judge(memory, frame, &mut after);
        let reason = outcome.reason as u32;
        let counted = |drops: &BTreeMap<u32, u64>| drops.get(&reason).copied().unwrap_or(0);
        let drops = counted(&memory.drops()) - counted(&dropped);
        let told = memory.take_events();

        let before = self.drops(reason);
        let at = Situation { link: context.link, came_by: context.came_by, mark: context.mark };
        let ran = self.bed.programs.test_run(hook, frame, at, 1).map_err(|error| error.to_string())?;
        let heard: Vec<Event> =
            std::iter::from_fn(|| self.events.take()).map(|event| Event { at: 0, ..event }).collect();
        let differences = [
            differ("passes", &ran.passed, &outcome.passes()),
            differ("mark", &ran.mark, &after.mark),
            differ("events", &heard, &told),
            differ("drops of the reason", &(self.drops(reason) - before), &drops),
            // Anything else would be another program's word.
            differ("action", &ran.action, if outcome.passes() { &-1 } else { &2 }),
        ];
        let differences: Vec<String> = differences.into_iter().flatten().collect();
        if differences.is_empty() {
            return Ok(outcome);
        }
        Err(format!("{}\n{hook} with {context:?}, library: {outcome:?}", differences.join("\n")))
    }

    fn drops(&self, reason: u32) -> u64 {
        self.drops.get_all(&reason).expect("read").expect("an array").iter().sum()
    }

    /// Compares what is kept of flows and fragments. Ticks are each clock's own.
    pub(crate) fn same_state(&self, memory: &Memory) -> Result<(), String> {
        let mut flows: Vec<_> = self.flows.keys().expect("keys");
        flows.sort_unstable();
        let flows: Vec<_> = flows
            .iter()
            .map(|key| (*key, self.flows.get(key).expect("read").map(|flow| Flow { seen: 0, ..flow })))
            .collect();
        let wanted: Vec<_> =
            memory.flows().iter().map(|(key, flow)| (*key, Some(Flow { seen: 0, ..*flow }))).collect();
        let mut fragments = self.fragments.keys().expect("keys");
        fragments.sort_unstable();
        let still = |key| {
            let value = self.fragments.get(key).expect("read");
            (*key, value.map(|value| Fragment { seen: 0, ..value }))
        };
        let fragments: Vec<_> = fragments.iter().map(still).collect();
        let seen: Vec<_> = memory
            .fragments()
            .iter()
            .map(|(key, value)| (*key, Some(Fragment { seen: 0, ..*value })))
            .collect();
        let differences = [differ("flows", &flows, &wanted), differ("fragments", &fragments, &seen)];
        let differences: Vec<String> = differences.into_iter().flatten().collect();
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    }

    /// Compares the flows that the tables keep with the map's, and forgets them on both sides.
    pub(crate) fn take_flows(&self, memory: &Memory) -> Result<(), String> {
        for (key, flow) in memory.flows() {
            let still = |flow: Flow| Flow { seen: 0, ..flow };
            let found = self.flows.get(&key).expect("read").map(still);
            self.flows.delete(&key).expect("deleted");
            differ("flow", &(key, found), &(key, Some(still(flow)))).map_or(Ok(()), Err)?;
        }
        memory.forget_flows();
        Ok(())
    }

    /// Forgets flows and fragments on both sides.
    pub(crate) fn forget(&self, memory: &Memory) {
        memory.forget_flows();
        for key in self.flows.keys().expect("keys") {
            self.flows.delete(&key).expect("deleted");
        }
        for key in self.fragments.keys().expect("keys") {
            self.fragments.delete(&key).expect("deleted");
        }
    }

    /// Compares counters by rule with those of tables that counted from the start, and forgets the map's.
    pub(crate) fn take_counters(&self, memory: &Memory) -> Result<(), String> {
        let mut counters = BTreeMap::new();
        for key in self.counters.keys().expect("keys") {
            let by_processor = self.counters.get_all(&key).expect("read").expect("nothing is evicted");
            let sum = by_processor.iter().fold((0, 0), |sum, one| (sum.0 + one.packets, sum.1 + one.bytes));
            counters.insert(key, sum);
            self.counters.delete(&key).expect("deleted");
        }
        let wanted: BTreeMap<_, _> =
            memory.counters().into_iter().map(|(key, one)| (key, (one.packets, one.bytes))).collect();
        differ("counters", &counters, &wanted).map_or(Ok(()), Err)
    }
}

fn pairs<K: Copy, V: Copy>(map: &BTreeMap<K, V>) -> impl Iterator<Item = (K, V)> {
    map.iter().map(|(key, value)| (*key, *value))
}

fn differ<T: PartialEq + Debug>(what: &str, kernel: &T, library: &T) -> Option<String> {
    (kernel != library).then(|| format!("{what}: kernel {kernel:?}, library {library:?}"))
}

/// Bytes as one may paste them.
pub(crate) fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
