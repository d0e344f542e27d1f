//! `[cloud]`: the parameters of the fake cloud.
//!
//! Ranges are two durations, `create = ["500ms", "2s"]`; keys that end in `_ms` or `_s` are whole numbers of
//! that unit, as in the model.

use std::{collections::BTreeMap, time::Duration};

use terway_chaos::{InputError, near};
use terway_core::cloud::Action;

use super::section::{Section, as_duration};
use crate::cloud::{BucketModel, CloudModel, Span};

/// Every key; a test holds this against the model.
pub(super) const KEYS: &[&str] = &[
    "create",
    "attach",
    "attach_settles",
    "detach",
    "detach_settles",
    "delete",
    "delete_settles",
    "assign",
    "route",
    "route_settles",
    "describe",
    "read_lag",
    "metadata_lag",
    "metadata",
    "history_ms",
    "nic_early_ms",
    "nic_late_ms",
    "refusal",
    "connect",
    "timeout_ms",
    "token_retention_s",
    "account_bucket",
    "action_factor",
    "action_buckets",
    "account_eni_quota",
    "delete_on_release",
    "vswitch_count_error",
];

/// Most milliseconds of a latency: an hour, beyond which `timeout` says it better.
const MOST_MS: u64 = 3_600_000;

/// The parameters: `model` with what the section says.
pub(crate) fn read(from: Option<&Section<'_>>, mut model: CloudModel) -> Result<CloudModel, InputError> {
    let Some(from) = from else { return Ok(model) };
    from.only(KEYS)?;
    for (key, span) in [
        ("create", &mut model.create),
        ("attach", &mut model.attach),
        ("attach_settles", &mut model.attach_settles),
        ("detach", &mut model.detach),
        ("detach_settles", &mut model.detach_settles),
        ("delete", &mut model.delete),
        ("delete_settles", &mut model.delete_settles),
        ("assign", &mut model.assign),
        ("route", &mut model.route),
        ("route_settles", &mut model.route_settles),
        ("describe", &mut model.describe),
        ("read_lag", &mut model.read_lag),
        ("metadata_lag", &mut model.metadata_lag),
        ("metadata", &mut model.metadata),
        ("refusal", &mut model.refusal),
        ("connect", &mut model.connect),
    ] {
        *span = read_span(from, key)?.unwrap_or(*span);
    }
    for (key, least, value) in [
        ("history_ms", 0, &mut model.history_ms),
        ("nic_early_ms", 0, &mut model.nic_early_ms),
        ("nic_late_ms", 0, &mut model.nic_late_ms),
        ("timeout_ms", 1, &mut model.timeout_ms),
    ] {
        *value = from.count(key, least..=MOST_MS)?.unwrap_or(*value);
    }
    // A year is longer than any run.
    model.token_retention_s =
        from.count("token_retention_s", 1..=31_536_000)?.unwrap_or(model.token_retention_s);
    model.account_bucket = read_bucket(from, "account_bucket")?.or(model.account_bucket);
    model.action_factor = from.number("action_factor", 1e6)?.unwrap_or(model.action_factor);
    model.action_buckets.extend(read_buckets(from)?);
    model.account_eni_quota =
        from.count_u32("account_eni_quota", 1..=u32::MAX)?.unwrap_or(model.account_eni_quota);
    model.delete_on_release = from.flag("delete_on_release")?.unwrap_or(model.delete_on_release);
    model.vswitch_count_error = from.share("vswitch_count_error")?.unwrap_or(model.vswitch_count_error);
    Ok(model)
}

fn read_span(from: &Section<'_>, key: &str) -> Result<Option<Span>, InputError> {
    const ALLOWED: &str = "two durations, the shorter first, such as [\"300ms\", \"1.5s\"], at most 1h";
    let millis = |value: &toml::Value| {
        as_duration(value)
            .map(|d| d.as_millis() as u64)
            .filter(|_| as_duration(value) <= Some(Duration::from_hours(1)))
    };
    from.read(key, ALLOWED, |value| match value.as_array()?.as_slice() {
        [low, high] => Some(Span::new(millis(low)?, millis(high)?)).filter(|span| span.min_ms <= span.max_ms),
        _ => None,
    })
}

fn read_bucket(from: &Section<'_>, key: &str) -> Result<Option<BucketModel>, InputError> {
    let Some(bucket) = from.section(key)? else { return Ok(None) };
    bucket.only(&["capacity", "refill_per_second"])?;
    let capacity = bucket.count_u32("capacity", 1..=u32::MAX)?;
    let refill = bucket.read("refill_per_second", "a number above 0, at most 1000000", |value| {
        super::section::as_number(value).filter(|rate| *rate > 0.0 && *rate <= 1e6)
    })?;
    Ok(Some(BucketModel {
        capacity: capacity.ok_or_else(|| bucket.missing("capacity", "a whole number of calls from 1"))?,
        refill_per_second: refill.ok_or_else(|| bucket.missing("refill_per_second", "a number above 0"))?,
    }))
}

fn read_buckets(from: &Section<'_>) -> Result<BTreeMap<Action, BucketModel>, InputError> {
    let Some(buckets) = from.section("action_buckets")? else { return Ok(BTreeMap::new()) };
    let read = |name: &String| {
        let action = action(name).map_err(|near| InputError::UnknownKey {
            field: buckets.field(name),
            allowed: actions(),
            near,
        })?;
        let bucket = read_bucket(&buckets, name)?.expect("the key comes from this very table");
        Ok((action, bucket))
    };
    buckets.table().keys().map(read).collect()
}

/// The action of that name; the error is the nearest name.
pub(super) fn action(name: &str) -> Result<Action, Option<String>> {
    Action::parse(name)
        .ok_or_else(|| near::nearest(name, Action::ALL.iter().map(|action| action.name())).map(str::to_owned))
}

/// The names of all actions, for complaints.
pub(super) fn actions() -> String {
    Action::ALL.iter().map(|action| action.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_the_model_can_be_set() {
        let bucket = BucketModel { capacity: 1, refill_per_second: 1.0 };
        let model = CloudModel { account_bucket: Some(bucket), ..CloudModel::default() };
        let table = toml::Table::try_from(model).unwrap();
        let mut keys: Vec<&str> = KEYS.to_vec();
        keys.sort_unstable();
        assert_eq!(table.keys().map(String::as_str).collect::<Vec<_>>(), keys);
    }
}
