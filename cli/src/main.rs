//! `terway-cli`: what an operator types.
//!
//! - 0: done; 1: the cloud refused, or did not get there in time, or policies are not as expected; 2: bad input.
//! - [`cloud`] is the cloud's API by hand; [`connect`] makes its client of options, environment and
//!   metadata.
//! - [`policy`] explains what policies say of a flow, and shows what a node's kernel enforces.
//! - [`mod@print`] lays out what is told; [`failure`] says what went wrong and what to do.

mod cloud;
mod connect;
mod failure;
mod policy;
mod print;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::failure::Failure;

/// Operator's tool of terway-rs
#[derive(Debug, Parser)]
#[command(name = "terway-cli", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 the cloud refused or was late or a policy test failed, 2 bad input."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at the cloud and change it, one API call at a time
    Cloud(Box<cloud::Args>),
    /// Explain, test and show NetworkPolicies: from the cluster, from manifests, or from this node's kernel
    Policy(Box<policy::Args>),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    // `RUST_LOG=debug` tells of each call and of what metadata says.
    // Unasked, the API server's client does not tell what the error tells.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,kube_client=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::err(&failure.text());
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Cloud(args) => cloud::run(*args),
        Command::Policy(args) => policy::run(*args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "terway-cli", &mut text);
            print::out(&String::from_utf8_lossy(&text));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
