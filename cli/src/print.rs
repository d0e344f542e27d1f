//! What is told: a table for people, JSON for programs. A reader who has gone (`| head`) is no error.

use std::io::Write as _;

use serde::Serialize;

/// To standard output.
pub(crate) fn out(text: &str) {
    let mut to = std::io::stdout().lock();
    // Nobody is left to tell when the reader is gone.
    let _gone = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// To standard error.
pub(crate) fn err(text: &str) {
    let mut to = std::io::stderr().lock();
    let _gone = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Rows under a heading, each column as wide as its widest cell; an empty cell shows as `-`, so that
/// columns can be counted by a program, too.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).max(1);
        }
    }
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| {
            let cell = if cell.is_empty() { "-" } else { cell };
            format!("{cell:<width$}")
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(heading);
    for row in rows {
        text.push_str(&line(row.each_ref().map(String::as_str)));
    }
    text
}

/// Names with their values, one a line.
pub(crate) fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 1;
    let line = |(name, value): &(&str, String)| format!("{:<width$} {value}\n", format!("{name}:"));
    rows.iter().map(line).collect()
}

/// A JSON document.
pub(crate) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("these types have no keys that are not text");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_empty_cells() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let text =
            table(["ENI", "STATUS", "INSTANCE"], &[row(["eni-1", "InUse", "i-1"]), row(["eni-22", "Ü", ""])]);
        assert_eq!(text, "ENI     STATUS  INSTANCE\neni-1   InUse   i-1\neni-22  Ü       -\n");
        assert_eq!(table(["A", "B"], &[]), "A  B\n");
    }

    #[test]
    fn facts_stand_under_each_other() {
        let text = facts(&[("key", "LTAI".to_owned()), ("region", "cn-a".to_owned())]);
        assert_eq!(text, "key:    LTAI\nregion: cn-a\n");
    }
}
