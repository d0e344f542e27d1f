//! Oracles: what must hold, judged from outside the agent.
//!
//! The truth is the fake cloud's state and the sandboxes that the simulated runtimes really have. What
//! an agent says of itself is only ever compared with that. Breaches are collected, all of them.
//!
//! - here: who has which address (I1, I2, I5, I8), at every event;
//! - [`demand`]: what is asked of the cloud beside what is needed (I6);
//! - [`quiet`]: what must hold once nothing happens any more (I3, I4, I7, I9, I15, I16, I17).

pub mod demand;
pub mod quiet;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand_chacha::ChaCha8Rng;
use terway_chaos::{InvariantId, Severity, Violation, draw};
use terway_core::{
    cloud::EniStatus,
    id::{ContainerId, EniId, InstanceId, NodeName, PodKey, PodUid},
};

use self::demand::Demand;
use crate::cloud::FakeCloud;

/// A sandbox that has an address.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Its node.
    pub node: NodeName,
    /// The instance behind the node.
    pub instance: InstanceId,
    /// Its pod.
    pub pod: PodKey,
    /// Which pod of that name.
    pub uid: PodUid,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

/// All oracles of a run.
pub struct Oracle {
    cooldown: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sandboxes: BTreeMap<ContainerId, Sandbox>,
    by_ip: BTreeMap<IpAddr, ContainerId>,
    by_node: BTreeMap<NodeName, BTreeSet<ContainerId>>,
    /// Addresses whose last pod is gone: which pod, and since when.
    resting: BTreeMap<IpAddr, (PodUid, Duration)>,
    /// ENIs that someone else detached: what happens to their pods is not the agent's doing.
    meddled: BTreeSet<EniId>,
    demand: BTreeMap<InstanceId, Demand>,
    violations: Vec<Violation>,
    duplicates: u64,
    now: Duration,
}

/// More breaches than this of one invariant are counted, not listed: the first ones tell the story.
const MOST_PER_ID: usize = 50;

