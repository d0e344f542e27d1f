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
/// Looks in a row that must show the same before it counts, where the way to it was not seen: one look may
/// tell of the time before the call.
const SURE: u32 = 3;

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
    in_use: u32,
    attaching: bool,
    detaching: bool,
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
        let count = |before: u32, now: bool| if now { before + 1 } else { 0 };
        let is = |wanted: EniStatus| matches!(status, Some((status, _)) if *status == wanted);
        self.absent = count(self.absent, status.is_none());
        self.available = count(self.available, is(EniStatus::Available));
        self.attaching |= is(EniStatus::Attaching);
        self.detaching |= is(EniStatus::Detaching);
        Ok(match goal {
            Goal::InUse(instance) => {
                if self.attaching && self.available >= SURE {
                    let state = "Available".to_owned();
                    return Err(Failure::Undone { what: eni.to_string(), state, action: "attach" });
                }
                let there = matches!(status, Some((EniStatus::InUse, on)) if on.as_ref() == Some(instance));
                self.in_use = count(self.in_use, there);
                self.in_use >= if self.attaching { 1 } else { SURE }
            }
            Goal::Available => self.available >= if self.detaching { 1 } else { SURE } || self.absent >= SURE,
            Goal::Gone => self.absent >= SURE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many looks a goal is reached; `None` shows an ENI that is not there.
    fn looks(goal: &Goal, shown: &[Option<EniStatus>]) -> Result<Option<usize>, Failure> {
        let mut seen = Seen::default();
        for (index, status) in shown.iter().enumerate() {
            let status = status.map(|status| (status, Some(InstanceId::from("i-1"))));
            if seen.reached(goal, status.as_ref(), &"eni-1".into())? {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_look_at_the_past_is_not_taken_for_the_end() {
        use EniStatus::{Attaching, Available, Detaching, InUse};
        let goal = Goal::InUse("i-1".into());
        let reached = |goal: &Goal, shown: &[Option<EniStatus>]| looks(goal, shown).expect("not undone");
        assert_eq!(reached(&goal, &[Some(Attaching), Some(InUse)]), Some(2));
        // Detached a moment ago, attached again, and read as before both.
        assert_eq!(reached(&goal, &[Some(InUse), Some(Available), Some(Attaching), Some(InUse)]), Some(4));
        assert_eq!(reached(&goal, &[Some(InUse), Some(InUse), Some(InUse)]), Some(3));
        assert_eq!(reached(&Goal::InUse("i-2".into()), &[Some(Attaching), Some(InUse)]), None);
        assert_eq!(reached(&Goal::Available, &[Some(Available), Some(InUse), Some(Detaching)]), None);
        assert_eq!(reached(&Goal::Available, &[Some(Detaching), Some(Available)]), Some(2));
        assert_eq!(reached(&Goal::Gone, &[None, None, Some(EniStatus::Deleting), None, None]), None);
        assert_eq!(reached(&Goal::Gone, &[None, None, None]), Some(3));
    }

    #[test]
    fn an_attachment_that_goes_back_is_undone() {
        let back = [EniStatus::Attaching, EniStatus::Available, EniStatus::Available, EniStatus::Available];
        let failure = looks(&Goal::InUse("i-1".into()), &back.map(Some)).expect_err("undone");
        assert!(failure.text().starts_with("error: eni-1 is Available again"), "{}", failure.text());
    }
}
