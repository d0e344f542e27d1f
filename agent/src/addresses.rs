//! Addresses of an ENI: more of them, or fewer.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use terway_core::{
    address::AddressSet,
    cause::Cause,
    cloud::{Action, Assign, CloudError, Eni, RetryClass},
    id::EniId,
    probe::pass,
};
use tokio::time::sleep;

use crate::{
    eni::READ_LAG,
    pool::{Pool, Slot},
    shared::Shared,
    store::{Intent, Write},
};

/// An ENI that the cloud calls full is left alone for this long.
const FULL_PAUSE: Duration = Duration::from_secs(60);
/// After an unassign was refused, the ENI is left alone for this long.
const RELEASE_PAUSE: Duration = Duration::from_secs(60);

impl Shared {
    /// Adds addresses to an ENI.
    pub(crate) async fn assign(self: Arc<Self>, request: Assign) {
        pass(&*self.ports.probe, "intent.before").await;
        let ticket = self.store.submit(vec![Write::PutIntent(Intent::Assign(request.clone()))]);
        if ticket.durable().await.is_err() {
            return;
        }
        pass(&*self.ports.probe, "intent.after").await;
        self.assign_again(request).await;
    }

    /// The part of [`assign`](Self::assign) that a restart repeats, with the token it finds.
    pub(crate) async fn assign_again(self: Arc<Self>, request: Assign) {
        let result = if request.count.v6 > 0 {
            self.call(Action::AssignIpv6Addresses, || self.ports.cloud.assign_ipv6(&request)).await
        } else {
            self.call(Action::AssignPrivateIpAddresses, || self.ports.cloud.assign_ipv4(&request)).await
        };
        let result = match result {
            Ok(set) => Ok(set),
            Err(failed) if failed.unsure => match self.given_by(&request).await {
                Some(set) => Ok(set),
                None => Err(failed.error),
            },
            Err(failed) => Err(failed.error),
        };
        let mut state = self.state();
        let now = self.now();
        let Some(eni) = state.pool.enis.get_mut(&request.eni) else {
            drop(self.store.submit(vec![Write::DropIntent(request.token)]));
            return;
        };
        if request.count.v6 > 0 {
            eni.ops.v6 = None;
        } else {
            eni.ops.v4 = None;
        }
        eni.touched = now;
        let vswitch = eni.vswitch.clone();
        let mut writes = vec![Write::DropIntent(request.token.clone())];
        match result {
            Ok(mut set) => {
                let got = set.v4.len() + set.v6.len() + set.prefixes.len();
                if got < (request.count.v4 + request.count.v6 + request.count.prefixes) as usize {
                    self.ports.probe.sometimes("partial-assign");
                    if terway_core::bug!(self.ports.probe, IgnorePartialBatch)
                        && let Some(&last) = set.v4.last()
                    {
                        let missing = request.count.v4 as usize - set.v4.len();
                        set.v4.extend((1..=missing as u32).map(|n| Ipv4Addr::from_bits(last.to_bits() + n)));
                    }
                }
                eni.add(&set, Slot::Idle { since: now });
                writes.push(Write::PutEni(eni.record()));
                if state.pool.vswitches.gave(&vswitch) {
                    self.ports.probe.sometimes("vswitch-taken-back");
                }
                state.pool.unblock();
            }
            Err(error) => self.assign_refused(&mut state.pool, &request.eni, &error),
        }
        // Memory may go ahead: an allocation of these addresses is durable only after this is.
        drop(self.store.submit(writes));
        drop(state);
        self.kick.notify_one();
    }

    /// What a call gave although its answer never came: addresses of the ENI that nobody here knows.
    async fn given_by(self: &Arc<Self>, request: &Assign) -> Option<AddressSet> {
        self.ports.probe.sometimes("refused-after-lost-answer");
        let eni = self.look_surely(&request.eni).await?;
        let state = self.state();
        let known = state.pool.enis.get(&request.eni)?;
        let mut set = AddressSet::default();
        if request.count.v6 > 0 {
            set.v6 = eni.addresses.v6;
            set.v6.retain(|address| known.v6.get(*address).is_none());
        } else if request.count.prefixes > 0 {
            set.prefixes = eni.addresses.prefixes;
            set.prefixes.retain(|prefix| !known.prefixes.contains_key(prefix));
        } else {
            set.v4 = eni.addresses.v4;
            set.v4.retain(|address| known.v4.get(*address).is_none());
        }
        (!set.is_empty()).then_some(set)
    }

