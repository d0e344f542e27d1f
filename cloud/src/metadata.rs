//! The metadata service of an ECS instance, and on it the port [`Metadata`].
//!
//! Instances may demand a token (the hardened mode); one is fetched in any case and used where the
//! service knows of tokens, so that turning the mode on needs nothing here.

mod nic;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use terway_core::metadata::{InstanceIdentity, Metadata, MetadataError, NicMetadata};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    http::{Http, HttpError, chain},
    secret::Secret,
};

/// Where every instance finds it.
pub const DEFAULT_BASE: &str = "http://100.100.100.200";
const TOKEN_PATH: &str = "latest/api/token";
const TOKEN_TTL: &str = "X-aliyun-ecs-metadata-token-ttl-seconds";
const TOKEN: &str = "X-aliyun-ecs-metadata-token";
/// How long a token is asked to live: the longest that the service gives.
const TOKEN_LIVES: Duration = Duration::from_secs(21_600);
/// The service is on the host; whoever waits longer than this waits in vain.
const TRY: Duration = Duration::from_secs(2);
/// Further tries, the first pause between them and its growth, as the vendor's own agents have them.
const RETRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
const GROWTH: f64 = 1.2;

/// A read that gave no text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No reply.
    #[error("{url} gives no answer")]
    Silent {
        /// What was read.
        url: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// No reply in time.
    #[error("{url} gives no answer within {} s", TRY.as_secs())]
    Late {
        /// What was read.
        url: String,
    },
    /// A reply without the text.
    #[error("{url} answers {status}")]
    Status {
        /// What was read.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The URL is none.
    #[error("{url} can not be asked for")]
    Url {
        /// What was to be read.
        url: String,
        /// Why not.
        #[source]
        source: http::Error,
    },
}

impl ReadError {
    /// Whether there is no such thing.
    pub fn not_found(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::NOT_FOUND, .. })
    }

    /// Whether another try may help.
    pub fn transient(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Late { .. } => true,
            Self::Status { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Url { .. } => false,
        }
    }
}

/// What is known of tokens.
#[derive(Clone)]
struct Token {
    /// None where the service knows no tokens.
    value: Option<Secret>,
    renew: Instant,
}

/// Reads metadata.
pub struct MetadataClient {
    http: Arc<dyn Http>,
    base: String,
    token: Mutex<Option<Token>>,
}

impl fmt::Debug for MetadataClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl MetadataClient {
    /// A client of the service at `base`, which may have a path: [`DEFAULT_BASE`] on an instance.
    pub fn new(http: Arc<dyn Http>, base: &str) -> Self {
        let base = base.trim().trim_end_matches('/');
        let scheme = if base.contains("://") { "" } else { "http://" };
        Self { http, base: format!("{scheme}{base}"), token: Mutex::default() }
    }

    /// The text of `latest/meta-data/<path>`.
    pub async fn read(&self, path: &str) -> Result<String, ReadError> {
        let url = format!("{}/latest/meta-data/{path}", self.base);
        let reply = self.get(&url).await?;
        Ok(String::from_utf8_lossy(reply.body()).trim().to_owned())
    }

    /// The same, none if there is no such thing.
    pub async fn find(&self, path: &str) -> Result<Option<String>, ReadError> {
        match self.read(path).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, url: &str) -> Result<Response<Bytes>, ReadError> {
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let header = token.value.as_ref().map(|token| (TOKEN, token.expose()));
            match self.ask(Method::GET, url, header).await {
                Err(ReadError::Status {
                    status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, ..
                }) if !renewed => {
                    renewed = true;
                    self.drop_token();
                }
                result => return result,
            }
        }
    }

    async fn token(&self) -> Result<Token, ReadError> {
        let now = Instant::now();
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.renew > now) {
            return Ok(known);
        }
        let url = format!("{}/{TOKEN_PATH}", self.base);
        let lives = TOKEN_LIVES.as_secs().to_string();
        let value = match self.ask(Method::PUT, &url, Some((TOKEN_TTL, &lives))).await {
            Ok(reply) => Some(Secret::new(String::from_utf8_lossy(reply.body()).trim())),
            Err(ReadError::Status {
                status: StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, ..
            }) => None,
            Err(error) => return Err(error),
        };
        let token = Token { value, renew: now + TOKEN_LIVES / 2 };
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn drop_token(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Response<Bytes>, ReadError> {
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            let result = self.once(method.clone(), url, header).await;
            match result {
                Err(error) if error.transient() && tries < RETRIES => {
                    tracing::debug!(error = chain(&error), tries, "metadata will be read again");
                    sleep(pause).await;
                    pause = pause.mul_f64(GROWTH);
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        url: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Response<Bytes>, ReadError> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::new());
        let request = request.map_err(|source| ReadError::Url { url: url.to_owned(), source })?;
        match timeout(TRY, self.http.send(request)).await {
            Err(_) => Err(ReadError::Late { url: url.to_owned() }),
            Ok(Err(source)) => Err(ReadError::Silent { url: url.to_owned(), source }),
            Ok(Ok(reply)) if reply.status().is_success() => Ok(reply),
            Ok(Ok(reply)) => Err(ReadError::Status { url: url.to_owned(), status: reply.status() }),
        }
    }
}

/// The error of the port.
fn unavailable(path: &'static str) -> impl Fn(ReadError) -> MetadataError {
    move |error| MetadataError { path, reason: chain(&error) }
}

#[async_trait]
impl Metadata for MetadataClient {
    async fn identity(&self) -> Result<InstanceIdentity, MetadataError> {
        let read = async |path: &'static str| {
            let text = self.read(path).await.map_err(unavailable(path))?;
            if text.is_empty() {
                return Err(MetadataError { path, reason: "it is empty".to_owned() });
            }
            Ok(text)
        };
        Ok(InstanceIdentity {
            instance: read("instance-id").await?.into(),
            instance_type: read("instance/instance-type").await?.into(),
            region: read("region-id").await?.into(),
            zone: read("zone-id").await?.into(),
            vpc: read("vpc-id").await?.into(),
        })
    }

    async fn interfaces(&self) -> Result<Vec<NicMetadata>, MetadataError> {
        self.nics().await
    }
}

#[cfg(test)]
mod tests;
