//! The four ways in which a case is made smaller.

use std::time::Duration;

use super::{Case, Outcome, Progress, Search, ddmin, fitting, shown};
use crate::schedule::{Fault, Schedule};

/// No run is made shorter than this: agents need time to start.
const SHORTEST: Duration = Duration::from_secs(10);

/// The grains to which times are rounded, coarsest first.
const GRAINS: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_secs(10), Duration::from_secs(1), Duration::from_millis(100)];

impl<R: FnMut(&Case) -> Outcome, P: FnMut(Progress)> Search<R, P> {
    /// Fewer faults, by delta debugging.
    pub(super) fn fewer_faults(&mut self) {
        let before = self.best.schedule.len();
        let faults = self.best.schedule.faults().to_vec();
        let shape = self.best.clone();
        ddmin::minimise(&faults, |subset| {
            self.keep_if_fails(Case { schedule: Schedule::new(subset.to_vec()), ..shape.clone() })
        });
        if self.best.schedule.len() < before {
            self.tell("faults", before, self.best.schedule.len());
        }
    }

    /// Fewer nodes: half as often as that helps, then one by one.
    pub(super) fn fewer_nodes(&mut self) {
        let before = (self.best.nodes, self.best.schedule.len());
        while self.best.nodes > 1 && self.try_nodes(self.best.nodes / 2) {}
        while self.best.nodes > 1 && self.try_nodes(self.best.nodes - 1) {}
        if self.best.nodes < before.0 {
            self.tell("nodes", before.0, self.best.nodes);
        }
        if self.best.schedule.len() < before.1 {
            self.tell("faults on nodes that are gone", before.1, self.best.schedule.len());
        }
    }

    fn try_nodes(&mut self, nodes: u32) -> bool {
        let Case { duration, schedule, .. } = &self.best;
        let schedule = fitting(schedule, nodes, *duration, self.options.node_index);
        self.keep_if_fails(Case { nodes, duration: *duration, schedule })
    }

    /// A shorter run: half as often as that helps, then by tenths.
    pub(super) fn shorter_run(&mut self) {
        let before = self.best.duration;
        while self.try_duration(self.best.duration / 2) {}
        while self.try_duration(self.best.duration * 9 / 10) {}
        if self.best.duration < before {
            self.tell("run", shown(before), shown(self.best.duration));
        }
    }

    fn try_duration(&mut self, duration: Duration) -> bool {
        // Whole seconds, rounded up, so that the result can be typed.
        let duration = Duration::from_secs(duration.as_millis().div_ceil(1000) as u64);
        if duration < SHORTEST || duration >= self.best.duration {
            return false;
        }
        let schedule = fitting(&self.best.schedule, self.best.nodes, duration, self.options.node_index);
        self.keep_if_fails(Case { nodes: self.best.nodes, duration, schedule })
    }

    /// Rounder times: each fault's start and length, then the length of the run, to the coarsest that fails.
    pub(super) fn rounder_times(&mut self) {
        for index in 0..self.best.schedule.len() {
            self.round(index, "start", |fault, grain| Fault { at: down(fault.at, grain), ..fault.clone() });
            self.round(index, "length", |fault, grain| Fault {
                lasts: up(fault.lasts, grain),
                ..fault.clone()
            });
        }
        let before = self.best.duration;
        for grain in GRAINS {
            let duration = up(before, grain);
            // A run made longer to be rounder would undo the step before.
            if duration <= before + before / 5 && self.best.duration == before {
                self.keep_if_fails(Case { duration, ..self.best.clone() });
            }
        }
    }

    fn round(&mut self, index: usize, what: &str, rounded: impl Fn(&Fault, Duration) -> Fault) {
        // Rounding may reorder the schedule; the fault is looked up once, and the index may then name another.
        // That other one is rounded in a later pass, since passes repeat while they help.
        let Some(fault) = self.best.schedule.faults().get(index).cloned() else { return };
        for grain in GRAINS {
            let new = rounded(&fault, grain);
            if new == fault {
                return;
            }
            let mut faults = self.best.schedule.faults().to_vec();
            faults[index] = new.clone();
            if self.keep_if_fails(Case { schedule: Schedule::new(faults), ..self.best.clone() }) {
                let name = fault.kind.name();
                let (from, to) = if what == "start" { (fault.at, new.at) } else { (fault.lasts, new.lasts) };
                self.tell(&format!("{what} of {name}"), shown(from), shown(to));
                return;
            }
        }
    }
}

/// Rounded down to the grain.
fn down(time: Duration, grain: Duration) -> Duration {
    Duration::from_millis((time.as_millis() / grain.as_millis() * grain.as_millis()) as u64)
}

/// Rounded up to the grain, so that what lasts does not come to last nothing.
fn up(time: Duration, grain: Duration) -> Duration {
    Duration::from_millis((time.as_millis().div_ceil(grain.as_millis()) * grain.as_millis()) as u64)
}
