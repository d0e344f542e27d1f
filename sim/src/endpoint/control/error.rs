//! Why the control API does not do something.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use terway_chaos::InputError;
use terway_core::{cloud::EniStatus, id::EniId};

use crate::cloud::SetupError;

/// A refusal of the control API.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nothing is there.
    #[error(
        "`{0}` is no path of the control API; it has state, counters, events, faults, instances, enis, vswitches"
    )]
    NoPath(String),
    /// The path takes another method.
    #[error("{method} is not taken here; {allowed} is")]
    Method {
        /// As sent.
        method: Method,
        /// What is taken.
        allowed: Method,
    },
    /// The body can not be read.
    #[error("the body is not JSON that can be used: {0}")]
    NotJson(String),
    /// A field of the body.
    #[error(transparent)]
    Input(#[from] InputError),
    /// What the path names does not exist.
    #[error("{what} `{id}` does not exist")]
    NotFound {
        /// A kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The cloud can not be so.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The ENI is in a state in which this can not be done.
    #[error("`{eni}` is {state:?}; allowed: {allowed}")]
    State {
        /// The ENI.
        eni: EniId,
        /// Its state.
        state: EniStatus,
        /// In which it can.
        allowed: &'static str,
    },
}

impl ControlError {
    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoPath(_) | Self::NotFound { .. } | Self::Setup(SetupError::NoVSwitch(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson(_) | Self::Input(_) | Self::Setup(SetupError::UnknownType { .. }) => {
                StatusCode::BAD_REQUEST
            }
            Self::Setup(_) | Self::State { .. } => StatusCode::CONFLICT,
        }
    }

    /// As JSON: `error`, and `field` and `allowed` where one field is to blame.
    pub fn tell(&self) -> Value {
        let mut told = json!({ "error": self.to_string() });
        if let Self::Input(
            InputError::UnknownKey { field, allowed, .. }
            | InputError::Missing { field, allowed }
            | InputError::Value { field, allowed, .. },
        ) = self
        {
            told["field"] = Value::from(field.as_str());
            told["allowed"] = Value::from(allowed.as_str());
        }
        told
    }
}

/// JSON as the values that scenarios are read from, so that complaints are alike. TOML has no null and no number
/// beyond 64 bits.
pub(super) fn json(body: &[u8]) -> Result<toml::Value, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::NotJson(error.to_string()))
}
