//! How often each kind of fault strikes, as scenarios write it.
//!
//! ```toml
//! [faults.throttle]
//! per_hour = 6.0
//! for = ["10s", "1m"]
//! probability = 0.3
//! target = "action:AssignPrivateIpAddresses"
//!
//! [faults.crash]
//! per_node_hour = 0.5
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use super::Given;
use crate::kind::{Acting, FaultClass, FaultKind, TargetKind, traits_of};
use crate::schedule::read::{Reader, unknown_kind};
use crate::schedule::{InputError, Target};

/// How often a kind strikes, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Frequency {
    /// Times per node and hour of cluster time; each fault strikes one node.
    PerNodeHour(f64),
    /// Times per hour of cluster time; each fault strikes the rate's target.
    PerHour(f64),
}

/// How one kind strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// How often.
    pub frequency: Frequency,
    /// The shortest and the longest it lasts; drawn evenly between. Zero for what happens once.
    pub lasts: (Duration, Duration),
    /// For kinds that act per call: how likely each call is struck, in `(0, 1]`.
    pub probability: f64,
    /// What is struck, where the frequency is not per node.
    pub target: Target,
    /// Arguments that are fixed; the others are drawn for each fault.
    pub args: Given,
}

/// The table of rates, by name of the kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FaultRates {
    /// The rates; a name that is not in the vocabulary is never struck.
    pub kinds: BTreeMap<String, Rate>,
}

impl FaultRates {
    /// Adds a kind with the usual duration and arguments drawn for each fault.
    #[must_use]
    pub fn with(mut self, name: &str, frequency: Frequency) -> Self {
        let usual = traits_of(name).map(|traits| traits.default_for).unwrap_or_default();
        let rate = Rate {
            frequency,
            lasts: (usual, usual),
            probability: 1.0,
            target: Target::Cluster,
            args: Vec::new(),
        };
        self.kinds.insert(name.to_owned(), rate);
        self
    }

    /// The classes that have a kind here, with the number of kinds: what a run prints of its draw.
    pub fn classes(&self) -> BTreeMap<FaultClass, usize> {
        let mut classes = BTreeMap::new();
        for traits in self.kinds.keys().filter_map(|name| traits_of(name)) {
            *classes.entry(traits.class).or_insert(0) += 1;
        }
        classes
    }

    /// Reads a table of tables, one a kind; `path` is where it stands, for complaints (`faults`).
    pub fn from_table(path: &str, table: &toml::Table) -> Result<Self, InputError> {
        let from = Reader::new(path, table);
        let mut kinds = BTreeMap::new();
        for (name, value) in table {
            let field = from.field(name);
            if traits_of(name).is_none() {
                return Err(unknown_kind(field, name));
            }
            let entry = value
                .as_table()
                .ok_or_else(|| InputError::value(&field, value, "a table with per_hour or per_node_hour"))?;
            kinds.insert(name.clone(), rate(name, &Reader::new(field, entry))?);
        }
        Ok(Self { kinds })
    }
}

fn rate(name: &str, from: &Reader<'_>) -> Result<Rate, InputError> {
    let traits = traits_of(name).expect("the caller looked the name up");
    let mut keys = vec!["per_hour", "target"];
    if matches!(traits.target, TargetKind::Node | TargetKind::Cloud) {
        keys.push("per_node_hour");
    }
    match traits.acting {
        Acting::Once => {}
        Acting::While => keys.push("for"),
        Acting::PerCall => keys.extend(["for", "probability"]),
    }
    keys.extend(FaultKind::arg_specs(name).iter().map(|(arg, ..)| *arg));
    from.only(&keys)?;
    let frequency = match (from.get("per_node_hour"), from.get("per_hour")) {
        (Some(value), None) => Frequency::PerNodeHour(frequency(from, "per_node_hour", value)?),
        (None, Some(value)) => Frequency::PerHour(frequency(from, "per_hour", value)?),
        (None, None) => {
            let field = from.field("per_hour");
            return Err(InputError::Missing {
                field,
                allowed: "either per_hour or per_node_hour".to_owned(),
            });
        }
        (Some(_), Some(value)) => {
            return Err(InputError::value(from.field("per_hour"), value, "either per_hour or per_node_hour"));
        }
    };
    if let (Frequency::PerNodeHour(_), Some(value)) = (frequency, from.get("target")) {
        return Err(InputError::value(from.field("target"), value, "no target beside per_node_hour"));
    }
    let lasts = match from.get("for") {
        None => (traits.default_for, traits.default_for),
        Some(value) => span(from, value)?,
    };
    Ok(Rate {
        frequency,
        lasts,
        probability: from.probability()?.unwrap_or(1.0),
        target: from.target(traits.target)?,
        args: from.given_args(name)?,
    })
}

/// At most one a second: beyond that a fault is a state of the world, and `for` says it better.
fn frequency(from: &Reader<'_>, key: &str, value: &toml::Value) -> Result<f64, InputError> {
    value
        .as_float()
        .or_else(|| value.as_integer().map(|n| n as f64))
        .filter(|rate| (0.0..=3600.0).contains(rate))
        .ok_or_else(|| InputError::value(from.field(key), value, "a number from 0 to 3600"))
}

fn span(from: &Reader<'_>, value: &toml::Value) -> Result<(Duration, Duration), InputError> {
    const ALLOWED: &str = "one duration, or two such as [\"10s\", \"1m\"], above zero, the shorter first";
    let wrong = || InputError::value(from.field("for"), value, ALLOWED);
    let (low, high) = match value {
        toml::Value::Array(ends) => match ends.as_slice() {
            [low, high] => (from.duration("for", low)?, from.duration("for", high)?),
            _ => return Err(wrong()),
        },
        one => (from.duration("for", one)?, from.duration("for", one)?),
    };
    if low.is_zero() || low > high { Err(wrong()) } else { Ok((low, high)) }
}
