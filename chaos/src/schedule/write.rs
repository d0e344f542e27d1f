//! The text form of a schedule: TOML with one `[[fault]]` each, keys in the order in which one thinks.

use std::fmt::Write as _;

use super::{Fault, Schedule};
use crate::duration;

impl Schedule {
    /// The schedule as TOML; [`Schedule::from_toml`] reads the same value back.
    pub fn to_toml(&self) -> String {
        self.faults().iter().map(Fault::to_toml).collect::<Vec<_>>().join("\n")
    }
}

impl Fault {
    /// The fault as a `[[fault]]` of a schedule. Values that the kind implies are left out.
    pub fn to_toml(&self) -> String {
        let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
        let mut out = String::from("[[fault]]\n");
        let mut line = |key: &str, value: String| {
            writeln!(out, "{key} = {value}").expect("writing to a String cannot fail");
        };
        line("at", text(&duration::print(self.at)));
        line("kind", text(self.kind.name()));
        for (name, arg) in self.kind.args() {
            line(name, arg.to_toml().to_string());
        }
        line("target", text(&self.target.to_string()));
        if !self.lasts.is_zero() {
            line("for", text(&duration::print(self.lasts)));
        }
        if self.probability < 1.0 {
            line("probability", toml::Value::Float(self.probability).to_string());
        }
        out
    }
}
