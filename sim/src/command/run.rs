//! `run`: one scenario, one seed, in this process.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use terway_chaos::Schedule;
use terway_sim::{
    report,
    run::{RunOutcome, RunSpec, TextTrace, run as simulate},
    scenario::SkippedRow,
};

use super::{Verdict, bad::Bad, bugs, choice::Choice, print, progress::Meter};

/// Skipped rows of a trace that are named one by one.
const MOST_ROWS: usize = 5;
/// Pending objects that are named one by one.
const MOST_PENDING: usize = 50;

/// `run`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures as JSON to this file; `-` for standard output
    #[arg(long, value_name = "F")]
    json: Option<PathBuf>,
    /// Write the report as one HTML file
    #[arg(long, value_name = "F.html")]
    report: Option<PathBuf>,
    /// Take the faults from this file instead of drawing them
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Carry a deliberate bug (special builds only, see `bugs`)
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<Verdict, Bad> {
    bugs::known(args.bug.as_deref())?;
    let chosen = args.choice.load()?;
    skipped(chosen.scenario.workload.skipped());
    let spec = RunSpec {
        scenario: chosen.scenario,
        seed: args.seed,
        schedule: args.schedule.as_deref().map(read_schedule).transpose()?,
        bug: args.bug.clone(),
        text: TextTrace::Off,
        overrides: chosen.overrides,
        file: chosen.file,
    };
    let mut meter = Meter::new(args.quiet);
    let outcome = simulate(&spec, &mut |progress| meter.show(progress))?;
    drop(meter);
    write(args, &outcome)?;
    Ok(Verdict::of(outcome.figures.passed()))
}

/// Reads a schedule of faults.
pub(crate) fn read_schedule(path: &Path) -> Result<Schedule, Bad> {
    let text = std::fs::read_to_string(path).map_err(|error| Bad::file("read", path, &error))?;
    Schedule::from_toml(&text).map_err(|error| Bad::new(format!("{}: {error}", path.display())))
}

/// Tells which rows of a trace were left out: all are counted, the first are named.
pub(crate) fn skipped(rows: &[SkippedRow]) {
    if rows.is_empty() {
        return;
    }
    let mut text = print::Text::default();
    text.line(format_args!("{} rows of the trace are left out:", rows.len()));
    for row in rows.iter().take(MOST_ROWS) {
        text.line(format_args!("  {} line {}: {}", row.file, row.line, row.reason));
    }
    if rows.len() > MOST_ROWS {
        text.line(format_args!("  and {} more", rows.len() - MOST_ROWS));
    }
    print::err(&text.into_string());
}

/// What a run ends with for a person: what was drawn, the summary, what is pending.
pub(crate) fn summary(outcome: &RunOutcome, colour: bool) -> String {
    let mut text = print::Text::default();
    if !outcome.drawn.is_empty() {
        let rows: Vec<Vec<String>> =
            outcome.drawn.iter().map(|(what, value)| vec![format!("  {what}"), value.clone()]).collect();
        text.line(format_args!("drawn from the seed\n{}", print::table(&rows)));
    }
    if !outcome.pending.is_empty() {
        text.line(format_args!("still pending at the end: {}", outcome.pending.len()));
        for object in outcome.pending.iter().take(MOST_PENDING) {
            text.line(format_args!("  {object}"));
        }
        text.line("");
    }
    let figures = &outcome.figures;
    text.lines(&if colour { report::coloured_text(figures) } else { report::text(figures) });
    text.into_string()
}

fn write(args: &Args, outcome: &RunOutcome) -> Result<(), Bad> {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|error| Bad::file("write", path, &error))
    };
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    match &args.json {
        Some(_) if to_stdout => print::out(&report::json(&outcome.figures)),
        Some(path) => write(path, &report::json(&outcome.figures))?,
        None => {}
    }
    if let Some(path) = &args.report {
        write(path, &report::html(&outcome.figures))?;
    }
    if to_stdout {
        // The document is what is read there; people read beside it.
        print::err(&summary(outcome, std::io::stderr().is_terminal()));
    } else {
        print::out(&summary(outcome, std::io::stdout().is_terminal()));
    }
    if let Some(path) = &args.report {
        print::err(&format!("report  {}\n", path.display()));
    }
    Ok(())
}
