//! An error that names a field.

use serde_json::Value;

/// A field that cannot be what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}, allowed is {allowed}")]
pub struct FieldError {
    /// Path of the field, as in `spec.ingress[0].ports[1].protocol`.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What may.
    pub allowed: String,
}

impl FieldError {
    pub(super) fn new(
        field: impl Into<String>,
        found: impl std::fmt::Debug,
        allowed: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), found: format!("{found:?}"), allowed: allowed.into() }
    }
}

/// A value as an error shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "absent".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a map".into(),
        scalar => scalar.to_string(),
    }
}

/// What went wrong in pretty-printed JSON.
pub(super) fn of(text: &str, error: &serde_json::Error) -> FieldError {
    let message = error.to_string();
    // The position is one in a text that nobody has seen.
    let message = message.split(" at line ").next().unwrap_or_default();
    let at = path(text, error.line());
    if let Some(field) = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`')) {
        let field = if at.is_empty() { field.into() } else { format!("{at}.{field}") };
        return FieldError { field, found: "absent".into(), allowed: "a value".into() };
    }
    let (found, allowed) = message.split_once(", expected ").unwrap_or((message, "what the API defines"));
    let found = found.strip_prefix("invalid type: ").unwrap_or(found);
    FieldError { field: at, found: found.into(), allowed: allowed.into() }
}

/// Path of what begins or ends on a line of pretty-printed JSON, which has one key or item on each.
fn path(text: &str, line: usize) -> String {
    /// A container on the way, with its path and the items seen in it.
    struct Open {
        path: String,
        items: usize,
    }
    let mut open = vec![Open { path: String::new(), items: 0 }];
    let mut found = String::new();
    for line in text.lines().take(line) {
        let line = line.trim();
        if line.starts_with([']', '}']) {
            found = open.pop().map(|o| o.path).unwrap_or_default();
            continue;
        }
        let root = open.len() == 1;
        let Some(parent) = open.last_mut() else { return found };
        let mut rest = line;
        let mut strings = serde_json::Deserializer::from_str(line).into_iter::<String>();
        let key = match strings.next() {
            Some(Ok(key)) if line[strings.byte_offset()..].starts_with(':') => {
                rest = line[strings.byte_offset() + 1..].trim_start();
                Some(key)
            }
            _ => None,
        };
        found = match key {
            Some(key) if parent.path.is_empty() => key,
            Some(key) => format!("{}.{key}", parent.path),
            None if root => String::new(),
            None => format!("{}[{}]", parent.path, parent.items),
        };
        parent.items += 1;
        if rest == "{" || rest == "[" {
            open.push(Open { path: found.clone(), items: 0 });
        }
    }
    found
}

/// Checks that all fields of a value are in what was understood of it.
pub(super) fn all_known(at: &str, value: &Value, known: &Value) -> Result<(), FieldError> {
    match (value, known) {
        (Value::Object(value), Value::Object(known)) => {
            for (key, value) in value {
                let at = format!("{at}.{key}");
                match known.get(key) {
                    Some(known) => all_known(&at, value, known)?,
                    None if value.is_null() => {}
                    None => {
                        return Err(FieldError {
                            field: at,
                            found: shown(value),
                            allowed: "no field of this name".into(),
                        });
                    }
                }
            }
        }
        (Value::Array(value), Value::Array(known)) => {
            for (index, (value, known)) in value.iter().zip(known).enumerate() {
                all_known(&format!("{at}[{index}]"), value, known)?;
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pretty_json_has_a_path() {
        let value = serde_json::json!({"a": {"b": [{"c\"{": 1, "d": [1, "x: {"]}, [], {}], "e": "]"}});
        let text = serde_json::to_string_pretty(&value).expect("JSON is written");
        let at = |what: &str| {
            let line = text.lines().position(|l| l.contains(what)).expect("in the text");
            path(&text, line + 1)
        };
        assert_eq!(at("c\\\"{"), "a.b[0].c\"{");
        assert_eq!(at("x: {"), "a.b[0].d[1]");
        assert_eq!(at("[]"), "a.b[1]");
        assert_eq!(at("{}"), "a.b[2]");
        assert_eq!(at("\"e\""), "a.e");
    }
}
