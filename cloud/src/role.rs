//! Credentials of the RAM role that an instance has, from its metadata.
//!
//! They live for hours and are renewed before they end. While the old ones live nobody waits for new ones,
//! and a service that is away for a while costs nothing but a warning.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde::Deserialize;
use terway_core::time::Clock;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    credentials::{Credentials, CredentialsError, CredentialsProvider, check},
    http::chain,
    lenient::Text,
    metadata::{MetadataClient, ReadError},
    secret::Secret,
};

const ROLES: &str = "ram/security-credentials/";
/// How long before their end credentials are renewed: the service has new ones half an hour before.
const AHEAD: Duration = Duration::from_secs(600);
/// Pause between renewals that failed, or that gave what is about to end.
const PAUSE: Duration = Duration::from_secs(30);

/// Credentials of the instance's role.
pub struct RoleCredentials {
    metadata: Arc<MetadataClient>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// One renewal at a time. Who drops it in the middle gives the turn back.
    turn: Semaphore,
}

#[derive(Default)]
struct Held {
    current: Option<Current>,
    role: Option<String>,
}

#[derive(Clone)]
struct Current {
    credentials: Arc<Credentials>,
    renew: Instant,
    /// By the monotonic clock, reckoned once: a step of the wall clock ends nothing.
    ends: Option<Instant>,
}

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleCredentials").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// What the service tells of a role.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Reply {
    code: Text,
    access_key_id: Text,
    access_key_secret: Text,
    security_token: Text,
    expiration: Text,
}

impl RoleCredentials {
    /// Credentials of the role of the instance whose metadata this is.
    pub fn new(metadata: Arc<MetadataClient>, clock: Arc<dyn Clock>) -> Self {
        Self { metadata, clock, held: Mutex::default(), turn: Semaphore::new(1) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those at hand if they live, and whether it is time for new ones.
    fn living(&self) -> Option<(Current, bool)> {
        let now = Instant::now();
        let current = self.held().current.clone()?;
        let lives = current.ends.is_none_or(|ends| ends > now);
        let due = current.renew <= now;
        lives.then_some((current, due))
    }

    async fn fetch(&self) -> Result<Current, CredentialsError> {
        let roles = self.metadata.read(ROLES).await.map_err(|error| match error {
            error if error.not_found() => refusal("the instance has no RAM role".to_owned()),
            error => unread(&error),
        })?;
        let Some(role) = roles.lines().map(str::trim).find(|role| !role.is_empty()) else {
            return Err(refusal("the instance has no RAM role".to_owned()));
        };
        let text = self.metadata.read(&format!("{ROLES}{role}")).await.map_err(|error| unread(&error))?;
        // What the parser says may quote the text, which has the secret.
        let reply: Reply = serde_json::from_str(&text)
            .map_err(|_| refusal(format!("the credentials of role `{role}` are not JSON")))?;
        if !reply.code.0.eq_ignore_ascii_case("success") {
            return Err(CredentialsError::Role {
                reason: format!("the credentials of role `{role}` have the code `{}`", reply.code.0),
                transient: true,
            });
        }
        let ends: SystemTime =
            reply.expiration.0.parse::<jiff::Timestamp>().map(Into::into).map_err(|_| {
                let reason =
                    format!("`Expiration` of role `{role}` is `{}`, not a time in UTC", reply.expiration.0);
                refusal(reason)
            })?;
        let credentials = Credentials {
            key_id: reply.access_key_id.0,
            secret: Secret::new(reply.access_key_secret.0),
            token: Some(Secret::new(reply.security_token.0)),
            expires: Some(ends),
        };
        check("RAM role of the instance", ["AccessKeyId", "AccessKeySecret", "SecurityToken"], &credentials)?;
        let now = Instant::now();
        let left = ends.duration_since(self.clock.now()).unwrap_or_default();
        self.held().role = Some(role.to_owned());
        Ok(Current {
            credentials: Arc::new(credentials),
            renew: now + left.saturating_sub(AHEAD).max(PAUSE),
            // A clock that is hours ahead is the cloud's to complain of; it says so in other words.
            ends: (!left.is_zero()).then(|| now + left),
        })
    }

    /// Renews what is due, in one's turn. Whoever waited for it finds it done.
    async fn renew(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let _turn = self.turn.acquire().await.expect("nobody closes the semaphore");
        if let Some((current, false)) = self.living() {
            return Ok(current.credentials);
        }
        match self.fetch().await {
            Ok(current) => {
                let credentials = current.credentials.clone();
                tracing::info!(key_id = credentials.key_id, "new credentials of the instance's role");
                self.held().current = Some(current);
                Ok(credentials)
            }
            Err(error) => {
                let living = self.living();
                if let Some(current) = &mut self.held().current {
                    current.renew = Instant::now() + PAUSE;
                }
                let Some((current, _)) = living else { return Err(error) };
                tracing::warn!(%error, "the role's credentials can not be renewed; the old ones are used");
                Ok(current.credentials)
            }
        }
    }
}

fn refusal(reason: String) -> CredentialsError {
    CredentialsError::Role { reason, transient: false }
}

fn unread(error: &ReadError) -> CredentialsError {
    CredentialsError::Role { reason: chain(error), transient: error.transient() }
}

#[async_trait]
impl CredentialsProvider for RoleCredentials {
    async fn credentials(&self) -> Result<Arc<Credentials>, CredentialsError> {
        match self.living() {
            Some((current, false)) => Ok(current.credentials),
            // Somebody else is at it, and these still live.
            Some((current, true)) if self.turn.available_permits() == 0 => Ok(current.credentials),
            _ => self.renew().await,
        }
    }

    fn expired(&self, seen: &Credentials) {
        let mut held = self.held();
        if held.current.as_ref().is_some_and(|current| current.credentials.key_id == seen.key_id) {
            held.current = None;
        }
    }

    fn origin(&self) -> String {
        match &self.held().role {
            Some(role) => format!("RAM role `{role}` of the instance"),
            None => "RAM role of the instance".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
