//! The plugin's side: blocking netlink, one socket for each namespace.
//!
//! A process that lives for milliseconds should not start a runtime. Requests of a batch leave in one system call
//! and the kernel has done them all when that call returns; only then is the acknowledgement read.
//!
//! [`apply`] and [`observe`] do all there is to do; [`nics`], [`is_clear`] and [`seen_whole`] see what is mostly enough
//! without looking at everything; [`remover`] removes a pair without waiting for what comes after it.

mod arrival;
mod glance;
pub mod remover;
mod socket;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::AsFd,
    path::Path,
};

use arrival::Arrivals;
use socket::Socket;

pub use glance::{Nics, is_clear, nics, seen_whole};

pub use super::run::{ApplyError, ObserveError, Refused};
use super::{
    decode::SeenLink,
    encode::{self, Names},
    netns, program,
    run::{self, Way, already_gone, link_of, taken_up, way},
    snapshot::Snapshot,
    sysctl,
};
use crate::{
    desired::{desired, desired_eni},
    name,
    op::{Change, NetOp},
    pod::{EniNet, HostFacts, PodNet},
    select,
    state::{LinkKind, NetState, Place, Program, Side},
};

/// Makes changes, the host's in the calling thread's namespace, the pod's in `netns`. When one is refused, those
/// before it are undone and nothing of the list is left; removals of what is not there are no errors.
pub fn apply(netns: &Path, ops: &[NetOp]) -> Result<(), ApplyError> {
    let mut kernel = Kernel::open(Some(netns))?;
    kernel.expected = arrival::expected(ops);
    let mut done = Vec::new();
    for run in run::runs(ops) {
        let refused = kernel.run(run, &mut done);
        if let Some(refused) = refused.into_iter().next() {
            return Err(ApplyError::Refused { refused, left: kernel.undo(&done) });
        }
    }
    kernel.settle(ops);
    Ok(())
}

/// Makes changes as far as they can be made: for teardown, where one refusal must not keep the rest. Without
/// `netns`, or when it is gone, the pod's changes are passed over: they went with the namespace. Returns what was
/// refused.
pub fn apply_all(netns: Option<&Path>, ops: &[NetOp]) -> Result<Vec<Refused>, ApplyError> {
    let netns = netns.filter(|path| path.exists());
    let ops: Vec<NetOp> =
        ops.iter().filter(|op| netns.is_some() || op.place == Place::Host).cloned().collect();
    let mut kernel = Kernel::open(netns)?;
    let mut done = Vec::new();
    Ok(run::runs(&ops).into_iter().flat_map(|run| kernel.run(run, &mut done)).collect())
}

/// What is there of a pod: on the host, and in `netns` where it is given. Settings are read as far as the pod's
/// desired state names them.
pub fn observe(netns: Option<&Path>, pod: &PodNet, facts: &HostFacts) -> Result<NetState, ObserveError> {
    let host_name = name::host_veth_name(&pod.pod, &pod.ifname);
    // Without its ENI a pod has no desired state, but can be taken down.
    let wanted = desired(pod, facts).unwrap_or_default();
    let mut host = snapshot_here(Place::Host)?;
    let mut state = NetState::default();
    if let Some(path) = netns {
        let open =
            netns::open(path).map_err(|source| ObserveError::Namespace { place: Place::Pod, source })?;
        let keys = &wanted.pod.sysctls;
        let look = || {
            let mut socket = Socket::open()?;
            Ok((socket.snapshot()?, sysctl::read_all(keys.keys())?))
        };
        let (mut inside, sysctls) = netns::visit(open.as_fd(), look)
            .map_err(|source| ObserveError::Dump { place: Place::Pod, source })?;
        Snapshot::join(&mut host, &host_name, &mut inside, &pod.ifname);
        state.pod = select::inside(inside.side(), pod);
        state.pod.sysctls = sysctls;
    }
    let ips: Vec<IpAddr> = pod.ips.iter().collect();
    state.host = select::of_pod(host.side(), &host_name, &ips);
    state.host.sysctls = read_here(&wanted.host)?;
    state.host.programs = programs_here(&wanted.host, &host)?;
    Ok(state)
}

/// What is there of an ENI.
pub fn observe_eni(eni: &EniNet, facts: &HostFacts) -> Result<Side, ObserveError> {
    let Some(link) = facts.enis.get(&eni.mac) else { return Ok(Side::default()) };
    let host = snapshot_here(Place::Host)?;
    let gateways: Vec<IpAddr> = eni.gateway.iter().collect();
    let mut side = select::of_eni(host.side(), &link.name, &gateways);
    let wanted = desired_eni(eni, facts).unwrap_or_default();
    side.sysctls = read_here(&wanted)?;
    side.programs = programs_here(&wanted, &host)?;
    // Where a veth stands in for hardware, it is an interface like any other.
    for link in side.links.values_mut() {
        link.kind = LinkKind::Nic;
    }
    Ok(side)
}

