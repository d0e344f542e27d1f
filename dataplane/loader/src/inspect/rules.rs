//! Rule sets, read back from the tables that decide: for each rule, for whom and where it is the best of its tier. A rule
//! that another one of its tier always precedes is in no table, and not shown.

mod decode;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;
use terway_policy::layout::{
    ALLOW, Best, ClassKey, ClassValue, CrossKey, DENY, Endpoint, NO_RULE, RULES_ISOLATED, RULES_PEERS,
    RULES_PORTS, RULES_READY, RuleSet,
};

use self::decode::{Tables, groups};
use super::{
    Direction, Node,
    peers::Addresses,
    protocol_name,
    status::{EndpointStatus, endpoint_status},
};
use crate::error::Error;

/// Ports of one protocol. As text: `80/TCP`, `8080-8090/TCP`, `TCP` for all, `GRE` for a protocol without ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// Number of the protocol.
    pub protocol: u8,
    /// First and last port; `None` where the protocol has none.
    pub range: Option<(u16, u16)>,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = protocol_name(self.protocol);
        match self.range {
            None | Some((0, u16::MAX)) => f.write_str(&name),
            Some((first, last)) if first == last => write!(f, "{first}/{name}"),
            Some((first, last)) => write!(f, "{first}-{last}/{name}"),
        }
    }
}

impl Serialize for Ports {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Tiers, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// ClusterNetworkPolicies before all others.
    Admin,
    /// NetworkPolicies.
    Policy,
    /// ClusterNetworkPolicies behind all others.
    Baseline,
}

impl Tier {
    const ALL: [Self; 3] = [Self::Admin, Self::Policy, Self::Baseline];

    fn of(self, best: &Best) -> u32 {
        match self {
            Self::Admin => best.admin,
            Self::Policy => best.policy,
            Self::Baseline => best.baseline,
        }
    }
}

/// Whom and where a rule decides about in its tier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Match {
    /// Classes of addresses; `None` is any peer.
    pub classes: Option<BTreeSet<u32>>,
    /// Ports; `None` is everything.
    pub ports: Option<Vec<Ports>>,
}

/// Packets that a rule decided about: the first of each flow, and each that was denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleDump {
    /// Its number in the rule set: the one that `policy dump`, events and flows tell.
    pub rule: u32,
    /// Its tier; `None` for one that has counted and is in no table any more.
    pub tier: Option<Tier>,
    /// `allow`, `deny` or `pass`.
    pub action: &'static str,
    /// Any of these.
    pub matches: Vec<Match>,
    /// What it decided so far, of all processors.
    #[serde(flatten)]
    pub count: Count,
}

/// Who speaks of a rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Use {
    /// Link of the endpoint.
    pub link: u32,
    /// In which direction.
    pub direction: Direction,
    /// As the coming one of a change, which must allow too.
    pub next: bool,
}

/// Ports that rules tell alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortGroup {
    /// Its number.
    pub group: u32,
    /// Its ports.
    pub ports: Vec<Ports>,
}

/// Classes that rules with ports tell alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerSet {
    /// Its number.
    pub peer_set: u32,
    /// Its classes.
    pub classes: BTreeSet<u32>,
}

/// One rule set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSetDump {
    /// Its number.
    pub rule_set: u32,
    /// The view that its classes are of.
    pub view: u32,
    /// Who speaks of it.
    pub used_by: Vec<Use>,
    /// Whether it is written; if not, everything but node and self is denied.
    pub ready: bool,
    /// Whether NetworkPolicies isolate the pods.
    pub isolated: bool,
    /// Its port groups.
    pub port_groups: Vec<PortGroup>,
    /// Its peer sets.
    pub peer_sets: Vec<PeerSet>,
    /// Its rules, in the order in which they are asked.
    pub rules: Vec<RuleDump>,
    /// What no rule matched.
    pub unmatched: Count,
}

/// The addresses of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassDump {
    /// Of which view.
    pub view: u32,
    /// Its number.
    pub class: u32,
    /// Its addresses and prefixes, but for what stands inside of these under another class.
    pub prefixes: Vec<super::peers::Prefix>,
}

