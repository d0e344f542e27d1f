//! Open watches: an index that finds the few concerned by a change, a queue
//! per watch, and the response body that empties it.
//!
//! There is no task and no central timer. Each body keeps one timer for the
//! next of its deliveries, bookmark or end, so an idle watch costs nothing
//! between bookmarks, and dropping the body (a crashed node) ends the watch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use tokio::time::Instant;

use super::error::ApiError;
use super::resource::Resource;
use super::selector::Selector;
use super::store::{Change, ChangeKind};

/// What a change can be looked up by; every watch hangs on exactly one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Hook {
    Node(Arc<str>),
    Name(Arc<str>),
    Any,
}

impl Hook {
    fn of(selector: &Selector) -> Self {
        match (selector.node(), selector.name()) {
            (Some(node), _) => Self::Node(Arc::clone(node)),
            (None, Some(name)) => Self::Name(Arc::clone(name)),
            (None, None) => Self::Any,
        }
    }
}

/// How a watch is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After what is queued, as at the end of `timeoutSeconds`.
    Closed,
    /// At once, as a lost connection.
    Reset,
}

/// One open watch.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) resource: Resource,
    pub(super) client: usize,
    pub(super) selector: Selector,
    pub(super) bookmarks: bool,
    /// Lines and when they are due; one that is due before its predecessor
    /// waits for it.
    pub(super) queue: VecDeque<(Instant, Bytes)>,
    pub(super) end: Option<End>,
    pub(super) waker: Option<Waker>,
}

impl Watch {
    pub(super) fn new(resource: Resource, client: usize, selector: Selector, bookmarks: bool) -> Self {
        Self { resource, client, selector, bookmarks, queue: VecDeque::new(), end: None, waker: None }
    }

    /// Queues a line that is due at `due`.
    pub(super) fn push(&mut self, due: Instant, line: Bytes) {
        // A body that already waits for an earlier line looks again by itself.
        if self.queue.is_empty() {
            self.wake();
        }
        self.queue.push_back((due, line));
    }

    /// Ends the watch and drops what was not delivered.
    pub(super) fn cut(&mut self, end: End) {
        self.queue.clear();
        self.end = Some(end);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// All open watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    open: BTreeMap<u64, Watch>,
    hooks: BTreeMap<(Resource, Hook), BTreeSet<u64>>,
    opened: u64,
}

impl Watches {
    pub(super) fn open(&mut self, watch: Watch) -> u64 {
        self.opened += 1;
        let hook = (watch.resource, Hook::of(&watch.selector));
        self.hooks.entry(hook).or_default().insert(self.opened);
        self.open.insert(self.opened, watch);
        self.opened
    }

    pub(super) fn close(&mut self, id: u64) {
        let Some(watch) = self.open.remove(&id) else { return };
        let hook = (watch.resource, Hook::of(&watch.selector));
        if let Some(ids) = self.hooks.get_mut(&hook) {
            ids.remove(&id);
            if ids.is_empty() {
                self.hooks.remove(&hook);
            }
        }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Watch> {
        self.open.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The watches of a client, or all, in the order they were opened.
    pub(super) fn of_client(&mut self, client: Option<usize>) -> impl Iterator<Item = &mut Watch> {
        self.open.values_mut().filter(move |watch| client.is_none_or(|client| watch.client == client))
    }

    /// The watches that a change may concern, in the order they were opened.
    pub(super) fn concerned(&self, resource: Resource, change: &Change) -> Vec<u64> {
        let mut ids = Vec::new();
        let mut look = |hook: Hook| ids.extend(self.hooks.get(&(resource, hook)).into_iter().flatten());
        look(Hook::Any);
        let sides = [&change.before, &change.after];
        let mut sides = sides.into_iter().flatten();
        if let Some(one) = sides.next() {
            look(Hook::Name(Arc::clone(&one.key.name)));
            let moved_to = sides.next().filter(|other| other.node != one.node);
            for node in [Some(one), moved_to].into_iter().flatten().filter_map(|object| object.node.as_ref())
            {
                look(Hook::Node(Arc::clone(node)));
            }
        }
        ids.sort_unstable();
        ids
    }
}

/// The line of a watch stream for an object.
pub(super) fn line(kind: ChangeKind, object: &[u8]) -> Bytes {
    let head: &[u8] = match kind {
        ChangeKind::Added => br#"{"type":"ADDED","object":"#,
        ChangeKind::Modified => br#"{"type":"MODIFIED","object":"#,
        ChangeKind::Deleted => br#"{"type":"DELETED","object":"#,
    };
    let mut line = BytesMut::with_capacity(head.len() + object.len() + 2);
    line.put_slice(head);
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

/// A bookmark; `ends_initial` marks the end of the initial events.
pub(super) fn bookmark(resource: Resource, revision: u64, ends_initial: bool) -> Bytes {
    let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
    if ends_initial {
        metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    let (kind, version) = (resource.kind(), resource.group_version());
    let object = json!({ "kind": kind, "apiVersion": version, "metadata": metadata });
    Bytes::from(format!("{}\n", json!({ "type": "BOOKMARK", "object": object })))
}

/// An error inside a stream.
pub(super) fn error_line(error: &ApiError) -> Bytes {
    let mut line = BytesMut::from(&br#"{"type":"ERROR","object":"#[..]);
    line.put_slice(&error.body());
    line.put_slice(b"}\n");
    line.freeze()
}
