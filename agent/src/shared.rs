//! What all parts of the agent share: ports, configuration, the pool under its lock, the store.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use terway_core::{
    address::PodIps,
    cause::Cause,
    config::AgentConfig,
    host::{Bandwidth, Gateways, PodNet},
    id::{ClientToken, ContainerId, PodKey, PodUid},
    metadata::InstanceIdentity,
    rpc::NetConf,
    spawn,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{
    agent::{Ports, Settings},
    calls::Pacing,
    describe::Describer,
    pods::PodCache,
    policy::Policy,
    pool::{Mono, Pool},
    store::{Allocation, Cooling, Moment, Store, Ticket, Write},
};

/// Who asks for an address.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) pod: PodKey,
    pub(crate) uid: PodUid,
    pub(crate) container: ContainerId,
    pub(crate) ifname: String,
    pub(crate) network: String,
    pub(crate) bandwidth: Bandwidth,
}

/// An address that was given to a claim; the ticket tells when that is durable.
pub(crate) struct Granted {
    pub(crate) allocation: Allocation,
    pub(crate) conf: NetConf,
    pub(crate) ticket: Ticket,
}

/// A request that waits for an address.
pub(crate) struct Waiter {
    pub(crate) claim: Claim,
    pub(crate) answer: oneshot::Sender<Result<Granted, Cause>>,
}

/// Everything that changes, under one lock that is never held across an await.
pub(crate) struct State {
    pub(crate) pool: Pool,
    pub(crate) waiters: VecDeque<Waiter>,
    /// What the kernel refuses to give to running pods.
    pub(crate) impaired: Option<String>,
    /// Since when no pod could be served.
    pub(crate) insufficient_since: Option<Mono>,
}

pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) identity: InstanceIdentity,
    pub(crate) store: Store,
    pub(crate) pods: PodCache,
    pub(crate) pacing: Pacing,
    pub(crate) describer: Describer,
    /// Something changed: plan again.
    pub(crate) kick: Notify,
    /// The pool's picture of the cloud is in doubt: reconcile soon.
    pub(crate) doubt: Notify,
    /// Something was freed that its owner may not have taken down: sweep soon.
    pub(crate) untidy: Notify,
    /// Pods with a request under way.
    pub(crate) processing: Mutex<BTreeSet<PodKey>>,
    policy: OnceLock<Policy>,
    state: Mutex<State>,
    started: Instant,
    booted: Duration,
    boot_id: u64,
}

impl Shared {
    pub(crate) fn new(
        ports: Ports,
        settings: Settings,
        identity: InstanceIdentity,
        store: Store,
        pool: Pool,
        started: Instant,
    ) -> Self {
        let boot = ports.clock.boot();
        let pacing = Pacing::new();
        Self {
            booted: boot.elapsed.saturating_sub(started.elapsed()),
            boot_id: boot.boot_id,
            ports,
            settings,
            identity,
            store,
            pods: PodCache::default(),
            pacing,
            describer: Describer::default(),
            kick: Notify::new(),
            doubt: Notify::new(),
            untidy: Notify::new(),
            processing: Mutex::default(),
            policy: OnceLock::new(),
            state: Mutex::new(State {
                pool,
                waiters: VecDeque::new(),
                impaired: None,
                insufficient_since: None,
            }),
            started,
        }
    }

    pub(crate) fn config(&self) -> &AgentConfig {
        &self.settings.config
    }

