//! Arguments of fault kinds: their names, what is allowed, what is usual, and how one is drawn.
//!
//! Kept apart from the text form of schedules, so that a schedule and a table of rates read arguments alike.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::FaultKind;
use crate::{draw, duration, near, points};

/// The codes with which the cloud refuses a call for its rate.
pub const THROTTLE_CODES: &[&str] =
    &["Throttling", "Throttling.User", "Throttling.Api", "ServiceUnavailable"];

/// The codes with which the cloud refuses a call for quota.
pub const QUOTA_CODES: &[&str] =
    &["EniPerInstanceLimitExceeded", "QuotaExceeded.PrivateIpAddress", "SecurityGroupInstanceLimitExceed"];

/// The value of an argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// A name.
    Text(String),
    /// A count, from 1.
    Count(u64),
    /// A factor of at least 1.
    Factor(f64),
    /// A duration above zero.
    Span(Duration),
    /// A signed step in milliseconds, not zero.
    Step(i64),
}

/// What may be written for an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgSpec {
    /// One of a closed list of codes.
    Code(&'static [&'static str]),
    /// A crash point.
    Point,
    /// A count, from 1 to the number given.
    Count(u64),
    /// A factor of at least 1.
    Factor,
    /// A duration above zero.
    Span,
    /// A signed duration, not zero.
    Step,
}

impl ArgSpec {
    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Code(codes) => format!("one of {}", codes.join(", ")),
            Self::Point => "a crash point, such as store.commit.before or cloud.<Action>.after".to_owned(),
            Self::Count(most) => format!("a whole number from 1 to {most}"),
            Self::Factor => "a number of at least 1".to_owned(),
            Self::Span => "a duration above zero, such as 30s or 1m30s".to_owned(),
            Self::Step => "a duration other than zero, such as 1h or -30s".to_owned(),
        }
    }

    /// Reads a value; the error is the nearest allowed name, if one is near.
    pub fn read(self, value: &toml::Value) -> Result<Arg, Option<String>> {
        let text = value.as_str();
        let suggest = |names: &[&str]| {
            Err(text.and_then(|text| near::nearest(text, names.iter().copied())).map(str::to_owned))
        };
        match self {
            Self::Code(codes) => match text {
                Some(text) if codes.contains(&text) => Ok(Arg::Text(text.to_owned())),
                _ => suggest(codes),
            },
            Self::Point => match text {
                Some(text) if points::is_known(text) => Ok(Arg::Text(text.to_owned())),
                _ => suggest(&points::all().iter().map(String::as_str).collect::<Vec<_>>()),
            },
            Self::Count(most) => value
                .as_integer()
                .and_then(|n| u64::try_from(n).ok())
                .filter(|n| (1..=most).contains(n))
                .map(Arg::Count)
                .ok_or(None),
            Self::Factor => value
                .as_float()
                .or_else(|| value.as_integer().map(|n| n as f64))
                .filter(|factor| factor.is_finite() && *factor >= 1.0)
                .map(Arg::Factor)
                .ok_or(None),
            Self::Span => {
                text.and_then(|t| duration::parse(t).ok()).filter(|d| !d.is_zero()).map(Arg::Span).ok_or(None)
            }
            Self::Step => text
                .and_then(|t| duration::parse_step(t).ok())
                .filter(|by| *by != 0)
                .map(Arg::Step)
                .ok_or(None),
        }
    }

    /// Draws a value of the size that finds things: factors of 2 to 20, lags of 1 to 30 s, steps up to 1 h.
    fn draw(self, rng: &mut ChaCha8Rng) -> Arg {
        let millis = |rng: &mut ChaCha8Rng, low, high| draw::between(rng, low, high);
        match self {
            Self::Code(codes) => {
                Arg::Text(codes[draw::between(rng, 0, codes.len() as u64 - 1) as usize].to_owned())
            }
            Self::Point => {
                let all = points::all();
                Arg::Text(all[draw::between(rng, 0, all.len() as u64 - 1) as usize].clone())
            }
            // Early passings and polls matter most: later ones repeat what the first few did.
            Self::Count(most) => Arg::Count(draw::between(rng, 1, if most > 1_000_000 { 500 } else { 3 })),
            Self::Factor => Arg::Factor(draw::between(rng, 2, 20) as f64),
            Self::Span => Arg::Span(Duration::from_millis(millis(rng, 1_000, 30_000))),
            Self::Step => {
                let size = millis(rng, 1_000, 3_600_000).cast_signed();
                Arg::Step(if draw::between(rng, 0, 1) == 0 { -size } else { size })
            }
        }
    }
}

