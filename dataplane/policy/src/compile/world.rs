//! Pods and namespaces.

use std::collections::BTreeSet;

use super::{
    Compiler,
    intern::LabelSet,
    rule::{Matter, hold_ports},
};
use crate::{
    layout::{Addr, addr_of},
    model::{Name, Namespace, Pod, Protocol},
};

/// A namespace, known or only spoken of.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// `None` until the namespace itself is known: no selector of namespaces matches it.
    pub(super) labels: Option<LabelSet>,
    pub(super) pods: BTreeSet<u32>,
    pub(super) policies: BTreeSet<String>,
    /// Atoms that pods in it may have.
    pub(super) atoms: BTreeSet<u32>,
}

#[derive(Debug)]
pub(super) struct PodState {
    pub(super) name: Name,
    pub(super) space: u32,
    pub(super) labels: LabelSet,
    pub(super) ips: Box<[Addr]>,
    pub(super) ports: Box<[(u32, Protocol, u16)]>,
    /// Whether policies can be about it: it runs, in a network of its own.
    pub(super) counts: bool,
    /// Atoms that it has by its labels and port names, sorted.
    pub(super) atoms: Vec<u32>,
}

impl Compiler {
    /// The pod that has an address.
    pub fn pod_at(&self, addr: &Addr) -> Option<&Name> {
        let address = self.addresses.get(addr)?;
        let pods = address.pods.iter().filter_map(|number| self.pod(*number)).filter(|pod| pod.counts);
        pods.map(|pod| &pod.name).min()
    }

    pub(super) fn space(&mut self, name: &str) -> u32 {
        if let Some(number) = self.space_numbers.get(name) {
            return *number;
        }
        let number = self.space_numbers.len() as u32;
        self.space_numbers.insert(name.into(), number);
        self.spaces.insert(number, Space::default());
        number
    }

    /// Adds a namespace or replaces its labels.
    pub fn set_namespace(&mut self, namespace: &Namespace) {
        let number = self.space(&namespace.name);
        let labels = self.strings.hold_labels(&namespace.labels);
        self.relabel(number, Some(labels));
    }

    /// Removes a namespace. Pods that are still in it are matched by their own labels alone.
    pub fn remove_namespace(&mut self, name: &str) {
        if let Some(number) = self.space_numbers.get(name).copied() {
            self.relabel(number, None);
        }
    }

    fn relabel(&mut self, number: u32, labels: Option<LabelSet>) {
        let Some(space) = self.spaces.get_mut(&number) else { return };
        let before = std::mem::replace(&mut space.labels, labels);
        if before != space.labels {
            self.dirty.spaces.insert(number);
        }
        if let Some(before) = before {
            self.strings.release_labels(&before);
        }
    }

    /// Adds or replaces a pod.
    pub fn set_pod(&mut self, pod: &Pod) {
        let space = self.space(&pod.name.namespace);
        let labels = self.strings.hold_labels(&pod.labels);
        let ports = hold_ports(&pod.ports, &mut self.strings);
        let counts = !pod.host_network && !pod.finished;
        let ips: Box<[Addr]> =
            if counts { pod.ips.iter().map(|ip| addr_of(*ip)).collect() } else { Box::default() };
        if let Some(number) = self.pod_numbers.get(&pod.name).copied() {
            let Some(state) = self.pods[number as usize].as_mut() else { return };
            let (old_labels, old_ports) =
                (std::mem::replace(&mut state.labels, labels), std::mem::replace(&mut state.ports, ports));
            let same = old_labels == state.labels
                && old_ports == state.ports
                && state.ips == ips
                && state.counts == counts;
            state.counts = counts;
            let old_ips = std::mem::replace(&mut state.ips, ips);
            self.strings.release_labels(&old_labels);
            old_ports.iter().for_each(|port| self.strings.release(port.0));
            if !same {
                self.unclaim(number, &old_ips);
                self.claim(number);
                self.dirty.pods.insert(number);
            }
            return;
        }
        let state = PodState { name: pod.name.clone(), space, labels, ips, ports, counts, atoms: Vec::new() };
        let number = if let Some(number) = self.free_pods.pop() {
            self.pods[number as usize] = Some(state);
            number
        } else {
            self.pods.push(Some(state));
            (self.pods.len() - 1) as u32
        };
        self.pod_numbers.insert(pod.name.clone(), number);
        if let Some(space) = self.spaces.get_mut(&space) {
            space.pods.insert(number);
        }
        self.claim(number);
        self.dirty.pods.insert(number);
    }

    /// Removes a pod.
    pub fn remove_pod(&mut self, name: &Name) {
        let Some(number) = self.pod_numbers.remove(name) else { return };
        let Some(state) = self.pods[number as usize].take() else { return };
        self.unclaim(number, &state.ips);
        if let Some(space) = self.spaces.get_mut(&state.space) {
            space.pods.remove(&number);
        }
        self.strings.release_labels(&state.labels);
        state.ports.iter().for_each(|port| self.strings.release(port.0));
        self.dirty.pods.remove(&number);
        self.free_pods.push(number);
        let links = self.endpoints.iter().filter(|(_, local)| local.spec.pod == *name).map(|(link, _)| *link);
        self.dirty.endpoints.extend(links);
    }

    fn claim(&mut self, number: u32) {
        let Some(state) = &self.pods[number as usize] else { return };
        for addr in &state.ips {
            self.addresses.entry(*addr).or_default().pods.push(number);
            self.dirty.addresses.insert(*addr);
        }
    }

