//! Instance metadata, as the host of an instance tells it under `100.100.100.200`.
//!
//! An instance is known by where its request comes from; here, where all come from one place, by the path prefix
//! `/instances/<id>`, by the header `x-terway-instance`, or by the listener. What is told, how late and how stale,
//! is the fake cloud's own metadata port; a host that does not answer is [`Silence`].

mod tree;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use terway_core::id::InstanceId;

use self::tree::Told;
use super::{Endpoint, Silence, keys::seconds};

/// Name of the header that says whose metadata is read.
const INSTANCE: &str = "x-terway-instance";
/// Name of the header that carries a token.
const TOKEN: &str = "x-aliyun-ecs-metadata-token";
/// Name of the header that says how long a token shall live, in seconds.
const TTL: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
/// Longest life of a token: six hours (documented).
const TTL_MAX: u64 = 21_600;
/// Names of the tree: the current one and the dated one that is the same.
const ROOTS: [&str; 2] = ["/latest/", "/2016-01-01/"];

/// Why nothing is told.
enum Refused {
    Silence,
    Status(StatusCode, String),
}

impl From<Silence> for Refused {
    fn from(Silence: Silence) -> Self {
        Self::Silence
    }
}

fn refuse<T>(status: StatusCode, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Status(status, message.into()))
}

impl Endpoint {
    /// One request for metadata, of the instance `only`, or of the one that the request names.
    pub async fn metadata(
        self: &Arc<Self>,
        only: Option<&InstanceId>,
        request: Request<Bytes>,
    ) -> Result<Response<Full<Bytes>>, Silence> {
        match self.tell(only, &request).await {
            Ok(Told::Text(text)) => Ok(write(StatusCode::OK, "text/plain", text)),
            Ok(Told::Json(text)) => Ok(write(StatusCode::OK, "application/json", text)),
            Err(Refused::Status(status, message)) => {
                Ok(write(status, "text/plain", format!("{} - {message}\n", status.as_u16())))
            }
            Err(Refused::Silence) => Err(Silence),
        }
    }

    async fn tell(
        self: &Arc<Self>,
        only: Option<&InstanceId>,
        request: &Request<Bytes>,
    ) -> Result<Told, Refused> {
        let (instance, path) = whose(only, request)?;
        if !self.cloud().has_instance(&instance) {
            return refuse(StatusCode::NOT_FOUND, format!("instance `{instance}` does not exist"));
        }
        let Some(path) = ROOTS.iter().find_map(|root| path.strip_prefix(root)) else {
            return refuse(StatusCode::NOT_FOUND, "Not Found: paths begin with /latest/");
        };
        if path == "api/token" {
            return self.token(&instance, request).await;
        }
        if request.method() != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed: metadata is read with GET");
        }
        self.admit(&instance, request.headers())?;
        match path
            .strip_prefix("meta-data")
            .and_then(|rest| rest.strip_prefix('/').or(rest.is_empty().then_some("")))
        {
            Some(path) => self.read(&instance, path).await,
            None if path.is_empty() => Ok(Told::Text("meta-data/".to_owned())),
            None => refuse(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    /// Gives out a token. Like every read it goes through the host, with its delays and faults.
    async fn token(
        self: &Arc<Self>,
        instance: &InstanceId,
        request: &Request<Bytes>,
    ) -> Result<Told, Refused> {
        if request.method() != Method::PUT {
            return refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed: a token is asked for with PUT",
            );
        }
        let ttl = request.headers().get(TTL).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=TTL_MAX).contains(ttl)) else {
            return refuse(StatusCode::BAD_REQUEST, format!("Bad Request: {TTL} is 1 to {TTL_MAX}"));
        };
        self.identity(instance).await?;
        Ok(Told::Text(self.keys().metadata_token(instance, seconds(self.now()) + ttl)))
    }

    /// Whether a request may read: a token that is shown must be good, in either mode.
    fn admit(&self, instance: &InstanceId, headers: &HeaderMap) -> Result<(), Refused> {
        match headers.get(TOKEN) {
            None if self.token_required.load(Relaxed) => {
                refuse(StatusCode::FORBIDDEN, format!("Forbidden: {TOKEN} is required"))
            }
            None => Ok(()),
            Some(token) => match token.to_str() {
                Ok(token) if self.keys().admits(instance, token, self.now()) => Ok(()),
                _ => refuse(StatusCode::UNAUTHORIZED, "Unauthorized: the token is not valid"),
            },
        }
    }
}

/// Whose metadata a request reads, and the rest of its path.
fn whose<'a>(
    only: Option<&InstanceId>,
    request: &'a Request<Bytes>,
) -> Result<(InstanceId, &'a str), Refused> {
    let path = request.uri().path();
    let named =
        path.strip_prefix("/instances/").map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
    let header = request.headers().get(INSTANCE).and_then(|value| value.to_str().ok());
    match (only, named, header) {
        (Some(only), None, _) => Ok((only.clone(), path)),
        (Some(only), Some((id, rest)), _) if only.as_str() == id => Ok((only.clone(), rest)),
        (Some(_), Some(_), _) => {
            refuse(StatusCode::NOT_FOUND, "Not Found: this listener serves another instance")
        }
        (None, Some((id, rest)), _) => Ok((id.into(), rest)),
        (None, None, Some(id)) => Ok((id.into(), path)),
        (None, None, None) => {
            let message = format!("Bad Request: whose? Give {INSTANCE}, or /instances/<id> before the path");
            refuse(StatusCode::BAD_REQUEST, message)
        }
    }
}

fn write(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
