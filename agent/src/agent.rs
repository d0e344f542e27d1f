//! Starting an agent, and holding one.

use std::{collections::BTreeSet, sync::Arc};

use terway_core::{
    address::Stack,
    cause::Cause,
    cloud::Cloud,
    config::AgentConfig,
    entropy::Entropy,
    host::HostNet,
    id::{ContainerId, EniId, NodeName},
    metadata::Metadata,
    probe::Probe,
    spawn::Spawner,
    time::Clock,
};
use terway_policy::port::PolicyMaps;

use crate::{
    driver, gc, govern, mend, node, pods,
    policy::{Policy, PolicyMeter, PolicySettings, PolicyStatus},
    pool::Counts,
    reconcile,
    recovery::{self, RecoveryError},
    service,
    shared::Shared,
    status::Status,
    store::{Allocation, Disk, EniRecord, StoreError},
};

/// Everything outside of the agent that it touches. Kubernetes is a real client, whatever serves it.
#[derive(Clone)]
#[expect(missing_docs, reason = "one field per port, documented there")]
pub struct Ports {
    pub cloud: Arc<dyn Cloud>,
    pub metadata: Arc<dyn Metadata>,
    pub host: Arc<dyn HostNet>,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub spawner: Arc<dyn Spawner>,
    pub probe: Arc<dyn Probe>,
    pub kube: kube::Client,
    /// Maps of policy, where it is enforced.
    pub policy: Option<PolicyPort>,
}

/// Where policy is written, and who counts.
#[derive(Clone)]
#[expect(missing_docs, reason = "one field per port, documented there")]
pub struct PolicyPort {
    pub maps: Arc<dyn PolicyMaps>,
    pub meter: Arc<dyn PolicyMeter>,
    pub settings: PolicySettings,
}

/// Who the agent is and how it is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Kubernetes node it serves.
    pub node: NodeName,
    /// The validated `eni_conf`.
    pub config: AgentConfig,
}

/// The agent cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It never came up.
    #[error("the agent could not start")]
    Start(#[from] RecoveryError),
    /// Its store failed while it ran; it must be started again.
    #[error("the agent's store failed")]
    Store(#[source] Arc<StoreError>),
}

/// What an agent believes: for status commands, and for checks of the simulator from outside.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// ENIs and their addresses.
    pub enis: Vec<EniRecord>,
    /// Who has what.
    pub allocations: Vec<Allocation>,
    /// Addresses by state.
    pub counts: Counts,
    /// Pods that could be served at once.
    pub idle: u32,
    /// Requests that wait for an address.
    pub waiting: usize,
    /// What the policy engine is at, where there is one.
    pub policy: Option<PolicyStatus>,
    /// Why growth is blocked, if it is.
    pub blocked: Option<Cause>,
    /// The last trouble with a cloud call, whether it is over or not.
    pub trouble: Option<Cause>,
    /// ENIs under creation, which have no id yet.
    pub creating: usize,
    /// Bounds of the idle pool.
    pub bounds: (u32, u32, u32),
    /// Most pods the node can serve.
    pub capacity: u32,
    /// ENIs that the node may attach.
    pub max_enis: u32,
    /// Addresses, or prefixes, of each.
    pub per_eni: u32,
    /// Families of each pod.
    pub stack: Stack,
    /// Calls or ENIs on their way, by what they wait for.
    pub pending: Vec<String>,
}

/// A running agent. Cheap to clone; ends when its scope of tasks ends.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
}

impl Agent {
    /// Recovers what the store holds and starts serving. Fails only on what cannot be mended by
    /// waiting inside: a store that does not open, metadata that does not tell who this is.
    pub async fn start(ports: Ports, settings: Settings) -> Result<Self, AgentError> {
        let shared = recovery::recover(ports, settings).await?;
        shared.spawn("pods", pods::follow(shared.clone()));
        shared.spawn("driver", driver::run(shared.clone()));
        shared.spawn("nics", driver::watch_nics(shared.clone()));
        shared.spawn("gc", gc::run(shared.clone()));
        shared.spawn("mend", mend::run(shared.clone()));
        shared.spawn("reconcile", reconcile::run(shared.clone()));
        shared.spawn("node", node::run(shared.clone()));
        if let Some(policy) = shared.policy().cloned() {
            shared.spawn("govern", govern::follow(shared.clone(), policy));
        }
        Ok(Self { shared })
    }

