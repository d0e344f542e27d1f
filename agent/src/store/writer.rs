//! The task that commits. While one commit waits for its fsync, later changes gather; the next
//! commit takes them all, so the cost of an fsync is shared by everything that waits for it.

use std::sync::Arc;

use redb::Database;
use terway_core::{
    probe::{Probe, pass},
    spawn::{self, Spawner},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{StoreError, Write, commit};

/// The store has failed or stopped; the agent must restart before it may promise anything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's store has stopped")]
pub struct StoreStopped;

/// Resolves when a submitted change is durable.
#[must_use = "nobody outside may be told of a change before it is durable"]
pub struct Ticket(oneshot::Receiver<()>);

impl Ticket {
    /// Waits until the change is on the disk.
    pub async fn durable(self) -> Result<(), StoreStopped> {
        self.0.await.map_err(|_| StoreStopped)
    }
}

struct Batch {
    writes: Vec<Write>,
    done: oneshot::Sender<()>,
}

/// Handle to the writing task.
#[derive(Clone)]
pub struct Store {
    // Unbounded in type, bounded in fact: a submitter waits for its ticket before it goes on, so
    // there are never more batches than requests and cloud operations under way.
    batches: mpsc::UnboundedSender<Batch>,
    failed: watch::Receiver<Option<Arc<StoreError>>>,
}

impl Store {
    /// Starts the writing task over an open database.
    pub fn start(database: Database, spawner: &Arc<dyn Spawner>, probe: Arc<dyn Probe>) -> Self {
        let (batches, queue) = mpsc::unbounded_channel();
        let (failed_tx, failed) = watch::channel(None);
        let task = write_all(Arc::new(database), queue, spawner.clone(), probe, failed_tx);
        spawn::spawn(spawner, "store", task);
        Self { batches, failed }
    }

    /// Submits changes. They become durable together, after everything submitted before.
    pub fn submit(&self, writes: Vec<Write>) -> Ticket {
        let (done, ticket) = oneshot::channel();
        // A send fails only when the writer has stopped; the ticket then says so.
        let _ = self.batches.send(Batch { writes, done });
        Ticket(ticket)
    }

    /// Resolves with the error when the store fails.
    pub async fn failed(&self) -> Option<Arc<StoreError>> {
        let mut failed = self.failed.clone();
        let error = failed.wait_for(Option::is_some).await.ok()?;
        error.clone()
    }
}

async fn write_all(
    database: Arc<Database>,
    mut queue: mpsc::UnboundedReceiver<Batch>,
    spawner: Arc<dyn Spawner>,
    probe: Arc<dyn Probe>,
    failed: watch::Sender<Option<Arc<StoreError>>>,
) {
    while let Some(first) = queue.recv().await {
        let mut batches = vec![first];
        while let Ok(batch) = queue.try_recv() {
            batches.push(batch);
        }
        if batches.len() > 1 {
            probe.sometimes("store-group-commit");
        }
        pass(&*probe, "store.commit.before").await;
        let writes: Vec<Write> = batches.iter_mut().flat_map(|batch| batch.writes.drain(..)).collect();
        if writes.is_empty() {
            // Only asked whether everything before is durable, and it is.
            for batch in batches {
                let _ = batch.done.send(());
            }
            continue;
        }
        let (result_tx, result) = oneshot::channel();
        let database = database.clone();
        spawner
            .block(
                "commit",
                Box::new(move || {
                    // The receiver lives in this very task, which waits for it.
                    let _ = result_tx.send(commit(&database, &writes));
                }),
            )
            .await;
        match result.await {
            Ok(Ok(())) => {}
            // After a failed fsync nobody knows what is on the disk (fsyncgate): the only honest
            // way on is to stop, reopen and look.
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                failed.send_replace(Some(Arc::new(error)));
                return;
            }
            Err(_) => return,
        }
        pass(&*probe, "store.commit.after").await;
        for batch in batches {
            // A submitter that has gone does not need to be told.
            let _ = batch.done.send(());
        }
    }
}
