//! The tower service that a `kube::Client` is built on.
//!
//! A request travels half its latency, is handled in one instant, and its
//! answer travels the other half. Dropping the future (a crash of the node)
//! in the first half means that the server never saw the request; in the
//! second, that the write has happened and nobody was told.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use kube::client::Body;
use serde_json::Value;
use tokio::time::sleep;

use super::ApiServer;
use super::body::{ApiBody, WatchBody};
use super::error::ApiError;
use super::observe::{Verb, Write};
use super::query::Query;
use super::read::Opened;
use super::resource::{Resource, Route};
use super::selector::Selector;
use super::state::State;
use super::write::{Part, deleted};
use crate::time;

/// The server as one client sees it.
pub(super) struct Connection {
    pub(super) server: ApiServer,
    pub(super) client: usize,
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response<ApiBody>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Response<ApiBody>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(exchange(self.server.clone(), self.client, request))
    }
}

/// What kube's default client allows: 15 retries, doubling from 5 ms.
const RETRIES: u32 = 15;
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_MOST: Duration = Duration::from_secs(1_000);

async fn exchange(server: ApiServer, client: usize, request: Request<Body>) -> io::Result<Response<ApiBody>> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await.map_err(io::Error::other)?;
    retrying(&server, client, || answer(&server, client, &parts, &body)).await
}

/// One request and its answer, in the time that both take.
pub(super) async fn answer(
    server: &ApiServer,
    client: usize,
    parts: &Parts,
    body: &Bytes,
) -> io::Result<Response<ApiBody>> {
    let half = server.lock().request_latency(client);
    sleep(half).await;
    if server.lock().is_out(client) {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the API server does not answer"));
    }
    let answer = handle(server, client, parts, body);
    sleep(half).await;
    if server.lock().is_out(client) {
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the API server went away"));
    }
    Ok(answer)
}

