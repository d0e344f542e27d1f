//! The patch dialects: JSON merge patch, strategic merge patch, JSON patch.
//!
//! Strategic merge knows the lists that agents really patch: conditions,
//! addresses, owners, finalizers. Every other list is replaced, which is also
//! what the real server does with node taints.

use serde_json::{Map, Value};

use super::error::ApiError;

/// Applies `patch` by the dialect that its content type names.
pub(super) fn apply(content_type: &str, target: &mut Value, patch: Value) -> Result<(), ApiError> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/merge-patch+json" => merge(target, patch),
        // Server-side apply without ownership of fields: every field of the
        // patch is taken, none is released.
        "application/strategic-merge-patch+json" | "application/apply-patch+yaml" => {
            strategic(target, patch);
        }
        "application/json-patch+json" => json_patch(target, patch)?,
        other => return Err(ApiError::unsupported_patch(other)),
    }
    Ok(())
}

/// RFC 7386: objects merge, null removes, anything else replaces.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let target = object_in(target);
    for (field, value) in patch {
        if value.is_null() {
            target.remove(&field);
        } else {
            merge(target.entry(field).or_insert(Value::Null), value);
        }
    }
}

/// How strategic merge treats a list.
enum ListMerge {
    /// Elements are objects, the same if this field is.
    By(&'static str),
    /// Elements are words of a set.
    Set,
    Replace,
}

/// By the field's name alone: the names mean the same wherever they occur
/// in pods and nodes.
fn list_merge(field: &str) -> ListMerge {
    match field {
        "conditions" | "addresses" => ListMerge::By("type"),
        "ownerReferences" => ListMerge::By("uid"),
        "podIPs" | "hostIPs" => ListMerge::By("ip"),
        "containers" | "initContainers" => ListMerge::By("name"),
        "finalizers" => ListMerge::Set,
        _ => ListMerge::Replace,
    }
}

fn strategic(target: &mut Value, patch: Value) {
    let Value::Object(mut patch) = patch else {
        *target = patch;
        return;
    };
    if patch.remove("$patch").is_some_and(|directive| directive == "replace") {
        *target = Value::Object(patch);
        return;
    }
    let target = object_in(target);
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(old)), Value::Array(gone)) = (target.get_mut(list), value) {
                old.retain(|word| !gone.contains(word));
            }
        } else if field.starts_with('$') {
            // Orders and retained keys: they never change what agents read.
        } else if value.is_null() {
            target.remove(&field);
        } else if let Value::Array(items) = value {
            let rule = list_merge(&field);
            merge_list(target.entry(field).or_insert(Value::Null), items, &rule);
        } else {
            strategic(target.entry(field).or_insert(Value::Null), value);
        }
    }
}

fn merge_list(target: &mut Value, items: Vec<Value>, rule: &ListMerge) {
    if matches!(rule, ListMerge::Replace) || !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(old) = target else { return };
    for item in items {
        let same = |other: &Value| match rule {
            ListMerge::By(key) => other.get(key).is_some() && other.get(key) == item.get(key),
            ListMerge::Set => *other == item,
            ListMerge::Replace => false,
        };
        let at = old.iter().position(same);
        let deletes = item.get("$patch").is_some_and(|directive| directive == "delete");
        match at {
            Some(at) if deletes => drop(old.remove(at)),
            Some(at) => strategic(&mut old[at], item),
            None if deletes => {}
            None => old.push(item),
        }
    }
}

/// RFC 6902 without `copy`.
fn json_patch(target: &mut Value, patch: Value) -> Result<(), ApiError> {
    let Value::Array(steps) = patch else {
        return Err(ApiError::bad_request("a JSON patch is a list"));
    };
    for mut step in steps {
        let value = step.get_mut("value").map(Value::take);
        let text = |field: &str| step.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (op, path) = (text("op"), text("path"));
        let refused = || ApiError::invalid(format!("the server rejected the patch: {op} {path}"));
        match op.as_str() {
            "add" => add(target, &path, value.ok_or_else(refused)?).ok_or_else(refused)?,
            "replace" => *target.pointer_mut(&path).ok_or_else(refused)? = value.ok_or_else(refused)?,
            "remove" => drop(remove(target, &path).ok_or_else(refused)?),
            "move" => {
                let moved = remove(target, &text("from")).ok_or_else(refused)?;
                add(target, &path, moved).ok_or_else(refused)?;
            }
            "test" if target.pointer(&path) == value.as_ref() => {}
            _ => return Err(refused()),
        }
    }
    Ok(())
}

/// The container of `path` and its last token, unescaped.
fn place<'v>(target: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((target.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    match place(target, path)? {
        (Value::Object(map), field) => drop(map.insert(field, value)),
        (Value::Array(list), last) if last == "-" => list.push(value),
        (Value::Array(list), at) => {
            let at = at.parse().ok().filter(|at| *at <= list.len())?;
            list.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    match place(target, path)? {
        (Value::Object(map), field) => map.remove(&field),
        (Value::Array(list), at) => {
            let at = at.parse().ok().filter(|at| *at < list.len())?;
            Some(list.remove(at))
        }
        _ => None,
    }
}

/// The map in `value`, which becomes one if it is not.
pub(super) fn object_in(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was just made one")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_replaces_lists_and_null_removes() {
        let mut target = json!({ "a": { "x": 1, "y": 2 }, "l": [1, 2] });
        merge(&mut target, json!({ "a": { "x": null, "z": 3 }, "l": [9] }));
        assert_eq!(target, json!({ "a": { "y": 2, "z": 3 }, "l": [9] }));
    }

    #[test]
    fn strategic_merges_conditions_by_type() {
        let mut target = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let patch = json!({ "status": {
            "$setElementOrder/conditions": [{ "type": "Ready" }],
            "conditions": [{ "type": "Ready", "status": "False" }, { "type": "Net", "status": "True" }],
        }});
        apply("application/strategic-merge-patch+json", &mut target, patch).expect("a valid patch");
        let conditions = &target["status"]["conditions"];
        assert_eq!(conditions[0], json!({ "type": "Ready", "status": "False" }));
        assert_eq!(conditions.as_array().expect("a list").len(), 2);
        let gone = json!({ "status": { "conditions": [{ "type": "Net", "$patch": "delete" }] } });
        apply("application/strategic-merge-patch+json", &mut target, gone).expect("a valid patch");
        assert_eq!(target["status"]["conditions"].as_array().expect("a list").len(), 1);
    }

    #[test]
    fn json_patches_step_by_step() {
        let mut target = json!({ "m": { "a/b": 1 }, "l": [1] });
        let patch = json!([
            { "op": "test", "path": "/m/a~1b", "value": 1 },
            { "op": "remove", "path": "/m/a~1b" },
            { "op": "add", "path": "/l/-", "value": 2 },
            { "op": "replace", "path": "/l/0", "value": 0 },
        ]);
        apply("application/json-patch+json", &mut target, patch).expect("a valid patch");
        assert_eq!(target, json!({ "m": {}, "l": [0, 2] }));
        let refused = json!([{ "op": "test", "path": "/l/0", "value": 5 }]);
        assert_eq!(json_patch(&mut target, refused).expect_err("the test fails").code, 422);
    }
}
