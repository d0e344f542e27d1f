//! Strings as numbers, counted, so that a label that no object has any more takes no room.

use std::{collections::BTreeMap, sync::Arc};

/// A string's number.
pub(super) type Sym = u32;

/// Labels by number, sorted by key.
pub(super) type LabelSet = Box<[(Sym, Sym)]>;

#[derive(Debug, Default)]
pub(super) struct Interner {
    numbers: BTreeMap<Arc<str>, Sym>,
    strings: Vec<Option<(Arc<str>, u32)>>,
    free: Vec<Sym>,
}

impl Interner {
    /// The number of a string, held until it is released.
    pub(super) fn hold(&mut self, text: &str) -> Sym {
        if let Some(sym) = self.numbers.get(text) {
            if let Some((_, holders)) = &mut self.strings[*sym as usize] {
                *holders += 1;
            }
            return *sym;
        }
        let text: Arc<str> = text.into();
        let entry = Some((text.clone(), 1));
        let sym = if let Some(sym) = self.free.pop() {
            self.strings[sym as usize] = entry;
            sym
        } else {
            self.strings.push(entry);
            (self.strings.len() - 1) as Sym
        };
        self.numbers.insert(text, sym);
        sym
    }

    /// Holds a number that is held already once more.
    pub(super) fn retain(&mut self, sym: Sym) {
        if let Some((_, holders)) = &mut self.strings[sym as usize] {
            *holders += 1;
        }
    }

    pub(super) fn release(&mut self, sym: Sym) {
        let slot = &mut self.strings[sym as usize];
        if let Some((text, holders)) = slot {
            *holders -= 1;
            if *holders == 0 {
                self.numbers.remove(text);
                *slot = None;
                self.free.push(sym);
            }
        }
    }

    pub(super) fn hold_labels(&mut self, labels: &BTreeMap<String, String>) -> LabelSet {
        let mut set: Vec<_> = labels.iter().map(|(key, value)| (self.hold(key), self.hold(value))).collect();
        set.sort_unstable();
        set.into()
    }

    pub(super) fn release_labels(&mut self, labels: &LabelSet) {
        for (key, value) in labels {
            self.release(*key);
            self.release(*value);
        }
    }
}
