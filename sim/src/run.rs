//! One run: `(scenario, seed)` to figures.

mod bound;
mod events;
mod model;

pub(crate) use self::model::Wall;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rand_chacha::rand_core::Rng as _;
use terway_chaos::{Schedule, draw, swarm, swarm::FaultRates};
use terway_controlplane::leaks::Collector;
use tokio::time::{Instant, sleep};

use crate::{
    figures::{Burst, Ending, Figures, Run},
    inject,
    oracle::quiet,
    policy,
    ports::SimEntropy,
    profile::{Fleet, Profile},
    root,
    scenario::{ProfileKind, Scenario},
    time, wire, workload,
    world::World,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// The scenario, overrides applied.
    pub scenario: Scenario,
    /// Seed of all randomness.
    pub seed: u64,
    /// The whole schedule, instead of the one that the seed and the scenario give (replay, shrink).
    pub schedule: Option<Schedule>,
    /// Deliberate bug to carry; only in builds with the feature `deliberate-bugs`.
    pub bug: Option<String>,
    /// Text trace.
    pub text: TextTrace,
    /// Overrides that were applied, `key=value`: for the replay line.
    pub overrides: Vec<String>,
    /// Where the scenario came from if not built in: for the replay line.
    pub file: Option<PathBuf>,
}

/// What is printed of the trace while it runs; to standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextTrace {
    /// Nothing.
    #[default]
    Off,
    /// Every event, or those of one node.
    On {
        /// Only this node.
        node: Option<String>,
        /// Only until this time.
        until: Option<Duration>,
        /// Only from this time.
        from: Option<Duration>,
    },
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Cluster time.
    pub at: Duration,
    /// Cluster time at the end, healing included.
    pub end: Duration,
    /// Pods started so far.
    pub pods_started: u64,
    /// Pods stopped so far.
    pub pods_stopped: u64,
    /// Faults injected so far.
    pub faults: u64,
    /// Breaches so far.
    pub violations: u64,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The figures.
    pub figures: Figures,
    /// Everything that was still pending when liveness failed, by object and reason.
    pub pending: Vec<String>,
    /// The schedule that ran, as data.
    pub schedule: Schedule,
    /// What the seed drew in a swarm run, for the summary: (what, value).
    pub drawn: Vec<(String, String)>,
    /// What each node ended with, by name.
    pub ends: Vec<NodeEnd>,
    /// How often the agent of the first node passed each crash point: what `crash-points` enumerates.
    pub points: BTreeMap<String, u64>,
}

/// The run could not be set up: bad input.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario asks for a cloud that cannot be.
    #[error("{0}")]
    Setup(String),
}

/// Rare paths that are listed in every report, reached or not.
pub const RARE_PATHS: &[&str] = &[
    "attach-refused",
    "cloud-retried-to-success",
    "condition-changed",
    "cooldown-survived-restart",
    "crashed-at-point",
    "crashed-in-commit",
    "eni-given-back",
    "eni-lost",
    "eni-reattached",
    "gc-collected",
    "intent-replayed",
    "leftovers-adopted",
    "metadata-silent",
    "nic-vanished",
    "partial-assign",
    "pod-recreated-under-its-name",
    "pod-watch-failed",
    "pool-shrank",
    "refused-after-lost-answer",
    "sandbox-taken-over",
    "stale-del-ignored",
    "store-group-commit",
    "store-rebuilt",
    "unknown-eni-adopted",
    "vswitch-set-aside",
    "vswitch-taken-back",
    "waiter-refused-cooling",
    "waiter-refused-denied",
    "waiter-refused-node-full",
    "waiter-refused-not-ready",
    "waiter-refused-quota",
    "waiter-refused-vswitch-exhausted",
];

/// What the seed makes of the scenario before anything runs.
struct Drawn {
    nodes: u32,
    schedule: Schedule,
    told: Vec<(String, String)>,
}

