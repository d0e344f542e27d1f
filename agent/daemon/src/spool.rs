//! Releases that plugins left on disk because nobody listened, or because the answer was lost.

use std::path::{Path, PathBuf};

use terway_agent::Agent;
use terway_core::rpc::RpcError;
use terway_rpc::{
    spool::{self, SpoolError},
    wire::ReleaseIpRequest,
};
use tokio::time::{Duration, sleep};

/// How often the folder is looked at: a plugin that met the daemon between end and start has left something.
const PERIOD: Duration = Duration::from_secs(5);

/// Carries out what is there; returns how many releases were.
pub(crate) async fn replay(agent: &Agent, folder: &Path) -> Result<usize, SpoolError> {
    let mut done = 0;
    for held in spool::list(folder)? {
        let release = match held.release {
            Ok(release) => release,
            Err(error) => {
                // Left for people to see; the address is found by garbage collection.
                tracing::warn!(%error, "a release that was left on disk cannot be read");
                continue;
            }
        };
        let container = release.container.clone();
        match agent.release_ip(ReleaseIpRequest::from(release).into()).await {
            Ok(()) => {
                spool::done(&held.path)?;
                done += 1;
                tracing::info!(container, "carried out a release that was left on disk");
            }
            Err(RpcError::PodIsProcessing(_)) => {}
            Err(error) => tracing::warn!(container, %error, "a release that was left on disk is tried again"),
        }
    }
    Ok(done)
}

/// Replays for as long as the daemon runs.
pub(crate) async fn watch(agent: Agent, folder: PathBuf) {
    loop {
        sleep(PERIOD).await;
        if let Err(error) = replay(&agent, &folder).await {
            tracing::warn!(%error, "releases that were left on disk cannot be carried out");
        }
    }
}
