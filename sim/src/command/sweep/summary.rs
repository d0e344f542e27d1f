//! What a sweep adds up to: failures by invariant, rare paths over all seeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use serde_json::json;
use terway_chaos::Severity;

use super::{Answer, Failure, print};

/// Seeds that are named in a row of the table.
const MOST_NAMED: usize = 10;

/// A seed that failed.
struct Failed {
    seed: u64,
    /// Invariants, expectations, or the way it died.
    causes: BTreeSet<String>,
    detail: String,
    kept: Option<PathBuf>,
}

/// Adds up as results come.
pub(super) struct Summary {
    scenario: String,
    seeds: Range<u64>,
    done: u64,
    last: String,
    failed: Vec<Failed>,
    sometimes: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    cluster_seconds: f64,
    pods_started: u64,
}

impl Summary {
    pub(super) fn new(scenario: &str, seeds: Range<u64>) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seeds,
            done: 0,
            last: String::new(),
            failed: Vec::new(),
            sometimes: BTreeMap::new(),
            faults: BTreeMap::new(),
            cluster_seconds: 0.0,
            pods_started: 0,
        }
    }

    pub(super) fn held(&self) -> bool {
        self.failed.is_empty()
    }

    /// Adds the result of a seed; answers whether it failed.
    pub(super) fn add(&mut self, seed: u64, result: Result<Answer, Failure>, kept: Option<PathBuf>) -> bool {
        self.done += 1;
        let (causes, detail) = match result {
            Err(Failure::TimedOut(limit)) => {
                (BTreeSet::from(["timeout".to_owned()]), Failure::TimedOut(limit).to_string())
            }
            Err(failure) => (BTreeSet::from(["died".to_owned()]), failure.to_string()),
            Ok(answer) => {
                self.count(&answer);
                causes(&answer)
            }
        };
        let failed = !causes.is_empty();
        let verdict =
            if failed { causes.iter().cloned().collect::<Vec<_>>().join(" ") } else { "ok".to_owned() };
        self.last = format!("seed {seed}: {verdict}{}{detail}", if detail.is_empty() { "" } else { "  " });
        if failed {
            self.failed.push(Failed { seed, causes, detail, kept });
        }
        failed
    }

    fn count(&mut self, answer: &Answer) {
        let figures = &answer.figures;
        self.cluster_seconds += figures.cluster_seconds;
        self.pods_started += figures.pods_started;
        for path in &figures.sometimes {
            *self.sometimes.entry(path.name.clone()).or_default() += path.count;
        }
        for (kind, count) in &figures.faults_injected {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
    }

    /// The line after a seed.
    pub(super) fn line(&self) -> String {
        let total = self.seeds.end - self.seeds.start;
        format!("{} of {total}, {} failed  {}\n", self.done, self.failed.len(), self.last)
    }

    /// Failed seeds by cause, in order of seeds.
    fn by_cause(&self) -> BTreeMap<&str, Vec<&Failed>> {
        let mut by_cause: BTreeMap<&str, Vec<&Failed>> = BTreeMap::new();
        for failed in &self.failed {
            for cause in &failed.causes {
                by_cause.entry(cause).or_default().push(failed);
            }
        }
        for list in by_cause.values_mut() {
            list.sort_by_key(|failed| failed.seed);
        }
        by_cause
    }

    /// The summary for a person.
    pub(super) fn text(&self, wall: Duration, replay: impl Fn(u64) -> String) -> String {
        let mut text = print::Text::default();
        text.line(format_args!(
            "{}  {} seeds, {} failed; {:.0} s of wall time, {:.1} h of cluster time, {} pods, {} faults of {} kinds",
            self.scenario,
            self.done,
            self.failed.len(),
            wall.as_secs_f64(),
            self.cluster_seconds / 3600.0,
            self.pods_started,
            self.faults.values().sum::<u64>(),
            self.faults.len()
        ));
        let mut rows = Vec::new();
        for (cause, list) in self.by_cause() {
            let seeds: Vec<String> =
                list.iter().take(MOST_NAMED).map(|failed| failed.seed.to_string()).collect();
            let more = if list.len() > MOST_NAMED { " …" } else { "" };
            let count = list.len().to_string();
            rows.push(vec![
                format!("  {cause}"),
                count,
                format!("seeds {}{more}", seeds.join(" ")),
                list[0].detail.clone(),
            ]);
        }
        text.lines(&print::table(&rows));
        let never: Vec<&str> =
            self.sometimes.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str()).collect();
        text.line(format_args!(
            "rare paths  {} of {} reached",
            self.sometimes.len() - never.len(),
            self.sometimes.len()
        ));
        if !never.is_empty() {
            text.line(format_args!("  never reached: {}", never.join(", ")));
        }
        for failed in &self.failed {
            if let Some(path) = &failed.kept {
                text.line(format_args!("kept    {}", path.display()));
            }
        }
        if let Some(first) = self.failed.iter().map(|failed| failed.seed).min() {
            text.line(format_args!("replay  {}", replay(first)));
        }
        text.into_string()
    }

    /// The summary as a document.
    pub(super) fn json(&self, wall: Duration) -> String {
        let failed = |failed: &Failed| {
            json!({
                "seed": failed.seed,
                "causes": failed.causes,
                "detail": failed.detail,
                "kept": failed.kept.as_ref().map(|path| path.display().to_string()),
            })
        };
        let mut list: Vec<&Failed> = self.failed.iter().collect();
        list.sort_by_key(|failed| failed.seed);
        let document = json!({
            "scenario": self.scenario,
            "seeds": { "from": self.seeds.start, "to": self.seeds.end, "run": self.done },
            "wall_seconds": wall.as_secs_f64(),
            "cluster_seconds": self.cluster_seconds,
            "pods_started": self.pods_started,
            "faults_injected": self.faults,
            "failed": list.into_iter().map(failed).collect::<Vec<_>>(),
            "sometimes": self.sometimes,
        });
        format!("{document:#}\n")
    }
}

/// Why a run failed, and the first of it in words; nothing if it passed.
fn causes(answer: &Answer) -> (BTreeSet<String>, String) {
    let figures = &answer.figures;
    let breaches = figures.violations.iter().filter(|violation| violation.severity != Severity::Minor);
    let unmet = figures.expectations.iter().filter(|expectation| !expectation.ok);
    let detail = breaches.clone().next().map(|breach| breach.detail.replace('\n', " "));
    let detail = detail.or_else(|| {
        unmet.clone().next().map(|unmet| {
            let actual = unmet.actual.map_or_else(|| "none".to_owned(), |actual| actual.to_string());
            format!("{} is {actual}, not {} {}", unmet.key, unmet.relation.sign(), unmet.bound)
        })
    });
    let names =
        breaches.map(|breach| breach.id.name().to_owned()).chain(unmet.map(|unmet| unmet.key.clone()));
    (names.collect(), detail.unwrap_or_default())
}
