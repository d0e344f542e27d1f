//! Pods and their links as the policy engine knows them.
//!
//! The agent chooses the index of a pod's host link, so that the pod's endpoint stands in the maps before its address is
//! told, and before the link is made. Indexes are drawn, not counted: one that comes again would find the flows of the
//! pod that had it before.

use std::{io, sync::Arc};

use terway_core::{cause::Cause, host::Guard, rpc::RpcError};
use terway_policy::model::Name;

use crate::{
    agent::PolicyPort,
    policy::{Place, Policy, PolicyPorts},
    pool::Pool,
    shared::Shared,
    store::{Allocation, Write},
};

/// Indexes that are ours to choose have this bit: the kernel counts from 1 and does not come here.
const CHOSEN: u32 = 0x4000_0000;

/// Mends pods' links once what is wanted is in force: those of pods from before get their programs, and all of them the
/// new ones.
pub(crate) async fn follow(shared: Arc<Shared>, policy: Policy) {
    policy.served().await;
    shared.untidy.notify_one();
}

impl Shared {
    /// An index for a link that is about to be made; 0 where policy is not enforced.
    pub(crate) fn fresh_link(&self, pool: &Pool) -> u32 {
        if self.ports.policy.is_none() {
            return 0;
        }
        loop {
            let drawn = self.ports.entropy.next_u64() as u32 & (CHOSEN - 1);
            let link = CHOSEN | drawn;
            if pool.allocations().all(|allocation| allocation.link != link) {
                return link;
            }
        }
    }

    /// What policy needs of an allocation's link.
    pub(crate) fn guard(&self, allocation: &Allocation) -> Option<Guard> {
        let PolicyPort { settings, .. } = self.ports.policy.as_ref()?;
        if terway_core::bug!(self.ports.probe, UnguardedLink) {
            return None;
        }
        Some(Guard { link: allocation.link, pins: settings.pins.clone() })
    }

    /// Starts the engine with the pods that are on record. Those from before policy was enforced have links whose index
    /// the kernel chose.
    pub(crate) async fn start_policy(&self) -> io::Result<()> {
        let Some(PolicyPort { maps, meter, settings }) = self.ports.policy.clone() else { return Ok(()) };
        self.name_links().await?;
        let places = self.state().pool.allocations().map(place).collect();
        let ports = PolicyPorts {
            kube: self.ports.kube.clone(),
            maps,
            entropy: self.ports.entropy.clone(),
            spawner: self.ports.spawner.clone(),
            meter,
            probe: self.ports.probe.clone(),
        };
        self.set_policy(Policy::start(ports, settings, places));
        Ok(())
    }

    /// Gives every record the index of its link.
    async fn name_links(&self) -> io::Result<()> {
        if self.state().pool.allocations().all(|allocation| allocation.link != 0) {
            return Ok(());
        }
        let endpoints = self.ports.host.endpoints().await?;
        let mut state = self.state();
        let nameless: Vec<Allocation> =
            state.pool.allocations().filter(|allocation| allocation.link == 0).cloned().collect();
        let mut writes = Vec::new();
        for old in nameless {
            let seen = endpoints.iter().find(|endpoint| {
                endpoint.container == old.container && endpoint.addresses.contains(&old.ips.v4.into())
            });
            let link = match seen.map(|endpoint| endpoint.index) {
                Some(index) if index != 0 => index,
                // Its link is not made yet, or is gone.
                _ => self.fresh_link(&state.pool),
            };
            state.pool.unbind(&old.key());
            let named = Allocation { link, ..old };
            state.pool.bind(named.clone());
            writes.push(Write::PutAllocation(named));
        }
        // Without waiting: what is lost of it is found again.
        drop(self.store.submit(writes));
        Ok(())
    }

    /// Writes an allocation's endpoint; resolves when its pod is governed.
    pub(crate) async fn govern(&self, allocation: &Allocation) -> Result<(), RpcError> {
        let Some(policy) = self.policy() else { return Ok(()) };
        policy.bind(place(allocation)).await.map_err(|error| {
            tracing::warn!(pod = %allocation.pod, %error, "a pod's endpoint was not written");
            let waiting_for = "room in the maps of policy, for the pod's endpoint".into();
            RpcError::NoAddress(Cause::NotReady { waiting_for })
        })
    }

    /// Moves a pod from the link of a sandbox that was to that of its new one: one after the other, as both have its
    /// address.
    pub(crate) async fn regovern(&self, old: u32, allocation: &Allocation) -> Result<(), RpcError> {
        if let Some(policy) = self.policy() {
            // An engine that has ended has no endpoints, and says so to the new one.
            let _ = policy.unbind(old).await;
        }
        self.govern(allocation).await
    }

    /// Takes an endpoint away, some time from now: a link without one passes nothing.
    pub(crate) fn ungovern(&self, link: u32) {
        if let Some(policy) = self.policy().filter(|_| link != 0).cloned() {
            self.spawn("ungovern", async move {
                // An engine that has ended has no endpoints.
                let _ = policy.unbind(link).await;
            });
        }
    }
}

fn place(allocation: &Allocation) -> Place {
    Place {
        link: allocation.link,
        pod: Name::new(&*allocation.pod.namespace, &*allocation.pod.name),
        uid: allocation.uid.to_string(),
        ips: allocation.ips.iter().collect(),
        flags: 0,
    }
}
