//! The process behind a cluster. It reads its order, answers once whether all is up, and serves until it is told to end.

use std::{fs, io::Read as _, process::ExitCode, sync::Mutex};

use terway_e2e::{
    cluster::{Cluster, ClusterError, claim},
    programs::Programs,
    supervisor::{chain, supervise as serve},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    failure::Failure,
    print, runtime,
    up::{Order, Started},
};

pub(super) fn supervise() -> Result<ExitCode, Failure> {
    let mut text = String::new();
    let read =
        std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::input(error.to_string()))?;
    let order: Order = serde_json::from_str(&text).map_err(|error| {
        Failure::input(format!("not an order ({read} bytes): {error}; `terway-e2e up` starts this"))
    })?;
    let runtime = runtime()?;
    let ended = runtime.block_on(run(order));
    // Streams of events have no end of their own.
    runtime.shutdown_background();
    ended
}

async fn run(order: Order) -> Result<ExitCode, Failure> {
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let stop = async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let mut stop = std::pin::pin!(stop);
    let programs = order.programs.map(|[daemon, plugin]| Programs { daemon, plugin });
    let names = match order.spec.check() {
        Ok(names) => names,
        Err(error) => return Ok(answer_failed(&error.into())),
    };
    if let Err(error) = claim(&order.spec, &names).await {
        return Ok(answer_failed(&error));
    }
    log_to(&names.dir().join("cluster.log"))?;
    let started = tokio::select! {
        biased;
        () = stop.as_mut() => None,
        started = Cluster::start(order.spec, programs) => Some(started),
    };
    let cluster = match started {
        Some(Ok(cluster)) => cluster,
        Some(Err(error)) => return Ok(answer_failed(&error)),
        None => {
            terway_e2e::clean::remove(&names).await?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let status = cluster.status().await?;
    let status = serde_json::to_value(status).map_err(|error| Failure::failed(error.to_string()))?;
    answer(&Started::Ready(status));
    serve(cluster, stop).await?;
    Ok(ExitCode::SUCCESS)
}

fn answer(started: &Started) {
    let text = serde_json::to_string(started).expect("texts are the only keys");
    print::out(&format!("{text}\n"));
}

fn answer_failed(error: &ClusterError) -> ExitCode {
    let input = matches!(error, ClusterError::Spec(_) | ClusterError::Running { .. });
    answer(&Started::Failed(chain(error), input));
    ExitCode::FAILURE
}

fn log_to(path: &std::path::Path) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let file =
        file.map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", path.display())))?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Mutex::new(file)).init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("a bug in terway-e2e: {panic}")));
    Ok(())
}
