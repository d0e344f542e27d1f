//! A table of a scenario while it is read.
//!
//! It knows its path, so that each complaint names the field in full, the value as written, and what is
//! allowed. Absent keys are `None`: the defaults belong to whoever reads the section.

use std::{ops::RangeInclusive, time::Duration};

use terway_chaos::{InputError, duration, near};

type Read<T> = Result<Option<T>, InputError>;

const DURATION: &str = "a duration with its units (h, m, s, ms), such as 250ms, 30s or 1h30m";
const POSITIVE: &str = "a duration above zero with its units (h, m, s, ms), such as 250ms, 30s or 1h30m";

/// A table and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    path: String,
    table: &'a toml::Table,
}

impl<'a> Section<'a> {
    pub(crate) fn new(path: impl Into<String>, table: &'a toml::Table) -> Self {
        Self { path: path.into(), table }
    }

    pub(crate) fn table(&self) -> &'a toml::Table {
        self.table
    }

    /// The full path of a key.
    pub(crate) fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a toml::Value> {
        self.table.get(key)
    }

    /// Refuses keys that nothing reads.
    pub(crate) fn only(&self, allowed: &[&str]) -> Result<(), InputError> {
        let Some(key) = self.table.keys().find(|key| !allowed.contains(&key.as_str())) else { return Ok(()) };
        Err(InputError::UnknownKey {
            field: self.field(key),
            allowed: allowed.join(", "),
            near: near::nearest(key, allowed.iter().copied()).map(str::to_owned),
        })
    }

    /// A section below this one.
    pub(crate) fn section(&self, key: &str) -> Read<Section<'a>> {
        let read =
            |value: &'a toml::Value| value.as_table().map(|table| Section::new(self.field(key), table));
        self.read(key, "a table", read)
    }

    /// The tables of an array, each with its number from one.
    pub(crate) fn sections(&self, key: &str) -> Result<Vec<Section<'a>>, InputError> {
        let allowed = format!("tables, each headed [[{}]]", self.field(key));
        let number = |(index, entry): (usize, &'a toml::Value)| {
            entry.as_table().map(|table| Section::new(format!("{}[{}]", self.field(key), index + 1), table))
        };
        let read = |value: &'a toml::Value| value.as_array()?.iter().enumerate().map(number).collect();
        Ok(self.read(key, &allowed, read)?.unwrap_or_default())
    }

    pub(crate) fn text(&self, key: &str) -> Read<&'a str> {
        self.read(key, "a text that is not empty", |value| value.as_str().filter(|text| !text.is_empty()))
    }

    pub(crate) fn flag(&self, key: &str) -> Read<bool> {
        self.read(key, "true or false", toml::Value::as_bool)
    }

    pub(crate) fn duration(&self, key: &str) -> Read<Duration> {
        self.read(key, DURATION, as_duration)
    }

    /// A duration above zero.
    pub(crate) fn span(&self, key: &str) -> Read<Duration> {
        self.read(key, POSITIVE, |value| as_duration(value).filter(|span| !span.is_zero()))
    }

    pub(crate) fn count(&self, key: &str, range: RangeInclusive<u64>) -> Read<u64> {
        let allowed = if *range.end() == u64::MAX {
            format!("a whole number from {}", range.start())
        } else {
            format!("a whole number from {} to {}", range.start(), range.end())
        };
        let read =
            |value: &toml::Value| u64::try_from(value.as_integer()?).ok().filter(|n| range.contains(n));
        self.read(key, &allowed, read)
    }

    pub(crate) fn count_u32(&self, key: &str, range: RangeInclusive<u32>) -> Read<u32> {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        Ok(self.count(key, wide)?.and_then(|n| u32::try_from(n).ok()))
    }

    /// A finite number that is at least zero and at most `most`.
    pub(crate) fn number(&self, key: &str, most: f64) -> Read<f64> {
        let allowed = if most.is_finite() {
            format!("a number from 0 to {most}")
        } else {
            "a number of at least 0".into()
        };
        let read = |value: &toml::Value| as_number(value).filter(|n| (0.0..=most).contains(n));
        self.read(key, &allowed, read)
    }

    /// A share, 0 to 1.
    pub(crate) fn share(&self, key: &str) -> Read<f64> {
        self.number(key, 1.0)
    }

    /// Reads a key with a function that gives `None` for what is not allowed.
    pub(crate) fn read<T>(
        &self,
        key: &str,
        allowed: &str,
        read: impl FnOnce(&'a toml::Value) -> Option<T>,
    ) -> Read<T> {
        self.get(key).map(|value| read(value).ok_or_else(|| self.wrong(key, allowed))).transpose()
    }

    /// The complaint about a key that is there.
    pub(crate) fn wrong(&self, key: &str, allowed: impl Into<String>) -> InputError {
        self.wrong_near(key, allowed, None)
    }

    /// The same, with the nearest of the allowed names.
    pub(crate) fn wrong_near(&self, key: &str, allowed: impl Into<String>, near: Option<&str>) -> InputError {
        let value = self.get(key).map_or_else(|| "absent".to_owned(), ToString::to_string);
        InputError::Value {
            field: self.field(key),
            value,
            allowed: allowed.into(),
            near: near.map(str::to_owned),
        }
    }

    /// The complaint about a key that is not there.
    pub(crate) fn missing(&self, key: &str, allowed: impl Into<String>) -> InputError {
        InputError::Missing { field: self.field(key), allowed: allowed.into() }
    }
}

/// A duration written as text.
pub(super) fn as_duration(value: &toml::Value) -> Option<Duration> {
    duration::parse(value.as_str()?).ok()
}

/// A finite number, whole or not.
pub(super) fn as_number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64)).filter(|n| n.is_finite())
}
