//! The compiler: from pods, namespaces and policies to the tables of one node, incrementally.
//!
//! An object changes ([`Compiler::set_pod`] and its siblings), then [`Compiler::publish`] says which writes bring the
//! tables there. The order of those writes is such that after each of them every flow is judged as before the change or
//! as after it (see `publish`).
//!
//! - `intern`, `selector`, `block`, `rule`, `build`: policies in numbers.
//! - `class`: atoms, and the classes made of them.
//! - `world`: pods and namespaces; `address`: which class an address has.
//! - `set`, `pages`: a rule set's tables. `bind`: which rule sets an endpoint has.
//! - `publish`: what to write, in which order.

mod address;
mod bind;
pub(crate) mod block;
mod build;
mod class;
mod intern;
mod pages;
mod publish;
mod rule;
mod selector;
mod set;
pub(crate) mod world;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use self::{
    address::{Address, PrefixState},
    bind::{Local, Name4, SetKey},
    block::Prefix,
    class::{Atoms, Classes},
    intern::Interner,
    pages::Pages,
    rule::Spec,
    selector::Demands,
    set::Set,
    world::{PodState, Space},
};
pub use self::{bind::Origin, publish::Publication, rule::Tier};
use crate::{
    layout::Addr,
    model::{ClusterPolicy, Name, Policy, Snapshot, Subject},
};

/// A table has no room for what is wanted. Nothing of the change is to be written; the compiler is of no more use, and
/// another one starts from a snapshot once there may be room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{map} has room for {room} entries, and what the policies ask for is more")]
pub struct Full {
    /// Which map.
    pub map: &'static str,
    /// Entries that it holds.
    pub room: usize,
}

/// Entries that each map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `terway_peer`.
    pub peers: usize,
    /// `terway_cidr`.
    pub cidrs: usize,
    /// `terway_rs`.
    pub rules: u32,
    /// `terway_page`.
    pub pages: u32,
    /// `terway_rs_peer`.
    pub classes: usize,
    /// `terway_policy_map`.
    pub crosses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { peers: 131_072, cidrs: 16_384, rules: 4096, pages: 8192, classes: 262_144, crosses: 65_536 }
    }
}

/// A denial for the whole node, before all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRule {
    /// What it is called in explanations.
    pub name: String,
    /// 0 for what comes, 1 for what goes.
    pub direction: u8,
    /// IP protocol.
    pub protocol: u8,
    /// First and last destination port; for protocols without ports this counts for nothing.
    pub ports: (u16, u16),
    /// Who is denied.
    pub whom: Whom,
}

/// Whom a [`NodeRule`] denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whom {
    /// Everyone but the node itself.
    #[default]
    Everyone,
    /// Addresses that no pod of the cluster has. Those of other nodes are of them, and pods in a node's network: a client
    /// that came by another node and was masqueraded there looks the same.
    Outside,
}

/// How the tables are shared with others.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Room in the maps. An engine uses one half of `terway_rs` and `terway_page`, its successor the other.
    pub limits: Limits,
    /// Which classification of addresses this is. Its parity chooses the half.
    pub view: u32,
    /// Denials for the whole node.
    pub node_rules: Vec<NodeRule>,
    /// Epoch before the first that is given out: beyond all that flows in the maps may have.
    pub epoch: u32,
}

/// A pod's place on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Which pod.
    pub pod: Name,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// `ENDPOINT_ROUTER`, `ENDPOINT_METADATA`.
    pub flags: u32,
}

#[derive(Debug)]
struct PolicyState {
    selector: Demands,
    directions: [Option<Arc<Vec<Spec>>>; 2],
    /// Tell apart any two versions of rules.
    stamps: [u64; 2],
    problems: Vec<String>,
}

#[derive(Debug)]
struct ClusterState {
    order: (i32, String, String),
    tier: crate::model::Tier,
    /// Namespaces and pods; `None` selects nothing.
    subject: Option<(Demands, Demands)>,
    directions: [Option<Arc<Vec<Spec>>>; 2],
    stamps: [u64; 2],
    problems: Vec<String>,
}

