//! Output that survives a reader who has gone: `terway-sim show swarm | head` is no error.

use std::{
    fmt::{Display, Write as _},
    io::Write as _,
};

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

/// Columns, each as wide as its widest cell; the last one runs free.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A text that grows by lines.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("writing to a String cannot fail");
    }

    /// Adds lines that end as lines do.
    pub(crate) fn lines(&mut self, lines: &str) {
        self.0.push_str(lines);
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}
