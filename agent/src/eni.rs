//! The life of one ENI: created, attached, watched until it is usable; later detached and deleted.
//!
//! The phase in its record is the intent. Every step begins by being durable and is safe to repeat,
//! so a restart just runs the flow of the phase that it finds.

use std::{sync::Arc, time::Duration};

use terway_core::{
    address::AddressSet,
    cause::Cause,
    cloud::{Action, CloudError, CreateEni, Eni, EniFilter, EniStatus, RetryClass, TAG_TOKEN},
    id::EniId,
    probe::pass,
};
use tokio::time::{Instant, sleep};

use crate::{
    calls::Failed,
    pool::{Phase, Pool, PoolEni},
    shared::Shared,
    store::{EniPhase, EniRecord, Intent, Write},
};

/// After a quota refusal the next try is this far away; doubled each time, up to [`QUOTA_AT_MOST`].
const QUOTA_PAUSE: Duration = Duration::from_secs(60);
const QUOTA_AT_MOST: Duration = Duration::from_secs(300);
/// After a refusal for configuration or permission.
const DENIED_PAUSE: Duration = Duration::from_secs(30);
const DENIED_AT_MOST: Duration = Duration::from_secs(300);
/// First and longest wait between two looks at an ENI that is on its way.
const LOOK_FIRST: Duration = Duration::from_millis(1500);
const LOOK_AT_MOST: Duration = Duration::from_secs(10);
/// The interface usually appears by itself; without a sign of it the cloud is asked after this time.
const NIC_PATIENCE: Duration = Duration::from_secs(10);
/// Metadata usually lags the API by no more than this.
const METADATA_LAG: Duration = Duration::from_secs(6);
/// An ENI on its way for longer than this gets its call repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// Reads may lag writes by this much; an ENI is only gone if it is missing for longer.
pub(crate) const READ_LAG: Duration = Duration::from_secs(15);

/// What a look at an ENI told.
enum Look {
    Is(EniStatus),
    Gone,
}

impl Shared {
    /// Makes an ENI and brings it into use.
    pub(crate) async fn create(self: Arc<Self>, request: CreateEni) {
        if !terway_core::bug!(self.ports.probe, SkipIntent) {
            pass(&*self.ports.probe, "intent.before").await;
            let ticket = self.store.submit(vec![Write::PutIntent(Intent::Create(request.clone()))]);
            if ticket.durable().await.is_err() {
                return;
            }
            pass(&*self.ports.probe, "intent.after").await;
        }
        self.create_again(request).await;
    }

    /// The part of [`create`](Self::create) that a restart repeats, with the token it finds.
    pub(crate) async fn create_again(self: Arc<Self>, request: CreateEni) {
        let fresh = terway_core::bug!(self.ports.probe, FreshTokenOnRetry);
        let result = if fresh {
            self.create_with_fresh_tokens(&request).await
        } else {
            self.call(Action::CreateNetworkInterface, || self.ports.cloud.create_eni(&request)).await
        };
        let created = match result {
            Ok(eni) => Some(eni),
            Err(failed) if failed.unsure => match self.made_by(&request).await {
                Some(eni) => Some(eni),
                None => return self.create_refused(request, &failed.error),
            },
            Err(failed) => return self.create_refused(request, &failed.error),
        };
        if let Some(eni) = created
            && let Some(id) = self.created(&request, &eni).await
        {
            self.attach(id, true).await;
        }
    }

    /// The ENI that a call with this token made, although its answer never came.
    async fn made_by(&self, request: &CreateEni) -> Option<Eni> {
        self.ports.probe.sometimes("refused-after-lost-answer");
        loop {
            sleep(READ_LAG).await;
            let filter = EniFilter::OfInstance(self.identity.instance.clone());
            match self.describe_all(filter).await {
                Ok(enis) => {
                    let made = |eni: &Eni| {
                        eni.tags
                            .iter()
                            .any(|(key, value)| key == TAG_TOKEN && value == request.token.as_str())
                    };
                    return enis.into_iter().find(made);
                }
                // Without a look nothing may be concluded.
                Err(error) => tracing::warn!(%error, "a lost answer cannot be found out yet"),
            }
        }
    }

