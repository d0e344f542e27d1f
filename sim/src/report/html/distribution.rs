//! How ADD latencies are distributed: pool hits above, misses below, on one axis of equal ratios.

use super::super::chart::{Scale, escape, px};
use super::super::{number, style};
use crate::figures::{Figures, Latency, LatencyShape};

const LEFT: f64 = 150.0;
const RIGHT: f64 = 1186.0;
const HEIGHT: f64 = 92.0;

/// The section.
pub(super) fn section(f: &Figures) -> String {
    let shape = &f.add_latency_shape;
    let used =
        |i: &usize| shape.hit.get(*i).is_some_and(|n| *n > 0) || shape.miss.get(*i).is_some_and(|n| *n > 0);
    let bins: Vec<usize> = (0..shape.upper_ms.len()).filter(used).collect();
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return "<section><h2>ADD latency</h2><p class=\"empty\">No ADD succeeded.</p></section>\n"
            .to_owned();
    };
    // The axis holds whole decades, so that its labels are round.
    let low = lower_ms(shape, *first).log10().floor();
    let high = shape.upper_ms[*last].log10().ceil().max(low + 1.0);
    let x = Scale { from: (low, high), to: (LEFT, RIGHT) };
    let mut body: Vec<String> = Vec::new();
    let rows =
        [("pool hit", &shape.hit, &f.add_latency_ms.hit), ("pool miss", &shape.miss, &f.add_latency_ms.miss)];
    for (row, (name, counts, latency)) in rows.into_iter().enumerate() {
        let top = 30.0 + row as f64 * (HEIGHT + 42.0);
        body.push(bars(shape, counts, &x, top, row));
        body.push(marks(latency, &x, top));
        let (y, total) = (px(top + HEIGHT / 2.0), number::grouped(latency.count));
        body.push(format!(
            r#"<text class="title" x="{0}" y="{y}" text-anchor="end">{name}</text><text x="{0}" y="{1}" text-anchor="end">{total}</text>"#,
            px(LEFT - 12.0),
            px(top + HEIGHT / 2.0 + 16.0)
        ));
    }
    let foot = 30.0 + 2.0 * HEIGHT + 42.0;
    let mut axis: Vec<String> = Vec::new();
    for decade in low as i32..=high as i32 {
        let at = px(x.at(f64::from(decade)));
        let anchor = if f64::from(decade) >= high { "end" } else { "middle" };
        axis.push(format!(
            r#"<line class="grid" x1="{at}" x2="{at}" y1="30" y2="{}"/><text x="{at}" y="{}" text-anchor="{anchor}">{}</text>"#,
            px(foot),
            px(foot + 18.0),
            escape(&number::millis(10_f64.powi(decade)))
        ));
    }
    format!(
        r#"<section><h2>ADD latency, by whether the pool had an address</h2><div class="scroll"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1200 {}" role="img" aria-label="Distribution of ADD latency">{axis}{body}</svg></div></section>
"#,
        px(foot + 26.0),
        axis = axis.concat(),
        body = body.concat()
    )
}

fn lower_ms(shape: &LatencyShape, bin: usize) -> f64 {
    match bin {
        0 => shape.upper_ms[0] / 1.4678,
        bin => shape.upper_ms[bin - 1],
    }
}

fn bars(shape: &LatencyShape, counts: &[u64], x: &Scale, top: f64, row: usize) -> String {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let most = counts.iter().copied().max().unwrap_or_default().max(1) as f64;
    let bottom = top + HEIGHT;
    let mut out = vec![format!(
        r#"<line class="axis" x1="{}" x2="{}" y1="{2}" y2="{2}"/>"#,
        px(LEFT),
        px(RIGHT),
        px(bottom)
    )];
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = (lower_ms(shape, bin), shape.upper_ms[bin]);
        let (left, right) = (x.at(from.log10()), x.at(to.log10()));
        // A bin with anything in it is seen, however small its share.
        let height = (*count as f64 / most * (HEIGHT - 6.0)).max(1.5);
        let what = format!(
            "{} to {}: {} ({} %)",
            number::millis(from),
            number::millis(to),
            number::grouped(*count),
            number::plain(*count as f64 / total * 100.0)
        );
        out.push(format!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{}" fill-opacity=".85"><title>{}</title></rect>"#,
            px(left + 1.0),
            px(bottom - height),
            px((right - left - 2.0).max(1.0)),
            px(height),
            style::colour(row),
            escape(&what)
        ));
    }
    out.concat()
}

/// The percentiles, as lines with a label above; a label is left out where it would lie on its neighbour.
fn marks(latency: &Latency, x: &Scale, top: f64) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut free_from = f64::MIN;
    for (name, value) in [("p50", latency.p50), ("p99", latency.p99), ("p99.9", latency.p999)] {
        let Some(ms) = value.filter(|ms| *ms > 0.0) else { continue };
        let at = x.at(ms.log10());
        let label = format!("{name} {}", number::millis(ms));
        let half = label.chars().count() as f64 * 3.4;
        out.push(format!(
            r#"<line x1="{0}" x2="{0}" y1="{1}" y2="{2}" stroke="var(--ink)" stroke-opacity=".55" stroke-dasharray="2 3"/>"#,
            px(at),
            px(top - 4.0),
            px(top + HEIGHT)
        ));
        let centre = at.min(RIGHT - half);
        if centre - half > free_from {
            let (at, y, label) = (px(centre), px(top - 8.0), escape(&label));
            out.push(format!(r#"<text x="{at}" y="{y}" text-anchor="middle">{label}</text>"#));
            free_from = centre + half + 6.0;
        }
    }
    out.concat()
}
