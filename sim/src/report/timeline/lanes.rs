//! The lanes: one row of marks for each kind of fault, and for each invariant that was broken.

use std::collections::BTreeMap;

use super::super::chart::{escape, px};
use super::super::{number, style};
use super::frame::Frame;
use crate::figures::Series;

const LANE: f64 = 17.0;
/// Kinds with a lane of their own; a swarm run has up to fifty, of which the rare ones share one.
const MOST_LANES: usize = 16;

/// Faults by kind.
pub(super) fn faults(frame: &mut Frame, series: &Series) {
    let mut kinds: Vec<(&str, Vec<u64>)> =
        series.faults.iter().map(|(kind, counts)| (kind.as_str(), counts.clone())).collect();
    if kinds.len() > MOST_LANES {
        kinds.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<u64>()));
        let rest = kinds.split_off(MOST_LANES - 1);
        let mut other = vec![0; frame.buckets];
        for (_, counts) in &rest {
            other.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        kinds.sort_by_key(|(kind, _)| *kind);
        kinds.push(("all other kinds", other));
    }
    lanes(frame, "Faults", "injected", &kinds, &style::colour(3), "no faults injected");
}

/// Breaches by invariant.
pub(super) fn violations(frame: &mut Frame, series: &Series) {
    let by_number: BTreeMap<u32, (&str, Vec<u64>)> = series
        .violations
        .iter()
        .map(|(id, counts)| {
            (id.trim_start_matches('I').parse().unwrap_or(u32::MAX), (id.as_str(), counts.clone()))
        })
        .collect();
    let ids: Vec<_> = by_number.into_values().collect();
    lanes(frame, "Violations", "by invariant", &ids, "var(--bad)", "every invariant held");
}

fn lanes(frame: &mut Frame, title: &str, unit: &str, rows: &[(&str, Vec<u64>)], colour: &str, none: &str) {
    let height = LANE * rows.len().max(1) as f64 + 4.0;
    let plot = frame.open(title, unit, &[], height);
    frame.base(plot);
    if rows.is_empty() {
        return frame.nothing(plot, none);
    }
    for (row, (name, counts)) in rows.iter().enumerate() {
        let top = plot.top + LANE * row as f64 + 2.0;
        frame.lane_name(top + 12.0, name);
        let most = counts.iter().copied().max().unwrap_or_default().max(1) as f64;
        for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (from, to) = (frame.bucket_start(bucket), frame.bucket_start(bucket + 1));
            let middle = f64::midpoint(frame.x.at(from), frame.x.at(to));
            let width = (frame.x.at(to) - frame.x.at(from)).max(3.0);
            let what = format!("{name}: {} at {}", number::grouped(*count), number::clock(from));
            // More in a bucket is darker, and one alone is still plain to see.
            let opacity = 0.45 + 0.55 * *count as f64 / most;
            frame.put(&format!(
                r#"<rect x="{}" y="{}" width="{}" height="12" rx="1" fill="{colour}" fill-opacity="{opacity:.2}"><title>{}</title></rect>"#,
                px(middle - width / 2.0),
                px(top + 1.5),
                px(width),
                escape(&what)
            ));
        }
    }
}
