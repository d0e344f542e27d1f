//! The error object of CNI and its codes.
//!
//! Runtimes print message and details into the pod's event and do nothing by the code, so the message is
//! what an operator reads. Code 3 is never used: it tells a runtime that there is nothing to clean up, and
//! may cancel the DEL that frees an address.

use serde::Serialize;
use terway_rpc::{client::CallError, interface::InvalidAnswer, refusal::Outlook};

use crate::{
    agent::AgentError,
    config::ConfigError,
    env::EnvError,
    lock::LockError,
    result::{ResultError, Version},
};

/// Codes that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The configuration is of a CNI version that we do not speak.
    IncompatibleVersion,
    /// A field of the configuration is refused.
    UnsupportedField,
    /// The environment is invalid.
    InvalidEnvironment,
    /// Reading or writing failed.
    Io,
    /// Something does not decode.
    Decode,
    /// The network configuration is invalid.
    InvalidConfig,
    /// It may go better later.
    TryAgainLater,
    /// STATUS: no ADD can be served.
    NotAvailable,
    /// STATUS: no ADD can be served, and running pods may suffer.
    Impaired,
    /// A fault of ours.
    Internal,
    /// No address can be had until somebody changes something.
    NoAddress,
    /// The pod, or its kind of network, is refused.
    Refused,
    /// CHECK: the pod's network is not as it was made.
    Differs,
}

impl Code {
    /// The number.
    pub fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
            Self::Impaired => 51,
            Self::Internal => 100,
            Self::NoAddress => 101,
            Self::Refused => 102,
            Self::Differs => 103,
        }
    }
}

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{msg}{}{details}", if details.is_empty() { "" } else { ": " })]
pub struct Failure {
    /// What a machine may look at.
    pub code: Code,
    /// What was tried, on what, why it failed.
    pub msg: String,
    /// More of it; may be empty.
    pub details: String,
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(rename = "cniVersion")]
    version: &'static str,
    code: u32,
    msg: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    details: &'a str,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// A fault of ours.
    pub fn internal(msg: impl Into<String>) -> Self {
        Self::new(Code::Internal, msg)
    }

    /// The same with details.
    #[must_use]
    pub fn with(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// The same with what was being done in front.
    #[must_use]
    pub fn during(self, attempt: &str) -> Self {
        Self { msg: format!("{attempt}: {}", self.msg), ..self }
    }

    /// The same without the words that make runtimes take a failed DEL for a success: go-cni swallows errors
    /// with `not found`, and with `no such file or directory` where the namespace is gone.
    #[must_use]
    pub fn audible(self) -> Self {
        let spell = |text: String| {
            let text = replace(&text, "not found", "absent");
            replace(&text, "no such file or directory", "the path does not exist")
        };
        Self { code: self.code, msg: spell(self.msg), details: spell(self.details) }
    }

    /// The JSON object.
    pub fn json(&self, version: Version) -> String {
        let object = Object {
            version: version.as_str(),
            code: self.code.number(),
            msg: &self.msg,
            details: &self.details,
        };
        serde_json::to_string(&object).expect("texts and a number are always JSON")
    }
}

/// Replaces an ASCII phrase whatever its case.
fn replace(text: &str, phrase: &str, by: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in lower.match_indices(phrase) {
        out.push_str(&text[from..at]);
        out.push_str(by);
        from = at + phrase.len();
    }
    out.push_str(&text[from..]);
    out
}

impl From<EnvError> for Failure {
    fn from(error: EnvError) -> Self {
        Self::new(Code::InvalidEnvironment, error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let code = match &error {
            ConfigError::Unreadable(_) => Code::Io,
            ConfigError::Malformed(_) | ConfigError::Long | ConfigError::PrevResult(_) => Code::Decode,
            ConfigError::Version { .. } => Code::IncompatibleVersion,
            ConfigError::Refused { .. } => Code::UnsupportedField,
            ConfigError::Name { .. } | ConfigError::Missing { .. } => Code::InvalidConfig,
        };
        let details = match &error {
            ConfigError::Version { .. } => format!("supported versions: {}", Version::names().join(", ")),
            _ => String::new(),
        };
        Self::new(code, error.to_string()).with(details)
    }
}

impl From<ResultError> for Failure {
    fn from(error: ResultError) -> Self {
        ConfigError::PrevResult(error).into()
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::new(Code::TryAgainLater, error.to_string())
    }
}

impl From<InvalidAnswer> for Failure {
    fn from(error: InvalidAnswer) -> Self {
        let code = match error {
            InvalidAnswer::Unsupported { .. } => Code::Refused,
            _ => Code::Decode,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let code = match &error {
            AgentError::Runtime(_) => Code::Internal,
            AgentError::Call { source: CallError::Decode { .. } } => Code::Decode,
            AgentError::Call { source: CallError::Refused(refusal) } => match refusal.outlook() {
                Outlook::Later => Code::TryAgainLater,
                Outlook::NoAddress => Code::NoAddress,
                Outlook::Rejected => Code::Refused,
            },
            AgentError::Unreachable { .. } | AgentError::Deadline { .. } | AgentError::Call { .. } => {
                Code::TryAgainLater
            }
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_runtimes_swallow_are_spelt_otherwise() {
        let failure = Failure::new(Code::Io, "cannot open x: No such file or directory (os error 2)")
            .with("ENI Not Found; not found é")
            .audible();
        assert_eq!(failure.msg, "cannot open x: the path does not exist (os error 2)");
        assert_eq!(failure.details, "ENI absent; absent é");
    }

    #[test]
    fn the_object_has_what_the_specification_asks_for() {
        let failure = Failure::new(Code::TryAgainLater, "busy \"now\"").with("more");
        assert_eq!(
            failure.json(Version::V1_1_0),
            r#"{"cniVersion":"1.1.0","code":11,"msg":"busy \"now\"","details":"more"}"#
        );
        let failure = Failure::new(Code::NotAvailable, "down");
        assert_eq!(failure.json(Version::V0_4_0), r#"{"cniVersion":"0.4.0","code":50,"msg":"down"}"#);
    }
}