impl Oracle {
    /// Oracles that know the configured cooldown.
    pub fn new(cooldown: Duration) -> Self {
        Self { cooldown, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a breach.
    pub fn breach(&self, id: InvariantId, at: Duration, node: Option<&str>, detail: impl Into<String>) {
        self.inner().add(Violation::new(id, at, node, detail));
    }

    /// Notes a breach with another severity than the catalogue's.
    pub fn breach_as(
        &self,
        id: InvariantId,
        severity: Severity,
        at: Duration,
        node: Option<&str>,
        detail: impl Into<String>,
    ) {
        self.inner().add(Violation::new(id, at, node, detail).with_severity(severity));
    }

    /// Breaches so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.inner().violations.clone()
    }

    /// How many breaches there are, and whether one of them is fatal.
    pub fn judged(&self) -> (u64, bool) {
        let inner = self.inner();
        let fatal = inner.violations.iter().any(|violation| violation.severity == Severity::Fatal);
        (inner.violations.len() as u64, fatal)
    }

    /// Times an address was in two live sandboxes.
    pub fn duplicates(&self) -> u64 {
        self.inner().duplicates
    }

    /// A sandbox was given addresses and uses them from now on.
    pub fn up(&self, at: Duration, container: &ContainerId, sandbox: Sandbox, cloud: &FakeCloud) {
        let mut inner = self.inner();
        for ip in &sandbox.ips {
            inner.check_given(at, *ip, container, &sandbox, self.cooldown);
            check_carried(&mut inner, at, *ip, &sandbox, cloud);
            inner.resting.remove(ip);
            inner.by_ip.insert(*ip, container.clone());
        }
        inner.by_node.entry(sandbox.node.clone()).or_default().insert(container.clone());
        inner.sandboxes.insert(container.clone(), sandbox);
    }

    /// A sandbox is gone; its addresses rest from now on.
    pub fn down(&self, at: Duration, container: &ContainerId) {
        let mut inner = self.inner();
        let Some(sandbox) = inner.sandboxes.remove(container) else { return };
        if let Some(of_node) = inner.by_node.get_mut(&sandbox.node) {
            of_node.remove(container);
        }
        for ip in &sandbox.ips {
            if inner.by_ip.get(ip) == Some(container) {
                inner.by_ip.remove(ip);
            }
            inner.resting.insert(*ip, (sandbox.uid.clone(), at));
        }
    }

    /// All sandboxes of a node are gone, with or without the machine.
    pub fn node_down(&self, at: Duration, node: &NodeName) {
        let containers: Vec<ContainerId> =
            self.inner().by_node.get(node).into_iter().flatten().cloned().collect();
        for container in containers {
            self.down(at, &container);
        }
    }

    /// Sandboxes alive on a node.
    pub fn on_node(&self, node: &NodeName) -> Vec<(ContainerId, Sandbox)> {
        let inner = self.inner();
        let containers = inner.by_node.get(node).into_iter().flatten();
        containers.filter_map(|id| Some((id.clone(), inner.sandboxes.get(id)?.clone()))).collect()
    }

    /// One of the live sandboxes, drawn.
    pub fn some_sandbox(&self, rng: &mut ChaCha8Rng) -> Option<Sandbox> {
        let inner = self.inner();
        let drawn = IpAddr::V4(
            draw::between(rng, 0, u64::from(u32::MAX))
                .try_into()
                .map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from_bits),
        );
        // The addresses of a run lie close together: any other start finds the first or the last one.
        let (first, last) = (inner.by_ip.keys().next()?, inner.by_ip.keys().next_back()?);
        let start = match (first, last, drawn) {
            (IpAddr::V4(first), IpAddr::V4(last), IpAddr::V4(drawn)) => {
                let span = u64::from(last.to_bits() - first.to_bits()) + 1;
                IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + (u64::from(drawn.to_bits()) % span) as u32))
            }
            _ => *first,
        };
        let container = inner.by_ip.range(start..).next().map(|(_, container)| container)?;
        inner.sandboxes.get(container).cloned()
    }

    /// The live sandbox that has an address.
    pub fn sandbox_at(&self, ip: IpAddr) -> Option<Sandbox> {
        let inner = self.inner();
        inner.sandboxes.get(inner.by_ip.get(&ip)?).cloned()
    }

    /// Someone else is about to detach this ENI.
    pub fn meddled(&self, eni: &EniId) {
        self.inner().meddled.insert(eni.clone());
    }

    /// Whether someone else touched this ENI.
    pub fn is_meddled(&self, eni: &EniId) -> bool {
        self.inner().meddled.contains(eni)
    }

    /// The cloud took addresses away at the agent's word.
    pub fn unassigned(&self, at: Duration, instance: &InstanceId, eni: &EniId, ips: &[IpAddr]) {
        let mut inner = self.inner();
        for ip in ips {
            let Some(container) = inner.by_ip.get(ip).cloned() else { continue };
            let Some(sandbox) = inner.sandboxes.get(&container).cloned() else { continue };
            let detail = format!(
                "{ip} was taken off {eni} by {instance} while pod {} has it in sandbox {container}",
                sandbox.pod
            );
            inner.add(Violation::new(InvariantId::I5, at, Some(sandbox.node.as_str()), detail));
        }
    }

    /// Addresses went away with their instance: nobody's cooldown applies to them any more.
    pub fn forgotten(&self, ips: &[IpAddr]) {
        let mut inner = self.inner();
        for ip in ips {
            inner.resting.remove(ip);
        }
    }

    /// An ENI begins to leave its instance.
    pub fn detaching(&self, at: Duration, eni: &EniId, ips: impl Iterator<Item = IpAddr>) {
        let mut inner = self.inner();
        if inner.meddled.contains(eni) {
            return;
        }
        for ip in ips {
            let Some(container) = inner.by_ip.get(&ip).cloned() else { continue };
            let Some(sandbox) = inner.sandboxes.get(&container).cloned() else { continue };
            let detail = format!("{eni} was detached while pod {} has {ip} on it", sandbox.pod);
            inner.add(Violation::new(InvariantId::I5, at, Some(sandbox.node.as_str()), detail));
        }
    }

    /// Compares what an agent recovered with the sandboxes that were promised their addresses.
    pub fn recovered(&self, at: Duration, node: &NodeName, allocations: &[terway_agent::store::Allocation]) {
        let known: BTreeSet<(&ContainerId, IpAddr)> = allocations
            .iter()
            .filter_map(|allocation| Some((allocation.container.as_ref()?, IpAddr::V4(allocation.ips.v4))))
            .collect();
        let missing: Vec<String> = self
            .on_node(node)
            .into_iter()
            .filter(|(container, sandbox)| {
                sandbox.ips.iter().any(|ip| ip.is_ipv4() && !known.contains(&(container, *ip)))
            })
            .map(|(container, sandbox)| format!("{} (sandbox {container}, {:?})", sandbox.pod, sandbox.ips))
            .collect();
        for pod in missing {
            let detail = format!("after its restart the agent does not know the address of {pod}");
            self.breach(InvariantId::I18, at, Some(node.as_str()), detail);
        }
    }
}

