//! Programs and maps as one set: loaded, adopted, replaced.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::MapData,
    programs::{ProgramError, SchedClassifier},
};
use terway_policy::layout::{Addr, Control, Endpoint, LAYOUT, NO_EPOCH, epoch_slot, host_bit};

use crate::{
    attach::{Hook, Method},
    error::Error,
    object::OBJECT,
    pins::{self, Pins},
    table::{
        Cidrs, Classes, Controls, Counters, Crossings, Drops, EndpointAddresses, Endpoints, Epochs, Flows,
        Fragments, HostAddresses, HostBits, Layout, Pages, Peers, RuleSets, Services, Table,
    },
};

/// All maps. `terway_ctl` goes last when a set is published: it says of which layout the others are.
pub(crate) const MAPS: [&str; 20] = [
    "terway_ep",
    "terway_epoch",
    "terway_ep_ip",
    "terway_host",
    "terway_host_bits",
    "terway_svc",
    "terway_peer",
    "terway_cidr",
    "terway_rs",
    "terway_page",
    "terway_rs_peer",
    "terway_policy_map",
    "terway_ct",
    "terway_frag",
    "terway_cnt",
    "terway_drop",
    "terway_rate",
    "terway_ev",
    "terway_scratch",
    "terway_ctl",
];

/// Where maps are pinned if nothing else is said; peers' tools look here.
pub const PIN_DIRECTORY: &str = "/sys/fs/bpf/tc/globals";

/// How many entries maps have room for. Those that take their memory when they are made (flows, counters, rule sets,
/// pages) cost it at once; the others cost what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Pods' addresses in the cluster, twice over while their classes change.
    pub peers: u32,
    /// Disjoint pieces of ipBlocks, twice over.
    pub cidrs: u32,
    /// Pairs of rule set and class.
    pub classes: u32,
    /// Triples of rule set, peer set and port group: `bpf_map_size`.
    pub crossings: u32,
    /// Flows of the node.
    pub flows: u32,
    /// Rules that are counted.
    pub counters: u32,
}

impl Default for Sizes {
    /// A node of 250 pods in a cluster of 100,000; about 100 MiB, most of it flows.
    fn default() -> Self {
        Self {
            peers: 262_144,
            cidrs: 32_768,
            classes: 262_144,
            crossings: 65_536,
            flows: 524_288,
            counters: 16_384,
        }
    }
}

impl Sizes {
    fn named(&self) -> [(&'static str, u32); 6] {
        [
            (Peers::NAME, self.peers),
            (Cidrs::NAME, self.cidrs),
            (Classes::NAME, self.classes),
            (Crossings::NAME, self.crossings),
            (Flows::NAME, self.flows),
            (Counters::NAME, self.counters),
        ]
    }
}

/// What is asked of [`Programs::load`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of a bpf file system.
    pub pins: PathBuf,
    /// Room in the maps. A set with other sizes is replaced.
    pub sizes: Sizes,
    /// How programs come on links.
    pub method: Method,
}

impl Default for Options {
    fn default() -> Self {
        Self { pins: PIN_DIRECTORY.into(), sizes: Sizes::default(), method: Method::Best }
    }
}

/// Where the maps come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They were pinned, with this layout and these sizes: what they hold is in force.
    Adopted,
    /// They are empty. Whatever was pinned before stays in force until [`Programs::publish`] and [`Programs::attach`].
    Fresh {
        /// Why nothing was adopted.
        because: String,
        /// Whether maps of another layout or size are in force.
        instead: bool,
    },
}

/// What the verifier and the compiler made of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Instructions that the verifier walked; the kernel tells since 5.16.
    pub verified: Option<u32>,
    /// Bytes of instructions after the verifier's changes.
    pub translated: Option<u32>,
}

/// Loaded programs and their maps.
#[derive(Debug)]
pub struct Programs {
    pub(crate) ebpf: Ebpf,
    pub(crate) pins: Pins,
    pub(crate) method: Method,
    origin: Origin,
    maps: PathBuf,
}

