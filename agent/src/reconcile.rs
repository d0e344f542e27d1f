//! Compares the pool with the cloud.
//!
//! Reads of the cloud lag its writes by seconds, so one answer proves nothing: a difference must be
//! seen twice, the second time a good while after our own last change to that ENI. What belongs to a
//! pod is never touched on the cloud's word.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use terway_core::{
    address::{AddressSet, Grain},
    cloud::{Eni, EniFilter, EniStatus},
    id::EniId,
};
use tokio::time::{sleep, timeout};

use crate::{
    eni::READ_LAG,
    pool::{Mono, Phase, Pool, PoolEni, Slot},
    shared::Shared,
    store::{EniPhase, Write},
};

/// Time between passes when nothing is in doubt: three to four reads per node-hour.
const PERIOD: Duration = Duration::from_secs(900);
/// Time until the second look after a difference.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// Differences that were seen once.
#[derive(Default)]
struct Seen {
    missing_enis: BTreeSet<EniId>,
    unknown_enis: BTreeSet<EniId>,
    missing: BTreeSet<(EniId, IpAddr)>,
    unknown: BTreeSet<(EniId, IpAddr)>,
}

/// Compares until the agent ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut seen = Seen::default();
    // The first pass comes soon: the store may be older than the world.
    let mut wait = shared.ports.entropy.jitter(Duration::from_secs(30), 2.0);
    if shared.is_new() {
        wait = shared.ports.entropy.jitter(PERIOD, 0.3);
    }
    loop {
        // Doubt brings the next pass forward; running out of time is the ordinary case.
        if timeout(wait, shared.doubt.notified()).await.is_ok() {
            sleep(shared.ports.entropy.jitter(Duration::from_secs(2), 1.0)).await;
        }
        let differs = match shared.pass(&mut seen).await {
            Ok(differs) => differs,
            Err(error) => {
                tracing::warn!(%error, "the pool could not be compared with the cloud");
                true
            }
        };
        wait = shared.ports.entropy.jitter(if differs { SECOND_LOOK } else { PERIOD }, 0.3);
    }
}

impl Shared {
    fn is_new(&self) -> bool {
        self.state().pool.enis.is_empty()
    }

    /// One comparison. True when something differs and must be looked at again.
    async fn pass(self: &Arc<Self>, seen: &mut Seen) -> Result<bool, terway_core::cloud::CloudError> {
        let begun = self.now();
        let filter = EniFilter::OfInstance(self.identity.instance.clone());
        let enis = self.describe_all(filter).await?;
        let nics = self.ports.metadata.interfaces().await.unwrap_or_default();
        let plugged = self.ports.host.nics().await.unwrap_or_default();
        let trusting = terway_core::bug!(self.ports.probe, TrustLaggingDescribe);
        let mut now_seen = Seen::default();
        // An interface is missing, but it is too early to say why: look again soon.
        let mut unsettled = false;
        let mut writes = Vec::new();
        let mut flows: Vec<(EniId, Phase)> = Vec::new();
        {
            let mut state = self.state();
            let now = self.now();
            let pool = &mut state.pool;
            let listed: BTreeMap<&EniId, &Eni> = enis.iter().map(|eni| (&eni.id, eni)).collect();
            let known: Vec<EniId> = pool.enis.keys().cloned().collect();
            for id in known {
                let eni = pool.enis.get_mut(&id).expect("just listed");
                // Reads may be older than our own last change.
                let settled = trusting || (eni.ops.none() && eni.touched + READ_LAG < begun);
                unsettled |= !settled && eni.phase == Phase::Missing;
                if !settled || !matches!(eni.phase, Phase::InUse | Phase::Missing) {
                    continue;
                }
                match listed.get(&id) {
                    None => {
                        if trusting || seen.missing_enis.contains(&id) {
                            flows.push((id.clone(), Phase::Missing));
                        }
                        now_seen.missing_enis.insert(id);
                    }
                    Some(cloud) if cloud.status == EniStatus::InUse => {
                        let touched = compare(eni, cloud, seen, &mut now_seen, trusting, now);
                        if touched {
                            writes.push(Write::PutEni(eni.record()));
                        }
                        if terway_core::bug!(self.ports.probe, OverwriteBinding) {
                            eni.set_all(&cloud.addresses, Slot::Idle { since: now });
                        }
                        if eni.phase == Phase::Missing {
                            if plugged.contains(&eni.mac) {
                                eni.phase = Phase::InUse;
                            } else {
                                // The kernel knows better than a read that may be old: look again.
                                now_seen.missing_enis.insert(id);
                            }
                        }
                    }
                    // Detached behind our back: pods on it are cut off until it is attached again.
                    Some(_) => {
                        eni.phase = Phase::Attaching { accepted: None };
                        self.ports.probe.sometimes("eni-reattached");
                        flows.push((id.clone(), eni.phase));
                    }
                }
            }
            self.unknown(pool, &enis, seen, &mut now_seen, &mut flows, &mut writes, &nics);
        }
        if !writes.is_empty() {
            drop(self.store.submit(writes));
            self.kick.notify_one();
        }
        for (id, phase) in flows {
            let shared = self.clone();
            match phase {
                Phase::Missing => self.lost(&id),
                Phase::Attaching { .. } => {
                    self.spawn("attach", async move { shared.attach(id, false).await });
                }
                Phase::Leaving(_) => self.spawn("remove", async move { shared.remove(id).await }),
                Phase::InUse => {}
            }
        }
        let differs = unsettled
            || !(now_seen.missing_enis.is_empty()
                && now_seen.unknown_enis.is_empty()
                && now_seen.missing.is_empty()
                && now_seen.unknown.is_empty());
        *seen = now_seen;
        Ok(differs)
    }

