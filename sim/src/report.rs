//! Reports of a run: a summary for a terminal, the JSON document, and one page of HTML.
//!
//! All three are pure functions of [`Figures`], so a stored JSON document can be drawn again at any time.
//!
//! - [`text`]: what `run` prints at its end.
//! - [`json`]: the document itself.
//! - [`html`]: one self-contained file; works without network and without scripts.

mod chart;
mod html;
mod number;
mod style;
mod tables;
mod text;
mod timeline;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use crate::figures::Figures;

/// The page: verdict, key figures, all courses on one time axis, distributions, tables.
pub fn html(figures: &Figures) -> String {
    html::page(figures)
}

/// The summary, aligned, without colour.
pub fn text(figures: &Figures) -> String {
    text::summary(figures, false)
}

/// The summary with ANSI colours, for a terminal that has them.
pub fn coloured_text(figures: &Figures) -> String {
    text::summary(figures, true)
}

/// The JSON document, indented, with a line break at its end.
pub fn json(figures: &Figures) -> String {
    let mut document = serde_json::to_string_pretty(figures).expect("figures are plain data with text keys");
    document.push('\n');
    document
}