/// Tables of one node, as they are to be, and what led to them.
#[derive(Debug)]
pub struct Compiler {
    options: Options,
    strings: Interner,
    spaces: BTreeMap<u32, Space>,
    space_numbers: BTreeMap<String, u32>,
    pods: Vec<Option<PodState>>,
    free_pods: Vec<u32>,
    pod_numbers: BTreeMap<Name, u32>,
    addresses: BTreeMap<Addr, Address>,
    prefixes: BTreeMap<Prefix, PrefixState>,
    prefix_lengths: BTreeMap<u8, usize>,
    peers: usize,
    atoms: Atoms,
    classes: Classes,
    /// Port names that rule sets use, with the atom of each number that they stand for on some pod.
    port_names: BTreeMap<Name4, bind::PortUse>,
    policies: BTreeMap<Name, PolicyState>,
    clusters: BTreeMap<String, ClusterState>,
    endpoints: BTreeMap<u32, Local>,
    sets: BTreeMap<u32, Set>,
    set_numbers: BTreeMap<Arc<SetKey>, u32>,
    set_keys: BTreeMap<u32, (Arc<SetKey>, Arc<bind::About>)>,
    free_sets: VecDeque<u32>,
    pages: Pages,
    stamp: u64,
    epoch: u32,
    dirty: Dirty,
}

/// What the next publication looks at.
#[derive(Debug, Default)]
struct Dirty {
    spaces: BTreeSet<u32>,
    pods: BTreeSet<u32>,
    endpoints: BTreeSet<u32>,
    addresses: BTreeSet<Addr>,
    prefixes: BTreeSet<Prefix>,
    removed: Vec<u32>,
    /// Classes that may have lost their last member.
    classes: BTreeSet<u32>,
    /// A port name may stand for fewer numbers.
    ports: bool,
}

impl Compiler {
    /// An empty one.
    pub fn new(options: Options) -> Self {
        let half = |all: u32| {
            let middle = all / 2;
            if options.view.is_multiple_of(2) { 1..middle } else { middle..all }
        };
        let outside = options.node_rules.iter().any(|rule| rule.whom == Whom::Outside);
        let mut compiler = Self {
            free_sets: half(options.limits.rules).collect(),
            pages: Pages::new(half(options.limits.pages)),
            epoch: options.epoch,
            options,
            strings: Interner::default(),
            spaces: BTreeMap::new(),
            space_numbers: BTreeMap::new(),
            pods: Vec::new(),
            free_pods: Vec::new(),
            pod_numbers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            prefix_lengths: BTreeMap::new(),
            peers: 0,
            atoms: Atoms::default(),
            classes: Classes::default(),
            port_names: BTreeMap::new(),
            policies: BTreeMap::new(),
            clusters: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            sets: BTreeMap::new(),
            set_numbers: BTreeMap::new(),
            set_keys: BTreeMap::new(),
            stamp: 0,
            dirty: Dirty::default(),
        };
        if outside {
            compiler.tell_outside();
        }
        compiler
    }

    /// Takes all of a snapshot in.
    pub fn load(&mut self, snapshot: &Snapshot) {
        snapshot.namespaces.values().for_each(|namespace| self.set_namespace(namespace));
        snapshot.pods.values().for_each(|pod| self.set_pod(pod));
        snapshot.policies.values().for_each(|policy| self.set_policy(policy));
        snapshot.cluster_policies.values().for_each(|policy| self.set_cluster_policy(policy));
    }

    /// Adds or replaces a NetworkPolicy.
    pub fn set_policy(&mut self, policy: &Policy) {
        let space = self.space(&policy.name.namespace);
        let built = build::policy(policy, space, &mut self.strings);
        let selector = Demands::hold(&policy.selector, &mut self.strings);
        let before = self.policies.remove(&policy.name);
        let before_directions = before.as_ref().map(|before| (&before.directions, before.stamps));
        let (directions, stamps) = restamp(built.directions, before_directions, &mut self.stamp);
        let changed =
            before.as_ref().is_none_or(|before| before.stamps != stamps || before.selector != selector);
        if let Some(before) = before {
            self.release_policy(&before.selector, &before.directions);
        }
        let state = PolicyState { selector, directions, stamps, problems: built.problems };
        self.policies.insert(policy.name.clone(), state);
        if let Some(space) = self.spaces.get_mut(&space) {
            space.policies.insert(policy.name.name.clone());
        }
        if changed {
            self.dirty_endpoints_of(space);
        }
    }

