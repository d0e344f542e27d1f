//! `logs`: what agents and the cluster itself wrote.

use std::process::ExitCode;

use clap::ValueEnum;

use super::{Which, failure::Failure, print};

/// A part of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All that the cluster's own process wrote
    All,
    /// What the fabric did: NICs plugged, addresses routed
    Fabric,
    /// Calls of the cloud's API, and what became of ENIs and addresses
    Cloud,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of the cluster's own process, which part
    #[arg(default_value = "all", conflicts_with = "node")]
    part: Part,
    /// The agent of this node
    #[arg(long, value_name = "N")]
    node: Option<usize>,
    #[command(flatten)]
    which: Which,
}

pub(super) fn logs(args: &Args) -> Result<ExitCode, Failure> {
    let names = args.which.names()?;
    let path = match args.node {
        Some(node) => names.node_dir(node).join("daemon.log"),
        None => names.dir().join("cluster.log"),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let hint = "`terway-e2e status` lists the nodes; logs go with their cluster";
        Failure::input(format!("cannot read `{}`: {error}", path.display())).hint(hint)
    })?;
    let wanted = |line: &&str| match args.part {
        Part::All => true,
        Part::Fabric => line.contains(" fabric: "),
        Part::Cloud => line.contains(" cloud: "),
    };
    for line in text.lines().filter(wanted) {
        print::out(&format!("{line}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
