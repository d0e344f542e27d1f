//! Frees what belongs to pods that are gone, when no DEL told so.
//!
//! Three witnesses must agree: the kernel shows no endpoint, twice in a row; the API server, asked
//! directly, says that the pod is gone, finished or another one. An empty list proves nothing. One
//! pod that cannot be judged does not keep the others from being collected.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

use crate::{shared::Shared, store::Allocation};

/// Time between passes. An address of a pod that vanished is back within two.
const PERIOD: Duration = Duration::from_secs(25);

/// Collects until the agent ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut absent: BTreeSet<String> = BTreeSet::new();
    loop {
        sleep(shared.ports.entropy.jitter(PERIOD, 0.2)).await;
        if terway_core::bug!(shared.ports.probe, GcStopsOnExhaustion)
            && shared.state().pool.vswitches.any_set_aside()
        {
            continue;
        }
        if terway_core::bug!(shared.ports.probe, TrustEmptyPodList) {
            shared.trust_the_list();
        }
        absent = shared.collect(&absent).await;
    }
}

impl Shared {
    /// One pass; returns the records whose endpoint is absent now.
    async fn collect(self: &Arc<Self>, absent_before: &BTreeSet<String>) -> BTreeSet<String> {
        if self.state().pool.allocations().next().is_none() {
            return BTreeSet::new();
        }
        let Ok(endpoints) = self.ports.host.endpoints().await else {
            // Without the kernel's word nothing is freed.
            return BTreeSet::new();
        };
        let present: BTreeSet<Ipv4Addr> = endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .filter_map(|address| match address {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            })
            .collect();
        let absent: Vec<Allocation> = self
            .state()
            .pool
            .allocations()
            .filter(|allocation| !present.contains(&allocation.ips.v4))
            .cloned()
            .collect();
        let mut remembered = BTreeSet::new();
        for allocation in absent {
            let key = allocation.key();
            if !absent_before.contains(&key) {
                remembered.insert(key);
                continue;
            }
            match self.is_over(&allocation).await {
                Ok(true) => self.free(&allocation).await,
                Ok(false) => drop(remembered.insert(key)),
                Err(reason) => {
                    tracing::debug!(pod = %allocation.pod, %reason, "a pod could not be judged; next time");
                    remembered.insert(key);
                }
            }
        }
        remembered
    }

    /// Whether the pod that an allocation was made for needs it no more.
    async fn is_over(&self, allocation: &Allocation) -> Result<bool, String> {
        // Found in the kernel after the store was lost: no pod is known, the kernel alone decides.
        if allocation.uid.as_str().is_empty() {
            return Ok(true);
        }
        let cached = self.pods.get(&allocation.pod);
        if cached.is_some_and(|view| view.uid == allocation.uid && !view.finished) {
            return Ok(false);
        }
        Ok(self
            .read_pod(&allocation.pod)
            .await?
            .is_none_or(|view| view.uid != allocation.uid || view.finished))
    }

    async fn free(&self, allocation: &Allocation) {
        let ticket = {
            // A request for this pod under way decides by itself.
            let processing = self.processing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if processing.contains(&allocation.pod) {
                return;
            }
            let mut state = self.state();
            if state.pool.allocation(&allocation.key()) != Some(allocation) {
                return;
            }
            self.surrender(&mut state, &allocation.key())
        };
        tracing::info!(pod = %allocation.pod, ips = %allocation.ips, "freed the address of a pod that is gone");
        self.ports.probe.sometimes("gc-collected");
        if let Some(ticket) = ticket {
            // A failing store ends the agent; the next one collects again.
            let _ = ticket.durable().await;
        }
    }

    /// The deliberate mistake: what the list does not show is gone.
    fn trust_the_list(&self) {
        let mut state = self.state();
        let gone: Vec<String> = state
            .pool
            .allocations()
            .filter(|allocation| self.pods.get(&allocation.pod).is_none())
            .map(Allocation::key)
            .collect();
        for key in gone {
            drop(self.surrender(&mut state, &key));
        }
    }
}
