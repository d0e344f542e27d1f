//! The simulated cluster: cloud, API server, nodes, and everything that watches them.

mod eyes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use terway_agent::Agent;
use terway_chaos::{InvariantId, Severity, draw};
use terway_core::{
    address::{Grain, Stack},
    cause::Cause,
    config::AgentConfig,
    id::{ContainerId, InstanceId, NodeName, PodKey},
    rpc::{AllocIpReply, RpcError},
};

use crate::{
    apiserver::{ApiServer, NodeSpec},
    cloud::{FakeCloud, SetupError, instance_types},
    disk::SimDisk,
    figures::Recorder,
    host::SimHost,
    node::{RuntimeFaults, SimNode},
    oracle::{Oracle, demand::Allowance},
    policy::Law,
    ports::{Coverage, EPOCH, SimClock},
    profile::Profile,
    run::TextTrace,
    scenario::{Scenario, VSwitchSpec},
    scope::Scope,
    time,
    trace::Trace,
    workload,
};

/// An ADD that ended at the RPC's own deadline was told nothing in time.
const TOLD_TOO_LATE: Duration = Duration::from_secs(117);

/// A cluster and its run.
pub struct World {
    /// Seed of all randomness.
    pub seed: u64,
    /// What is run.
    pub scenario: Scenario,
    /// The cloud.
    pub cloud: Arc<FakeCloud>,
    /// The API server.
    pub api: ApiServer,
    /// How the parts of the cluster reach each other.
    pub profile: Arc<dyn Profile>,
    /// The trace.
    pub trace: Trace,
    /// The oracles.
    pub oracle: Oracle,
    /// Network policies, where the scenario has any.
    pub law: Option<Arc<Law>>,
    /// Rare paths.
    pub coverage: Arc<Coverage>,
    /// Sites of odd but legal behaviour in this run.
    pub buggified: Arc<BTreeSet<&'static str>>,
    /// The deliberate bug that every agent carries.
    #[cfg(feature = "deliberate-bugs")]
    pub bug: Option<terway_core::probe::Bug>,
    recorder: Mutex<Recorder>,
    nodes: Mutex<BTreeMap<NodeName, Arc<SimNode>>>,
    by_instance: Mutex<BTreeMap<InstanceId, Arc<SimNode>>>,
    lives: Mutex<BTreeMap<NodeName, u32>>,
    vswitches: Mutex<Vec<VSwitchSpec>>,
    draining: AtomicBool,
    running: AtomicU64,
    waiting: AtomicU64,
    /// Polls of agents that are gone with their machines.
    polls: AtomicU64,
    burst: Mutex<Burst>,
    /// Until then a call made long ago may still be applied, in milliseconds.
    slow_until: AtomicU64,
    /// Faults of the API server that hold now.
    api_faults: AtomicU64,
    /// Cloud faults under which refusals are not the agent's doing.
    limited: AtomicU64,
}

#[derive(Default)]
struct Burst {
    begun: Option<Duration>,
    left: u32,
    done: Option<Duration>,
}

impl World {
    /// An empty cluster. Call it inside the run's runtime.
    pub fn new(
        scenario: Scenario,
        profile: Arc<dyn Profile>,
        seed: u64,
        text: TextTrace,
        length: Duration,
        bug: Option<&str>,
    ) -> Result<Arc<Self>, SetupError> {
        let cloud = FakeCloud::new(scenario.cloud.clone(), seed);
        let started = time::now();
        let wall = move || {
            let now = EPOCH + time::since(started);
            k8s_openapi::jiff::Timestamp::from_second(now.as_secs().cast_signed())
                .unwrap_or(k8s_openapi::jiff::Timestamp::UNIX_EPOCH)
        };
        #[cfg(not(feature = "deliberate-bugs"))]
        let _ = bug;
        let world = Arc::new(Self {
            seed,
            api: ApiServer::new(seed, scenario.api.clone(), Arc::new(wall)),
            profile,
            trace: Trace::new(seed, text),
            oracle: Oracle::new(scenario.agent.pool.cooldown),
            law: scenario.policy.map(|spec| Arc::new(Law::new(spec, seed))),
            coverage: Arc::default(),
            buggified: Arc::default(),
            #[cfg(feature = "deliberate-bugs")]
            bug: bug.and_then(terway_core::probe::Bug::parse),
            recorder: Mutex::new(Recorder::new(length)),
            nodes: Mutex::default(),
            by_instance: Mutex::default(),
            lives: Mutex::default(),
            vswitches: Mutex::default(),
            draining: AtomicBool::new(false),
            running: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            burst: Mutex::default(),
            slow_until: AtomicU64::new(0),
            api_faults: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            cloud: cloud.clone(),
            scenario,
        });
        cloud.set_observer(Arc::new(eyes::Eyes(Arc::downgrade(&world))));
        for group in world.agent_config().security_groups {
            cloud.add_security_group(group.as_str(), "scenario");
        }
        for vswitch in world.scenario.cluster.vswitches.clone() {
            world.add_vswitch(vswitch)?;
        }
        Ok(world)
    }

