//! `[agent]`: the keys of `eni_conf`, as operators write them.
//!
//! The agent itself takes unknown keys with a warning and some odd values with a default, as the original
//! does. In a scenario both are slips of the hand, so here they are errors.

use serde_json::Value;
use terway_chaos::{InputError, near};
use terway_core::config::{AgentConfig, ConfigError, EniConf};

use super::{
    cloud,
    section::{Section, as_duration},
};

/// Every key of `eni_conf` that the agent reads.
const KEYS: &[&str] = &[
    "min_pool_size",
    "max_pool_size",
    "pool_replenish_threshold",
    "min_eni",
    "max_eni",
    "eni_cap_ratio",
    "eni_cap_shift",
    "max_ips_per_eni",
    "eni_config",
    "ip_pool_sync_period",
    "ip_reuse_cooldown",
    "idle_ip_reclaim_after",
    "idle_ip_reclaim_interval",
    "idle_ip_reclaim_batch_size",
    "idle_ip_reclaim_jitter_factor",
    "eni_selection_policy",
    "vswitch_selection_policy",
    "ip_stack",
    "enable_ip_prefix",
    "vswitches",
    "security_group",
    "security_groups",
    "security_group_ids",
    "eni_tags",
    "enable_patch_pod_ips",
    "rate_limit",
];

pub(super) fn read(from: Option<&Section<'_>>) -> Result<(Value, AgentConfig), InputError> {
    let empty = toml::Table::new();
    let from = from.cloned().unwrap_or_else(|| Section::new("agent", &empty));
    from.only(KEYS)?;
    stricter(&from)?;
    for (key, value) in from.table() {
        let alone = Value::Object(serde_json::Map::from_iter([(key.clone(), json(value))]));
        // The reader's own message ends with what it expected.
        if let Err(error) = EniConf::from_json(&alone.to_string()) {
            let text = error.to_string();
            let expected = text.split("expected ").nth(1).and_then(|rest| rest.split(" at line").next());
            return Err(from.wrong(key, expected.map_or("a value of another type", in_words)));
        }
    }
    let document =
        Value::Object(from.table().iter().map(|(key, value)| (key.clone(), json(value))).collect());
    let config = EniConf::from_json(&document.to_string()).and_then(|conf| conf.validate());
    let config = config.map_err(|error| match error {
        ConfigError::Invalid { key, value, allowed } => {
            InputError::Value { field: from.field(key), value, allowed: allowed.to_owned(), near: None }
        }
        ConfigError::Malformed(text) => InputError::Value {
            field: "agent".to_owned(),
            value: text,
            allowed: "the keys of eni_conf with values of their types".to_owned(),
            near: None,
        },
    })?;
    Ok((document, config))
}

/// What the agent takes in silence and a scenario does not.
fn stricter(from: &Section<'_>) -> Result<(), InputError> {
    const PERIOD: &str = "a duration above zero, such as 300s or 10m";
    if let Some(section) = from.section("eni_config")? {
        section.only(&["eni_allocate_batch"])?;
    }
    for key in ["ip_pool_sync_period", "idle_ip_reclaim_interval"] {
        from.read(key, PERIOD, |value| as_duration(value).filter(|period| !period.is_zero()))?;
    }
    let policies = ["random", "ordered"];
    if let Some(policy) = from.text("vswitch_selection_policy")?.filter(|policy| !policies.contains(policy)) {
        let near = near::nearest(policy, policies);
        return Err(from.wrong_near("vswitch_selection_policy", policies.join(" or "), near));
    }
    if let Some(limits) = from.section("rate_limit")? {
        for name in limits.table().keys() {
            cloud::action(name).map_err(|near| InputError::UnknownKey {
                field: limits.field(name),
                allowed: cloud::actions(),
                near,
            })?;
            limits.count_u32(name, 1..=u32::MAX)?;
        }
    }
    Ok(())
}

/// What the reader expected, for people.
fn in_words(expected: &str) -> &str {
    match expected {
        "i64" | "u32" => "a whole number",
        "f64" => "a number",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a map" => "a table",
        "a sequence" => "a list",
        other => other,
    }
}

/// TOML as JSON; a date becomes its text, which no key accepts.
fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        other => serde_json::to_value(other).unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that `eni_conf` does not know would be taken for an unknown one there.
    #[test]
    fn every_key_is_one_of_eni_conf() {
        let known = |key: &&&str| {
            let document = format!("{{\"{key}\": null}}");
            EniConf::from_json(&document).map_or(true, |conf| conf.unknown.is_empty())
        };
        assert_eq!(KEYS.iter().filter(known).count(), KEYS.len());
    }
}
