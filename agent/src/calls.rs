//! Pacing and retrying of cloud calls.
//!
//! A throttled node backs off as one: its calls share a pause that grows while the account is over
//! its rate, so that parallel work on one node does not multiply the pressure. Retries carry the
//! same token; errors that waiting cannot mend go back to the caller at once.

use std::{
    collections::BTreeMap,
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
use tokio::time::{Instant, sleep, sleep_until};

use crate::shared::Shared;

/// First pause after a throttled call.
const THROTTLE_BASE: Duration = Duration::from_millis(1000);
/// Longest pause after throttled calls.
const THROTTLE_CAP: Duration = Duration::from_secs(20);
/// First pause after a call that failed for reasons of the cloud's own.
const TRANSIENT_BASE: Duration = Duration::from_millis(1000);
/// Longest pause after such calls.
const TRANSIENT_CAP: Duration = Duration::from_secs(15);

/// A call under way.
pub(crate) type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, CloudError>> + Send + 'a>>;

/// Client-side rates of one node, shared by all of its calls.
pub(crate) struct Pacing {
    per_minute: BTreeMap<String, u32>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    buckets: BTreeMap<Action, (f64, Instant)>,
    pause_until: Option<Instant>,
    strikes: u32,
}

impl Pacing {
    pub(crate) fn new(per_minute: &BTreeMap<String, u32>) -> Self {
        Self { per_minute: per_minute.clone(), inner: Mutex::default() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a call of this action may be made; takes its token from the bucket.
    fn slot(&self, action: Action) -> Option<Instant> {
        let now = Instant::now();
        let limit = self.per_minute.get(action.name()).copied().unwrap_or(action.per_minute()).max(1);
        let rate = f64::from(limit) / 60.0;
        let mut inner = self.inner();
        let pause = inner.pause_until.filter(|until| *until > now);
        let (tokens, at) = inner.buckets.entry(action).or_insert((f64::from(limit), now));
        *tokens = (*tokens + rate * now.duration_since(*at).as_secs_f64()).min(f64::from(limit)) - 1.0;
        *at = now;
        let wait = (*tokens < 0.0).then(|| now + Duration::from_secs_f64(-*tokens / rate));
        pause.max(wait)
    }

    /// The account is over its rate: everything on this node pauses.
    fn throttled(&self, stretch: f64, retry_after: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut inner = self.inner();
        let base = THROTTLE_BASE.mul_f64(1.6f64.powi(inner.strikes.min(10).cast_signed())).min(THROTTLE_CAP);
        let pause = base.mul_f64(stretch).max(retry_after.unwrap_or_default());
        inner.pause_until = inner.pause_until.max(Some(now + pause));
        inner.strikes += 1;
        pause
    }

    fn succeeded(&self) {
        // One success does not mean that the account is at peace: come back halfway.
        self.inner().strikes /= 2;
    }
}

impl Shared {
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
    ) -> Result<T, CloudError> {
        let mut failures = 0u32;
        loop {
            while let Some(at) = self.pacing.slot(action) {
                // Callers that were held up together do not go on together.
                let apart = self.ports.entropy.jitter(Duration::from_millis(20), 10.0);
                sleep_until(at + apart).await;
            }
            pass(&*self.ports.probe, before(action)).await;
            let result = attempt().await;
            pass(&*self.ports.probe, after(action)).await;
            let error = match result {
                Ok(value) => {
                    self.pacing.succeeded();
                    if failures > 0 {
                        self.ports.probe.sometimes("cloud-retried-to-success");
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            let wait = match error.class {
                RetryClass::Throttled if terway_core::bug!(self.ports.probe, ThrottleIsFatal) => {
                    return Err(CloudError { class: RetryClass::Fatal, ..error });
                }
                RetryClass::Throttled => {
                    let pause = self.pacing.throttled(1.0 + self.ports.entropy.unit(), error.retry_after);
                    let retry_in_ms = pause.as_millis() as u64;
                    self.note_trouble(Cause::Throttled { code: error.code.clone(), retry_in_ms });
                    None
                }
                RetryClass::Transient => {
                    let action = action.name().to_owned();
                    self.note_trouble(Cause::CloudUnavailable { action, code: error.code.clone() });
                    let base = (TRANSIENT_BASE * 2u32.pow(failures.min(5))).min(TRANSIENT_CAP);
                    Some(self.ports.entropy.jitter(base, 0.5))
                }
                _ => return Err(error),
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
    AssignIpv6Addresses UnassignIpv6Addresses DescribeInstanceTypes DescribeVSwitches
}
