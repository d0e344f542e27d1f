//! The fake cloud over HTTP: ECS, VPC and instance metadata, as the vendor serves them.
//!
//! State is [`FakeCloud`]'s: the very quotas, buckets, lag and faults of the fleet profile. Here is only what lies
//! between a request and a call: who calls ([`auth`], [`keys`]), what is asked ([`params`], `action`), how it is
//! told ([`fault`]). An answer that the cloud loses is no answer: [`Silence`], and the server closes the connection.
//!
//! - [`serve`](mod@serve): an HTTP/1.1 server over any kind of connections, real ones or those of a simulated network.
//! - `metadata`: what an instance reads about itself.
//! - [`control`]: what people do to the cloud from outside; [`events`]: what they watch.
//! - [`topology`]: what is in the cloud to begin with.
//!
//! # Determinism
//!
//! Time is the cloud's and the clock that is given, request ids are drawn from the cloud's seed, and nothing here
//! iterates over unordered maps: under a paused clock, equal requests get equal answers.

mod action;
pub mod auth;
pub mod control;
pub mod events;
pub mod fault;
pub mod keys;
mod metadata;
pub mod params;
mod reply;
pub mod serve;
pub mod topology;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use rand_chacha::{ChaCha8Rng, rand_core::Rng as _};
use terway_core::{
    cloud::{Action, Product},
    time::Clock,
};

pub use self::keys::{AccessKey, Caller, Keys};
use self::{
    action::{Call, Refused},
    auth::{Nonces, Signed},
    fault::Fault,
    params::Params,
};
use crate::cloud::FakeCloud;

/// No answer will come: the connection is to be closed without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is lost")]
pub struct Silence;

/// An account's endpoint.
pub struct Endpoint {
    cloud: Arc<FakeCloud>,
    keys: Keys,
    nonces: Mutex<Nonces>,
    clock: Arc<dyn Clock>,
    /// Draws of request ids.
    ids: Mutex<ChaCha8Rng>,
    /// Metadata is told only to those who show a token.
    token_required: AtomicBool,
}

impl Endpoint {
    /// The endpoint of an account.
    pub fn new(cloud: Arc<FakeCloud>, keys: Keys, clock: Arc<dyn Clock>) -> Arc<Self> {
        let ids = terway_chaos::draw::stream(cloud.seed(), "endpoint", "request-ids");
        Arc::new(Self {
            cloud,
            keys,
            nonces: Mutex::default(),
            clock,
            ids: Mutex::new(ids),
            token_required: AtomicBool::new(false),
        })
    }

    /// The account.
    pub fn cloud(&self) -> &Arc<FakeCloud> {
        &self.cloud
    }

    /// The account's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether metadata is told only to those who show a token (the hardened mode of an instance); at first it is
    /// not.
    pub fn require_metadata_token(&self, required: bool) {
        self.token_required.store(required, Relaxed);
    }

    /// One request of the OpenAPI, of ECS or of VPC, to its answer.
    pub async fn openapi(
        self: &Arc<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<Full<Bytes>>, Silence> {
        let id = self.request_id();
        let asked = Asked::read(&request);
        let product = asked.as_ref().map_or(Product::Ecs, |asked| asked.action.product());
        let answer = match asked {
            Ok(asked) => self.answer(&request, asked).await,
            Err(fault) => Err(fault.into()),
        };
        match answer {
            Ok(result) => Ok(reply::success(result, &id)),
            Err(Refused::Fault(fault)) => {
                Ok(reply::refusal(&fault, &id, product, &self.cloud.place().region))
            }
            Err(Refused::Silence) => Err(Silence),
        }
    }

    async fn answer(self: &Arc<Self>, request: &Request<Bytes>, asked: Asked) -> action::Answer {
        let Asked { action, mut params } = asked;
        let signed = Signed {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            body: request.body(),
        };
        let caller = auth::verify(&signed, &mut params, &self.keys, &self.nonces, self.now())?;
        params.drop_convention()?;
        let caller = match caller {
            Caller::Operator => None,
            Caller::Instance(id) => Some(id),
        };
        action::perform(action, Call { endpoint: self, caller, place: self.cloud.place(), params }).await
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// As the fake cloud makes them.
    fn request_id(&self) -> String {
        format!("{:016X}", self.ids.lock().expect("drawing does not panic").next_u64())
    }
}

/// What a request asks for.
struct Asked {
    action: Action,
    params: Params,
}

impl Asked {
    fn read(request: &Request<Bytes>) -> Result<Self, Fault> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            let message = format!("This http method {} is not supported: GET or POST is.", request.method());
            return Err(Fault::new("UnsupportedHTTPMethod", message));
        }
        if request.uri().path() != "/" {
            return Err(not_found());
        }
        let query = request.uri().query().unwrap_or_default();
        let form: &[u8] = if request.body().is_empty() { b"" } else { form(request)? };
        let params = Params::parse(query, form)?;
        // In headers with signature V3, in parameters with the older one.
        let told = |header: &str, name: &str| {
            text(request.headers(), header).or_else(|| params.peek(name)).ok_or_else(|| Fault::missing(name))
        };
        let (version, name) = (told("x-acs-version", "Version")?, told("x-acs-action", "Action")?);
        let product = [Product::Ecs, Product::Vpc].into_iter().find(|product| product.version() == version);
        let product = product
            .ok_or_else(|| Fault::new("InvalidVersion", "Specified parameter Version is not valid."))?;
        let action =
            Action::parse(name).filter(|action| action.product() == product).ok_or_else(not_found)?;
        Ok(Self { action, params })
    }
}

fn not_found() -> Fault {
    Fault::new("InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
}

/// A body has to be a form: RPC-style actions take nothing else.
fn form(request: &Request<Bytes>) -> Result<&[u8], Fault> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let kind = text(request.headers(), "content-type").unwrap_or_default();
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM)) {
        return Ok(request.body());
    }
    Err(Fault::invalid("Content-Type", kind, FORM))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
