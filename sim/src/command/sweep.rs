//! `sweep`: many seeds of a scenario, one process each.
//!
//! Failing seeds are kept as reproducers with the schedule that the seed drew, so that they outlive changes of
//! the draw. Rare paths are summed up over all seeds: one that no seed reached is told by name.

mod summary;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use terway_chaos::{Expect, InvariantId, Reproducer, Severity, Violation};

use self::summary::Summary;
use super::{
    Verdict,
    bad::Bad,
    choice::Choice,
    job::{Answer, Job},
    parallel, print,
    process::{self, Failure},
    seeds::Seeds,
    wall::Stopwatch,
};

/// `sweep`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Seeds, A..B without B
    #[arg(long, value_name = "A..B")]
    seeds: Seeds,
    /// Runs at a time
    #[arg(long, value_name = "J", default_value_t = parallel::usual_jobs())]
    jobs: usize,
    /// Keep failing seeds in this folder
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Write the summary as JSON to this file; `-` for standard output
    #[arg(long, value_name = "F")]
    json: Option<PathBuf>,
    /// Wall time in seconds after which a run counts as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Stop at the first failure
    #[arg(long)]
    first: bool,
    /// Carry a deliberate bug (special builds only, see `bugs`)
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// No line per seed
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn sweep(args: &Args) -> Result<Verdict, Bad> {
    let model = Job { bug: args.bug.clone(), ..Job::new(&args.choice, 0) };
    model.spec()?;
    if let Some(folder) = &args.corpus {
        std::fs::create_dir_all(folder).map_err(|error| Bad::file("create", folder, &error))?;
    }
    let watch = Stopwatch::start();
    let limit = Some(Duration::from_secs(args.timeout));
    let run = |seed: &u64| process::run(&Job { seed: *seed, ..model.clone() }, limit);
    let mut summary = Summary::new(&args.choice.scenario, args.seeds.0.clone());
    let mut bad = None;
    parallel::each(args.jobs, args.seeds.0.clone().collect(), run, |seed, result| {
        let kept =
            result.as_ref().ok().and_then(|finished| keep(args, &model, seed, &finished.answer).transpose());
        let kept = match (kept.transpose(), &result) {
            (Err(error), _) => {
                bad = Some(error);
                return false;
            }
            (_, Err(Failure::Input(text))) => {
                bad = Some(Bad::new(text.clone()));
                return false;
            }
            (Ok(kept), _) => kept,
        };
        let failed = summary.add(seed, result.map(|finished| finished.answer), kept);
        if !args.quiet {
            print::err(&summary.line());
        }
        !(failed && args.first)
    });
    if let Some(bad) = bad {
        return Err(bad);
    }
    let replay = |seed: u64| replay_line(&model, seed);
    let document = summary.json(watch.elapsed());
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => {
            print::out(&document);
            print::err(&summary.text(watch.elapsed(), replay));
        }
        Some(path) => {
            std::fs::write(path, document).map_err(|error| Bad::file("write", path, &error))?;
            print::out(&summary.text(watch.elapsed(), replay));
        }
        None => print::out(&summary.text(watch.elapsed(), replay)),
    }
    Ok(Verdict::of(summary.held()))
}

/// The command that replays a seed.
fn replay_line(model: &Job, seed: u64) -> String {
    let quoted = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "=./_-:".contains(c);
        if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
    };
    let mut line = format!("terway-sim replay {} --seed {seed}", quoted(&model.target));
    for change in &model.overrides {
        line += " --set ";
        line += &quoted(change);
    }
    if let Some(bug) = &model.bug {
        line += " --bug ";
        line += bug;
    }
    line
}

/// The breach that a failure is named after: the first of those that fail the run.
fn named_after(answer: &Answer) -> Option<&Violation> {
    answer.figures.violations.iter().find(|violation| violation.severity != Severity::Minor)
}

/// Keeps a failing seed, if there is a folder for it and an invariant that broke.
fn keep(args: &Args, model: &Job, seed: u64, answer: &Answer) -> Result<Option<PathBuf>, Bad> {
    let (Some(folder), Some(breach)) = (&args.corpus, named_after(answer)) else { return Ok(None) };
    // Size and length have keys of their own.
    let pair = |change: &String| {
        let (path, value) = change.split_once('=')?;
        (!matches!(path.trim(), "nodes" | "duration")).then(|| (path.to_owned(), value.to_owned()))
    };
    let at = terway_chaos::duration::print(Duration::from_millis((breach.at_seconds * 1000.0) as u64));
    let place = breach.node.as_deref().unwrap_or("the cluster");
    let kept = Reproducer {
        story: format!("{} at {at} on {place}: {}", breach.id, breach.detail.replace('\n', " ")),
        scenario: model.target.clone(),
        overrides: model.overrides.iter().filter_map(pair).collect(),
        seed,
        nodes: answer.figures.nodes,
        duration: Duration::from_millis(answer.duration_ms),
        commit: answer.figures.commit.clone(),
        config_hash: answer.figures.config_hash.clone(),
        expect: Expect::Violation(breach.id),
        schedule: terway_chaos::Schedule::from_toml(&answer.schedule).map_err(|error| Bad::chain(&error))?,
    };
    let path = folder.join(file_name(&answer.figures.scenario, seed, breach.id));
    kept.save(&path).map_err(|error| Bad::chain(&error))?;
    Ok(Some(path))
}

fn file_name(scenario: &str, seed: u64, id: InvariantId) -> String {
    format!("{scenario}-{seed}-{}.toml", id.name().to_lowercase())
}
