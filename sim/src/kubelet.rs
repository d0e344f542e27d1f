//! The kubelet and the container runtime as callers of the agent: one task per pod.
//!
//! They retry what fails with a new sandbox each time, send DEL for every sandbox that they made, and
//! under faults lose, repeat and delay those calls as real ones have been seen to.

use std::{sync::Arc, sync::PoisonError, sync::atomic::Ordering::Relaxed, time::Duration};

use terway_core::{
    host::{Gateways, PodNet},
    id::{ContainerId, PodKey, PodUid},
    rpc::{AllocIpReply, AllocIpRequest, ReleaseIpRequest, RpcError, Source},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    apiserver::{PodSpec, PodStatus},
    node::SimNode,
    oracle::Sandbox,
    policy, time,
    world::World,
};

/// The plugin gives up an ADD or DEL after this.
const CALL: Duration = Duration::from_secs(120);
/// The kubelet's first and longest wait before another sandbox for a pod.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(15);

/// A pod to run.
#[derive(Clone, Debug)]
pub struct PodRun {
    /// Namespace and name.
    pub key: PodKey,
    /// How long it lives once it is bound.
    pub lifetime: Duration,
    /// Whether it comes back under its name.
    pub stateful: bool,
    /// Whether it belongs to the burst.
    pub burst: bool,
}

/// Why a call brought no answer.
enum Failed {
    /// Nobody listens on the socket.
    Refused,
    /// The agent ended during the call.
    Reset,
    /// The caller gave up, or was killed.
    GaveUp,
    /// An answer, but a refusal.
    Rpc(RpcError),
}

impl Failed {
    fn name(&self) -> &'static str {
        match self {
            Self::Refused => "agent-down",
            Self::Reset => "agent-crashed",
            Self::GaveUp => "caller-gave-up",
            Self::Rpc(error) => error.name(),
        }
    }
}

/// A sandbox with its addresses.
struct Running {
    container: ContainerId,
}

/// Everything that happens to one pod on its node.
pub struct PodTask {
    world: Arc<World>,
    node: Arc<SimNode>,
    run: PodRun,
    uid: PodUid,
    bound_at: Instant,
    ready_once: bool,
}

impl PodTask {
    /// Creates the pod, bound to the node, and runs it to its end. A stateful pod is then born again.
    pub async fn run(world: Arc<World>, node: Arc<SimNode>, run: PodRun) {
        let mut run = run;
        loop {
            let spec = PodSpec {
                namespace: run.key.namespace.to_string(),
                name: run.key.name.to_string(),
                node: Some(node.name.to_string()),
                owner_kind: Some(if run.stateful { "StatefulSet" } else { "ReplicaSet" }.to_owned()),
                labels: world.law.as_ref().map(|law| law.labels_of(&run.key.name)).unwrap_or_default(),
                ..PodSpec::default()
            };
            let Ok(object) = world.api.create_pod(&spec) else {
                // Its predecessor of that name is still being deleted.
                sleep(Duration::from_secs(1)).await;
                continue;
            };
            let uid = PodUid::from(object.uid.as_ref());
            world.trace.event(node.name.as_str(), format_args!("pod {} bound", run.key));
            let task = Self {
                world: world.clone(),
                node: node.clone(),
                run: run.clone(),
                uid,
                bound_at: time::now(),
                ready_once: false,
            };
            task.live().await;
            if !run.stateful || world.drains() {
                return;
            }
            run.lifetime = world.next_lifetime(&node);
        }
    }

    async fn live(mut self) {
        self.node.pods.fetch_add(1, Relaxed);
        self.node.changes.fetch_add(1, Relaxed);
        self.world.pod_pending(&self.node, &self.name());
        let end = self.bound_at + self.run.lifetime;
        // The kubelet's watch, its workers, and the start of the sandbox.
        sleep(self.node.between(Duration::from_millis(50), Duration::from_millis(400))).await;
        let mut forced = false;
        let mut running = None;
        while !self.over(end) {
            let boots = self.node.boots.load(Relaxed);
            let Some(made) = self.bring_up(end).await else { break };
            running = Some(made);
            let rebooted = self.node.boots.load(Relaxed) != boots;
            let node = self.node.clone();
            tokio::select! {
                biased;
                () = async { if !rebooted { node.rebooted.notified().await } } => {
                    // The machine restarted: this sandbox is gone without a DEL, the pod is not.
                    if let Some(Running { container }) = running.take() {
                        self.world.oracle.down(self.world.trace.now(), &container);
                        self.node.host.remove_pod(&container);
                        self.world.sandbox_ended();
                    }
                    self.world.pod_pending(&self.node, &self.name());
                    sleep(self.node.between(Duration::from_secs(5), Duration::from_secs(20))).await;
                    continue;
                }
                () = node.restart_sandbox.notified() => {
                    self.world.coverage.count("sandbox-restarted");
                    self.tear_down(running.take()).await;
                    self.world.pod_pending(&self.node, &self.name());
                    continue;
                }
                () = node.force_delete.notified() => {
                    self.world.coverage.count("pod-force-deleted");
                    forced = true;
                }
                () = self.until_end(end) => {}
            }
            break;
        }
        self.finish(running, forced).await;
    }

