//! The command line: what a user types, and the exit codes that scripts rely on.
//!
//! - 0: done; 1: the cluster refused, or something did not get through; 2: bad input, or nothing to work with.
//! - the modules are one command each; what they ask of a running cluster goes over its socket.

mod apply;
mod clean;
mod exec;
mod failure;
mod logs;
mod ping;
mod pod;
mod print;
mod run;
mod status;
mod supervise;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use terway_e2e::{
    control::{AgentAct, Request, ask},
    names::Names,
};

use self::failure::Failure;

/// A cluster on this machine's kernel: a VPC and nodes of network namespaces, with the agent and the plugin that ship
#[derive(Debug, Parser)]
#[command(name = "terway-e2e", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused or not reached, 2 bad input or no such cluster. Needs root."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster and leave it running
    Up(Box<up::Args>),
    /// Run, delete, check and list pods
    #[command(subcommand)]
    Pod(pod::Command),
    /// Make or change network policies and namespaces, from manifests
    Apply(apply::ApplyArgs),
    /// Remove a network policy
    RemovePolicy(apply::RemoveArgs),
    /// Run a command in the network of a pod, a node, or the host outside
    Exec(exec::Args),
    /// Send echo requests from one end to another
    Ping(ping::Args),
    /// Tell what a cluster is like
    Status(status::Args),
    /// Print a log: of a node's agent, or of the cluster
    Logs(logs::Args),
    /// Start, stop, kill or restart the agent of a node
    Agent(AgentArgs),
    /// Play a scenario of terway-sim on a cluster of its own, and compare how both end
    Run(run::Args),
    /// End a cluster and take everything of it away
    Down(clean::DownArgs),
    /// Take away what clusters left that were killed
    Clean(clean::CleanArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The process behind a running cluster
    #[command(hide = true)]
    Supervise,
}

/// Which cluster is meant.
#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "demo", env = "TERWAY_E2E_NAME")]
    name: String,
}

impl Which {
    fn names(&self) -> Result<Names, Failure> {
        Names::new(&self.name).map_err(|error| Failure::input(error.to_string()))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Act {
    /// Start it and wait until it serves
    Start,
    /// Ask it to end
    Stop,
    /// Kill it, as a crash would
    Kill,
    /// Stop it and start it
    Restart,
}

#[derive(Debug, clap::Args)]
struct AgentArgs {
    /// What to do
    act: Act,
    /// Number of the node
    #[arg(long, value_name = "N")]
    node: usize,
    #[command(flatten)]
    which: Which,
}

/// Parses the command line, does it, and says how it went.
pub(crate) fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            print::err(&failure.text());
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "terway-e2e", &mut text);
            print::out(&String::from_utf8_lossy(&text));
            return Ok(ExitCode::SUCCESS);
        }
        Command::Supervise => return supervise::supervise(),
        _ if !rustix::process::geteuid().is_root() => {
            let hint = "run it with sudo";
            return Err(
                Failure::input("terway-e2e needs root, to make and enter network namespaces").hint(hint)
            );
        }
        _ => {}
    }
    match command {
        Command::Up(args) => up::up(&args),
        Command::Pod(command) => pod::pod(command),
        Command::Apply(args) => apply::apply(&args),
        Command::RemovePolicy(args) => apply::remove(&args),
        Command::Exec(args) => exec::exec(&args),
        Command::Ping(args) => ping::ping(&args),
        Command::Status(args) => status::status(&args),
        Command::Run(args) => run::run(&args),
        Command::Logs(args) => logs::logs(&args),
        Command::Agent(args) => agent(&args),
        Command::Down(args) => clean::down(&args),
        Command::Clean(args) => clean::clean(&args),
        Command::Completions { .. } | Command::Supervise => unreachable!("done above"),
    }
}

fn agent(args: &AgentArgs) -> Result<ExitCode, Failure> {
    let (act, done) = match args.act {
        Act::Start => (AgentAct::Start, "serves"),
        Act::Stop => (AgentAct::Stop, "has ended"),
        Act::Kill => (AgentAct::Kill, "is dead"),
        Act::Restart => (AgentAct::Restart, "serves again"),
    };
    ask(&args.which.names()?, &Request::Agent { node: args.node, act })?;
    print::out(&format!("the agent of node {} {done}\n", args.node));
    Ok(ExitCode::SUCCESS)
}

/// A runtime of the calling thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("cannot start: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