    /// Removes a NetworkPolicy.
    pub fn remove_policy(&mut self, name: &Name) {
        let Some(before) = self.policies.remove(name) else { return };
        self.release_policy(&before.selector, &before.directions);
        let space = self.space(&name.namespace);
        if let Some(space) = self.spaces.get_mut(&space) {
            space.policies.remove(&name.name);
        }
        self.dirty_endpoints_of(space);
    }

    fn release_policy(&mut self, selector: &Demands, directions: &[Option<Arc<Vec<Spec>>>; 2]) {
        selector.strings().for_each(|sym| self.strings.release(sym));
        for spec in directions.iter().flatten().flat_map(|specs| specs.iter()) {
            spec.strings().into_iter().for_each(|sym| self.strings.release(sym));
        }
    }

    /// Adds or replaces a ClusterNetworkPolicy.
    pub fn set_cluster_policy(&mut self, policy: &ClusterPolicy) {
        let built = build::cluster_policy(policy, &mut self.strings);
        let subject = match &policy.subject {
            Subject::Namespaces(namespaces) => {
                Some((Demands::hold(namespaces, &mut self.strings), Demands::default()))
            }
            Subject::Pods { namespaces, pods } => {
                Some((Demands::hold(namespaces, &mut self.strings), Demands::hold(pods, &mut self.strings)))
            }
            Subject::Unknown => None,
        };
        let before = self.clusters.remove(&policy.name);
        let before_directions = before.as_ref().map(|before| (&before.directions, before.stamps));
        let (directions, stamps) = restamp(built.directions, before_directions, &mut self.stamp);
        if let Some(before) = before {
            self.release_cluster(&before);
        }
        let order = (policy.priority, policy.name.clone(), policy.uid.clone());
        let tier = policy.tier;
        let state = ClusterState { order, tier, subject, directions, stamps, problems: built.problems };
        self.clusters.insert(policy.name.clone(), state);
        self.dirty.endpoints.extend(self.endpoints.keys());
    }

    /// Removes a ClusterNetworkPolicy.
    pub fn remove_cluster_policy(&mut self, name: &str) {
        let Some(before) = self.clusters.remove(name) else { return };
        self.release_cluster(&before);
        self.dirty.endpoints.extend(self.endpoints.keys());
    }

    fn release_cluster(&mut self, state: &ClusterState) {
        if let Some((namespaces, pods)) = &state.subject {
            self.release_policy(namespaces, &state.directions);
            pods.strings().for_each(|sym| self.strings.release(sym));
        } else {
            self.release_policy(&Demands::default(), &state.directions);
        }
    }

    /// What was not understood of the policies: name, and words for an event on it.
    pub fn problems(&self) -> impl Iterator<Item = (Name, &str)> {
        let policies = self.policies.iter().map(|(name, state)| (name.clone(), &state.problems));
        let clusters = self.clusters.iter().map(|(name, state)| (Name::new("", name), &state.problems));
        policies
            .chain(clusters)
            .flat_map(|(name, problems)| problems.iter().map(move |text| (name.clone(), text.as_str())))
    }
}

type Directions = [Option<Arc<Vec<Spec>>>; 2];

/// Gives new rules new stamps, and leaves those that did not change what they had.
fn restamp(
    built: [Option<Vec<Spec>>; 2],
    before: Option<(&Directions, [u64; 2])>,
    last: &mut u64,
) -> (Directions, [u64; 2]) {
    let mut stamps = [0; 2];
    let mut directions = [None, None];
    for (index, specs) in built.into_iter().enumerate() {
        let same = before.filter(|(before, _)| before[index].as_deref() == specs.as_ref());
        stamps[index] = if let Some((_, stamps)) = same {
            stamps[index]
        } else {
            *last += 1;
            *last
        };
        directions[index] = specs.map(Arc::new);
    }
    (directions, stamps)
}