fn draw_run(spec: &RunSpec) -> Drawn {
    let scenario = &spec.scenario;
    let mut told = Vec::new();
    let (mut nodes, mut rates) = (scenario.nodes, scenario.faults.clone());
    if let Some(bounds) = scenario.swarm {
        let mut rng = draw::stream(spec.seed, "swarm", "");
        let span = (u64::from(bounds.min_nodes), u64::from(bounds.max_nodes));
        nodes = draw::between(&mut rng, span.0, span.1) as u32;
        rates = swarm::draw_rates(&rates, &mut || rng.next_u64());
        told.push(("nodes".to_owned(), nodes.to_string()));
        for (class, kinds) in rates.classes() {
            told.push((format!("{} faults", class.name()), format!("{kinds} kinds")));
        }
    }
    let schedule = spec.schedule.clone().unwrap_or_else(|| schedule_of(scenario, &rates, spec.seed, nodes));
    // A replayed schedule fixes the number of nodes too.
    if spec.schedule.is_some() {
        nodes = scenario.nodes;
    }
    Drawn { nodes, schedule, told }
}

/// The faults that a seed draws for a scenario, and those that it names itself.
pub fn schedule_of(scenario: &Scenario, rates: &FaultRates, seed: u64, nodes: u32) -> Schedule {
    let names: Vec<String> = (0..nodes).map(|index| format!("node-{index:05}")).collect();
    let drawn = swarm::draw_schedule(rates, seed, &names, scenario.duration);
    drawn.faults().iter().chain(scenario.schedule.faults()).cloned().collect()
}

/// What a node's agent has when a run has come to rest, pods still there.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct NodeEnd {
    /// Pods with an address, as `namespace/name`.
    pub pods: BTreeSet<String>,
    /// Addresses that they have; a pair of both families counts once.
    pub in_use: usize,
    /// Pods that could be served at once.
    pub idle: u32,
    /// ENIs in use.
    pub enis: usize,
}

fn ends(world: &World) -> Vec<NodeEnd> {
    let end = |node: Arc<crate::node::SimNode>| {
        let Some((agent, _)) = node.agent() else { return NodeEnd::default() };
        let snapshot = agent.snapshot();
        let in_use =
            |eni: &&terway_agent::store::EniRecord| eni.phase == terway_agent::store::EniPhase::InUse;
        NodeEnd {
            pods: snapshot.allocations.iter().map(|allocation| allocation.pod.to_string()).collect(),
            in_use: snapshot.allocations.len(),
            idle: snapshot.idle,
            enis: snapshot.enis.iter().filter(in_use).count(),
        }
    };
    world.nodes().into_iter().map(end).collect()
}

/// Runs a scenario. The progress is told about four times per percent.
pub fn run(spec: &RunSpec, progress: &mut dyn FnMut(Progress)) -> Result<RunOutcome, RunError> {
    match spec.scenario.profile {
        ProfileKind::Fleet => fleet(spec, progress),
        ProfileKind::Wire => wire::run(spec, progress),
    }
}

