//! Expectations: what a scenario demands of its figures, by key.

use serde::{Deserialize, Serialize};

use super::Figures;

/// How a figure must lie to its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// At most the bound.
    #[serde(rename = "<=")]
    AtMost,
    /// At least the bound.
    #[serde(rename = ">=")]
    AtLeast,
    /// Exactly the bound.
    #[serde(rename = "==")]
    Equal,
}

impl Relation {
    /// The sign, as people read it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "≤",
            Self::AtLeast => "≥",
            Self::Equal => "=",
        }
    }

    /// The relation of that sign, as people write it: `<=`, `>=`, `==`.
    pub fn from_sign(sign: &str) -> Option<Self> {
        Some(match sign {
            "<=" | "≤" => Self::AtMost,
            ">=" | "≥" => Self::AtLeast,
            "==" | "=" => Self::Equal,
            _ => return None,
        })
    }

    fn holds(self, actual: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => actual <= bound,
            Self::AtLeast => actual >= bound,
            Self::Equal => (actual - bound).abs() <= f64::EPSILON * bound.abs(),
        }
    }
}

/// A demand and how it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// The key of the figure, with dots: `add_latency_ms.hit.p99`.
    pub key: String,
    /// Its value; `null` if the run has none, which does not meet the demand.
    pub actual: Option<f64>,
    /// How it must lie to the bound.
    pub relation: Relation,
    /// The bound, in the unit of the key.
    pub bound: f64,
    /// Whether it was met.
    pub ok: bool,
}

impl Figures {
    /// The number at a key with dots (`cloud_calls.AttachNetworkInterface`); a list counts as its length. `None`
    /// if the document has no such key or no number there.
    pub fn value(&self, key: &str) -> Option<f64> {
        let document = serde_json::to_value(self).expect("figures are plain data with text keys");
        number_at(&document, key)
    }

    /// Judges a demand on these figures and adds it to the expectations.
    pub fn expect(&mut self, key: &str, relation: Relation, bound: f64) {
        let actual = self.value(key);
        let ok = actual.is_some_and(|actual| relation.holds(actual, bound));
        self.expectations.push(Expectation { key: key.to_owned(), actual, relation, bound, ok });
        self.passed = self.passed();
    }
}

/// Looks a key up; map keys may themselves hold dots, so the longest match of the rest is tried first.
fn number_at(value: &serde_json::Value, key: &str) -> Option<f64> {
    if let Some(found) = value.get(key) {
        return found.as_f64().or_else(|| found.as_array().map(|list| list.len() as f64));
    }
    let (head, rest) = key.split_once('.')?;
    number_at(value.get(head)?, rest)
}