    /// Adds a vSwitch to the cloud and to every agent's configuration.
    pub fn add_vswitch(&self, vswitch: VSwitchSpec) -> Result<(), SetupError> {
        let index = lock(&self.vswitches).len() as u16;
        let ipv6 = vswitch.ipv6.then(|| {
            let network = std::net::Ipv6Addr::new(0x2408, 0x4000, 0, index + 1, 0, 0, 0, 0);
            ipnet::Ipv6Net::new(network, 64).expect("64 is a prefix length")
        });
        self.cloud.add_vswitch(vswitch.id.as_str(), vswitch.zone.as_str(), vswitch.cidr, ipv6)?;
        lock(&self.vswitches).push(vswitch);
        let config = self.agent_config();
        for node in self.nodes() {
            if let Some((agent, _)) = node.agent() {
                agent.replace_vswitches(&config);
            }
        }
        Ok(())
    }

    /// The configuration of every agent, with the vSwitches as they are now.
    pub fn agent_config(&self) -> AgentConfig {
        let mut config = self.scenario.agent.clone();
        config.vswitches.clear();
        if config.security_groups.is_empty() {
            config.security_groups.push("sg-sim".into());
        }
        for vswitch in lock(&self.vswitches).iter() {
            config
                .vswitches
                .entry(vswitch.zone.as_str().into())
                .or_default()
                .push(vswitch.id.as_str().into());
        }
        config
    }