    fn over(&self, end: Instant) -> bool {
        time::now() >= end && !self.world.drains()
    }

    /// The end of the pod's life. While the run settles nothing goes away by itself.
    async fn until_end(&self, end: Instant) {
        time::sleep_until(end).await;
        if self.world.drains() {
            std::future::pending::<()>().await;
        }
    }

    /// Makes sandboxes until one has its network. Nothing when the pod's time is over before that.
    async fn bring_up(&mut self, end: Instant) -> Option<Running> {
        let mut wait = RETRY_FIRST;
        while !self.over(end) {
            let number = self.node.sandboxes.fetch_add(1, Relaxed) + 1;
            let container: ContainerId = format!("{}-{number}", self.node.instance).into();
            let begun = time::now();
            match self.add(&container).await {
                Ok(reply) => {
                    if let Err(error) = self.build(&container, &reply) {
                        self.world.coverage.count("kernel-refused");
                        let node = self.node.name.as_str();
                        self.world.trace.event(node, format_args!("ADD {} not built: {error}", self.run.key));
                        self.delete_later(container);
                    } else {
                        self.configured(&container, &reply).await;
                        return Some(Running { container });
                    }
                }
                Err(failed) => {
                    let error = match &failed {
                        Failed::Rpc(error) => Some(error),
                        _ => None,
                    };
                    self.world.add_failed(
                        &self.node,
                        &self.run.key,
                        failed.name(),
                        error,
                        time::since(begun),
                    );
                    self.delete_later(container);
                }
            }
            sleep(self.node.between(wait, wait * 3 / 2)).await;
            wait = (wait * 2).min(RETRY_AT_MOST);
        }
        None
    }

    async fn add(&mut self, container: &ContainerId) -> Result<AllocIpReply, Failed> {
        let request = AllocIpRequest {
            pod: self.run.key.clone(),
            container: container.clone(),
            netns: format!("/var/run/netns/{container}"),
            ifname: "eth0".to_owned(),
            uid: self.uid.clone(),
            network: "terway".to_owned(),
        };
        let begun = time::now();
        let killed = self.node.unit() < self.node.runtime_faults().add_killed;
        let patience = if killed { self.node.between(Duration::ZERO, Duration::from_secs(5)) } else { CALL };
        let answer = self.call(patience, |agent| async move { agent.alloc_ip(request).await }).await;
        if killed && answer.is_ok() {
            self.world.coverage.count("add-answered-to-nobody");
            return Err(Failed::GaveUp);
        }
        let reply = answer?;
        let hit = reply.source != Source::Waited;
        self.world.add_ok(&self.node, &self.run.key, container, &reply, hit, time::since(begun));
        Ok(reply)
    }

