//! `down` and `clean`: everything of a cluster goes, whether its process still lives or not.

use std::{process::ExitCode, time::Duration};

use serde_json::json;
use terway_e2e::{
    clean::{self, Cleaned},
    control::{ControlError, Request, ask},
};

use super::{Which, failure::Failure, print, runtime};

/// How long a cluster may take to end in order: each agent is given ten seconds, all at once.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
pub(super) struct CleanArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let names = args.which.names()?;
    let owner = clean::owner(&names);
    let asked = ask(&names, &Request::Down);
    runtime()?.block_on(async {
        match (asked, owner) {
            (Ok(_), Some(owner)) => {
                if !owner.gone(PATIENCE).await {
                    return Err(Failure::failed(format!("process {} does not end", owner.pid))
                        .hint("kill it; `terway-e2e clean` takes away the rest"));
                }
            }
            // It lives and does not listen: while it starts, or when it hangs. It is ended with the rest.
            (_, Some(_)) | (Ok(_), None) => {}
            (Err(error @ ControlError::Nobody { .. }), None) => {
                if !clean::clusters().contains(names.cluster()) {
                    return Err(error.into());
                }
            }
            (Err(error), None) => return Err(error.into()),
        }
        // What is left of one that was killed, or nothing.
        clean::remove(&names).await?;
        print::out(&format!("cluster `{}` is gone\n", names.cluster()));
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn clean(args: &CleanArgs) -> Result<ExitCode, Failure> {
    let cleaned = runtime()?.block_on(clean::stale())?;
    if args.json {
        print::out(&print::json(&json!(cleaned)));
    } else if cleaned == Cleaned::default() {
        print::out("there was nothing to take away\n");
    } else {
        let clusters: Vec<&str> = cleaned.clusters.iter().map(String::as_str).collect();
        let (namespaces, processes) = (cleaned.namespaces, cleaned.processes);
        let clusters = clusters.join(", ");
        print::out(&format!("took away {namespaces} namespaces and {processes} processes of {clusters}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
