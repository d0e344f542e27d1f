//! Reading an entry of the corpus.

use super::{Expect, Reproducer, invariant};
use crate::schedule::{InputError, Schedule, read};

const KEYS: &[&str] = &[
    "story",
    "scenario",
    "overrides",
    "seed",
    "nodes",
    "duration",
    "commit",
    "config_hash",
    "expect",
    "fault",
];

impl Reproducer {
    /// Reads the form that [`Reproducer::to_toml`] writes.
    pub fn from_toml(text: &str) -> Result<Self, InputError> {
        let table = read::table(text)?;
        let from = read::Reader::new("", &table);
        from.only(KEYS)?;
        let text = |key: &str| from.text(key, "a text").map(str::to_owned);
        Ok(Self {
            story: text("story")?,
            scenario: text("scenario")?,
            overrides: overrides(&from)?,
            seed: seed(&from)?,
            nodes: nodes(&from)?,
            duration: from.duration("duration", from.required("duration", "a duration, such as 10m")?)?,
            commit: text("commit")?,
            config_hash: text("config_hash")?,
            expect: expect(&from)?,
            schedule: Schedule::from_table(&table)?,
        })
    }
}

fn overrides(from: &read::Reader<'_>) -> Result<Vec<(String, String)>, InputError> {
    let Some(value) = from.get("overrides") else { return Ok(Vec::new()) };
    let pair = |item: &toml::Value| {
        let (key, value) = item.as_str()?.split_once('=')?;
        (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
    };
    value
        .as_array()
        .and_then(|items| items.iter().map(pair).collect())
        .ok_or_else(|| InputError::value("overrides", value, "a list of texts \"key=value\""))
}

fn seed(from: &read::Reader<'_>) -> Result<u64, InputError> {
    const ALLOWED: &str = "a whole number from 0 to 2^64-1";
    let value = from.required("seed", ALLOWED)?;
    match value {
        toml::Value::Integer(n) => u64::try_from(*n).ok(),
        toml::Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| InputError::value("seed", value, ALLOWED))
}

fn nodes(from: &read::Reader<'_>) -> Result<u32, InputError> {
    const ALLOWED: &str = "a whole number from 1";
    let value = from.required("nodes", ALLOWED)?;
    value
        .as_integer()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0)
        .ok_or_else(|| InputError::value("nodes", value, ALLOWED))
}

fn expect(from: &read::Reader<'_>) -> Result<Expect, InputError> {
    const ALLOWED: &str = "{ violation = \"I1\" } or { reaches = \"name\" }";
    let value = from.required("expect", ALLOWED)?;
    let wrong = || InputError::value("expect", value, ALLOWED);
    let table = value.as_table().filter(|table| table.len() == 1).ok_or_else(wrong)?;
    read::Reader::new("expect", table).only(&["violation", "reaches"])?;
    if let Some(name) = table.get("reaches") {
        return name.as_str().map(|name| Expect::Reaches(name.to_owned())).ok_or_else(wrong);
    }
    let id = &table["violation"];
    let read = invariant(id.as_str().ok_or_else(wrong)?);
    read.map(Expect::Violation).map_err(|near| InputError::Value {
        field: "expect.violation".to_owned(),
        value: id.to_string(),
        allowed: "I1 to I22".to_owned(),
        near,
    })
}
