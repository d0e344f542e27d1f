//! The fake cloud: one account and region, behind the ports that the shipping agent calls.
//!
//! It is a fake, not a mock: it keeps vSwitches, instances and ENIs with the documented states, codes
//! and quotas, takes the time that the real one takes, reads as stale, and is told to misbehave.
//!
//! A map, in reading order:
//!
//! - [`CloudModel`]: every latency, limit and rate, with its source.
//! - `call`: one call from its caller to the servers and back; `client` names the calls.
//! - `world`: what exists, with its indexes; `eni` (with its past), `vswitch` (addresses), `bucket`
//!   (throttling), `token` (idempotency) are parts of it.
//! - `apply` (ENIs), `assign` (addresses), `route` (route entries), `query` and `read` (describe): what each call
//!   checks and does. `listing`: calls with more filters than the port has.
//! - `lifecycle`: transitions that take time. `metadata`: what the host tells the instance.
//! - `fault` ([`FaultWindow`]) and `fate`: faults, and what they do to a call. `operator`: building the
//!   cloud, and what people do at the console.
//! - [`CloudState`]: the account as data, to be shown, kept and gone on from.
//! - [`CloudObserver`] is told of each change; `truth` answers oracles.
//!
//! # Determinism
//!
//! Every client draws from the stream `("cloud", instance)`, one draw per call, and what a call needs
//! comes from a stream made of that draw. Calls of one instance therefore never change the latencies,
//! faults or transitions of another's; they do compete for addresses, quotas and buckets.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rand_chacha::ChaCha8Rng;
use terway_core::{cloud::Cloud, id::InstanceId, metadata::Metadata};
use tokio::{sync::Notify, time::Instant};

mod apply;
mod assign;
mod bucket;
mod call;
mod client;
mod draws;
mod eni;
mod fate;
mod fault;
pub mod instance_types;
mod lifecycle;
mod listing;
mod metadata;
mod model;
mod observer;
mod operator;
mod query;
mod read;
mod route;
mod state;
mod token;
mod truth;
mod vswitch;
mod world;

use self::{
    client::Client,
    metadata::InstanceMetadata,
    world::{Effect, World},
};
pub use self::{
    eni::{EniDetails, Labels},
    fate::FaultId,
    fault::{FaultKind, FaultWindow},
    listing::{EntryQuery, GroupQuery, Numbered, PageAt, RouteSelector, TableQuery, TypeQuery, VSwitchQuery},
    metadata::MetadataFault,
    model::{BucketModel, CloudModel, Span},
    observer::{CloudObserver, EniEvent, NoObserver, Removal, RequestSummary},
    operator::SetupError,
    query::{EniQuery, Found},
    state::{CloudState, EniEntry, GroupState, InstanceRecord, StateError, VSwitchState},
    truth::{CallCounts, Counters},
    world::{InstanceState, Place},
};
use crate::time;

/// A stream of draws that several handles share.
type Stream = Arc<Mutex<ChaCha8Rng>>;

/// The account. Everything is behind it; handles are cheap.
pub struct FakeCloud {
    seed: u64,
    world: Mutex<World>,
    observer: Mutex<Arc<dyn CloudObserver>>,
    streams: Mutex<BTreeMap<(&'static str, String), Stream>>,
    /// Wakes transitions that a fault held.
    healed: Notify,
    /// Counts everything that may have changed something.
    revision: AtomicU64,
}

impl FakeCloud {
    /// An empty account. Call it inside the runtime whose clock it shall follow.
    pub fn new(model: CloudModel, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            world: Mutex::new(World::new(model, seed, time::now())),
            observer: Mutex::new(Arc::new(NoObserver)),
            streams: Mutex::new(BTreeMap::new()),
            healed: Notify::new(),
            revision: AtomicU64::new(0),
        })
    }

    /// Another number than before when the state may be another: for whoever keeps it.
    pub fn revision(&self) -> u64 {
        self.revision.load(Relaxed)
    }

    /// Says who is told of changes, instead of who was.
    pub fn set_observer(&self, observer: Arc<dyn CloudObserver>) {
        *self.observer.lock().expect("observers are not called under this lock") = observer;
    }

    /// The API as called with the credentials of an instance.
    pub fn client(self: &Arc<Self>, instance: impl Into<InstanceId>) -> Arc<dyn Cloud> {
        let instance = instance.into();
        let stream = self.stream("cloud", instance.as_str());
        Arc::new(Client { cloud: Arc::clone(self), caller: Some(instance), stream })
    }

    /// The API as called by something that is not an instance; `name` names its stream of draws.
    pub fn operator_client(self: &Arc<Self>, name: &str) -> Arc<dyn Cloud> {
        let stream = self.stream("cloud-operator", name);
        Arc::new(Client { cloud: Arc::clone(self), caller: None, stream })
    }

    /// The metadata service of an instance.
    pub fn metadata(self: &Arc<Self>, instance: impl Into<InstanceId>) -> Arc<dyn Metadata> {
        let instance = instance.into();
        let stream = self.stream("metadata", instance.as_str());
        Arc::new(InstanceMetadata { cloud: Arc::clone(self), instance, stream })
    }

    /// What everything that is drawn here is drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    fn stream(&self, purpose: &'static str, object: &str) -> Stream {
        let mut streams = self.streams.lock().expect("drawing does not panic");
        let new = || Arc::new(Mutex::new(draws::stream(self.seed, purpose, object)));
        Arc::clone(streams.entry((purpose, object.to_owned())).or_insert_with(new))
    }

    fn observer(&self) -> Arc<dyn CloudObserver> {
        Arc::clone(&self.observer.lock().expect("observers are not called under this lock"))
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("an earlier panic has ended the run")
    }

    /// Changes the world at one instant, then tells the observer and starts timers without the lock.
    fn with<T>(self: &Arc<Self>, change: impl FnOnce(&mut World, Instant) -> T) -> T {
        let (result, effects) = {
            let mut world = self.lock();
            self.revision.fetch_add(1, Relaxed);
            let result = change(&mut world, time::now());
            (result, std::mem::take(&mut world.effects))
        };
        for effect in effects {
            match effect {
                Effect::Tell(news) => news.tell(&*self.observer()),
                Effect::Start(timer) => crate::root::spawn(Arc::clone(self).run(timer)),
                Effect::Route(timer) => crate::root::spawn(Arc::clone(self).run_route(timer)),
            }
        }
        result
    }
}