impl Arg {
    /// The value as it stands in a schedule.
    pub fn to_toml(&self) -> toml::Value {
        match self {
            Self::Text(text) => toml::Value::String(text.clone()),
            Self::Count(n) => toml::Value::Integer(i64::try_from(*n).unwrap_or(i64::MAX)),
            Self::Factor(factor) => toml::Value::Float(*factor),
            Self::Span(span) => toml::Value::String(duration::print(*span)),
            Self::Step(by) => toml::Value::String(duration::print_step(*by)),
        }
    }
}

impl FaultKind {
    /// The arguments that the kind of that name takes, with the usual value; `None` where there is none.
    pub fn arg_specs(name: &str) -> Vec<(&'static str, ArgSpec, Option<Arg>)> {
        let span = |secs| Some(Arg::Span(Duration::from_secs(secs)));
        match name {
            "crash-at-point" => vec![
                ("point", ArgSpec::Point, None),
                ("nth", ArgSpec::Count(u64::from(u32::MAX) >> 12), Some(Arg::Count(1))),
            ],
            "crash-at-poll" => vec![("polls", ArgSpec::Count(i64::MAX.cast_unsigned()), None)],
            "oom-loop" => vec![("every", ArgSpec::Span, span(20))],
            "throttle" => vec![("code", ArgSpec::Code(THROTTLE_CODES), Some(Arg::Text("Throttling".into())))],
            "quota" => vec![("code", ArgSpec::Code(QUOTA_CODES), Some(Arg::Text(QUOTA_CODES[0].into())))],
            "slow" | "api-slow" | "slow-fsync" => vec![("factor", ArgSpec::Factor, Some(Arg::Factor(10.0)))],
            "stale-read" | "metadata-lag" | "watch-lag" => vec![("lag", ArgSpec::Span, span(10))],
            "slow-link" => vec![("lag", ArgSpec::Span, span(1))],
            "clock-step" => vec![("by", ArgSpec::Step, None)],
            _ => Vec::new(),
        }
    }

    /// The arguments of this fault, in the order of [`FaultKind::arg_specs`].
    pub fn args(&self) -> Vec<(&'static str, Arg)> {
        match self {
            Self::CrashAtPoint { point, nth } => {
                vec![("point", Arg::Text(point.clone())), ("nth", Arg::Count(u64::from(*nth)))]
            }
            Self::CrashAtPoll { polls } => vec![("polls", Arg::Count(*polls))],
            Self::OomLoop { every } => vec![("every", Arg::Span(*every))],
            Self::Throttle { code } | Self::Quota { code } => vec![("code", Arg::Text(code.clone()))],
            Self::Slow { factor } | Self::ApiSlow { factor } | Self::SlowFsync { factor } => {
                vec![("factor", Arg::Factor(*factor))]
            }
            Self::StaleRead { lag }
            | Self::MetadataLag { lag }
            | Self::WatchLag { lag }
            | Self::SlowLink { lag } => {
                vec![("lag", Arg::Span(*lag))]
            }
            Self::ClockStep { by } => vec![("by", Arg::Step(*by))],
            _ => Vec::new(),
        }
    }

