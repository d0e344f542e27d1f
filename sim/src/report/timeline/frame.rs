//! The frame that panels are put into: the common time axis, titles, legends, hover strips.

use std::fmt::Write as _;

use super::super::chart::{Scale, escape, px, time_label, time_ticks};
use super::super::number;
use crate::figures::Series;

/// Width of the drawing in its own units; about a pixel each on a wide page.
const WIDTH: f64 = 1200.0;
/// Room for value labels and lane names.
const LEFT: f64 = 150.0;
const RIGHT: f64 = WIDTH - 14.0;
/// Room for a panel's title above it, and air below it.
const TITLE: f64 = 24.0;
const GAP: f64 = 20.0;
/// Hover strips a panel: enough to point at a moment, few enough for a light page.
const STRIPS: usize = 120;

/// An entry of a legend.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) colour: String,
}

pub(super) struct Frame {
    body: String,
    y: f64,
    ticks: Vec<f64>,
    pub(super) x: Scale,
    pub(super) bucket_seconds: f64,
    pub(super) buckets: usize,
}

/// The place of a panel's plot.
#[derive(Clone, Copy)]
pub(super) struct Plot {
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn new(cluster_seconds: f64, series: &Series) -> Self {
        let length = cluster_seconds.max(1.0);
        Self {
            body: String::new(),
            y: 4.0,
            ticks: time_ticks(length, 12),
            x: Scale { from: (0.0, length), to: (LEFT, RIGHT) },
            bucket_seconds: series.bucket_seconds.max(0.001),
            buckets: series.pods_running.len(),
        }
    }

    /// The edges of all buckets in pixels: one more than there are buckets; the last is cut at the end.
    pub(super) fn edges(&self) -> Vec<f64> {
        (0..=self.buckets).map(|i| self.x.at(self.bucket_start(i))).collect()
    }

    /// The start of a bucket in seconds, not beyond the end of the run.
    pub(super) fn bucket_start(&self, bucket: usize) -> f64 {
        (bucket as f64 * self.bucket_seconds).min(self.x.from.1)
    }

    /// The middle of a bucket in seconds.
    pub(super) fn bucket_middle(&self, bucket: usize) -> f64 {
        f64::midpoint(self.bucket_start(bucket), self.bucket_start(bucket + 1))
    }

    pub(super) fn put(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// Opens a panel: title, unit, legend, time grid.
    pub(super) fn open(&mut self, title: &str, unit: &str, keys: &[Key], height: f64) -> Plot {
        let baseline = self.y + 14.0;
        let mut out =
            format!(r#"<text class="title" x="{}" y="{}">{}"#, px(LEFT), px(baseline), escape(title));
        write!(
            out,
            r#"<tspan class="key" font-weight="400" fill="var(--soft)" dx="8">{}</tspan></text>"#,
            escape(unit)
        )
        .expect("writing to a String cannot fail");
        self.put(&out);
        let mut x = RIGHT;
        for key in keys.iter().rev() {
            // System fonts at 12 px are about 6.6 px a character; a little more keeps neighbours apart.
            x -= key.name.chars().count() as f64 * 6.7;
            let name = escape(&key.name);
            self.put(&format!(r#"<text class="key" x="{}" y="{}">{name}</text>"#, px(x), px(baseline)));
            x -= 15.0;
            let (colour, y) = (&key.colour, px(baseline - 9.0));
            self.put(&format!(
                r#"<rect x="{}" y="{y}" width="10" height="10" rx="2" fill="{colour}"/>"#,
                px(x)
            ));
            x -= 14.0;
        }
        let plot = Plot { top: self.y + TITLE, bottom: self.y + TITLE + height };
        for tick in self.ticks.clone() {
            let x = px(self.x.at(tick));
            let (top, bottom) = (px(plot.top), px(plot.bottom));
            self.put(&format!(r#"<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>"#));
        }
        self.y = plot.bottom + GAP;
        plot
    }

    /// Horizontal grid lines with their labels.
    pub(super) fn rule(&mut self, ticks: &[(f64, String)]) {
        for (y, label) in ticks {
            let (left, right) = (px(LEFT), px(RIGHT));
            self.put(&format!(r#"<line class="grid" x1="{left}" x2="{right}" y1="{0}" y2="{0}"/>"#, px(*y)));
            let (x, y, label) = (px(LEFT - 8.0), px(y + 4.0), escape(label));
            self.put(&format!(r#"<text x="{x}" y="{y}" text-anchor="end">{label}</text>"#));
        }
    }

    /// The base line of a panel.
    pub(super) fn base(&mut self, plot: Plot) {
        let y = px(plot.bottom);
        self.put(&format!(r#"<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>"#, px(LEFT), px(RIGHT)));
    }

    /// A name in the gutter beside a lane.
    pub(super) fn lane_name(&mut self, y: f64, name: &str) {
        let shown: String = if name.chars().count() > 20 {
            name.chars().take(19).chain(['…']).collect()
        } else {
            name.to_owned()
        };
        let (x, y) = (px(LEFT - 8.0), px(y));
        self.put(&format!(r#"<text x="{x}" y="{y}" text-anchor="end">{}</text>"#, escape(&shown)));
    }

    /// Says that a panel has nothing to show.
    pub(super) fn nothing(&mut self, plot: Plot, what: &str) {
        let (x, y) = (px(f64::midpoint(LEFT, RIGHT)), px(f64::midpoint(plot.top, plot.bottom) + 4.0));
        self.put(&format!(
            r#"<text class="none" x="{x}" y="{y}" text-anchor="middle">{}</text>"#,
            escape(what)
        ));
    }

    /// Strips that tell their values when pointed at; `tell` gets the first and last bucket of a strip.
    pub(super) fn hover(&mut self, plot: Plot, tell: impl Fn(std::ops::RangeInclusive<usize>) -> String) {
        let per_strip = self.buckets.div_ceil(STRIPS).max(1);
        for first in (0..self.buckets).step_by(per_strip) {
            let last = (first + per_strip).min(self.buckets);
            let (from, to) = (self.bucket_start(first), self.bucket_start(last));
            let times = format!("{} – {}", number::clock(from), number::clock(to));
            let title = escape(&format!("{times}\n{}", tell(first..=last - 1)));
            let (x, width) = (self.x.at(from), self.x.at(to) - self.x.at(from));
            let (x, width, y, height) = (px(x), px(width), px(plot.top), px(plot.bottom - plot.top));
            self.put(&format!(
                r#"<rect class="hover" x="{x}" y="{y}" width="{width}" height="{height}"><title>{title}</title></rect>"#
            ));
        }
    }

    /// The whole drawing, with the time axis at its foot.
    pub(super) fn finish(mut self) -> String {
        let y = self.y - GAP + 18.0;
        for tick in self.ticks.clone() {
            let anchor = if self.x.at(tick) > RIGHT - 10.0 { "end" } else { "middle" };
            let (x, label) = (px(self.x.at(tick)), time_label(tick));
            self.put(&format!(r#"<text x="{x}" y="{}" text-anchor="{anchor}">{label}</text>"#, px(y)));
        }
        self.put(&format!(
            r#"<text x="{}" y="{}" text-anchor="end">cluster time</text>"#,
            px(LEFT - 24.0),
            px(y)
        ));
        self.put(&format!(r#"<line class="cross" x1="0" x2="0" y1="0" y2="{}"/>"#, px(y - 12.0)));
        let height = px(y + 8.0);
        format!(
            r#"<svg id="timeline" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" data-left="{LEFT}" data-right="{RIGHT}" role="img" aria-label="Courses over cluster time">
{}</svg>"#,
            self.body
        )
    }
}
