//! From the store, or from what is left of it, to a running pool.
//!
//! Three beginnings: a store of this instance (the ordinary restart), no store on an instance that
//! has nothing of ours (a new node), and no usable store on an instance that carries our ENIs. The
//! last rebuilds from cloud, kernel and API server, and serves nobody before it knows.

use std::{net::IpAddr, sync::Arc, time::Duration};

use terway_core::{
    address::PodIps,
    cloud::{CloudError, Eni, EniFilter, EniStatus},
    host::{Bandwidth, Endpoint},
    id::{PodKey, PodUid},
    limits::InstanceLimits,
    metadata::{InstanceIdentity, MetadataError, NicMetadata},
};
use tokio::time::{Instant, sleep};

use crate::{
    agent::{Ports, Settings},
    eni::record_of,
    node,
    pool::{Creating, Mono, Phase, Pool, PoolEni, Slot, VSwitches},
    shared::Shared,
    store::{self, Allocation, EniPhase, Intent, Meta, Store, StoreError, Stored, Write},
};

/// How long start-up waits for the metadata service before it gives up and is started again.
const METADATA_PATIENCE: Duration = Duration::from_secs(30);

/// Why the agent could not come up.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Nobody told who this instance is, and the store did not know either.
    #[error("failed to learn the instance's identity")]
    Identity(#[source] MetadataError),
    /// The store could not be opened or read.
    #[error("failed to open the store")]
    Store(#[source] StoreError),
    /// A damaged store could not be put aside.
    #[error("failed to put the damaged store aside")]
    SetAside(#[source] std::io::Error),
    /// The cloud did not tell the limits of the instance type, and nothing else did.
    #[error("failed to learn the limits of the instance type")]
    Limits(#[source] CloudError),
    /// What is left on the instance could not be read.
    #[error("failed to read what the instance carries")]
    Leftovers(#[source] CloudError),
    /// The kernel could not be read.
    #[error("failed to read the host's network state")]
    Host(#[source] std::io::Error),
}

/// Opens the store and brings the pool back to where it was.
pub(crate) async fn recover(ports: Ports, settings: Settings) -> Result<Arc<Shared>, RecoveryError> {
    let started = Instant::now();
    let (database, mut stored) = open(&ports)?;
    let identity = identity(&ports).await?;
    if stored.meta.as_ref().is_some_and(|meta| meta.instance != identity.instance) {
        // The node came back under its name on another instance: nothing in here is ours.
        ports.probe.sometimes("store-of-another-instance");
        drop(database);
        ports.disk.set_aside().map_err(RecoveryError::SetAside)?;
        return finish(ports.clone(), settings, identity, open(&ports)?, started).await;
    }
    if terway_core::bug!(ports.probe, ForgetCooling) {
        stored.cooling.clear();
    }
    finish(ports, settings, identity, (database, stored), started).await
}

fn open(ports: &Ports) -> Result<(redb::Database, Stored), RecoveryError> {
    let attempt = || {
        let database = store::open(&*ports.disk)?;
        let stored = store::load(&database)?;
        Ok((database, stored))
    };
    match attempt() {
        Ok(opened) => Ok(opened),
        Err(StoreError::Corrupt { detail }) => {
            tracing::error!(%detail, "the store is damaged; rebuilding from cloud and kernel");
            ports.probe.sometimes("store-rebuilt");
            ports.disk.set_aside().map_err(RecoveryError::SetAside)?;
            attempt().map_err(RecoveryError::Store)
        }
        Err(error) => Err(RecoveryError::Store(error)),
    }
}

async fn identity(ports: &Ports) -> Result<InstanceIdentity, RecoveryError> {
    let begun = Instant::now();
    loop {
        match ports.metadata.identity().await {
            Ok(identity) => return Ok(identity),
            Err(error) if begun.elapsed() >= METADATA_PATIENCE => return Err(RecoveryError::Identity(error)),
            Err(_) => sleep(ports.entropy.jitter(Duration::from_secs(1), 1.0)).await,
        }
    }
}

async fn finish(
    ports: Ports,
    settings: Settings,
    identity: InstanceIdentity,
    (database, stored): (redb::Database, Stored),
    started: Instant,
) -> Result<Arc<Shared>, RecoveryError> {
    let limits = match stored.meta.as_ref().map(|meta| meta.limits) {
        Some(limits) => limits,
        None => match node::annotated_limits(&ports.kube, &settings.node).await {
            Some(limits) => limits,
            None => limits_of(&ports, &identity).await?,
        },
    };
    let policy = settings.config.pool.clone();
    let ids = settings.config.vswitches.get(&identity.zone).cloned().unwrap_or_default();
    let vswitches = VSwitches::new(identity.zone.clone(), ids, policy.vswitch_selection);
    let pool = Pool::new(policy.capacity(&limits), policy, vswitches);
    let fresh = stored.meta.is_none();
    let store = Store::start(database, &ports.spawner, ports.probe.clone());
    let shared = Arc::new(Shared::new(ports, settings, identity, store, pool, started));
    shared.restore(&stored);
    if fresh {
        shared.take_stock(limits).await?;
    }
    shared.start_policy().await.map_err(RecoveryError::Host)?;
    // After a boot the kernel has nothing of what the records say.
    shared.set_up_enis().await;
    shared.resume(stored.intents);
    Ok(shared)
}

async fn limits_of(ports: &Ports, identity: &InstanceIdentity) -> Result<InstanceLimits, RecoveryError> {
    let mut wait = Duration::from_secs(1);
    for _ in 0..8 {
        match ports.cloud.describe_instance_type(&identity.instance_type).await {
            Ok(limits) => return Ok(limits),
            Err(error) if error.class == terway_core::cloud::RetryClass::Fatal => {
                return Err(RecoveryError::Limits(error));
            }
            Err(_) => {
                sleep(ports.entropy.jitter(wait, 1.0)).await;
                wait *= 2;
            }
        }
    }
    ports.cloud.describe_instance_type(&identity.instance_type).await.map_err(RecoveryError::Limits)
}

impl Shared {
    /// Puts records into the pool: ENIs, then who has what, then what must rest.
    fn restore(&self, stored: &Stored) {
        let now = self.now();
        let mut state = self.state();
        let grain = state.pool.capacity.grain;
        for record in &stored.enis {
            state.pool.enis.insert(record.id.clone(), PoolEni::from_record(record, grain, now));
        }
        for cooling in &stored.cooling {
            let until = self.remaining(cooling, now);
            if until <= now {
                continue;
            }
            // More than one may carry it: an ENI whose release of it is in doubt, and the one that was given
            // it since.
            for eni in state.pool.enis.values_mut().filter(|eni| eni.v4.get(cooling.ips.v4).is_some()) {
                self.ports.probe.sometimes("cooldown-survived-restart");
                eni.set(cooling.ips, Slot::Cooling { until });
            }
        }
        for allocation in &stored.allocations {
            state.pool.bind(allocation.clone());
        }
    }

    /// Carries on with everything that was under way.
    fn resume(self: &Arc<Self>, intents: Vec<Intent>) {
        for intent in intents {
            let shared = self.clone();
            self.ports.probe.sometimes("intent-replayed");
            match intent {
                Intent::Create(request) => {
                    let units = request.count.v4.max(request.count.prefixes * 16);
                    self.state().pool.creating.insert(request.token.clone(), Creating { units });
                    self.spawn("create", async move { shared.create_again(request).await });
                }
                Intent::Assign(request) => {
                    if let Some(eni) = self.state().pool.enis.get_mut(&request.eni) {
                        eni.ops.v4 =
                            (request.count.v6 == 0).then_some(request.count.v4 + request.count.prefixes);
                        eni.ops.v6 = (request.count.v6 > 0).then_some(request.count.v6);
                    }
                    self.spawn("assign", async move { shared.assign_again(request).await });
                }
                Intent::Unassign { ref eni, ref set, .. } => {
                    if let Some(eni) = self.state().pool.enis.get_mut(eni) {
                        eni.ops.release = true;
                        eni.set_all(set, Slot::Releasing);
                    }
                    self.spawn("unassign", async move { shared.unassign_again(intent).await });
                }
            }
        }
        let on_the_way: Vec<_> = {
            let state = self.state();
            state.pool.enis.values().map(|eni| (eni.id.clone(), eni.phase)).collect()
        };
        for (id, phase) in on_the_way {
            let shared = self.clone();
            match phase {
                Phase::Attaching { .. } => self.spawn("attach", async move { shared.attach(id, true).await }),
                Phase::Leaving(_) => self.spawn("remove", async move { shared.remove(id).await }),
                Phase::InUse | Phase::Missing => {}
            }
        }
    }

    /// A store without an owner: a new node, or one whose store was lost. What the instance already
    /// carries is adopted before anyone is served.
    async fn take_stock(&self, limits: InstanceLimits) -> Result<(), RecoveryError> {
        // The kernel's word is asked first: it does not lag, and it alone knows of pods.
        let plugged = self.ports.host.nics().await.map_err(RecoveryError::Host)?;
        let endpoints = self.ports.host.endpoints().await.map_err(RecoveryError::Host)?;
        if plugged.len() > 1 || !endpoints.is_empty() {
            self.ports.probe.sometimes("leftovers-adopted");
            let nics = self.secondary_nics(plugged.len()).await;
            self.adopt(&nics, &endpoints).await?;
        }
        let meta = Meta { instance: self.identity.instance.clone(), limits };
        let ticket = self.store.submit(vec![Write::Meta(meta)]);
        // If the store fails right away, `failed` tells; there is nothing to add here.
        let _ = ticket.durable().await;
        Ok(())
    }

    /// What the metadata tells of the interfaces that the kernel sees. It may stay silent: then the
    /// networks of the ENIs are asked of the cloud when they are brought into use.
    async fn secondary_nics(&self, plugged: usize) -> Vec<NicMetadata> {
        let begun = Instant::now();
        loop {
            let nics = self.ports.metadata.interfaces().await.unwrap_or_default();
            if nics.len() >= plugged || begun.elapsed() >= METADATA_PATIENCE {
                return nics;
            }
            sleep(self.ports.entropy.jitter(Duration::from_secs(1), 1.0)).await;
        }
    }

    async fn adopt(&self, nics: &[NicMetadata], endpoints: &[Endpoint]) -> Result<(), RecoveryError> {
        // Reads lag: wait until what the previous agent did last is surely visible.
        sleep(crate::eni::READ_LAG).await;
        let filter = EniFilter::OfInstance(self.identity.instance.clone());
        let enis = self.describe_all(filter).await.map_err(RecoveryError::Leftovers)?;
        let mut writes = Vec::new();
        let mut state = self.state();
        let now = self.now();
        for eni in &enis {
            let nic = nics.iter().find(|nic| nic.eni == eni.id);
            self.adopt_eni(&mut state.pool, eni, nic, now, &mut writes);
        }
        for endpoint in endpoints {
            if let Some(allocation) = adopted_allocation(&state.pool, endpoint) {
                state.pool.bind(allocation.clone());
                // Someone detached it, but pods are on it: it comes back, whatever its state.
                if let Some(eni) = state.pool.enis.get_mut(&allocation.eni)
                    && matches!(eni.phase, Phase::Leaving(_))
                {
                    eni.phase = Phase::Attaching { accepted: None };
                    writes.push(Write::PutEni(eni.record()));
                }
                writes.push(Write::PutAllocation(allocation));
            }
        }
        drop(self.store.submit(writes));
        Ok(())
    }

    /// Books an ENI that the cloud shows and nobody here remembers. Its addresses must rest: they may
    /// have left a pod a moment ago.
    pub(crate) fn adopt_eni(
        &self,
        pool: &mut Pool,
        eni: &Eni,
        nic: Option<&NicMetadata>,
        now: Mono,
        writes: &mut Vec<Write>,
    ) {
        let mut record = record_of(eni);
        record.net = nic.map(|nic| (nic.cidr, nic.gateway));
        record.gateway6 = nic.and_then(|nic| Some(nic.ipv6?.1));
        record.phase = match eni.status {
            EniStatus::InUse if record.net.is_some() => EniPhase::InUse,
            EniStatus::InUse | EniStatus::Attaching => EniPhase::Attaching,
            EniStatus::Available | EniStatus::Deleting => EniPhase::Deleting,
            EniStatus::Detaching => EniPhase::Detaching,
        };
        let mut entry = PoolEni::from_record(&record, pool.capacity.grain, now);
        let until = now + pool.policy.cooldown;
        let addresses: Vec<_> = entry.v4.iter().map(|(address, _)| address).collect();
        for v4 in addresses {
            entry.set_v4(v4, Slot::Cooling { until });
        }
        let addresses: Vec<_> = entry.v6.iter().map(|(address, _)| address).collect();
        for v6 in addresses {
            entry.v6.set(v6, Slot::Cooling { until });
        }
        writes.push(Write::PutEni(entry.record()));
        let mut v6 = entry.v6.iter().map(|(v6, _)| v6);
        writes.extend(
            entry
                .v4
                .iter()
                .map(|(v4, _)| Write::PutCooling(self.cooling(PodIps { v4, v6: v6.next() }, until))),
        );
        drop(v6);
        pool.enis.insert(eni.id.clone(), entry);
    }
}

/// An allocation for what the kernel shows on an ENI of ours. The sandbox is known from the link's
/// alias; the pod is found when garbage collection compares with the API server.
fn adopted_allocation(pool: &Pool, endpoint: &Endpoint) -> Option<Allocation> {
    let v4 = endpoint.addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    })?;
    let v6 = endpoint.addresses.iter().find_map(|address| match address {
        IpAddr::V6(v6) => Some(*v6),
        IpAddr::V4(_) => None,
    });
    let eni = pool.enis.values().find(|eni| eni.v4.get(v4).is_some())?.id.clone();
    Some(Allocation {
        container: endpoint.container.clone(),
        ifname: "eth0".to_owned(),
        pod: PodKey::new("", endpoint.link.as_str()),
        uid: PodUid::from(""),
        ips: PodIps { v4, v6 },
        eni,
        network: String::new(),
        bandwidth: Bandwidth::default(),
        link: 0,
        made: None,
    })
}
