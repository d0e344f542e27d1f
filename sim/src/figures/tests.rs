//! The recorder counts right, and the document keeps its keys.

use std::collections::BTreeSet;
use std::time::Duration;

use terway_chaos::{InvariantId, Severity, Violation};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn ending(cluster: Duration) -> Ending {
    Ending { cluster, wall: Duration::from_secs(2), events: 100, ..Ending::default() }
}

fn finish(recorder: Recorder, cluster: Duration) -> Figures {
    recorder.finish(Run::default(), ending(cluster))
}

/// The paths of all keys; what a map holds is shown as `{}`, what a list holds as `[]`.
fn keys(value: &serde_json::Value, path: &str, maps: &[&str], out: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let key = if maps.contains(&path) { "{}" } else { key };
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                keys(value, &path, maps, out);
            }
        }
        serde_json::Value::Array(list) => {
            let path = format!("{path}[]");
            match list.first() {
                Some(first) => keys(first, &path, maps, out),
                None => drop(out.insert(path)),
            }
        }
        _ => drop(out.insert(path.to_owned())),
    }
}

#[test]
fn the_document_keeps_its_keys() {
    let mut recorder = Recorder::new(MINUTE);
    recorder.add_ok(Duration::ZERO, true, Duration::from_millis(3));
    recorder.add_failed("quota");
    recorder.cloud_call(Duration::ZERO, "AttachNetworkInterface", CallOutcome::Ok);
    recorder.fault(Duration::ZERO, "crash");
    recorder.recovered("crash", MINUTE);
    recorder.violation(Violation::new(InvariantId::I1, MINUTE, None, ""));
    recorder.sometimes("stale-del-ignored", 1);
    recorder.minute(7);
    let model = vec![ModelParameter { name: String::new(), value: String::new(), source: String::new() }];
    let burst = Some(Burst::new(Some(2.0), 1.0));
    let mut figures = recorder.finish(
        Run { model, ..Run::default() },
        Ending { burst, policy: Some(PolicyFigures::default()), ..ending(MINUTE) },
    );
    figures.expect("leaked_enis", Relation::AtMost, 0.0);
    let maps = [
        "add_failures",
        "cloud_calls",
        "cloud_outcomes",
        "cloud_outcomes.{}",
        "recovery_seconds",
        "faults_injected",
        "series.cloud_calls",
        "series.faults",
        "series.violations",
    ];
    let mut found = BTreeSet::new();
    keys(&serde_json::to_value(&figures).unwrap(), "", &maps, &mut found);
    let found: Vec<String> = found.into_iter().collect();
    assert_eq!(found.join("\n") + "\n", include_str!("tests/keys.txt"));
}

#[test]
fn latencies_are_split_by_pool_hit() {
    let mut recorder = Recorder::new(MINUTE);
    for i in 1..=100 {
        recorder.add_ok(Duration::ZERO, true, Duration::from_millis(i));
    }
    recorder.add_ok(Duration::ZERO, false, Duration::from_secs(4));
    let figures = finish(recorder, MINUTE);
    let hit = figures.add_latency_ms.hit;
    assert_eq!(hit.count, 100);
    assert!((49.0..=51.0).contains(&hit.p50.unwrap()), "{hit:?}");
    assert!((98.0..=100.0).contains(&hit.p99.unwrap()), "{hit:?}");
    assert_eq!(figures.add_latency_ms.miss.count, 1);
    assert_eq!(figures.pod_ready_ms.p50, None, "nothing recorded is not zero");
    assert_eq!(figures.add_latency_shape.hit.iter().sum::<u64>(), 100);
    assert_eq!(figures.add_latency_shape.miss.iter().sum::<u64>(), 1);
}

#[test]
fn waste_is_weighed_by_time() {
    let mut recorder = Recorder::new(MINUTE);
    recorder.pool_level(Duration::ZERO, 10, 0, 0, 10);
    recorder.pool_level(Duration::from_secs(15), 0, 10, 0, 10);
    let waste = finish(recorder, MINUTE).address_waste;
    assert!((waste.mean.unwrap() - 0.25).abs() < 1e-9);
    assert_eq!((waste.max, waste.at_end), (Some(1.0), Some(0.0)));
}

#[test]
fn calls_are_counted_by_what_they_are() {
    let mut recorder = Recorder::new(MINUTE);
    (0..10).for_each(|_| recorder.pod_started());
    recorder.cloud_call(Duration::ZERO, "AssignPrivateIpAddresses", CallOutcome::Ok);
    recorder.cloud_call(Duration::ZERO, "AssignPrivateIpAddresses", CallOutcome::Throttled);
    recorder.cloud_call(Duration::ZERO, "DescribeNetworkInterfaces", CallOutcome::Wasted);
    recorder.node_idle(Duration::from_mins(30), 2);
    let figures = finish(recorder, MINUTE);
    assert_eq!(figures.mutating_calls_per_pod, Some(0.2));
    assert_eq!(figures.calls_per_idle_node_hour, Some(4.0));
    assert_eq!((figures.throttled_calls, figures.wasted_calls), (1, 1));
    assert_eq!(figures.value("cloud_calls.AssignPrivateIpAddresses"), Some(2.0));
}

#[test]
fn a_run_longer_than_planned_keeps_its_counts() {
    let mut recorder = Recorder::new(MINUTE);
    for second in 0..5000 {
        let at = Duration::from_secs(second);
        recorder.cloud_call(at, "DescribeVSwitches", CallOutcome::Ok);
        recorder.pod_level(at, second, 0);
        recorder.add_ok(at, true, Duration::from_millis(5));
    }
    let series = finish(recorder, Duration::from_secs(5000)).series;
    assert!(series.pods_running.len() <= 600, "{}", series.pods_running.len());
    assert_eq!(series.cloud_calls["DescribeVSwitches"].iter().sum::<u64>(), 5000);
    assert_eq!(series.pods_running.last(), Some(&4999));
    assert!(series.add_p99_ms.iter().all(Option::is_some));
    let lengths =
        [series.pods_pending.len(), series.throttled.len(), series.add_p50_ms.len(), series.pool_idle.len()];
    assert!(lengths.iter().all(|length| *length == series.pods_running.len()));
}

#[test]
fn the_width_of_buckets_fits_the_run() {
    for (length, seconds) in [(600, 1), (3600, 10), (86_400, 300), (1, 1)] {
        assert_eq!(series::width_for(Duration::from_secs(length)), seconds);
    }
}

#[test]
fn a_run_passes_with_minor_violations_only() {
    let with = |severity| {
        let mut recorder = Recorder::new(MINUTE);
        let violation = Violation::new(InvariantId::I17, MINUTE, None, "").with_severity(severity);
        recorder.violation(violation);
        finish(recorder, MINUTE)
    };
    assert!(with(Severity::Minor).passed);
    assert!(!with(Severity::Major).passed);
}

#[test]
fn an_expectation_on_a_missing_figure_is_not_met() {
    let mut figures = finish(Recorder::new(MINUTE), MINUTE);
    figures.expect("add_latency_ms.hit.p99", Relation::AtMost, 10.0);
    figures.expect("no_such_key", Relation::AtMost, 10.0);
    figures.expect("violations", Relation::Equal, 0.0);
    let ok: Vec<bool> = figures.expectations.iter().map(|e| e.ok).collect();
    assert_eq!(ok, [false, false, true]);
    assert!(!figures.passed);
}
