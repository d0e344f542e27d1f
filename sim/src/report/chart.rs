//! Drawing in SVG: scales, ticks, paths.
//!
//! Coordinates are printed with one decimal: a tenth of a pixel is finer than any screen, and a page of six
//! hundred points a course stays small.

use std::fmt::Write as _;

/// A linear map from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) from: (f64, f64),
    pub(super) to: (f64, f64),
}

impl Scale {
    pub(super) fn at(&self, value: f64) -> f64 {
        let span = self.from.1 - self.from.0;
        let share = if span == 0.0 { 0.0 } else { (value - self.from.0) / span };
        self.to.0 + share * (self.to.1 - self.to.0)
    }
}

/// A pixel coordinate as text.
pub(super) fn px(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Text made safe for element content and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in a document, escaped or not.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Round values from zero to at least `most`, about `wanted` steps; the last is the top of the axis.
pub(super) fn ticks(most: f64, wanted: u32) -> Vec<f64> {
    let rough = (most / f64::from(wanted)).max(1e-9);
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|s| s * decade).into_iter().find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(decade * 10.0);
    let count = (most / step - 1e-9).ceil().max(1.0) as u32;
    (0..=count).map(|i| f64::from(i) * step).collect()
}

/// Times for the axis, in seconds: about `wanted` of them, at values that clocks have.
pub(super) fn time_ticks(length: f64, wanted: u32) -> Vec<f64> {
    const STEPS: [u32; 20] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200,
        86_400, 172_800,
    ];
    let rough = length / f64::from(wanted);
    let step = STEPS.into_iter().map(f64::from).find(|step| *step >= rough).unwrap_or(rough);
    let last = (length * 1.0001 / step).floor() as u32;
    (0..=last).map(|i| f64::from(i) * step).collect()
}

/// A time tick's label, short: `0`, `30s`, `5m`, `1h30`.
pub(super) fn time_label(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, 0) => "0".to_owned(),
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s:02}"),
        (h, 0, _) => format!("{h}h"),
        (h, m, _) => format!("{h}h{m:02}"),
    }
}

/// A tick's label on a value axis: `1.5k`, `20k`, `3M`.
pub(super) fn value_label(value: f64) -> String {
    let scaled = |by: f64, unit: &str| {
        let text = format!("{:.2}", value / by);
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value {
        v if v >= 1e6 => scaled(1e6, "M"),
        v if v >= 1e3 => scaled(1e3, "k"),
        _ => super::number::plain(value),
    }
}

/// The path of a line, broken where there is no value.
pub(super) fn line(points: impl IntoIterator<Item = (f64, Option<f64>)>) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    let mut lone = false;
    for (x, y) in points {
        let Some(y) = y else {
            // A value alone between gaps would have no length: give it one.
            if lone {
                path.push_str("h2");
            }
            (pen_down, lone) = (false, false);
            continue;
        };
        let command = if pen_down { 'L' } else { 'M' };
        lone = !pen_down;
        pen_down = true;
        write!(path, "{command}{} {}", px(x), px(y)).expect("writing to a String cannot fail");
    }
    if lone {
        path.push_str("h2");
    }
    path
}

/// The path of a band between two courses of steps, one step a bucket.
pub(super) fn band(edges: &[f64], low: &[f64], high: &[f64]) -> String {
    let mut path = String::new();
    let upper = high.iter().enumerate().flat_map(|(i, y)| [(edges[i], *y), (edges[i + 1], *y)]);
    let lower = low.iter().enumerate().rev().flat_map(|(i, y)| [(edges[i + 1], *y), (edges[i], *y)]);
    let mut last = None;
    for (x, y) in upper.chain(lower) {
        let point = (px(x), px(y));
        if last.as_ref() == Some(&point) {
            continue;
        }
        let command = if last.is_none() { 'M' } else { 'L' };
        write!(path, "{command}{} {}", point.0, point.1).expect("writing to a String cannot fail");
        last = Some(point);
    }
    path.push('Z');
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_values_that_hold_the_data() {
        assert_eq!(ticks(87.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(ticks(0.0, 4).len(), 2);
        assert_eq!(time_ticks(3600.0, 10), [0.0, 600.0, 1200.0, 1800.0, 2400.0, 3000.0, 3600.0]);
        assert_eq!(time_label(5400.0), "1h30");
        assert_eq!(value_label(25_000.0), "25k");
    }

    #[test]
    fn a_lone_value_is_visible() {
        assert_eq!(line([(0.0, None), (1.0, Some(2.0)), (2.0, None)]), "M1 2h2");
    }

    #[test]
    fn text_cannot_leave_its_element() {
        assert_eq!(escape("<b a=\"1\">&'\u{1}"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;\u{fffd}");
    }
}
