//! `replay`: the text trace of one run, of a kept failure or of a seed.

use std::{path::Path, time::Duration};

use terway_chaos::{Reproducer, duration};
use terway_sim::run::{TextTrace, run as simulate};

use super::{
    Verdict,
    bad::Bad,
    choice::{Choice, is_file},
    job::Job,
    print, run,
};

/// `replay`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kept failure, or a scenario together with --seed
    #[command(flatten)]
    choice: Choice,
    /// Seed, where no kept failure is given
    #[arg(long)]
    seed: Option<u64>,
    /// Print only from this cluster time on
    #[arg(long, value_name = "T", value_parser = time)]
    from: Option<Duration>,
    /// Print only until this cluster time
    #[arg(long, value_name = "T", value_parser = time)]
    until: Option<Duration>,
    /// Print only what concerns this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Carry a deliberate bug (special builds only, see `bugs`)
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn replay(args: &Args) -> Result<Verdict, Bad> {
    let mut job = job(args)?;
    job.bug.clone_from(&args.bug);
    let mut spec = job.spec()?;
    spec.text = TextTrace::On { node: args.node.clone(), from: args.from, until: args.until };
    let outcome = simulate(&spec, &mut |_| {})?;
    print::err(&run::summary(&outcome, false));
    Ok(Verdict::of(outcome.figures.passed()))
}

fn job(args: &Args) -> Result<Job, Bad> {
    let target = &args.choice.scenario;
    if is_file(target) && is_kept(Path::new(target)) {
        let mut kept = load(Path::new(target))?;
        kept.seed = args.seed.unwrap_or(kept.seed);
        let mut job = Job::of(&kept);
        job.overrides.extend(args.choice.changes.overrides());
        return Ok(job);
    }
    let seed = args.seed.ok_or_else(|| {
        Bad::new(format!("`{target}` is a scenario, so that --seed is missing"))
            .hint(format!("terway-sim replay {target} --seed 1"))
    })?;
    Ok(Job::new(&args.choice, seed))
}

/// Whether a file is a kept failure: those name their scenario.
fn is_kept(path: &Path) -> bool {
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| table.contains_key("scenario"))
}

/// Loads a kept failure.
pub(crate) fn load(path: &Path) -> Result<Reproducer, Bad> {
    Reproducer::load(path).map_err(|error| Bad::chain(&error))
}
