//! Pacing and retrying of cloud calls.
//!
//! A throttled node backs off as one: its calls share a pause that grows while the account is over
//! its rate, so that parallel work on one node does not multiply the pressure. Retries carry the
//! same token; errors that waiting cannot mend go back to the caller at once.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use terway_core::{
    cause::Cause,
    cloud::{Action, CloudError, RetryClass},
    probe::pass,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use crate::shared::Shared;

/// First pause after a throttled call.
const THROTTLE_BASE: Duration = Duration::from_millis(1000);
/// Longest pause after throttled calls while pods wait for the result, and while none does: what only
/// refills the pool leaves the account's rate to those who need it.
const THROTTLE_CAP_WAITING: Duration = Duration::from_secs(4);
const THROTTLE_CAP: Duration = Duration::from_secs(20);
/// Growth of the pause from one refusal to the next. Slow, because many nodes share the account's rate:
/// what the one leaves, another takes, and pauses that outgrow the contention leave the rate unused.
const THROTTLE_GROWTH: f64 = 1.12;
/// First pause after a call that failed for reasons of the cloud's own.
const TRANSIENT_BASE: Duration = Duration::from_millis(1000);
/// Longest pause after such calls.
const TRANSIENT_CAP: Duration = Duration::from_secs(15);

/// A call that failed for good.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The last answer.
    pub(crate) error: CloudError,
    /// An earlier try got no proper answer, so that it may have been applied all the same: what the
    /// last answer refuses, an earlier one may have done. Only a look at the cloud can tell.
    pub(crate) unsure: bool,
}

/// A call under way.
pub(crate) type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, CloudError>> + Send + 'a>>;

/// Client-side rates of one node, shared by all of its calls.
pub(crate) struct Pacing {
    inner: Mutex<Inner>,
    /// The probe has its answer.
    answered: Notify,
}

#[derive(Default)]
struct Inner {
    pause_until: Option<Instant>,
    /// Refusals in a row, each after a pause of its own.
    strikes: u32,
    /// A call finds out whether the account is at peace again; the others wait for its answer.
    probing: bool,
}

/// What a call has to do before it may be made.
enum Turn {
    /// Wait until then and ask again.
    Later(Instant),
    /// Wait for the probe's answer and ask again.
    AfterProbe,
    /// Go; `true` for the probe.
    Now(bool),
}

impl Pacing {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), answered: Notify::new() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> Turn {
        let now = Instant::now();
        let mut inner = self.inner();
        if let Some(until) = inner.pause_until.filter(|until| *until > now) {
            return Turn::Later(until);
        }
        if inner.probing {
            return Turn::AfterProbe;
        }
        inner.probing = inner.strikes > 0;
        Turn::Now(inner.probing)
    }

    /// The account is over its rate: everything on this node pauses. Calls that were under way together
    /// were refused for one and the same reason, so they count once.
    fn throttled(&self, stretch: f64, cap: Duration, retry_after: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut inner = self.inner();
        if let Some(until) = inner.pause_until.filter(|until| *until > now) {
            return until - now;
        }
        let grown = THROTTLE_BASE.mul_f64(THROTTLE_GROWTH.powi(inner.strikes.min(30).cast_signed()));
        let pause = grown.min(cap).mul_f64(stretch).max(retry_after.unwrap_or_default());
        inner.pause_until = Some(now + pause);
        inner.strikes += 1;
        pause
    }

    /// A call has its answer.
    fn answered(&self, probe: bool, refused: bool) {
        let mut inner = self.inner();
        if !refused {
            inner.strikes = 0;
        }
        if probe {
            inner.probing = false;
        }
        if probe || !refused {
            drop(inner);
            self.answered.notify_waiters();
        }
    }
}

impl Shared {
    /// Waits until a call may be made; `true` if it is the probe of a throttled node.
    async fn my_turn(&self) -> bool {
        loop {
            let answered = self.pacing.answered.notified();
            match self.pacing.turn() {
                Turn::Now(probe) => return probe,
                Turn::AfterProbe => answered.await,
                Turn::Later(at) => {
                    // Callers that were held up together do not go on together.
                    sleep_until(at + self.ports.entropy.jitter(Duration::from_millis(5), 10.0)).await;
                }
            }
        }
    }

    fn note_trouble(&self, cause: Cause) {
        let now = self.now();
        self.state().pool.trouble = Some((now, cause));
    }

    /// Makes a call until it succeeds or fails for good. Throttled and transient errors are retried
    /// without end: whoever waits for the result is told about the trouble by his own deadline.
    pub(crate) async fn call<'a, T>(
        &'a self,
        action: Action,
        mut attempt: impl FnMut() -> Attempt<'a, T> + Send,
    ) -> Result<T, Failed> {
        let mut failures = 0u32;
        let mut unsure = false;
        loop {
            let probe = self.my_turn().await;
            pass(&*self.ports.probe, before(action)).await;
            let result = attempt().await;
            pass(&*self.ports.probe, after(action)).await;
            let refused = matches!(&result, Err(error) if error.class == RetryClass::Throttled);
            self.pacing.answered(probe, refused);
            let error = match result {
                Ok(value) => {
                    if failures > 0 {
                        self.ports.probe.sometimes("cloud-retried-to-success");
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            let wait = match error.class {
                RetryClass::Throttled if terway_core::bug!(self.ports.probe, ThrottleIsFatal) => {
                    return Err(Failed { error: CloudError { class: RetryClass::Fatal, ..error }, unsure });
                }
                RetryClass::Throttled => {
                    let waiting = !self.state().waiters.is_empty();
                    let cap = if waiting { THROTTLE_CAP_WAITING } else { THROTTLE_CAP };
                    let stretch = 0.8 + 0.6 * self.ports.entropy.unit();
                    let pause = self.pacing.throttled(stretch, cap, error.retry_after);
                    let retry_in_ms = pause.as_millis() as u64;
                    self.note_trouble(Cause::Throttled { code: error.code.clone(), retry_in_ms });
                    None
                }
                RetryClass::Transient => {
                    unsure = true;
                    let action = action.name().to_owned();
                    self.note_trouble(Cause::CloudUnavailable { action, code: error.code.clone() });
                    let base = (TRANSIENT_BASE * 2u32.pow(failures.min(5))).min(TRANSIENT_CAP);
                    Some(self.ports.entropy.jitter(base, 0.5))
                }
                _ => return Err(Failed { error, unsure }),
            };
            failures += 1;
            tracing::debug!(%action, code = %error.code, failures, "cloud call will be retried");
            if let Some(wait) = wait {
                sleep(wait).await;
            }
        }
    }
}

macro_rules! points {
    ($($action:ident)+) => {
        fn before(action: Action) -> &'static str {
            match action { $(Action::$action => concat!("cloud.", stringify!($action), ".before"),)+ }
        }
        fn after(action: Action) -> &'static str {
            match action { $(Action::$action => concat!("cloud.", stringify!($action), ".after"),)+ }
        }
    };
}

points! {
    CreateNetworkInterface AttachNetworkInterface DetachNetworkInterface DeleteNetworkInterface
    DescribeNetworkInterfaces AssignPrivateIpAddresses UnassignPrivateIpAddresses
    AssignIpv6Addresses UnassignIpv6Addresses DescribeInstanceTypes DescribeSecurityGroups
    DescribeVSwitches DescribeRouteTableList DescribeRouteEntryList CreateRouteEntry DeleteRouteEntry
}