    fn create_refused(&self, request: CreateEni, error: &CloudError) {
        let mut state = self.state();
        state.pool.creating.remove(&request.token);
        let now = self.now();
        if error.class == RetryClass::VSwitchExhausted {
            self.ports.probe.sometimes("vswitch-set-aside");
            state.pool.vswitches.exhausted(&request.vswitch, now);
        } else {
            state.pool.vswitches.ended(&request.vswitch);
            self.refused(&mut state.pool, error);
        }
        // Nothing waits for it: a replay of a refused create is refused again or adopted.
        drop(self.store.submit(vec![Write::DropIntent(request.token)]));
        drop(state);
        self.kick.notify_one();
    }

    /// The deliberate mistake: every try carries a token of its own.
    async fn create_with_fresh_tokens(&self, request: &CreateEni) -> Result<Eni, Failed> {
        loop {
            let with = CreateEni { token: self.token(), ..request.clone() };
            match self.ports.cloud.create_eni(&with).await {
                Ok(eni) => return Ok(eni),
                Err(error) if matches!(error.class, RetryClass::Transient | RetryClass::Throttled) => {
                    sleep(Duration::from_secs(2)).await;
                }
                Err(error) => return Err(Failed { error, unsure: false }),
            }
        }
    }

    /// Books a new ENI; from here on its record is what a restart goes by.
    async fn created(&self, request: &CreateEni, eni: &Eni) -> Option<EniId> {
        let ticket = {
            let mut state = self.state();
            let now = self.now();
            state.pool.creating.remove(&request.token);
            if state.pool.vswitches.gave(&request.vswitch) {
                self.ports.probe.sometimes("vswitch-taken-back");
            }
            state.pool.unblock();
            let record = record_of(eni);
            let grain = state.pool.capacity.grain;
            let mut entry = PoolEni::from_record(&record, grain, now);
            if terway_core::bug!(self.ports.probe, EarlyHandOut) {
                entry.phase = Phase::InUse;
                let block = ipnet::Ipv4Net::new(eni.primary, 24).expect("a prefix length").trunc();
                entry.net = Some((block, eni.primary));
            }
            // A replayed create may answer with an ENI that is booked already.
            state.pool.enis.entry(eni.id.clone()).or_insert(entry);
            self.store.submit(vec![Write::DropIntent(request.token.clone()), Write::PutEni(record)])
        };
        self.kick.notify_one();
        ticket.durable().await.ok()?;
        Some(eni.id.clone())
    }

    /// Brings an ENI into use, from wherever it is; gives it back when the cloud refuses. One that was
    /// never attached before (`fresh`) needs no read of the cloud: when the kernel sees the interface
    /// and the metadata lists it as plugged, it is in use. For any other the metadata may speak of the
    /// time before.
    pub(crate) async fn attach(self: Arc<Self>, id: EniId, fresh: bool) {
        let mut call_again_at = Instant::now();
        let mut wait = LOOK_FIRST;
        let mut missing_since: Option<Instant> = None;
        loop {
            if call_again_at <= Instant::now() {
                call_again_at = Instant::now() + REPEAT_AFTER;
                match self.call_attach(&id).await {
                    Ok(()) => {
                        self.accepted(&id);
                        self.nic_or_patience(&id).await;
                        if fresh && self.plugged_before_long(&id).await && self.in_use(&id).await {
                            return;
                        }
                    }
                    Err(error) if error.class == RetryClass::Converge => {}
                    Err(error) if self.is_vacant(&id) => return self.attach_refused(id, &error).await,
                    // Pods have addresses of it, or had until just now: it must not go, so it is tried
                    // again until it can be attached.
                    Err(error) => {
                        self.refused(&mut self.state().pool, &error);
                        sleep(self.ports.entropy.jitter(DENIED_PAUSE, 0.3)).await;
                        call_again_at = Instant::now();
                    }
                }
            }
            match self.look(&id).await {
                Look::Is(EniStatus::InUse) => {
                    if self.nic_seen(&id).await && self.in_use(&id).await {
                        return;
                    }
                }
                // Detached by someone, or the attach failed: once more, but not at once, since the
                // read may be older than the call.
                Look::Is(EniStatus::Available) => {
                    missing_since = None;
                    call_again_at = call_again_at.min(Instant::now() + READ_LAG);
                }
                Look::Is(EniStatus::Attaching | EniStatus::Detaching) => missing_since = None,
                Look::Is(EniStatus::Deleting) | Look::Gone => {
                    let since = *missing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= READ_LAG {
                        return self.lost(&id);
                    }
                }
            }
            sleep(self.ports.entropy.jitter(wait, 0.3)).await;
            wait = wait.mul_f64(1.5).min(LOOK_AT_MOST);
        }
    }

