//! What clients did: counts of calls, and a log of writes for the oracles.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::resource::Resource;

/// What a request asks for, in the words of Kubernetes' authorisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object.
    Get,
    /// Many objects.
    List,
    /// A stream of changes.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// Whether it may change something.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// How often something was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallCount {
    /// Requests that reached the server, retries included.
    pub calls: u64,
    /// Of these, refused (any code from 400).
    pub refused: u64,
}

/// A write that a client asked for, successful or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// When the server handled it.
    pub at: Instant,
    /// The client's node.
    pub node: Arc<str>,
    /// What was asked.
    pub verb: Verb,
    /// Of which resource.
    pub resource: Resource,
    /// Whether it was of the status subresource.
    pub status: bool,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name; empty for a POST, whose name is in the body.
    pub name: String,
    /// HTTP code of the answer.
    pub code: u16,
}

/// The records of a server.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) counts: BTreeMap<(Verb, Resource), CallCount>,
    pub(super) writes: Vec<Write>,
}

impl Observed {
    pub(super) fn count(&mut self, verb: Verb, resource: Resource, code: u16) {
        let count = self.counts.entry((verb, resource)).or_default();
        count.calls += 1;
        count.refused += u64::from(code >= 400);
    }
}
