//! The server over real HTTP: requests that come from a connection, and clients that speak on one.
//!
//! The latency of the server itself, its faults and the retries of clients are those of the tower service;
//! what the network adds comes on top.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::Connect};
use kube::client::Body;
use tokio::sync::watch;

use super::ApiServer;
use super::body::ApiBody;
use super::http::{answer, retrying};
use crate::endpoint::{
    Silence,
    serve::{Accept, serve_until},
};

/// Names the client: connections of one zone come from one address, and latencies, faults and counts
/// belong to nodes.
const CLIENT: HeaderName = HeaderName::from_static("x-terway-sim-client");

impl ApiServer {
    /// Serves over HTTP/1.1, watches as streams, until `stop` turns true or has no sender any more. Clients that
    /// do not say whose they are share their latencies and counts.
    pub async fn serve(&self, listener: impl Accept, stop: watch::Receiver<bool>) {
        let server = self.clone();
        let service = move |request| {
            let server = server.clone();
            async move { server.answer(request).await.map_err(|_| Silence) }
        };
        serve_until(listener, service, stop).await;
    }

    /// Answers a request that came over a connection. An error ends the connection without an answer.
    pub(crate) async fn answer(&self, request: Request<Bytes>) -> io::Result<Response<ApiBody>> {
        let (parts, body) = request.into_parts();
        let node = parts.headers.get(&CLIENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let client = self.lock().client_id(node);
        answer(self, client, &parts, &body).await
    }

    /// A client for the agent of `node` that reaches the server at `authority` through `http`. Call it
    /// inside the runtime, as [`Self::client`].
    pub(crate) fn client_over<C>(
        &self,
        node: &str,
        authority: &'static str,
        http: Client<C, Full<Bytes>>,
    ) -> kube::Client
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let client = self.lock().client_id(node);
        let node = HeaderValue::from_str(node).expect("names of nodes are DNS labels");
        kube::Client::new(
            Wire { server: self.clone(), client, node, authority, http: Arc::new(http) },
            "default",
        )
    }
}

/// One client's way to the server.
struct Wire<C> {
    /// For the draws of the retries alone.
    server: ApiServer,
    client: usize,
    node: HeaderValue,
    authority: &'static str,
    http: Arc<Client<C, Full<Bytes>>>,
}

impl<C> tower::Service<Request<Body>> for Wire<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    type Response = Response<Incoming>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<Incoming>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, client, http) = (self.server.clone(), self.client, self.http.clone());
        let (node, authority) = (self.node.clone(), self.authority);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let body = body.collect_bytes().await.map_err(io::Error::other)?;
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            parts.uri = Uri::builder()
                .scheme("http")
                .authority(authority)
                .path_and_query(path)
                .build()
                .map_err(io::Error::other)?;
            parts.headers.insert(HOST, HeaderValue::from_static(authority));
            parts.headers.insert(CLIENT, node);
            retrying(&server, client, || {
                let sent = http.request(Request::from_parts(parts.clone(), Full::new(body.clone())));
                async move { sent.await.map_err(io::Error::other) }
            })
            .await
        })
    }
}
