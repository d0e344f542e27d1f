//! `--set path=value`: changes of a scenario's table before it is read.
//!
//! A path is made of keys and dots, as in error messages: `workload.lifetime`, `fault[2].at`,
//! `cluster.mix."ecs.g7.xlarge"`. A value is TOML where it reads as TOML, and a text otherwise, so that
//! `duration=10m` needs no quotes.

use super::ScenarioError;

/// A step of a path.
enum Step {
    Key(String),
    /// Counted from one, as messages count.
    Item(usize),
}

/// Applies one override to the table.
pub(super) fn apply(table: &mut toml::Table, text: &str) -> Result<(), ScenarioError> {
    let wrong =
        |problem: &str| ScenarioError::Override { text: text.to_owned(), problem: problem.to_owned() };
    let split = position_of_equals(text).ok_or_else(|| wrong("is not of the form path=value"))?;
    let (path, value) = (text[..split].trim(), text[split + 1..].trim());
    let steps = steps(path).ok_or_else(|| wrong("does not begin with a path such as workload.lifetime"))?;
    let mut whole = toml::Value::Table(std::mem::take(table));
    let put = put(&mut whole, &steps, read(value));
    if let toml::Value::Table(changed) = whole {
        *table = changed;
    }
    put.map_err(|problem| wrong(&problem))
}

/// A value as TOML, or as the text it is.
fn read(value: &str) -> toml::Value {
    let as_toml = format!("value = {value}").parse::<toml::Table>().ok();
    as_toml
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()))
}

/// The first `=` outside of quotes.
fn position_of_equals(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '=' && !quoted).then_some(at)
    })
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let key;
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            (key, rest) = (&quoted[..end], &quoted[end + 1..]);
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            (key, rest) = rest.split_at(end);
        }
        if key.is_empty() {
            return None;
        }
        steps.push(Step::Key(key.to_owned()));
        while let Some(index) = rest.strip_prefix('[') {
            let end = index.find(']')?;
            steps.push(Step::Item(index[..end].parse().ok().filter(|n| *n > 0)?));
            rest = &index[end + 1..];
        }
        match rest.strip_prefix('.') {
            Some("") => return None,
            Some(after) => rest = after,
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    (!steps.is_empty()).then_some(steps)
}

fn put(at: &mut toml::Value, steps: &[Step], value: toml::Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *at = value;
        return Ok(());
    };
    let next = match (step, at) {
        (Step::Key(key), toml::Value::Table(table)) => {
            table.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()))
        }
        (Step::Key(key), _) => return Err(format!("asks for `{key}` in what is not a table")),
        (Step::Item(number), toml::Value::Array(items)) => {
            let count = items.len();
            items.get_mut(number - 1).ok_or_else(|| format!("asks for entry {number} of {count}"))?
        }
        (Step::Item(number), _) => return Err(format!("asks for entry {number} of what is not a list")),
    };
    put(next, rest, value)
}
