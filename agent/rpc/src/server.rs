//! The answering side: two traits, and the tonic services that put them on the wire.
//!
//! Written by hand, as a generator would need `protoc`; a service is a table of paths. Errors of the
//! agent become status Unknown with the original's text, and the cause in the details.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use prost::Message;
use terway_core::rpc::RpcError;
use tonic::{Code, Request, Response, Status, body::Body, codegen::Service, server::UnaryService};
use tonic_prost::ProstCodec;

use crate::{
    refusal,
    wire::{
        self, AllocIpReply, AllocIpRequest, EventReply, EventRequest, GetInfoReply, GetInfoRequest,
        ReleaseIpReply, ReleaseIpRequest,
        node::{self, CollectReply, CollectRequest, StatusReply, StatusRequest},
    },
};

/// No request is longer: the longest lists the sandboxes of a node.
const LONGEST_REQUEST: usize = 4 * 1024 * 1024;

/// `rpc.TerwayBackend`.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// ADD.
    async fn alloc_ip(&self, request: AllocIpRequest) -> Result<AllocIpReply, RpcError>;
    /// DEL, and the undoing of an ADD.
    async fn release_ip(&self, request: ReleaseIpRequest) -> Result<ReleaseIpReply, RpcError>;
    /// CHECK.
    async fn get_ip_info(&self, request: GetInfoRequest) -> Result<GetInfoReply, RpcError>;
    /// An event on the pod or the node.
    async fn record_event(&self, request: EventRequest) -> Result<EventReply, RpcError>;
}

/// `rpc.TerwayNode`.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// STATUS: from memory, at once.
    async fn status(&self, request: StatusRequest) -> Result<StatusReply, RpcError>;
    /// GC.
    async fn collect(&self, request: CollectRequest) -> Result<CollectReply, RpcError>;
}

fn refused(error: &RpcError) -> Status {
    let (text, details) = refusal::write(error);
    Status::with_details(Code::Unknown, text, details.into())
}

/// A boxed future, as tonic wants it.
type Reply<A> = Pin<Box<dyn Future<Output = Result<A, Status>> + Send>>;
type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// One method of one service, bound to who answers it.
struct Unary<T, F>(Arc<T>, F);

impl<T, F, Q, A> UnaryService<Q> for Unary<T, F>
where
    A: 'static,
    F: Fn(Arc<T>, Q) -> Reply<A>,
{
    type Response = A;
    type Future = Reply<Response<A>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let reply = (self.1)(Arc::clone(&self.0), request.into_inner());
        Box::pin(async move { reply.await.map(Response::new) })
    }
}

fn unary<T, F, Q, A>(inner: &Arc<T>, request: http::Request<Body>, method: F) -> Answer
where
    T: Send + Sync + 'static,
    F: Fn(Arc<T>, Q) -> Reply<A> + Send + 'static,
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let method = Unary(Arc::clone(inner), method);
    Box::pin(async move {
        let codec: ProstCodec<A, Q> = ProstCodec::default();
        let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(LONGEST_REQUEST);
        Ok(grpc.unary(method, request).await)
    })
}

fn unknown(request: &http::Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    Box::pin(async move { Ok(Status::unimplemented(format!("no method {path}")).into_http()) })
}

/// Both services, by path: what tonic's `Server::serve_with_incoming` takes. No router is needed for six
/// methods.
#[derive(Debug)]
pub struct Services<T>(Arc<T>);

impl<T> Services<T> {
    /// The services of `inner`.
    pub fn new(inner: Arc<T>) -> Self {
        Self(inner)
    }
}

impl<T> Clone for Services<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A method of a trait above as a function of who answers and what is asked.
macro_rules! method {
    ($method:ident) => {
        |inner: Arc<T>, request| {
            Box::pin(async move { inner.$method(request).await.map_err(|error| refused(&error)) })
        }
    };
}

impl<T: Backend + Node> Service<http::Request<Body>> for Services<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        match request.uri().path() {
            wire::ALLOC_IP => unary(&self.0, request, method!(alloc_ip)),
            wire::RELEASE_IP => unary(&self.0, request, method!(release_ip)),
            wire::GET_IP_INFO => unary(&self.0, request, method!(get_ip_info)),
            wire::RECORD_EVENT => unary(&self.0, request, method!(record_event)),
            node::STATUS => unary(&self.0, request, method!(status)),
            node::COLLECT => unary(&self.0, request, method!(collect)),
            _ => unknown(&request),
        }
    }
}
