//! A scenario of the simulator played on a cluster of real kernels, in real time: its recorded pods, and those of
//! its faults that exist here. What does not is told, never passed over.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use terway_chaos::{Fault, FaultKind, Schedule, Target as Aim};
use terway_core::address::Stack;
use terway_sim::{
    inject::translate,
    run::{NodeEnd, RunError, RunOutcome, RunSpec, TextTrace, schedule_of},
    scenario::{Scenario, TracePod},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    cluster::{Cluster, ClusterError},
    pod::PodSpec,
    spec::ClusterSpec,
};

/// Nodes that a played scenario may have.
const NODES_MAX: u32 = 8;
/// A pod that is refused is asked for again after this, as a kubelet does.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the cluster may take to come to rest at the end.
const REST: Duration = Duration::from_secs(60);
/// It is at rest when nothing has changed for this long.
const QUIET: Duration = Duration::from_secs(3);

/// What cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// A part of the scenario.
    #[error("scenario `{scenario}`: {what}")]
    Unplayable {
        /// Which scenario.
        scenario: String,
        /// What of it, and what could be.
        what: String,
    },
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It does not come to rest.
    #[error("after {} s something is still changing: {what}", REST.as_secs())]
    Restless {
        /// The last two looks.
        what: String,
    },
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// What each node has, in order.
    pub ends: Vec<NodeEnd>,
    /// Faults that were played, as stories.
    pub faults: Vec<String>,
    /// Faults of kinds that do not exist here, as stories.
    pub left_out: Vec<String>,
}

/// The cluster that a scenario is about.
pub fn spec_of(scenario: &Scenario, name: &str) -> Result<ClusterSpec, PlayError> {
    let unplayable = |what: String| PlayError::Unplayable { scenario: scenario.name.clone(), what };
    if scenario.nodes > NODES_MAX {
        return Err(unplayable(format!(
            "`nodes` is {}; on one kernel at most {NODES_MAX} are played",
            scenario.nodes
        )));
    }
    if scenario.workload.trace.is_none() {
        let what =
            "its pods are drawn while the simulator runs; recorded ones (`workload.trace`) can be played";
        return Err(unplayable(what.into()));
    }
    if !scenario.events.is_empty() {
        return Err(unplayable("it has `event`s, which change the cluster; they are not played".into()));
    }
    let mut spec = ClusterSpec::new(name);
    spec.nodes = scenario.nodes as usize;
    spec.zones = scenario.cluster.vswitches.len().clamp(1, spec.nodes);
    spec.stack = scenario.agent.pool.stack;
    if let [(instance_type, _)] = scenario.cluster.mix.as_slice() {
        spec.instance_type.clone_from(instance_type);
    } else {
        return Err(unplayable("`cluster.mix` has several instance types; one can be played".into()));
    }
    let keys = scenario.eni_conf.as_object().cloned().unwrap_or_default();
    // The cluster has vSwitches and groups of its own.
    let own = ["vswitches", "security_groups", "security_group"];
    spec.eni_conf = keys.into_iter().filter(|(key, _)| !own.contains(&key.as_str())).collect();
    if spec.stack == Stack::Dual {
        spec.eni_conf.insert("ip_stack".into(), "dual".into());
    }
    Ok(spec)
}

/// The same scenario and seed in the simulator. It has a runtime of its own: not from within one.
pub fn simulate(scenario: &Scenario, seed: u64) -> Result<RunOutcome, RunError> {
    let spec = RunSpec {
        scenario: scenario.clone(),
        seed,
        schedule: None,
        bug: None,
        text: TextTrace::Off,
        overrides: Vec::new(),
        file: None,
    };
    terway_sim::run::run(&spec, &mut |_| {})
}

/// Plays a scenario on its cluster, to its end and until everything is at rest.
pub async fn play(cluster: &Cluster, scenario: &Scenario, seed: u64) -> Result<Played, PlayError> {
    let begun = Instant::now();
    let schedule = schedule_of(scenario, &scenario.faults, seed, scenario.nodes);
    let mut played = Played::default();
    for fault in schedule.faults() {
        let list = if is_playable(fault) { &mut played.faults } else { &mut played.left_out };
        list.push(fault.story());
    }
    let pods = scenario.workload.trace.as_ref().map(|trace| trace.pods.as_slice()).unwrap_or_default();
    let end = begun + scenario.duration;
    let lives = join_all(pods.iter().map(|pod| live(cluster, pod, begun, end)));
    let ((), lives) = tokio::join!(strike_all(cluster, &schedule, begun), lives);
    lives.into_iter().collect::<Result<(), _>>()?;
    sleep_until(end).await;
    cluster.vpc.cloud.heal();
    played.ends = rest(cluster).await?;
    Ok(played)
}