/// Endpoints with their rule sets.
#[derive(Clone, Debug, Serialize)]
pub struct Dump {
    /// By link.
    pub endpoints: Vec<EndpointStatus>,
    /// By number.
    pub rule_sets: Vec<RuleSetDump>,
    /// Classes that these rule sets name.
    pub classes: Vec<ClassDump>,
    /// By view, for whoever shows them.
    #[serde(skip)]
    pub addresses: BTreeMap<u32, Addresses>,
}

impl Node {
    /// Reads the rules of one endpoint, or of all.
    pub fn dump(&self, link: Option<u32>) -> Result<Dump, Error> {
        let mut endpoints = self.tables.endpoints.all()?;
        endpoints.retain(|(of, _)| link.is_none_or(|link| *of == link));
        endpoints.sort_unstable_by_key(|(link, _)| *link);
        let tables = Tables::read(self, &endpoints)?;
        let mut sets = Vec::new();
        for ((id, view), used_by) in uses(&endpoints) {
            sets.push(self.rule_set(id, view, used_by, &tables)?);
        }
        let mut addresses = BTreeMap::new();
        for view in sets.iter().map(|set| set.view).collect::<BTreeSet<_>>() {
            addresses.insert(view, self.addresses(view)?);
        }
        let endpoints = endpoints.iter().map(|(link, endpoint)| endpoint_status(self, *link, endpoint));
        Ok(Dump {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            classes: classes(&sets, &addresses),
            rule_sets: sets,
            addresses,
        })
    }

    fn rule_set(&self, id: u32, view: u32, used_by: Vec<Use>, tables: &Tables) -> Result<RuleSetDump, Error> {
        let absent = RuleSet { flags: 0, ports: [0; 4], any: Best::NONE };
        let set = self.tables.rules.get(&id)?.unwrap_or(absent);
        let ready = set.flags & RULES_READY != 0;
        let set = if ready { set } else { absent };
        // What is not asked decides nothing, even where it is written.
        let asked = |flag: u32| set.flags & flag != 0;
        let classes = if asked(RULES_PEERS) { tables.classes_of(id) } else { &[] };
        let crossings = if asked(RULES_PORTS) { tables.crossings_of(id) } else { &[] };
        let roots = if asked(RULES_PORTS) { set.ports } else { [0; 4] };
        let groups = groups(&roots, |id| self.tables.pages.get(&id))?;
        let mut peer_sets: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (key, value) in classes.iter().filter(|(_, value)| value.peer_set != 0) {
            peer_sets.entry(value.peer_set).or_default().insert(key.class);
        }
        let mut counts = tables.counts_of(id);
        let unmatched = counts.remove(&NO_RULE).unwrap_or_default();
        let mut rules = Vec::new();
        for tier in Tier::ALL {
            for (number, matches) in decide(tier, &set, classes, crossings, &groups) {
                let count = counts.remove(&number).unwrap_or_default();
                let (rule, action) = (number >> 2, action(number));
                rules.push(RuleDump { rule, tier: Some(tier), action, matches, count });
            }
        }
        rules.extend(counts.into_iter().map(|(number, count)| RuleDump {
            rule: number >> 2,
            tier: None,
            action: action(number),
            matches: Vec::new(),
            count,
        }));
        Ok(RuleSetDump {
            rule_set: id,
            view,
            used_by,
            ready,
            isolated: set.flags & RULES_ISOLATED != 0,
            port_groups: groups.into_iter().map(|(group, ports)| PortGroup { group, ports }).collect(),
            peer_sets: peer_sets
                .into_iter()
                .map(|(peer_set, classes)| PeerSet { peer_set, classes })
                .collect(),
            rules,
            unmatched,
        })
    }
}

const fn action(rule: u32) -> &'static str {
    match rule & 3 {
        ALLOW => "allow",
        DENY => "deny",
        _ => "pass",
    }
}