    fn unclaim(&mut self, number: u32, ips: &[Addr]) {
        self.dirty.ports = true;
        for addr in ips {
            if let Some(address) = self.addresses.get_mut(addr) {
                address.pods.retain(|each| *each != number);
                // Whoever has it now may be matched for the first time.
                self.dirty.pods.extend(&address.pods);
            }
            self.dirty.addresses.insert(*addr);
        }
    }

    pub(super) fn pod(&self, number: u32) -> Option<&PodState> {
        self.pods.get(number as usize)?.as_ref()
    }

    /// Which atoms pods of a namespace may have, after its labels changed.
    pub(super) fn rematch_space(&mut self, number: u32) {
        let Some(space) = self.spaces.get(&number) else { return };
        let atoms: BTreeSet<u32> = self
            .atoms
            .iter()
            .filter(|(_, atom)| match &atom.matter {
                Matter::Own { namespace, .. } => *namespace == number,
                Matter::Labelled { namespaces, .. } => {
                    space.labels.as_ref().is_some_and(|labels| namespaces.accepts(labels))
                }
                Matter::Addresses(_) | Matter::Outside | Matter::Port { .. } => false,
            })
            .map(|(atom, _)| atom)
            .collect();
        let pods = space.pods.clone();
        let changed = space.atoms != atoms;
        if let Some(space) = self.spaces.get_mut(&number) {
            space.atoms = atoms;
        }
        if changed {
            self.dirty.pods.extend(pods);
        }
        self.dirty_endpoints_of(number);
    }

    /// What a pod is matched by, after it or the atoms of its namespace changed.
    pub(super) fn rematch_pod(&mut self, number: u32) {
        let Some(state) = self.pods.get(number as usize).and_then(Option::as_ref) else { return };
        let mut atoms = Vec::new();
        if state.counts {
            if let Some(space) = self.spaces.get(&state.space) {
                atoms.extend(space.atoms.iter().copied().filter(|atom| self.selects(*atom, &state.labels)));
            }
            // A port of a pod without an address is nowhere.
            let ports = if state.ips.is_empty() { Box::default() } else { state.ports.clone() };
            for port in &ports {
                if let Some(atom) = self.port_atom(*port) {
                    atoms.push(atom);
                }
            }
        }
        atoms.sort_unstable();
        atoms.dedup();
        let Some(state) = self.pods[number as usize].as_mut() else { return };
        let name = state.name.clone();
        if state.atoms != atoms {
            state.atoms = atoms;
            self.dirty.addresses.extend(state.ips.iter().copied());
        }
        let links = self.endpoints.iter().filter(|(_, local)| local.spec.pod == name).map(|(link, _)| *link);
        self.dirty.endpoints.extend(links);
    }

    fn selects(&self, atom: u32, labels: &LabelSet) -> bool {
        match self.atoms.get(atom).map(|atom| &atom.matter) {
            Some(Matter::Own { pods, .. } | Matter::Labelled { pods, .. }) => pods.accepts(labels),
            _ => false,
        }
    }

    /// Namespaces that an atom is about.
    pub(super) fn spaces_of(&self, matter: &Matter) -> Vec<u32> {
        match matter {
            Matter::Own { namespace, .. } => vec![*namespace],
            Matter::Labelled { namespaces, .. } => self
                .spaces
                .iter()
                .filter(|(_, space)| space.labels.as_ref().is_some_and(|labels| namespaces.accepts(labels)))
                .map(|(number, _)| *number)
                .collect(),
            Matter::Addresses(_) | Matter::Outside | Matter::Port { .. } => Vec::new(),
        }
    }

    /// Gives an atom that is new to the pods that have it.
    pub(super) fn spread(&mut self, atom: u32) {
        let Some(matter) = self.atoms.get(atom).map(|atom| atom.matter.clone()) else { return };
        for number in self.spaces_of(&matter) {
            let Some(space) = self.spaces.get_mut(&number) else { continue };
            space.atoms.insert(atom);
            let pods: Vec<u32> = space.pods.iter().copied().collect();
            for pod in pods {
                let selected =
                    self.pod(pod).is_some_and(|state| state.counts && self.selects(atom, &state.labels));
                if selected {
                    self.give(pod, atom);
                }
            }
        }
    }

    pub(super) fn give(&mut self, pod: u32, atom: u32) {
        let Some(state) = self.pods[pod as usize].as_mut() else { return };
        if let Err(place) = state.atoms.binary_search(&atom) {
            state.atoms.insert(place, atom);
            self.dirty.addresses.extend(state.ips.iter().copied());
        }
    }

    /// Takes an atom that goes from the pods that have it.
    pub(super) fn withdraw(&mut self, atom: u32, matter: &Matter) {
        let spaces = match matter {
            // Its pods are wherever the name is declared.
            Matter::Port { .. } => self.spaces.keys().copied().collect(),
            _ => self.spaces_of(matter),
        };
        for number in spaces {
            let Some(space) = self.spaces.get_mut(&number) else { continue };
            space.atoms.remove(&atom);
            for pod in &space.pods {
                let Some(state) = self.pods[*pod as usize].as_mut() else { continue };
                if let Ok(place) = state.atoms.binary_search(&atom) {
                    state.atoms.remove(place);
                    self.dirty.addresses.extend(state.ips.iter().copied());
                }
            }
        }
    }
}