impl Programs {
    /// Loads the programs on the pinned maps, or on fresh ones where those are of another layout or size.
    pub fn load(options: &Options) -> Result<Self, Error> {
        let pins = Pins::open(&options.pins)?;
        let (origin, maps) = match unfit(&pins, &options.sizes) {
            None => {
                pins::remove_folder(&pins.stage())?;
                (Origin::Adopted, pins.path(""))
            }
            Some(because) => {
                let instead = pins.path(Controls::NAME).exists();
                (Origin::Fresh { because, instead }, pins.fresh_stage()?)
            }
        };
        // Verifier logs cost time and are of use only when something is refused.
        let ebpf = match open(&maps, &options.sizes, VerifierLogLevel::DISABLE) {
            Err(Error::Verifier { .. }) => open(&maps, &options.sizes, VerifierLogLevel::DEBUG)?,
            other => other?,
        };
        let programs = Self { ebpf, pins, method: options.method, origin, maps };
        if programs.origin != Origin::Adopted {
            let control = Control { layout: LAYOUT, hz: ticks_per_second()?, ..Control::default() };
            programs.table::<Controls>()?.put(&0, &control)?;
        }
        Ok(programs)
    }

    /// Where the maps come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Puts a fresh set in the place of the pinned one, and the programs where the plugin finds them. Each pin changes in
    /// one step, and the map that tells the layout is the last, so whoever reads half of it finds another layout and
    /// starts over.
    pub fn publish(&mut self) -> Result<(), Error> {
        for hook in Hook::ATTACHED {
            let (program, at) = (self.loaded(hook)?, hook.pin(&self.pins.path("")));
            program.pin(&at).map_err(pins::failed("pin a program at", &at))?;
        }
        if self.origin == Origin::Adopted {
            return Ok(());
        }
        let stage = self.pins.stage();
        for name in MAPS {
            let (from, to) = (stage.join(name), self.pins.path(name));
            fs::rename(&from, &to).map_err(pins::failed("put a new map in the place of", &to))?;
        }
        pins::remove_folder(&stage)?;
        self.origin = Origin::Adopted;
        self.maps = self.pins.path("");
        Ok(())
    }

    /// One of the maps.
    pub fn table<L: Layout>(&self) -> Result<Table<L>, Error> {
        Table::new(self.map(L::NAME)?)
    }

    pub(crate) fn map(&self, name: &'static str) -> Result<MapData, Error> {
        let path = self.maps.join(name);
        MapData::from_pin(&path).map_err(|error| Error::Shape {
            map: name,
            found: error.to_string(),
            expected: format!("a map pinned at {}", path.display()),
        })
    }

    /// All maps at once.
    pub fn tables(&self) -> Result<Tables, Error> {
        Ok(Tables {
            control: self.table()?,
            endpoints: self.table()?,
            epochs: self.table()?,
            endpoint_addresses: self.table()?,
            host: self.table()?,
            host_bits: self.table()?,
            services: self.table()?,
            peers: self.table()?,
            cidrs: self.table()?,
            rules: self.table()?,
            pages: self.table()?,
            classes: self.table()?,
            crossings: self.table()?,
            flows: self.table()?,
            fragments: self.table()?,
            counters: self.table()?,
            drops: self.table()?,
        })
    }

    /// What the verifier made of a program.
    pub fn stats(&mut self, hook: Hook) -> Result<Stats, Error> {
        let program = hook.program();
        let info = self
            .program(hook)?
            .info()
            .map_err(|source| Error::Verifier { program, source: Box::new(source) })?;
        Ok(Stats { verified: info.verified_instruction_count(), translated: info.size_translated() })
    }

    pub(crate) fn program(&mut self, hook: Hook) -> Result<&mut SchedClassifier, Error> {
        named(&mut self.ebpf, hook.program())
    }
}

/// The maps of a set.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the map of its type")]
pub struct Tables {
    pub control: Table<Controls>,
    pub endpoints: Table<Endpoints>,
    pub epochs: Table<Epochs>,
    pub endpoint_addresses: Table<EndpointAddresses>,
    pub host: Table<HostAddresses>,
    pub host_bits: Table<HostBits>,
    pub services: Table<Services>,
    pub peers: Table<Peers>,
    pub cidrs: Table<Cidrs>,
    pub rules: Table<RuleSets>,
    pub pages: Table<Pages>,
    pub classes: Table<Classes>,
    pub crossings: Table<Crossings>,
    pub flows: Table<Flows>,
    pub fragments: Table<Fragments>,
    pub counters: Table<Counters>,
    pub drops: Table<Drops>,
}

