//! One HTTP exchange with whole bodies: what the clients of this crate are written against.
//!
//! The real one keeps connections open and uses them again. A request is sent once: only if a kept
//! connection turned out closed before the first byte was sent, it goes out over a new one. What was sent
//! and not answered may have been applied, and that is for the caller to find out.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, uri::Authority};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::TokioTimer,
};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use terway_core::spawn::{Spawner, spawn};

use crate::gzip::BODY_MAX;

/// How long a connection is kept without use: less than the 60 s after which load balancers commonly
/// drop idle ones without a word.
const IDLE: Duration = Duration::from_secs(30);
/// Kept connections per host: a node has few calls at a time, and a broker's hundred can wait for a handshake.
const IDLE_MAX: usize = 16;
/// How long a TCP connection may take: three lost SYNs (1 s, 2 s, 4 s apart) would take longer than a
/// caller wants to wait for a host that is not there.
const CONNECT: Duration = Duration::from_secs(5);

type Source = Box<dyn Error + Send + Sync>;

/// An exchange that gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection: nothing was sent.
    #[error("can not connect to {authority}")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// The connection ended before the reply did: the request may have been acted on.
    #[error("the connection to {authority} broke")]
    Broken {
        /// Host and port.
        authority: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// The reply has no end in sight.
    #[error("the reply of {authority} has more than {BODY_MAX} bytes")]
    TooLong {
        /// Host and port.
        authority: String,
    },
}

impl HttpError {
    /// Whether the request was surely not sent.
    pub fn unsent(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}

/// An error with all of its causes, for where only one line can be told.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// One exchange. Dropping the future ends it; the request may have been sent.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends a request with an absolute URI and reads the whole reply.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>;
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system's roots can not be read.
    #[error("the system has no root certificates that can be read; install the package `ca-certificates`")]
    Roots(#[source] std::io::Error),
    /// The library refuses its own defaults.
    #[error("TLS can not be set up")]
    Setup(#[source] rustls::Error),
}

/// HTTP over TCP and, for `https`, TLS with the system's roots. Connections are tasks of the spawner.
pub fn system(spawner: Arc<dyn Spawner>) -> Result<Arc<dyn Http>, TlsError> {
    let roots = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_native_roots()
        .map_err(TlsError::Roots)?;
    Ok(over_tls(roots.with_no_client_auth(), spawner))
}

/// The same with roots of one's own.
pub fn trusting(roots: RootCertStore, spawner: Arc<dyn Spawner>) -> Result<Arc<dyn Http>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(over_tls(config, spawner))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn over_tls(config: ClientConfig, spawner: Arc<dyn Spawner>) -> Arc<dyn Http> {
    let mut tcp = HttpConnector::new();
    // The scheme is for the connector around it.
    tcp.enforce_http(false);
    // A request is one small segment, and nothing follows that it could wait for.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    hyper_over(tls, spawner)
}

/// HTTP/1.1 over connections of any kind. They are tasks of the spawner and end with its scope.
pub fn hyper_over<C>(connector: C, spawner: Arc<dyn Spawner>) -> Arc<dyn Http>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    Arc::new(Hyper { connector, spawner, clients: Mutex::default() })
}

/// The port `Spawner` as hyper wants it.
#[derive(Clone)]
struct Tasks(Arc<dyn Spawner>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        spawn(&self.0, "http connection", task);
    }
}

/// A client per host: a client of many keeps them in a hash map, whose order would show in the order in
/// which idle connections end.
struct Hyper<C> {
    connector: C,
    spawner: Arc<dyn Spawner>,
    /// As many as there are endpoints.
    clients: Mutex<BTreeMap<String, Client<C, Full<Bytes>>>>,
}

impl<C> Hyper<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    fn client(&self, scheme: Option<&str>, authority: &str) -> Client<C, Full<Bytes>> {
        let key = format!("{}://{authority}", scheme.unwrap_or_default());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            Client::builder(Tasks(self.spawner.clone()))
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_MAX)
                // Both tell time, and the timer of the runtime is virtual where the runtime's time is.
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .build(self.connector.clone())
        };
        clients.entry(key).or_insert_with(make).clone()
    }
}

#[async_trait]
impl<C> Http for Hyper<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let authority = request.uri().authority().map_or_else(String::new, Authority::to_string);
        let client = self.client(request.uri().scheme_str(), &authority);
        let response = match client.request(request.map(Full::new)).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(HttpError::Connect { authority, source: error.into() });
            }
            Err(error) => return Err(HttpError::Broken { authority, source: error.into() }),
        };
        let (head, body) = response.into_parts();
        match Limited::new(body, BODY_MAX).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(HttpError::TooLong { authority }),
            Err(source) => Err(HttpError::Broken { authority, source }),
        }
    }
}