    fn assign_refused(&self, pool: &mut Pool, id: &EniId, error: &CloudError) {
        let now = self.now();
        tracing::warn!(eni = %id, code = %error.code, request = %error.request_id, "{}", error.message);
        let Some(eni) = pool.enis.get_mut(id) else { return };
        let vswitch = eni.vswitch.clone();
        match error.class {
            RetryClass::VSwitchExhausted => {
                self.ports.probe.sometimes("vswitch-set-aside");
                pool.vswitches.exhausted(&vswitch, now);
                return;
            }
            RetryClass::Fatal => {
                let cause = Cause::Denied {
                    action: error.action.name().to_owned(),
                    code: error.code.clone(),
                    message: error.message.clone(),
                };
                pool.block(cause, Duration::from_secs(30), Duration::from_secs(300), now);
            }
            RetryClass::Quota => {
                let cause = Cause::Quota { code: error.code.clone() };
                pool.block(cause, FULL_PAUSE, Duration::from_secs(300), now);
            }
            _ => {
                eni.full_until = now + FULL_PAUSE;
                self.doubt.notify_one();
            }
        }
        pool.vswitches.ended(&vswitch);
    }

    /// Gives addresses back. They are marked as leaving already.
    pub(crate) async fn unassign(self: Arc<Self>, intent: Intent) {
        pass(&*self.ports.probe, "intent.before").await;
        let ticket = self.store.submit(vec![Write::PutIntent(intent.clone())]);
        if ticket.durable().await.is_err() {
            return;
        }
        pass(&*self.ports.probe, "intent.after").await;
        self.unassign_again(intent).await;
    }

    /// The part of [`unassign`](Self::unassign) that a restart repeats.
    pub(crate) async fn unassign_again(self: Arc<Self>, intent: Intent) {
        let Intent::Unassign { token, eni: id, set } = intent else { return };
        let (kept, refusal) = self.call_unassign(&id, &set).await;
        let mut state = self.state();
        let now = self.now();
        let Some(eni) = state.pool.enis.get_mut(&id) else {
            drop(self.store.submit(vec![Write::DropIntent(token)]));
            return;
        };
        eni.ops.release = false;
        eni.touched = now;
        let mut gone = set;
        gone.v4.retain(|address| !kept.v4.contains(address));
        gone.v6.retain(|address| !kept.v6.contains(address));
        gone.prefixes.retain(|prefix| !kept.prefixes.contains(prefix));
        eni.remove(&gone);
        let record = eni.record();
        let mut writes = vec![Write::DropIntent(token), Write::PutEni(record)];
        writes.extend(state.pool.forgotten(gone.v4.iter().copied()).map(Write::DropCooling));
        if let (Some(error), Some(eni)) = (refusal, state.pool.enis.get_mut(&id)) {
            // Refused: they are still ours, so they may as well be used.
            tracing::warn!(eni = %id, code = %error.code, "addresses could not be given back");
            eni.set_all(&kept, Slot::Idle { since: now });
            state.pool.over_max_since = Some(now + RELEASE_PAUSE);
        }
        drop(self.store.submit(writes));
        drop(state);
        self.kick.notify_one();
    }

    /// Gives addresses back. Returns what the ENI still has, and why if it was refused.
    async fn call_unassign(
        self: &Arc<Self>,
        id: &EniId,
        set: &AddressSet,
    ) -> (AddressSet, Option<CloudError>) {
        let v4 = AddressSet { v4: set.v4.clone(), v6: Vec::new(), prefixes: set.prefixes.clone() };
        let v6 = AddressSet { v6: set.v6.clone(), ..AddressSet::default() };
        let mut kept = AddressSet::default();
        let mut refusal = None;
        for (action, part) in [(Action::UnassignPrivateIpAddresses, v4), (Action::UnassignIpv6Addresses, v6)]
        {
            let mut left = part;
            while !left.is_empty() {
                let result = self
                    .call(action, || match action {
                        Action::UnassignIpv6Addresses => self.ports.cloud.unassign_ipv6(id, &left),
                        _ => self.ports.cloud.unassign_ipv4(id, &left),
                    })
                    .await;
                let Err(failed) = result else { break };
                let gone_in_part =
                    matches!(failed.error.class, RetryClass::AlreadyDone | RetryClass::Converge);
                // At least one was gone already, and it is not said whether the others went with it;
                // or it was refused, but perhaps done before. Only a look tells what is left.
                if gone_in_part || failed.unsure {
                    match self.look_surely(id).await {
                        None => break,
                        Some(eni) => {
                            left.v4.retain(|address| eni.addresses.v4.contains(address));
                            left.v6.retain(|address| eni.addresses.v6.contains(address));
                            left.prefixes.retain(|prefix| eni.addresses.prefixes.contains(prefix));
                        }
                    }
                }
                if !gone_in_part {
                    kept.v4.append(&mut left.v4);
                    kept.v6.append(&mut left.v6);
                    kept.prefixes.append(&mut left.prefixes);
                    refusal = Some(failed.error);
                }
            }
        }
        (kept, refusal)
    }

    /// The ENI as it is once reads have caught up with everything done before. Waits for an answer as
    /// long as it takes: without one nothing may be concluded.
    async fn look_surely(self: &Arc<Self>, id: &EniId) -> Option<Eni> {
        loop {
            sleep(READ_LAG).await;
            match self.describe(id).await {
                Ok(eni) => return eni,
                Err(error) => tracing::warn!(eni = %id, %error, "a lost answer cannot be found out yet"),
            }
        }
    }
}
