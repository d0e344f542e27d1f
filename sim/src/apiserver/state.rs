//! The server's whole state, behind one lock that is never held across an
//! await: revisions, tables, watches, clients and their faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::WallClock;
use super::direct::Notice;
use super::draw::Draws;
use super::error::ApiError;
use super::fault::{Faults, Target};
use super::model::ApiModel;
use super::object::Object;
use super::observe::Observed;
use super::resource::Resource;
use super::store::{Change, Table};
use super::watch::{End, Watches, error_line, line};
use crate::time;

/// One client: what is wrong for it, and its streams of draws.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) node: Arc<str>,
    pub(super) faults: Faults,
    /// Its own oldest resumable revision, raised when its watches drop.
    pub(super) floor: u64,
    pub(super) latency: Draws,
    pub(super) delivery: Draws,
    pub(super) duplicate: Draws,
    pub(super) refusal: Draws,
    pub(super) retry: Draws,
}

pub(super) struct State {
    pub(super) seed: u64,
    pub(super) model: ApiModel,
    pub(super) wall: WallClock,
    pub(super) revision: u64,
    pub(super) tables: [Table; Resource::COUNT],
    pub(super) watches: Watches,
    pub(super) clients: Vec<Client>,
    pub(super) faults: Faults,
    pub(super) observed: Observed,
    pub(super) subscribers: BTreeMap<Option<Arc<str>>, Vec<UnboundedSender<Notice>>>,
    client_ids: BTreeMap<Arc<str>, usize>,
}

impl State {
    pub(super) fn new(seed: u64, model: ApiModel, wall: WallClock) -> Self {
        Self {
            seed,
            model,
            wall,
            // Zero means "any version" to clients.
            revision: 1,
            tables: Default::default(),
            watches: Watches::default(),
            clients: Vec::new(),
            faults: Faults::default(),
            observed: Observed::default(),
            subscribers: BTreeMap::new(),
            client_ids: BTreeMap::new(),
        }
    }

    /// The client of a node; a restarted agent is the same client.
    pub(super) fn client_id(&mut self, node: &str) -> usize {
        if let Some(&id) = self.client_ids.get(node) {
            return id;
        }
        let draws = |purpose| Draws::new(self.seed, purpose, node);
        let client = Client {
            node: Arc::from(node),
            faults: Faults::default(),
            floor: 0,
            latency: draws("apiserver/latency"),
            delivery: draws("apiserver/delivery"),
            duplicate: draws("apiserver/duplicate"),
            refusal: draws("apiserver/refusal"),
            retry: draws("apiserver/retry"),
        };
        let id = self.clients.len();
        self.client_ids.insert(Arc::clone(&client.node), id);
        self.clients.push(client);
        id
    }

    pub(super) fn table(&self, resource: Resource) -> &Table {
        &self.tables[resource as usize]
    }

    /// Whether its objects are kept, and not only counted.
    pub(super) fn keeps(&self, resource: Resource) -> bool {
        self.model.keep_events || !resource.is_event()
    }

    /// The revision of the next write.
    pub(super) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Stores a change and tells the watches and subscribers it concerns.
    pub(super) fn commit(
        &mut self,
        resource: Resource,
        before: Option<Arc<Object>>,
        after: Option<Arc<Object>>,
        json: Bytes,
    ) {
        let now = time::now();
        let change = Arc::new(Change { revision: self.revision, at: now, before, after, json });
        let table = &mut self.tables[resource as usize];
        table.apply(&change);
        table.trim(now, self.model.history_age, self.model.history_events);
        let mut made: [Option<Bytes>; 3] = Default::default();
        for id in self.watches.concerned(resource, &change) {
            self.deliver(id, &change, now, &mut made);
        }
        if resource == Resource::Pods {
            self.notify(&change);
        }
    }

    /// Queues a change for a watch. Lines are made once per kind and shared
    /// through `made`.
    pub(super) fn deliver(&mut self, id: u64, change: &Change, now: Instant, made: &mut [Option<Bytes>; 3]) {
        let Some(watch) = self.watches.get_mut(id) else { return };
        let Some(kind) = change.seen_by(&watch.selector) else { return };
        if watch.end.is_some() {
            return;
        }
        let client = &mut self.clients[watch.client];
        let (common, own) = (&self.faults, &client.faults);
        let latency = self.model.event_base
            + Duration::from_millis(1)
            + client.delivery.exponential(self.model.event_jitter);
        let due = now + common.slowed(own, latency) + common.watch_lag + own.watch_lag;
        let twice = client.duplicate.chance(common.watch_duplicate.max(own.watch_duplicate));
        let made = made[kind as usize].get_or_insert_with(|| line(kind, &change.json));
        if watch.queue.len() >= self.model.watch_queue {
            watch.cut(End::Closed);
            watch.push(due, error_line(&ApiError::expired(change.revision, change.revision)));
            return;
        }
        watch.push(due, made.clone());
        if twice {
            watch.push(due, made.clone());
        }
    }

    /// Half of a request's round trip.
    pub(super) fn request_latency(&mut self, client: usize) -> Duration {
        let client = &mut self.clients[client];
        let jitter = client.latency.exponential(self.model.request_jitter);
        let latency = self.model.request_base + Duration::from_millis(1) + jitter;
        self.faults.slowed(&client.faults, latency) / 2
    }

    pub(super) fn is_out(&self, client: usize) -> bool {
        self.faults.outage || self.clients[client].faults.outage
    }

    /// The faults of a target, to be changed.
    pub(super) fn faults_mut(&mut self, target: Target<'_>) -> &mut Faults {
        match target {
            Target::All => &mut self.faults,
            Target::Client(node) => {
                let id = self.client_id(node);
                &mut self.clients[id].faults
            }
        }
    }

    /// Cuts the watches of a target as a lost connection would.
    pub(super) fn cut(&mut self, target: Target<'_>) {
        let client = self.target_client(target);
        for watch in self.watches.of_client(client) {
            watch.cut(End::Reset);
        }
    }

    /// Ends the watches of a target and makes resumption impossible.
    pub(super) fn drop_watches(&mut self, target: Target<'_>) {
        // A revision that no client has seen: whatever they hold is older.
        let floor = self.next_revision();
        let client = self.target_client(target);
        match client {
            Some(client) => self.clients[client].floor = floor,
            None => self.tables.iter_mut().for_each(|table| table.compact(floor)),
        }
        for watch in self.watches.of_client(client) {
            watch.cut(End::Closed);
        }
    }

    fn target_client(&mut self, target: Target<'_>) -> Option<usize> {
        match target {
            Target::All => None,
            Target::Client(node) => Some(self.client_id(node)),
        }
    }
}
