//! One run in a process of its own: what it is told, and what it answers.
//!
//! The job is one line of JSON on standard input, which stays open: when it ends, the parent is gone, and the
//! worker goes too. The answer is one line on standard output after a mark; a text trace stands before it.

use std::{collections::BTreeMap, io::Read as _, time::Duration};

use serde::{Deserialize, Serialize};
use terway_chaos::{Reproducer, Schedule, duration};
use terway_sim::{
    figures::Figures,
    run::{RunSpec, TextTrace, run},
};

use super::{
    Verdict,
    bad::Bad,
    bugs,
    choice::{Choice, Chosen},
    print,
};

/// Stands before the answer; no line of a trace begins with it.
pub(crate) const MARK: &str = "\u{1e}answer ";

/// A run to be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// A built-in scenario or a file.
    pub(crate) target: String,
    pub(crate) overrides: Vec<String>,
    pub(crate) seed: u64,
    /// The whole schedule as TOML, instead of a drawn one.
    pub(crate) schedule: Option<String>,
    pub(crate) bug: Option<String>,
    /// Print the trace of this part of the run.
    pub(crate) window: Option<Window>,
}

/// A part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) node: Option<String>,
    pub(crate) from_ms: Option<u64>,
    pub(crate) until_ms: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) figures: Figures,
    pub(crate) pending: Vec<String>,
    /// As TOML.
    pub(crate) schedule: String,
    /// Cluster time before healing, for a reproducer.
    pub(crate) duration_ms: u64,
    pub(crate) points: BTreeMap<String, u64>,
}

impl Job {
    pub(crate) fn new(choice: &Choice, seed: u64) -> Self {
        Self {
            target: choice.scenario.clone(),
            overrides: choice.changes.overrides(),
            seed,
            ..Self::default()
        }
    }

    /// The run of a kept failure.
    pub(crate) fn of(kept: &Reproducer) -> Self {
        Self::case(kept, kept.nodes, kept.duration, &kept.schedule)
    }

    /// The same with another size and schedule.
    pub(crate) fn case(kept: &Reproducer, nodes: u32, length: Duration, schedule: &Schedule) -> Self {
        let mut overrides: Vec<String> =
            kept.overrides.iter().map(|(path, value)| format!("{path}={value}")).collect();
        overrides.push(format!("nodes={nodes}"));
        overrides.push(format!("duration={}", duration::print(length)));
        Self {
            target: kept.scenario.clone(),
            overrides,
            seed: kept.seed,
            schedule: Some(schedule.to_toml()),
            ..Self::default()
        }
    }

    /// What the simulator is to run; all bad input shows here.
    pub(crate) fn spec(&self) -> Result<RunSpec, Bad> {
        bugs::known(self.bug.as_deref())?;
        let chosen = Chosen::load(&self.target, self.overrides.clone())?;
        let schedule = self.schedule.as_deref().map(Schedule::from_toml).transpose();
        let text = self.window.as_ref().map_or(TextTrace::Off, |window| TextTrace::On {
            node: window.node.clone(),
            from: window.from_ms.map(Duration::from_millis),
            until: window.until_ms.map(Duration::from_millis),
        });
        Ok(RunSpec {
            scenario: chosen.scenario,
            seed: self.seed,
            schedule: schedule.map_err(|error| Bad::chain(&error))?,
            bug: self.bug.clone(),
            text,
            overrides: chosen.overrides,
            file: chosen.file,
        })
    }
}

/// The hidden command: does the job that stands on standard input.
pub(crate) fn work() -> Result<Verdict, Bad> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Bad::new(format!("no job: {error}")))?;
    let job: Job = serde_json::from_str(&line).map_err(|error| Bad::new(format!("not a job: {error}")))?;
    die_with_parent();
    let spec = job.spec()?;
    let duration_ms = spec.scenario.duration.as_millis() as u64;
    let outcome = run(&spec, &mut |_| {})?;
    let held = outcome.figures.passed();
    let answer = Answer {
        figures: outcome.figures,
        pending: outcome.pending,
        schedule: outcome.schedule.to_toml(),
        duration_ms,
        points: outcome.points,
    };
    let text = serde_json::to_string(&answer).expect("an answer is plain data with text keys");
    print::out(&format!("{MARK}{text}\n"));
    Ok(Verdict::of(held))
}

/// Ends this process when its parent closes the pipe, by will or by death.
#[expect(clippy::disallowed_methods, reason = "waits for a pipe beside the run and takes no part in it")]
fn die_with_parent() {
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while std::io::stdin().read(&mut rest).is_ok_and(|read| read > 0) {}
        std::process::exit(130);
    });
}
