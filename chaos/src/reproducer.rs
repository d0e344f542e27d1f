//! Reproducers: failures kept in the corpus, each with the schedule that brings it back.
//!
//! An entry says what it must reach. When a change of the code makes an old schedule miss its point, replaying
//! says so instead of passing for nothing.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::schedule::{InputError, Schedule};
use crate::{InvariantId, duration, near};

mod read;
#[cfg(test)]
mod tests;

/// What replaying an entry must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// This invariant is broken: a bug that is still there.
    Violation(InvariantId),
    /// The rare path of this name is reached, and every invariant holds: a bug that was repaired.
    Reaches(String),
}

/// An entry of the corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Reproducer {
    /// What happened, in one line.
    pub story: String,
    /// The scenario's name.
    pub scenario: String,
    /// Settings changed from the scenario's, as `key=value`.
    pub overrides: Vec<(String, String)>,
    /// The seed of everything that the schedule does not say.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: u32,
    /// Length of the run in cluster time.
    pub duration: Duration,
    /// The commit at which it was found.
    pub commit: String,
    /// Hash of the scenario's settings at that time.
    pub config_hash: String,
    /// What replaying must show.
    pub expect: Expect,
    /// The faults.
    pub schedule: Schedule,
}

/// Why an entry could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ReproducerError {
    /// The file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that is not allowed.
    #[error("`{path}` is not a reproducer")]
    Input {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: InputError,
    },
}

impl Reproducer {
    /// The entry as TOML: what it is first, the schedule last.
    pub fn to_toml(&self) -> String {
        let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
        let overrides: Vec<String> = self.overrides.iter().map(|(k, v)| text(&format!("{k}={v}"))).collect();
        let expect = match &self.expect {
            Expect::Violation(id) => format!("{{ violation = {} }}", text(id.name())),
            Expect::Reaches(name) => format!("{{ reaches = {} }}", text(name)),
        };
        let mut out = String::new();
        for (key, value) in [
            ("story", text(&self.story)),
            ("scenario", text(&self.scenario)),
            ("overrides", format!("[{}]", overrides.join(", "))),
            // A text, because TOML's integers end at 2⁶³ and seeds do not.
            ("seed", text(&self.seed.to_string())),
            ("nodes", self.nodes.to_string()),
            ("duration", text(&duration::print(self.duration))),
            ("commit", text(&self.commit)),
            ("config_hash", text(&self.config_hash)),
            ("expect", expect),
        ] {
            writeln!(out, "{key} = {value}").expect("writing to a String cannot fail");
        }
        if !self.schedule.is_empty() {
            out.push('\n');
            out.push_str(&self.schedule.to_toml());
        }
        out
    }

    /// Loads an entry from a file.
    pub fn load(path: &Path) -> Result<Self, ReproducerError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReproducerError::Read { path: shown(), source })?;
        Self::from_toml(&text).map_err(|source| ReproducerError::Input { path: shown(), source })
    }

    /// Saves the entry to a file, whose folder must exist.
    pub fn save(&self, path: &Path) -> Result<(), ReproducerError> {
        std::fs::write(path, self.to_toml())
            .map_err(|source| ReproducerError::Write { path: path.display().to_string(), source })
    }
}

/// The invariant of that name, or the nearest name.
fn invariant(name: &str) -> Result<InvariantId, Option<String>> {
    let names = crate::invariant::CATALOGUE.iter().map(|entry| entry.id.name());
    InvariantId::from_name(name).ok_or_else(|| near::nearest(name, names).map(str::to_owned))
}
