//! Invented runs, for looking at reports and for their tests. They go through the recorder like real ones.

use std::time::Duration;

use terway_chaos::draw::{between, stream, unit};
use terway_chaos::{InvariantId, Violation};

use crate::{
    figures::{Burst, CallOutcome, Ending, Figures, ModelParameter, Recorder, Relation, Run},
    policy::PolicyFigures,
};

fn run(scenario: &str, nodes: u32) -> Run {
    let parameter = |name: &str, value: &str, source: &str| ModelParameter {
        name: name.to_owned(),
        value: value.to_owned(),
        source: source.to_owned(),
    };
    Run {
        scenario: scenario.to_owned(),
        seed: 42,
        nodes,
        commit: "1ff6e17".to_owned(),
        config_hash: "9d1c04e2".to_owned(),
        replay: format!(
            "terway-sim run {scenario} --nodes {nodes} --seed 42 --set pods_per_node=<12 & more>"
        ),
        model: vec![
            parameter("CreateNetworkInterface", "0.5–2 s, log-normal", "client time-outs of terway"),
            parameter("AttachNetworkInterface until InUse", "2–6 s, log-normal", "third-party timings"),
            parameter("AssignPrivateIpAddresses", "0.3–1.5 s, log-normal", "third-party timings"),
            parameter("account bucket", "120, refilled 20/s", "scenario"),
            parameter("metadata lag", "0–3 s", "assumed"),
        ],
    }
}

/// An hour of churn on a thousand nodes with mild faults; `broken` adds violations and a missed expectation.
pub(super) fn busy(broken: bool) -> Figures {
    let length = Duration::from_hours(1);
    let mut recorder = Recorder::new(length);
    let mut rng = stream(42, "sample", "busy");
    let (mut running, mut idle) = (0_u64, 4000_u64);
    for second in 0..3600_u64 {
        let at = Duration::from_secs(second);
        let storm = (1500..1680).contains(&second);
        let starts = between(&mut rng, 10, 50) + if second < 200 { 60 } else { 0 };
        let stops = if second < 300 { 5 } else { between(&mut rng, 10, 52) }.min(running);
        for _ in 0..starts {
            let slow = unit(&mut rng) < if storm { 0.4 } else { 0.06 };
            let spread = unit(&mut rng).powi(4);
            let millis = if slow {
                900.0 + spread * if storm { 40_000.0 } else { 9_000.0 }
            } else {
                1.2 + spread * 18.0
            };
            recorder.add_ok(at, !slow, Duration::from_secs_f64(millis / 1000.0));
            recorder.pod_ready(Duration::from_secs_f64((millis + 310.0) / 1000.0));
            recorder.pod_started();
        }
        (0..stops).for_each(|_| recorder.pod_stopped());
        running = running + starts - stops;
        idle = if storm { idle.saturating_sub(15) } else { (idle + 9).min(5200) };
        let cooling = stops * 30;
        recorder.pod_level(at, running, if storm { 260 + second % 40 } else { second % 7 });
        recorder.pool_level(at, idle, running, cooling, idle + running + cooling);
        for (action, weight) in [
            ("AssignPrivateIpAddresses", 4),
            ("DescribeNetworkInterfaces", 6),
            ("CreateNetworkInterface", 1),
            ("AttachNetworkInterface", 1),
            ("UnassignPrivateIpAddresses", 2),
            ("DescribeVSwitches", 1),
            ("DeleteNetworkInterface", 1),
        ] {
            for _ in 0..between(&mut rng, 0, weight) {
                let refused = unit(&mut rng) < if storm { 0.5 } else { 0.01 };
                let outcome = match (refused, unit(&mut rng) < 0.004) {
                    (true, _) => CallOutcome::Throttled,
                    (false, true) => CallOutcome::Wasted,
                    (false, false) => CallOutcome::Ok,
                };
                recorder.cloud_call(at, action, outcome);
            }
        }
        if second == 1500 {
            recorder.fault(at, "throttle");
            recorder.recovered("throttle", Duration::from_secs(41));
        }
        for kind in
            ["crash", "crash-at-point", "applied-timeout", "watch-lag", "node-reboot", "metadata-unreachable"]
        {
            if unit(&mut rng) < 0.012 {
                recorder.fault(at, kind);
                recorder.recovered(kind, Duration::from_secs_f64(2.0 + unit(&mut rng) * 30.0));
            }
        }
        if second % 60 == 59 {
            recorder.minute(terway_chaos::draw::hash(second, "sample", "minute"));
        }
    }
    recorder.add_failed("throttled");
    (0..31).for_each(|_| recorder.add_failed("vswitch-exhausted"));
    recorder.node_idle(Duration::from_hours(220), 946);
    for (name, times) in [("stale-del-ignored", 212), ("cooldown-survived-restart", 96), ("store-rebuilt", 0)]
    {
        recorder.sometimes(name, times);
    }
    if broken {
        breaches(&mut recorder);
    }
    let mut figures = recorder.finish(
        run("thousand-nodes", 1000),
        Ending {
            cluster: length,
            wall: Duration::from_millis(38_400),
            events: 6_412_338,
            peak_rss_bytes: 431 << 20,
            trace_hash: 0x8f2a_11c0_77de_4b09,
            leaked_enis: u64::from(broken),
            leaked_addresses: 0,
            duplicate_addresses: u64::from(broken),
            burst: broken.then(|| Burst::new(Some(81.3), 66.0)),
            policy: broken.then(|| PolicyFigures {
                nodes: 40,
                edits: 300,
                syncs: 12_000,
                ..PolicyFigures::default()
            }),
        },
    );
    figures.expect("pods_started", Relation::AtLeast, 100_000.0);
    figures.expect("mutating_calls_per_pod", Relation::AtMost, if broken { 0.05 } else { 0.2 });
    figures.expect("add_latency_ms.hit.p99", Relation::AtMost, 50.0);
    figures.expect("leaked_addresses", Relation::Equal, 0.0);
    figures
}

fn breaches(recorder: &mut Recorder) {
    let told = [
        (
            InvariantId::I1,
            1741.25,
            Some("node-0417"),
            "10.0.12.7 is in sandboxes 5f3a… (default/web-1) and 90be… (default/<web>-2)",
        ),
        (InvariantId::I21, 1744.0, Some("node-0417"), "ADD of default/web-9 refused with \"timeout\""),
        (InvariantId::I7, 3600.0, None, "eni-2ze0041 is attached to i-0417 and no store knows it"),
    ];
    for (id, at, node, detail) in told {
        recorder.violation(Violation::new(id, Duration::from_secs_f64(at), node, detail));
    }
}

/// A day in which nothing happens and nobody calls.
pub(super) fn quiet() -> Figures {
    let ending =
        Ending { cluster: Duration::from_hours(24), wall: Duration::from_secs(9), ..Ending::default() };
    Recorder::new(Duration::from_hours(24)).finish(run("quiet-day", 50), ending)
}
