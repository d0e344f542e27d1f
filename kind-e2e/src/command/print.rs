//! What is told: a table for people, JSON for programs. A reader who has gone (`| head`) is no error.

use std::io::Write as _;

use serde_json::Value;

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

/// Rows under a heading, each column as wide as its widest cell; an empty cell shows as `-`.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let shown = |cell: &str| if cell.is_empty() { "-".to_owned() } else { cell.to_owned() };
    let heading = heading.map(str::to_owned);
    let all: Vec<[String; N]> = std::iter::once(heading)
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))))
        .collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; N]| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            format!("{cell:<width$}")
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    all.iter().map(line).collect()
}

/// A JSON document.
pub(crate) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_empty_cells() {
        let rows = [["n1", "10.0.0.1"], ["node-2", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["NODE", "IP"], &rows), "NODE    IP\nn1      10.0.0.1\nnode-2  -\n");
    }
}
