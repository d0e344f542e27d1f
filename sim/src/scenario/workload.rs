//! `[workload]`: pods that are drawn, a burst, or a recorded workload.

use std::{path::PathBuf, time::Duration};

use terway_chaos::InputError;

use super::{BurstSpec, TraceSource, Workload, section::Section};

/// Pods that one burst may have: more than any cluster of ours has room for.
const MOST_PODS: u32 = 10_000_000;
/// Pods per node; Kubernetes itself supports some hundreds.
const MOST_PER_NODE: f64 = 10_000.0;
/// Times that a trace may be played faster, and copied.
const MOST_SPEEDUP: f64 = 1e6;
const MOST_COPIES: u32 = 10_000;

/// The workload without its recorded pods, and where those are to be read from.
pub(super) fn read(from: Option<&Section<'_>>) -> Result<(Workload, Option<TraceSource>), InputError> {
    let mut workload = Workload {
        pods_per_node: 0.0,
        // A pod of a service under normal rollouts, not of a batch job.
        lifetime: Duration::from_hours(1),
        // Long enough that a kubelet would really have started it.
        lifetime_min: Duration::from_secs(5),
        stateful: 0.0,
        ramp: Duration::from_mins(1),
        burst: None,
        trace: None,
    };
    let Some(from) = from else { return Ok((workload, None)) };
    from.only(&["pods_per_node", "lifetime", "lifetime_min", "stateful", "ramp", "burst", "trace"])?;
    workload.pods_per_node = from.number("pods_per_node", MOST_PER_NODE)?.unwrap_or(workload.pods_per_node);
    workload.lifetime = from.span("lifetime")?.unwrap_or(workload.lifetime);
    workload.lifetime_min =
        from.span("lifetime_min")?.unwrap_or_else(|| workload.lifetime_min.min(workload.lifetime));
    if workload.lifetime_min > workload.lifetime {
        return Err(from.wrong("lifetime_min", "at most `workload.lifetime`"));
    }
    workload.stateful = from.share("stateful")?.unwrap_or(0.0);
    workload.ramp = from.duration("ramp")?.unwrap_or(workload.ramp);
    workload.burst = from.section("burst")?.map(|burst| read_burst(&burst)).transpose()?;
    let trace = from.section("trace")?.map(|trace| read_trace(&trace)).transpose()?;
    if trace.is_some() && (workload.pods_per_node > 0.0 || workload.burst.is_some()) {
        return Err(from.wrong("trace", "no pods_per_node and no burst beside a recorded workload"));
    }
    Ok((workload, trace))
}

fn read_burst(from: &Section<'_>) -> Result<BurstSpec, InputError> {
    from.only(&["at", "pods"])?;
    Ok(BurstSpec {
        at: from.duration("at")?.unwrap_or_default(),
        pods: from
            .count_u32("pods", 1..=MOST_PODS)?
            .ok_or_else(|| from.missing("pods", "a whole number of pods from 1"))?,
    })
}

fn read_trace(from: &Section<'_>) -> Result<TraceSource, InputError> {
    from.only(&["pods", "nodes", "speedup", "copies"])?;
    let path = |key: &str| {
        from.read(key, "the name of a CSV file", |value| value.as_str().map(PathBuf::from))
            .map(|path| path.filter(|path| !path.as_os_str().is_empty()))
    };
    let speedup = from.read("speedup", &format!("a number above 0, at most {MOST_SPEEDUP}"), |value| {
        super::section::as_number(value).filter(|speedup| *speedup > 0.0 && *speedup <= MOST_SPEEDUP)
    })?;
    Ok(TraceSource {
        pods: path("pods")?,
        nodes: path("nodes")?,
        speedup: speedup.unwrap_or(1.0),
        copies: from.count_u32("copies", 1..=MOST_COPIES)?.unwrap_or(1),
    })
}