/// Asks until the answer is none that kube's own client tries again on.
pub(super) async fn retrying<B, F>(
    server: &ApiServer,
    client: usize,
    mut attempt: impl FnMut() -> F,
) -> io::Result<Response<B>>
where
    F: Future<Output = io::Result<Response<B>>>,
{
    let mut retried = 0;
    loop {
        let answer = attempt().await?;
        let Some(backoff) = server.lock().retry_backoff(client, answer.status(), retried) else {
            return Ok(answer);
        };
        let asked = answer.headers().get(header::RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        drop(answer);
        sleep(backoff.max(Duration::from_secs(asked))).await;
        retried += 1;
    }
}

impl State {
    /// How long the client waits before it tries again, if it does.
    fn retry_backoff(&mut self, client: usize, code: StatusCode, retried: u32) -> Option<Duration> {
        if !self.model.client_retries || retried == RETRIES || !matches!(code.as_u16(), 429 | 503 | 504) {
            return None;
        }
        let backoff = RETRY_FIRST.saturating_mul(1 << retried).min(RETRY_MOST);
        // Up to thrice the delay: kube asks tower for a jitter of 2.0.
        Some(backoff + backoff.mul_f64(2.0 * self.clients[client].retry.unit()))
    }
}

/// Handles a request in one instant.
fn handle(server: &ApiServer, client: usize, parts: &Parts, body: &Bytes) -> Response<ApiBody> {
    let path = parts.uri.path();
    if path == "/version" {
        return respond(StatusCode::OK, Bytes::from_static(br#"{"major":"1","minor":"33","gitVersion":"v1.33.0","gitCommit":"","gitTreeState":"clean","buildDate":"","goVersion":"","compiler":"gc","platform":"linux/amd64"}"#));
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (route, verb) =
        match Route::parse(path).and_then(|route| Ok((verb(&parts.method, &route, &query)?, route))) {
            Ok((verb, route)) => (route, verb),
            Err(error) => return refuse(&error),
        };
    let mut guard = server.lock();
    let state = &mut *guard;
    let call = Call { client, verb, route: &route, query: &query, parts, body };
    let result = call.refused_by_fault(state).and_then(|()| call.run(state));
    let code = match &result {
        Ok(Answer::Document(code, _)) => code.as_u16(),
        Ok(Answer::Stream(_)) => 200,
        Err(error) => error.code,
    };
    call.observe(state, code);
    drop(guard);
    match result {
        Ok(Answer::Document(code, body)) => respond(code, body),
        Ok(Answer::Stream(Opened { id, timeout, bookmarks })) => {
            let body = WatchBody::new(server.clone(), id, timeout, bookmarks);
            let mut response = Response::new(ApiBody::Watch(body));
            json_type(&mut response);
            response
        }
        Err(error) => refuse(&error),
    }
}

fn verb(method: &Method, route: &Route<'_>, query: &Query) -> Result<Verb, ApiError> {
    let verb = match (method, route.name.is_some()) {
        (&Method::GET, false) if query.watch => Verb::Watch,
        (&Method::GET, false) => Verb::List,
        (&Method::GET, true) => Verb::Get,
        (&Method::POST, false) => Verb::Create,
        (&Method::PUT, true) => Verb::Update,
        (&Method::PATCH, true) => Verb::Patch,
        (&Method::DELETE, true) if !route.status => Verb::Delete,
        _ => return Err(ApiError::method_not_allowed(format!("{method} is not supported here"))),
    };
    Ok(verb)
}

enum Answer {
    Document(StatusCode, Bytes),
    Stream(Opened),
}

/// A request that names something the server knows.
struct Call<'a> {
    client: usize,
    verb: Verb,
    route: &'a Route<'a>,
    query: &'a Query,
    parts: &'a Parts,
    body: &'a Bytes,
}

impl Call<'_> {
    fn refused_by_fault(&self, state: &mut State) -> Result<(), ApiError> {
        let client = &mut state.clients[self.client];
        let worse = |common: f64, own: f64| common.max(own);
        if client.refusal.chance(worse(state.faults.throttle, client.faults.throttle)) {
            return Err(ApiError::throttled());
        }
        if client.refusal.chance(worse(state.faults.unavailable, client.faults.unavailable)) {
            return Err(ApiError::unavailable());
        }
        let p = worse(state.faults.conflict, client.faults.conflict);
        let can_conflict = matches!(self.verb, Verb::Update | Verb::Patch | Verb::Delete);
        if client.refusal.chance(p) && can_conflict {
            let name = self.route.name.unwrap_or_default();
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(self.route.resource.plural(), name, why));
        }
        Ok(())
    }

    fn run(&self, state: &mut State) -> Result<Answer, ApiError> {
        let Route { resource, namespace, name, status } = *self.route;
        let (space, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
        let part = if status { Part::Status } else { Part::Main };
        let selector = || {
            let (fields, labels) =
                (self.query.field_selector.as_deref(), self.query.label_selector.as_deref());
            Selector::parse(namespace, fields, labels)
        };
        let body = match self.verb {
            Verb::Get => state.find(resource, space, name)?.json.clone(),
            Verb::List => state.list(self.client, resource, &selector()?, self.query)?,
            Verb::Watch => {
                return state.watch(self.client, resource, selector()?, self.query).map(Answer::Stream);
            }
            Verb::Create => {
                let object = state.create(resource, namespace, self.json()?, Part::Main)?;
                return Ok(Answer::Document(StatusCode::CREATED, object.json.clone()));
            }
            // What is not kept may be changed to anything.
            Verb::Update | Verb::Patch if !state.keeps(resource) => self.body.clone(),
            Verb::Update => state.replace(resource, space, name, self.json()?, part)?.json.clone(),
            Verb::Patch => {
                let dialect =
                    self.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let dialect = dialect.unwrap_or_default();
                state.patch(resource, space, name, dialect, self.json()?, part)?.json.clone()
            }
            Verb::Delete => {
                let mut options = if self.body.is_empty() { Value::default() } else { self.json()? };
                if let Some(grace) = self.query.grace {
                    options = serde_json::json!({ "gracePeriodSeconds": grace });
                }
                deleted(resource, &*state.delete(resource, space, name, &options)?)
            }
        };
        Ok(Answer::Document(StatusCode::OK, body))
    }

    fn json(&self) -> Result<Value, ApiError> {
        serde_json::from_slice(self.body)
            .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))
    }

    fn observe(&self, state: &mut State, code: u16) {
        let resource: Resource = self.route.resource;
        state.observed.count(self.verb, resource, code);
        if self.verb.writes() && state.model.record_writes {
            let write = Write {
                at: time::now(),
                node: std::sync::Arc::clone(&state.clients[self.client].node),
                verb: self.verb,
                resource,
                status: self.route.status,
                namespace: self.route.namespace.unwrap_or_default().to_owned(),
                name: self.route.name.unwrap_or_default().to_owned(),
                code,
            };
            state.observed.writes.push(write);
        }
    }
}

fn respond(code: StatusCode, body: Bytes) -> Response<ApiBody> {
    let mut response = Response::new(ApiBody::Whole(Some(body)));
    *response.status_mut() = code;
    json_type(&mut response);
    response
}

fn refuse(error: &ApiError) -> Response<ApiBody> {
    let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(code, error.body());
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn json_type(response: &mut Response<ApiBody>) {
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
}
