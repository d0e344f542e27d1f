//! `--wait`: attaching, detaching and deleting go on after the call; here they are watched to their end.

use std::time::Duration;

use serde_json::json;
use terway_core::{
    cloud::{EniFilter, EniStatus, RetryClass},
    id::{EniId, InstanceId},
};
use tokio::time::{Instant, sleep};

use super::Context;
use crate::failure::Failure;

/// First pause between two looks, its growth, and the longest: most changes take two to eight seconds, and
/// looks count against the account's rate.
const PAUSE: Duration = Duration::from_secs(1);
const GROWTH: f64 = 1.3;
const LONGEST: Duration = Duration::from_secs(5);
/// Looks in a row that must not show an ENI before it counts as gone: one may be behind.
const GONE: u32 = 3;
/// Looks in a row that must show an attaching ENI as available before it counts as undone: for the same
/// reason.
const UNDONE: u32 = 3;

/// Whether and how long to wait.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Wait {
    /// Wait until the change is complete; progress goes to standard error
    #[arg(long)]
    wait: bool,
    /// For how many seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "wait")]
    wait_for: u32,
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Goal {
    /// Attached to this instance, and usable.
    InUse(InstanceId),
    /// Attached to nothing.
    Available,
    /// No longer there.
    Gone,
}

impl Goal {
    fn name(&self) -> &'static str {
        match self {
            Self::InUse(_) => "InUse",
            Self::Available => "Available",
            Self::Gone => "gone",
        }
    }
}

/// What the looks showed in a row.
#[derive(Default)]
struct Seen {
    absent: u32,
    available: u32,
    attaching: bool,
}

impl Wait {
    /// Waits if that was asked for; tells what is so then.
    pub(super) async fn until(
        self,
        eni: &EniId,
        goal: &Goal,
        context: &Context<'_>,
    ) -> Result<String, Failure> {
        let state = if self.wait { self.watch(eni, goal, context).await? } else { goal.name() };
        let line = || {
            if self.wait {
                format!("{eni} is {state}")
            } else {
                format!("{eni}: requested, on its way to {state}")
            }
        };
        Ok(context.one(line, &json!({ "eni": eni, "goal": goal.name(), "reached": self.wait })))
    }

    async fn watch(self, eni: &EniId, goal: &Goal, context: &Context<'_>) -> Result<&'static str, Failure> {
        let (start, limit) = (Instant::now(), Duration::from_secs(self.wait_for.into()));
        let (mut pause, mut seen) = (PAUSE, Seen::default());
        let filter = EniFilter::Ids(vec![eni.clone()]);
        loop {
            let state = match context.cloud.describe_enis(&filter, None).await {
                Ok(page) => {
                    let found = page.rows.into_iter().find(|row| row.id == *eni);
                    let state = found
                        .as_ref()
                        .map_or_else(|| "not there".to_owned(), |eni| format!("{:?}", eni.status));
                    let status = found.map(|eni| (eni.status, eni.instance));
                    if seen.reached(goal, status.as_ref(), eni)? {
                        return Ok(goal.name());
                    }
                    state
                }
                // A look that fails costs nothing but time.
                Err(error) if matches!(error.class, RetryClass::Throttled | RetryClass::Transient) => {
                    error.code
                }
                Err(error) => return Err(error.into()),
            };
            let waited = start.elapsed();
            if waited + pause > limit {
                return Err(Failure::Late { what: eni.to_string(), state, waited });
            }
            (context.tell)(&format!("{eni}: {state}, after {} s", waited.as_secs()));
            sleep(pause).await;
            pause = pause.mul_f64(GROWTH).min(LONGEST);
        }
    }
}

impl Seen {
    fn reached(
        &mut self,
        goal: &Goal,
        status: Option<&(EniStatus, Option<InstanceId>)>,
        eni: &EniId,
    ) -> Result<bool, Failure> {
        self.absent = if status.is_none() { self.absent + 1 } else { 0 };
        let available = matches!(status, Some((EniStatus::Available, _)));
        self.available = if available { self.available + 1 } else { 0 };
        self.attaching |= matches!(status, Some((EniStatus::Attaching, _)));
        Ok(match goal {
            Goal::InUse(instance) => {
                if self.attaching && self.available >= UNDONE {
                    let state = "Available".to_owned();
                    return Err(Failure::Undone { what: eni.to_string(), state, action: "attach" });
                }
                matches!(status, Some((EniStatus::InUse, on)) if on.as_ref() == Some(instance))
            }
            Goal::Available => available || self.absent >= GONE,
            Goal::Gone => self.absent >= GONE,
        })
    }
}
