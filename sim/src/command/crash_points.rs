//! `crash-points`: no luck involved. A reference run counts how often one agent passes each crash point; then
//! each passing is the place of a crash in a run of its own, and all of them must converge.

use std::time::Duration;

use terway_chaos::{Fault, FaultKind, Schedule, Target, points::FIXED};

use super::{
    Verdict,
    bad::Bad,
    choice::Choice,
    job::Job,
    parallel, print,
    process::{self, Failure, Finished},
};

/// `crash-points`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs at a time
    #[arg(long, value_name = "J", default_value_t = parallel::usual_jobs())]
    jobs: usize,
    /// Only so many passings of each point, spread over all of them; 0 for every one
    #[arg(long, value_name = "N", default_value_t = 0)]
    most: u32,
    /// Wall time in seconds after which a run counts as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// Size of the reference run where nothing is said: one agent is crashed, another shares the cloud with it.
const USUAL: [&str; 2] = ["nodes=2", "duration=5m"];
/// The node whose agent is crashed: the first.
const NODE: &str = "node-00000";

/// A crash to be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crash {
    point: String,
    nth: u32,
}

pub(crate) fn crash_points(args: &Args) -> Result<Verdict, Bad> {
    let mut overrides: Vec<String> = USUAL.map(str::to_owned).into();
    overrides.extend(args.choice.changes.overrides());
    let no_faults = Some(Schedule::default().to_toml());
    let job = Job { overrides, schedule: no_faults, ..Job::new(&args.choice, args.seed) };
    job.spec()?;
    let limit = Some(Duration::from_secs(args.timeout));
    let reference = process::run(&job, limit).map_err(|failure| Bad::new(failure.to_string()))?;
    if let Some(breach) = broken(&reference) {
        print::out(&format!("the reference run, without any fault, fails: {breach}\n"));
        return Ok(Verdict::Broken);
    }
    let passed = &reference.answer.points;
    let crashes: Vec<Crash> = passed
        .iter()
        .flat_map(|(point, count)| {
            passings(u32::try_from(*count).unwrap_or(u32::MAX), args.most)
                .into_iter()
                .map(|nth| Crash { point: point.clone(), nth })
        })
        .collect();
    if crashes.is_empty() {
        return Err(Bad::new(format!("the agent of {NODE} passes no crash point in this run"))
            .hint("give it pods, or a longer --duration"));
    }
    print::err(&format!("{} crashes at {} points\n", crashes.len(), passed.len()));
    let mut results: Vec<(Crash, Option<String>)> = Vec::new();
    let run = |crash: &Crash| process::run(&Job { schedule: Some(schedule(crash)), ..job.clone() }, limit);
    parallel::each(args.jobs, crashes, run, |crash, result| {
        results.push((crash, judge(result)));
        true
    });
    results.sort();
    print::out(&table(passed.iter().map(|(point, count)| (point.as_str(), *count)), &results));
    let failed: Vec<_> = results.iter().filter(|(_, why)| why.is_some()).collect();
    for (crash, why) in failed.iter().take(20) {
        print::out(&format!("{} #{}: {}\n", crash.point, crash.nth, why.as_deref().unwrap_or_default()));
    }
    print::out(&format!("{} crashes, {} did not converge\n", results.len(), failed.len()));
    Ok(Verdict::of(failed.is_empty()))
}

/// Which passings to try: all, or so many with the first and the last among them.
fn passings(count: u32, most: u32) -> Vec<u32> {
    if most == 0 || count <= most {
        return (1..=count).collect();
    }
    let step = |index: u32| 1 + u64::from(index) * u64::from(count - 1) / u64::from((most - 1).max(1));
    (0..most).map(|index| step(index) as u32).collect()
}

fn schedule(crash: &Crash) -> String {
    let kind = FaultKind::CrashAtPoint { point: crash.point.clone(), nth: crash.nth };
    Schedule::new(vec![Fault::new(Duration::ZERO, Target::Node(NODE.to_owned()), kind)]).to_toml()
}

fn broken(finished: &Finished) -> Option<String> {
    let figures = &finished.answer.figures;
    let breach = figures.violations.first().map(|breach| format!("{}: {}", breach.id, breach.detail));
    breach.or_else(|| finished.answer.pending.first().map(|object| format!("still pending: {object}")))
}

/// Why a crash is not survived; `None` if it is. Bounds on figures are not meant for so small a run.
fn judge(result: Result<Finished, Failure>) -> Option<String> {
    match result {
        Err(failure) => Some(failure.to_string()),
        Ok(finished) => {
            let struck = finished.answer.figures.faults_injected.values().sum::<u64>() > 0;
            broken(&finished).or_else(|| (!struck).then(|| "the crash did not strike".to_owned()))
        }
    }
}

fn table<'a>(points: impl Iterator<Item = (&'a str, u64)>, results: &[(Crash, Option<String>)]) -> String {
    let mut rows = vec![["point", "passed", "crashed", "failed"].map(str::to_owned).to_vec()];
    let mut points: Vec<(&str, u64)> = points.collect();
    let known = |point: &str| FIXED.iter().position(|fixed| *fixed == point).unwrap_or(FIXED.len());
    points.sort_by_key(|(point, _)| (known(point), *point));
    for (point, count) in points {
        let of = results.iter().filter(|(crash, _)| crash.point == point);
        let failed = of.clone().filter(|(_, why)| why.is_some()).count();
        rows.push(vec![point.to_owned(), count.to_string(), of.count().to_string(), failed.to_string()]);
    }
    print::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passings_are_spread_over_all() {
        assert_eq!(passings(3, 0), [1, 2, 3]);
        assert_eq!(passings(3, 5), [1, 2, 3]);
        assert_eq!(passings(9, 3), [1, 5, 9]);
        assert_eq!(passings(9, 1), [1]);
    }
}
