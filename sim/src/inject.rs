//! Carries out a schedule of faults, and heals everything when the fault phase is over.

pub mod translate;

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use terway_chaos::{Fault, FaultKind, Schedule, Target, draw};
use terway_core::{cloud::EniStatus, id::VSwitchId};
use tokio::time::{Instant, sleep};

use crate::{
    apiserver::{self, EmptyList},
    cloud::MetadataFault,
    disk::CrashFaults,
    node::SimNode,
    root, time,
    world::{World, lock, runtime_faults},
};

/// Recovery is not followed for longer than this.
const FOLLOWED: Duration = Duration::from_secs(900);

/// A slowed call may be applied this long after it was made.
const SLOWEST: Duration = Duration::from_secs(180);

/// Strikes with every fault of the schedule at its time, until the run settles.
pub async fn run(world: Arc<World>, schedule: Schedule, begun: Instant) {
    for fault in schedule.faults().to_vec() {
        time::sleep_until(begun + fault.at).await;
        if world.drains() {
            return;
        }
        let targets = targets(&world, &fault);
        world.trace.event(fault.target.node().unwrap_or(""), format_args!("FAULT {}", fault.story()));
        world.record(|recorder, at| recorder.fault(at, fault.kind.name()));
        let world = world.clone();
        root::spawn(async move {
            strike(&world, &fault, &targets).await;
            sleep(fault.lasts).await;
            if !world.drains() {
                relieve(&world, &fault, &targets);
            }
            follow(&world, &fault, &targets).await;
        });
    }
}

/// Nodes that a fault strikes, where it strikes nodes.
fn targets(world: &World, fault: &Fault) -> Vec<Arc<SimNode>> {
    match &fault.target {
        Target::Node(name) => world.node(&name.as_str().into()).into_iter().collect(),
        Target::Cluster => world.nodes(),
        Target::Zone(zone) => world.nodes().into_iter().filter(|node| node.zone == *zone).collect(),
        Target::CloudAction(_) | Target::VSwitch(_) => Vec::new(),
    }
}

async fn strike(world: &Arc<World>, fault: &Fault, targets: &[Arc<SimNode>]) {
    if let Some(window) = translate::window(fault, targets.first().map(|node| &node.instance)) {
        if matches!(fault.kind, FaultKind::Slow { .. }) {
            world.slow_until(world.trace.now() + fault.lasts + SLOWEST);
        }
        if matches!(fault.kind, FaultKind::Quota { .. }) {
            world.expect_limits(true);
        }
        world.cloud.add_window(window);
        return;
    }
    if let Some(zones) = network(world, fault) {
        world.slow_until(world.trace.now() + fault.lasts + SLOWEST);
        world.profile.network(world, fault, &zones, true);
        return;
    }
    if let FaultKind::Exhausted = fault.kind {
        for id in vswitches(world, &fault.target) {
            world.cloud.exhaust_vswitch(&id, 0);
        }
        return;
    }
    if kubernetes(world, fault, true) {
        world.api_is_faulty(true);
        return;
    }
    for node in targets {
        strike_node(world, fault, node).await;
    }
}

