//! Which scenario, and what is changed in it: the arguments that most commands share.

use std::path::PathBuf;

use terway_sim::scenario::{Builtin, Scenario, ScenarioError};

use super::bad::Bad;

/// A scenario and its overrides. Values are read by the scenario itself, so that all complaints are alike.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Choice {
    /// A built-in scenario (see `list`), or a file
    #[arg(value_name = "NAME|FILE.toml")]
    pub(crate) scenario: String,
    #[command(flatten)]
    pub(crate) changes: Changes,
}

/// What is changed in a scenario.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Changes {
    /// How the parts reach each other: `fleet` by calls, `wire` by HTTP over a simulated network
    #[arg(long, value_name = "fleet|wire")]
    profile: Option<String>,
    /// Number of nodes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    nodes: Option<String>,
    /// Cluster time during which pods come and go, such as 90s or 1h30m
    #[arg(long, value_name = "D", allow_hyphen_values = true)]
    duration: Option<String>,
    /// Change any value: --set agent.min_pool_size=4 (repeatable)
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// CSV file of pods, for the scenario `trace`
    #[arg(long, value_name = "PODS.csv")]
    trace: Option<String>,
    /// CSV file of nodes, for the scenario `trace`
    #[arg(long, value_name = "NODES.csv")]
    trace_nodes: Option<String>,
    /// Play the trace so many times faster
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    speedup: Option<String>,
    /// Play so many copies of the trace at once
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    copies: Option<String>,
}

impl Changes {
    /// All of them as `path=value`, later ones winning.
    pub(crate) fn overrides(&self) -> Vec<String> {
        let mut overrides = self.set.clone();
        overrides.extend(self.profile.iter().map(|profile| format!("profile={profile}")));
        for (path, value) in [("nodes", &self.nodes), ("duration", &self.duration)] {
            overrides.extend(value.iter().map(|value| format!("{path}={value}")));
        }
        for (path, value) in [("pods", &self.trace), ("nodes", &self.trace_nodes)] {
            overrides.extend(value.iter().map(|value| format!("workload.trace.{path}={}", as_text(value))));
        }
        for (path, value) in [("speedup", &self.speedup), ("copies", &self.copies)] {
            overrides.extend(value.iter().map(|value| format!("workload.trace.{path}={value}")));
        }
        overrides
    }
}

/// A file's name as a value: in quotes where it would read as something else.
fn as_text(name: &str) -> String {
    let other = format!("value = {name}").parse::<toml::Table>().is_ok();
    if other || name.is_empty() { toml::Value::String(name.to_owned()).to_string() } else { name.to_owned() }
}

/// A scenario that was read.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) overrides: Vec<String>,
    pub(crate) scenario: Scenario,
    pub(crate) file: Option<PathBuf>,
}

impl Choice {
    pub(crate) fn load(&self) -> Result<Chosen, Bad> {
        Chosen::load(&self.scenario, self.changes.overrides())
    }
}

impl Chosen {
    /// Reads a built-in scenario or a file.
    pub(crate) fn load(target: &str, overrides: Vec<String>) -> Result<Self, Bad> {
        let file = is_file(target).then(|| PathBuf::from(target));
        let text = match &file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ScenarioError::Read { path: path.clone(), source })?,
            None => Builtin::named(target)?.text.to_owned(),
        };
        let scenario = Scenario::from_toml(&text, &overrides).map_err(|error| {
            let bad = Bad::from(error);
            match &file {
                Some(path) => Bad { message: format!("{}: {}", path.display(), bad.message), ..bad },
                None => bad,
            }
        })?;
        Ok(Self { overrides, scenario, file })
    }
}

/// Names of scenarios have neither dots nor slashes.
pub(crate) fn is_file(target: &str) -> bool {
    target.contains(['.', '/', '\\'])
}
