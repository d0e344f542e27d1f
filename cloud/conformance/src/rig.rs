//! What a case stands on, and what it cannot bring about by calls.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use terway_core::{
    address::AddressSet,
    cloud::{
        Action, Assign, Cloud, CloudError, CreateEni, CreateRoute, Eni, EniFilter, EniStatus, Page,
        RetryClass, RouteEntry, RouteTable, SecurityGroup, VSwitch, VSwitchFilter,
    },
    id::{EniId, InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VSwitchId, VpcId},
    limits::InstanceLimits,
};
use tokio::time::sleep;

/// What happens on the cloud's side without a call. Each holds until [`Lever::Heal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lever {
    /// Calls of this action are refused for their rate.
    Throttle(Action),
    /// Calls of this action are refused for lack of permission.
    Deny(Action),
    /// Calls of this action are applied and not answered.
    LoseAnswers(Action),
    /// Calls of this action are applied and answered with `InternalError`.
    FailAnswers(Action),
    /// Reads of ENIs tell what was this long ago.
    StaleReads(Duration),
    /// Assign calls give fewer than asked.
    Partial,
    /// Transitions that this action begins do not end by themselves.
    Stuck(Action),
    /// Others take all but so many addresses of a vSwitch.
    Exhaust(VSwitchId, u32),
    /// The instance is on its way down.
    Stopping(InstanceId),
    /// Nothing of the above holds any more.
    Heal,
}

/// A cloud that is built as [`crate::site`] says, and the port to it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The port, as [`crate::site::NODE`] calls it. Calls that the way there swallows are the rig's to
    /// repeat: a case sees the cloud's own answers. See [`Persistent`].
    fn cloud(&self) -> Arc<dyn Cloud>;
    /// The same without any repeating: what a case about lost answers looks at.
    fn bare(&self) -> Arc<dyn Cloud>;
    /// Pulls a lever.
    async fn pull(&self, lever: Lever);
    /// Longest time that a transition of an ENI or a route takes here, with some to spare.
    fn settles(&self) -> Duration;
}

/// Repeats calls until they are answered, as every caller of the port must: with the same token, and
/// knowing that an earlier try may have been applied.
pub struct Persistent {
    cloud: Arc<dyn Cloud>,
    repeated: AtomicU64,
}

/// First and longest pause between tries; a rig's network and its first requests come back in seconds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// Most tries: two minutes of time-outs of ten seconds would be twelve.
const MOST: u32 = 40;

impl Persistent {
    /// The port behind patience.
    pub fn new(cloud: Arc<dyn Cloud>) -> Self {
        Self { cloud, repeated: AtomicU64::new(0) }
    }

    /// Calls that were made again so far.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Relaxed)
    }

    /// `done` tells codes that mean success once an earlier try may have been applied.
    async fn call<T, F>(&self, done: &[&str], mut attempt: impl FnMut() -> F) -> Result<T, CloudError>
    where
        T: Default,
        F: Future<Output = Result<T, CloudError>>,
    {
        self.with(|error| done.contains(&error.code.as_str()).then(T::default), &mut attempt).await
    }

    async fn with<T, F>(
        &self,
        applied: impl Fn(&CloudError) -> Option<T>,
        attempt: &mut impl FnMut() -> F,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let mut unsure = false;
        let mut pause = PAUSE.0;
        for _ in 0..MOST {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let lost = matches!(error.code.as_str(), "Timeout" | "Unreachable" | "IdempotentProcessing");
            if !lost {
                return match applied(&error).filter(|_| unsure) {
                    Some(value) => Ok(value),
                    None => Err(error),
                };
            }
            unsure = true;
            self.repeated.fetch_add(1, Relaxed);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        panic!("no answer in {MOST} tries");
    }
}

const STATE: &str = "InvalidOperation.InvalidEniState";
const NO_ENI: &str = "InvalidEniId.NotFound";

#[async_trait]
impl Cloud for Persistent {
    async fn create_eni(&self, request: &CreateEni) -> Result<Eni, CloudError> {
        self.with(|_| None, &mut || self.cloud.create_eni(request)).await
    }

    async fn attach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        let outcome = self.call(&[], || self.cloud.attach_eni(eni, instance)).await;
        // An earlier try may have begun what this one is refused for; one look tells.
        match outcome {
            Err(error) if error.code == STATE => {
                let page = self.describe_enis(&EniFilter::Ids(vec![eni.clone()]), None).await?;
                let begun =
                    |row: &Eni| row.status == EniStatus::Attaching && row.instance.as_ref() == Some(instance);
                if page.rows.iter().any(begun) { Ok(()) } else { Err(error) }
            }
            outcome => outcome,
        }
    }

    async fn detach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        self.call(&[STATE], || self.cloud.detach_eni(eni, instance)).await
    }

    async fn delete_eni(&self, eni: &EniId) -> Result<(), CloudError> {
        self.call(&[NO_ENI], || self.cloud.delete_eni(eni)).await
    }

    async fn describe_enis(&self, filter: &EniFilter, next: Option<String>) -> Result<Page<Eni>, CloudError> {
        self.with(|_| None, &mut || self.cloud.describe_enis(filter, next.clone())).await
    }

    async fn assign_ipv4(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.with(|_| None, &mut || self.cloud.assign_ipv4(request)).await
    }

    async fn assign_ipv6(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.with(|_| None, &mut || self.cloud.assign_ipv6(request)).await
    }

    async fn unassign_ipv4(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.call(&["InvalidIp.IpUnassigned"], || self.cloud.unassign_ipv4(eni, set)).await
    }

    async fn unassign_ipv6(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.call(&["InvalidIp.IpUnassigned"], || self.cloud.unassign_ipv6(eni, set)).await
    }

    async fn describe_instance_type(&self, kind: &InstanceType) -> Result<InstanceLimits, CloudError> {
        self.with(|_| None, &mut || self.cloud.describe_instance_type(kind)).await
    }

    async fn describe_vswitches(
        &self,
        filter: &VSwitchFilter,
        next: Option<String>,
    ) -> Result<Page<VSwitch>, CloudError> {
        self.with(|_| None, &mut || self.cloud.describe_vswitches(filter, next.clone())).await
    }

    async fn describe_security_groups(
        &self,
        ids: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, CloudError> {
        self.with(|_| None, &mut || self.cloud.describe_security_groups(ids)).await
    }

    async fn describe_route_tables(
        &self,
        vpc: &VpcId,
        next: Option<String>,
    ) -> Result<Page<RouteTable>, CloudError> {
        self.with(|_| None, &mut || self.cloud.describe_route_tables(vpc, next.clone())).await
    }

    async fn describe_route_entries(
        &self,
        table: &RouteTableId,
        next: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError> {
        self.with(|_| None, &mut || self.cloud.describe_route_entries(table, next.clone())).await
    }

    async fn create_route_entry(&self, request: &CreateRoute) -> Result<RouteEntryId, CloudError> {
        self.with(|_| None, &mut || self.cloud.create_route_entry(request)).await
    }

    async fn delete_route_entry(&self, entry: &RouteEntry) -> Result<(), CloudError> {
        let done = |error: &CloudError| {
            let gone = error.class == RetryClass::AlreadyDone || error.code == "IncorrectRouteEntryStatus";
            gone.then_some(())
        };
        self.with(done, &mut || self.cloud.delete_route_entry(entry)).await
    }
}
