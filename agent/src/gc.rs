//! Frees what belongs to pods that are gone, when no DEL told so.
//!
//! Three witnesses must agree: the kernel shows no endpoint, twice in a row; the API server, asked
//! directly, says that the pod is gone, finished or another one. An empty list proves nothing. One
//! pod that cannot be judged does not keep the others from being collected. The runtime's own list (CNI GC) is
//! believed for what is older than it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use terway_core::id::ContainerId;
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

/// Frees the records of a network that the runtime knows no more. It goes on past records that cannot be freed.
pub(crate) async fn collect_network(
    shared: &Shared,
    network: &str,
    valid: &BTreeSet<(ContainerId, String)>,
    began_ms: u64,
) -> (u32, Vec<String>) {
    let boot_id = shared.moment().boot_id;
    let unlisted: Vec<Allocation> = {
        let state = shared.state();
        let dead = |allocation: &&Allocation| {
            let Some(container) = &allocation.container else { return false };
            // A record of an earlier boot is older than any list.
            let young = allocation.made.is_some_and(|made| made.boot_id == boot_id && made.ms >= began_ms);
            allocation.network == network
                && !young
                && !valid.contains(&(container.clone(), allocation.ifname.clone()))
        };
        state.pool.allocations().filter(dead).cloned().collect()
    };
    let (mut freed, mut errors) = (0, Vec::new());
    for allocation in unlisted {
        match shared.free(&allocation).await {
            Freed::Yes => freed += 1,
            Freed::Changed => {}
            Freed::Busy => {
                errors.push(format!("pod {} is being processed by another request", allocation.pod));
            }
            Freed::Undurable(why) => errors.push(format!("pod {}: {why}", allocation.pod)),
        }
    }
    (freed, errors)
}

/// What became of a record that was to be freed.
enum Freed {
    Yes,
    /// A request for its pod is under way and decides by itself.
    Busy,
    /// It is not the record that was judged any more.
    Changed,
    /// The store failed; the agent ends.
    Undurable(String),
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
                Ok(true) => drop(self.free(&allocation).await),
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

    async fn free(&self, allocation: &Allocation) -> Freed {
        let ticket = {
            let processing = self.processing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if processing.contains(&allocation.pod) {
                return Freed::Busy;
            }
            let mut state = self.state();
            if state.pool.allocation(&allocation.key()) != Some(allocation) {
                return Freed::Changed;
            }
            self.surrender(&mut state, &allocation.key())
        };
        self.untidy.notify_one();
        tracing::info!(pod = %allocation.pod, ips = %allocation.ips, "freed the address of a pod that is gone");
        self.ports.probe.sometimes("gc-collected");
        match ticket {
            None => Freed::Changed,
            // A failing store ends the agent; the next one collects again.
            Some(ticket) => ticket
                .durable()
                .await
                .map_or_else(|error| Freed::Undurable(error.to_string()), |()| Freed::Yes),
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
