//! Pods that come and go. Each node has a stream of its own, so that one more node leaves the pods of
//! all others as they were.

use std::{sync::Arc, sync::PoisonError, sync::atomic::Ordering::Relaxed, time::Duration};

use rand_chacha::ChaCha8Rng;
use terway_chaos::draw;
use terway_core::id::PodKey;
use tokio::time::sleep;

use crate::{
    kubelet::{PodRun, PodTask},
    node::SimNode,
    time,
    world::World,
};

/// An exponential time of this mean.
fn exponential(rng: &mut ChaCha8Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - draw::unit(rng)).ln())
}

impl World {
    /// A lifetime for a pod of this node.
    pub fn next_lifetime(&self, node: &SimNode) -> Duration {
        let workload = &self.scenario.workload;
        let mut rng = node.rng.lock().unwrap_or_else(PoisonError::into_inner);
        workload.lifetime_min + exponential(&mut rng, workload.lifetime.saturating_sub(workload.lifetime_min))
    }
}

/// Starts pods on a node until the run settles. `life` numbers the lives of the node's name.
pub async fn run(world: Arc<World>, node: Arc<SimNode>, life: u32) {
    let workload = world.scenario.workload.clone();
    if workload.trace.is_some() || workload.pods_per_node <= 0.0 {
        return;
    }
    let mut rng = draw::stream(world.seed, "workload", &format!("{}#{life}", node.name));
    let mut number = 0u32;
    let want = workload.pods_per_node.min(f64::from(node.room) * 0.9);
    // Steady state of a queue without waiting: arrivals per second × lifetime = pods.
    // StatefulSet pods are there from the start and come back by themselves; the others arrive.
    let gap = workload.lifetime.div_f64((want * (1.0 - workload.stateful)).max(0.01));
    let start = time::now();
    let mut first: Vec<Duration> = (0..want.round() as u32)
        .map(|_| Duration::from_micros((workload.ramp.as_micros() as f64 * draw::unit(&mut rng)) as u64))
        .collect();
    first.sort_unstable();
    for at in first {
        time::sleep_until(start + at).await;
        start_pod(&world, &node, life, &mut number, &mut rng, workload.stateful);
    }
    loop {
        sleep(exponential(&mut rng, gap) + Duration::from_millis(1)).await;
        if world.drains() {
            return;
        }
        start_pod(&world, &node, life, &mut number, &mut rng, 0.0);
    }
}

fn start_pod(
    world: &Arc<World>,
    node: &Arc<SimNode>,
    life: u32,
    number: &mut u32,
    rng: &mut ChaCha8Rng,
    stateful: f64,
) {
    let workload = &world.scenario.workload;
    *number += 1;
    // Drawn in any case, so that a full node does not shift what comes after.
    let stateful = draw::unit(rng) < stateful;
    let lifetime =
        workload.lifetime_min + exponential(rng, workload.lifetime.saturating_sub(workload.lifetime_min));
    if world.drains() || node.pods.load(Relaxed) >= u64::from(node.room) {
        return;
    }
    let name = format!("{}-{life}-{number}", node.name);
    start(world, node, &name, lifetime, stateful, false);
}

/// Starts one pod on a node.
pub fn start(
    world: &Arc<World>,
    node: &Arc<SimNode>,
    name: &str,
    lifetime: Duration,
    stateful: bool,
    burst: bool,
) {
    let namespace = world.law.as_ref().map_or_else(|| "default".to_owned(), |law| law.namespace_of(name));
    let run = PodRun { key: PodKey::new(namespace, name), lifetime, stateful, burst };
    node.machine.run(PodTask::run(world.clone(), node.clone(), run));
}

/// Many pods at one moment.
pub async fn burst(world: Arc<World>) {
    let Some(burst) = world.scenario.workload.burst.clone() else { return };
    sleep(burst.at).await;
    let nodes = world.nodes();
    if nodes.is_empty() {
        return;
    }
    world.burst_begins(burst.pods);
    for number in 0..burst.pods {
        let node = &nodes[number as usize % nodes.len()];
        start(&world, node, &format!("burst-{number}"), Duration::from_secs(7 * 24 * 3600), false, true);
    }
}

/// Pods of a recorded workload.
pub async fn replay(world: Arc<World>) {
    let Some(trace) = world.scenario.workload.trace.clone() else { return };
    let begun = time::now();
    let mut pods = trace.pods;
    pods.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    for pod in pods {
        time::sleep_until(begun + pod.at).await;
        if world.drains() {
            return;
        }
        let name = world.node_name(pod.node);
        if let Some(node) = world.node(&name) {
            start(&world, &node, &pod.name, pod.lifetime, false, false);
        }
    }
}
