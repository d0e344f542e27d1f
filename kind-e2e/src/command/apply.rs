//! `apply` and `remove-policy`: what a user of policies does.

use std::{fs, path::PathBuf, process::ExitCode};

use serde_json::Value;
use terway_e2e::{
    control::{Request, ask},
    target::pod_key,
};

use super::{Which, failure::Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// Manifests of NetworkPolicies and Namespaces, YAML or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// Name of the policy, or NAMESPACE/NAME
    policy: String,
    #[command(flatten)]
    which: Which,
}

pub(super) fn apply(args: &ApplyArgs) -> Result<ExitCode, Failure> {
    let names = args.which.names()?;
    let mut objects = Vec::new();
    for file in &args.files {
        let wrong = |error: String| Failure::input(format!("{}: {error}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let read: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| wrong(error.to_string()))?;
        objects.extend(read.into_iter().filter(|object| !object.is_null()));
    }
    for object in objects {
        let told = format!("{} {}", name(&object["kind"]), name(&object["metadata"]["name"]));
        ask(&names, &Request::Apply(object))?;
        print::out(&format!("{told} is applied\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn name(value: &Value) -> &str {
    value.as_str().unwrap_or("(none)")
}

pub(super) fn remove(args: &RemoveArgs) -> Result<ExitCode, Failure> {
    let policy = pod_key(&args.policy, "default").map_err(|error| Failure::input(error.to_string()))?;
    ask(&args.which.names()?, &Request::RemovePolicy(policy.clone()))?;
    print::out(&format!("NetworkPolicy {policy} is removed\n"));
    Ok(ExitCode::SUCCESS)
}
