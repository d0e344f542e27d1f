//! The summary for a terminal: short lines, aligned, the verdict last, where the eye is.

use std::fmt::Write as _;

use super::{number, tables};
use crate::figures::{Figures, Latency};

const GREEN: &str = "32";
const RED: &str = "31";
const BOLD: &str = "1";

struct Page {
    out: String,
    colour: bool,
}

impl Page {
    fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A line of a name and its value; the name of a continued line is empty.
    fn line(&mut self, name: &str, value: &str) {
        writeln!(self.out, "  {name:<16} {value}").expect("writing to a String cannot fail");
    }

    fn blank(&mut self) {
        self.out.push('\n');
    }
}

pub(super) fn summary(f: &Figures, colour: bool) -> String {
    let mut page = Page { out: String::new(), colour };
    let title = page.paint(&f.scenario, BOLD);
    writeln!(
        page.out,
        "{title}  seed {}, {}, {} of cluster time",
        f.seed,
        number::counted(f.nodes as usize, "node"),
        number::clock(f.cluster_seconds)
    )
    .expect("writing to a String cannot fail");
    page.blank();
    machine(&mut page, f);
    page.blank();
    pods(&mut page, f);
    page.blank();
    cloud(&mut page, f);
    page.blank();
    policy(&mut page, f);
    chaos(&mut page, f);
    expectations(&mut page, f);
    violations(&mut page, f);
    page.blank();
    let (headline, _) = tables::verdict(f);
    let (mark, code) = if f.passed() { ("passed", GREEN) } else { ("FAILED", RED) };
    let mark = page.paint(mark, code);
    writeln!(page.out, "{mark}  {headline}").expect("writing to a String cannot fail");
    if !f.replay.is_empty() {
        writeln!(page.out, "replay  {}", f.replay).expect("writing to a String cannot fail");
    }
    page.out
}

fn machine(page: &mut Page, f: &Figures) {
    page.line(
        "wall time",
        &format!("{}, {}× of real time", number::clock(f.wall_seconds), number::plain(f.compression)),
    );
    page.line(
        "events",
        &format!("{}, {} per second", number::grouped(f.events), number::plain(f.events_per_second.round())),
    );
    page.line("memory", &number::bytes(f.peak_rss_bytes));
    page.line("trace hash", &f.trace_hash);
}

fn latency(l: &Latency) -> String {
    let cell = |ms: Option<f64>| format!("{:>8}", number::maybe_millis(ms));
    format!(
        "{:>9} ADDs   p50 {}  p90 {}  p99 {}  p99.9 {}",
        number::grouped(l.count),
        cell(l.p50),
        cell(l.p90),
        cell(l.p99),
        cell(l.p999)
    )
}

fn pods(page: &mut Page, f: &Figures) {
    page.line(
        "pods",
        &format!("{} started, {} stopped", number::grouped(f.pods_started), number::grouped(f.pods_stopped)),
    );
    page.line("ADD, pool hit", &latency(&f.add_latency_ms.hit));
    page.line("ADD, pool miss", &latency(&f.add_latency_ms.miss));
    page.line("pod ready", &latency(&f.pod_ready_ms).replace(" ADDs", " pods"));
    let mut name = "ADDs refused";
    for (cause, times) in &f.add_failures {
        page.line(name, &format!("{:>9} {cause}", number::grouped(*times)));
        name = "";
    }
    if let Some(burst) = &f.burst {
        let ready = burst.all_ready_seconds.map_or_else(|| "never".to_owned(), number::clock);
        let ratio = burst.ratio.map(|ratio| format!(", {}× of it", number::plain(ratio))).unwrap_or_default();
        page.line(
            "burst",
            &format!(
                "all ready after {ready}; the cloud imposes {}{ratio}",
                number::clock(burst.bound_seconds)
            ),
        );
    }
}

