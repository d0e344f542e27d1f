//! `check`: the same seed in several processes gives the same trace.
//!
//! Hashes are compared minute by minute. The first minute that differs is run again with a text trace in two
//! processes, and the first line that differs is shown: that line names the source of the difference.

use super::{
    Verdict,
    bad::Bad,
    choice::Choice,
    job::{Job, Window},
    parallel, print,
    process::{self, Failure, Finished},
};

/// `check`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs are compared
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=1000))]
    repeat: u32,
    /// Runs at a time
    #[arg(long, value_name = "J", default_value_t = parallel::usual_jobs())]
    jobs: usize,
}

pub(crate) fn check(args: &Args) -> Result<Verdict, Bad> {
    args.choice.load()?;
    let job = Job::new(&args.choice, args.seed);
    let runs = repeat(&job, args.repeat, args.jobs)?;
    let (name, count) = (&args.choice.scenario, runs.len());
    let first = &runs[0].answer.figures;
    let differing = runs.iter().filter_map(|run| first_difference(first, &run.answer.figures)).min();
    let Some(minute) = differing else {
        print::out(&format!(
            "{name}  seed {}: {count} runs, {} minutes, the same trace hash {}\n",
            args.seed,
            first.minutes.len(),
            first.trace_hash
        ));
        return Ok(Verdict::Held);
    };
    print::out(&format!(
        "{name}  seed {}: {count} runs differ, first in minute {minute} of {}\n",
        args.seed,
        first.minutes.len()
    ));
    let window = Window {
        node: None,
        from_ms: Some(minute as u64 * 60_000),
        until_ms: Some((minute as u64 + 1) * 60_000),
    };
    let again = repeat(&Job { window: Some(window), ..job }, 2, args.jobs)?;
    print::out(&first_differing_line(&again[0].trace, &again[1].trace));
    Ok(Verdict::Broken)
}

fn repeat(job: &Job, times: u32, jobs: usize) -> Result<Vec<Finished>, Bad> {
    let (mut runs, mut failed) = (Vec::new(), None);
    let run = |_: &u32| process::run(job, None);
    parallel::each(jobs, (0..times).collect(), run, |_, result| {
        match result {
            Ok(finished) => runs.push(finished),
            Err(failure) => failed = Some(failure),
        }
        failed.is_none()
    });
    match failed {
        None => Ok(runs),
        Some(Failure::Input(text)) => Err(Bad::new(text)),
        Some(failure) => Err(Bad::new(failure.to_string())),
    }
}

/// The first minute, from 0, in which two runs differ; `None` if they do not.
fn first_difference(a: &terway_sim::figures::Figures, b: &terway_sim::figures::Figures) -> Option<usize> {
    let common = a.minutes.iter().zip(&b.minutes).position(|(a, b)| a != b);
    let lengths = (a.minutes.len() != b.minutes.len()).then(|| a.minutes.len().min(b.minutes.len()));
    let rest = (a.trace_hash != b.trace_hash).then_some(a.minutes.len());
    common.or(lengths).or(rest)
}

fn first_differing_line(a: &[String], b: &[String]) -> String {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let show = |lines: &[String]| lines.get(same).map_or("(nothing more)", String::as_str).to_owned();
    match same {
        same if same == a.len() && same == b.len() => {
            format!("a second pair of runs agrees on all {same} lines of that minute: the cause is rare\n")
        }
        same => format!("line {} of that minute differs:\n- {}\n+ {}\n", same + 1, show(a), show(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_first_differing_line_is_shown() {
        assert_eq!(
            first_differing_line(&lines("a b c"), &lines("a x c")),
            "line 2 of that minute differs:\n- b\n+ x\n"
        );
        assert_eq!(
            first_differing_line(&lines("a b"), &lines("a")),
            "line 2 of that minute differs:\n- b\n+ (nothing more)\n"
        );
        assert!(first_differing_line(&lines("a"), &lines("a")).starts_with("a second pair"));
    }
}
