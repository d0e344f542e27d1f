//! The page: verdict first, then key figures, then courses, then tables.
//!
//! A tired operator reads it from the top and may stop at any line: each part answers the question that the one
//! before it raises.

mod distribution;

use std::fmt::Write as _;

use super::chart::escape;
use super::{number, style, tables, timeline};
use crate::figures::Figures;

/// The whole page.
pub(super) fn page(f: &Figures) -> String {
    let title = escape(&format!("{} · seed {}", f.scenario, f.seed));
    let sections = [
        header(f),
        verdict(f),
        tiles(f),
        format!(
            "<section><h2>Course of the run</h2><div class=\"scroll\">{}</div></section>\n",
            timeline::draw(f)
        ),
        distribution::section(f),
        tables::all(f),
        footer(f),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{}</style>\n</head>\n<body>\n<main>\n{}</main>\n<script>{}</script>\n</body>\n</html>\n",
        style::CSS,
        sections.concat(),
        style::SCRIPT
    )
}

fn header(f: &Figures) -> String {
    format!(
        "<header><h1>{}</h1><span class=\"sub\">{} · {} of cluster time · seed {}</span></header>\n",
        escape(&f.scenario),
        number::counted(f.nodes as usize, "node"),
        number::clock(f.cluster_seconds),
        f.seed
    )
}

fn verdict(f: &Figures) -> String {
    let class = if f.passed() { "verdict" } else { "verdict failed" };
    let (headline, detail) = tables::verdict(f);
    let replay = if f.replay.is_empty() {
        String::new()
    } else {
        format!("<div class=\"replay\"><span>Run it again</span><code>{}</code></div>", escape(&f.replay))
    };
    format!(
        "<section class=\"{class}\"><strong>{}</strong><p>{}</p>{replay}</section>\n",
        escape(&headline),
        escape(&detail)
    )
}

/// A key figure: value, what it is, whether it is bad.
struct Tile(String, String, bool);

fn tiles(f: &Figures) -> String {
    let hit = &f.add_latency_ms.hit;
    let miss = &f.add_latency_ms.miss;
    let mut tiles = vec![
        Tile(
            number::grouped(f.pods_started),
            format!("pods started, {} stopped", number::grouped(f.pods_stopped)),
            false,
        ),
        Tile(
            number::maybe_millis(hit.p99),
            format!("ADD p99 on a pool hit, p50 {}", number::maybe_millis(hit.p50)),
            false,
        ),
        Tile(
            number::maybe_millis(miss.p99),
            format!("ADD p99 on a miss, p50 {}", number::maybe_millis(miss.p50)),
            false,
        ),
        Tile(number::maybe(f.mutating_calls_per_pod), "mutating cloud calls per pod".to_owned(), false),
        Tile(number::maybe(f.calls_per_idle_node_hour), "cloud calls per idle node-hour".to_owned(), false),
        Tile(
            number::grouped(f.throttled_calls),
            format!("throttled calls, {} wasted", number::grouped(f.wasted_calls)),
            false,
        ),
        Tile(
            number::percent(f.address_waste.mean),
            format!("addresses idle on average, {} at most", number::percent(f.address_waste.max)),
            false,
        ),
        Tile(
            number::grouped(f.leaked_enis + f.leaked_addresses),
            format!(
                "leaked: {}, {}",
                number::counted(f.leaked_enis as usize, "ENI"),
                // `addresss` is no word.
                format_args!(
                    "{} {}",
                    number::grouped(f.leaked_addresses),
                    if f.leaked_addresses == 1 { "address" } else { "addresses" }
                )
            ),
            f.leaked_enis + f.leaked_addresses > 0,
        ),
        Tile(
            number::grouped(f.duplicate_addresses),
            "addresses given twice".to_owned(),
            f.duplicate_addresses > 0,
        ),
        Tile(
            number::grouped(f.faults_injected.values().sum()),
            format!("faults of {}", number::counted(f.faults_injected.len(), "kind")),
            false,
        ),
        Tile(
            format!("{}×", number::plain(f.compression)),
            format!("real time: {} wall, {}", number::clock(f.wall_seconds), number::bytes(f.peak_rss_bytes)),
            false,
        ),
    ];
    tiles.insert(1, readiness(f));
    let mut out = String::from("<div class=\"tiles\">\n");
    for Tile(value, what, bad) in tiles {
        let class = if bad { "tile bad" } else { "tile" };
        writeln!(out, "<div class=\"{class}\"><b>{}</b><span>{}</span></div>", escape(&value), escape(&what))
            .expect("writing to a String cannot fail");
    }
    out.push_str("</div>\n");
    out
}

/// How soon pods were ready: all of the burst beside its bound, or else each on its own.
fn readiness(f: &Figures) -> Tile {
    let Some(burst) = &f.burst else {
        let ready = &f.pod_ready_ms;
        let what = format!("pod ready p99, p50 {}", number::maybe_millis(ready.p50));
        return Tile(number::maybe_millis(ready.p99), what, false);
    };
    let bound = number::clock(burst.bound_seconds);
    let what = match burst.ratio {
        Some(ratio) => {
            format!("whole burst ready: {}× the {bound} that the cloud imposes", number::plain(ratio))
        }
        None => format!("whole burst ready; the cloud imposes {bound}"),
    };
    let value = burst.all_ready_seconds.map_or_else(|| "never".to_owned(), number::clock);
    Tile(value, what, burst.all_ready_seconds.is_none())
}

fn footer(f: &Figures) -> String {
    let mut parts = vec![format!("trace hash {}", f.trace_hash)];
    if !f.commit.is_empty() {
        parts.push(format!("commit {}", f.commit));
    }
    if !f.config_hash.is_empty() {
        parts.push(format!("configuration {}", f.config_hash));
    }
    parts.push(format!(
        "{} events, {} per second",
        number::grouped(f.events),
        number::plain(f.events_per_second.round())
    ));
    format!("<footer>{}</footer>\n", escape(&parts.join(" · ")))
}
