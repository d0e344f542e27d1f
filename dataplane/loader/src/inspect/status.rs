//! A node at a glance.

mod problem;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use aya::maps::{MapInfo, MapType};
use serde::Serialize;
use terway_policy::{
    layout::{
        CONTROL_BLOCK_METADATA, CONTROL_KEEP_ESTABLISHED, CONTROL_NODE_CLOSED, CONTROL_TRACK,
        ENDPOINT_DEGRADED, ENDPOINT_LOCKED, ENDPOINT_METADATA, ENDPOINT_ROUTER, Endpoint, LAYOUT, PAGE_LINK,
        RULES_ISOLATED, RULES_READY, RuleSet,
    },
    verdict::Reason,
};

pub use self::problem::Problem;
pub use super::links::Attached;
use super::{
    Node, Pinned,
    flows::Totals,
    ip_of, is_staged,
    links::{Links, Names},
    peers::Prefix,
};
use crate::{
    error::Error,
    programs::MAPS,
    table::{Layout, Pages, RuleSets},
};

/// Which maps are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Maps {
    /// None.
    None,
    /// Those of another version.
    Other,
    /// Those of this version.
    Current,
}

/// What holds for the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the map, under its own name")]
pub struct Settings {
    /// Flows are tracked: the cluster has policies.
    pub tracking: bool,
    /// Flows that were allowed stay so when policies change.
    pub keep_established: bool,
    /// What a pod sends to its own node is judged.
    pub node_closed: bool,
    /// Pods are kept from the instance metadata.
    pub metadata_closed: bool,
    /// Flags that this version does not know.
    pub other_flags: u32,
    /// One of so many allowed flows is told; 0 is none.
    pub sample: u32,
    /// Denied packets told one by one, per second and processor.
    pub event_rate: u32,
    /// Mark of packets to services that are not judged yet; 0 is that none are translated.
    pub pending_mark: u32,
    /// Ticks of the kernel per second.
    pub hz: u32,
    /// The node's own addresses.
    pub node_addresses: Vec<IpAddr>,
    /// Ranges of services.
    pub services: Vec<Prefix>,
}

/// One direction of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its rule set; 0 is none: everything passes.
    pub rule_set: u32,
    /// NetworkPolicies isolate the pod.
    pub isolated: bool,
    /// The rule set is not written: nothing but node and self passes.
    pub closed: bool,
    /// The rule set of a change under way, which must allow too; 0 is none.
    pub next_rule_set: u32,
}

/// One pod's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the map, under its own name")]
pub struct EndpointStatus {
    /// Index of its host link.
    pub link: u32,
    /// The link's name; none when the link is not there.
    pub interface: Option<String>,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
    /// What comes.
    pub ingress: Side,
    /// What goes.
    pub egress: Side,
    /// Its policy is not known yet: nothing but node and self passes.
    pub locked: bool,
    /// What is in force is older than what is wanted.
    pub degraded: bool,
    /// The source of what it sends is not checked.
    pub router: bool,
    /// It may reach the instance metadata.
    pub metadata: bool,
    /// The view that its rule sets speak of.
    pub view: u32,
    /// Under which its flows were judged.
    pub epoch: u32,
}

/// How full a map is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Its name.
    pub map: &'static str,
    /// Entries that are in use; `None` where that means nothing.
    pub used: Option<u64>,
    /// Entries there is room for; bytes for a ring buffer.
    pub entries: u32,
}

/// Packets that were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Its name, as in events.
    pub reason: String,
    /// How many.
    pub packets: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Folder of the pins.
    pub pin_dir: PathBuf,
    /// Which maps stand there.
    pub maps: Maps,
    /// The version that they say they are of.
    pub layout: Option<u32>,
    /// The version that is read here.
    pub expected_layout: u32,
    /// Whether a set of maps waits beside to take their place.
    pub staged: bool,
    /// Programs that are pinned, with their numbers in the kernel.
    pub programs: BTreeMap<&'static str, u32>,
    /// Programs at their places.
    pub attached: Vec<Attached>,
    /// What does not fit together.
    pub problems: Vec<Problem>,
    /// What holds for the node.
    pub settings: Option<Settings>,
    /// Pods by link.
    pub endpoints: Vec<EndpointStatus>,
    /// How full maps are.
    pub usage: Vec<Usage>,
    /// Drops by reason, most first.
    pub drops: Vec<Dropped>,
    /// Flows.
    pub flows: Option<Totals>,
}

