//! A Kubernetes API server that lives in the process and that a real
//! `kube::Client` believes.
//!
//! It stores objects as bytes, indexes watches by node, and draws every
//! latency and every fault from streams seeded per client, so a run replays
//! exactly. Time is tokio's, which the simulator pauses; there is no task and
//! no thread of its own.
//!
//! Where to look:
//!
//! - [`ApiServer`] (here): construction, clients, faults, counts;
//! - `direct`: what the simulator itself calls, without latency;
//! - `http`: the tower service; `resource` and `query` parse its requests; `wire`: the same over HTTP;
//! - `read`, `write`, `patch`, `error`: the rules of each verb;
//! - `state`, `store`, `object`: what is kept; `selector`: who sees it;
//! - `watch`, `body`: delivery to open watches;
//! - `fault`, `model`, `draw`: what goes wrong, how slow it is, by which dice.
//!
//! Not modelled: authentication, admission, quotas, field ownership,
//! subresources other than `status`, and snapshots across the pages of a list
//! (later pages show the present; the list's version is the first page's, so
//! a watch from it replays what changed in between).

mod body;
mod direct;
mod draw;
mod error;
mod fault;
mod http;
mod model;
mod object;
mod observe;
mod patch;
mod query;
mod read;
mod resource;
mod selector;
mod spec;
mod state;
mod store;
mod watch;
mod wire;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::jiff::Timestamp;

pub use self::direct::Notice;
pub use self::error::ApiError;
pub use self::fault::{EmptyList, Faults, Target};
pub use self::model::ApiModel;
pub use self::object::{Key, Object};
pub use self::observe::{CallCount, Verb, Write};
pub use self::resource::Resource;
pub use self::spec::{NodeSpec, PodSpec, PodStatus};
use self::state::State;
pub use self::store::ChangeKind;

/// Where the server's timestamps come from.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The server; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    /// An empty server of the run of `seed`.
    pub fn new(seed: u64, model: ApiModel, wall: WallClock) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed, model, wall))) }
    }

    /// A client for the agent of `node`. Call it inside the runtime: kube
    /// spawns a small worker, which ends with the last clone of the client.
    /// Clients of one node share their faults and streams of draws.
    pub fn client(&self, node: &str) -> kube::Client {
        let client = self.lock().client_id(node);
        kube::Client::new(http::Connection { server: self.clone(), client }, "default")
    }

    /// The faults of a target; those of a client do not include those of all.
    pub fn faults(&self, target: Target<'_>) -> Faults {
        self.lock().faults_mut(target).clone()
    }

    /// Sets the faults of a target. An outage cuts its watches.
    pub fn set_faults(&self, target: Target<'_>, faults: Faults) {
        self.update_faults(target, |current| *current = faults);
    }

    /// Changes some faults of a target. An outage cuts its watches.
    pub fn update_faults(&self, target: Target<'_>, change: impl FnOnce(&mut Faults)) {
        let mut state = self.lock();
        let faults = state.faults_mut(target);
        let was_out = faults.outage;
        change(faults);
        if faults.outage && !was_out {
            state.cut(target);
        }
    }

    /// Ends the fault phase: clears the faults of everybody.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults = Faults::default();
        state.clients.iter_mut().for_each(|client| client.faults = Faults::default());
    }

    /// Cuts the watches of a target as a lost connection does; they can
    /// resume.
    pub fn cut_watches(&self, target: Target<'_>) {
        self.lock().cut(target);
    }

    /// Ends the watches of a target and forgets the history it would resume
    /// from: its next watch meets 410 and it must list again.
    pub fn drop_watches(&self, target: Target<'_>) {
        self.lock().drop_watches(target);
    }

    /// How often clients called what.
    pub fn calls(&self) -> BTreeMap<(Verb, Resource), CallCount> {
        self.lock().observed.counts.clone()
    }

    /// The writes that clients asked for since the last call, oldest first;
    /// empty unless [`ApiModel::record_writes`] is set.
    pub fn drain_writes(&self) -> Vec<Write> {
        std::mem::take(&mut self.lock().observed.writes)
    }

    /// How many watches are open.
    pub fn open_watches(&self) -> usize {
        self.lock().watches.len()
    }

    /// The revision of the latest write.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the lock")
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}