    async fn call_attach(&self, id: &EniId) -> Result<(), CloudError> {
        let instance = &self.identity.instance;
        match self.call(Action::AttachNetworkInterface, || self.ports.cloud.attach_eni(id, instance)).await {
            Err(failed) if failed.error.class == RetryClass::AlreadyDone => Ok(()),
            other => other.map_err(|failed| failed.error),
        }
    }

    fn is_vacant(&self, id: &EniId) -> bool {
        self.state().pool.enis.get(id).is_none_or(PoolEni::vacant)
    }

    /// The cloud will not attach it: it is of no use here and must not stay.
    async fn attach_refused(self: Arc<Self>, id: EniId, error: &CloudError) {
        self.ports.probe.sometimes("attach-refused");
        let leak = terway_core::bug!(self.ports.probe, LeakOnAttachFailure);
        {
            let mut state = self.state();
            self.refused(&mut state.pool, error);
            if leak {
                state.pool.enis.remove(&id);
                drop(self.store.submit(vec![Write::DropEni(id.clone())]));
            } else if let Some(eni) = state.pool.enis.get_mut(&id) {
                eni.phase = Phase::Leaving(EniPhase::Deleting);
            }
        }
        self.kick.notify_one();
        if !leak {
            self.remove(id).await;
        }
    }

    /// Growth stops for a while after a refusal that waiting alone does not mend.
    fn refused(&self, pool: &mut crate::pool::Pool, error: &CloudError) {
        let now = self.now();
        tracing::warn!(action = %error.action, code = %error.code, request = %error.request_id, "{}", error.message);
        match error.class {
            RetryClass::Quota => {
                pool.block(Cause::Quota { code: error.code.clone() }, QUOTA_PAUSE, QUOTA_AT_MOST, now);
            }
            RetryClass::Fatal => pool.block(
                Cause::Denied {
                    action: error.action.name().to_owned(),
                    code: error.code.clone(),
                    message: error.message.clone(),
                },
                DENIED_PAUSE,
                DENIED_AT_MOST,
                now,
            ),
            _ => self.doubt.notify_one(),
        }
    }

    /// Returns when the host sees the interface, or after a while without it.
    async fn nic_or_patience(&self, id: &EniId) {
        let mac = self.state().pool.enis.get(id).map(|eni| eni.mac);
        let Some(mac) = mac else { return };
        let seen = async {
            loop {
                let Ok(nics) = self.ports.host.nics().await else { return std::future::pending().await };
                if nics.contains(&mac) {
                    return;
                }
                self.ports.host.nics_changed(&nics).await;
            }
        };
        // Running out of patience is no error: the cloud is asked either way.
        let _ = tokio::time::timeout(NIC_PATIENCE, seen).await;
    }

    /// The cloud is on it: from here on it can be stuck.
    fn accepted(&self, id: &EniId) {
        let now = self.now();
        if let Some(eni) = self.state().pool.enis.get_mut(id)
            && matches!(eni.phase, Phase::Attaching { .. })
        {
            eni.phase = Phase::Attaching { accepted: Some(now) };
        }
        self.kick.notify_one();
    }

    /// Whether the metadata lists an interface that the kernel sees, now or within its usual lag.
    async fn plugged_before_long(&self, id: &EniId) -> bool {
        let begun = Instant::now();
        while self.nic_seen(id).await && begun.elapsed() < METADATA_LAG {
            match self.ports.metadata.interfaces().await {
                Ok(nics) if nics.iter().any(|nic| nic.eni == *id) => return true,
                Ok(_) => sleep(self.ports.entropy.jitter(Duration::from_millis(500), 0.5)).await,
                Err(_) => return false,
            }
        }
        false
    }

    async fn nic_seen(&self, id: &EniId) -> bool {
        let mac = self.state().pool.enis.get(id).map(|eni| eni.mac);
        let (Some(mac), Ok(nics)) = (mac, self.ports.host.nics().await) else { return false };
        nics.contains(&mac)
    }

    async fn look(self: &Arc<Self>, id: &EniId) -> Look {
        match self.describe(id).await {
            Ok(Some(eni)) => Look::Is(eni.status),
            Ok(None) => Look::Gone,
            Err(error) if error.class == RetryClass::Converge => Look::Gone,
            Err(error) => {
                // Reads may be denied too; nothing is concluded from that.
                self.refused(&mut self.state().pool, &error);
                sleep(LOOK_AT_MOST).await;
                Look::Is(EniStatus::Attaching)
            }
        }
    }

