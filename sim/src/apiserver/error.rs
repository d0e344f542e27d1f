//! Refusals: an HTTP code with the `Status` object that clients parse.

use bytes::Bytes;
use serde_json::json;
use thiserror::Error;

/// A request that the server refused; the simulator's own calls return it
/// too, so that it can tell "already there" from "not there".
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{reason} ({code}): {message}")]
pub struct ApiError {
    /// HTTP code.
    pub code: u16,
    /// Kubernetes' machine-readable reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Seconds that the client should wait.
    pub retry_after: Option<u32>,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), retry_after: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn not_found(plural: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{plural} \"{name}\" not found"))
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(404, "NotFound", format!("the server could not find the requested resource {path}"))
    }

    pub(super) fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(405, "MethodNotAllowed", message)
    }

    pub(super) fn already_exists(plural: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{plural} \"{name}\" already exists"))
    }

    pub(super) fn conflict(plural: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {plural} \"{name}\": {why}");
        Self::new(409, "Conflict", message)
    }

    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    pub(super) fn unsupported_patch(kind: &str) -> Self {
        Self::new(415, "UnsupportedMediaType", format!("the patch type `{kind}` is not supported"))
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    pub(super) fn throttled() -> Self {
        let message = "the server has received too many requests and has asked us to try again later";
        Self { retry_after: Some(1), ..Self::new(429, "TooManyRequests", message) }
    }

    pub(super) fn unavailable() -> Self {
        Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")
    }

    pub(super) fn version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self { retry_after: Some(1), ..Self::new(504, "Timeout", message) }
    }

    /// The `Status` object.
    pub(super) fn body(&self) -> Bytes {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(seconds) = self.retry_after {
            status["details"] = json!({ "retryAfterSeconds": seconds });
        }
        Bytes::from(status.to_string())
    }
}
