//! Which rule sets an endpoint has: its pod's policies in order of precedence, with port names resolved. Endpoints for
//! which that comes out the same share one.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Compiler, EndpointSpec, Full, Whom,
    rule::{Matter, Range, Spec, Tier, kind_of},
    set::{Bound, Set, number},
    world::PodState,
};
use crate::{
    layout::{DENY, EGRESS, ENDPOINT_LOCKED, Endpoint, INGRESS, addr_of, is_v4},
    model::{self, Name, Protocol},
    op::Op,
    packet::protocol,
};

/// A port name and its protocol.
pub(super) type Name4 = (u32, Protocol);

/// A port name in use.
#[derive(Debug, Default)]
pub(super) struct PortUse {
    /// Rule sets that use it.
    pub(super) holders: usize,
    /// Atom of each number that it stands for on some pod.
    pub(super) atoms: BTreeMap<u16, u32>,
}

/// What makes a rule set the one that it is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetKey {
    isolated: bool,
    /// Node rules are of one direction.
    direction: u8,
    /// Versions of rules, and the numbers that their port names stand for, by rule.
    parts: Vec<(u64, Vec<(u32, Range)>)>,
}

/// Where a rule of a rule set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its tier.
    pub tier: Tier,
    /// Its policy; of the node's own rules, their name.
    pub policy: Name,
    /// Its place in the policy, from 0.
    pub index: usize,
    /// Its own name, or nothing.
    pub name: String,
    /// Whom it denies, where it is the node's own.
    pub node: Option<Whom>,
}

/// What a rule set is about, for explanations.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) origins: Vec<Origin>,
    pub(super) isolated_by: Vec<Name>,
    names: Vec<Name4>,
}

/// An endpoint as it is written.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) spec: EndpointSpec,
    /// `None` until it is written.
    pub(super) written: Option<Endpoint>,
}

struct Part {
    tier: Tier,
    policy: Name,
    stamp: u64,
    specs: Arc<Vec<Spec>>,
    ports: Vec<(u32, Range)>,
}

impl Compiler {
    /// Adds a pod's place on this node, or changes it.
    pub fn set_endpoint(&mut self, link: u32, spec: EndpointSpec) {
        match self.endpoints.get_mut(&link) {
            Some(local) => local.spec = spec,
            None => _ = self.endpoints.insert(link, Local { spec, written: None }),
        }
        self.dirty.endpoints.insert(link);
    }

    /// Removes a pod's place.
    pub fn remove_endpoint(&mut self, link: u32) {
        if self.endpoints.contains_key(&link) {
            self.dirty.removed.push(link);
        }
    }

    /// Where a rule of an endpoint comes from, by its number in a verdict.
    pub fn origin(&self, rules: u32, rule: u32) -> Option<&Origin> {
        self.set_keys.get(&rules)?.1.origins.get((rule >> 2) as usize)
    }

    /// NetworkPolicies that isolate whoever has this rule set.
    pub fn isolated_by(&self, rules: u32) -> &[Name] {
        self.set_keys.get(&rules).map_or(&[], |(_, about)| &about.isolated_by)
    }