async fn strike_node(world: &Arc<World>, fault: &Fault, node: &Arc<SimNode>) {
    match &fault.kind {
        FaultKind::Crash => node.kill_agent(),
        FaultKind::CrashAtPoint { point, nth } => node.points.arm(point, *nth),
        FaultKind::CrashAtPoll { polls } => {
            if let Some(scope) = node.scope() {
                scope.kill_after(*polls);
            }
        }
        FaultKind::Pause => {
            if let Some(scope) = node.scope() {
                scope.pause(true);
            }
        }
        FaultKind::OomLoop { every } => {
            let end = time::now() + fault.lasts;
            while time::now() < end && !world.drains() {
                node.kill_agent();
                sleep((*every).max(Duration::from_secs(1))).await;
            }
        }
        FaultKind::NodeReboot => reboot(world, node),
        FaultKind::NodeDelete => world.leave(node),
        FaultKind::NodeRecreate => recreate(world, node).await,
        FaultKind::DiskWipe => {
            node.kill_agent();
            node.disk.wipe();
        }
        FaultKind::OutOfBandDetach => {
            let enis = world.cloud.enis_of(&node.instance);
            let ours = world.cloud.ours_tagged(&node.instance);
            let usable = |eni: &&Arc<terway_core::cloud::Eni>| {
                eni.status == EniStatus::InUse && ours.iter().any(|our| our.id == eni.id)
            };
            if let Some(eni) = enis.iter().find(usable) {
                world.oracle.meddled(&eni.id);
                world.cloud.out_of_band_detach(&eni.id);
            }
        }
        FaultKind::LimitChange => {
            world.expect_limits(true);
            world.cloud.limit_change(&node.instance, translate::one_eni_less(node.limits));
        }
        kind if let Some(fault) = translate::metadata(kind) => {
            world.cloud.set_metadata_fault(&node.instance, fault);
        }
        FaultKind::DelLost => runtime_faults(node).del_lost = fault.probability,
        FaultKind::DelLate => runtime_faults(node).del_late = fault.probability,
        FaultKind::DelTwice => runtime_faults(node).del_twice = fault.probability,
        FaultKind::AddKilled => runtime_faults(node).add_killed = fault.probability,
        FaultKind::SandboxRestart => node.restart_sandbox.notify_one(),
        FaultKind::ForceDelete => node.force_delete.notify_one(),
        FaultKind::TornWrite => lock(&node.crash_faults).tear = true,
        FaultKind::LostUnsynced => lock(&node.crash_faults).lose_unsynced = true,
        FaultKind::Eio => node.disk.set_errors(fault.probability),
        FaultKind::SlowFsync { factor } => node.fsync_factor.store(factor.max(1.0) as u64, Relaxed),
        FaultKind::CorruptPage => {
            node.kill_agent();
            node.disk.corrupt();
        }
        FaultKind::ClockStep { by } => node.clock.step(*by),
        _ => {}
    }
}

/// The zones that a fault of the network strikes; nothing for faults of other things.
fn network(world: &World, fault: &Fault) -> Option<Vec<String>> {
    let of_network = fault.kind.traits().target == terway_chaos::kind::TargetKind::Zone;
    of_network.then(|| match &fault.target {
        Target::Zone(zone) => vec![zone.clone()],
        _ => world.scenario.zones(),
    })
}

/// Ends what a fault with a duration began.
fn relieve(world: &Arc<World>, fault: &Fault, targets: &[Arc<SimNode>]) {
    if let Some(zones) = network(world, fault) {
        world.profile.network(world, fault, &zones, false);
        return;
    }
    match &fault.kind {
        FaultKind::Quota { .. } => world.expect_limits(false),
        FaultKind::Exhausted => {
            for id in vswitches(world, &fault.target) {
                world.cloud.relieve_vswitch(&id);
            }
        }
        kind if kind.class() == terway_chaos::FaultClass::Kubernetes => {
            kubernetes(world, fault, false);
            world.api_is_faulty(false);
        }
        _ => {}
    }
    for node in targets {
        match &fault.kind {
            FaultKind::Pause => {
                if let Some(scope) = node.scope() {
                    scope.pause(false);
                }
            }
            FaultKind::LimitChange => {
                world.cloud.limit_change(&node.instance, node.limits);
                world.expect_limits(false);
            }
            kind if translate::metadata(kind).is_some() => {
                world.cloud.set_metadata_fault(&node.instance, MetadataFault::default());
            }
            FaultKind::DelLost => runtime_faults(node).del_lost = 0.0,
            FaultKind::DelLate => runtime_faults(node).del_late = 0.0,
            FaultKind::DelTwice => runtime_faults(node).del_twice = 0.0,
            FaultKind::AddKilled => runtime_faults(node).add_killed = 0.0,
            FaultKind::TornWrite => lock(&node.crash_faults).tear = false,
            FaultKind::LostUnsynced => lock(&node.crash_faults).lose_unsynced = false,
            FaultKind::Eio => node.disk.set_errors(0.0),
            FaultKind::SlowFsync { .. } => node.fsync_factor.store(1, Relaxed),
            _ => {}
        }
    }
}