/// Looks at what stands in a folder of pins.
pub fn status(folder: &Path, pinned: &Pinned) -> Result<Status, Error> {
    let links = match pinned {
        Pinned::Node(node) => Links::look(folder, &node.names)?,
        _ => Links::look(folder, &Names::new()?)?,
    };
    let mut status = Status {
        pin_dir: folder.to_owned(),
        maps: Maps::None,
        layout: None,
        expected_layout: LAYOUT,
        staged: is_staged(folder),
        programs: links.programs.iter().map(|(hook, id)| (hook.program(), *id)).collect(),
        attached: links.attached.iter().map(|(_, attached)| attached.clone()).collect(),
        problems: Vec::new(),
        settings: None,
        endpoints: Vec::new(),
        usage: Vec::new(),
        drops: Vec::new(),
        flows: None,
    };
    match pinned {
        Pinned::Nothing => {}
        Pinned::Other { layout } => (status.maps, status.layout) = (Maps::Other, *layout),
        Pinned::Node(node) => {
            (status.maps, status.layout) = (Maps::Current, Some(node.control.layout));
            status.settings = Some(node.settings()?);
            status.endpoints = node.endpoints()?;
            status.usage = node.usage()?;
            status.drops = node.drops()?;
            status.flows = Some(node.flow_totals()?);
        }
    }
    status.problems = problem::find(pinned, &status.endpoints, &links)?;
    Ok(status)
}

impl Node {
    fn settings(&self) -> Result<Settings, Error> {
        let control = &self.control;
        let known = CONTROL_TRACK | CONTROL_KEEP_ESTABLISHED | CONTROL_NODE_CLOSED | CONTROL_BLOCK_METADATA;
        let is = |flag: u32| control.flags & flag != 0;
        let mut node_addresses: Vec<_> =
            self.tables.host.all()?.iter().map(|(addr, _)| ip_of(addr)).collect();
        node_addresses.sort_unstable();
        let services = self.tables.services.all()?;
        let mut services: Vec<_> =
            services.iter().map(|(key, _)| Prefix::new(key.addr, key.bits.min(128) as u8)).collect();
        services.sort_unstable();
        Ok(Settings {
            tracking: is(CONTROL_TRACK),
            keep_established: is(CONTROL_KEEP_ESTABLISHED),
            node_closed: is(CONTROL_NODE_CLOSED),
            metadata_closed: is(CONTROL_BLOCK_METADATA),
            other_flags: control.flags & !known,
            sample: control.sample,
            event_rate: control.event_rate,
            pending_mark: control.pending_mark,
            hz: control.hz,
            node_addresses,
            services,
        })
    }

    fn endpoints(&self) -> Result<Vec<EndpointStatus>, Error> {
        let mut endpoints = self.tables.endpoints.all()?;
        endpoints.sort_unstable_by_key(|(link, _)| *link);
        endpoints.iter().map(|(link, endpoint)| endpoint_status(self, *link, endpoint)).collect()
    }

    /// Rule sets that are written.
    fn ready(&self) -> Result<Vec<(u32, RuleSet)>, Error> {
        let mut sets = self.tables.rules.all()?;
        sets.retain(|(_, set)| set.flags & RULES_READY != 0);
        Ok(sets)
    }

    /// Pages that rule sets speak of.
    fn pages(&self) -> Result<u64, Error> {
        let mut used = std::collections::BTreeSet::new();
        let mut open: Vec<(u32, bool)> = Vec::new();
        for (_, set) in self.ready()? {
            open.extend((0..).zip(set.ports).filter(|(_, id)| *id != 0).map(|(kind, id)| (id, kind < 3)));
        }
        while let Some((id, has_links)) = open.pop() {
            if used.insert(id)
                && has_links
                && let Some(page) = self.tables.pages.get(&id)?
            {
                let links = page.groups.iter().filter(|entry| **entry & PAGE_LINK != 0);
                open.extend(links.map(|entry| (u32::from(*entry & !PAGE_LINK), false)));
            }
        }
        Ok(used.len() as u64)
    }