fn cloud(page: &mut Page, f: &Figures) {
    let mut actions: Vec<_> = f.cloud_calls.iter().collect();
    actions.sort_by_key(|(_, calls)| std::cmp::Reverse(**calls));
    let total: u64 = f.cloud_calls.values().sum();
    page.line(
        "cloud calls",
        &format!(
            "{:>9} in all, {} throttled, {} wasted",
            number::grouped(total),
            number::grouped(f.throttled_calls),
            number::grouped(f.wasted_calls)
        ),
    );
    for (action, calls) in actions {
        page.line("", &format!("{:>9} {action}", number::grouped(*calls)));
    }
    page.line("mutating per pod", &format!("{:>9}", number::maybe(f.mutating_calls_per_pod)));
    page.line("per idle node-h", &format!("{:>9}", number::maybe(f.calls_per_idle_node_hour)));
    let waste = &f.address_waste;
    page.line(
        "idle addresses",
        &format!(
            "{:>9} on average, {} at most, {} at the end",
            number::percent(waste.mean),
            number::percent(waste.max),
            number::percent(waste.at_end)
        ),
    );
    page.line(
        "leaks, doubles",
        &format!(
            "{:>9} leaked ENIs, {} leaked addresses, {} addresses given twice",
            number::grouped(f.leaked_enis),
            number::grouped(f.leaked_addresses),
            number::grouped(f.duplicate_addresses)
        ),
    );
}

fn policy(page: &mut Page, f: &Figures) {
    let Some(policy) = &f.policy else { return };
    page.line(
        "policy",
        &format!(
            "{:>9} nodes of {} enforce it; {} edits, {} relabelled pods",
            number::grouped(u64::from(policy.nodes)),
            number::grouped(u64::from(f.nodes)),
            number::grouped(policy.edits),
            number::grouped(policy.relabels)
        ),
    );
    page.line(
        "",
        &format!(
            "{:>9} times put in force, {:.1} ms after its sight (p99 {:.1} ms), {} failures",
            number::grouped(policy.syncs),
            policy.sync_p50_ms,
            policy.sync_p99_ms,
            number::grouped(policy.sync_failures)
        ),
    );
    page.line(
        "",
        &format!(
            "{:>9} flows compared with the reference, {} pods looked at as they started",
            number::grouped(policy.flows_compared),
            number::grouped(policy.starts_checked)
        ),
    );
}

fn chaos(page: &mut Page, f: &Figures) {
    let injected: u64 = f.faults_injected.values().sum();
    page.line(
        "faults",
        &format!("{:>9} of {}", number::grouped(injected), number::counted(f.faults_injected.len(), "kind")),
    );
    for (kind, count) in &f.faults_injected {
        let recovery = f.recovery_seconds.get(kind).filter(|recovery| recovery.count > 0);
        let healed = recovery
            .map(|r| format!("healed in {} (p50), {} (longest)", number::clock(r.p50), number::clock(r.max)))
            .unwrap_or_default();
        let line = format!("{:>9} {kind:<22} {healed}", number::grouped(*count));
        page.line("", line.trim_end());
    }
    let reached = f.sometimes.iter().filter(|path| path.count > 0).count();
    page.line("rare paths", &format!("{reached:>9} of {} reached", f.sometimes.len()));
}

fn expectations(page: &mut Page, f: &Figures) {
    if f.expectations.is_empty() {
        return;
    }
    page.blank();
    let mut name = "expected";
    let width = f.expectations.iter().map(|e| e.key.chars().count()).max().unwrap_or_default();
    for e in &f.expectations {
        let verdict = if e.ok { page.paint("met", GREEN) } else { page.paint("NOT MET", RED) };
        let (actual, bound) = (number::maybe(e.actual), tables::bound(e.relation, e.bound));
        page.line(name, &format!("{:<width$}  {actual:>9}  {bound:<10} {verdict}", e.key));
        name = "";
    }
}

/// Breaches printed in full; beyond these a person goes to the report.
const MOST_VIOLATIONS: usize = 20;

fn violations(page: &mut Page, f: &Figures) {
    if f.violations.is_empty() {
        return;
    }
    page.blank();
    for v in f.violations.iter().take(MOST_VIOLATIONS) {
        let id = page.paint(&format!("{:<4}", v.id.name()), RED);
        let node = v.node.as_deref().unwrap_or("–");
        let at = number::clock(v.at_seconds);
        writeln!(page.out, "  {id} {:<6} {at:>10}  {node:<12} {}", v.severity.name(), v.detail)
            .expect("writing to a String cannot fail");
    }
    let more = f.violations.len().saturating_sub(MOST_VIOLATIONS);
    if more > 0 {
        writeln!(page.out, "  and {more} more, in the JSON document")
            .expect("writing to a String cannot fail");
    }
}
