//! `exec`: this process becomes another one, in the network of a pod, a node or the host outside.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::ExitCode};

use terway_e2e::{
    control::{End, Request, ask},
    netns::Netns,
    target::Target,
};

use super::{Which, failure::Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A pod (NAME or NAMESPACE/NAME), node:N, or outside
    #[arg(required_unless_present = "node", conflicts_with = "node")]
    target: Option<Target>,
    /// Number of a node
    #[arg(long, value_name = "N")]
    node: Option<usize>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
    #[command(flatten)]
    which: Which,
}

pub(super) fn exec(args: &Args) -> Result<ExitCode, Failure> {
    let target = args.node.map(Target::Node).or_else(|| args.target.clone());
    let target = target.ok_or_else(|| Failure::input("a target is missing"))?;
    let end = find(&args.which, &target)?;
    let name = end.netns.ok_or_else(|| Failure::input(format!("`{target}` is an address, not a place")))?;
    // The only thread of this process: all of it moves.
    Netns::open(&name).and_then(|netns| netns.enter()).map_err(|error| Failure::failed(error.to_string()))?;
    let (program, arguments) = args.command.split_first().expect("clap asks for one");
    let error = std::process::Command::new(program).args(arguments).envs(end.environment).exec();
    let program = program.to_string_lossy();
    Err(Failure::input(format!("cannot run `{program}`: {error}")))
}

/// Where a target is.
pub(super) fn find(which: &Which, target: &Target) -> Result<End, Failure> {
    let found = ask(&which.names()?, &Request::Find(target.clone()))?;
    serde_json::from_value(found).map_err(|error| Failure::failed(format!("the cluster's answer: {error}")))
}
