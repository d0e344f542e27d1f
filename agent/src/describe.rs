//! Reads of single ENIs, coalesced: everything that asks within a moment shares one call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use terway_core::{
    cloud::{Action, CloudError, DESCRIBE_IDS_MAX, Eni, EniFilter},
    id::EniId,
};
use tokio::{sync::oneshot, time::sleep};

use crate::shared::Shared;

/// How long a read waits for company. Attaches that were started together end within about a second
/// of each other, so this saves calls without being felt.
const GATHER: Duration = Duration::from_millis(300);

type Answer = Result<Option<Eni>, CloudError>;

/// Reads that wait for company.
#[derive(Default)]
pub(crate) struct Describer {
    waiting: Mutex<BTreeMap<EniId, Vec<oneshot::Sender<Answer>>>>,
}

impl Shared {
    /// The ENI as the cloud describes it now, or nothing when it is not listed. One absence is no
    /// proof: reads lag writes.
    pub(crate) async fn describe(self: &Arc<Self>, id: &EniId) -> Answer {
        let (answer, reply) = oneshot::channel();
        let first = {
            let mut waiting = self.describer.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let first = waiting.is_empty();
            waiting.entry(id.clone()).or_default().push(answer);
            first
        };
        if first {
            let shared = self.clone();
            self.spawn("describe", async move {
                sleep(shared.ports.entropy.jitter(GATHER, 0.5)).await;
                let waiting = std::mem::take(
                    &mut *shared.describer.waiting.lock().unwrap_or_else(PoisonError::into_inner),
                );
                shared.answer(waiting).await;
            });
        }
        match reply.await {
            Ok(answer) => answer,
            // The describing task always answers, unless the agent ends, and then so does this.
            Err(_) => std::future::pending().await,
        }
    }

    async fn answer(&self, waiting: BTreeMap<EniId, Vec<oneshot::Sender<Answer>>>) {
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(DESCRIBE_IDS_MAX));
            let filter = EniFilter::Ids(waiting.iter().map(|(id, _)| id.clone()).collect());
            let result = self.describe_all(filter).await;
            for (id, answers) in waiting {
                let answer = result
                    .as_ref()
                    .map(|enis| enis.iter().find(|eni| eni.id == id).cloned())
                    .map_err(Clone::clone);
                for waiter in answers {
                    // Whoever no longer waits does not need the answer.
                    let _ = waiter.send(answer.clone());
                }
            }
            waiting = rest;
        }
    }

    /// All pages of a filter.
    pub(crate) async fn describe_all(&self, filter: EniFilter) -> Result<Vec<Eni>, CloudError> {
        let mut enis = Vec::new();
        let mut next = None;
        loop {
            let page = self
                .call(Action::DescribeNetworkInterfaces, || {
                    self.ports.cloud.describe_enis(&filter, next.clone())
                })
                .await
                .map_err(|failed| failed.error)?;
            enis.extend(page.rows);
            next = page.next;
            if next.is_none() {
                return Ok(enis);
            }
        }
    }
}
