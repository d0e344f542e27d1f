//! The host against the records: what live pods lack is put back, what belongs to nobody is removed.
//!
//! Whoever works on the host beside us (an operator, a script, a plugin that died half-way) is found out by the
//! kernel's own notices, or at the latest by a slow tick. Nothing is mended on the word of one look: an ADD or a
//! DEL under way looks like damage. Orphans are safe in one look, as owners are asked for after the kernel was
//! looked at, and an owner is on record before anything of it is in the kernel.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use terway_core::host::{Mended, Owners, PodNet};
use tokio::time::sleep;

use crate::{
    policy::Phase as PolicyPhase,
    pool::{Phase, PoolEni},
    shared::Shared,
    store::Allocation,
};

/// Time between passes when nothing tells of a change, as the original's: for what the kernel gives no notice of.
const TICK: Duration = Duration::from_secs(300);
/// From a notice to the look: an ADD or a DEL makes dozens of changes, and they come in crowds.
const SETTLE: Duration = Duration::from_secs(2);
/// From what looks like damage to the look that decides. With [`SETTLE`] and the time of a pass, damage is mended
/// well within the ten seconds that are promised.
const AGAIN: Duration = Duration::from_secs(2);

/// Mends until the agent ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let tick = shared.ports.entropy.jitter(TICK, 0.2);
        // Biased towards notices, which come in crowds and are all answered by one pass.
        tokio::select! {
            biased;
            () = shared.ports.host.drifted() => sleep(SETTLE).await,
            () = shared.untidy.notified() => {}
            () = sleep(tick) => {}
        }
        shared.mend().await;
    }
}

impl Shared {
    async fn mend(&self) {
        self.set_up_enis().await;
        self.mend_pods().await;
        let swept = self.ports.host.sweep(&|| self.owners()).await;
        report("removed what belonged to no pod", swept);
    }

    async fn mend_pods(&self) {
        let suspects = self.lacking(|_| true).await;
        if suspects.is_empty() {
            self.state().impaired = None;
            return;
        }
        sleep(AGAIN).await;
        let found = self.lacking(|key| suspects.iter().any(|(suspect, _)| suspect == key)).await;
        if found.is_empty() {
            self.state().impaired = None;
            return;
        }
        let pods: Vec<PodNet> = found.into_iter().map(|(_, pod)| pod).collect();
        let mended = self.ports.host.repair(&pods).await;
        if mended.as_ref().is_ok_and(|mended| !mended.objects.is_empty()) {
            self.ports.probe.sometimes("pod-repaired");
        }
        self.state().impaired = match &mended {
            Ok(mended) => mended.refused.first().cloned(),
            Err(error) => Some(error.to_string()),
        };
        report("put back what live pods lacked", mended);
    }

    /// Records of interest whose pod lacks something, with what it is to have. Pods with a request under way are
    /// left alone.
    async fn lacking(&self, of_interest: impl Fn(&str) -> bool) -> Vec<(String, PodNet)> {
        let pods: Vec<(String, PodNet)> = {
            let processing = self.processing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let state = self.state();
            let settled = |allocation: &&Allocation| {
                !processing.contains(&allocation.pod) && of_interest(&allocation.key())
            };
            let known = state.pool.allocations().filter(settled);
            known
                .filter_map(|allocation| Some((allocation.key(), self.pod_net(&state.pool, allocation)?)))
                .collect()
        };
        if pods.is_empty() {
            return pods;
        }
        let nets: Vec<PodNet> = pods.iter().map(|(_, net)| net.clone()).collect();
        match self.ports.host.lacking(&nets).await {
            Ok(lacking) => {
                let lacking: BTreeSet<usize> = lacking.into_iter().collect();
                let each = pods.into_iter().enumerate();
                each.filter(|(index, _)| lacking.contains(index)).map(|(_, pod)| pod).collect()
            }
            Err(error) => {
                tracing::warn!(%error, "the host's network state cannot be read; nothing is mended");
                Vec::new()
            }
        }
    }

    /// Who is entitled to what, now.
    fn owners(&self) -> Owners {
        let state = self.state();
        let mut owners = Owners::default();
        for allocation in state.pool.allocations() {
            owners.containers.extend(allocation.container.clone());
            owners.in_use.extend(allocation.ips.iter());
        }
        owners.ours = state.pool.enis.values().flat_map(addresses).collect();
        owners
    }

    /// Why running pods suffer, if they do: their ENI has vanished, or the kernel refuses what they lack.
    pub(crate) fn impairment(&self) -> Option<String> {
        let state = self.state();
        let mut lost = state.pool.allocations().filter(|allocation| {
            let eni = state.pool.enis.get(&allocation.eni);
            eni.is_none_or(|eni| matches!(eni.phase, Phase::Missing | Phase::Attaching { .. }))
        });
        if let Some(allocation) = lost.next() {
            let others = lost.count();
            let text = format!("{} of pod {} is not on the node", allocation.eni, allocation.pod);
            return Some(if others == 0 { text } else { format!("{text}; {others} more pods suffer") });
        }
        state.impaired.clone().or_else(|| self.stale_policy())
    }

    /// Why policy is older than what the API server shows, if it is.
    fn stale_policy(&self) -> Option<String> {
        match self.policy()?.status().phase {
            PolicyPhase::Degraded(why) => {
                Some(format!("network policy: {why}; pods that start get no traffic"))
            }
            PolicyPhase::Loading | PolicyPhase::Serving => None,
        }
    }
}

fn report(done: &str, outcome: std::io::Result<Mended>) {
    match outcome {
        Ok(mended) => {
            if !mended.objects.is_empty() {
                tracing::warn!(objects = ?mended.objects, "{done}");
            }
            for refused in &mended.refused {
                tracing::warn!("{refused}");
            }
        }
        Err(error) => tracing::warn!(%error, "the host's network state cannot be mended"),
    }
}

fn addresses(eni: &PoolEni) -> impl Iterator<Item = IpAddr> {
    let v4 = eni.v4.iter().map(|(address, _)| IpAddr::V4(address));
    v4.chain(eni.v6.iter().map(|(address, _)| IpAddr::V6(address)))
}