/// A pod from its start to its end, or to that of the scenario: then it stays.
async fn live(cluster: &Cluster, pod: &TracePod, begun: Instant, end: Instant) -> Result<(), ClusterError> {
    let spec = PodSpec::new("default", &pod.name, pod.node as usize + 1);
    let start = begun + pod.at;
    if start >= end {
        return Ok(());
    }
    sleep_until(start).await;
    insist(end + REST, async || cluster.run_pod(&spec).await.map(drop)).await?;
    let over = start + pod.lifetime;
    if over < end {
        sleep_until(over).await;
        insist(end + REST, async || cluster.delete_pod(&spec.pod).await).await?;
    }
    Ok(())
}

/// Tries until it works, as a kubelet does.
async fn insist(
    until: Instant,
    mut attempt: impl AsyncFnMut() -> Result<(), ClusterError>,
) -> Result<(), ClusterError> {
    loop {
        match attempt().await {
            Err(error) if Instant::now() < until => {
                tracing::info!(%error, "tried again");
                sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

fn is_playable(fault: &Fault) -> bool {
    match &fault.target {
        Aim::Zone(_) => return false,
        Aim::Node(name) if number(name).is_none() => return false,
        _ => {}
    }
    matches!(fault.kind, FaultKind::Crash) || translate::window(fault, None).is_some()
}

/// Number of a node here, from its name in a scenario: `node-00000` is the first.
fn number(name: &str) -> Option<usize> {
    Some(name.strip_prefix("node-")?.parse::<usize>().ok()? + 1)
}

async fn strike_all(cluster: &Cluster, schedule: &Schedule, begun: Instant) {
    let struck = schedule.faults().iter().filter(|fault| is_playable(fault));
    join_all(struck.map(|fault| async move {
        sleep_until(begun + fault.at).await;
        let node = fault.target.node().and_then(number);
        if let FaultKind::Crash = fault.kind {
            let nodes = node.map_or_else(|| (1..=cluster.nodes().len()).collect(), |node| vec![node]);
            for node in nodes {
                crash(cluster, node).await;
            }
            return;
        }
        let instance = node.map(|node| format!("i-n{node}").into());
        if let Some(window) = translate::window(fault, instance.as_ref()) {
            let id = cluster.vpc.cloud.add_window(window);
            sleep(fault.lasts).await;
            cluster.vpc.cloud.remove_window(id);
        }
    }))
    .await;
}

async fn crash(cluster: &Cluster, node: usize) {
    let back = async {
        cluster.kill_daemon(node).await?;
        cluster.start_daemon(node)
    };
    // One that was dead already is as dead as it was to be.
    if let Err(error) = back.await {
        tracing::info!(node, %error, "not killed");
    }
}

/// Waits until nothing changes any more; what there is then.
async fn rest(cluster: &Cluster) -> Result<Vec<NodeEnd>, PlayError> {
    let start = Instant::now();
    let (mut last, mut since) = (look(cluster).await, Instant::now());
    while since.elapsed() < QUIET {
        sleep(Duration::from_millis(250)).await;
        let now = look(cluster).await;
        if now.is_none() || now != last {
            if start.elapsed() > REST {
                return Err(PlayError::Restless { what: format!("{last:?}, then {now:?}") });
            }
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last.unwrap_or_default())
}

/// What each agent says of itself, with the pods that run here; none while one does not answer.
async fn look(cluster: &Cluster) -> Option<Vec<NodeEnd>> {
    let mut ends = Vec::new();
    let pods = cluster.all_pods();
    for (index, node) in cluster.nodes().iter().enumerate() {
        let page = Arc::clone(node).metrics().await.ok()?;
        let figure = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(name))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        let here = pods.iter().filter(|pod| pod.spec.node == index + 1);
        let here: BTreeSet<String> = here.map(|pod| pod.spec.pod.to_string()).collect();
        ends.push(NodeEnd {
            pods: here,
            in_use: figure("terway_ip_allocated_total ")? as usize,
            idle: figure("terway_resource_pool_idle_count{")? as u32,
            enis: figure("terway_eni_allocated_total ")? as usize,
        });
    }
    Some(ends)
}