    fn usage(&self) -> Result<Vec<Usage>, Error> {
        let shape = |map, error: aya::maps::MapError| Error::Shape {
            map,
            found: error.to_string(),
            expected: "a map of the kernel".into(),
        };
        let mut usage = Vec::new();
        for name in MAPS {
            let Some(map) = super::map(&self.folder, name)? else { continue };
            let info = map.info().map_err(|error| shape(name, error))?;
            let used = match name {
                RuleSets::NAME => Some(self.ready()?.len() as u64),
                Pages::NAME => Some(self.pages()?),
                _ => self.count(name, &info)?,
            };
            usage.push(Usage { map: name, used, entries: info.max_entries() });
        }
        Ok(usage)
    }

    /// Entries of a map whose entries come and go.
    fn count(&self, name: &str, info: &MapInfo) -> Result<Option<u64>, Error> {
        macro_rules! count {
            ($($table:ident)*) => {
                $(if name == named(&self.tables.$table) {
                    let mut entries = 0;
                    self.tables.$table.each(|_, _| entries += 1)?;
                    return Ok(Some(entries));
                })*
            };
        }
        if matches!(info.map_type(), Ok(MapType::Array | MapType::PerCpuArray | MapType::RingBuf)) {
            return Ok(None);
        }
        count!(endpoints endpoint_addresses host services peers cidrs classes crossings flows fragments counters);
        Ok(None)
    }

    fn drops(&self) -> Result<Vec<Dropped>, Error> {
        let mut drops = Vec::new();
        for number in 0..self.tables.drops.entries() {
            let packets = self.tables.drops.get_all(&number)?.unwrap_or_default().iter().sum();
            if packets > 0 {
                drops.push(Dropped { reason: reason(number), packets });
            }
        }
        drops.sort_by_key(|dropped| std::cmp::Reverse(dropped.packets));
        Ok(drops)
    }
}

fn named<L: Layout>(_: &crate::table::Table<L>) -> &'static str {
    L::NAME
}

/// One endpoint, as the map has it.
pub(super) fn endpoint_status(node: &Node, link: u32, endpoint: &Endpoint) -> Result<EndpointStatus, Error> {
    let side = |at: usize| -> Result<Side, Error> {
        let (rule_set, next_rule_set) = (endpoint.rules[at], endpoint.next[at]);
        let set = if rule_set == 0 { None } else { node.tables.rules.get(&rule_set)? };
        let has = |flag: u32| set.is_some_and(|set| set.flags & flag != 0);
        let closed = rule_set != 0 && !has(RULES_READY);
        Ok(Side { rule_set, isolated: !closed && has(RULES_ISOLATED), closed, next_rule_set })
    };
    let is = |flag: u32| endpoint.flags & flag != 0;
    let addresses = [endpoint.v4, endpoint.v6].into_iter().filter(|addr| *addr != [0; 16]);
    Ok(EndpointStatus {
        link,
        interface: node.name(link),
        addresses: addresses.map(|addr| ip_of(&addr)).collect(),
        ingress: side(0)?,
        egress: side(1)?,
        locked: is(ENDPOINT_LOCKED),
        degraded: is(ENDPOINT_DEGRADED),
        router: is(ENDPOINT_ROUTER),
        metadata: is(ENDPOINT_METADATA),
        view: endpoint.view,
        epoch: endpoint.epoch,
    })
}

/// Names of what drops, as events tell them.
const REASONS: [(Reason, &str); 12] = [
    (Reason::NoRule, "no-rule"),
    (Reason::Denied, "denied"),
    (Reason::Locked, "locked"),
    (Reason::Closed, "closed"),
    (Reason::UnknownEndpoint, "unknown-link"),
    (Reason::Spoofed, "spoofed"),
    (Reason::Malformed, "malformed"),
    (Reason::UnknownFragment, "fragment"),
    (Reason::Metadata, "metadata"),
    (Reason::Unrelated, "unrelated-error"),
    (Reason::Unjudged, "unjudged"),
    (Reason::NotIp, "not-ip"),
];

fn reason(number: u32) -> String {
    let known = REASONS.iter().find(|(reason, _)| *reason as u32 == number);
    known.map_or_else(|| format!("reason-{number}"), |(_, name)| (*name).to_owned())
}
