//! The tables below the drawings, and the verdict in words, which the terminal's summary shares.

use super::chart::escape;
use super::number;
use crate::figures::{Figures, Relation};

/// Headline and one sentence of detail.
pub(super) fn verdict(f: &Figures) -> (String, String) {
    let failed = f.expectations.iter().filter(|expectation| !expectation.ok).count();
    let violations = f.violations.len();
    let headline = match (violations, failed) {
        (0, 0) => "All invariants held".to_owned(),
        (0, failed) => format!("All invariants held; {} not met", number::counted(failed, "expectation")),
        (some, 0) => number::counted(some, "violation"),
        (some, failed) => {
            format!(
                "{}, {} not met",
                number::counted(some, "violation"),
                number::counted(failed, "expectation")
            )
        }
    };
    (headline, detail(f, failed))
}

fn detail(f: &Figures, failed: usize) -> String {
    if let Some(first) = f.violations.first() {
        return format!(
            "The first: {} ({}) at {}{} – {}",
            first.id,
            first.severity.name(),
            number::clock(first.at_seconds),
            first.node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default(),
            first.id.entry().statement
        );
    }
    let faults: u64 = f.faults_injected.values().sum();
    let expectations = match f.expectations.len() {
        0 => String::new(),
        all => format!("; {} of {} met", all - failed, number::counted(all, "expectation")),
    };
    format!("{} injected{expectations}.", number::counted(faults as usize, "fault"))
}

/// A bound as people read it: `≤ 0.2`.
pub(super) fn bound(relation: Relation, bound: f64) -> String {
    format!("{} {}", relation.sign(), number::plain(bound))
}