    /// Name of the node with an index.
    pub fn node_name(&self, index: u32) -> NodeName {
        format!("node-{index:05}").into()
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> Vec<Arc<SimNode>> {
        lock(&self.nodes).values().cloned().collect()
    }

    /// A node by name.
    pub fn node(&self, name: &NodeName) -> Option<Arc<SimNode>> {
        lock(&self.nodes).get(name).cloned()
    }

    fn node_of(&self, instance: &InstanceId) -> Option<Arc<SimNode>> {
        lock(&self.by_instance).get(instance).cloned()
    }

    /// A node joins. Its type and zone follow from the index, so that the same name gets the same.
    pub fn join(self: &Arc<Self>, index: u32) -> Result<Arc<SimNode>, SetupError> {
        let name = self.node_name(index);
        let life = {
            let mut lives = lock(&self.lives);
            let life = lives.entry(name.clone()).or_insert(0);
            *life += 1;
            *life
        };
        let type_name = self.type_of(index);
        let (zone, vswitch) = self.zone_of(index);
        let instance: InstanceId = format!("i-{index:05}-{life}").into();
        let nic =
            self.cloud.add_instance(instance.clone(), type_name.as_str(), zone.as_str(), &vswitch.into())?;
        let limits = instance_types::lookup(&type_name).map(instance_types::TypeRow::limits);
        let limits = limits.ok_or_else(|| SetupError::UnknownType {
            name: type_name.as_str().into(),
            nearest: instance_types::nearest(&type_name),
        })?;
        let annotated = draw::unit_of(draw::hash(self.seed, "annotated", name.as_str()))
            >= self.scenario.cluster.unannotated;
        let mut annotations = BTreeMap::new();
        if annotated && let Ok(json) = serde_json::to_string(&limits) {
            annotations.insert("alibabacloud.com/instance-type-info".to_owned(), json);
        }
        let spec = NodeSpec {
            name: name.to_string(),
            annotations,
            provider_id: Some(format!("cn-hangzhou.{instance}")),
            ..NodeSpec::default()
        };
        // The predecessor's object may still be there; the kubelet then takes it over.
        if self.api.create_node(&spec).is_err() {
            let _ = self.api.delete_node(name.as_str());
            let _ = self.api.create_node(&spec);
        }
        let stream = |purpose: &str| draw::stream(self.seed, purpose, &format!("{name}#{life}"));
        let room = self.scenario.agent.pool.capacity(&limits).pods();
        let node = Arc::new(SimNode::new(
            name.clone(),
            instance.clone(),
            zone.clone(),
            self.profile.home(&zone),
            limits,
            room,
            SimHost::new(self.seed, name.as_str(), nic.mac),
            SimDisk::new(self.seed, &format!("{name}#{life}")),
            SimClock::new(time::now()),
            stream("runtime"),
            self.law.as_ref().is_some_and(|law| law.enforces(index, self.scenario.nodes)),
        ));
        lock(&self.nodes).insert(name, node.clone());
        lock(&self.by_instance).insert(instance, node.clone());
        self.trace
            .event(node.name.as_str(), format_args!("joins as {} ({type_name}, {zone})", node.instance));
        node.machine.run(node.clone().supervise(self.clone()));
        node.machine.run(workload::run(self.clone(), node.clone(), life));
        Ok(node)
    }

    fn type_of(&self, index: u32) -> String {
        let mix = &self.scenario.cluster.mix;
        let total: u32 = mix.iter().map(|(_, weight)| weight).sum();
        let mut at = index % total.max(1);
        for (name, weight) in mix {
            if at < *weight {
                return name.clone();
            }
            at -= weight;
        }
        mix.first().map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn zone_of(&self, index: u32) -> (String, String) {
        let zones = self.scenario.zones();
        let zone = zones[index as usize % zones.len()].clone();
        let vswitches = lock(&self.vswitches);
        let first = vswitches.iter().find(|vswitch| vswitch.zone == zone);
        (zone.clone(), first.map(|vswitch| vswitch.id.clone()).unwrap_or_default())
    }

    /// A node is deleted for good, with its instance.
    pub fn leave(&self, node: &Arc<SimNode>) {
        if node.gone.swap(true, Relaxed) {
            return;
        }
        self.trace.event(node.name.as_str(), format_args!("leaves"));
        node.kill_agent();
        node.machine.kill();
        self.polls.fetch_add(node.all_polls(), Relaxed);
        let now = self.trace.now();
        let up = self.oracle.on_node(&node.name).len() as u64;
        self.running.fetch_sub(up.min(self.running.load(Relaxed)), Relaxed);
        self.oracle.node_down(now, &node.name);
        let waiting = node.pending_pods().len() as u64;
        self.waiting.fetch_sub(waiting.min(self.waiting.load(Relaxed)), Relaxed);
        for pod in self.api.pods_on_node(node.name.as_str()) {
            let _ = self.api.remove_pod(&pod.key.namespace, &pod.key.name);
            self.record(|recorder, _| recorder.pod_stopped());
        }
        let _ = self.api.delete_node(node.name.as_str());
        self.cloud.release_instance(&node.instance);
        lock(&self.nodes).remove(&node.name);
        lock(&self.by_instance).remove(&node.instance);
    }

    /// The scope of one life of an agent.
    pub fn agent_scope(&self, node: &SimNode, incarnation: u64) -> Arc<Scope> {
        let mut rng = draw::stream(self.seed, "blocking", &format!("{}#{incarnation}", node.instance));
        let factor = node.fsync_factor.clone();
        // A commit with its fsync on a cloud disk: 1 to 5 ms.
        Scope::new(move || {
            let base = Duration::from_micros(draw::between(&mut rng, 1_000, 5_000));
            base * factor.load(Relaxed).max(1) as u32
        })
    }

    /// An agent has recovered and serves.
    pub fn agent_serves(&self, node: &SimNode, agent: &Agent) {
        let now = self.trace.now();
        self.trace.event(node.name.as_str(), format_args!("agent serves"));
        let snapshot = agent.snapshot();
        self.oracle.recovered(now, &node.name, &snapshot.allocations);
        let slow = u128::from(self.slow_until.load(Relaxed)) >= now.as_millis();
        if snapshot.creating > 0 || node.disk.was_lost() || slow {
            return;
        }
        // Intent before effect: what the cloud made for this instance is on record, or an intent is.
        for eni in self.cloud.ours_tagged(&node.instance) {
            if !agent.knows(&eni.id) {
                let detail =
                    format!("after its restart the agent has neither record nor intent of {}", eni.id);
                self.oracle.breach(InvariantId::I3, now, Some(node.name.as_str()), detail);
            }
        }
    }

    /// Whether the run settles: nothing new begins, nothing ends by itself.
    pub fn drains(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// From now on the run settles.
    pub fn settle(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Refusals for limits and quotas are expected while a fault makes them.
    pub fn expect_limits(&self, on: bool) {
        if on {
            self.limited.fetch_add(1, Relaxed);
        } else {
            self.limited.fetch_sub(1, Relaxed);
        }
    }

    /// Calls may be applied long after their callers gave up, until about then.
    pub fn slow_until(&self, until: Duration) {
        self.slow_until.fetch_max(until.as_millis() as u64, Relaxed);
    }

    /// Something is wrong with the API server, or no more.
    pub fn api_is_faulty(&self, on: bool) {
        if let Some(law) = &self.law {
            law.note_trouble(self.trace.now());
        }
        if on {
            self.api_faults.fetch_add(1, Relaxed);
        } else {
            self.api_faults.fetch_sub(1, Relaxed);
        }
    }

    /// Whether something is wrong with the API server.
    pub fn api_faulty(&self) -> bool {
        self.api_faults.load(Relaxed) > 0
    }

    /// Uses the recorder.
    pub fn record<T>(&self, note: impl FnOnce(&mut Recorder, Duration) -> T) -> T {
        note(&mut lock(&self.recorder), self.trace.now())
    }

    /// Takes the recorder at the end of the run.
    pub fn take_recorder(&self) -> Recorder {
        std::mem::replace(&mut lock(&self.recorder), Recorder::new(Duration::from_secs(1)))
    }

    /// A pod has no network (any more).
    pub fn pod_pending(&self, node: &SimNode, name: &str) {
        if lock(&node.pending).insert(name.to_owned()) {
            self.waiting.fetch_add(1, Relaxed);
        }
        self.note_peak(node);
    }

    /// Remembers how many pods waited. A call may have waited for its turn (throttled calls pause) since
    /// it was decided on, so demand is judged by the most that waited while an ADD can last.
    fn note_peak(&self, node: &SimNode) -> u32 {
        let bucket = self.trace.now().as_secs() / 10;
        let waiting = lock(&node.pending).len() as u32;
        let mut peaks = lock(&node.peaks);
        let peak = peaks.entry(bucket).or_insert(0);
        *peak = waiting.max(*peak);
        while peaks.first_key_value().is_some_and(|(first, _)| first + 12 < bucket) {
            peaks.pop_first();
        }
        peaks.values().copied().max().unwrap_or(waiting)
    }

    /// A pod has its network.
    pub fn pod_ready(&self, node: &SimNode, name: &str, first: bool, burst: bool, after: Duration) {
        if lock(&node.pending).remove(name) {
            self.waiting.fetch_sub(1, Relaxed);
        }
        self.running.fetch_add(1, Relaxed);
        if first {
            self.record(|recorder, _| {
                recorder.pod_started();
                recorder.pod_ready(after);
            });
            if burst {
                let mut burst = lock(&self.burst);
                burst.left = burst.left.saturating_sub(1);
                if burst.left == 0 {
                    burst.done = Some(self.trace.now());
                }
            }
        }
    }

    /// A pod lost its network or is gone for good.
    pub fn pod_gone(&self, node: &SimNode, name: &str, had_network: bool) {
        if lock(&node.pending).remove(name) {
            self.waiting.fetch_sub(1, Relaxed);
        }
        if had_network {
            self.record(|recorder, _| recorder.pod_stopped());
        }
        self.trace.event(node.name.as_str(), format_args!("pod {name} gone"));
    }

    /// Running pods changed by a sandbox that ended.
    pub fn sandbox_ended(&self) {
        self.running.fetch_sub(1.min(self.running.load(Relaxed)), Relaxed);
    }

    /// Pods with and without network.
    pub fn pod_levels(&self) -> (u64, u64) {
        (self.running.load(Relaxed), self.waiting.load(Relaxed))
    }

    /// The burst starts.
    pub fn burst_begins(&self, pods: u32) {
        *lock(&self.burst) = Burst { begun: Some(self.trace.now()), left: pods, done: None };
        self.trace.event("", format_args!("burst of {pods} pods"));
    }

    /// When the burst began, and how long it took until its last pod was ready.
    pub fn burst_took(&self) -> Option<(Duration, Option<Duration>)> {
        let burst = lock(&self.burst);
        let begun = burst.begun?;
        Some((begun, burst.done.map(|done| done.saturating_sub(begun))))
    }

    /// An ADD succeeded.
    pub fn add_ok(
        &self,
        node: &SimNode,
        pod: &PodKey,
        container: &ContainerId,
        reply: &AllocIpReply,
        hit: bool,
        latency: Duration,
    ) {
        let ips = reply.net_confs.iter().map(|conf| conf.ips.to_string()).collect::<Vec<_>>().join(",");
        self.trace.event(node.name.as_str(), format_args!("ADD {pod} {container} ok {ips} hit={hit}"));
        self.record(|recorder, at| recorder.add_ok(at, hit, latency));
    }

    /// An ADD failed.
    pub fn add_failed(
        &self,
        node: &SimNode,
        pod: &PodKey,
        name: &'static str,
        error: Option<&RpcError>,
        took: Duration,
    ) {
        let name_text = node.name.as_str();
        match error {
            Some(error) => self.trace.event(name_text, format_args!("ADD {pod} fails: {error}")),
            None => self.trace.event(name_text, format_args!("ADD {pod} fails: {name}")),
        }
        self.record(|recorder, _| recorder.add_failed(name));
        if let Some(RpcError::NoAddress(Cause::Denied { code, action, .. })) = error
            && code.starts_with("Throttling")
        {
            let detail =
                format!("pod {pod} was refused for {code} of {action}, which only asks for patience");
            self.oracle.breach_as(
                InvariantId::I21,
                Severity::Major,
                self.trace.now(),
                Some(name_text),
                detail,
            );
        }
        let excused = matches!(
            error,
            Some(RpcError::NoAddress(Cause::Throttled { .. } | Cause::CloudUnavailable { .. }))
        );
        if took >= TOLD_TOO_LATE && !excused && error.is_some() {
            let detail = format!("pod {pod} waited {:.0} s before it was told: {name}", took.as_secs_f64());
            self.oracle.breach_as(
                InvariantId::I21,
                Severity::Major,
                self.trace.now(),
                Some(name_text),
                detail,
            );
        }
    }

    /// Polls of all agents so far.
    pub fn polls(&self) -> u64 {
        self.polls.load(Relaxed) + self.nodes().iter().map(|node| node.all_polls()).sum::<u64>()
    }

    fn allowance(&self, node: &SimNode) -> Allowance {
        let pool = &self.scenario.agent.pool;
        let capacity = pool.capacity(&node.limits);
        let (min, ..) = pool.bounds(&capacity);
        Allowance {
            pending: self.note_peak(node),
            floor: min,
            lot: if capacity.grain == Grain::Prefix { 16 } else { 1 },
            families: if capacity.stack == Stack::Dual { 2 } else { 1 },
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runtime faults of a node, to change.
pub fn runtime_faults(node: &SimNode) -> MutexGuard<'_, RuntimeFaults> {
    lock(&node.runtime)
}
