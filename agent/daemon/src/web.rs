//! `/healthz`, `/readyz` and `/metrics` over HTTP.
//!
//! Health is that the process answers and its store works. Ready is that plugins are served: a node whose pool is
//! exhausted still serves DEL and CHECK, and says so by its condition and by CNI STATUS.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use terway_agent::Agent;
use terway_core::spawn::{self, Spawner};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{Duration, sleep, timeout},
};

use crate::{
    metrics::Metrics,
    socket::{self, SocketError},
};

/// Connections at a time: kubelet, Prometheus and a person or two.
const CONNECTIONS: usize = 16;
/// Given to a connection, from its first byte to its last: nobody holds one for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// Given to the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// What is known to whoever asks.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) metrics: Arc<Metrics>,
    /// Set once plugins are served.
    pub(crate) serving: Arc<OnceLock<Agent>>,
    pub(crate) spawner: Arc<dyn Spawner>,
}

/// Why it is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// TCP.
    #[error("cannot listen on {address} for health and metrics; give --listen")]
    Tcp {
        /// Where.
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The unix socket.
    #[error("cannot listen for health and metrics")]
    Unix(#[source] SocketError),
}

impl Web {
    /// Serves on a TCP address.
    pub(crate) async fn on_tcp(&self, address: SocketAddr) -> Result<(), WebError> {
        let listener =
            TcpListener::bind(address).await.map_err(|source| WebError::Tcp { address, source })?;
        let listener = Arc::new(listener);
        self.serve(move || {
            let listener = listener.clone();
            async move { listener.accept().await.map(|(stream, _)| stream) }
        });
        Ok(())
    }

    /// Serves on a unix socket.
    pub(crate) fn on_unix(&self, path: &Path) -> Result<(), WebError> {
        let listener = socket::listen(path).map_err(WebError::Unix)?;
        let listener = Arc::new(listener);
        self.serve(move || {
            let listener = listener.clone();
            async move { listener.accept().await.map(|(stream, _)| stream) }
        });
        Ok(())
    }

    fn serve<S, F>(&self, accept: impl Fn() -> F + Send + Sync + 'static)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send,
    {
        let web = self.clone();
        spawn::spawn(&self.spawner, "web", async move {
            let room = Arc::new(Semaphore::new(CONNECTIONS));
            loop {
                match accept().await {
                    Ok(stream) => web.connection(&room, stream).await,
                    Err(_) => sleep(PAUSE).await,
                }
            }
        });
    }

    async fn connection<S>(&self, room: &Arc<Semaphore>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let web = self.clone();
        spawn::spawn(&self.spawner, "web", async move {
            let _place = place;
            let answer = service_fn(move |request: Request<Incoming>| {
                let web = web.clone();
                async move { Ok::<_, Infallible>(web.answer(&request)) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), answer);
            // How a reader goes away is its own business.
            let _ = timeout(PATIENCE, connection).await;
        });
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n");
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.serving.get() {
                Some(_) => text(StatusCode::OK, "ok\n"),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "starting: plugins are not served yet\n"),
            },
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.page(self.serving.get()));
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
                response
            }
            _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