impl Inner {
    fn add(&mut self, violation: Violation) {
        let same = self.violations.iter().filter(|known| known.id == violation.id).count();
        if same < MOST_PER_ID {
            self.violations.push(violation);
        }
        self.now = Duration::ZERO;
    }

    /// I1 and I8: nobody else has it, and its last pod is gone for long enough.
    fn check_given(
        &mut self,
        at: Duration,
        ip: IpAddr,
        container: &ContainerId,
        to: &Sandbox,
        rest: Duration,
    ) {
        if let Some(other) = self.by_ip.get(&ip).filter(|other| *other != container)
            && let Some(holder) = self.sandboxes.get(other)
        {
            let detail = format!(
                "{ip} was given to pod {} (sandbox {container}) while pod {} on {} has it in sandbox {other}",
                to.pod, holder.pod, holder.node
            );
            self.duplicates += 1;
            self.add(Violation::new(InvariantId::I1, at, Some(to.node.as_str()), detail));
        }
        if let Some((uid, since)) = self.resting.get(&ip)
            && *uid != to.uid
            && at < *since + rest
        {
            let detail = format!(
                "{ip} was given to pod {} {:.1} s after its last pod went; the cooldown is {} s",
                to.pod,
                at.saturating_sub(*since).as_secs_f64(),
                rest.as_secs()
            );
            self.add(Violation::new(InvariantId::I8, at, Some(to.node.as_str()), detail));
        }
    }
}

/// I2: the cloud has it on an ENI that is in use on this instance.
fn check_carried(inner: &mut Inner, at: Duration, ip: IpAddr, sandbox: &Sandbox, cloud: &FakeCloud) {
    let node = Some(sandbox.node.as_str());
    match cloud.owner_of(ip) {
        Some((_, EniStatus::InUse, Some(instance))) if instance == sandbox.instance => {}
        Some((eni, ..)) if inner.meddled.contains(&eni) => {}
        Some((eni, status, instance)) => {
            let at_instance = instance.map_or_else(|| "no instance".to_owned(), |id| id.to_string());
            let detail = format!(
                "pod {} was given {ip} of {eni}, which is {status:?} at {at_instance}; the pod is on {}",
                sandbox.pod, sandbox.instance
            );
            inner.add(Violation::new(InvariantId::I2, at, node, detail));
        }
        None => {
            let detail = format!("pod {} was given {ip}, which no ENI carries", sandbox.pod);
            inner.add(Violation::new(InvariantId::I2, at, node, detail));
        }
    }
}
