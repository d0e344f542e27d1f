//! What a run tells of itself: parameters with their sources, the replay line, time and memory used.

use std::time::Duration;

use crate::{
    cloud::{CloudModel, Span},
    figures::ModelParameter,
    run::RunSpec,
    scenario::Scenario,
};

/// How long people wait.
pub(crate) struct Wall(
    #[expect(clippy::disallowed_types, reason = "wall time of the run is a figure")] std::time::Instant,
);

impl Wall {
    #[expect(clippy::disallowed_types, reason = "wall time of the run is a figure, nothing is decided by it")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Most memory that the process held so far (`VmHWM`); 0 where the system does not tell.
pub(super) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib =
        line.and_then(|rest| rest.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The commit that was built.
pub(super) fn commit() -> String {
    option_env!("TERWAY_COMMIT").unwrap_or("unknown").to_owned()
}

/// The command that runs this again.
pub(super) fn replay_line(spec: &RunSpec) -> String {
    let what = match &spec.file {
        Some(file) => file.display().to_string(),
        None => spec.scenario.name.clone(),
    };
    let mut words = vec!["terway-sim run".to_owned(), quoted(&what), format!("--seed {}", spec.seed)];
    words.extend(spec.overrides.iter().map(|set| format!("--set {}", quoted(set))));
    words.extend(spec.bug.iter().map(|bug| format!("--bug {bug}")));
    words.join(" ")
}

/// A word as a shell takes it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The model's parameters.
pub(super) fn parameters(scenario: &Scenario) -> Vec<ModelParameter> {
    const DERIVED: &str =
        "derived from client time-outs and third-party timings; not published by the vendor";
    const CLIENT: &str = "client-side limits of the original, per process, taken for the account";
    let cloud: &CloudModel = &scenario.cloud;
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String, source: &str| {
        rows.push(ModelParameter { name: name.to_owned(), value, source: source.to_owned() });
    };
    let span = |span: Span| format!("{} to {} ms", span.min_ms, span.max_ms);
    row("CreateNetworkInterface", span(cloud.create), DERIVED);
    row("AttachNetworkInterface", span(cloud.attach), DERIVED);
    row("attach to InUse", span(cloud.attach_settles), DERIVED);
    row("detach to Available", span(cloud.detach_settles), DERIVED);
    row("assign and unassign", span(cloud.assign), DERIVED);
    row("describe", span(cloud.describe), DERIVED);
    row("reads lag writes by", span(cloud.read_lag), "documented that they lag, not by how much; assumed");
    row("metadata lags by", span(cloud.metadata_lag), DERIVED);
    match &cloud.account_bucket {
        Some(bucket) => row(
            "account rate",
            format!("{} at once, {} per second", bucket.capacity, bucket.refill_per_second),
            "chosen by the scenario",
        ),
        None => row("rate per action", format!("{} × per-minute figures", cloud.action_factor), CLIENT),
    }
    row("call time-out", format!("{} ms", cloud.timeout_ms), "read time-out of the vendor's SDKs");
    row(
        "API server request",
        format!("{:?} + exponential {:?}", scenario.api.request_base, scenario.api.request_jitter),
        "assumed",
    );
    row("commit of the store", "1 to 5 ms".to_owned(), "assumed: fsync on a cloud disk");
    row("instance limits", "by type".to_owned(), "published instance family tables and sample replies");
    let cooldown = format!("{} s", scenario.agent.pool.cooldown.as_secs());
    row("cooldown of an address", cooldown, "ARP 60 s and half-open TCP 127 s of common kernels");
    rows
}
