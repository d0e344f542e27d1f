//! `pod`: pods come, go and are looked at.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;
use terway_core::id::PodKey;
use terway_e2e::{
    control::{Request, ask},
    pod::PodSpec,
    target::pod_key,
};

use super::{Which, failure::Failure, print, status::pods};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a pod on a node: its object, its namespace, the plugin's ADD
    Run(RunArgs),
    /// Delete a pod: the plugin's DEL, its namespace, its object
    Delete(OneArgs),
    /// Call the plugin's CHECK for a pod
    Check(OneArgs),
    /// List the pods
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// Name of the pod, or NAMESPACE/NAME
    pod: String,
    /// Number of the node
    #[arg(long, value_name = "N")]
    node: usize,
    /// Namespace of the pod
    #[arg(long, short = 'n', value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// What it may receive, in bits per second, such as 10M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    ingress: Option<u64>,
    /// What it may send, in bits per second, such as 10M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    egress: Option<u64>,
    /// A label of the pod, such as app=web
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An annotation of the pod
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// Print the pod as JSON, with the plugin's result
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
pub(super) struct OneArgs {
    /// Name of the pod, or NAMESPACE/NAME
    pod: String,
    /// Namespace of the pod
    #[arg(long, short = 'n', value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

pub(super) fn pod(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run(&args)?,
        Command::Delete(args) => {
            let key = args.key()?;
            ask(&args.which.names()?, &Request::DeletePod(key.clone()))?;
            print::out(&format!("pod {key} is deleted\n"));
        }
        Command::Check(args) => {
            let key = args.key()?;
            ask(&args.which.names()?, &Request::CheckPod(key.clone()))?;
            print::out(&format!("pod {key} is as it was made\n"));
        }
        Command::List(args) => {
            let status = ask(&args.which.names()?, &Request::Status)?;
            print::out(&if args.json { print::json(&status["pods"]) } else { pods(&status["pods"]) });
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl OneArgs {
    fn key(&self) -> Result<PodKey, Failure> {
        pod_key(&self.pod, &self.namespace).map_err(|error| Failure::input(error.to_string()))
    }
}

fn run(args: &RunArgs) -> Result<(), Failure> {
    let pod = pod_key(&args.pod, &args.namespace).map_err(|error| Failure::input(error.to_string()))?;
    let (namespace, name) = (pod.namespace.to_string(), pod.name.to_string());
    let mut spec = PodSpec::new(&namespace, &name, args.node);
    (spec.ingress, spec.egress) = (args.ingress, args.egress);
    spec.labels.extend(args.labels.iter().cloned());
    spec.annotations.extend(args.annotations.iter().cloned());
    let made = ask(&args.which.names()?, &Request::RunPod(spec))?;
    print::out(&if args.json { print::json(&made) } else { pods(&Value::from(vec![made])) });
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.into(), value.into())).ok_or_else(|| format!("`{text}` is no KEY=VALUE"))
}

/// A rate in Kubernetes' way of writing quantities: a number with k, M or G, or Ki, Mi, Gi.
fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a rate; allowed: bits per second such as 10M, 500k, 1G or 1Mi");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    let rate = number.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    rate.filter(|rate| *rate > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_are_read_as_kubernetes_writes_them() {
        assert_eq!(["10M", "500k", "1Gi", "8"].map(rate), [10_000_000, 500_000, 1 << 30, 8].map(Ok));
        for bad in ["", "0", "M", "10 M", "10m", "-1", "99999999999999999999"] {
            rate(bad).expect_err(bad);
        }
    }
}
