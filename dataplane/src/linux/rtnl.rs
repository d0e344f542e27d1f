//! The agent's side: rtnetlink, asynchronous, on the namespace that the connection was opened in.
//!
//! The agent never enters a pod. It sets up ENIs as they appear, gives live pods back what was taken from them,
//! and removes what belongs to no pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
};

use futures::{StreamExt, future::join_all};
use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage as Message;
use rtnetlink::{Handle, MulticastGroup};
use terway_core::{host::Endpoint, id::Mac};
use tokio::{
    sync::{Notify, watch},
    time::{Duration, sleep},
};

use super::{
    encode::{self, EncodeError, Names, Packet},
    program,
    run::{self, ApplyError, ObserveError, Refused, Way, already_gone, link_of, taken_up, way},
    snapshot::Snapshot,
    sysctl,
};
use crate::{
    desired::{DesiredError, desired, desired_eni},
    difference,
    op::{Change, NetOp},
    orphan::{self, Owners, PodIf, Repairs},
    pod::{EniNet, HostFacts, PodNet},
    select,
    state::{LinkKind, Place, Side},
};

/// How often a dump is begun anew because the state changed under it or another dump was under way. With
/// [`DUMP_PAUSE`] in between: a quarter of a second, many times what dumps of a full node take.
const DUMP_ATTEMPTS: usize = 128;
/// How long another dump is given to end.
const DUMP_PAUSE: Duration = Duration::from_millis(2);

/// What the kernel is asked to tell of.
const NOTICES: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// What carries messages to and from the kernel: to be run as a task for as long as the [`Kernel`] is used.
pub type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The host's kernel.
#[derive(Clone)]
pub struct Kernel {
    handle: Handle,
    /// Counts changes of links: each who waits sees each change.
    links: watch::Receiver<u64>,
    /// Links, routes or rules have changed.
    drift: Arc<Notify>,
}

/// Why the agent could not do what it wanted.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The state was not seen.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// No state can be wanted.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// The kernel refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The ENI is not there, or left while it was worked on: no failure of anything else.
    #[error("eni {mac} is not on the node, or has just left it; it is set up when it appears")]
    EniGone {
        /// Which one.
        mac: Mac,
    },
}

/// What became of the repair of live pods.
#[derive(Debug, Default)]
pub struct Repaired {
    /// What each was given back.
    pub done: BTreeMap<PodIf, Vec<NetOp>>,
    /// Those that could not be repaired and why; of these nothing was changed.
    pub unable: Vec<(PodIf, KernelError)>,
}

/// What became of changes that were made as far as they could be.
#[derive(Debug, Default)]
pub struct Applied {
    /// Those that were made. A removal of what had gone by itself is in neither list.
    pub done: Vec<NetOp>,
    /// Those that the kernel refused.
    pub refused: Vec<Refused>,
}

impl Kernel {
    /// Opens the calling thread's namespace. Within a tokio runtime.
    pub fn open() -> io::Result<(Self, Connection)> {
        let (mut requests, handle, _) = rtnetlink::new_connection()?;
        // By default the end of an answer and the end of the connection look the same.
        requests.set_forward_done(true);
        requests.set_forward_ack(true);
        let (events, _, mut messages) = rtnetlink::new_multicast_connection(&NOTICES)?;
        let (changed, links) = watch::channel(0);
        let drift = Arc::new(Notify::new());
        let drifted = Arc::clone(&drift);
        let listen = async move {
            while let Some((message, _)) = messages.next().await {
                // An overrun has lost some: whoever waits looks at the kernel anyway.
                match message.payload {
                    NetlinkPayload::InnerMessage(it) if !it.is_new_link() && !it.is_del_link() => {}
                    _ => changed.send_modify(|count: &mut u64| *count += 1),
                }
                drifted.notify_one();
            }
        };
        let connection = async move {
            futures::join!(requests, events, listen);
        };
        Ok((Self { handle, links, drift }, Box::pin(connection)))
    }

    /// The node's facts.
    pub async fn facts(&self) -> Result<HostFacts, ObserveError> {
        Ok(self.snapshot().await?.facts())
    }

    /// All that is on the host. Settings are read as far as `keys` names them.
    pub async fn observe(&self, keys: impl IntoIterator<Item = &String>) -> Result<Side, ObserveError> {
        let mut side = self.snapshot().await?.side().clone();
        side.sysctls =
            sysctl::read_all(keys).map_err(|source| ObserveError::Dump { place: Place::Host, source })?;
        Ok(side)
    }

