//! `shrink`: a kept failure made small, each trial in a process of its own.

use std::{path::PathBuf, time::Duration};

use terway_chaos::{
    Expect, InvariantId, Reproducer,
    schedule::Fault,
    shrink::{Case, Options, Outcome, Progress, Shrunk, shrink as search},
};

use super::{Verdict, bad::Bad, job::Job, print, process, replay};

/// `shrink`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kept failure, as `sweep` writes it
    file: PathBuf,
    /// Most trials
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    budget: u32,
    /// Where to write the small one; FILE-shrunk.toml where nothing is said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Wall time in seconds after which a trial counts as another failure
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Carry a deliberate bug (special builds only, see `bugs`)
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

pub(crate) fn shrink(args: &Args) -> Result<Verdict, Bad> {
    let kept = replay::load(&args.file)?;
    let Expect::Violation(id) = kept.expect else {
        return Err(Bad::new(format!(
            "`{}` expects a rare path, so that nothing breaks in it",
            args.file.display()
        ))
        .hint("only entries with expect = { violation = … } can be shrunk"));
    };
    Job { bug: args.bug.clone(), ..Job::of(&kept) }.spec()?;
    let case = Case { nodes: kept.nodes, duration: kept.duration, schedule: kept.schedule.clone() };
    let limit = Duration::from_secs(args.timeout);
    let trial = |case: &Case| {
        let job =
            Job { bug: args.bug.clone(), ..Job::case(&kept, case.nodes, case.duration, &case.schedule) };
        outcome(id, process::run(&job, Some(limit)))
    };
    let options = Options { budget: args.budget, ..Options::default() };
    match search(&case, options, trial, |progress| print::err(&line(progress))) {
        Ok(shrunk) => {
            save(args, &kept, id, &shrunk)?;
            Ok(Verdict::Held)
        }
        Err(error) => {
            print::out(&format!("{id} of `{}`: {error}\n", args.file.display()));
            Ok(Verdict::Broken)
        }
    }
}

/// A trial counts only if the same invariant breaks.
fn outcome(id: InvariantId, result: Result<process::Finished, process::Failure>) -> Outcome {
    match result {
        Ok(finished) if finished.answer.figures.violations.iter().any(|violation| violation.id == id) => {
            Outcome::SameFailure
        }
        Ok(finished) if finished.answer.figures.passed() => Outcome::Pass,
        _ => Outcome::Other,
    }
}

fn line(progress: Progress) -> String {
    let what = match progress.outcome {
        Outcome::SameFailure => "fails",
        Outcome::Other => "fails otherwise",
        Outcome::Pass => "passes",
    };
    format!(
        "trial {} of {}: {what}; smallest so far {} faults, {} nodes\n",
        progress.trials, progress.budget, progress.faults, progress.nodes
    )
}

fn save(args: &Args, kept: &Reproducer, id: InvariantId, shrunk: &Shrunk) -> Result<(), Bad> {
    let small = Reproducer {
        nodes: shrunk.case.nodes,
        duration: shrunk.case.duration,
        schedule: shrunk.case.schedule.clone(),
        ..kept.clone()
    };
    let path = args.out.clone().unwrap_or_else(|| {
        let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
        args.file.with_file_name(format!("{stem}-shrunk.toml"))
    });
    small.save(&path).map_err(|error| Bad::chain(&error))?;
    let mut text = print::Text::default();
    let end = if shrunk.out_of_budget { "the budget is used up" } else { "nothing helps any more" };
    text.line(format_args!("{id}, after {} trials; {end}", shrunk.trials));
    for step in &shrunk.story {
        text.line(format_args!("  {step}"));
    }
    text.line(format_args!(
        "the story: {} nodes for {}, seed {}",
        small.nodes,
        terway_chaos::duration::print(small.duration),
        small.seed
    ));
    for fault in small.schedule.faults() {
        text.line(format_args!("  {}", Fault::story(fault)));
    }
    text.line(format_args!("  {}\nreplay  terway-sim replay {}", kept.story, path.display()));
    print::out(&text.into_string());
    Ok(())
}
