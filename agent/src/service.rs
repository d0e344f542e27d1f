//! The allocation service: AllocIP, ReleaseIP, GetIPInfo.
//!
//! One request per pod at a time; a second one is refused at once, never queued. A request that its
//! caller gives up is dropped anywhere without harm: what it had taken is either recorded (and found
//! again by the next request of that sandbox, by its DEL, or by garbage collection) or was never
//! taken.

use std::{sync::Arc, time::Duration};

use terway_core::{
    cause::Cause,
    id::{PodKey, PodUid},
    probe::pass,
    rpc::{
        AllocIpReply, AllocIpRequest, GetIpInfoReply, GetIpInfoRequest, ReleaseIpRequest, RpcError, Source,
    },
};
use tokio::{sync::oneshot, time::timeout_at};

use crate::{
    pods::PodView,
    pool::GATHER,
    shared::{Claim, Granted, Shared, Waiter},
    store::{Allocation, StoreStopped, Write},
};

/// Most that a request may take; the plugin gives up two seconds later.
pub(crate) const DEADLINE: Duration = Duration::from_secs(118);

/// Holds a pod's place among the requests under way.
struct Turn<'a> {
    shared: &'a Shared,
    pod: &'a PodKey,
}

impl<'a> Turn<'a> {
    fn take(shared: &'a Shared, pod: &'a PodKey) -> Result<Self, RpcError> {
        let mut processing = shared.processing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if processing.insert(pod.clone()) {
            Ok(Self { shared, pod })
        } else {
            Err(RpcError::PodIsProcessing(pod.clone()))
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut processing = self.shared.processing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        processing.remove(self.pod);
    }
}

pub(crate) async fn alloc_ip(
    shared: &Arc<Shared>,
    request: AllocIpRequest,
) -> Result<AllocIpReply, RpcError> {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    if request.container.as_str().is_empty() {
        return Err(RpcError::InvalidArgs("`K8sPodInfraContainerId` is empty; it names the sandbox".into()));
    }
    let ifname = if request.ifname.is_empty() { "eth0".to_owned() } else { request.ifname };
    let _turn = Turn::take(shared, &request.pod)?;
    pass(&*shared.ports.probe, "rpc.alloc.recv").await;

    let (known, others): (Vec<Allocation>, Vec<Allocation>) = shared
        .state()
        .pool
        .of_pod(&request.pod)
        .into_iter()
        .partition(|allocation| allocation.container.as_ref() == Some(&request.container));
    if let Some(allocation) = known.into_iter().find(|allocation| allocation.ifname == ifname)
        && let Some(reply) = repeat(shared, &allocation).await?
    {
        return Ok(reply);
    }
    // A record of another sandbox: only the API server can tell whether it is still the same pod.
    let view = shared.pod_view(&request.pod, &request.uid, !others.is_empty()).await?;
    let claim = Claim {
        pod: request.pod.clone(),
        uid: view.uid,
        container: request.container,
        ifname,
        network: request.network,
        bandwidth: view.bandwidth,
    };
    for old in others {
        if let Some(reply) = take_over(shared, &claim, &old).await? {
            return Ok(reply);
        }
    }
    let (granted, source) = obtain(shared, claim, deadline).await?;
    // The pod's policy is in force before its address is told to anybody, and so before its link is there.
    shared.govern(&granted.allocation).await?;
    if !terway_core::bug!(shared.ports.probe, CommitAfterReply) {
        granted.ticket.durable().await.map_err(stopping)?;
    }
    shared.annotate(request.pod.clone(), granted.conf.ips.to_string());
    pass(&*shared.ports.probe, "rpc.alloc.before-reply").await;
    Ok(AllocIpReply { net_confs: vec![granted.conf], source })
}

/// The same sandbox asks again: the same answer, unless its ENI has vanished meanwhile.
async fn repeat(shared: &Shared, allocation: &Allocation) -> Result<Option<AllocIpReply>, RpcError> {
    let (conf, ticket) = {
        let state = shared.state();
        let Some(conf) = shared.net_conf(&state.pool, allocation) else { return Ok(None) };
        // The record may still be on its way to the disk: an empty write waits behind it.
        (conf, shared.store.submit(Vec::new()))
    };
    shared.govern(allocation).await?;
    ticket.durable().await.map_err(stopping)?;
    Ok(Some(AllocIpReply { net_confs: vec![conf], source: Source::Record }))
}

/// A new sandbox of a pod that has an address: of the same pod it takes the address over, of another
/// pod of that name the old address is let go.
async fn take_over(
    shared: &Shared,
    claim: &Claim,
    old: &Allocation,
) -> Result<Option<AllocIpReply>, RpcError> {
    let (allocation, conf, ticket) = {
        let mut state = shared.state();
        // It may have been freed while the pod was read.
        if state.pool.allocation(&old.key()).is_none() {
            return Ok(None);
        }
        let same = old.uid == claim.uid && old.ifname == claim.ifname;
        let link = shared.fresh_link(&state.pool);
        let renewed = Allocation { link, ..old.clone() };
        let Some(conf) = shared.net_conf(&state.pool, &renewed).filter(|_| same) else {
            shared.ports.probe.sometimes("pod-recreated-under-its-name");
            shared.surrender(&mut state, &old.key());
            return Ok(None);
        };
        shared.ports.probe.sometimes("sandbox-taken-over");
        state.pool.unbind(&old.key());
        let allocation = Allocation {
            container: Some(claim.container.clone()),
            network: claim.network.clone(),
            bandwidth: claim.bandwidth,
            made: Some(shared.moment()),
            ..renewed
        };
        state.pool.bind(allocation.clone());
        let writes = vec![Write::DropAllocation(old.key()), Write::PutAllocation(allocation.clone())];
        let ticket = shared.store.submit(writes);
        (allocation, conf, ticket)
    };
    shared.regovern(old.link, &allocation).await?;
    ticket.durable().await.map_err(stopping)?;
    Ok(Some(AllocIpReply { net_confs: vec![conf], source: Source::Record }))
}

/// An idle address, now or when there is one.
async fn obtain(
    shared: &Arc<Shared>,
    claim: Claim,
    deadline: tokio::time::Instant,
) -> Result<(Granted, Source), RpcError> {
    let begun = shared.now();
    let reply = {
        let mut state = shared.state();
        state.pool.expire_cooling(begun);
        // Nobody overtakes those who wait already.
        if state.waiters.iter().all(|waiter| waiter.answer.is_closed())
            && let Some(granted) = shared.grant(&mut state, &claim)
        {
            drop(state);
            shared.kick.notify_one();
            return Ok((granted, Source::Pool));
        }
        let (answer, reply) = oneshot::channel();
        if state.waiters.is_empty() {
            state.pool.gather_until = Some(begun + GATHER);
        }
        state.waiters.push_back(Waiter { claim, answer });
        reply
    };
    shared.kick.notify_one();
    match timeout_at(deadline, reply).await {
        Ok(Ok(Ok(granted))) => Ok((granted, Source::Waited)),
        Ok(Ok(Err(cause))) => Err(RpcError::NoAddress(cause)),
        Ok(Err(_)) => Err(stopping(StoreStopped)),
        Err(_) => {
            let trouble = shared.state().pool.trouble.clone().filter(|(at, _)| *at >= begun);
            let unknown = || Cause::NotReady { waiting_for: "an ENI to be created and attached".into() };
            Err(RpcError::NoAddress(trouble.map_or_else(unknown, |(_, cause)| cause)))
        }
    }
}

pub(crate) async fn release_ip(shared: &Arc<Shared>, request: ReleaseIpRequest) -> Result<(), RpcError> {
    let _turn = Turn::take(shared, &request.pod)?;
    pass(&*shared.ports.probe, "rpc.release.recv").await;
    let ticket = {
        let mut state = shared.state();
        let key = if terway_core::bug!(shared.ports.probe, StaleDelFrees) {
            state.pool.of_pod(&request.pod).first().map(Allocation::key)
        } else {
            state.pool.of_container(&request.container).map(Allocation::key)
        };
        if let Some(key) = key {
            shared.surrender(&mut state, &key)
        } else {
            // A late DEL of a sandbox that another one has replaced, or a repeated DEL.
            if !state.pool.of_pod(&request.pod).is_empty() {
                shared.ports.probe.sometimes("stale-del-ignored");
            }
            // What freed it may still be on its way to the disk.
            Some(shared.store.submit(Vec::new()))
        }
    };
    if let Some(ticket) = ticket {
        ticket.durable().await.map_err(stopping)?;
    }
    pass(&*shared.ports.probe, "rpc.release.before-reply").await;
    Ok(())
}

pub(crate) fn get_ip_info(shared: &Shared, request: &GetIpInfoRequest) -> Result<GetIpInfoReply, RpcError> {
    let _turn = Turn::take(shared, &request.pod)?;
    let state = shared.state();
    let allocation = state.pool.of_container(&request.container);
    let conf = allocation.and_then(|allocation| shared.net_conf(&state.pool, allocation));
    Ok(GetIpInfoReply { net_confs: conf.into_iter().collect() })
}

fn stopping(error: StoreStopped) -> RpcError {
    RpcError::NoAddress(Cause::AgentStopping { detail: error.to_string() })
}

impl Shared {
    /// A pod: from the watch's cache, or from the API server when the cache does not have it or might be
    /// behind. `named` is the UID that the runtime has, if it said so.
    async fn pod_view(&self, pod: &PodKey, named: &PodUid, uncached: bool) -> Result<PodView, RpcError> {
        let is_named = |view: &PodView| named.as_str().is_empty() || view.uid == *named;
        if !uncached && let Some(view) = self.pods.get(pod).filter(is_named) {
            return Ok(view);
        }
        match self.read_pod(pod).await {
            Ok(Some(view)) if is_named(&view) => Ok(view),
            Ok(Some(view)) => Err(RpcError::InvalidArgs(format!(
                "pod {pod} is another one now: the sandbox is of uid {named}, the API server has {}",
                view.uid
            ))),
            Ok(None) => Err(RpcError::InvalidArgs(format!("pod {pod} does not exist"))),
            Err(reason) => Err(RpcError::PodUnknown { pod: pod.clone(), reason }),
        }
    }
}
