//! One run: `(scenario, seed)` to figures.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use terway_chaos::Schedule;

use crate::{figures::Figures, scenario::Scenario};

/// What to run.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// The scenario, overrides applied.
    pub scenario: Scenario,
    /// Seed of all randomness.
    pub seed: u64,
    /// The whole schedule, instead of the one that the seed and the scenario give (replay, shrink).
    pub schedule: Option<Schedule>,
    /// Deliberate bug to carry; only in builds with the feature `deliberate-bugs`.
    pub bug: Option<String>,
    /// Text trace.
    pub text: TextTrace,
    /// Overrides that were applied, `key=value`: for the replay line.
    pub overrides: Vec<String>,
    /// Where the scenario came from if not built in: for the replay line.
    pub file: Option<PathBuf>,
}

/// What is printed of the trace while it runs; to standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextTrace {
    /// Nothing.
    #[default]
    Off,
    /// Every event, or those of one node.
    On {
        /// Only this node.
        node: Option<String>,
        /// Only until this time.
        until: Option<Duration>,
        /// Only from this time.
        from: Option<Duration>,
    },
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Cluster time.
    pub at: Duration,
    /// Cluster time at the end, healing included.
    pub end: Duration,
    /// Pods started so far.
    pub pods_started: u64,
    /// Pods stopped so far.
    pub pods_stopped: u64,
    /// Faults injected so far.
    pub faults: u64,
    /// Breaches so far.
    pub violations: u64,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The figures.
    pub figures: Figures,
    /// Everything that was still pending when liveness failed, by object and reason.
    pub pending: Vec<String>,
    /// The schedule that ran, as data.
    pub schedule: Schedule,
    /// What the seed drew in a swarm run, for the summary: (what, value).
    pub drawn: Vec<(String, String)>,
    /// How often the agent of the first node passed each crash point: what `crash-points` enumerates.
    pub points: BTreeMap<String, u32>,
}

/// The run could not be set up: bad input.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario asks for a cloud that cannot be.
    #[error("{0}")]
    Setup(String),
}

/// Runs it.
pub fn run(spec: &RunSpec, progress: &mut dyn FnMut(Progress)) -> Result<RunOutcome, RunError> {
    progress(Progress::default());
    Err(RunError::Setup(format!("`{}` cannot run: there is no world yet", spec.scenario.name)))
}
