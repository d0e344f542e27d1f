//! Selectors over interned labels.

use super::intern::{Interner, LabelSet, Sym};
use crate::model::{Operator, Selector};

/// A selector by numbers, sorted, so that two that are written alike are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Demands(Box<[Demand]>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    Is(Sym, Sym),
    In(Sym, Box<[Sym]>),
    NotIn(Sym, Box<[Sym]>),
    Exists(Sym),
    Absent(Sym),
    Never,
}

impl Demands {
    /// Holds the strings that it speaks of.
    pub(super) fn hold(selector: &Selector, strings: &mut Interner) -> Self {
        let mut demands: Vec<Demand> = Vec::with_capacity(selector.equal.len() + selector.expressions.len());
        for (key, value) in &selector.equal {
            demands.push(Demand::Is(strings.hold(key), strings.hold(value)));
        }
        for expression in &selector.expressions {
            let mut values = || {
                let mut values: Vec<_> = expression.values.iter().map(|value| strings.hold(value)).collect();
                values.sort_unstable();
                values.into_boxed_slice()
            };
            demands.push(match expression.operator {
                Operator::In => {
                    let values = values();
                    Demand::In(strings.hold(&expression.key), values)
                }
                Operator::NotIn => {
                    let values = values();
                    Demand::NotIn(strings.hold(&expression.key), values)
                }
                Operator::Exists => Demand::Exists(strings.hold(&expression.key)),
                Operator::DoesNotExist => Demand::Absent(strings.hold(&expression.key)),
                Operator::Unknown => Demand::Never,
            });
        }
        demands.sort_unstable();
        Self(demands.into())
    }

    /// Every string that it speaks of, once for each time.
    pub(super) fn strings(&self) -> impl Iterator<Item = Sym> + '_ {
        self.0.iter().flat_map(|demand| {
            let (own, values): ([Option<Sym>; 2], &[Sym]) = match demand {
                Demand::Is(key, value) => ([Some(*key), Some(*value)], &[]),
                Demand::In(key, values) | Demand::NotIn(key, values) => ([Some(*key), None], values),
                Demand::Exists(key) | Demand::Absent(key) => ([Some(*key), None], &[]),
                Demand::Never => ([None, None], &[]),
            };
            own.into_iter().flatten().chain(values.iter().copied())
        })
    }

    pub(super) fn accepts(&self, labels: &LabelSet) -> bool {
        let value_of = |key: Sym| {
            // A pod has a handful of labels: a scan beats a search.
            labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
        };
        self.0.iter().all(|demand| match demand {
            Demand::Is(key, value) => value_of(*key) == Some(*value),
            Demand::In(key, values) => {
                value_of(*key).is_some_and(|value| values.binary_search(&value).is_ok())
            }
            Demand::NotIn(key, values) => {
                value_of(*key).is_none_or(|value| values.binary_search(&value).is_err())
            }
            Demand::Exists(key) => value_of(*key).is_some(),
            Demand::Absent(key) => value_of(*key).is_none(),
            Demand::Never => false,
        })
    }
}