/// A cell: its text, and its class.
struct Cell(String, &'static str);

fn text(value: impl Into<String>) -> Cell {
    Cell(value.into(), "")
}

fn figure(value: impl Into<String>) -> Cell {
    Cell(value.into(), "n")
}

fn cell(tag: &str, value: &str, class: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<{tag}{class}>{}</{tag}>", escape(value))
}

fn table(title: &str, empty: &str, head: &[(&str, &str)], rows: &[Vec<Cell>]) -> String {
    let body = if rows.is_empty() {
        format!("<p class=\"empty\">{}</p>", escape(empty))
    } else {
        let cells = |tag: &str, cells: &mut dyn Iterator<Item = (&str, &str)>| {
            cells.map(|(value, class)| cell(tag, value, class)).collect::<Vec<_>>().concat()
        };
        let head = cells("th", &mut head.iter().copied());
        let row = |row: &Vec<Cell>| {
            let cells = cells("td", &mut row.iter().map(|Cell(value, class)| (value.as_str(), *class)));
            format!("<tr>{cells}</tr>\n")
        };
        let rows = rows.iter().map(row).collect::<Vec<_>>().concat();
        format!(
            "<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>"
        )
    };
    format!("<section><h2>{}</h2>{body}</section>\n", escape(title))
}

/// All tables, in the order in which one asks.
pub(super) fn all(f: &Figures) -> String {
    [
        violations(f),
        expectations(f),
        "<div class=\"columns\">\n<div>\n".to_owned(),
        calls(f),
        refusals(f),
        "</div>\n<div>\n".to_owned(),
        faults(f),
        sometimes(f),
        "</div>\n</div>\n".to_owned(),
        model(f),
    ]
    .concat()
}

/// Rows shown of a list that may be endless; the JSON document has all.
const MOST_ROWS: usize = 200;

fn violations(f: &Figures) -> String {
    if f.violations.is_empty() {
        return String::new();
    }
    let mut rows: Vec<Vec<Cell>> = f
        .violations
        .iter()
        .take(MOST_ROWS)
        .map(|v| {
            let class = if v.severity == terway_chaos::Severity::Minor { "warn" } else { "bad" };
            vec![
                figure(number::clock(v.at_seconds)),
                Cell(v.id.to_string(), class),
                text(v.severity.name()),
                Cell(v.node.as_deref().unwrap_or("–").to_owned(), "whole"),
                Cell(v.detail.clone(), "wide"),
                Cell(v.id.entry().statement.to_owned(), "soft"),
            ]
        })
        .collect();
    if f.violations.len() > MOST_ROWS {
        let more = format!(
            "and {} more, in the JSON document",
            number::grouped((f.violations.len() - MOST_ROWS) as u64)
        );
        rows.push(vec![text(""), text(""), text(""), text(""), Cell(more, "soft"), text("")]);
    }
    let head = [
        ("at", "n"),
        ("id", ""),
        ("severity", ""),
        ("node", ""),
        ("what was seen", ""),
        ("what must hold", ""),
    ];
    table("Violations", "", &head, &rows)
}

fn expectations(f: &Figures) -> String {
    let rows: Vec<Vec<Cell>> = f
        .expectations
        .iter()
        .map(|e| {
            let (verdict, class) = if e.ok { ("met", "ok") } else { ("not met", "bad") };
            vec![
                text(&e.key),
                figure(number::maybe(e.actual)),
                figure(bound(e.relation, e.bound)),
                Cell(verdict.to_owned(), class),
            ]
        })
        .collect();
    let head = [("figure", ""), ("actual", "n"), ("expected", "n"), ("", "")];
    table("Expectations", "The scenario expects nothing of its figures.", &head, &rows)
}

fn calls(f: &Figures) -> String {
    let mut actions: Vec<_> = f.cloud_calls.iter().collect();
    actions.sort_by_key(|(_, calls)| std::cmp::Reverse(**calls));
    let rows: Vec<Vec<Cell>> = actions
        .into_iter()
        .map(|(action, calls)| {
            let of = |outcome: &str| {
                let count = f.cloud_outcomes.get(action).and_then(|by| by.get(outcome)).copied().unwrap_or(0);
                let class = if count == 0 { "n soft" } else { "n" };
                Cell(number::grouped(count), class)
            };
            vec![text(action), figure(number::grouped(*calls)), of("throttled"), of("failed"), of("wasted")]
        })
        .collect();
    let head = [("action", ""), ("calls", "n"), ("throttled", "n"), ("failed", "n"), ("wasted", "n")];
    table("Cloud calls", "The cloud was not called.", &head, &rows)
}

fn refusals(f: &Figures) -> String {
    let mut causes: Vec<_> = f.add_failures.iter().collect();
    causes.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let rows: Vec<Vec<Cell>> =
        causes.into_iter().map(|(cause, times)| vec![text(cause), figure(number::grouped(*times))]).collect();
    table("Refused ADDs", "No ADD was refused.", &[("cause", ""), ("times", "n")], &rows)
}

fn faults(f: &Figures) -> String {
    let rows: Vec<Vec<Cell>> = f
        .faults_injected
        .iter()
        .map(|(kind, injected)| {
            let recovery = f.recovery_seconds.get(kind).filter(|recovery| recovery.count > 0);
            let seconds = |s: Option<f64>| figure(s.map_or_else(|| "–".to_owned(), number::clock));
            vec![
                text(kind),
                figure(number::grouped(*injected)),
                figure(recovery.map_or_else(|| "–".to_owned(), |r| number::grouped(r.count))),
                seconds(recovery.map(|r| r.p50)),
                seconds(recovery.map(|r| r.max)),
            ]
        })
        .collect();
    let head = [("kind", ""), ("injected", "n"), ("recovered", "n"), ("p50", "n"), ("longest", "n")];
    table("Faults and recovery", "No faults were injected.", &head, &rows)
}

fn sometimes(f: &Figures) -> String {
    let rows: Vec<Vec<Cell>> = f
        .sometimes
        .iter()
        .map(|path| {
            let count = if path.count == 0 {
                Cell("not reached".to_owned(), "n soft")
            } else {
                figure(number::grouped(path.count))
            };
            vec![text(&path.name), count]
        })
        .collect();
    table("Rare paths", "No rare path was reached.", &[("path", ""), ("reached", "n")], &rows)
}

fn model(f: &Figures) -> String {
    let rows: Vec<Vec<Cell>> = f
        .model
        .iter()
        .map(|p| vec![text(&p.name), Cell(p.value.clone(), "whole"), Cell(p.source.clone(), "soft wide")])
        .collect();
    let head = [("parameter", ""), ("value", ""), ("source", "")];
    table("What the model assumes", "The run names no parameters.", &head, &rows)
}
