//! `status`: nodes and pods, as tables or as JSON.

use std::process::ExitCode;

use serde_json::Value;
use terway_e2e::control::{Request, ask};

use super::{Which, failure::Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

pub(super) fn status(args: &Args) -> Result<ExitCode, Failure> {
    let status = ask(&args.which.names()?, &Request::Status)?;
    print::out(&if args.json { print::json(&status) } else { tell(&status) });
    Ok(ExitCode::SUCCESS)
}

/// Tables for people.
pub(super) fn tell(status: &Value) -> String {
    let nodes = list(&status["nodes"]).iter().map(|node| {
        let agent = match (node["daemon"].as_u64(), node["ready"].as_bool()) {
            (Some(_), Some(true)) => "ready",
            (Some(_), _) => "starting",
            (None, _) => "none",
        };
        let enis = list(&node["enis"]);
        let addresses = |eni: &Value| {
            let single =
                ["v4", "v6"].iter().map(|family| list(&eni["addresses"][family]).len()).sum::<usize>();
            single + 16 * list(&eni["addresses"]["prefixes"]).len()
        };
        let held: usize = enis.iter().map(addresses).sum();
        [
            text(&node["name"]),
            text(&node["zone"]),
            agent.to_owned(),
            join(&node["ips"]),
            enis.len().to_string(),
            held.to_string(),
            text(&node["netns"]),
        ]
    });
    let nodes: Vec<_> = nodes.collect();
    let heading = ["NODE", "ZONE", "AGENT", "ADDRESSES", "ENIS", "HELD", "NAMESPACE"];
    let mut out = print::table(heading, &nodes);
    if !list(&status["pods"]).is_empty() {
        out += "\n";
        out += &pods(&status["pods"]);
    }
    if status["spoofed"].as_u64().is_some_and(|count| count > 0) {
        out +=
            &format!("\n{} packets were dropped for a source that was not their ENI's\n", status["spoofed"]);
    }
    out
}

/// A table of pods.
pub(super) fn pods(pods: &Value) -> String {
    let rows = list(pods).iter().map(|pod| {
        let (namespace, name) = (text(&pod["pod"]["namespace"]), text(&pod["pod"]["name"]));
        [namespace, name, format!("n{}", pod["node"]), join(&pod["ips"]), text(&pod["netns"])]
    });
    print::table(["NAMESPACE", "POD", "NODE", "ADDRESSES", "NETNS"], &rows.collect::<Vec<_>>())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn join(value: &Value) -> String {
    list(value).iter().map(text).collect::<Vec<_>>().join(" ")
}
