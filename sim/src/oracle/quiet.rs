//! What must hold once faults are healed and nothing new happens.
//!
//! [`pending`] says what still is on its way, for the liveness bound; [`judge`] compares the cloud, the
//! agents and the sandboxes when it is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use terway_agent::{Snapshot, pool::addresses_of};
use terway_chaos::InvariantId;
use terway_core::{
    address::Grain,
    cloud::Eni,
    id::{ContainerId, EniId},
};

use crate::{kernel::Exit, node::SimNode, policy::disagreements, world::World};

/// What the cloud holds and nobody owns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leaks {
    /// ENIs.
    pub enis: u64,
    /// Addresses.
    pub addresses: u64,
}

/// Everything that is not done yet, by object and reason; empty when the cluster is quiet.
pub fn pending(world: &World) -> Vec<String> {
    let mut pending = Vec::new();
    for node in world.nodes() {
        let name = &node.name;
        pending
            .extend(node.pending_pods().into_iter().map(|pod| format!("{name}: pod {pod} has no address")));
        let dels = node.dels.load(Relaxed);
        if dels > 0 {
            pending.push(format!("{name}: {dels} DELs have not succeeded"));
        }
        let Some((agent, _)) = node.agent() else {
            pending.push(format!("{name}: the agent is not serving"));
            continue;
        };
        let snapshot = agent.snapshot();
        pending.extend(snapshot.pending.iter().map(|what| format!("{name}: {what}")));
        pending
            .extend(stale_records(world, &node, &snapshot).into_iter().map(|what| format!("{name}: {what}")));
        pending
            .extend(differences(world, &node, &snapshot).into_iter().map(|what| format!("{name}: {what}")));
        pending.extend(level(&node, &snapshot).into_iter().map(|(_, what)| format!("{name}: {what}")));
        pending.extend(disagreements(world, &node).into_iter().map(|what| format!("{name}: {what}")));
        pending.extend(astray(world, &node).into_iter().map(|what| format!("{name}: {what}")));
    }
    pending.extend(orphans(world).into_iter().map(|eni| format!("{} belongs to no node", eni.id)));
    pending
}

/// Somewhere outside of every VPC, in each family.
const OUTSIDE: (IpAddr, IpAddr) = (
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)),
);

/// Pods whose packets do not leave by the ENI that the cloud gave their address to.
fn astray(world: &World, node: &SimNode) -> Vec<String> {
    let mut astray = Vec::new();
    for (container, sandbox) in world.oracle.on_node(&node.name) {
        for ip in &sandbox.ips {
            let owner = world.cloud.owner_of(*ip).and_then(|(eni, ..)| world.cloud.eni(&eni));
            // An address that nobody has is told of elsewhere.
            let Some(eni) = owner else { continue };
            let to = if ip.is_ipv4() { OUTSIDE.0 } else { OUTSIDE.1 };
            match node.host.look(|kernel| kernel.walk(&container, *ip, to)) {
                Ok(Exit::Nic(mac)) if mac == eni.mac => {}
                Ok(exit) => {
                    astray.push(format!("{ip} of pod {} leaves by {exit:?}, not by {}", sandbox.pod, eni.id));
                }
                Err(why) => astray.push(format!("{ip} of pod {} gets nowhere: {why}", sandbox.pod)),
            }
        }
    }
    astray
}

