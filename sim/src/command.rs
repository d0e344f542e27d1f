//! The command line: what a user types, and the exit codes that scripts rely on.
//!
//! - 0: everything held; 1: it did not, with the list and the line that replays it; 2: bad input.
//! - [`choice`] is how every command names a scenario and changes it; [`job`] is one run in a process of its
//!   own, which [`process`] watches; [`parallel`] keeps several going.
//! - the other modules are one command each.

mod bad;
mod bugs;
mod check;
mod choice;
mod cloud;
mod corpus;
mod crash_points;
mod job;
mod list;
mod parallel;
mod print;
mod process;
mod progress;
mod replay;
mod run;
mod seeds;
mod shrink;
mod sweep;
mod wall;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::bad::Bad;

/// Simulated clusters that run the real agent.
#[derive(Debug, Parser)]
#[command(name = "terway-sim", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 everything held, 1 something did not, 2 bad input.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the built-in scenarios
    List(list::ListArgs),
    /// Print a built-in scenario: a starting point for one's own
    Show(list::ShowArgs),
    /// Run a scenario and report
    Run(run::Args),
    /// Run a seed in several processes and compare the trace hashes minute by minute
    Check(check::Args),
    /// Run many seeds, one process each, and keep the failing ones
    Sweep(sweep::Args),
    /// Print the text trace of one run
    Replay(replay::Args),
    /// Make a kept failure small: fewer faults, fewer nodes, a shorter run
    Shrink(shrink::Args),
    /// Replay all kept failures of a folder
    Corpus(corpus::Args),
    /// Crash one agent at each durable write and cloud call of a reference run, one run each
    CrashPoints(crash_points::Args),
    /// Serve the fake cloud to real clients: OpenAPI, instance metadata, a control API
    Cloud(cloud::Args),
    /// List the deliberate bugs that the oracles must find (special builds only)
    Bugs,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// One run for a parent process
    #[command(hide = true)]
    Worker,
}

/// Whether everything held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Held,
    Broken,
}

impl Verdict {
    fn of(held: bool) -> Self {
        if held { Self::Held } else { Self::Broken }
    }
}

/// Parses the command line, does it, and says how it went.
pub(crate) fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::from(1),
        Err(bad) => {
            print::err(&format!("error: {}\n", bad.message));
            if let Some(hint) = &bad.hint {
                print::err(&format!("hint: {hint}\n"));
            }
            ExitCode::from(2)
        }
    }
}

fn dispatch(command: Command) -> Result<Verdict, Bad> {
    match command {
        Command::List(args) => Ok(list::list(&args)),
        Command::Show(args) => list::show(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => shrink::shrink(&args),
        Command::Corpus(args) => corpus::corpus(&args),
        Command::CrashPoints(args) => crash_points::crash_points(&args),
        Command::Cloud(args) => cloud::cloud(&args),
        Command::Bugs => bugs::list(),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "terway-sim", &mut text);
            print::out(&String::from_utf8_lossy(&text));
            Ok(Verdict::Held)
        }
        Command::Worker => job::work(),
    }
}
