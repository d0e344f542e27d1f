//! Objects of one resource, and the recent past that watches resume from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::object::{Key, Object};
use super::selector::Selector;

/// A write: what was there, what is there now.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) at: Instant,
    pub(super) before: Option<Arc<Object>>,
    pub(super) after: Option<Arc<Object>>,
    /// The object to show; after a removal, its last state with the
    /// revision of the removal.
    pub(super) json: Bytes,
}

/// What a change is to a given watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It exists now, or matches now.
    Added,
    /// It changed.
    Modified,
    /// It is gone, or matches no longer.
    Deleted,
}

impl Change {
    /// What the change is to one who selects; `None` if it is no concern.
    pub(super) fn seen_by(&self, selector: &Selector) -> Option<ChangeKind> {
        let before = self.before.as_ref().is_some_and(|object| selector.matches(object));
        let after = self.after.as_ref().is_some_and(|object| selector.matches(object));
        match (before, after) {
            (false, true) => Some(ChangeKind::Added),
            (true, true) => Some(ChangeKind::Modified),
            (true, false) => Some(ChangeKind::Deleted),
            (false, false) => None,
        }
    }
}

/// The objects of one resource.
#[derive(Debug, Default)]
pub(super) struct Table {
    objects: BTreeMap<Key, Arc<Object>>,
    by_node: BTreeMap<Arc<str>, BTreeSet<Key>>,
    history: VecDeque<Arc<Change>>,
    /// Watches resume from this revision or a later one.
    pub(super) floor: u64,
}

impl Table {
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Selected objects in the order of their keys, from after `start`.
    /// Cost is that of the narrowest index: one name, one node, one
    /// namespace, everything.
    pub(super) fn select<'a>(
        &'a self,
        selector: &'a Selector,
        start: Option<&'a Key>,
    ) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
        let after = move |key: &Key| start.is_none_or(|start| key > start);
        if let (Some(namespace), Some(name)) = (selector.namespace(), selector.name()) {
            let key = Key { namespace: Arc::clone(namespace), name: Arc::clone(name) };
            let found = self.objects.get(&key).into_iter();
            return Box::new(found.filter(move |object| after(&object.key) && selector.matches(object)));
        }
        if let Some(node) = selector.node() {
            let keys = self.by_node.get(node).into_iter().flatten().filter(move |key| after(key));
            let found = keys.filter_map(|key| self.objects.get(key));
            return Box::new(found.filter(|object| selector.matches(object)));
        }
        let first =
            selector.namespace().map(|namespace| Key { namespace: Arc::clone(namespace), name: "".into() });
        let from = match (start, first) {
            (Some(start), _) => Bound::Excluded(start.clone()),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let found = self.objects.range((from, Bound::Unbounded));
        let within = found.take_while(move |(key, _)| {
            selector.namespace().is_none_or(|namespace| *namespace == key.namespace)
        });
        Box::new(within.map(|(_, object)| object).filter(|object| selector.matches(object)))
    }

    /// Applies a change and remembers it.
    pub(super) fn apply(&mut self, change: &Arc<Change>) {
        let node_of = |object: &Option<Arc<Object>>| object.as_ref().and_then(|object| object.node.clone());
        let (old, new) = (node_of(&change.before), node_of(&change.after));
        if let Some(before) = &change.before
            && (old != new || change.after.is_none())
            && let Some(node) = old
            && let Some(keys) = self.by_node.get_mut(&node)
        {
            keys.remove(&before.key);
            if keys.is_empty() {
                self.by_node.remove(&node);
            }
        }
        match (&change.before, &change.after) {
            (_, Some(after)) => {
                if let Some(node) = &after.node {
                    self.by_node.entry(Arc::clone(node)).or_default().insert(after.key.clone());
                }
                self.objects.insert(after.key.clone(), Arc::clone(after));
            }
            (Some(before), None) => drop(self.objects.remove(&before.key)),
            (None, None) => {}
        }
        self.history.push_back(Arc::clone(change));
    }

    /// Forgets what is older than `age` or beyond `events`.
    pub(super) fn trim(&mut self, now: Instant, age: Duration, events: usize) {
        while let Some(oldest) = self.history.front() {
            if self.history.len() <= events && now.duration_since(oldest.at) <= age {
                break;
            }
            self.floor = self.floor.max(oldest.revision);
            self.history.pop_front();
        }
    }

    /// Forgets all; watches resume from `revision` or later.
    pub(super) fn compact(&mut self, revision: u64) {
        self.history.clear();
        self.floor = revision;
    }

    /// The changes after `revision`, oldest first.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = &Arc<Change>> {
        let start = self.history.partition_point(|change| change.revision <= revision);
        self.history.range(start..)
    }
}
