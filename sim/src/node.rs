//! A simulated node: a machine with its disk, kernel and clocks, the agent on it, and the supervisor
//! that starts the agent again whenever it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand_chacha::ChaCha8Rng;
use terway_agent::{Agent, PolicyPort, Ports, Settings};
use terway_chaos::{InvariantId, Severity, draw};
use terway_core::{
    id::{InstanceId, NodeName},
    limits::InstanceLimits,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use crate::{
    disk::{CrashFaults, SimDisk},
    host::SimHost,
    policy::{Law, SimMaps},
    ports::{Points, SimClock, SimEntropy, SimProbe},
    scope::{Scope, ScopeSpawner},
    time,
    world::World,
};

/// Time from one start of the agent to the next after it ended, as a kubelet restarts a container:
/// it doubles while the agent ends quickly, and is short after a longer life.
const RESTART_FIRST: Duration = Duration::from_secs(1);
const RESTART_AT_MOST: Duration = Duration::from_secs(20);
/// A life longer than this resets the back-off.
const GOOD_LIFE: Duration = Duration::from_secs(60);

/// What goes wrong with the runtime's calls at the moment.
#[derive(Clone, Debug, Default)]
pub struct RuntimeFaults {
    /// Each DEL is never sent, with this probability.
    pub del_lost: f64,
    /// Each DEL comes late.
    pub del_late: f64,
    /// Each DEL comes twice.
    pub del_twice: f64,
    /// Each ADD's caller dies before it has the reply.
    pub add_killed: f64,
}

/// A node and its machine.
pub struct SimNode {
    /// Its name.
    pub name: NodeName,
    /// Its instance.
    pub instance: InstanceId,
    /// Its zone.
    pub zone: String,
    /// What it can hold.
    pub limits: InstanceLimits,
    /// Pods it has room for.
    pub room: u32,
    /// Kernel.
    pub host: Arc<SimHost>,
    /// Disk of the agent's store.
    pub disk: Arc<SimDisk>,
    /// Maps of policy, which the agent's end does not touch.
    pub maps: SimMaps,
    /// Whether its agent enforces policy.
    pub enforces: bool,
    /// Clocks.
    pub clock: Arc<SimClock>,
    /// Crash points.
    pub points: Arc<Points>,
    /// Kubelet, runtime and supervisor; ends with the machine.
    pub machine: Arc<Scope>,
    /// Faults of the runtime's calls.
    pub runtime: Mutex<RuntimeFaults>,
    /// What a crash does to the disk.
    pub crash_faults: Mutex<CrashFaults>,
    /// Signalled when the machine reboots: every sandbox is gone.
    pub rebooted: Notify,
    /// Signalled to restart one sandbox; the first pod task that wakes takes it.
    pub restart_sandbox: Notify,
    /// Signalled to delete one pod by force.
    pub force_delete: Notify,
    agent: Mutex<Option<(Agent, Arc<Scope>)>>,
    /// Times the agent was started.
    pub incarnation: AtomicU64,
    serving: Notify,
    /// Sandboxes made so far, for their names.
    pub sandboxes: AtomicU64,
    /// Pods that wait for an address.
    pub pending: Mutex<BTreeSet<String>>,
    /// Most pods that waited at once, by ten seconds of cluster time; of the last minutes.
    pub peaks: Mutex<BTreeMap<u64, u32>>,
    /// Pods on the node.
    pub pods: AtomicU64,
    /// DELs that have not succeeded yet.
    pub dels: AtomicU64,
    /// Cloud calls and pod changes so far, for idle hours.
    pub calls: AtomicU64,
    /// Pods that came or went.
    pub changes: AtomicU64,
    /// Polls of earlier incarnations.
    pub polls: AtomicU64,
    /// Draws of the runtime.
    pub rng: Mutex<ChaCha8Rng>,
    /// The machine is gone for good.
    pub gone: AtomicBool,
    /// Commits take this many times as long as usual.
    pub fsync_factor: Arc<AtomicU64>,
    /// Times the machine rebooted.
    pub boots: AtomicU64,
    /// The life of the agent under way, serving or not.
    scope: Mutex<Option<Arc<Scope>>>,
    born: Mutex<Instant>,
}

impl SimNode {
    /// A machine that has just been switched on.
    #[expect(clippy::too_many_arguments, reason = "its parts; all are made by the world in one place")]
    pub fn new(
        name: NodeName,
        instance: InstanceId,
        zone: String,
        home: Handle,
        limits: InstanceLimits,
        room: u32,
        host: Arc<SimHost>,
        disk: Arc<SimDisk>,
        clock: Arc<SimClock>,
        rng: ChaCha8Rng,
        enforces: bool,
    ) -> Self {
        Self {
            name,
            instance,
            zone,
            limits,
            room,
            host,
            disk,
            maps: SimMaps::default(),
            enforces,
            clock,
            points: Arc::default(),
            // The kubelet does no blocking work of its own.
            machine: Scope::at(home, || Duration::ZERO),
            runtime: Mutex::default(),
            crash_faults: Mutex::default(),
            rebooted: Notify::new(),
            restart_sandbox: Notify::new(),
            force_delete: Notify::new(),
            agent: Mutex::default(),
            incarnation: AtomicU64::new(0),
            serving: Notify::new(),
            sandboxes: AtomicU64::new(0),
            pending: Mutex::default(),
            peaks: Mutex::default(),
            pods: AtomicU64::new(0),
            dels: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            rng: Mutex::new(rng),
            gone: AtomicBool::new(false),
            fsync_factor: Arc::new(AtomicU64::new(1)),
            boots: AtomicU64::new(0),
            scope: Mutex::default(),
            born: Mutex::new(time::now()),
        }
    }

    /// The life of the agent under way, serving or not.
    pub fn scope(&self) -> Option<Arc<Scope>> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the agent under way has lived.
    pub fn incarnation_age(&self) -> Duration {
        time::since(*self.born.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Polls of all agents of this machine so far.
    pub fn all_polls(&self) -> u64 {
        self.polls.load(Relaxed) + self.scope().map_or(0, |scope| scope.polls())
    }

    /// The serving agent and its scope.
    pub fn agent(&self) -> Option<(Agent, Arc<Scope>)> {
        self.lock_agent().clone()
    }

    fn lock_agent(&self) -> MutexGuard<'_, Option<(Agent, Arc<Scope>)>> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when an agent serves.
    pub async fn serving(&self) {
        loop {
            let notified = self.serving.notified();
            if self.agent().is_some() {
                return;
            }
            notified.await;
        }
    }

    /// Ends the agent, now.
    pub fn kill_agent(&self) {
        *self.lock_agent() = None;
        if let Some(scope) = self.scope() {
            scope.kill();
        }
    }

    /// A draw of the runtime in `0..1`.
    pub fn unit(&self) -> f64 {
        draw::unit(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A draw of the runtime between two durations, and up to a millisecond more.
    pub fn between(&self, low: Duration, high: Duration) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = (low.as_micros() as u64, high.as_micros() as u64);
        Duration::from_micros(draw::between(&mut *rng, low, high + 1000))
    }

    /// The runtime's faults now.
    pub fn runtime_faults(&self) -> RuntimeFaults {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the agent, and starts it again whenever it ends, until the machine ends.
    pub async fn supervise(self: Arc<Self>, world: Arc<World>) {
        let mut wait = self.between(Duration::from_millis(200), Duration::from_millis(1500));
        loop {
            sleep(wait).await;
            let born = time::now();
            *self.born.lock().unwrap_or_else(PoisonError::into_inner) = born;
            let (scope, ended) = self.start(&world);
            // Whatever ends it — a crash, a failing store, a failing start — the rest is the same.
            ended.await.unwrap_or(());
            scope.kill();
            if let Some(message) = scope.panicked() {
                let detail = format!("the agent panicked: {message}");
                world.oracle.breach_as(
                    InvariantId::I20,
                    Severity::Fatal,
                    world.trace.now(),
                    Some(self.name.as_str()),
                    detail,
                );
            }
            *self.lock_agent() = None;
            *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.polls.fetch_add(scope.polls(), Relaxed);
            world.trace.event(self.name.as_str(), format_args!("agent ended"));
            let faults = *self.crash_faults.lock().unwrap_or_else(PoisonError::into_inner);
            self.disk.crash(faults);
            let lived = time::since(born);
            wait = if lived > GOOD_LIFE { RESTART_FIRST } else { (wait * 2).min(RESTART_AT_MOST) };
            wait = self.between(wait.max(RESTART_FIRST), wait.max(RESTART_FIRST) * 3 / 2);
        }
    }

    /// One life of the agent. The receiver resolves (with an error) when it is over.
    fn start(self: &Arc<Self>, world: &Arc<World>) -> (Arc<Scope>, oneshot::Receiver<()>) {
        let incarnation = self.incarnation.fetch_add(1, Relaxed) + 1;
        let scope = world.agent_scope(self, incarnation);
        self.disk.owned_by(&scope);
        *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope.clone());
        let probe = Arc::new(SimProbe {
            scope: scope.clone(),
            disk: self.disk.clone(),
            points: self.points.clone(),
            coverage: world.coverage.clone(),
            buggified: world.buggified.clone(),
            draws: AtomicU64::new(draw::hash(world.seed, "probe", &format!("{}#{incarnation}", self.name))),
            #[cfg(feature = "deliberate-bugs")]
            bug: world.bug,
        });
        let reach = world.profile.agent(world, self, &scope, incarnation);
        let ports = Ports {
            cloud: reach.cloud,
            metadata: reach.metadata.expect("every agent has an instance"),
            host: self.host.clone(),
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            entropy: SimEntropy::new(world.seed, self.name.as_str(), incarnation),
            spawner: Arc::new(ScopeSpawner(scope.clone())),
            probe,
            kube: reach.kube,
            policy: world.law.clone().filter(|_| self.enforces).map(|law| PolicyPort {
                maps: Arc::new(self.maps.clone()),
                settings: Law::settings(),
                meter: law,
            }),
        };
        let settings = Settings { node: self.name.clone(), config: world.agent_config() };
        world.trace.event(self.name.as_str(), format_args!("agent starts, incarnation {incarnation}"));
        let (ended_tx, ended) = oneshot::channel();
        let (node, world, own) = (self.clone(), world.clone(), scope.clone());
        scope.run(async move {
            match Agent::start(ports, settings).await {
                Ok(agent) => {
                    world.agent_serves(&node, &agent);
                    *node.lock_agent() = Some((agent.clone(), own));
                    node.serving.notify_waiters();
                    let error = agent.failed().await;
                    world.trace.event(node.name.as_str(), format_args!("agent fails: {error}"));
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let cause = cause.unwrap_or_default();
                    world
                        .trace
                        .event(node.name.as_str(), format_args!("agent cannot start: {error}: {cause}"));
                }
            }
            drop(ended_tx);
        });
        (scope, ended)
    }
}
