//! The panels of courses: pools, pods, ADD latency, cloud calls.

use super::super::chart::{Scale, band, line, ticks, value_label};
use super::super::{number, style};
use super::frame::{Frame, Key, Plot};
use crate::figures::Series;

/// Actions with a colour of their own; rarer ones share the last.
const NAMED_ACTIONS: usize = 5;

fn key(name: impl Into<String>, colour: impl Into<String>) -> Key {
    Key { name: name.into(), colour: colour.into() }
}

/// A course with its name and colour.
struct Layer {
    name: String,
    colour: String,
    values: Vec<f64>,
}

fn layer(name: &str, colour: usize, values: &[u64]) -> Layer {
    let values = values.iter().map(|v| *v as f64).collect();
    Layer { name: name.to_owned(), colour: style::colour(colour), values }
}

fn keys(layers: &[Layer]) -> Vec<Key> {
    layers.iter().map(|layer| key(&layer.name, &layer.colour)).collect()
}

/// Draws layers on each other and returns the scale of values.
fn stack(frame: &mut Frame, plot: Plot, layers: &[Layer]) -> Scale {
    let mut sums = vec![0.0; frame.buckets];
    for layer in layers {
        sums.iter_mut().zip(&layer.values).for_each(|(sum, value)| *sum += value);
    }
    let y = value_axis(frame, plot, sums.iter().copied().fold(0.0, f64::max));
    let edges = frame.edges();
    let mut low = vec![0.0; frame.buckets];
    for layer in layers.iter().filter(|layer| layer.values.iter().any(|value| *value > 0.0)) {
        let high: Vec<f64> = low.iter().zip(&layer.values).map(|(low, value)| low + value).collect();
        let pixels = |values: &[f64]| values.iter().map(|v| y.at(*v)).collect::<Vec<_>>();
        let path = band(&edges, &pixels(&low), &pixels(&high));
        frame.put(&format!(r#"<path d="{path}" fill="{}" fill-opacity=".82"/>"#, layer.colour));
        low = high;
    }
    frame.base(plot);
    y
}

fn value_axis(frame: &mut Frame, plot: Plot, most: f64) -> Scale {
    if most <= 0.0 {
        frame.rule(&[(plot.bottom, "0".to_owned())]);
        return Scale { from: (0.0, 1.0), to: (plot.bottom, plot.top) };
    }
    // One tick per 35 pixels reads well.
    let wanted = ((plot.bottom - plot.top) / 35.0).round().max(1.0) as u32;
    let ticks = ticks(most, wanted);
    let top = ticks.last().copied().unwrap_or(1.0);
    let y = Scale { from: (0.0, top), to: (plot.bottom, plot.top) };
    let marks: Vec<_> = ticks.into_iter().map(|tick| (y.at(tick), value_label(tick))).collect();
    frame.rule(&marks);
    y
}

/// The values of a strip: the last bucket of each layer.
fn told(layers: &[Layer], bucket: usize) -> String {
    let line = |layer: &Layer| {
        format!("{} {}", layer.name, number::plain(layer.values.get(bucket).copied().unwrap_or_default()))
    };
    layers.iter().rev().map(line).collect::<Vec<_>>().join("\n")
}

/// Addresses of all pools, by state.
pub(super) fn pools(frame: &mut Frame, series: &Series) {
    let layers = [
        layer("assigned", 0, &series.pool_assigned),
        layer("cooling", 1, &series.pool_cooling),
        layer("idle", 2, &series.pool_idle),
    ];
    let plot = frame.open("Address pools", "addresses", &keys(&layers), 150.0);
    stack(frame, plot, &layers);
    if layers.iter().all(|layer| layer.values.iter().all(|value| *value == 0.0)) {
        frame.nothing(plot, "no addresses");
    }
    frame.hover(plot, |strip| told(&layers, *strip.end()));
}

/// Pods with their network, and on a scale of their own pods that wait: a hundred of these matter beside ten
/// thousand of the others.
pub(super) fn pods(frame: &mut Frame, series: &Series) {
    area(frame, "Pods running", "on all nodes", 90.0, &layer("running", 0, &series.pods_running), "no pods");
    area(
        frame,
        "Pods waiting",
        "for their network",
        52.0,
        &layer("waiting", 1, &series.pods_pending),
        "none",
    );
}

/// A panel of one course, which needs no legend.
fn area(frame: &mut Frame, title: &str, unit: &str, height: f64, layer: &Layer, none: &str) {
    let plot = frame.open(title, unit, &[], height);
    let layers = std::slice::from_ref(layer);
    stack(frame, plot, layers);
    if layer.values.iter().all(|value| *value == 0.0) {
        frame.nothing(plot, none);
    }
    frame.hover(plot, |strip| told(layers, *strip.end()));
}

/// ADD latency per bucket, on a scale of equal ratios.
pub(super) fn latency(frame: &mut Frame, series: &Series) {
    let courses =
        [("p50", style::colour(0), &series.add_p50_ms), ("p99", style::colour(1), &series.add_p99_ms)];
    let legend: Vec<Key> = courses.iter().map(|(name, colour, _)| key(*name, colour)).collect();
    let plot = frame.open("ADD latency", "log scale", &legend, 120.0);
    let values = || courses.iter().flat_map(|(_, _, values)| values.iter().flatten()).filter(|ms| **ms > 0.0);
    if values().next().is_none() {
        frame.base(plot);
        return frame.nothing(plot, "no ADD succeeded");
    }
    let low = values().copied().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values().copied().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    let y = Scale { from: (low, high), to: (plot.bottom, plot.top) };
    let decades = (low as i32..=high as i32)
        .map(|decade| (y.at(f64::from(decade)), number::millis(10_f64.powi(decade))))
        .collect::<Vec<_>>();
    frame.rule(&decades);
    for (_, colour, values) in &courses {
        let points: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, ms)| {
                let x = frame.x.at(frame.bucket_middle(i));
                (x, ms.filter(|ms| *ms > 0.0).map(|ms| y.at(ms.log10())))
            })
            .collect();
        let path = line(points);
        if !path.is_empty() {
            frame.put(&format!(
                r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"/>"#
            ));
        }
    }
    frame.base(plot);
    frame.hover(plot, |strip| {
        let worst = |values: &[Option<f64>]| {
            values.get(strip.clone()).into_iter().flatten().flatten().copied().reduce(f64::max)
        };
        let each =
            courses.iter().map(|(name, _, values)| format!("{name} {}", number::maybe_millis(worst(values))));
        each.collect::<Vec<_>>().join("\n")
    });
}