/// Rule sets with the view that their users give them.
fn uses(endpoints: &[(u32, Endpoint)]) -> BTreeMap<(u32, u32), Vec<Use>> {
    let mut uses: BTreeMap<_, Vec<Use>> = BTreeMap::new();
    for (link, endpoint) in endpoints {
        let both = [(endpoint.rules, endpoint.view, false), (endpoint.next, endpoint.next_view, true)];
        for (ids, view, next) in both {
            for (direction, id) in Direction::BOTH.into_iter().zip(ids).filter(|(_, id)| *id != 0) {
                uses.entry((id, view)).or_default().push(Use { link: *link, direction, next });
            }
        }
    }
    uses
}

/// Groups of ports; `None` is everything.
type Groups = BTreeSet<Option<u32>>;

/// What each rule of a tier decides about, by number: where the tables have it as the best. What a wider entry says already
/// is left out.
fn decide(
    tier: Tier,
    set: &RuleSet,
    classes: &[(ClassKey, ClassValue)],
    crossings: &[(CrossKey, Best)],
    groups: &BTreeMap<u32, Vec<Ports>>,
) -> BTreeMap<u32, Vec<Match>> {
    // By rule and class (`None` is any peer).
    let mut cells: BTreeMap<(u32, Option<u32>), Groups> = BTreeMap::new();
    let any = tier.of(&set.any);
    if any != NO_RULE {
        cells.entry((any, None)).or_default().insert(None);
    }
    let mut by_peer_set: BTreeMap<u32, BTreeMap<u32, u32>> = BTreeMap::new();
    for (key, best) in crossings.iter().filter(|(_, best)| tier.of(best) < any) {
        by_peer_set.entry(key.peer_set).or_default().insert(key.group, tier.of(best));
    }
    let for_any = by_peer_set.remove(&0).unwrap_or_default();
    for (group, rule) in &for_any {
        cells.entry((*rule, None)).or_default().insert(Some(*group));
    }
    for (key, value) in classes {
        let everywhere = tier.of(&value.best).min(any);
        if everywhere < any {
            cells.entry((everywhere, Some(key.class))).or_default().insert(None);
        }
        for (group, rule) in by_peer_set.get(&value.peer_set).into_iter().flatten() {
            if *rule < everywhere && for_any.get(group) != Some(rule) {
                cells.entry((*rule, Some(key.class))).or_default().insert(Some(*group));
            }
        }
    }
    merge(cells, groups)
}

/// Puts peers together that a rule names with the same ports.
fn merge(
    cells: BTreeMap<(u32, Option<u32>), Groups>,
    groups: &BTreeMap<u32, Vec<Ports>>,
) -> BTreeMap<u32, Vec<Match>> {
    let mut merged: BTreeMap<(u32, Groups, bool), BTreeSet<u32>> = BTreeMap::new();
    for ((rule, class), ports) in cells {
        // Everything includes every group.
        let ports = if ports.contains(&None) { BTreeSet::from([None]) } else { ports };
        merged.entry((rule, ports, class.is_some())).or_default().extend(class);
    }
    let mut rules: BTreeMap<u32, Vec<Match>> = BTreeMap::new();
    for ((rule, ports, some), classes) in merged {
        let ports: Option<Vec<u32>> = ports.into_iter().collect();
        let ports = ports.map(|ids| decode::joined(ids.iter().filter_map(|id| groups.get(id)).flatten()));
        rules.entry(rule).or_default().push(Match { classes: some.then_some(classes), ports });
    }
    for matches in rules.values_mut() {
        matches.sort_unstable();
    }
    rules
}

fn classes(sets: &[RuleSetDump], addresses: &BTreeMap<u32, Addresses>) -> Vec<ClassDump> {
    let mut named: BTreeMap<(u32, u32), Vec<super::peers::Prefix>> = BTreeMap::new();
    for set in sets {
        let all = set.rules.iter().flat_map(|rule| &rule.matches).filter_map(|one| one.classes.as_ref());
        for class in all.chain(set.peer_sets.iter().map(|peers| &peers.classes)).flatten() {
            named.entry((set.view, *class)).or_default();
        }
    }
    for (view, addresses) in addresses {
        for (prefix, class) in addresses.entries() {
            if let Some(prefixes) = named.get_mut(&(*view, *class)) {
                prefixes.push(*prefix);
            }
        }
    }
    named.into_iter().map(|((view, class), prefixes)| ClassDump { view, class, prefixes }).collect()
}
