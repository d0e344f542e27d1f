//! Results by client token: what makes a repeated create or assign harmless.
//!
//! Only applied requests are kept. A throttled or refused one left nothing behind, so its token is
//! free to be used again, with whatever parameters.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use terway_core::{
    address::AddressSet,
    cloud::{Action, Assign, CreateEni, CreateRoute, Eni},
    id::{ClientToken, RouteEntryId},
};
use tokio::time::Instant;

/// The first answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Eni(Arc<Eni>),
    Addresses(AddressSet),
    Route(RouteEntryId),
}

#[derive(Clone, Debug)]
struct Entry {
    parameters: u64,
    /// Until the first request has been answered.
    busy_until: Instant,
    answer: Answer,
}

/// What a token says about a request.
#[derive(Debug)]
pub(super) enum Known {
    Never,
    Busy,
    OtherParameters,
    Answered(Answer),
}

type Key = (Action, ClientToken);

/// All tokens of the account.
#[derive(Debug)]
pub(super) struct Tokens {
    retention: Duration,
    entries: BTreeMap<Key, Entry>,
    expiry: VecDeque<(Instant, Key)>,
}

impl Tokens {
    pub(super) fn new(retention: Duration) -> Self {
        Self { retention, entries: BTreeMap::new(), expiry: VecDeque::new() }
    }

    pub(super) fn look(
        &mut self,
        action: Action,
        token: &ClientToken,
        parameters: u64,
        now: Instant,
    ) -> Known {
        while self.expiry.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.expiry.pop_front() {
                self.entries.remove(&key);
            }
        }
        match self.entries.get(&(action, token.clone())) {
            None => Known::Never,
            Some(entry) if entry.parameters != parameters => Known::OtherParameters,
            Some(entry) if now < entry.busy_until => Known::Busy,
            Some(entry) => Known::Answered(entry.answer.clone()),
        }
    }

    pub(super) fn keep(
        &mut self,
        action: Action,
        token: &ClientToken,
        parameters: u64,
        (now, busy_until): (Instant, Instant),
        answer: Answer,
    ) {
        let key = (action, token.clone());
        self.entries.insert(key.clone(), Entry { parameters, busy_until, answer });
        self.expiry.push_back((now + self.retention, key));
    }
}

/// Fingerprint of the parameters of a create.
pub(super) fn of_create(request: &CreateEni) -> u64 {
    let mut hasher = DefaultHasher::new();
    let count = request.count;
    (&request.vswitch, &request.security_groups, &request.tags).hash(&mut hasher);
    (count.v4, count.v6, count.prefixes).hash(&mut hasher);
    hasher.finish()
}

/// Fingerprint of the parameters of an assign.
pub(super) fn of_assign(request: &Assign) -> u64 {
    let mut hasher = DefaultHasher::new();
    let count = request.count;
    (&request.eni, count.v4, count.v6, count.prefixes).hash(&mut hasher);
    hasher.finish()
}

/// Fingerprint of the parameters of a route entry.
pub(super) fn of_route(request: &CreateRoute) -> u64 {
    let mut hasher = DefaultHasher::new();
    let hop = &request.next_hop;
    (&request.table, request.destination, hop.kind(), hop.id()).hash(&mut hasher);
    hasher.finish()
}