impl Tables {
    /// Writes an endpoint, or removes it; before that its epoch, so that each of its flows is looked at once more.
    pub fn set_endpoint(&self, link: u32, endpoint: Option<&Endpoint>) -> Result<(), Error> {
        let epoch = endpoint.map_or(NO_EPOCH, |endpoint| endpoint.epoch);
        self.epochs.put(&epoch_slot(link), &epoch)?;
        match endpoint {
            Some(endpoint) => self.endpoints.put(&link, endpoint),
            None => self.endpoints.delete(&link).map(drop),
        }
    }

    /// Writes an address of the node, or removes it; its bit stays, which costs a lookup.
    pub fn set_host(&self, addr: &Addr, value: Option<u32>) -> Result<(), Error> {
        let Some(value) = value else { return self.host.delete(addr).map(drop) };
        let bits = self.host_bits.get(&0)?.unwrap_or(0);
        self.host_bits.put(&0, &(bits | host_bit(addr)))?;
        self.host.put(addr, &value)
    }
}

fn named<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut SchedClassifier, Error> {
    let missing = || Error::Missing(format!("program {program}"));
    ebpf.program_mut(program).ok_or_else(missing)?.try_into().map_err(|_: ProgramError| missing())
}

/// Reads the object, makes or opens its maps below a folder, and gives each program to the verifier.
fn open(maps: &Path, sizes: &Sizes, log: VerifierLogLevel) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    loader.btf(None).verifier_log_level(log);
    for name in MAPS {
        loader.map_pin_path(name, maps.join(name));
    }
    for (name, entries) in sizes.named() {
        loader.map_max_entries(name, entries);
    }
    let mut ebpf = loader.load(OBJECT).map_err(|error| Error::Load(Box::new(error)))?;
    for hook in Hook::ALL {
        let program = hook.program();
        named(&mut ebpf, program)?
            .load()
            .map_err(|source| Error::Verifier { program, source: Box::new(source) })?;
    }
    Ok(ebpf)
}

/// Why the pinned maps cannot be adopted, if they cannot.
fn unfit(pins: &Pins, sizes: &Sizes) -> Option<String> {
    let open = |name: &str| MapData::from_pin(pins.path(name));
    let Ok(control) = open(Controls::NAME) else { return Some("nothing is pinned".into()) };
    let layout = match Table::<Controls>::new(control).and_then(|table| table.get(&0)) {
        Ok(control) => control.map_or(0, |control| control.layout),
        Err(error) => return Some(error.to_string()),
    };
    if layout != LAYOUT {
        return Some(format!("pinned is layout {layout}, this program has {LAYOUT}"));
    }
    for name in MAPS {
        let Ok(info) = open(name).and_then(|map| map.info()) else {
            return Some(format!("{name} is not pinned"));
        };
        let wanted = sizes.named().into_iter().find(|(sized, _)| *sized == name);
        // The kernel rounds the size of some maps up.
        if let Some((_, entries)) = wanted
            && (info.max_entries() < entries || info.max_entries() > entries + entries / 8 + 1024)
        {
            return Some(format!("{name} has {} entries, {entries} are asked for", info.max_entries()));
        }
    }
    None
}

/// The kernel's HZ: its coarse clocks advance once per tick.
pub fn ticks_per_second() -> Result<u32, Error> {
    let tick = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse).tv_nsec;
    if (1_000_000..=10_000_000).contains(&tick) {
        Ok(((1_000_000_000 + tick / 2) / tick) as u32)
    } else {
        Err(Error::Tick(tick))
    }
}

/// Takes everything away that is pinned: programs from all links of this namespace, then the pins. False when there was
/// nothing.
pub fn remove_all(folder: &Path) -> io::Result<bool> {
    let pinned = Hook::ATTACHED.map(|hook| hook.pin(folder)).iter().any(|pin| pin.exists());
    if !pinned && !folder.join(Controls::NAME).exists() {
        return Ok(false);
    }
    for link in terway_guard::links()? {
        for hook in Hook::ATTACHED {
            terway_guard::detach(hook, folder, link)?;
        }
    }
    terway_guard::remove_dead(folder)?;
    let programs = Hook::ATTACHED.map(|hook| hook.pin(folder));
    for pin in programs.into_iter().chain(MAPS.map(|name| folder.join(name))) {
        match fs::remove_file(&pin) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}
