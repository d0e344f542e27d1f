//! Which node a recorded pod runs on: the trace does not say, so the least loaded one is taken.
//!
//! Loaded means processor asked for over processor there is; then fewer pods; then the lower index. That is
//! what a scheduler's balanced spreading comes to, and it depends on nothing but the rows.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    time::Duration,
};

use terway_chaos::draw;

use super::{TracePod, TraceSource, trace_csv::Row};

/// Copies of a pod arrive within so many milliseconds of it: enough to keep them from being one burst.
const SPREAD_MS: u64 = 5_000;
/// Load is compared in millionths of a node.
const WHOLE: u64 = 1_000_000;

/// Every copy of every row as a pod, in order of arrival.
pub(super) fn place(
    rows: &[Row],
    sizes: &[u64],
    source: &TraceSource,
    lifetime_min: Duration,
) -> Vec<TracePod> {
    let first = rows.iter().map(|row| row.scheduled).fold(f64::INFINITY, f64::min);
    let last = rows.iter().map(|row| row.deleted.unwrap_or(row.scheduled)).fold(0.0, f64::max);
    let mut pods = Vec::with_capacity(rows.len() * source.copies as usize);
    for row in rows {
        let at = millis((row.scheduled - first) / source.speedup);
        let lifetime =
            millis((row.deleted.unwrap_or(last) - row.scheduled) / source.speedup).max(lifetime_min);
        for copy in 0..source.copies {
            let (name, late) = if copy == 0 {
                (row.name.clone(), Duration::ZERO)
            } else {
                let name = format!("{}-c{copy}", row.name);
                let late = Duration::from_millis(draw::hash(0, "trace-copy", &name) % SPREAD_MS);
                (name, late)
            };
            pods.push((TracePod { name, node: 0, at: at + late, lifetime }, row.cpu_milli.max(1)));
        }
    }
    pods.sort_by(|(a, _), (b, _)| (a.at, &a.name).cmp(&(b.at, &b.name)));
    let mut nodes = Nodes::new(sizes);
    pods.into_iter()
        .map(|(pod, cpu)| TracePod { node: nodes.take(pod.at, pod.at + pod.lifetime, cpu), ..pod })
        .collect()
}

fn millis(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0).round().max(0.0) as u64)
}

/// The nodes while pods come and go.
struct Nodes<'a> {
    sizes: &'a [u64],
    /// Processor asked for, and pods, per node.
    used: Vec<(u64, u32)>,
    /// Nodes by load, then pods, then index.
    order: BTreeSet<(u64, u32, u32)>,
    /// When pods end: time, node, processor.
    ends: BinaryHeap<Reverse<(Duration, u32, u64)>>,
}

impl<'a> Nodes<'a> {
    fn new(sizes: &'a [u64]) -> Self {
        let order = (0..sizes.len() as u32).map(|index| (0, 0, index)).collect();
        Self { sizes, used: vec![(0, 0); sizes.len()], order, ends: BinaryHeap::new() }
    }

    /// Places a pod of so much processor for the time from `at` to `end`.
    fn take(&mut self, at: Duration, end: Duration, cpu: u64) -> u32 {
        while let Some(Reverse((ended, node, cpu))) = self.ends.peek().copied() {
            if ended > at {
                break;
            }
            self.ends.pop();
            self.change(node, |used| (used.0 - cpu, used.1 - 1));
        }
        let (.., node) = *self.order.first().expect("a file without nodes is refused");
        self.change(node, |used| (used.0 + cpu, used.1 + 1));
        self.ends.push(Reverse((end, node, cpu)));
        node
    }

    fn change(&mut self, node: u32, change: impl FnOnce((u64, u32)) -> (u64, u32)) {
        let index = node as usize;
        let before = self.used[index];
        let load = |(cpu, pods): (u64, u32)| (cpu * WHOLE / self.sizes[index], pods, node);
        let after = change(before);
        self.order.remove(&load(before));
        self.order.insert(load(after));
        self.used[index] = after;
    }
}
