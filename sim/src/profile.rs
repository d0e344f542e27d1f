//! What the profiles of a run differ in: where the tasks of a node run, how its agent reaches the world,
//! and what a fault of the network is.
//!
//! - **Fleet**: one runtime, and calls instead of connections: thousands of nodes.
//! - **Wire** ([`crate::wire`]): zones, cloud and API server are hosts of a simulated network, and the
//!   agents' real clients cross it.

use std::{sync::Arc, time::Duration};

use terway_chaos::{Fault, FaultKind};
use terway_cloud::budget::{Budget, Budgeted};
use terway_core::{
    cloud::{Action, Cloud},
    id::InstanceId,
    metadata::Metadata,
};
use tokio::runtime::Handle;

use crate::{
    cloud::{FaultKind as CloudFault, FaultWindow},
    node::SimNode,
    scope::Scope,
    world::World,
};

/// What an agent, or the control plane, speaks with.
pub struct Reach {
    /// The cloud.
    pub cloud: Arc<dyn Cloud>,
    /// The metadata of its instance; none for the control plane.
    pub metadata: Option<Arc<dyn Metadata>>,
    /// The API server.
    pub kube: kube::Client,
}

/// A profile.
pub trait Profile: Send + Sync {
    /// The world is there; nothing runs in it yet.
    fn begins(&self, world: &Arc<World>);
    /// Where the tasks of the nodes of a zone run.
    fn home(&self, zone: &str) -> Handle;
    /// What one life of a node's agent speaks with. Called at home.
    fn agent(&self, world: &World, node: &SimNode, life: &Arc<Scope>, incarnation: u64) -> Reach;
    /// What the control plane speaks with.
    fn control_plane(&self, world: &World) -> Reach;
    /// A fault of the network between these zones and the cloud begins, or is over (`on` false).
    fn network(&self, world: &World, fault: &Fault, zones: &[String], on: bool);
    /// Nothing is wrong with the network any more.
    fn heal(&self);
}

/// Everything in one runtime.
pub struct Fleet;

impl Profile for Fleet {
    fn begins(&self, _world: &Arc<World>) {}

    fn home(&self, _zone: &str) -> Handle {
        Handle::current()
    }

    fn agent(&self, world: &World, node: &SimNode, _life: &Arc<Scope>, _incarnation: u64) -> Reach {
        Reach {
            cloud: within_budget(world.cloud.client(node.instance.clone()), world),
            metadata: Some(world.cloud.metadata(node.instance.clone())),
            kube: world.api.client(node.name.as_str()),
        }
    }

    fn control_plane(&self, world: &World) -> Reach {
        Reach {
            cloud: world.cloud.operator_client("leaks"),
            metadata: None,
            kube: world.api.client("controlplane"),
        }
    }

    fn network(&self, world: &World, fault: &Fault, zones: &[String], on: bool) {
        // Windows end by themselves.
        if !on {
            return;
        }
        for node in world.nodes().iter().filter(|node| zones.contains(&node.zone)) {
            for window in as_windows(&fault.kind, &node.instance, fault.lasts) {
                world.cloud.add_window(window);
            }
        }
    }

    fn heal(&self) {}
}

/// An agent's calls, within the rates of its configuration.
pub fn within_budget(cloud: Arc<dyn Cloud>, world: &World) -> Arc<dyn Cloud> {
    let budget = Budget::new(&world.scenario.agent.rate_limit).expect("rates were checked with the scenario");
    Arc::new(Budgeted::new(cloud, budget.share("agent"), None))
}

/// Median latency of a describe in the default model: what one packet's lag is measured against.
const USUAL: Duration = Duration::from_millis(220);

/// What a fault of the network looks like where there is no network: the same to each call, but for the
/// connections that it leaves behind.
fn as_windows(kind: &FaultKind, instance: &InstanceId, lasts: Duration) -> Vec<FaultWindow> {
    let window = |kind| FaultWindow::new(kind, lasts).of(instance.clone());
    match kind {
        FaultKind::CutOff => vec![window(CloudFault::Timeout)],
        FaultKind::HalfOpen => {
            let reads = Action::ALL.iter().filter(|action| !action.mutates());
            let unanswered = reads.map(|action| window(CloudFault::Timeout).on(*action));
            unanswered.chain([window(CloudFault::AppliedTimeout)]).collect()
        }
        FaultKind::SlowLink { lag } => {
            let factor = 1.0 + 2.0 * lag.as_secs_f64() / USUAL.as_secs_f64();
            vec![window(CloudFault::Slow { factor })]
        }
        _ => Vec::new(),
    }
}
