//! The plugin's bare client against the services as tonic serves them.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream;
use terway_core::{
    address::PodIps,
    cause::Cause,
    id::{Mac, PodKey},
    rpc::{NetConf, RpcError},
};
use terway_rpc::{
    client::{CallError, call},
    interface,
    refusal::{Outlook, Word},
    server::{Backend, Node, Services},
    wire::{
        self, AllocIpReply, AllocIpRequest, EventReply, EventRequest, GetInfoReply, GetInfoRequest,
        ReleaseIpReply, ReleaseIpRequest,
        node::{self, CollectReply, CollectRequest, StatusReply, StatusRequest},
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const DEADLINE: Duration = Duration::from_secs(5);

/// Answers by the name of the pod that is asked for.
struct Agent;

#[async_trait]
impl Backend for Agent {
    async fn alloc_ip(&self, request: AllocIpRequest) -> Result<AllocIpReply, RpcError> {
        match &*request.pod_name {
            "busy" => Err(RpcError::PodIsProcessing(PodKey::new(request.pod_namespace, request.pod_name))),
            "full" => Err(RpcError::NoAddress(Cause::VSwitchExhausted { vswitches: vec!["vsw-ü%".into()] })),
            "silent" => futures::future::pending().await,
            // One text per interface name, so that the answer has to cross many windows.
            "large" => {
                let conf = wire::NetConf { ifname: "x".repeat(1000), ..wire::NetConf::default() };
                Ok(AllocIpReply { success: true, net_confs: vec![conf; 3000], ..AllocIpReply::default() })
            }
            _ => {
                let conf = NetConf {
                    ips: PodIps { v4: Ipv4Addr::new(10, 0, 3, 7), v6: None },
                    cidr: "10.0.3.0/24".parse().expect("valid"),
                    gateway: Ipv4Addr::new(10, 0, 3, 253),
                    eni: "eni-1".into(),
                    mac: Mac([0, 0x16, 0x3e, 0, 0, 1]),
                    ifname: request.ifname,
                    default_route: true,
                    gateway6: None,
                    extra_routes: Vec::new(),
                    bandwidth: terway_core::host::Bandwidth::default(),
                    guard: None,
                };
                Ok(interface::alloc_reply(&[conf]))
            }
        }
    }
    async fn release_ip(&self, request: ReleaseIpRequest) -> Result<ReleaseIpReply, RpcError> {
        Err(RpcError::InvalidArgs(request.reason))
    }
    async fn get_ip_info(&self, _: GetInfoRequest) -> Result<GetInfoReply, RpcError> {
        Ok(interface::info_reply(&[]))
    }
    async fn record_event(&self, request: EventRequest) -> Result<EventReply, RpcError> {
        Ok(EventReply { succeed: true, error: request.message })
    }
}

#[async_trait]
impl Node for Agent {
    async fn status(&self, _: StatusRequest) -> Result<StatusReply, RpcError> {
        Ok(StatusReply { code: 50, message: "no address".into(), details: String::new() })
    }
    async fn collect(&self, request: CollectRequest) -> Result<CollectReply, RpcError> {
        Ok(CollectReply { freed: request.valid.len() as u32, errors: Vec::new() })
    }
}

/// Makes one call while the server runs beside it.
async fn ask<Q: prost::Message, A: prost::Message + Default>(
    path: &'static str,
    request: Q,
) -> Result<A, CallError> {
    let (near, far) = duplex(16 * 1024);
    let incoming = stream::iter([Ok::<_, std::io::Error>(far)]);
    let server = tonic::transport::Server::builder().serve_with_incoming(
        Services::new(Arc::new(Agent)),
        stream::StreamExt::chain(incoming, stream::pending()),
    );
    tokio::select! {
        biased;
        answer = call(near, path, &request, DEADLINE) => answer,
        ended = server => panic!("the server ended: {ended:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_up_at_our_deadline_has_not_refused() {
    let outcome = ask::<_, AllocIpReply>(wire::ALLOC_IP, alloc("silent")).await;
    assert!(matches!(outcome, Err(CallError::Unanswered { .. })), "{outcome:?}");
}

fn alloc(pod: &str) -> AllocIpRequest {
    AllocIpRequest {
        pod_name: pod.into(),
        pod_namespace: "default".into(),
        container: "c1".into(),
        ifname: "eth0".into(),
        ..AllocIpRequest::default()
    }
}

#[tokio::test]
async fn every_method_is_answered_by_its_own() {
    let reply: AllocIpReply = ask(wire::ALLOC_IP, alloc("a")).await.expect("answered");
    let interfaces = interface::interfaces(reply.ip_type, &reply.net_confs).expect("valid");
    assert_eq!(interfaces[0].ips.to_string(), "10.0.3.7");
    let reply: GetInfoReply = ask(wire::GET_IP_INFO, GetInfoRequest::default()).await.expect("answered");
    assert!(reply.success && reply.net_confs.is_empty());
    let event = EventRequest { message: "words".into(), ..EventRequest::default() };
    let reply: EventReply = ask(wire::RECORD_EVENT, event).await.expect("answered");
    assert_eq!(reply.error, "words");
    let reply: StatusReply = ask(node::STATUS, StatusRequest::default()).await.expect("answered");
    assert_eq!((reply.code, &*reply.message), (50, "no address"));
    let collect = CollectRequest { valid: vec![node::Attachment::default(); 3], ..CollectRequest::default() };
    let reply: CollectReply = ask(node::COLLECT, collect).await.expect("answered");
    assert_eq!(reply.freed, 3);
}

#[tokio::test]
async fn a_refusal_arrives_with_its_word_and_cause() {
    let Err(CallError::Refused(busy)) = ask::<_, AllocIpReply>(wire::ALLOC_IP, alloc("busy")).await else {
        panic!("not refused");
    };
    assert_eq!((busy.word, busy.outlook()), (Some(Word::PodIsProcessing), Outlook::Later));
    let Err(CallError::Refused(full)) = ask::<_, AllocIpReply>(wire::ALLOC_IP, alloc("full")).await else {
        panic!("not refused");
    };
    assert_eq!(full.outlook(), Outlook::NoAddress);
    assert_eq!(full.cause, Some(Cause::VSwitchExhausted { vswitches: vec!["vsw-ü%".into()] }));
    assert!(full.text.contains("vsw-ü%"), "{}", full.text);
}

#[tokio::test]
async fn messages_larger_than_a_window_pass_both_ways() {
    let reply: AllocIpReply = ask(wire::ALLOC_IP, alloc("large")).await.expect("answered");
    assert_eq!(reply.net_confs.len(), 3000);
    let valid = vec![node::Attachment { container: "c".repeat(64), ifname: "eth0".into() }; 20_000];
    let collect = CollectRequest { valid, ..CollectRequest::default() };
    let reply: CollectReply = ask(node::COLLECT, collect).await.expect("answered");
    assert_eq!(reply.freed, 20_000);
}

#[tokio::test]
async fn an_older_agent_says_that_it_does_not_know_a_method() {
    let outcome = ask::<_, StatusReply>("/rpc.TerwayNode/FromTheFuture", StatusRequest::default()).await;
    assert!(matches!(outcome, Err(CallError::Unimplemented { .. })), "{outcome:?}");
}

async fn ask_liar(answer: impl AsyncFnOnce(DuplexStream)) -> Result<StatusReply, CallError> {
    let (near, far) = duplex(1024);
    let request = StatusRequest::default();
    let (outcome, ()) = tokio::join!(call(near, node::STATUS, &request, DEADLINE), answer(far));
    outcome
}

#[tokio::test]
async fn whoever_is_no_grpc_server_is_an_error_and_not_a_wait() {
    let outcome = ask_liar(async |far| drop(far)).await;
    assert!(matches!(outcome, Err(CallError::Connection(_) | CallError::Cut { .. })), "{outcome:?}");
    let outcome = ask_liar(async |mut far: DuplexStream| {
        let mut preface = [0; 24];
        far.read_exact(&mut preface).await.expect("the client speaks first");
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
    })
    .await;
    assert!(matches!(outcome, Err(CallError::Connection(_) | CallError::Cut { .. })), "{outcome:?}");
}
