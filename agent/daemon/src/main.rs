//! `terway-daemon`: the node agent as a process.
//!
//! The agent itself is `terway-agent`, the code that the simulator runs; here are the real ports and the outside.
//! A map, in the order of a start:
//!
//! - [`options`]: flags, in the original's spelling too; [`config`]: the files they name.
//! - [`privilege`]: which capabilities are missing.
//! - [`run`](mod@run): puts everything together, and ends in order.
//! - [`node`]: what the node is like; [`kubernetes`]: the API server.
//! - [`policy`]: programs and maps of policy, where this agent enforces it.
//! - [`tell`]: what the programs tell, to listeners and to the [`audit`] log.
//! - [`service`]: the RPC service over the agent; [`socket`]: where it listens, and who may speak.
//! - [`spool`]: releases that plugins left while nobody listened.
//! - [`conflist`]: the CNI configuration, written when pods can be served.
//! - [`metrics`], [`meters`]: figures, and the ports that they are taken at; [`web`]: health and metrics over HTTP.
//! - [`events`]: what is told on pods and the node.
//! - [`announce`]: what becomes of policies, as events.
//!
//! Exit codes: 0 stopped in order; 1 could not start or go on; 2 bad input.

mod announce;
mod audit;
mod config;
mod conflist;
mod events;
mod kubernetes;
mod meters;
mod metrics;
mod node;
mod options;
mod policy;
mod privilege;
mod run;
mod service;
mod socket;
mod spool;
mod tell;
mod web;

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

use self::options::{LogFormat, Options};

fn main() -> ExitCode {
    let options = Options::parse_from(options::modern(std::env::args_os()));
    if let Some(shell) = options.completions {
        clap_complete::generate(shell, &mut Options::command(), "terway-daemon", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let loaded = config::load(&options);
    log(&options, loaded.as_ref().is_ok_and(|loaded| loaded.policy.debug));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return fail(2, &error),
    };
    if options.check_config {
        return match writeln!(std::io::stdout(), "{}", loaded.describe(options.json)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Two threads: one for the calls of plugins while the other one is in the pool or in a dump of the kernel.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    let outcome = runtime.block_on(run::run(options, loaded));
    // What is under way is durable or is told to nobody: nothing is waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.code(), &error),
    }
}

/// Says what went wrong, with all its causes, where an operator looks.
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    tracing::error!("{text}");
    ExitCode::from(code)
}

fn log(options: &Options, policy: bool) {
    let mut directive = options.log_level.directive();
    if policy {
        directive.push_str(",terway_agent::policy=debug,terway_policy=debug");
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(directive));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
        LogFormat::Text => log.with_ansi(false).init(),
    }
}