    /// An ENI that the cloud no longer has. Pods on it keep their records until they are gone.
    pub(crate) fn lost(&self, id: &EniId) {
        tracing::warn!(eni = %id, "an ENI has vanished from the cloud");
        self.ports.probe.sometimes("eni-lost");
        let ticket = {
            let mut state = self.state();
            let Some(eni) = state.pool.enis.remove(id) else { return };
            // A call to it that was a probe of its vSwitch will not tell any more.
            state.pool.vswitches.ended(&eni.vswitch);
            self.store.submit(drop_eni(&eni, &state.pool))
        };
        self.kick.notify_one();
        // Only memory decides from here on; a replay finds the ENI gone again.
        drop(ticket);
    }

    /// Detaches and deletes an ENI on which nothing is in use; repeats until it is gone.
    pub(crate) async fn remove(self: Arc<Self>, id: EniId) {
        let mut missing_since: Option<Instant> = None;
        let mut call_again_at = Instant::now();
        let mut called = None;
        let mut wait = LOOK_FIRST;
        loop {
            let Some(phase) = self.leaving(&id).await else { return };
            if called != Some(phase) || call_again_at <= Instant::now() {
                (called, call_again_at, wait) = (Some(phase), Instant::now() + REPEAT_AFTER, LOOK_FIRST);
                if let Err(error) = self.call_away(&id, phase).await {
                    // State conflicts are settled by looking; a refusal is tried again later.
                    if matches!(error.class, RetryClass::Fatal | RetryClass::Quota) {
                        tracing::warn!(eni = %id, code = %error.code, "an ENI cannot be given back now");
                        sleep(DENIED_PAUSE).await;
                    }
                }
            }
            sleep(self.ports.entropy.jitter(wait, 0.3)).await;
            wait = wait.mul_f64(1.5).min(LOOK_AT_MOST);
            match self.look(&id).await {
                Look::Is(EniStatus::Available) if phase == EniPhase::Detaching => {
                    self.advance(&id, EniPhase::Deleting);
                }
                Look::Is(EniStatus::InUse | EniStatus::Attaching) if phase == EniPhase::Deleting => {
                    self.advance(&id, EniPhase::Detaching);
                }
                Look::Is(_) => missing_since = None,
                Look::Gone => {
                    let since = *missing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= READ_LAG {
                        return self.lost(&id);
                    }
                }
            }
        }
    }

    fn advance(&self, id: &EniId, phase: EniPhase) {
        if let Some(eni) = self.state().pool.enis.get_mut(id) {
            eni.phase = Phase::Leaving(phase);
        }
    }

    /// Makes the present phase of a leaving ENI durable and returns it.
    async fn leaving(&self, id: &EniId) -> Option<EniPhase> {
        let (phase, ticket) = {
            let state = self.state();
            let eni = state.pool.enis.get(id)?;
            let Phase::Leaving(phase) = eni.phase else { return None };
            (phase, self.store.submit(vec![Write::PutEni(eni.record())]))
        };
        ticket.durable().await.ok()?;
        Some(phase)
    }

    async fn call_away(&self, id: &EniId, phase: EniPhase) -> Result<(), CloudError> {
        let instance = &self.identity.instance;
        let result = if phase == EniPhase::Deleting {
            self.call(Action::DeleteNetworkInterface, || self.ports.cloud.delete_eni(id)).await
        } else {
            self.tear_down(id).await;
            self.call(Action::DetachNetworkInterface, || self.ports.cloud.detach_eni(id, instance)).await
        };
        result.map_err(|failed| failed.error)
    }
}

/// What leaves the store together with an ENI that has left the pool.
fn drop_eni(eni: &PoolEni, left: &Pool) -> Vec<Write> {
    let mut writes = vec![Write::DropEni(eni.id.clone())];
    writes.extend(left.forgotten(eni.v4.iter().map(|(address, _)| address)).map(Write::DropCooling));
    writes
}

/// Record of an ENI that was just created.
pub(crate) fn record_of(eni: &Eni) -> EniRecord {
    let mut addresses: AddressSet = eni.addresses.clone();
    addresses.v4.sort_unstable();
    EniRecord {
        id: eni.id.clone(),
        mac: eni.mac,
        vswitch: eni.vswitch.clone(),
        net: None,
        gateway6: None,
        primary: eni.primary,
        phase: EniPhase::Attaching,
        addresses,
    }
}