    /// Makes an ENI what it is to be; returns the changes made, none when it was that already.
    pub async fn set_up(&self, eni: &EniNet) -> Result<Vec<NetOp>, KernelError> {
        let facts = self.facts().await?;
        self.set_up_seen(eni, &facts).await
    }

    /// As [`Self::set_up`], by facts that were seen before, for several ENIs say. One that has left since is told
    /// as gone, whatever the kernel refused because of it.
    pub async fn set_up_seen(&self, eni: &EniNet, facts: &HostFacts) -> Result<Vec<NetOp>, KernelError> {
        let wanted = match desired_eni(eni, facts) {
            Err(DesiredError::NoEni { mac, .. }) => return Err(KernelError::EniGone { mac }),
            wanted => wanted?,
        };
        let actual = self.observe_eni(eni, facts).await?;
        let ops = difference::repair_eni(&actual, &wanted);
        match self.apply(&ops).await {
            Err(_) if !self.is_there(eni.mac).await? => Err(KernelError::EniGone { mac: eni.mac }),
            outcome => Ok(outcome.map(|()| ops)?),
        }
    }

    /// Takes from an ENI what [`Self::set_up`] gave it. One that has left the node took it along.
    pub async fn tear_down(&self, eni: &EniNet) -> Result<Vec<NetOp>, KernelError> {
        let facts = self.facts().await?;
        if !facts.enis.contains_key(&eni.mac) {
            return Ok(Vec::new());
        }
        let wanted = desired_eni(eni, &facts)?;
        let actual = self.observe_eni(eni, &facts).await?;
        let ops = difference::take_back(&actual, &wanted);
        match self.apply(&ops).await {
            Err(_) if !self.is_there(eni.mac).await? => Ok(Vec::new()),
            outcome => Ok(outcome.map(|()| ops)?),
        }
    }

    async fn is_there(&self, mac: Mac) -> Result<bool, ObserveError> {
        Ok(self.facts().await?.enis.contains_key(&mac))
    }

    /// What live pods lack on the host.
    pub async fn lacking(&self, pods: &[PodNet]) -> Result<Repairs, ObserveError> {
        let snapshot = self.snapshot().await?;
        let facts = snapshot.facts();
        let mut host = snapshot.side().clone();
        let (mut keys, mut programs) = (BTreeMap::new(), BTreeSet::new());
        for wanted in pods.iter().filter_map(|pod| desired(pod, &facts).ok()) {
            keys.extend(wanted.host.sysctls);
            programs.extend(wanted.host.programs);
        }
        let unseen = |source| ObserveError::Dump { place: Place::Host, source };
        host.sysctls = sysctl::read_all(keys.keys()).map_err(unseen)?;
        host.programs = program::seen(&programs, |dev| snapshot.index(dev)).map_err(unseen)?;
        Ok(orphan::repairs(&host, pods, &facts))
    }

    /// Gives live pods back what they lack on the host. Each pod is repaired whole or not at all, and none waits
    /// for another one's trouble.
    pub async fn repair(&self, pods: &[PodNet]) -> Result<Repaired, ObserveError> {
        let Repairs { ops, unable } = self.lacking(pods).await?;
        let mut repaired = Repaired::default();
        repaired.unable.extend(unable.into_iter().map(|(pod, error)| (pod, error.into())));
        for (pod, ops) in ops {
            match self.apply(&ops).await {
                Ok(()) => {
                    repaired.done.insert(pod, ops);
                }
                Err(error) => repaired.unable.push((pod, error.into())),
            }
        }
        Ok(repaired)
    }

    /// Removes what belongs to no pod and is provably ours. A refusal keeps nothing else from being removed. The
    /// owners are asked for once the kernel has been looked at.
    pub async fn sweep(&self, owners: impl FnOnce() -> Owners + Send) -> Result<Applied, ObserveError> {
        let snapshot = self.snapshot().await?;
        let ops = orphan::orphans(snapshot.side(), &owners());
        Ok(self.apply_all(&ops).await)
    }

    /// Hardware addresses of the node's interfaces, sorted.
    pub async fn nics(&self) -> Result<Vec<Mac>, ObserveError> {
        Ok(self.snapshot().await?.nics())
    }

