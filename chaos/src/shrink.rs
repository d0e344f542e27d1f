//! Shrinking: a failing case made small enough to be read.
//!
//! In the order in which it helps a reader most: fewer faults (delta debugging), fewer nodes, a shorter run,
//! rounder times. A trial counts only if the *same* failure comes back, which the caller judges. Steps repeat
//! while they help and trials are left. What is returned has failed in a trial; it is never a guess.

mod ddmin;
mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::duration;
use crate::schedule::{Fault, Schedule};

/// What is run in a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Number of nodes.
    pub nodes: u32,
    /// Length of the run in cluster time.
    pub duration: Duration,
    /// The faults.
    pub schedule: Schedule,
}

/// What a trial showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The invariant of the original failure broke again.
    SameFailure,
    /// Something else failed; counts as not failing.
    Other,
    /// Nothing failed.
    Pass,
}

/// How to shrink.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most trials, the first that confirms the failure included.
    pub budget: u32,
    /// The index, from 0, of the node of that name; `None` for a node that is always there. A case of n nodes
    /// has those of index below n.
    pub node_index: fn(&str) -> Option<u32>,
}

impl Default for Options {
    /// 200 trials of seconds each are minutes, which a person waits for; nodes are numbered at the end of
    /// their name, from 0.
    fn default() -> Self {
        Self { budget: 200, node_index: trailing_number }
    }
}

/// The number at the end of a name: `node-0012` is 12.
pub fn trailing_number(name: &str) -> Option<u32> {
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name[digits..].parse().ok()
}

/// Told to the caller after each trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Trials so far.
    pub trials: u32,
    /// The most there will be.
    pub budget: u32,
    /// Faults of the smallest failing case so far.
    pub faults: usize,
    /// Nodes of the smallest failing case so far.
    pub nodes: u32,
    /// What this trial showed.
    pub outcome: Outcome,
}

/// What shrinking found.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrunk {
    /// The smallest case that failed.
    pub case: Case,
    /// Trials used.
    pub trials: u32,
    /// Whether trials ran out before nothing helped any more.
    pub out_of_budget: bool,
    /// The steps that helped, one line each.
    pub story: Vec<String>,
}

/// The original case did not fail, so there is nothing to shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the case does not show its failure again")]
pub struct NotReproduced;

/// Shrinks a failing case. `run` is called for each trial, `progress` after it.
pub fn shrink(
    case: &Case,
    options: Options,
    run: impl FnMut(&Case) -> Outcome,
    progress: impl FnMut(Progress),
) -> Result<Shrunk, NotReproduced> {
    let mut search =
        Search { best: case.clone(), options, trials: 0, exhausted: false, story: Vec::new(), run, progress };
    if !search.fails(case) {
        return Err(NotReproduced);
    }
    loop {
        let before = search.best.clone();
        search.fewer_faults();
        search.fewer_nodes();
        search.shorter_run();
        search.rounder_times();
        if search.exhausted || search.best == before {
            break;
        }
    }
    Ok(Shrunk {
        case: search.best,
        trials: search.trials,
        out_of_budget: search.exhausted,
        story: search.story,
    })
}

/// The search: the best case so far, and what is left of the budget.
struct Search<R, P> {
    best: Case,
    options: Options,
    trials: u32,
    exhausted: bool,
    story: Vec<String>,
    run: R,
    progress: P,
}

impl<R: FnMut(&Case) -> Outcome, P: FnMut(Progress)> Search<R, P> {
    /// Runs a trial, if one is left.
    fn fails(&mut self, case: &Case) -> bool {
        if self.trials >= self.options.budget {
            self.exhausted = true;
            return false;
        }
        self.trials += 1;
        let outcome = (self.run)(case);
        let same = outcome == Outcome::SameFailure;
        let smallest = if same { case } else { &self.best };
        (self.progress)(Progress {
            trials: self.trials,
            budget: self.options.budget,
            faults: smallest.schedule.len(),
            nodes: smallest.nodes,
            outcome,
        });
        same
    }

    /// Tries a case, and keeps it if it fails.
    fn keep_if_fails(&mut self, case: Case) -> bool {
        let fails = case != self.best && self.fails(&case);
        if fails {
            self.best = case;
        }
        fails
    }

    /// Writes a line of the story.
    fn tell(&mut self, what: &str, from: impl std::fmt::Display, to: impl std::fmt::Display) {
        self.story.push(format!("{what}: {from} → {to} (trial {})", self.trials));
    }
}

/// The time as the story prints it.
fn shown(time: Duration) -> String {
    duration::print(time)
}

/// The faults that can strike in a run of this size: their node exists, and their time comes.
fn fitting(schedule: &Schedule, nodes: u32, duration: Duration, index: fn(&str) -> Option<u32>) -> Schedule {
    let exists = |fault: &Fault| fault.target.node().and_then(index).is_none_or(|index| index < nodes);
    schedule.filtered(|fault| exists(fault) && fault.at < duration)
}
