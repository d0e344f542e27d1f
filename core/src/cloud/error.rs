//! What a cloud call fails with.

use std::time::Duration;

use super::{Action, RetryClass, classify};

/// An error of one cloud call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action} failed with {code}: {message} (request {request_id})")]
pub struct CloudError {
    /// The action that failed.
    pub action: Action,
    /// The cloud's code, or `Timeout` / `Unreachable` when no answer came.
    pub code: String,
    /// The cloud's message.
    pub message: String,
    /// The cloud's request id; `-` when there was no answer.
    pub request_id: String,
    /// What to do.
    pub class: RetryClass,
    /// Earliest time for another try, when the cloud said so.
    pub retry_after: Option<Duration>,
}

impl CloudError {
    /// An error with the class that the documentation gives the code.
    pub fn from_code(action: Action, code: &str, message: &str, request_id: &str) -> Self {
        Self {
            action,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: request_id.to_owned(),
            class: classify(action, code),
            retry_after: None,
        }
    }
}