    /// Host ends of pods with the addresses that are routed to them, sorted by name.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, ObserveError> {
        let snapshot = self.snapshot().await?;
        let mut endpoints = select::endpoints(snapshot.side());
        for endpoint in &mut endpoints {
            endpoint.index = snapshot.index(&endpoint.link).unwrap_or_default();
        }
        Ok(endpoints)
    }

    /// Resolves when the node's interfaces are others than these. A pod's links come and go without being told.
    pub async fn nics_changed(&self, seen: &[Mac]) -> Result<(), ObserveError> {
        let mut links = self.links.clone();
        loop {
            links.borrow_and_update();
            if self.nics().await? != seen {
                return Ok(());
            }
            // Without the connection's task nothing is ever told.
            if links.changed().await.is_err() {
                return Err(ObserveError::Dump { place: Place::Host, source: closed() });
            }
        }
    }

    /// Resolves when links, routes or rules have changed since the last call, or may have.
    pub async fn drifted(&self) {
        self.drift.notified().await;
    }

    /// What is there of an ENI.
    pub async fn observe_eni(&self, eni: &EniNet, facts: &HostFacts) -> Result<Side, ObserveError> {
        let Some(link) = facts.enis.get(&eni.mac) else { return Ok(Side::default()) };
        let wanted = desired_eni(eni, facts).unwrap_or_default();
        let host = self.observe(wanted.sysctls.keys()).await?;
        let gateways: Vec<IpAddr> = eni.gateway.iter().collect();
        let mut side = select::of_eni(&host, &link.name, &gateways);
        side.programs = program::seen(&wanted.programs, |dev| (dev == link.name).then_some(link.index))
            .map_err(|source| ObserveError::Dump { place: Place::Host, source })?;
        // Where a veth stands in for hardware, it is an interface like any other.
        for link in side.links.values_mut() {
            link.kind = LinkKind::Nic;
        }
        Ok(side)
    }

    /// Makes changes on the host. When one is refused, those before it are undone.
    pub async fn apply(&self, ops: &[NetOp]) -> Result<(), ApplyError> {
        let mut done = Vec::new();
        for run in run::runs(ops) {
            let refused = self.run(run, &mut done).await;
            if let Some(refused) = refused.into_iter().next() {
                let back: Vec<NetOp> = done.iter().rev().filter_map(NetOp::inverse).collect();
                let mut left = Vec::new();
                for run in run::runs(&back) {
                    left.extend(self.run(run, &mut Vec::new()).await);
                }
                return Err(ApplyError::Refused { refused, left });
            }
        }
        // As the plugin's side does; what is applied stays so when they cannot be asked for.
        let _ = self.indexes(taken_up(ops, Place::Host)).await;
        Ok(())
    }

    /// Makes changes on the host as far as they can be made: one refusal keeps none of the others from being tried,
    /// and nothing is undone.
    pub async fn apply_all(&self, ops: &[NetOp]) -> Applied {
        let mut applied = Applied::default();
        for run in run::runs(ops) {
            applied.refused.extend(self.run(run, &mut applied.done).await);
        }
        applied
    }

    async fn run(&self, run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
        let Some(first) = run.first() else { return Vec::new() };
        if first.place == Place::Pod {
            let error = || io::Error::new(io::ErrorKind::Unsupported, "the agent does not enter pods");
            return run.iter().map(|op| Refused::new(op, error())).collect();
        }
        match way(first) {
            Way::Setting => settings(run, done),
            Way::Netlink => self.batch(run, done).await,
            Way::Program => match self.indexes(run.iter().filter_map(link_of)).await {
                Ok(indexes) => program::run(run, |dev| indexes.get(dev).copied(), done),
                Err(error) => Refused::all(run, &error),
            },
        }
    }

    /// Requests are queued in order without waiting in between, and their answers awaited together.
    async fn batch(&self, run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
        let indexes = match self.indexes(run.iter().filter_map(link_of)).await {
            Ok(indexes) => indexes,
            Err(error) => return Refused::all(run, &error),
        };
        let (mut refused, mut waiting) = (Vec::new(), Vec::new());
        {
            let index = |dev: &str| indexes.get(dev).copied();
            let names = Names { index: &index, other: None };
            for op in run {
                let removal = matches!(op.change, Change::Del(_) | Change::DelLink { .. });
                match encode::request(&op.change, &names) {
                    Ok(Some(packet)) => waiting.push(self.answer(op, packet)),
                    Ok(None) => {}
                    Err(EncodeError::NoLink(_)) if removal => {}
                    Err(error) => refused.push(Refused::new(op, io::Error::other(error))),
                }
            }
        }
        for (op, answer) in join_all(waiting).await {
            match answer {
                Ok(()) => done.push(op.clone()),
                Err(error) if already_gone(op, &error) => {}
                Err(error) => refused.push(Refused::new(op, error)),
            }
        }
        refused
    }

    /// Sends a request at once; the future is its answer.
    fn answer<'a>(
        &self,
        op: &'a NetOp,
        packet: Packet,
    ) -> impl Future<Output = (&'a NetOp, io::Result<()>)> + use<'a> {
        let stream = self.handle.clone().request(packet);
        async move {
            let mut stream = match stream {
                Ok(stream) => stream,
                Err(error) => return (op, Err(io::Error::other(error))),
            };
            while let Some(message) = stream.next().await {
                if let NetlinkPayload::Error(error) = message.payload {
                    return (op, error.code.map_or(Ok(()), |_| Err(error.to_io())));
                }
            }
            (op, Err(closed()))
        }
    }

    async fn indexes<'a>(&self, names: impl Iterator<Item = &'a str>) -> io::Result<BTreeMap<String, u32>> {
        let mut indexes = BTreeMap::new();
        for name in names {
            if indexes.contains_key(name) {
                continue;
            }
            let mut stream = self.handle.clone().request(encode::get_link(name)).map_err(io::Error::other)?;
            match stream.next().await.ok_or_else(closed)?.payload {
                NetlinkPayload::InnerMessage(Message::NewLink(link)) => {
                    indexes.insert(name.to_string(), link.header.index);
                }
                NetlinkPayload::Error(error) if error.raw_code() != -NODEV => return Err(error.to_io()),
                _ => {}
            }
        }
        Ok(indexes)
    }

    async fn snapshot(&self) -> Result<Snapshot, ObserveError> {
        let mut snapshot = Snapshot::default();
        for request in encode::dumps() {
            let dump = self.dump(&request).await;
            let messages = dump.map_err(|source| ObserveError::Dump { place: Place::Host, source })?;
            for message in &messages {
                snapshot.take(message);
            }
        }
        Ok(snapshot)
    }

    async fn dump(&self, request: &Packet) -> io::Result<Vec<Message>> {
        for _ in 0..DUMP_ATTEMPTS {
            // The kernel gives a socket one dump at a time, and other tasks have theirs.
            let Some((messages, whole)) = self.dump_once(request).await? else {
                sleep(DUMP_PAUSE).await;
                continue;
            };
            if whole {
                return Ok(messages);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("the state changed, or the socket was busy, during each of {DUMP_ATTEMPTS} dumps"),
        ))
    }

    /// What was dumped and whether it is whole; none when another dump was under way.
    async fn dump_once(&self, request: &Packet) -> io::Result<Option<(Vec<Message>, bool)>> {
        let mut stream = self.handle.clone().request(request.clone()).map_err(io::Error::other)?;
        let (mut messages, mut whole, mut done) = (Vec::new(), true, false);
        while let Some(message) = stream.next().await {
            whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
            match message.payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message),
                NetlinkPayload::Error(error) if error.raw_code() == -BUSY => return Ok(None),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Done(_) => done = true,
                _ => {}
            }
        }
        if done { Ok(Some((messages, whole))) } else { Err(closed()) }
    }
}

const BUSY: i32 = rustix::io::Errno::BUSY.raw_os_error();
const NODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection is closed; its task has ended")
}

fn settings(run: &[NetOp], done: &mut Vec<NetOp>) -> Vec<Refused> {
    let mut refused = Vec::new();
    for op in run {
        let Change::SetSysctl { key, to, .. } = &op.change else { continue };
        match sysctl::write(key, *to) {
            Ok(None) => {}
            Ok(found) => {
                done.push(NetOp::new(op.place, Change::SetSysctl { key: key.clone(), from: found, to: *to }));
            }
            Err(error) => refused.push(Refused::new(op, error)),
        }
    }
    refused
}
