//! A served account, and a client that signs as it is told.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use terway_cloud::sign::{Signable, canonical_query, payload_hash};
use terway_core::time::Clock;
use terway_sim::{
    cloud::{CloudModel, FakeCloud},
    endpoint::{
        AccessKey, Endpoint, Keys,
        control::Control,
        events::Events,
        serve::serve,
        topology::{self, Topology},
    },
    ports::SimClock,
    root,
};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const ECS: &str = "2014-05-26";
pub(crate) const VPC: &str = "2016-04-28";

/// Who sends which request of one account.
pub(crate) struct Server {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) openapi: SocketAddr,
    pub(crate) metadata: SocketAddr,
    pub(crate) control: SocketAddr,
    /// The control API without a socket.
    pub(crate) handle: Arc<Control>,
}

impl Server {
    /// The default topology in a cloud that takes no time.
    pub(crate) async fn start() -> Self {
        Self::with(CloudModel::instant()).await
    }

    pub(crate) async fn with(model: CloudModel) -> Self {
        let topology = Topology::parse(topology::DEFAULT, model).expect("the default is right");
        let cloud = FakeCloud::new(topology.model.clone(), 7);
        topology.build(&cloud).expect("the default can be built");
        let clock = SimClock::new(tokio::time::Instant::now());
        let events = Events::new(clock.clone());
        cloud.set_observer(events.clone());
        let endpoint = Endpoint::new(cloud, Keys::new(7, None), clock.clone());
        let control = Control::new(Arc::clone(&endpoint), events);
        let handle = Arc::clone(&control);
        let (api, meta) = (Arc::clone(&endpoint), Arc::clone(&endpoint));
        let openapi = listen(move |request| {
            let endpoint = Arc::clone(&api);
            async move { endpoint.openapi(request).await }
        });
        let metadata = listen(move |request| {
            let endpoint = Arc::clone(&meta);
            async move { endpoint.metadata(None, request).await }
        });
        let control = listen(move |request| {
            let control = Arc::clone(&control);
            async move { Ok(control.answer(request).await) }
        });
        let (openapi, metadata, control) = (openapi.await, metadata.await, control.await);
        Self { endpoint, clock, openapi, metadata, control, handle }
    }

    /// The date that clients write now.
    pub(crate) fn date(&self) -> String {
        date(self.clock.now())
    }

    /// Calls with the account's key.
    pub(crate) async fn call(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        self.send(Signer::new(self).request(version, action, params)).await
    }

    /// The result of a call that succeeds, in the account's region.
    pub(crate) async fn ok(&self, version: &str, action: &str, params: &[(&str, &str)]) -> Value {
        let all = [&[("RegionId", "cn-sim")], params].concat();
        let (status, body) = self.call(version, action, &all).await;
        assert_eq!(status, StatusCode::OK, "{action}: {body}");
        body
    }

    /// Code and status of a call that is refused, in the account's region.
    pub(crate) async fn refused(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> (u16, String) {
        let all = [&[("RegionId", "cn-sim")], params].concat();
        let (status, body) = self.call(version, action, &all).await;
        assert!(!status.is_success(), "{action}: {body}");
        (status.as_u16(), body["Code"].as_str().expect("a refusal has a code").to_owned())
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> (StatusCode, Value) {
        let response = exchange(self.openapi, request).await.expect("there is an answer");
        let (head, body) = response.into_parts();
        let body: Value = serde_json::from_slice(&body).expect("answers are JSON");
        assert_eq!(head.headers["x-acs-request-id"], body["RequestId"].as_str().expect("always"));
        (head.status, body)
    }
}

async fn listen<F, B>(service: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = Result<Response<B>, terway_sim::endpoint::Silence>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    root::spawn(serve(listener, service));
    address
}

pub(crate) fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs();
    jiff::Timestamp::from_second(seconds.cast_signed()).expect("near").to_string()
}

pub(crate) async fn connect(to: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(to).await.expect("it listens");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("no byte is needed");
    root::spawn(async move {
        let _ended = connection.await;
    });
    sender
}

/// What has to end: a test that waits for what never comes fails instead of waiting on.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it comes to an end")
}

/// One request on a connection of its own.
pub(crate) async fn exchange(to: SocketAddr, request: Request<Bytes>) -> hyper::Result<Response<Bytes>> {
    within(async { whole(connect(to).await.send_request(request.map(Full::new)).await?).await }).await
}

pub(crate) async fn whole(response: Response<hyper::body::Incoming>) -> hyper::Result<Response<Bytes>> {
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// Signs V3 requests; what is to be wrong is changed before.
pub(crate) struct Signer {
    pub(crate) method: Method,
    pub(crate) key: AccessKey,
    pub(crate) host: String,
    pub(crate) date: String,
    pub(crate) nonce: String,
    /// What is sent as hash of the body, instead of its own.
    pub(crate) hash: Option<String>,
    /// Not signed, though sent.
    pub(crate) unsigned: Option<&'static str>,
    pub(crate) body: String,
    pub(crate) more: Vec<(&'static str, String)>,
}

impl Signer {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            method: Method::POST,
            key: server.endpoint.keys().operator().clone(),
            host: server.openapi.to_string(),
            date: server.date(),
            nonce: nonce(),
            hash: None,
            unsigned: None,
            body: String::new(),
            more: Vec::new(),
        }
    }

    pub(crate) fn request(self, version: &str, action: &str, params: &[(&str, &str)]) -> Request<Bytes> {
        let query = canonical_query(params.iter().copied());
        let hash = self.hash.unwrap_or_else(|| payload_hash(self.body.as_bytes()));
        let mut headers = vec![
            ("host", self.host),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", hash.clone()),
            ("x-acs-date", self.date),
            ("x-acs-signature-nonce", self.nonce),
            ("x-acs-version", version.to_owned()),
        ];
        headers.extend(self.key.token.clone().map(|token| ("x-acs-security-token", token)));
        headers.extend(self.more);
        headers.sort();
        let signed: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| Some(*name) != self.unsigned)
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let signable = Signable {
            method: self.method.as_str(),
            path: "/",
            query: &query,
            headers: &signed,
            payload_hash: &hash,
        };
        let authorization = signable.authorization(&self.key.id, &self.key.secret);
        let uri = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
        let mut request =
            Request::builder().method(self.method).uri(uri).header("authorization", authorization);
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, value);
        }
        request.body(Bytes::from(self.body)).expect("it is well formed")
    }
}

/// Another one each time.
pub(crate) fn nonce() -> String {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{}", NEXT.fetch_add(1, Relaxed))
}