/// Cloud calls per second by action; below them, if there are any, those refused for their rate.
pub(super) fn cloud(frame: &mut Frame, series: &Series) {
    let per_second =
        |counts: &[u64]| counts.iter().map(|n| *n as f64 / frame.bucket_seconds).collect::<Vec<_>>();
    let mut actions: Vec<_> = series.cloud_calls.iter().collect();
    // The most frequent first; equals keep the order of their names.
    actions.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<u64>()));
    let mut layers: Vec<Layer> = Vec::new();
    for (i, (action, counts)) in actions.into_iter().enumerate() {
        let values = per_second(counts);
        if i < NAMED_ACTIONS {
            layers.push(Layer { name: short(action), colour: style::colour(i), values });
        } else if let Some(other) = layers.get_mut(NAMED_ACTIONS) {
            other.values.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        } else {
            layers.push(Layer { name: "other".to_owned(), colour: style::colour(5), values });
        }
    }
    let throttled = per_second(&series.throttled);
    let plot = frame.open("Cloud calls", "per second", &keys(&layers), 140.0);
    stack(frame, plot, &layers);
    if layers.is_empty() {
        return frame.nothing(plot, "no cloud calls");
    }
    frame.hover(plot, |strip| {
        let mean = |values: &[f64]| {
            let part = values.get(strip.clone()).unwrap_or_default();
            part.iter().sum::<f64>() / part.len().max(1) as f64
        };
        let line = |layer: &Layer| format!("{} {}/s", layer.name, number::plain(mean(&layer.values)));
        layers.iter().rev().map(line).collect::<Vec<_>>().join("\n")
    });
    if throttled.iter().any(|rate| *rate > 0.0) {
        let layer =
            Layer { name: "throttled".to_owned(), colour: "var(--bad)".to_owned(), values: throttled };
        area(frame, "Throttled calls", "per second", 52.0, &layer, "none");
    }
}

/// The action as legends show it: the vendor's names are too long for six of them on a line.
fn short(action: &str) -> String {
    action
        .replace("NetworkInterface", "ENI")
        .replace("PrivateIpAddresses", "IPv4")
        .replace("Ipv6Addresses", "IPv6")
        .replace("InstanceTypes", "Types")
}
