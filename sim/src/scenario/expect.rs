//! `[expect]`: bounds on the figures, such as `"burst.ratio" = "<= 1.3"`.
//!
//! A key is one of the JSON document's; the document of an empty run tells which there are.

use std::time::Duration;

use serde_json::Value;
use terway_chaos::{FaultKind, InputError, near};
use terway_core::cloud::Action;

use super::section::Section;
use crate::figures::{Burst, Ending, Recorder, Relation, Run};

const BOUND: &str = "a relation and a number of at least 0, such as \"<= 0.2\", \">= 100000\" or \"== 0\"";

pub(super) fn read(from: Option<&Section<'_>>) -> Result<Vec<(String, Relation, f64)>, InputError> {
    let Some(from) = from else { return Ok(Vec::new()) };
    let mut bounds = Vec::new();
    flatten(from, "", &mut bounds)?;
    let document = empty_document();
    for (key, ..) in &bounds {
        known(&document, key, key)?;
    }
    Ok(bounds)
}

/// Keys may be quoted with dots or written as tables; both mean the same.
fn flatten(
    from: &Section<'_>,
    prefix: &str,
    out: &mut Vec<(String, Relation, f64)>,
) -> Result<(), InputError> {
    for (key, value) in from.table() {
        let path = format!("{prefix}{key}");
        if value.is_table() {
            let below = from.section(key)?.expect("the value is a table");
            flatten(&below, &format!("{path}."), out)?;
        } else {
            let (relation, bound) = from.read(key, BOUND, bound)?.expect("the key is there");
            out.push((path, relation, bound));
        }
    }
    Ok(())
}

fn bound(value: &toml::Value) -> Option<(Relation, f64)> {
    let text = value.as_str()?.trim();
    let number = text.find(|c: char| c.is_ascii_digit() || c == '.')?;
    let (sign, number) = text.split_at(number);
    let bound: f64 = number.parse().ok()?;
    Some((Relation::from_sign(sign.trim())?, bound)).filter(|_| bound.is_finite())
}

fn empty_document() -> Value {
    let ending = Ending { burst: Some(Burst::new(None, 0.0)), ..Ending::default() };
    let figures = Recorder::new(Duration::from_secs(1)).finish(Run::default(), ending);
    serde_json::to_value(figures).expect("figures are plain data with text keys")
}

/// Walks the document along the key. What a map holds depends on the run: actions and fault kinds are known,
/// other names are taken as they are.
fn known(document: &Value, key: &str, whole: &str) -> Result<(), InputError> {
    let (head, rest) = key.split_once('.').map_or((key, None), |(head, rest)| (head, Some(rest)));
    let object = document.as_object().expect("only objects are walked into");
    let unknown = |names: Vec<String>| InputError::UnknownKey {
        field: format!("expect.{whole}"),
        near: near::nearest(head, names.iter().map(String::as_str)).map(str::to_owned),
        allowed: names.join(", "),
    };
    let numbers = |value: &Value| !value.is_string() && !value.is_boolean();
    let Some(value) = object.get(head).filter(|value| numbers(value)) else {
        let names = object.iter().filter(|(_, value)| numbers(value)).map(|(name, _)| name.clone());
        return Err(unknown(names.collect()));
    };
    let in_map = |names: &[&str]| match rest.and_then(|rest| rest.split('.').next()) {
        Some(name) if !names.contains(&name) => Err(InputError::UnknownKey {
            field: format!("expect.{whole}"),
            near: near::nearest(name, names.iter().copied()).map(str::to_owned),
            allowed: names.join(", "),
        }),
        _ => Ok(()),
    };
    match (value, rest) {
        (Value::Object(map), Some(_)) if map.is_empty() => match head {
            "cloud_calls" | "cloud_outcomes" => {
                in_map(&Action::ALL.iter().map(|action| action.name()).collect::<Vec<_>>())
            }
            "faults_injected" | "recovery_seconds" => in_map(FaultKind::NAMES),
            _ => Ok(()),
        },
        (Value::Object(_), Some(rest)) => known(value, rest, whole),
        (Value::Object(map), None) => Err(unknown(map.keys().map(|name| format!("{head}.{name}")).collect())),
        (_, None) => Ok(()),
        (_, Some(_)) => Err(unknown(vec![head.to_owned()])),
    }
}