fn fleet(spec: &RunSpec, progress: &mut dyn FnMut(Progress)) -> Result<RunOutcome, RunError> {
    let wall = Wall::start();
    // kube draws the jitter of its watch backoff from here.
    fastrand::seed(draw::hash(spec.seed, "fastrand", ""));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| RunError::Setup(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(simulate(spec, Arc::new(Fleet), progress, &wall))
}

/// A run, from its first instant to its figures, in the runtime of the control plane.
pub(crate) async fn simulate(
    spec: &RunSpec,
    profile: Arc<dyn Profile>,
    progress: &mut dyn FnMut(Progress),
    wall: &Wall,
) -> Result<RunOutcome, RunError> {
    let scenario = &spec.scenario;
    let drawn = draw_run(spec);
    let end = scenario.duration + scenario.settle;
    let world = World::new(scenario.clone(), profile, spec.seed, spec.text.clone(), end, spec.bug.as_deref())
        .map_err(|error| RunError::Setup(error.to_string()))?;
    world.profile.begins(&world);
    for name in RARE_PATHS {
        world.record(|recorder, _| recorder.sometimes(name, 0));
    }
    let begun = time::now();
    start_all(&world, &drawn, begun)?;
    let mut meter = Meter::new(&world, end);
    meter.until(scenario.duration, progress).await;

    world.settle();
    inject::heal(&world);
    world.trace.event("", format_args!("healed"));
    let mut pending = quiet::pending(&world);
    while !pending.is_empty() && world.trace.now() < end && !world.oracle.judged().1 {
        meter.until(world.trace.now() + Duration::from_secs(5), progress).await;
        pending = quiet::pending(&world);
    }
    // A fatal breach stops the run where it is: nothing is quiet then, and nothing to be judged by that.
    let leaks = if world.oracle.judged().1 { quiet::Leaks::default() } else { quiet::judge(&world) };
    let bound = world.burst_took().map(|(_, took)| {
        Burst::new(took.map(|took| took.as_secs_f64()), bound::seconds(&world, drawn.nodes))
    });
    let mut recorder = world.take_recorder();
    for violation in world.oracle.violations() {
        recorder.violation(violation);
    }
    for (name, count) in world.coverage.all() {
        recorder.sometimes(name, count);
    }
    let ending = Ending {
        cluster: world.trace.now(),
        wall: wall.elapsed(),
        events: world.polls(),
        peak_rss_bytes: model::peak_rss_bytes(),
        trace_hash: world.trace.hash(),
        leaked_enis: leaks.enis,
        leaked_addresses: leaks.addresses,
        duplicate_addresses: world.oracle.duplicates(),
        burst: bound,
        policy: world
            .law
            .as_ref()
            .map(|law| law.figures(world.nodes().iter().filter(|node| node.enforces).count() as u32)),
    };
    let about = Run {
        scenario: scenario.name.clone(),
        seed: spec.seed,
        nodes: drawn.nodes,
        commit: model::commit(),
        config_hash: format!("{:016x}", scenario.config_hash),
        replay: model::replay_line(spec),
        model: model::parameters(scenario),
    };
    let mut figures = recorder.finish(about, ending);
    for (key, relation, bound) in &scenario.expect {
        figures.expect(key, *relation, *bound);
    }
    figures.passed = figures.passed();
    let first = world.node(&world.node_name(0));
    let points = first.map(|node| node.points.passed()).unwrap_or_default();
    let points = points.into_iter().map(|(point, count)| (point.to_owned(), count)).collect();
    let ends = ends(&world);
    Ok(RunOutcome { figures, pending, schedule: drawn.schedule, drawn: drawn.told, ends, points })
}

fn start_all(world: &Arc<World>, drawn: &Drawn, begun: Instant) -> Result<(), RunError> {
    let over = world.scenario.cluster.join_over;
    let setup = |error: crate::cloud::SetupError| RunError::Setup(error.to_string());
    if over.is_zero() {
        for index in 0..drawn.nodes {
            world.join(index).map_err(setup)?;
        }
    } else {
        let (world, nodes) = (world.clone(), drawn.nodes);
        root::spawn(async move {
            for index in 0..nodes {
                time::sleep_until(begun + over * index / nodes.max(1)).await;
                if world.drains() {
                    return;
                }
                // Names and types were checked with the scenario; a full vSwitch just keeps a node out.
                if let Err(error) = world.join(index) {
                    world.trace.event("", format_args!("node {index} cannot join: {error}"));
                }
            }
        });
    }
    if world.law.is_some() {
        root::spawn(policy::drive(world.clone()));
    }
    root::spawn(workload::burst(world.clone()));
    root::spawn(workload::replay(world.clone()));
    root::spawn(events::run(world.clone(), begun));
    root::spawn(inject::run(world.clone(), drawn.schedule.clone(), begun));
    let reach = world.profile.control_plane(world);
    let collector = Collector::new(reach.cloud, reach.kube, SimEntropy::new(world.seed, "controlplane", 1));
    root::spawn(collector.run());
    Ok(())
}

/// Samples levels, minutes and idle hours while time passes.
struct Meter<'a> {
    world: &'a Arc<World>,
    end: Duration,
    sample: Duration,
    sampled: Duration,
    minute: u64,
    idle: Vec<(Arc<crate::node::SimNode>, u64, u64)>,
    idle_since: Duration,
    outliving: quiet::Outliving,
}

