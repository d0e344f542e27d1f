//! What the policies of a run are, and were a while ago; and who changes them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use terway_agent::policy::{PolicyMeter, PolicySettings};
use terway_chaos::draw as chance;
use terway_policy::{
    manifest,
    model::{Labels, Name, Namespace, Policy, Snapshot},
};
use tokio::time::sleep;

use super::draw;
use crate::{apiserver::Resource, scenario::PolicySpec, world::World};

/// How long a change may take to reach a node that the API server serves: its watch is cut, waits, and lists anew.
pub(super) const LAG: Duration = Duration::from_secs(60);

/// Figures of policy.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PolicyFigures {
    /// Nodes on which it is enforced.
    pub nodes: u32,
    /// Changes of policies by whoever owns them.
    pub edits: u64,
    /// Changes of pods' labels.
    pub relabels: u64,
    /// Times that a node had seen a change of a policy and put it in force.
    pub syncs: u64,
    /// From its sight to its being in force, milliseconds: the median.
    pub sync_p50_ms: f64,
    /// The 99th percentile.
    pub sync_p99_ms: f64,
    /// Times that it could not be put in force.
    pub sync_failures: u64,
    /// Flows that were asked of maps and reference.
    pub flows_compared: u64,
    /// Pods that were looked at when their network was there.
    pub starts_checked: u64,
}

/// The policies of a run.
pub struct Law {
    pub(super) spec: PolicySpec,
    pub(super) seed: u64,
    inner: Mutex<Inner>,
    syncs: Mutex<Vec<f32>>,
    failures: AtomicU64,
    pub(super) compared: AtomicU64,
    pub(super) starts: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// Policies and namespaces; no pods.
    now: Snapshot,
    /// What was changed: when, and what was there before.
    before: Vec<(Duration, Name, Policy)>,
    /// Labels that pods had before, and until when.
    labels: BTreeMap<Name, Vec<(Duration, Labels)>>,
    turns: BTreeMap<u32, u32>,
    edits: u64,
    relabels: u64,
    /// When the API server was last in trouble.
    trouble: Option<Duration>,
}