    /// The policy engine, where policy is enforced.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.policy.get()
    }

    /// The engine is started once, when the records are there.
    pub(crate) fn set_policy(&self, policy: Policy) {
        // Nobody else sets it.
        let _ = self.policy.set(policy);
    }

    /// The state. A poisoned lock means that a panic left it half changed; there is no going on.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the agent started.
    pub(crate) fn now(&self) -> Mono {
        self.started.elapsed()
    }

    /// The instant of a point in [`Mono`] time.
    pub(crate) fn instant(&self, at: Mono) -> Instant {
        self.started + at
    }

    /// A fresh idempotency token.
    pub(crate) fn token(&self) -> ClientToken {
        let (high, low) = (self.ports.entropy.next_u64(), self.ports.entropy.next_u64());
        format!("{high:016x}{low:016x}").into()
    }

    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        spawn::spawn(&self.ports.spawner, name, task);
    }

    /// The durable form of a cooldown that ends at `until`.
    pub(crate) fn cooling(&self, ips: PodIps, until: Mono) -> Cooling {
        Cooling { ips, boot_id: self.boot_id, until_ms: (self.booted + until).as_millis() as u64 }
    }

    /// When a stored cooldown ends. Under another boot nothing is known of the time between, so the
    /// whole rest starts over.
    pub(crate) fn remaining(&self, cooling: &Cooling, now: Mono) -> Mono {
        let rest = self.config().pool.cooldown;
        if cooling.boot_id != self.boot_id {
            return now + rest;
        }
        let until = Duration::from_millis(cooling.until_ms).saturating_sub(self.booted);
        until.min(now + rest)
    }

    /// Gives an idle address to a claim, in memory and on its way to the disk.
    pub(crate) fn grant(&self, state: &mut State, claim: &Claim) -> Option<Granted> {
        let (eni, ips) = state.pool.take(self.now())?;
        let allocation = Allocation {
            container: Some(claim.container.clone()),
            ifname: claim.ifname.clone(),
            pod: claim.pod.clone(),
            uid: claim.uid.clone(),
            ips,
            eni,
            network: claim.network.clone(),
            bandwidth: claim.bandwidth,
            link: self.fresh_link(&state.pool),
            made: Some(self.moment()),
        };
        state.pool.bind(allocation.clone());
        let conf = self.net_conf(&state.pool, &allocation)?;
        let mut writes = vec![Write::DropCooling(ips.v4)];
        if !terway_core::bug!(self.ports.probe, SkipStoreWrite) {
            writes.push(Write::PutAllocation(allocation.clone()));
        }
        let ticket = self.store.submit(writes);
        Some(Granted { allocation, conf, ticket })
    }

    /// Takes an address from whom it belongs to and lets it cool.
    pub(crate) fn surrender(&self, state: &mut State, key: &str) -> Option<Ticket> {
        let allocation = state.pool.unbind(key)?;
        self.ungovern(allocation.link);
        let now = self.now();
        let mut rest = self.config().pool.cooldown;
        if terway_core::bug!(self.ports.probe, NoCooling) {
            rest = Duration::ZERO;
        }
        let until = now + rest;
        let mut writes = vec![Write::DropAllocation(key.to_owned())];
        if state.pool.cool(&allocation.eni, allocation.ips, until, now) {
            writes.push(Write::PutCooling(self.cooling(allocation.ips, until)));
        }
        let ticket = self.store.submit(writes);
        self.kick.notify_one();
        Some(ticket)
    }

    /// Now, as durable records have it.
    pub(crate) fn moment(&self) -> Moment {
        Moment { boot_id: self.boot_id, ms: (self.booted + self.now()).as_millis() as u64 }
    }

    /// What the plugin needs to build the interface of an allocation. Nothing when its ENI is gone.
    pub(crate) fn net_conf(&self, pool: &Pool, allocation: &Allocation) -> Option<NetConf> {
        let eni = pool.enis.get(&allocation.eni)?;
        let (cidr, gateway) = eni.net?;
        Some(NetConf {
            ips: allocation.ips,
            cidr,
            gateway,
            eni: eni.id.clone(),
            mac: eni.mac,
            ifname: allocation.ifname.clone(),
            default_route: true,
            gateway6: allocation.ips.v6.and(eni.gateway6),
            extra_routes: self.config().extra_routes.clone(),
            bandwidth: allocation.bandwidth,
            guard: self.guard(allocation),
        })
    }

    /// What the kernel is to have for an allocation. Nothing when its ENI is gone, or its sandbox is not known.
    pub(crate) fn pod_net(&self, pool: &Pool, allocation: &Allocation) -> Option<PodNet> {
        let container = allocation.container.clone()?;
        let conf = self.net_conf(pool, allocation)?;
        Some(PodNet {
            pod: allocation.pod.clone(),
            container,
            ifname: conf.ifname,
            ips: conf.ips,
            eni_mac: conf.mac,
            gateway: Gateways { v4: conf.gateway, v6: conf.gateway6 },
            // What chained plugins make of it is theirs.
            mtu: 0,
            default_route: conf.default_route,
            extra_routes: conf.extra_routes,
            bandwidth: conf.bandwidth,
            // A pod from before policy was enforced passes as before, until its own policy is in force.
            guard: conf.guard.filter(|_| self.policy().is_some_and(Policy::has_served)),
        })
    }
}
