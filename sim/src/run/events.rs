//! Changes of the cluster at fixed times: vSwitches, rolling restarts, autoscaling.

use std::{sync::Arc, time::Duration};

use terway_chaos::{draw, shrink::trailing_number};
use tokio::time::{Instant, sleep};

use crate::{root, scenario::EventKind, time, world::World};

/// Pods of a node that leaves are evicted over this time.
const DRAIN: Duration = Duration::from_secs(30);

/// Carries out the scenario's events.
pub(super) async fn run(world: Arc<World>, begun: Instant) {
    let mut events = world.scenario.events.clone();
    events.sort_by_key(|event| event.at);
    // Names that are free again, and the next new one.
    let mut free: Vec<u32> = Vec::new();
    let mut next = world.scenario.nodes;
    for (number, event) in events.into_iter().enumerate() {
        time::sleep_until(begun + event.at).await;
        if world.drains() {
            return;
        }
        world.trace.event("", format_args!("EVENT {:?}", event.kind));
        match event.kind {
            EventKind::AddVSwitch(vswitch) => {
                if let Err(error) = world.add_vswitch(vswitch) {
                    world.trace.event("", format_args!("the vSwitch cannot be added: {error}"));
                }
            }
            EventKind::RollingRestart { batch, pause } => {
                root::spawn(rolling_restart(world.clone(), batch, pause));
            }
            EventKind::Autoscale { remove, add } => {
                let left = leave(&world, number, remove).await;
                // One that was made anew meanwhile by another hand is not free.
                free.retain(|index| world.node(&world.node_name(*index)).is_none());
                for _ in 0..add {
                    let index = if free.is_empty() {
                        next += 1;
                        next - 1
                    } else {
                        free.remove(0)
                    };
                    if let Err(error) = world.join(index) {
                        world.trace.event("", format_args!("node {index} cannot join: {error}"));
                    }
                }
                free.extend(left);
            }
        }
    }
}

async fn rolling_restart(world: Arc<World>, batch: u32, pause: Duration) {
    let nodes = world.nodes();
    for batch in nodes.chunks(batch.max(1) as usize) {
        if world.drains() {
            return;
        }
        for node in batch {
            node.kill_agent();
        }
        sleep(pause).await;
    }
}

/// Takes nodes out, drawn by the seed; returns their indices.
async fn leave(world: &Arc<World>, event: usize, remove: u32) -> Vec<u32> {
    let mut rng = draw::stream(world.seed, "autoscale", &event.to_string());
    let mut nodes = world.nodes();
    let mut left = Vec::new();
    for _ in 0..remove {
        if nodes.len() <= 1 {
            break;
        }
        let node = nodes.remove(draw::between(&mut rng, 0, nodes.len() as u64 - 1) as usize);
        left.extend(trailing_number(node.name.as_str()));
        let world = world.clone();
        root::spawn(async move {
            sleep(DRAIN).await;
            if !world.drains() {
                world.leave(&node);
            }
        });
    }
    sleep(DRAIN + Duration::from_millis(1)).await;
    left
}