impl Law {
    /// Of a scenario.
    pub fn new(spec: PolicySpec, seed: u64) -> Self {
        let (inner, syncs) = (Mutex::default(), Mutex::default());
        let zero = AtomicU64::default;
        Self { spec, seed, inner, syncs, failures: zero(), compared: zero(), starts: zero() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node of that index enforces policy: so many of all, evenly spread.
    pub fn enforces(&self, index: u32, nodes: u32) -> bool {
        let share = self.spec.nodes.unwrap_or(nodes).min(nodes);
        let step = |index: u32| u64::from(index) * u64::from(share) / u64::from(nodes.max(1));
        index < nodes && step(index) != step(index + 1) || index >= nodes && share == nodes
    }

    /// The namespace that a pod of that name lives in.
    pub fn namespace_of(&self, pod: &str) -> String {
        draw::namespace_of(self.seed, &self.spec, pod)
    }

    /// The labels that a pod of that name begins with.
    pub fn labels_of(&self, pod: &str) -> BTreeMap<String, String> {
        draw::labels(self.seed, &self.spec, pod, 0).into()
    }

    /// How agents enforce.
    pub fn settings() -> PolicySettings {
        PolicySettings { hz: 250, pins: "/sys/fs/bpf/tc/globals".into(), ..PolicySettings::default() }
    }

    /// What the policies are now, without pods; then what they were before each change since a moment, the latest first.
    pub(super) fn states(&self, since: Duration) -> Vec<Snapshot> {
        let inner = self.inner();
        let mut state = inner.now.clone();
        let mut states = vec![state.clone()];
        for (_, name, before) in inner.before.iter().rev().take_while(|(at, ..)| *at >= since) {
            state.policies.insert(name.clone(), before.clone());
            states.push(state.clone());
        }
        states
    }

    /// What the policies are now, without pods.
    pub(super) fn now(&self) -> Snapshot {
        self.inner().now.clone()
    }

    /// Labels that a pod had since a moment, besides those that it has.
    pub(super) fn former_labels(&self, pod: &Name, since: Duration) -> Vec<Labels> {
        let inner = self.inner();
        let former = inner.labels.get(pod).into_iter().flatten().filter(|(until, _)| *until >= since);
        former.map(|(_, labels)| labels.clone()).collect()
    }

    /// Since when a node must have handled all that there was: what it missed while the API server was in trouble may be
    /// as old as the run.
    pub(super) fn handled_since(&self, now: Duration) -> Duration {
        let troubled = self.inner().trouble.is_some_and(|at| at + LAG >= now);
        if troubled { Duration::ZERO } else { now.saturating_sub(LAG) }
    }

    /// The API server is in trouble: what nodes know may be old.
    pub(crate) fn note_trouble(&self, now: Duration) {
        self.inner().trouble = Some(now);
    }

    fn set_policy(&self, at: Duration, name: &Name, value: &Value) {
        let object: NetworkPolicy = serde_json::from_value(value.clone()).expect("a policy that was drawn");
        let policy = manifest::policy(&object).expect("a policy that can be read");
        let mut inner = self.inner();
        // Those of the beginning are there before any pod.
        if let Some(before) = inner.now.policies.insert(name.clone(), policy) {
            inner.before.push((at, name.clone(), before));
        }
    }

    /// The figures of a run.
    pub fn figures(&self, nodes: u32) -> PolicyFigures {
        let mut syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        syncs.sort_by(f32::total_cmp);
        let at = |share: usize| syncs.get(syncs.len() * share / 100).copied().map_or(0.0, f64::from);
        let inner = self.inner();
        PolicyFigures {
            nodes,
            edits: inner.edits,
            relabels: inner.relabels,
            syncs: syncs.len() as u64,
            sync_p50_ms: at(50),
            sync_p99_ms: at(99),
            sync_failures: self.failures.load(Relaxed),
            flows_compared: self.compared.load(Relaxed),
            starts_checked: self.starts.load(Relaxed),
        }
    }
}

impl PolicyMeter for Law {
    fn synced(&self, after: Duration) {
        let ms = after.as_secs_f64() * 1000.0;
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner).push(ms as f32);
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }
}

/// Makes namespaces and policies, and changes policies and labels until the run settles.
pub(crate) async fn drive(world: Arc<World>) {
    let Some(law) = world.law.clone() else { return };
    let mut rng = chance::stream(world.seed, "policy", "");
    for number in 0..law.spec.namespaces {
        let name = draw::namespace(number);
        let labels = json!({"kubernetes.io/metadata.name": name, "team": name});
        let object = json!({"metadata": {"name": name, "labels": labels}});
        world.api.create(Resource::Namespaces, object).expect("nobody else makes namespaces");
        let labels =
            [("kubernetes.io/metadata.name".to_owned(), name.clone()), ("team".to_owned(), name.clone())];
        let namespace = Namespace { name: name.clone(), labels: labels.into() };
        law.inner().now.namespaces.insert(name, namespace);
    }
    for number in 0..law.spec.policies {
        edit(&world, &law, number);
    }
    let rate = law.spec.edits + law.spec.relabels;
    if rate <= 0.0 {
        return;
    }
    loop {
        let wait = -(1.0 - chance::unit(&mut rng)).ln() / rate;
        sleep(Duration::from_secs_f64(wait) + Duration::from_millis(1)).await;
        if world.drains() {
            return;
        }
        if chance::unit(&mut rng) * rate < law.spec.edits {
            let number = chance::between(&mut rng, 0, u64::from(law.spec.policies.saturating_sub(1))) as u32;
            edit(&world, &law, number);
            law.inner().edits += 1;
        } else {
            relabel(&world, &law, &mut rng);
        }
    }
}

fn edit(world: &World, law: &Law, number: u32) {
    let turn = {
        let mut inner = law.inner();
        let turn = inner.turns.entry(number).or_default();
        *turn += 1;
        *turn
    };
    let namespace = draw::namespace(number % law.spec.namespaces);
    let name = format!("policy-{number}");
    let spec = draw::policy(law.seed, &law.spec, number, turn);
    let value = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    if turn == 1 {
        world.api.create(Resource::NetworkPolicies, value.clone()).expect("nobody else makes policies");
    } else {
        // A merge keeps what it does not name.
        let mut whole = json!({"podSelector": null, "ingress": null, "egress": null, "policyTypes": null});
        for (key, part) in spec.as_object().into_iter().flatten() {
            whole[key] = part.clone();
        }
        let patch = json!({"spec": whole});
        world.api.merge(Resource::NetworkPolicies, &namespace, &name, patch).expect("it is there");
    }
    law.set_policy(world.trace.now(), &Name::new(namespace, name), &value);
}

fn relabel(world: &World, law: &Law, rng: &mut ChaCha8Rng) {
    let Some(sandbox) = world.oracle.some_sandbox(rng) else { return };
    let (namespace, name) = (&*sandbox.pod.namespace, &*sandbox.pod.name);
    let Some(object) = world.api.pod(namespace, name) else { return };
    let turn = 1 + (object.revision % 1000) as u32;
    let labels: Labels = draw::labels(law.seed, &law.spec, name, turn).into();
    let before: Labels =
        labels.keys().filter_map(|key| Some((key.clone(), object.label(key)?.to_owned()))).collect();
    let patch = json!({"metadata": {"labels": labels}});
    if world.api.merge(Resource::Pods, namespace, name, patch).is_ok() {
        let now = world.trace.now();
        let mut inner = law.inner();
        inner.labels.entry(Name::new(namespace, name)).or_default().push((now, before));
        inner.relabels += 1;
    }
}
