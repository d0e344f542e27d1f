//! The time that the cloud's limits alone impose on a burst: what no agent, however good, can beat.
//!
//! Every node needs its ENIs created and attached. The account's bucket admits these calls at its rate; and
//! the last call admitted still takes its latency. The bound assumes no read, no wasted call, no retry, no
//! waiting but for the cloud, and median latencies.

use std::collections::BTreeMap;

use terway_core::{address::Grain, cloud::Action};

use crate::{cloud::Span, world::World};

/// The bound in seconds.
pub(super) fn seconds(world: &World, nodes: u32) -> f64 {
    let Some(burst) = &world.scenario.workload.burst else { return 0.0 };
    let model = &world.scenario.cloud;
    let mut calls: BTreeMap<Action, f64> = BTreeMap::new();
    let all = world.nodes();
    for (index, node) in all.iter().enumerate() {
        let spread = u32::from((index as u32) < burst.pods % nodes.max(1));
        let pods = (burst.pods / nodes.max(1) + spread).min(node.room);
        let capacity = world.scenario.agent.pool.capacity(&node.limits);
        let per_eni = match capacity.grain {
            Grain::Address => capacity.pods_per_eni(),
            Grain::Prefix => capacity.pods_per_eni().min(160),
        };
        let enis = f64::from(pods.div_ceil(per_eni.max(1)));
        *calls.entry(Action::CreateNetworkInterface).or_default() += enis;
        *calls.entry(Action::AttachNetworkInterface).or_default() += enis;
    }
    let mut admitted: f64 = 0.0;
    if let Some(bucket) = &model.account_bucket {
        let total: f64 = calls.values().sum();
        admitted = (total - f64::from(bucket.capacity)).max(0.0) / bucket.refill_per_second;
    }
    for (action, count) in calls {
        let own = model.action_buckets.get(&action);
        let (capacity, rate) = match own {
            Some(bucket) => (f64::from(bucket.capacity), bucket.refill_per_second),
            None if model.action_factor > 0.0 => {
                let per_minute = f64::from(action.per_minute()) * model.action_factor;
                (per_minute, per_minute / 60.0)
            }
            None => continue,
        };
        admitted = admitted.max((count - capacity).max(0.0) / rate);
    }
    // From the last call admitted, an attach, until its ENI is in use.
    let chain = [model.attach, model.attach_settles];
    let all_at_once = median_seconds(model.create);
    admitted.max(all_at_once) + chain.into_iter().map(median_seconds).sum::<f64>()
}

/// Median of the log-normal between the ends of a span: their geometric mean.
fn median_seconds(span: Span) -> f64 {
    (span.min_ms.max(1) as f64 * span.max_ms as f64).sqrt() / 1000.0
}