/// Idle hours are counted in pieces of this length.
const IDLE_PIECE: Duration = Duration::from_secs(900);

impl<'a> Meter<'a> {
    fn new(world: &'a Arc<World>, end: Duration) -> Self {
        let sample = (end / 400).max(Duration::from_secs(5));
        let zero = Duration::ZERO;
        Self {
            world,
            end,
            sample,
            sampled: zero,
            minute: 0,
            idle: Vec::new(),
            idle_since: zero,
            outliving: quiet::Outliving::default(),
        }
    }

    /// Lets time pass until `to`, or until a fatal breach.
    async fn until(&mut self, to: Duration, progress: &mut dyn FnMut(Progress)) {
        loop {
            let now = self.world.trace.now();
            if now >= to || self.world.oracle.judged().1 {
                return;
            }
            let next_minute = Duration::from_secs((self.minute + 1) * 60);
            let next = to.min(next_minute).min(self.sampled + self.sample);
            sleep(next.saturating_sub(now)).await;
            let now = self.world.trace.now();
            if now >= next_minute {
                self.minute += 1;
                let hash = self.world.trace.hash();
                self.world.record(|recorder, _| recorder.minute(hash));
                self.outliving.look(self.world);
            }
            if now >= self.sampled + self.sample {
                self.sampled = now;
                self.levels();
                progress(self.progress(now));
            }
            if now >= self.idle_since + IDLE_PIECE {
                self.idle_hours(now);
            }
        }
    }

    fn progress(&self, at: Duration) -> Progress {
        let (pods_started, pods_stopped, faults) = self.world.record(|recorder, _| recorder.so_far());
        let violations = self.world.oracle.judged().0;
        Progress { at, end: self.end, pods_started, pods_stopped, faults, violations }
    }

    fn levels(&self) {
        let (mut idle, mut assigned, mut cooling, mut total) = (0u64, 0u64, 0u64, 0u64);
        for node in self.world.nodes() {
            if let Some((agent, _)) = node.agent() {
                let (counts, _) = agent.levels();
                idle += u64::from(counts.idle);
                assigned += u64::from(counts.assigned);
                cooling += u64::from(counts.cooling);
                total += u64::from(counts.total());
            }
        }
        let (running, waiting) = self.world.pod_levels();
        self.world.record(|recorder, at| {
            recorder.pool_level(at, idle, assigned, cooling, total);
            recorder.pod_level(at, running, waiting);
        });
    }

    /// A node was idle in the piece that ends if no pod came or went in it, nor in the one before.
    fn idle_hours(&mut self, now: Duration) {
        let length = now.saturating_sub(self.idle_since);
        for (node, changes, calls) in std::mem::take(&mut self.idle) {
            if node.changes.load(Relaxed) == changes && !node.gone.load(Relaxed) {
                let made = node.calls.load(Relaxed) - calls;
                self.world.record(|recorder, _| recorder.node_idle(length, made));
            }
        }
        self.idle = self
            .world
            .nodes()
            .into_iter()
            .map(|node| {
                let (changes, calls) = (node.changes.load(Relaxed), node.calls.load(Relaxed));
                (node, changes, calls)
            })
            .collect();
        self.idle_since = now;
    }
}
