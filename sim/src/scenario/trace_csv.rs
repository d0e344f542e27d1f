//! A recorded workload from two CSV files: pods with their times, nodes with their sizes.
//!
//! Pods: `name`, `creation_time`, `scheduled_time`, `deletion_time` in seconds, and `cpu_milli` if there is
//! one. Nodes: `sn`, `cpu_milli`. Other columns are left alone. A row that cannot be used is left out with its
//! line and reason; only a file without one usable row is an error.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ScenarioError, TraceWorkload, placement};

const POD_COLUMNS: [&str; 4] = ["name", "creation_time", "deletion_time", "scheduled_time"];
const NODE_COLUMNS: [&str; 2] = ["sn", "cpu_milli"];
/// What a pod without a figure is taken to ask for.
const USUAL_CPU: u64 = 1_000;
/// Ten years of seconds: beyond this a time is in another unit.
const LATEST: f64 = 315_360_000.0;

/// Where a recorded workload comes from, and how it is played.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSource {
    /// The file of pods.
    pub pods: Option<PathBuf>,
    /// The file of nodes.
    pub nodes: Option<PathBuf>,
    /// Times are divided by this.
    pub speedup: f64,
    /// The workload is played so many times at once.
    pub copies: u32,
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRow {
    /// The file.
    pub file: String,
    /// Its line, the header being 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// A pod as recorded, times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cpu_milli: u64,
    pub(super) scheduled: f64,
    /// `None`: it was still there when the recording ended.
    pub(super) deleted: Option<f64>,
}

/// A workload that was read.
pub(super) struct Loaded {
    pub(super) workload: TraceWorkload,
    pub(super) nodes: u32,
    /// When the last pod ends, in whole minutes.
    pub(super) end: Duration,
}

/// Reads both files and places the pods on nodes; `nodes` is how many there are to be, if that was said.
pub(super) fn load(
    source: &TraceSource,
    lifetime_min: Duration,
    nodes: Option<u32>,
) -> Result<Loaded, ScenarioError> {
    let pods = source.pods.as_deref().ok_or(ScenarioError::NoTrace("workload.trace.pods"))?;
    let machines = source.nodes.as_deref().ok_or(ScenarioError::NoTrace("workload.trace.nodes"))?;
    let mut skipped = Vec::new();
    let mut names = BTreeSet::new();
    let rows = read(pods, &POD_COLUMNS, &["cpu_milli"], &mut skipped, |field| pod(field, &mut names))?;
    let mut names = BTreeSet::new();
    let sizes = read(machines, &NODE_COLUMNS, &[], &mut skipped, |field| node(field, &mut names))?;
    let count = nodes.unwrap_or(sizes.len() as u32);
    // More nodes than were recorded are of the same sizes over again.
    let sizes: Vec<u64> = sizes.into_iter().cycle().take(count as usize).collect();
    let pods = placement::place(&rows, &sizes, source, lifetime_min);
    let last = pods.iter().map(|pod| pod.at + pod.lifetime).max().unwrap_or_default();
    let end = Duration::from_mins(last.as_secs().div_ceil(60).max(1));
    Ok(Loaded { workload: TraceWorkload { pods, skipped }, nodes: count, end })
}

/// The fields of a row by the order of the columns; absent optional ones are empty.
type Fields<'a> = &'a dyn Fn(usize) -> &'a str;

fn read<T>(
    path: &Path,
    columns: &[&str],
    optional: &[&str],
    skipped: &mut Vec<SkippedRow>,
    mut row: impl FnMut(Fields<'_>) -> Result<T, String>,
) -> Result<Vec<T>, ScenarioError> {
    let shown = path.display().to_string();
    let unusable = |problem: String| ScenarioError::Trace {
        path: shown.clone(),
        problem,
        hint: format!("columns wanted: {}", columns.join(", ")),
    };
    let file =
        std::fs::File::open(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| unusable(format!("is not CSV: {error}")))?.clone();
    let position = |column: &str| header.iter().position(|name| name == column);
    if let Some(missing) = columns.iter().find(|column| position(column).is_none()) {
        return Err(unusable(format!("has no column `{missing}`")));
    }
    let positions: Vec<Option<usize>> =
        columns.iter().chain(optional).map(|column| position(column)).collect();
    let (mut rows, before) = (Vec::new(), skipped.len());
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        let reason = match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) if record.len() != header.len() => {
                Err(format!("has {} fields, not {}", record.len(), header.len()))
            }
            Ok(true) => row(&|index| positions[index].and_then(|at| record.get(at)).unwrap_or_default()),
            Err(error) if error.is_io_error() => return Err(unusable(format!("cannot be read: {error}"))),
            Err(_) => Err("is not UTF-8 text".to_owned()),
        };
        let line = record.position().map_or(line, csv::Position::line);
        match reason {
            Ok(row) => rows.push(row),
            Err(reason) => skipped.push(SkippedRow { file: shown.clone(), line, reason }),
        }
    }
    if rows.is_empty() {
        let first = skipped.get(before);
        let why = first
            .map_or_else(|| "it has no rows".to_owned(), |row| format!("line {} {}", row.line, row.reason));
        return Err(unusable(format!("has no usable row: {why}")));
    }
    Ok(rows)
}

fn pod(field: Fields<'_>, names: &mut BTreeSet<String>) -> Result<Row, String> {
    let name = unique(field(0), names)?;
    let (created, deleted) = (seconds("creation_time", field(1))?, seconds("deletion_time", field(2))?);
    let scheduled =
        seconds("scheduled_time", field(3))?.ok_or("was never scheduled: scheduled_time is empty")?;
    if created.is_some_and(|created| scheduled < created) {
        return Err("is scheduled before its creation".to_owned());
    }
    if deleted.is_some_and(|deleted| deleted < scheduled) {
        return Err("is deleted before it is scheduled".to_owned());
    }
    let cpu_milli = match field(4) {
        "" => USUAL_CPU,
        text => text.parse().map_err(|_| format!("`{text}` in cpu_milli is not a whole number"))?,
    };
    names.insert(name.clone());
    Ok(Row { name, cpu_milli, scheduled, deleted })
}

fn node(field: Fields<'_>, names: &mut BTreeSet<String>) -> Result<u64, String> {
    let name = unique(field(0), names)?;
    let text = field(1);
    let cpu = text.parse().ok().filter(|cpu| *cpu > 0);
    let cpu = cpu.ok_or_else(|| format!("`{text}` in cpu_milli is not a whole number above 0"))?;
    names.insert(name);
    Ok(cpu)
}

fn unique(name: &str, names: &BTreeSet<String>) -> Result<String, String> {
    match name {
        "" => Err("has no name".to_owned()),
        name if names.contains(name) => Err(format!("repeats the name `{name}`")),
        name => Ok(name.to_owned()),
    }
}

/// A time in seconds; empty is none.
fn seconds(column: &str, text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = text.parse().ok().filter(|time: &f64| (0.0..=LATEST).contains(time));
    time.map(Some).ok_or_else(|| format!("`{text}` in {column} is not a time in seconds"))
}