/// Reports every breach that is left when the liveness bound has passed.
pub fn judge(world: &World) -> Leaks {
    let at = world.trace.now();
    let mut leaks = Leaks::default();
    for node in world.nodes() {
        let name = Some(node.name.as_str());
        for pod in node.pending_pods() {
            let detail = format!("pod {pod} has no address and was not told why for good");
            world.oracle.breach(InvariantId::I16, at, name, detail);
        }
        let dels = node.dels.load(Relaxed);
        if dels > 0 {
            let detail = format!("{dels} DELs have not succeeded");
            world.oracle.breach(InvariantId::I15, at, name, detail);
        }
        let Some((agent, _)) = node.agent() else {
            world.oracle.breach(InvariantId::I16, at, name, "the agent does not serve");
            continue;
        };
        let snapshot = agent.snapshot();
        for what in &snapshot.pending {
            world.oracle.breach(InvariantId::I16, at, name, what.clone());
        }
        for what in stale_records(world, &node, &snapshot) {
            leaks.addresses += 1;
            world.oracle.breach(InvariantId::I4, at, name, what);
        }
        for what in differences(world, &node, &snapshot) {
            leaks.addresses += 1;
            world.oracle.breach(InvariantId::I7, at, name, what);
        }
        for what in disagreements(world, &node) {
            world.oracle.breach(InvariantId::I12, at, name, what);
        }
        for (id, what) in level(&node, &snapshot) {
            world.oracle.breach(id, at, name, what);
        }
        for what in astray(world, &node) {
            world.oracle.breach(InvariantId::I16, at, name, what);
        }
    }
    for eni in orphans(world) {
        leaks.enis += 1;
        leaks.addresses += (eni.addresses.v4.len() + eni.addresses.v6.len()) as u64;
        let detail = format!("{} ({:?}, made for {:?}) belongs to no node", eni.id, eni.status, eni.tags);
        world.oracle.breach(InvariantId::I7, at, None, detail);
    }
    leaks
}

/// I3 and I4 while the run goes on: ENIs that nobody tracks for long, and records that outlive their
/// sandbox by more than collection takes.
#[derive(Default)]
pub struct Outliving {
    since: BTreeMap<(String, String), Duration>,
}

impl Outliving {
    /// Longest that a record may outlive its sandbox: two passes of the collector, the retries of a DEL,
    /// and a restart of the agent in between, with room to spare.
    const BOUND: Duration = Duration::from_secs(300);
    /// Longest that an ENI may be tracked by nobody.
    const UNTRACKED: Duration = Duration::from_secs(600);

    /// Looks at every node; call each minute.
    pub fn look(&mut self, world: &World) {
        let now = world.trace.now();
        let mut seen = BTreeMap::new();
        for node in world.nodes() {
            let Some((agent, _)) = node.agent() else { continue };
            // The API server must be asked before anything is freed, so nothing is due without it.
            if world.api_faulty() || node.incarnation_age() < Self::BOUND {
                continue;
            }
            self.untracked(world, &node, &agent, &mut seen);
            let (counts, _) = agent.levels();
            if counts.assigned as usize == world.oracle.on_node(&node.name).len() {
                continue;
            }
            for what in stale_records(world, &node, &agent.snapshot()) {
                let key = (node.name.to_string(), what);
                let since = self.since.get(&key).copied().unwrap_or(now);
                if now.saturating_sub(since) > Self::BOUND {
                    world.oracle.breach(InvariantId::I4, now, Some(node.name.as_str()), key.1.clone());
                }
                seen.insert(key, since);
            }
        }
        self.since = seen;
    }

    fn untracked(
        &self,
        world: &World,
        node: &SimNode,
        agent: &terway_agent::Agent,
        seen: &mut BTreeMap<(String, String), Duration>,
    ) {
        let now = world.trace.now();
        for eni in world.cloud.ours_tagged(&node.instance) {
            if agent.knows(&eni.id) || node.disk.was_lost() || agent.snapshot().creating > 0 {
                continue;
            }
            let key = (node.name.to_string(), eni.id.to_string());
            let since = self.since.get(&key).copied().unwrap_or(now);
            if now.saturating_sub(since) > Self::UNTRACKED {
                let detail = format!("{} ({:?}) is tracked by nobody for 10 min", eni.id, eni.status);
                world.oracle.breach(InvariantId::I3, now, Some(node.name.as_str()), detail);
            }
            seen.insert(key, since);
        }
    }
}

/// I4: records whose sandbox is gone.
fn stale_records(world: &World, node: &SimNode, snapshot: &Snapshot) -> Vec<String> {
    let alive: BTreeSet<ContainerId> =
        world.oracle.on_node(&node.name).into_iter().map(|(id, _)| id).collect();
    snapshot
        .allocations
        .iter()
        .filter(|allocation| allocation.container.as_ref().is_none_or(|id| !alive.contains(id)))
        .map(|allocation| {
            format!(
                "{} is still recorded for pod {} (sandbox {:?}), which is gone",
                allocation.ips, allocation.pod, allocation.container
            )
        })
        .collect()
}