    /// ENIs that are tagged as this instance's and that nobody here remembers.
    #[expect(clippy::too_many_arguments, reason = "one pass's working set; a struct would be used once")]
    fn unknown(
        &self,
        pool: &mut Pool,
        enis: &[Eni],
        seen: &Seen,
        now_seen: &mut Seen,
        flows: &mut Vec<(EniId, Phase)>,
        writes: &mut Vec<Write>,
        nics: &[terway_core::metadata::NicMetadata],
    ) {
        // A create under way may be what made it.
        if !pool.creating.is_empty() {
            return;
        }
        for cloud in enis {
            if pool.enis.contains_key(&cloud.id) || cloud.status == EniStatus::Deleting {
                continue;
            }
            if !seen.unknown_enis.contains(&cloud.id) {
                now_seen.unknown_enis.insert(cloud.id.clone());
                continue;
            }
            self.ports.probe.sometimes("unknown-eni-adopted");
            let nic = nics.iter().find(|nic| nic.eni == cloud.id);
            self.adopt_eni(pool, cloud, nic, self.now(), writes);
            let phase = pool.enis.get(&cloud.id).map_or(Phase::Leaving(EniPhase::Deleting), |eni| eni.phase);
            flows.push((cloud.id.clone(), phase));
        }
    }
}

/// Compares the addresses of one ENI. True when its record changed.
fn compare(
    eni: &mut PoolEni,
    cloud: &Eni,
    seen: &Seen,
    now_seen: &mut Seen,
    trusting: bool,
    now: Mono,
) -> bool {
    let mut changed = false;
    let theirs: BTreeSet<Ipv4Addr> = match eni.grain {
        Grain::Address => cloud.addresses.v4.iter().copied().collect(),
        Grain::Prefix => {
            cloud.addresses.prefixes.iter().copied().flat_map(crate::pool::addresses_of).collect()
        }
    };
    let ours: Vec<(Ipv4Addr, Slot)> = eni.v4.iter().collect();
    for (address, slot) in ours {
        let key = (eni.id.clone(), IpAddr::V4(address));
        if theirs.contains(&address) {
            if slot == Slot::Suspect {
                eni.set_v4(address, Slot::Idle { since: now });
            }
            continue;
        }
        match slot {
            Slot::Idle { .. } | Slot::Suspect if trusting || seen.missing.contains(&key) => {
                changed = true;
                eni.remove(&AddressSet { v4: vec![address], ..AddressSet::default() });
            }
            Slot::Idle { .. } | Slot::Suspect => {
                eni.set_v4(address, Slot::Suspect);
                now_seen.missing.insert(key);
            }
            // A pod's address is never taken away on the cloud's word.
            Slot::Assigned | Slot::Cooling { .. } | Slot::Releasing => {}
        }
    }
    for address in theirs {
        let key = (eni.id.clone(), IpAddr::V4(address));
        if eni.v4.get(address).is_some() || eni.grain == Grain::Prefix {
            continue;
        }
        if trusting {
            eni.add(&AddressSet { v4: vec![address], ..AddressSet::default() }, Slot::Idle { since: now });
        } else if seen.unknown.contains(&key) {
            changed = true;
            // It may have left a pod a moment ago, so it rests before it is used.
            let rest = Slot::Cooling { until: now + crate::pool::ADOPTED_REST };
            eni.add(&AddressSet { v4: vec![address], ..AddressSet::default() }, rest);
        } else {
            now_seen.unknown.insert(key);
        }
    }
    changed
}