    /// A call over the agent's socket: it ends when either side does.
    async fn call<T, F>(
        &self,
        patience: Duration,
        call: impl FnOnce(terway_agent::Agent) -> F,
    ) -> Result<T, Failed>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RpcError>> + Send + 'static,
    {
        let Some((agent, scope)) = self.node.agent() else { return Err(Failed::Refused) };
        let (mut answer, answered) = oneshot::channel();
        let work = call(agent);
        scope.run(async move {
            tokio::select! {
                biased;
                // The caller hung up: the server drops what it does for it.
                () = answer.closed() => {}
                result = work => drop(answer.send(result)),
            }
        });
        // A socket in the same machine: some hundred microseconds, one tick of the timer.
        sleep(Duration::from_millis(1)).await;
        match timeout(patience, answered).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(Failed::Rpc(error)),
            Ok(Err(_)) => Err(Failed::Reset),
            Err(_) => Err(Failed::GaveUp),
        }
    }

    /// The plugin builds the interface, as it does for an answer of the agent.
    fn build(&self, container: &ContainerId, reply: &AllocIpReply) -> std::io::Result<()> {
        for conf in &reply.net_confs {
            self.node.host.add_pod(&PodNet {
                pod: self.run.key.clone(),
                container: container.clone(),
                ifname: conf.ifname.clone(),
                ips: conf.ips,
                eni_mac: conf.mac,
                gateway: Gateways { v4: conf.gateway, v6: conf.gateway6 },
                mtu: 0,
                default_route: conf.default_route,
                extra_routes: conf.extra_routes.clone(),
                bandwidth: conf.bandwidth,
                guard: conf.guard.clone(),
            })?;
        }
        Ok(())
    }

    /// The pod has its network.
    async fn configured(&mut self, container: &ContainerId, reply: &AllocIpReply) {
        let ips: Vec<_> = reply.net_confs.iter().flat_map(|conf| conf.ips.iter()).collect();
        let sandbox = Sandbox {
            node: self.node.name.clone(),
            instance: self.node.instance.clone(),
            pod: self.run.key.clone(),
            uid: self.uid.clone(),
            ips: ips.clone(),
        };
        self.world.oracle.up(self.world.trace.now(), container, sandbox, &self.world.cloud);
        policy::watch_start(&self.world, &self.node, container);
        sleep(self.node.between(Duration::from_millis(3), Duration::from_millis(12))).await;
        let status = PodStatus {
            phase: Some("Running".to_owned()),
            pod_ips: Some(ips.iter().map(ToString::to_string).collect()),
            ready: Some(true),
            ..PodStatus::default()
        };
        // A pod that was force-deleted meanwhile has no status to update.
        let _ = self.world.api.update_pod_status(&self.run.key.namespace, &self.run.key.name, &status);
        let first = !std::mem::replace(&mut self.ready_once, true);
        self.world.pod_ready(&self.node, &self.name(), first, self.run.burst, time::since(self.bound_at));
    }

    /// Stops a sandbox: its processes and its network end now, the DEL follows.
    async fn tear_down(&self, running: Option<Running>) {
        if let Some(Running { container }) = running {
            self.world.oracle.down(self.world.trace.now(), &container);
            self.node.host.remove_pod(&container);
            self.world.sandbox_ended();
            self.delete_later(container);
            sleep(self.node.between(Duration::from_millis(5), Duration::from_millis(50))).await;
        }
    }

    async fn finish(self, running: Option<Running>, forced: bool) {
        let (namespace, name) = (&*self.run.key.namespace, &*self.run.key.name);
        let had_network = self.ready_once;
        if forced {
            // Gone from the API at once, while the sandbox still runs.
            let _ = self.world.api.remove_pod(namespace, name);
            sleep(self.node.between(Duration::from_secs(1), Duration::from_secs(30))).await;
        } else {
            let _ = self.world.api.set_deletion_timestamp(namespace, name, 30);
        }
        self.tear_down(running).await;
        if !forced {
            sleep(self.node.between(Duration::from_millis(100), Duration::from_secs(2))).await;
            // The kubelet removes the pod when its sandbox is stopped.
            let _ = self.world.api.remove_pod(namespace, name);
        }
        self.node.pods.fetch_sub(1, Relaxed);
        self.node.changes.fetch_add(1, Relaxed);
        self.world.pod_gone(&self.node, &self.name(), had_network);
    }

    /// Sends DEL for a sandbox until it succeeds, as the runtime does when it stops or removes it.
    fn delete_later(&self, container: ContainerId) {
        let faults = self.node.runtime_faults();
        if self.node.unit() < faults.del_lost {
            self.world.coverage.count("del-lost");
            return;
        }
        let late = self.node.unit() < faults.del_late;
        let twice = self.node.unit() < faults.del_twice;
        let delay = if late {
            self.world.coverage.count("del-late");
            self.node.between(Duration::from_secs(2), Duration::from_secs(40))
        } else {
            self.node.between(Duration::from_millis(1), Duration::from_millis(20))
        };
        let task = Self {
            world: self.world.clone(),
            node: self.node.clone(),
            run: self.run.clone(),
            uid: self.uid.clone(),
            bound_at: self.bound_at,
            ready_once: true,
        };
        self.node.dels.fetch_add(1, Relaxed);
        self.node.machine.run(async move {
            sleep(delay).await;
            task.delete(&container).await;
            if twice {
                task.world.coverage.count("del-twice");
                sleep(task.node.between(Duration::from_millis(1), Duration::from_secs(5))).await;
                task.delete(&container).await;
            }
            task.node.dels.fetch_sub(1, Relaxed);
        });
    }

    async fn delete(&self, container: &ContainerId) {
        let mut wait = RETRY_FIRST;
        loop {
            let request = ReleaseIpRequest {
                pod: self.run.key.clone(),
                container: container.clone(),
                reason: "normal release".to_owned(),
            };
            let answer = self.call(CALL, |agent| async move { agent.release_ip(request).await }).await;
            let node = self.node.name.as_str();
            match answer {
                Ok(()) => {
                    self.world.trace.event(node, format_args!("DEL {} {container} ok", self.run.key));
                    return;
                }
                Err(failed) => {
                    let name = failed.name();
                    self.world
                        .trace
                        .event(node, format_args!("DEL {} {container} fails: {name}", self.run.key));
                }
            }
            sleep(self.node.between(wait, wait * 3 / 2)).await;
            wait = (wait * 2).min(RETRY_AT_MOST);
        }
    }

    fn name(&self) -> String {
        format!("{}#{}", self.run.key, self.uid)
    }
}

impl SimNode {
    /// Pods that have no address at the moment.
    pub fn pending_pods(&self) -> Vec<String> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
