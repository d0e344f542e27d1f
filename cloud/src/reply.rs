//! From bytes to typed results and errors. Pure.
//!
//! What is not essential may be missing, empty, or of another type: see [`crate::lenient`]. What is
//! essential and missing is an error that names the field; a row is never left out in silence, for who
//! is not told of an ENI takes it to be gone.

mod eni;
mod vpc;

use std::{borrow::Cow, fmt::Display, str::FromStr};

use serde::Deserialize;
use terway_core::cloud::{Action, CloudError, RetryClass};

pub use self::{
    eni::{assign_ipv4, assign_ipv6, create_eni, describe_enis, describe_instance_type},
    vpc::{
        create_route_entry, describe_route_entries, describe_route_tables, describe_security_groups,
        describe_vswitches,
    },
};
use crate::lenient::{Flag, Text};

/// Code of a reply that lacks something essential.
pub const INVALID_REPLY: &str = "InvalidReply";
/// Request id of what has none.
const NO_ID: &str = "-";

/// A reply that is no result.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not from the API at all, perhaps from something between.
    #[error("the body is not the JSON of a reply ({reason}): {start}")]
    NotJson {
        /// What the parser says.
        reason: String,
        /// How the body begins.
        start: String,
    },
    /// An essential field is missing.
    #[error("`{field}` is missing in the reply")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field with a value that means nothing.
    #[error("`{field}` is `{value}` in the reply; allowed is {allowed}")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// A create call that says of itself that it made nothing.
    #[error("nothing was created: `{field}` is empty in the reply")]
    NothingCreated {
        /// The id that is empty.
        field: &'static str,
    },
    /// The reply says that the call was refused.
    #[error("{code}: {message}")]
    Refused {
        /// `Code`
        code: String,
        /// `Message`
        message: String,
    },
}

impl DecodeError {
    /// The error of the call. What could not be read may have been applied.
    pub fn of_call(self, action: Action, body: &[u8]) -> CloudError {
        let id = serde_json::from_slice::<Envelope>(body).unwrap_or_default().request_id;
        let id = id.some().unwrap_or(NO_ID);
        match self {
            Self::Refused { code, message } => CloudError::from_code(action, &code, &message, id),
            Self::NotJson { .. } => CloudError::from_code(action, "Unreachable", &self.to_string(), id),
            _ => CloudError {
                class: RetryClass::Transient,
                ..CloudError::from_code(action, INVALID_REPLY, &self.to_string(), id)
            },
        }
    }
}

/// What every reply has, and every refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Envelope {
    request_id: Text,
    code: Text,
    message: Text,
    success: Flag,
}

impl Envelope {
    /// Some list actions say by a code that all is well, and may say so with status 200 that it is not.
    fn check(&self) -> Result<(), DecodeError> {
        let fine = |code: &&str| ["200", "ok", "success"].iter().any(|is| code.eq_ignore_ascii_case(is));
        let code = match self.code.some() {
            Some(code) if !fine(&code) => code,
            _ if self.success.0 == Some(false) => "Unsuccessful",
            _ => return Ok(()),
        };
        Err(DecodeError::Refused { code: code.to_owned(), message: self.message.0.clone() })
    }
}

/// The result of an action that has none but that it was done.
pub fn done(body: &[u8]) -> Result<(), DecodeError> {
    parse::<Envelope>(body)?.check()
}

/// The error in a reply with a status of failure.
pub fn failure(action: Action, status: u16, body: &[u8]) -> CloudError {
    let envelope: Envelope = match parse(body) {
        Ok(envelope) => envelope,
        Err(error) => {
            return CloudError::from_code(action, "Unreachable", &format!("HTTP {status}: {error}"), NO_ID);
        }
    };
    let code = match (envelope.code.some(), status) {
        (Some(code), _) => Cow::from(code),
        (None, 429) => "Throttling".into(),
        (None, 503) => "ServiceUnavailable".into(),
        (None, 500..) => "InternalError".into(),
        (None, _) => format!("Http.{status}").into(),
    };
    let id = envelope.request_id.some().unwrap_or(NO_ID);
    CloudError::from_code(action, &code, &envelope.message.0, id)
}

/// Parses an object; the schema forgives everything else.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    let not_json = |reason: String| {
        let start: String = String::from_utf8_lossy(&body[..body.len().min(320)]).chars().take(80).collect();
        DecodeError::NotJson { reason, start: format!("{start:?}") }
    };
    // An array would read as a struct by position.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(not_json("it is no object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| not_json(error.to_string()))
}

/// A text that must be there.
fn essential<'a>(field: &'static str, text: &'a Text) -> Result<&'a str, DecodeError> {
    text.some().ok_or(DecodeError::Missing { field })
}

/// A text that reads as `T`.
fn read<T: FromStr>(field: &'static str, text: &str, allowed: &'static str) -> Result<T, DecodeError> {
    text.trim().parse().map_err(|_| invalid(field, text, allowed))
}

fn invalid(field: &'static str, value: impl Display, allowed: &'static str) -> DecodeError {
    DecodeError::Invalid { field, value: value.to_string().chars().take(100).collect(), allowed }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