    /// Builds a kind from its name and all its arguments, in order; `None` if they are not those of the kind.
    pub fn build(name: &str, args: &[Arg]) -> Option<Self> {
        Some(match (name, args) {
            ("crash-at-point", [Arg::Text(point), Arg::Count(nth)]) => {
                Self::CrashAtPoint { point: point.clone(), nth: u32::try_from(*nth).ok()? }
            }
            ("crash-at-poll", [Arg::Count(polls)]) => Self::CrashAtPoll { polls: *polls },
            ("oom-loop", [Arg::Span(every)]) => Self::OomLoop { every: *every },
            ("throttle", [Arg::Text(code)]) => Self::Throttle { code: code.clone() },
            ("quota", [Arg::Text(code)]) => Self::Quota { code: code.clone() },
            ("slow", [Arg::Factor(factor)]) => Self::Slow { factor: *factor },
            ("api-slow", [Arg::Factor(factor)]) => Self::ApiSlow { factor: *factor },
            ("slow-fsync", [Arg::Factor(factor)]) => Self::SlowFsync { factor: *factor },
            ("stale-read", [Arg::Span(lag)]) => Self::StaleRead { lag: *lag },
            ("metadata-lag", [Arg::Span(lag)]) => Self::MetadataLag { lag: *lag },
            ("watch-lag", [Arg::Span(lag)]) => Self::WatchLag { lag: *lag },
            ("slow-link", [Arg::Span(lag)]) => Self::SlowLink { lag: *lag },
            ("clock-step", [Arg::Step(by)]) => Self::ClockStep { by: *by },
            (_, []) => Self::plain(name)?,
            _ => return None,
        })
    }

    /// Draws the arguments that `given` does not hold. The number of draws depends on the kind alone, so that
    /// giving an argument does not shift later draws.
    pub fn drawn(name: &str, given: &[(&'static str, Arg)], rng: &mut ChaCha8Rng) -> Option<Self> {
        let args: Vec<Arg> = Self::arg_specs(name)
            .into_iter()
            .map(|(arg, spec, _)| {
                let drawn = spec.draw(rng);
                given.iter().find(|(name, _)| *name == arg).map_or(drawn, |(_, value)| value.clone())
            })
            .collect();
        Self::build(name, &args)
    }

    /// The kinds without arguments.
    fn plain(name: &str) -> Option<Self> {
        const PLAIN: &[FaultKind] = &[
            FaultKind::Crash,
            FaultKind::Pause,
            FaultKind::NodeReboot,
            FaultKind::NodeDelete,
            FaultKind::NodeRecreate,
            FaultKind::DiskWipe,
            FaultKind::Error,
            FaultKind::Conflict,
            FaultKind::Denied,
            FaultKind::Exhausted,
            FaultKind::BadState,
            FaultKind::Timeout,
            FaultKind::AppliedTimeout,
            FaultKind::AppliedError,
            FaultKind::Partial,
            FaultKind::StuckState,
            FaultKind::OutOfBandDetach,
            FaultKind::LimitChange,
            FaultKind::Unreachable,
            FaultKind::MetadataUnreachable,
            FaultKind::MetadataEmpty,
            FaultKind::ApiUnreachable,
            FaultKind::EmptyList,
            FaultKind::WatchDrop,
            FaultKind::WatchDuplicate,
            FaultKind::ApiConflict,
            FaultKind::ApiThrottle,
            FaultKind::DelLost,
            FaultKind::DelLate,
            FaultKind::DelTwice,
            FaultKind::AddKilled,
            FaultKind::SandboxRestart,
            FaultKind::ForceDelete,
            FaultKind::TornWrite,
            FaultKind::LostUnsynced,
            FaultKind::Eio,
            FaultKind::CorruptPage,
            FaultKind::CutOff,
            FaultKind::HalfOpen,
        ];
        PLAIN.iter().find(|kind| kind.name() == name).cloned()
    }
}