/// All that is in the calling thread's namespace, settings apart.
pub fn observe_all() -> Result<Side, ObserveError> {
    Ok(snapshot_here(Place::Host)?.side().clone())
}

/// The node's facts, of the calling thread's namespace.
pub fn host_facts() -> Result<HostFacts, ObserveError> {
    Ok(snapshot_here(Place::Host)?.facts())
}

fn snapshot_here(place: Place) -> Result<Snapshot, ObserveError> {
    let mut socket = Socket::open().map_err(|source| ObserveError::Namespace { place, source })?;
    socket.snapshot().map_err(|source| ObserveError::Dump { place, source })
}

fn read_here(wanted: &Side) -> Result<BTreeMap<String, u32>, ObserveError> {
    let read = sysctl::read_all(wanted.sysctls.keys());
    read.map_err(|source| ObserveError::Dump { place: Place::Host, source })
}

fn programs_here(wanted: &Side, host: &Snapshot) -> Result<BTreeSet<Program>, ObserveError> {
    let seen = program::seen(&wanted.programs, |dev| host.index(dev));
    seen.map_err(|source| ObserveError::Dump { place: Place::Host, source })
}

/// Both namespaces, open for changes.
struct Kernel {
    host: Socket,
    netns: Option<File>,
    /// Opened at the first change inside, on the one visit that is made for it.
    pod: Option<Socket>,
    /// IPv6 addresses that the pod gets, and who listens for them.
    expected: BTreeSet<Ipv6Addr>,
    arrivals: Option<Arrivals>,
    /// Indexes of links that were asked for.
    indexes: BTreeMap<(Place, String), u32>,
}