    /// How many rule sets there are.
    pub fn rule_sets(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn dirty_endpoints_of(&mut self, space: u32) {
        for (link, local) in &self.endpoints {
            if self.space_numbers.get(&local.spec.pod.namespace) == Some(&space) {
                self.dirty.endpoints.insert(*link);
            }
        }
    }

    /// The atom of a port on a pod, if its name is in use.
    pub(super) fn port_atom(&mut self, port: (u32, Protocol, u16)) -> Option<u32> {
        let (name, protocol, number) = port;
        let known = self.port_names.get(&(name, protocol))?;
        if let Some(atom) = known.atoms.get(&number) {
            return Some(*atom);
        }
        self.strings.retain(name);
        let atom = self.atoms.add(Matter::Port { name, protocol, port: number });
        if let Some(known) = self.port_names.get_mut(&(name, protocol)) {
            known.atoms.insert(number, atom);
        }
        self.dirty_users_of((name, protocol));
        Some(atom)
    }

    /// Endpoints whose rule sets use a port name: they are others once it stands for other numbers.
    fn dirty_users_of(&mut self, name: Name4) {
        let users: Vec<u32> = self
            .set_keys
            .iter()
            .filter(|(_, (_, about))| about.names.contains(&name))
            .map(|(id, _)| *id)
            .collect();
        for (link, local) in &self.endpoints {
            if local.written.is_some_and(|written| users.contains(&written.rules[1])) {
                self.dirty.endpoints.insert(*link);
            }
        }
    }

    /// Forgets numbers that no port name stands for any more. The next publication leaves them out.
    pub(super) fn forget_ports(&mut self) {
        let mut gone = Vec::new();
        for (name, known) in &mut self.port_names {
            let before = known.atoms.len();
            known.atoms.retain(|_, atom| self.atoms.get(*atom).is_some_and(|atom| !atom.classes.is_empty()));
            if known.atoms.len() != before {
                gone.push(*name);
            }
        }
        for name in gone {
            self.dirty_users_of(name);
        }
    }

    /// Learns what a port name stands for, before the first rule set uses it.
    fn learn_name(&mut self, name: Name4) {
        if self.port_names.contains_key(&name) {
            return;
        }
        self.strings.retain(name.0);
        self.port_names.insert(name, PortUse::default());
        for number in 0..self.pods.len() as u32 {
            let Some(state) = self.pod(number).filter(|state| state.counts && !state.ips.is_empty()) else {
                continue;
            };
            let ports: Vec<_> = state.ports.iter().filter(|port| (port.0, port.1) == name).copied().collect();
            for port in ports {
                if let Some(atom) = self.port_atom(port) {
                    self.give(number, atom);
                }
            }
        }
    }

    /// What an endpoint is to be, but for its epoch.
    pub(super) fn wanted(&mut self, link: u32, ops: &mut Vec<Op>) -> Result<Option<Endpoint>, Full> {
        let Some(local) = self.endpoints.get(&link) else { return Ok(None) };
        let spec = local.spec.clone();
        let mut endpoint = Endpoint { view: self.options.view, flags: spec.flags, ..Endpoint::default() };
        for ip in &spec.ips {
            let addr = addr_of(*ip);
            if is_v4(&addr) {
                endpoint.v4 = addr;
            } else {
                endpoint.v6 = addr;
            }
        }
        match self.pod_numbers.get(&spec.pod).copied() {
            None => endpoint.flags |= ENDPOINT_LOCKED,
            Some(pod) => {
                endpoint.rules = [self.rules_of(pod, INGRESS, ops)?, self.rules_of(pod, EGRESS, ops)?];
            }
        }
        Ok(Some(endpoint))
    }

    fn rules_of(&mut self, pod: u32, direction: u8, ops: &mut Vec<Op>) -> Result<u32, Full> {
        let Some(state) = self.pod(pod) else { return Ok(0) };
        let mut parts = if state.counts { self.parts(state, direction) } else { Vec::new() };
        let node_rules = self.options.node_rules.iter().any(|rule| rule.direction == direction);
        if parts.is_empty() && !node_rules {
            return Ok(0);
        }
        let mut names = Vec::new();
        if direction == EGRESS {
            for name in parts
                .iter()
                .flat_map(|part| part.specs.iter())
                .filter_map(|spec| spec.ports.as_ref())
                .flat_map(|ports| &ports.names)
            {
                names.extend(name.protocols().map(|protocol| (name.name, protocol)));
            }
            names.sort_unstable();
            names.dedup();
            for name in &names {
                self.learn_name(*name);
            }
        }
        for part in &mut parts {
            part.ports = self.resolve(part, pod, direction);
        }
        let isolated = parts.iter().any(|part| part.tier == Tier::Policy);
        let key = SetKey {
            isolated,
            direction,
            parts: parts.iter().map(|part| (part.stamp, part.ports.clone())).collect(),
        };
        match self.set_numbers.get(&key) {
            Some(id) => Ok(*id),
            None => self.build_set(key, &parts, names, ops),
        }
    }

    /// Rules about a pod in a direction, in order of precedence.
    fn parts(&self, pod: &PodState, direction: u8) -> Vec<Part> {
        let index = usize::from(direction);
        let mut parts = Vec::new();
        let cluster = |tier: model::Tier, parts: &mut Vec<Part>| {
            let labels = self.spaces.get(&pod.space).and_then(|space| space.labels.as_ref());
            let mut states: Vec<_> = self
                .clusters
                .values()
                .filter(|state| state.tier == tier)
                .filter(|state| match (&state.subject, labels) {
                    (Some((namespaces, pods)), Some(labels)) => {
                        namespaces.accepts(labels) && pods.accepts(&pod.labels)
                    }
                    _ => false,
                })
                .collect();
            states.sort_by(|a, b| a.order.cmp(&b.order));
            for state in states {
                let Some(specs) = &state.directions[index] else { continue };
                parts.push(Part {
                    tier: if tier == model::Tier::Admin { Tier::Admin } else { Tier::Baseline },
                    policy: Name::new("", &state.order.1),
                    stamp: state.stamps[index],
                    specs: specs.clone(),
                    ports: Vec::new(),
                });
            }
        };
        cluster(model::Tier::Admin, &mut parts);
        for name in self.spaces.get(&pod.space).into_iter().flat_map(|space| &space.policies) {
            let name = Name::new(&pod.name.namespace, name);
            let Some(state) = self.policies.get(&name) else { continue };
            if let Some(specs) = &state.directions[index]
                && state.selector.accepts(&pod.labels)
            {
                let (stamp, specs) = (state.stamps[index], specs.clone());
                parts.push(Part { tier: Tier::Policy, policy: name, stamp, specs, ports: Vec::new() });
            }
        }
        cluster(model::Tier::Baseline, &mut parts);
        parts
    }

    /// Numbers that port names stand for: on the pod itself for what comes, on any pod for what goes.
    fn resolve(&self, part: &Part, pod: u32, direction: u8) -> Vec<(u32, Range)> {
        let mut ports = Vec::new();
        let own = self.pod(pod).map_or(&[][..], |state| &state.ports);
        for (index, spec) in (0..).zip(part.specs.iter()) {
            for name in spec.ports.iter().flat_map(|ports| &ports.names) {
                if direction == INGRESS {
                    ports.extend(name.on(own).map(|range| (index, range)));
                    continue;
                }
                for protocol in name.protocols() {
                    let numbers = self
                        .port_names
                        .get(&(name.name, protocol))
                        .into_iter()
                        .flat_map(|known| known.atoms.keys());
                    ports.extend(numbers.map(|port| (index, Range::of(protocol, *port, *port))));
                }
            }
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn build_set(
        &mut self,
        key: SetKey,
        parts: &[Part],
        names: Vec<Name4>,
        ops: &mut Vec<Op>,
    ) -> Result<u32, Full> {
        let mut bounds = Vec::new();
        let mut about = About { names, ..About::default() };
        for rule in self.options.node_rules.iter().filter(|rule| rule.direction == key.direction) {
            let ports = match rule.protocol {
                protocol::TCP => Range { kind: 0, first: rule.ports.0, last: rule.ports.1 },
                protocol::UDP => Range { kind: 1, first: rule.ports.0, last: rule.ports.1 },
                protocol::SCTP => Range { kind: 2, first: rule.ports.0, last: rule.ports.1 },
                other => Range { kind: 3, first: u16::from(other), last: u16::from(other) },
            };
            let rule_number = number(about.origins.len(), DENY);
            let peers = match rule.whom {
                Whom::Everyone => None,
                Whom::Outside => Some(self.atoms.find(&Matter::Outside).into_iter().collect()),
            };
            bounds.push(Bound {
                tier: Tier::Admin,
                rule: rule_number,
                peers,
                besides: None,
                ports: Some(vec![ports]),
            });
            let policy = Name::new("", &rule.name);
            about.origins.push(Origin {
                tier: Tier::Admin,
                policy,
                index: 0,
                name: String::new(),
                node: Some(rule.whom),
            });
        }
        for part in parts {
            if part.tier == Tier::Policy {
                about.isolated_by.push(part.policy.clone());
            }
            for (index, spec) in (0..).zip(part.specs.iter()) {
                let rule = number(about.origins.len(), spec.action);
                let (tier, policy, name) = (part.tier, part.policy.clone(), spec.name.clone());
                about.origins.push(Origin { tier, policy, index: index as usize, name, node: None });
                let resolved =
                    part.ports.iter().filter(|(of, _)| *of == index).map(|(_, range)| *range).collect();
                let variants = self.variants(spec, key.direction, resolved);
                // A rule that no port or no peer can meet asks for nothing, atoms included.
                if variants.is_empty() || spec.peers.as_ref().is_some_and(Vec::is_empty) {
                    continue;
                }
                let peers = spec.peers.as_ref().map(|peers| {
                    let mut atoms: Vec<u32> = peers.iter().map(|matter| self.atom_for(matter)).collect();
                    atoms.sort_unstable();
                    atoms.dedup();
                    atoms
                });
                for (besides, ports) in variants {
                    bounds.push(Bound { tier, rule, peers: peers.clone(), besides, ports });
                }
            }
        }
        let Some(id) = self.free_sets.pop_front() else {
            return Err(Full { map: "terway_rs", room: (self.options.limits.rules / 2) as usize });
        };
        let set = Set::build(id, key.isolated, bounds, &mut self.pages, ops)?;
        for atom in set.atoms() {
            if let Some(atom) = self.atoms.get_mut(atom) {
                atom.sets.insert(id);
            }
        }
        for name in &about.names {
            if let Some(known) = self.port_names.get_mut(name) {
                known.holders += 1;
            }
        }
        self.sets.insert(id, set);
        let key = Arc::new(key);
        self.set_numbers.insert(key.clone(), id);
        self.set_keys.insert(id, (key, Arc::new(about)));
        Ok(id)
    }

    /// Ports of a rule, once for those that are the same for every peer, and once for each number that a port name
    /// stands for on some pods.
    fn variants(
        &self,
        spec: &Spec,
        direction: u8,
        resolved: Vec<Range>,
    ) -> Vec<(Option<u32>, Option<Vec<Range>>)> {
        let Some(ports) = &spec.ports else { return vec![(None, None)] };
        let mut variants = Vec::new();
        let mut ranges = ports.ranges.clone();
        if direction == INGRESS {
            ranges.extend(resolved);
        } else {
            for range in resolved {
                for name in &ports.names {
                    let protocol = name.protocols().find(|protocol| kind_of(*protocol) == range.kind);
                    let known = protocol.and_then(|protocol| self.port_names.get(&(name.name, protocol)));
                    if let Some(atom) = known.and_then(|known| known.atoms.get(&range.first)) {
                        variants.push((Some(*atom), Some(vec![range])));
                    }
                }
            }
        }
        if !ranges.is_empty() {
            variants.push((None, Some(ranges)));
        }
        variants
    }

    /// The atom of a matter; one that is new is given to whom it is about.
    fn atom_for(&mut self, matter: &Matter) -> u32 {
        if let Some(atom) = self.atoms.find(matter) {
            return atom;
        }
        matter.strings().into_iter().for_each(|sym| self.strings.retain(sym));
        let atom = self.atoms.add(matter.clone());
        match matter {
            Matter::Addresses(block) => self.add_block(atom, block),
            _ => self.spread(atom),
        }
        atom
    }

    /// Forgets port names that no rule set uses; their atoms with them.
    pub(super) fn forget_names(&mut self, names: &[Name4]) -> Vec<u32> {
        let mut orphans = Vec::new();
        for name in names {
            if self.port_names.get(name).is_some_and(|known| known.holders == 0)
                && let Some(known) = self.port_names.remove(name)
            {
                orphans.extend(known.atoms.into_values());
                self.strings.release(name.0);
            }
        }
        orphans
    }

    /// Takes a rule set out of the books.
    pub(super) fn unbook(&mut self, id: u32) -> Vec<Name4> {
        let Some((key, about)) = self.set_keys.remove(&id) else { return Vec::new() };
        self.set_numbers.remove(&key);
        for name in &about.names {
            if let Some(known) = self.port_names.get_mut(name) {
                known.holders -= 1;
            }
        }
        about.names.clone()
    }
}