/// The end of the fault phase: nothing is wrong any more, whatever was.
pub fn heal(world: &World) {
    world.cloud.heal();
    world.profile.heal();
    for id in vswitches(world, &Target::Cluster) {
        world.cloud.relieve_vswitch(&id);
    }
    world.api.heal();
    for node in world.nodes() {
        node.points.disarm();
        *runtime_faults(&node) = crate::node::RuntimeFaults::default();
        *lock(&node.crash_faults) = CrashFaults::default();
        node.disk.set_errors(0.0);
        node.fsync_factor.store(1, Relaxed);
        world.cloud.limit_change(&node.instance, node.limits);
        if let Some(scope) = node.scope() {
            scope.pause(false);
            scope.kill_after(u64::MAX / 2);
        }
    }
}

/// Waits until everything that was pending on the struck nodes when the fault ended is done.
async fn follow(world: &World, fault: &Fault, targets: &[Arc<SimNode>]) {
    let nodes = if targets.is_empty() { world.nodes() } else { targets.to_vec() };
    let mut left: Vec<(Arc<SimNode>, Vec<String>)> =
        nodes.into_iter().map(|node| (node.clone(), node.pending_pods())).collect();
    let begun = time::now();
    loop {
        left.retain_mut(|(node, pods)| {
            let now = node.pending_pods();
            pods.retain(|pod| now.contains(pod));
            !node.gone.load(Relaxed) && (!pods.is_empty() || node.agent().is_none())
        });
        if left.is_empty() {
            world.record(|recorder, _| recorder.recovered(fault.kind.name(), time::since(begun)));
            return;
        }
        if time::since(begun) > FOLLOWED {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn reboot(world: &World, node: &SimNode) {
    node.boots.fetch_add(1, Relaxed);
    let before = *lock(&node.crash_faults);
    // The kernel's page cache goes with the machine.
    node.disk.crash(CrashFaults { lose_unsynced: true, ..before });
    node.kill_agent();
    node.host.reboot();
    node.maps.clear();
    node.clock.reboot();
    world.oracle.node_down(world.trace.now(), &node.name);
    node.rebooted.notify_waiters();
}

async fn recreate(world: &Arc<World>, node: &Arc<SimNode>) {
    let index = terway_chaos::shrink::trailing_number(node.name.as_str());
    world.leave(node);
    let away = draw::hash(world.seed, "away", node.instance.as_str()) % 90;
    sleep(Duration::from_secs(20 + away)).await;
    if let Some(index) = index
        && !world.drains()
        && world.node(&node.name).is_none()
        && let Err(error) = world.join(index)
    {
        world.trace.event(node.name.as_str(), format_args!("cannot join: {error}"));
    }
}

fn vswitches(world: &World, target: &Target) -> Vec<VSwitchId> {
    match target {
        Target::VSwitch(id) => vec![id.as_str().into()],
        _ => world.agent_config().vswitches.into_values().flatten().collect(),
    }
}

/// Sets or clears a fault of the API server. False when the kind is of another class.
fn kubernetes(world: &World, fault: &Fault, on: bool) -> bool {
    let target = match &fault.target {
        Target::Node(name) => apiserver::Target::Client(name),
        _ => apiserver::Target::All,
    };
    let p = if on { fault.probability } else { 0.0 };
    let change: Box<dyn FnOnce(&mut apiserver::Faults)> = match &fault.kind {
        FaultKind::WatchDrop => {
            if on {
                world.api.drop_watches(target);
            }
            return true;
        }
        FaultKind::ApiUnreachable => Box::new(move |faults| faults.outage = on),
        FaultKind::ApiSlow { factor } => {
            let factor = if on { *factor } else { 1.0 };
            Box::new(move |faults| faults.slow_factor = factor)
        }
        FaultKind::EmptyList => {
            let lie = if on { EmptyList::UntilCleared } else { EmptyList::Off };
            Box::new(move |faults| faults.empty_list = lie)
        }
        FaultKind::WatchLag { lag } => {
            let lag = if on { *lag } else { Duration::ZERO };
            Box::new(move |faults| faults.watch_lag = lag)
        }
        FaultKind::WatchDuplicate => Box::new(move |faults| faults.watch_duplicate = p),
        FaultKind::ApiConflict => Box::new(move |faults| faults.conflict = p),
        FaultKind::ApiThrottle => Box::new(move |faults| faults.throttle = p),
        _ => return false,
    };
    world.api.update_faults(target, change);
    true
}
