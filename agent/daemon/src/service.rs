//! The RPC service over the agent: wire to domain and back, timed.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ObjectReference;
use terway_agent::{Agent, Status};
use terway_core::{
    id::ContainerId,
    rpc::{RpcError, Source},
};
use terway_rpc::{
    interface,
    server::{Backend, Node},
    wire::{
        AllocIpReply, AllocIpRequest, EventReply, EventRequest, EventTarget, EventType, GetInfoReply,
        GetInfoRequest, IpSet, ReleaseIpReply, ReleaseIpRequest,
        node::{CollectReply, CollectRequest, StatusReply, StatusRequest},
    },
};
use tokio::time::Instant;

use crate::{
    events::{self, Event, Events, Kind},
    metrics::Metrics,
};

/// STATUS codes of CNI.
const UNAVAILABLE: u32 = 50;
const IMPAIRED: u32 = 51;

/// What answers plugins.
pub(crate) struct Service {
    pub(crate) agent: Agent,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
}

impl Service {
    fn timed<T>(&self, api: &str, begun: Instant, outcome: &Result<T, RpcError>) {
        let labels = vec![("rpc_api", api.to_owned()), ("error", outcome.is_err().to_string())];
        self.metrics.rpc_latency.get_or_create(&labels).observe(begun.elapsed().as_secs_f64() * 1000.0);
    }

    async fn alloc(&self, request: AllocIpRequest, pod: &ObjectReference) -> Result<AllocIpReply, RpcError> {
        let begun = Instant::now();
        let outcome = self.agent.alloc_ip(request.into()).await;
        self.timed("AllocIP", begun, &outcome);
        let took = begun.elapsed();
        match outcome {
            Ok(reply) => {
                self.metrics.pod_latency.observe(took.as_secs_f64());
                let from = if reply.source == Source::Waited { "RemoteIP" } else { "LocalIP" };
                self.metrics.allocated.get_or_create(&vec![("type", from.to_owned())]).inc();
                for conf in &reply.net_confs {
                    let labels = vec![("eni", conf.mac.to_string()), ("status", "succeed".to_owned())];
                    self.metrics.ip_alloc.get_or_create(&labels).inc();
                }
                let ips: Vec<String> = reply.net_confs.iter().map(|conf| conf.ips.to_string()).collect();
                self.events.tell(Event {
                    about: pod.clone(),
                    kind: Kind::Normal,
                    reason: "AllocIPSucceed".into(),
                    message: format!("Alloc IP {} took {took:?}", ips.join(",")),
                    once: None,
                });
                Ok(interface::alloc_reply(&reply.net_confs))
            }
            Err(error) => {
                self.metrics.ip_errors.get_or_create(&vec![("code", error.name().to_owned())]).inc();
                // A pod that is asked for twice at once is no trouble of the pod.
                if !matches!(error, RpcError::PodIsProcessing(_)) {
                    self.events.tell(Event {
                        about: pod.clone(),
                        kind: Kind::Warning,
                        reason: "AllocIPFailed".into(),
                        message: error.to_string(),
                        once: None,
                    });
                }
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Backend for Service {
    async fn alloc_ip(&self, request: AllocIpRequest) -> Result<AllocIpReply, RpcError> {
        let pod = events::pod(&request.pod_namespace, &request.pod_name, &request.pod_uid);
        let (key, container) =
            (format!("{}/{}", request.pod_namespace, request.pod_name), request.container.clone());
        let outcome = self.alloc(request, &pod).await;
        match &outcome {
            Ok(reply) => {
                let ips: Vec<IpSet> =
                    reply.net_confs.iter().filter_map(|conf| conf.basic.as_ref()?.pod_ip.clone()).collect();
                tracing::info!(pod = key, container, ips = ?ips.iter().map(|it| &it.ipv4).collect::<Vec<_>>(), "AllocIP");
            }
            Err(error) => tracing::warn!(pod = key, container, %error, "AllocIP refused"),
        }
        outcome
    }

    async fn release_ip(&self, request: ReleaseIpRequest) -> Result<ReleaseIpReply, RpcError> {
        let begun = Instant::now();
        let (key, container) =
            (format!("{}/{}", request.pod_namespace, request.pod_name), request.container.clone());
        let reason = request.reason.clone();
        let outcome = self.agent.release_ip(request.into()).await;
        self.timed("ReleaseIP", begun, &outcome);
        match outcome {
            Ok(()) => {
                tracing::info!(pod = key, container, reason, "ReleaseIP");
                Ok(ReleaseIpReply { success: true, ipv4: true, ..ReleaseIpReply::default() })
            }
            Err(error) => {
                tracing::warn!(pod = key, container, reason, %error, "ReleaseIP refused");
                Err(error)
            }
        }
    }

    async fn get_ip_info(&self, request: GetInfoRequest) -> Result<GetInfoReply, RpcError> {
        let begun = Instant::now();
        let outcome = self.agent.get_ip_info(&request.into());
        self.timed("GetIPInfo", begun, &outcome);
        outcome.map(|reply| interface::info_reply(&reply.net_confs))
    }

    async fn record_event(&self, request: EventRequest) -> Result<EventReply, RpcError> {
        let about = if request.target == EventTarget::Pod as i32 {
            if request.pod_name.is_empty() {
                return Err(RpcError::InvalidArgs("`K8sPodName` is empty; the event is about a pod".into()));
            }
            events::pod(&request.pod_namespace, &request.pod_name, "")
        } else {
            self.events.node()
        };
        let kind = if request.event_type == EventType::Warning as i32 { Kind::Warning } else { Kind::Normal };
        let told = self.events.tell(Event {
            about,
            kind,
            reason: request.reason,
            message: request.message,
            once: None,
        });
        let error = if told { String::new() } else { "too many events; this one is dropped".to_owned() };
        Ok(EventReply { succeed: told, error })
    }
}

#[async_trait]
impl Node for Service {
    async fn status(&self, _: StatusRequest) -> Result<StatusReply, RpcError> {
        let (code, message) = match self.agent.status() {
            Status::Ready => return Ok(StatusReply::default()),
            Status::Unavailable { why } => (UNAVAILABLE, why),
            Status::Impaired { why } => (IMPAIRED, why),
        };
        let (counts, idle) = self.agent.levels();
        let details = format!("{idle} idle, {} assigned, {} cooling", counts.assigned, counts.cooling);
        Ok(StatusReply { code, message, details })
    }

    async fn collect(&self, request: CollectRequest) -> Result<CollectReply, RpcError> {
        let listed = request.valid.into_iter().map(|it| (ContainerId::from(it.container), it.ifname));
        let valid: BTreeSet<(ContainerId, String)> = listed.collect();
        let (freed, errors) = self.agent.collect(&request.network, &valid, request.started_at_boot_ms).await;
        tracing::info!(network = request.network, listed = valid.len(), freed, failed = errors.len(), "GC");
        Ok(CollectReply { freed, errors })
    }
}
