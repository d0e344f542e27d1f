//! Expectations that a CI tests.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use terway_policy::explain::{End, Explanation, Port, Question};

use super::source;
use crate::failure::Failure;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    manifests: Vec<PathBuf>,
    #[serde(default = "default_namespace")]
    namespace: String,
    expectations: Vec<Expectation>,
}

fn default_namespace() -> String {
    "default".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    #[serde(default)]
    name: String,
    from: String,
    to: String,
    port: Option<PortText>,
    ports: Option<Vec<PortText>>,
    expect: Verdict,
    egress: Option<Verdict>,
    ingress: Option<Verdict>,
}

/// A port as YAML may have it: `80` is a number there.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PortText {
    Number(u16),
    Text(String),
}

impl fmt::Display for PortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Allow,
    Deny,
}

impl Verdict {
    fn of(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::Deny }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// What became of all expectations.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    passed: usize,
    failed: usize,
    results: Vec<Outcome>,
}

/// What became of one expectation and port.
#[derive(Debug, Serialize)]
struct Outcome {
    name: String,
    from: String,
    to: String,
    port: String,
    expect: Verdict,
    passed: bool,
    /// What differs, and why it is as it is; one for each flow that differs.
    differs: Vec<String>,
    explanation: Explanation,
}

impl Report {
    /// Whether all is as expected.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::Unmet { failed, all: failed + self.passed }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.results {
            let Outcome { name, from, to, port, expect, .. } = outcome;
            let word = if outcome.passed { "ok  " } else { "FAIL" };
            let name = if name.is_empty() { String::new() } else { format!("  ({name})") };
            writeln!(f, "{word} {from} -> {to} {port}: {expect}{name}")?;
            for line in &outcome.differs {
                writeln!(f, "     {line}")?;
            }
        }
        writeln!(f, "{} as expected, {} not", self.passed, self.failed)
    }
}

/// Holds manifests against a file of expectations.
pub(super) fn test(path: &Path, more: &[PathBuf]) -> Result<Report, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("FILE: `{shown}` can not be read: {error}")))?;
    let file: File =
        serde_saphyr::from_str(&text).map_err(|error| Failure::input(format!("{shown}: {error}")))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = file.manifests.iter().map(|manifest| folder.join(manifest));
    let manifests: Vec<_> = named.chain(more.iter().cloned()).collect();
    if manifests.is_empty() {
        return Err(Failure::input(format!(
            "{shown}: manifests is empty and there is no -f: nothing to test"
        )));
    }
    if file.expectations.is_empty() {
        return Err(Failure::input(format!("{shown}: expectations is empty: nothing to test")));
    }
    let cluster = source::read(&manifests)?;
    let mut explainer = cluster.explainer()?;
    let mut results = Vec::new();
    for (index, expectation) in file.expectations.iter().enumerate() {
        let at = |field: &str, error: &dyn fmt::Display| {
            Failure::input(format!("{shown}: expectations[{index}]{field}: {error}"))
        };
        let from = End::parse(&expectation.from, &file.namespace).map_err(|error| at(".from", &error))?;
        let to = End::parse(&expectation.to, &file.namespace).map_err(|error| at(".to", &error))?;
        let ports: Vec<(String, PortText)> = match (&expectation.port, &expectation.ports) {
            (Some(port), None) => vec![(".port".into(), port.clone())],
            (None, Some(ports)) if !ports.is_empty() => {
                ports.iter().enumerate().map(|(at, port)| (format!(".ports[{at}]"), port.clone())).collect()
            }
            _ => return Err(at("", &"needs either port or ports, a list of at least one")),
        };
        for (field, port) in ports {
            let port: Port = port.to_string().parse().map_err(|error| at(&field, &error))?;
            let question = Question { from: from.clone(), to: to.clone(), port };
            let explanation = explainer.explain(&question).map_err(|error| at("", &cluster.hint(&error)))?;
            results.push(outcome(expectation, &question, explanation));
        }
    }
    let failed = results.iter().filter(|outcome| !outcome.passed).count();
    Ok(Report { passed: results.len() - failed, failed, results })
}

fn outcome(expectation: &Expectation, question: &Question, explanation: Explanation) -> Outcome {
    let mut differs = Vec::new();
    for flow in &explanation.flows {
        let several = if explanation.flows.len() > 1 { format!("{}: ", flow.port) } else { String::new() };
        let is = Verdict::of(flow.allowed);
        if is != expectation.expect {
            differs.push(format!("{several}is {is}: {}", flow.reason()));
        }
        for (side, expected) in [(&flow.egress, expectation.egress), (&flow.ingress, expectation.ingress)] {
            let is = Verdict::of(side.allowed);
            if let Some(expected) = expected.filter(|expected| *expected != is) {
                let direction = side.direction;
                differs.push(format!("{several}{direction} is {is}, not {expected}: {}", side.reason()));
            }
        }
    }
    Outcome {
        name: expectation.name.clone(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        port: question.port.to_string(),
        expect: expectation.expect,
        passed: differs.is_empty(),
        differs,
        explanation,
    }
}