/// I7: the cloud's state is what the agent knows.
fn differences(world: &World, node: &SimNode, snapshot: &Snapshot) -> Vec<String> {
    let theirs: BTreeMap<EniId, Arc<Eni>> =
        world.cloud.ours_tagged(&node.instance).into_iter().map(|eni| (eni.id.clone(), eni)).collect();
    let mut found = Vec::new();
    for eni in &snapshot.enis {
        let Some(cloud) = theirs.get(&eni.id) else {
            found.push(format!("the agent knows {}, which the cloud does not have", eni.id));
            continue;
        };
        let ours = addresses(&eni.addresses.v4, &eni.addresses.v6, &eni.addresses.prefixes);
        let held = addresses(&cloud.addresses.v4, &cloud.addresses.v6, &cloud.addresses.prefixes);
        for ip in held.difference(&ours) {
            found.push(format!("{ip} of {} is not known to the agent", eni.id));
        }
        for ip in ours.difference(&held) {
            found.push(format!("the agent knows {ip} of {}, which the cloud does not have", eni.id));
        }
    }
    let known: BTreeSet<&EniId> = snapshot.enis.iter().map(|eni| &eni.id).collect();
    let unknown = theirs.values().filter(|eni| !known.contains(&eni.id));
    found.extend(unknown.map(|eni| format!("{} ({:?}) is not known to the agent", eni.id, eni.status)));
    found
}

fn addresses(
    v4: &[std::net::Ipv4Addr],
    v6: &[std::net::Ipv6Addr],
    prefixes: &[ipnet::Ipv4Net],
) -> BTreeSet<IpAddr> {
    let singles = v4.iter().copied().chain(prefixes.iter().copied().flat_map(addresses_of)).map(IpAddr::V4);
    singles.chain(v6.iter().copied().map(IpAddr::V6)).collect()
}

/// I9 and I17: the idle pool is within its bounds, and what the agent tells adds up.
fn level(node: &SimNode, snapshot: &Snapshot) -> Vec<(InvariantId, String)> {
    let mut found = Vec::new();
    let (_, max, threshold) = snapshot.bounds;
    let grain = if snapshot.enis.iter().any(|eni| !eni.addresses.prefixes.is_empty()) {
        Grain::Prefix
    } else {
        Grain::Address
    };
    // Primary addresses stay with their ENI, and a prefix leaves whole or not at all.
    let stuck = match grain {
        Grain::Address => snapshot.enis.len() as u32,
        Grain::Prefix => snapshot.enis.len() as u32 * 2 * 16 + 16 * snapshot.counts.assigned,
    };
    if snapshot.idle > max + stuck {
        found.push((InvariantId::I9, format!("{} addresses idle; at most {max} are wanted", snapshot.idle)));
    }
    let taken = snapshot.counts.assigned + snapshot.counts.cooling;
    let reachable = snapshot.capacity.saturating_sub(taken).min(threshold);
    if snapshot.idle < reachable && node.pending_pods().is_empty() {
        found.push((
            InvariantId::I9,
            format!("{} addresses idle; at least {reachable} are wanted", snapshot.idle),
        ));
    }
    let records = snapshot.allocations.len() as u32;
    if records != snapshot.counts.assigned {
        let assigned = snapshot.counts.assigned;
        found.push((
            InvariantId::I17,
            format!("{records} allocations are recorded but {assigned} addresses assigned"),
        ));
    }
    found
}

/// ENIs of ours whose instance is gone.
fn orphans(world: &World) -> Vec<Arc<Eni>> {
    let instances: BTreeSet<String> = world.nodes().iter().map(|node| node.instance.to_string()).collect();
    let tag = terway_core::cloud::TAG_INSTANCE;
    world
        .cloud
        .all_ours()
        .into_iter()
        .filter(|eni| !eni.tags.iter().any(|(key, value)| key == tag && instances.contains(value)))
        .collect()
}
