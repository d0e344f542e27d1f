//! `profile` and `[wire]`: calls in one process, or HTTP over a simulated network.

use std::time::Duration;

use terway_chaos::InputError;

use super::section::{Section, as_duration};

/// How the parts of a run reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfileKind {
    /// By calls, in one runtime: thousands of nodes.
    #[default]
    Fleet,
    /// By HTTP, over a simulated network between zones, cloud and API server.
    Wire,
}

/// Parameters of the simulated network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireModel {
    /// Hosts take turns of this length. 10 ms: calls of the cloud take a hundred and more, and a shorter
    /// tick costs in proportion.
    pub tick: Duration,
    /// Shortest and longest time of a packet between two hosts, one way. 1 to 5 ms: within a region.
    pub latency: (Duration, Duration),
    /// How long an agent waits for one answer of the cloud: 10 s, the read time-out of the vendor's SDKs.
    pub try_deadline: Duration,
}

impl Default for WireModel {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(10),
            latency: (Duration::from_millis(1), Duration::from_millis(5)),
            try_deadline: Duration::from_secs(10),
        }
    }
}

pub(super) fn profile(root: &Section<'_>) -> Result<ProfileKind, InputError> {
    let kind = root.read("profile", "\"fleet\" or \"wire\"", |value| match value.as_str()? {
        "fleet" => Some(ProfileKind::Fleet),
        "wire" => Some(ProfileKind::Wire),
        _ => None,
    })?;
    Ok(kind.unwrap_or_default())
}

pub(super) fn read(from: Option<&Section<'_>>) -> Result<WireModel, InputError> {
    const LATENCY: &str = "two durations, the shorter first, such as [\"1ms\", \"5ms\"], at most 1m";
    const TICK: &str = "a duration from 1ms to 1s in whole milliseconds";
    const DEADLINE: &str = "a duration from 100ms to 10m";
    let mut model = WireModel::default();
    let Some(from) = from else { return Ok(model) };
    from.only(&["tick", "latency", "try_deadline"])?;
    let within = |value: &toml::Value, low: Duration, high: Duration| {
        as_duration(value).filter(|time| (low..=high).contains(time))
    };
    let tick = |value: &toml::Value| {
        within(value, Duration::from_millis(1), Duration::from_secs(1))
            .filter(|tick| tick.subsec_nanos() % 1_000_000 == 0)
    };
    model.tick = from.read("tick", TICK, tick)?.unwrap_or(model.tick);
    let latency = |value: &toml::Value| match value.as_array()?.as_slice() {
        [low, high] => {
            let most = Duration::from_mins(1);
            let ends = (within(low, Duration::ZERO, most)?, within(high, Duration::ZERO, most)?);
            Some(ends).filter(|(low, high)| low <= high)
        }
        _ => None,
    };
    model.latency = from.read("latency", LATENCY, latency)?.unwrap_or(model.latency);
    let deadline = |value: &toml::Value| within(value, Duration::from_millis(100), Duration::from_mins(10));
    model.try_deadline = from.read("try_deadline", DEADLINE, deadline)?.unwrap_or(model.try_deadline);
    Ok(model)
}
