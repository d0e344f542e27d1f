//! How far a run is: a bar on a terminal, a line now and then in a pipe.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use terway_chaos::duration;
use terway_sim::run::Progress;

use super::{print, wall::Stopwatch};

/// Cluster time between two lines in a pipe.
const LINE_EVERY: Duration = Duration::from_mins(10);

/// Shows the progress of one run.
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    quiet: bool,
    watch: Stopwatch,
    next_line: Duration,
}

impl Meter {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {msg}").expect("the template is fixed");
            ProgressBar::new(1000).with_style(style.progress_chars("█▉ "))
        });
        Self { bar, quiet, watch: Stopwatch::start(), next_line: LINE_EVERY }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            let share = progress.at.as_secs_f64() / progress.end.as_secs_f64().max(1e-9);
            bar.set_position((share * 1000.0) as u64);
            bar.set_message(self.line(progress));
        } else if !self.quiet && progress.at >= self.next_line {
            print::err(&format!("{}\n", self.line(progress)));
            while self.next_line <= progress.at {
                self.next_line += LINE_EVERY;
            }
        }
    }

    fn line(&self, progress: Progress) -> String {
        let at = Duration::from_secs(progress.at.as_secs());
        let speed = progress.at.as_secs_f64() / self.watch.elapsed().as_secs_f64().max(1e-3);
        format!(
            "{} of {}  {speed:.0}×  {} pods started, {} stopped  {} faults  {} violations",
            duration::print(at),
            duration::print(progress.end),
            progress.pods_started,
            progress.pods_stopped,
            progress.faults,
            progress.violations
        )
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