impl Kernel {
    fn open(netns: Option<&Path>) -> Result<Self, ApplyError> {
        let reach = |place| move |source| ApplyError::Namespace { place, source };
        let host = Socket::open().map_err(reach(Place::Host))?;
        let netns = netns.map(netns::open).transpose().map_err(reach(Place::Pod))?;
        let (expected, indexes) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self { host, netns, pod: None, expected, arrivals: None, indexes })
    }

    /// Goes inside and writes settings; whatever else must be done there is done on the first visit.
    fn visit(&mut self, settings: &[NetOp]) -> io::Result<Vec<io::Result<Option<u32>>>> {
        let netns = self.netns.as_ref().ok_or_else(no_netns)?;
        let (first, expected) = (self.pod.is_none(), &self.expected);
        let (opened, written) = netns::visit(netns.as_fd(), || {
            let socket = first.then(Socket::open).transpose()?;
            let listen = || Arrivals::listen(expected.clone());
            let arrivals = (first && !expected.is_empty()).then(listen).transpose()?;
            Ok(((socket, arrivals), settings.iter().map(write_setting).collect()))
        })?;
        if let (Some(socket), arrivals) = opened {
            (self.pod, self.arrivals) = (Some(socket), arrivals);
        }
        Ok(written)
    }

    /// Indexes of the links that a run names.
    fn learn(&mut self, place: Place, run: &[NetOp]) -> io::Result<()> {
        let names = run.iter().filter_map(link_of);
        let unknown: Vec<&str> =
            names.filter(|name| !self.indexes.contains_key(&(place, (*name).to_string()))).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let found = self.socket(place)?.indexes(unknown)?;
        self.indexes.extend(found.into_iter().map(|(name, index)| ((place, name), index)));
        Ok(())
    }

    fn socket(&mut self, place: Place) -> io::Result<&mut Socket> {
        match place {
            Place::Host => Ok(&mut self.host),
            Place::Pod => self.pod.as_mut().ok_or_else(no_netns),
        }
    }

    /// Sends a run; what was done goes into `done`, and what was refused is returned. A later change of a batch is
    /// done although an earlier one was refused, so it is in `done` too.
    fn run(&mut self, run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
        match run.first().map(way) {
            Some(Way::Setting) => self.settings(run, done),
            Some(Way::Program) => self.programs(run, done),
            _ => self.batch(run, done),
        }
    }

    fn batch(&mut self, run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
        let place = run[0].place;
        let ready = if place == Place::Pod && self.pod.is_none() {
            self.visit(&[]).and_then(|_| self.learn(place, run))
        } else {
            self.learn(place, run)
        };
        if let Err(error) = ready {
            return Refused::all(run, &error);
        }
        let mut refused = Vec::new();
        let mut sent = Vec::new();
        let index = |dev: &str| self.indexes.get(&(place, dev.to_string())).copied();
        let other = self.netns.as_ref().filter(|_| place == Place::Host).map(AsFd::as_fd);
        let names = Names { index: &index, other };
        for op in run {
            match encode::request(&op.change, &names) {
                Ok(Some(packet)) => sent.push((op, packet)),
                Ok(None) => {}
                // The link of a removal is gone, and what was on it.
                Err(encode::EncodeError::NoLink(_)) if is_removal(op) => {}
                Err(error) => refused.push(Refused::new(op, io::Error::other(error))),
            }
        }
        // Links that come and go have other indexes afterwards, and their other ends with them.
        if run.iter().any(|op| is_birth(op) || matches!(op.change, Change::DelLink { .. })) {
            self.indexes.clear();
        }
        let (ops, packets): (Vec<&NetOp>, Vec<_>) = sent.into_iter().unzip();
        match self.socket(place).and_then(|socket| socket.exchange(packets)) {
            Err(error) => refused.extend(Refused::all(run, &error)),
            Ok((answers, echoes)) => {
                for (op, link) in run.iter().filter(|op| is_birth(op)).zip(echoes) {
                    self.note_birth(op, &link);
                }
                for (op, answer) in ops.into_iter().zip(answers) {
                    match answer {
                        Ok(()) => done.push(op.clone()),
                        Err(error) if already_gone(op, &error) => {}
                        Err(error) => refused.push(Refused::new(op, error)),
                    }
                }
            }
        }
        refused
    }

    /// A new pair is told with both indexes, so neither end has to be asked for. Where it is not told (before Linux
    /// 6.2), they are.
    fn note_birth(&mut self, birth: &NetOp, seen: &SeenLink) {
        let Change::AddVeth { name, link, .. } = &birth.change else { return };
        let LinkKind::Veth { peer: Some(other) } = &link.kind else { return };
        if let Some(peer) = seen.peer.filter(|_| seen.name == *name) {
            self.indexes.insert((birth.place, name.clone()), seen.index);
            self.indexes.insert((birth.place.other(), other.clone()), peer);
        }
    }

    fn programs(&mut self, run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
        let place = run[0].place;
        if let Err(error) = self.learn(place, run) {
            return Refused::all(run, &error);
        }
        program::run(run, |dev| self.indexes.get(&(place, dev.to_string())).copied(), done)
    }

    fn settings(&mut self, run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
        let place = run[0].place;
        let results = match place {
            Place::Host => Ok(run.iter().map(write_setting).collect()),
            Place::Pod => self.visit(run),
        };
        let results = match results {
            Ok(results) => results,
            Err(error) => return Refused::all(run, &error),
        };
        let mut refused = Vec::new();
        for (op, result) in run.iter().zip(results) {
            match (result, &op.change) {
                (Ok(Some(found)), Change::SetSysctl { key, to, .. }) => {
                    let change = Change::SetSysctl { key: key.clone(), from: Some(found), to: *to };
                    done.push(NetOp::new(place, change));
                }
                (Ok(_), _) => {}
                (Err(error), _) => refused.push(Refused::new(op, error)),
            }
        }
        refused
    }

    /// Waits for links to carry packets, and for addresses to receive them. What is applied stays so when neither can
    /// be asked for.
    fn settle(&mut self, ops: &[NetOp]) {
        for place in [Place::Host, Place::Pod] {
            let index = |dev: &str| self.indexes.get(&(place, dev.to_string())).copied();
            let up: Vec<u32> = taken_up(ops, place).filter_map(index).collect();
            let _ = self.socket(place).and_then(|socket| socket.touch(up.into_iter()));
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.wait();
        }
    }

    /// Takes back what was done, last first, as far as it can be.
    fn undo(&mut self, done: &[NetOp]) -> Vec<Refused> {
        let back: Vec<NetOp> = done.iter().rev().filter_map(NetOp::inverse).collect();
        run::runs(&back).into_iter().flat_map(|run| self.run(run, &mut Vec::new())).collect()
    }
}

fn is_birth(op: &NetOp) -> bool {
    matches!(op.change, Change::AddVeth { .. })
}

fn is_removal(op: &NetOp) -> bool {
    matches!(op.change, Change::Del(_) | Change::DelLink { .. })
}

fn write_setting(op: &NetOp) -> io::Result<Option<u32>> {
    match &op.change {
        Change::SetSysctl { key, to, .. } => sysctl::write(key, *to),
        _ => Ok(None),
    }
}

fn no_netns() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the pod's namespace was not given")
}
