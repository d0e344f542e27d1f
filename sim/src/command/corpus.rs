//! `corpus`: every kept failure, replayed.
//!
//! An entry that expects a violation is good when nothing breaks any more. An entry that expects a rare path is
//! good when the path is reached and nothing breaks: an old schedule that misses its point proves nothing.

use std::path::{Path, PathBuf};

use terway_chaos::{Expect, Reproducer};

use super::{
    Verdict,
    bad::Bad,
    job::{Answer, Job},
    parallel, print,
    process::{self, Failure, Finished},
    replay,
};

/// `corpus`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of reproducers
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Runs at a time
    #[arg(long, value_name = "J", default_value_t = parallel::usual_jobs())]
    jobs: usize,
}

pub(crate) fn corpus(args: &Args) -> Result<Verdict, Bad> {
    let entries = entries(&args.folder)?;
    let count = entries.len();
    let mut rows = Vec::new();
    let mut bad = None;
    parallel::each(
        args.jobs,
        entries,
        |(_, kept)| process::run(&Job::of(kept), None),
        |(path, kept), result| {
            if let Err(Failure::Input(text)) = &result {
                bad = Some(Bad::new(format!("{}: {text}", path.display())));
            }
            rows.push((path, judge(&kept, result), kept.story));
            bad.is_none()
        },
    );
    if let Some(bad) = bad {
        return Err(bad);
    }
    rows.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|(path, (good, what), story)| {
            let mark = if *good { "ok" } else { "FAILED" };
            vec![mark.to_owned(), name(path), what.clone(), story.clone()]
        })
        .collect();
    print::out(&print::table(&table));
    let failed = rows.iter().filter(|(_, (good, _), _)| !good).count();
    print::out(&format!("{count} entries, {failed} failed\n"));
    for (path, ..) in rows.iter().filter(|(_, (good, _), _)| !good) {
        print::out(&format!("replay  terway-sim replay {}\n", path.display()));
    }
    Ok(Verdict::of(failed == 0))
}

/// The entries of a folder by name.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, Reproducer)>, Bad> {
    let files = std::fs::read_dir(folder).map_err(|error| Bad::file("read", folder, &error))?;
    let mut paths: Vec<PathBuf> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    paths.into_iter().map(|path| replay::load(&path).map(|kept| (path, kept))).collect()
}

/// Whether an entry is good, and why.
fn judge(kept: &Reproducer, result: Result<Finished, Failure>) -> (bool, String) {
    let Answer { figures, .. } = match result {
        Ok(finished) => finished.answer,
        Err(failure) => return (false, failure.to_string()),
    };
    let broken = figures.violations.first();
    match &kept.expect {
        Expect::Violation(id) if figures.violations.iter().any(|violation| violation.id == *id) => {
            (false, format!("{id} still breaks"))
        }
        Expect::Violation(_) | Expect::Reaches(_) if broken.is_some() => {
            let id = broken.expect("just looked at").id;
            (false, format!("{id} breaks, which is another failure"))
        }
        Expect::Violation(id) => (true, format!("{id} no longer breaks: fixed")),
        Expect::Reaches(name) => {
            let reached = figures.sometimes.iter().any(|path| path.name == *name && path.count > 0);
            let what = if reached { "reaches" } else { "no longer reaches" };
            (reached, format!("{what} `{name}`"))
        }
    }
}