    /// Resolves when the agent cannot go on; its scope must then be ended and a new one started.
    pub async fn failed(&self) -> AgentError {
        match self.shared.store.failed().await {
            Some(error) => AgentError::Store(error),
            None => std::future::pending().await,
        }
    }

    /// AllocIP.
    pub async fn alloc_ip(
        &self,
        request: terway_core::rpc::AllocIpRequest,
    ) -> Result<terway_core::rpc::AllocIpReply, terway_core::rpc::RpcError> {
        service::alloc_ip(&self.shared, request).await
    }

    /// ReleaseIP.
    pub async fn release_ip(
        &self,
        request: terway_core::rpc::ReleaseIpRequest,
    ) -> Result<(), terway_core::rpc::RpcError> {
        service::release_ip(&self.shared, request).await
    }

    /// GetIPInfo.
    pub fn get_ip_info(
        &self,
        request: &terway_core::rpc::GetIpInfoRequest,
    ) -> Result<terway_core::rpc::GetIpInfoReply, terway_core::rpc::RpcError> {
        service::get_ip_info(&self.shared, request)
    }

    /// STATUS: whether a pod could be served, from memory.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// GC: frees every record of a network whose sandbox and interface are not among those that the runtime still
    /// has. Records younger than `began` (boot time in milliseconds) stay: the runtime's list cannot know them.
    /// Returns how many were freed, and a text for each that could not be.
    pub async fn collect(
        &self,
        network: &str,
        valid: &BTreeSet<(ContainerId, String)>,
        began_ms: u64,
    ) -> (u32, Vec<String>) {
        gc::collect_network(&self.shared, network, valid, began_ms).await
    }

    /// Replaces the vSwitches of the node's zone after a change of configuration.
    pub fn replace_vswitches(&self, config: &AgentConfig) {
        let ids = config.vswitches.get(&self.shared.identity.zone).cloned().unwrap_or_default();
        let mut state = self.shared.state();
        state.pool.vswitches.replace(ids);
        state.pool.unblock();
        drop(state);
        self.shared.kick.notify_one();
    }

    /// The policy engine, where policy is enforced.
    pub fn policy(&self) -> Option<&Policy> {
        self.shared.policy()
    }

    /// Addresses by state, and idle units: cheap enough for every second.
    pub fn levels(&self) -> (Counts, u32) {
        let state = self.shared.state();
        (state.pool.counts(), state.pool.idle())
    }

    /// What the agent believes now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.state();
        let pool = &state.pool;
        let mut pending: Vec<String> =
            pool.creating.keys().map(|token| format!("creating an ENI (token {token})")).collect();
        for eni in pool.enis.values() {
            if eni.phase != crate::pool::Phase::InUse {
                pending.push(format!("{} is {:?}", eni.id, eni.phase));
            }
            if !eni.ops.none() {
                pending.push(format!("{} has calls under way: {:?}", eni.id, eni.ops));
            }
        }
        Snapshot {
            enis: pool.enis.values().map(crate::pool::PoolEni::record).collect(),
            allocations: pool.allocations().cloned().collect(),
            counts: pool.counts(),
            idle: pool.idle(),
            waiting: state.waiters.len(),
            policy: self.shared.policy().map(Policy::status),
            blocked: pool.blocked.as_ref().map(|blocked| blocked.cause.clone()),
            trouble: pool.trouble.as_ref().map(|(_, cause)| cause.clone()),
            creating: pool.creating.len(),
            bounds: pool.policy.bounds(&pool.capacity),
            capacity: pool.capacity.pods(),
            max_enis: pool.capacity.max_enis,
            per_eni: pool.capacity.per_eni,
            stack: pool.capacity.stack,
            pending,
        }
    }

    /// ENIs the agent knows, whatever their phase.
    pub fn knows(&self, eni: &EniId) -> bool {
        self.shared.state().pool.enis.contains_key(eni)
    }
}
