//! A refusal on the wire: status Unknown, a text whose first word is the original's code word, and, where
//! both sides are ours, the cause itself in the status details.
//!
//! The word alone must be enough to act on: an original agent sends nothing else.

use terway_core::{cause::Cause, rpc::RpcError};

/// The original's code words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `InternalError`.
    InternalError,
    /// `InvalidArgs`.
    InvalidArgs,
    /// `InvalidDataType`.
    InvalidDataType,
    /// `PodIsProcessing`.
    PodIsProcessing,
    /// `ResourceInvalid`.
    ResourceInvalid,
    /// `OpenAPIErr`.
    OpenApiErr,
    /// `PodENINotReady`.
    PodEniNotReady,
    /// `IPNotAllocated`.
    IpNotAllocated,
    /// `OutIPOfSync`.
    OutIpOfSync,
}

const WORDS: [(&str, Word); 9] = [
    ("InternalError", Word::InternalError),
    ("InvalidArgs", Word::InvalidArgs),
    ("InvalidDataType", Word::InvalidDataType),
    ("PodIsProcessing", Word::PodIsProcessing),
    ("ResourceInvalid", Word::ResourceInvalid),
    ("OpenAPIErr", Word::OpenApiErr),
    ("PodENINotReady", Word::PodEniNotReady),
    ("IPNotAllocated", Word::IpNotAllocated),
    ("OutIPOfSync", Word::OutIpOfSync),
];

/// What the caller had better do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Ask again: it may pass by itself.
    Later,
    /// No address can be had until somebody changes something.
    NoAddress,
    /// The request itself is not acceptable.
    Rejected,
}

/// A refusal as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// First word of the text, if it is one of the known ones.
    pub word: Option<Word>,
    /// The text, word included.
    pub text: String,
    /// The cause, if the agent is ours and gave one.
    pub cause: Option<Cause>,
}

impl Refusal {
    /// Reads text and details of a status. Details that are not ours are passed over.
    pub fn read(text: &str, details: &[u8]) -> Self {
        let first = text.split(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
        Self {
            word: WORDS.iter().find(|(name, _)| *name == first).map(|(_, word)| *word),
            text: text.to_owned(),
            cause: serde_json::from_slice(details).ok(),
        }
    }

    /// Whether to ask again. The cause decides where there is one, else the word.
    pub fn outlook(&self) -> Outlook {
        match (&self.cause, self.word) {
            (
                Some(
                    Cause::NodeFull { .. }
                    | Cause::VSwitchExhausted { .. }
                    | Cause::NoVSwitch { .. }
                    | Cause::Quota { .. }
                    | Cause::Denied { .. },
                ),
                _,
            ) => Outlook::NoAddress,
            (None, Some(Word::InvalidArgs | Word::InvalidDataType)) => Outlook::Rejected,
            _ => Outlook::Later,
        }
    }
}

/// Text and details of a status for an error of the agent.
pub fn write(error: &RpcError) -> (String, Vec<u8>) {
    let details = match error {
        RpcError::NoAddress(cause) => serde_json::to_vec(cause).unwrap_or_default(),
        _ => Vec::new(),
    };
    (error.to_string(), details)
}

#[cfg(test)]
mod tests {
    use terway_core::id::PodKey;

    use super::*;

    fn pass(error: &RpcError) -> Refusal {
        let (text, details) = write(error);
        Refusal::read(&text, &details)
    }

    #[test]
    fn a_cause_arrives_as_it_was_sent() {
        let causes = [
            (Cause::NodeFull { enis: 3, max_enis: 3, addresses: 30 }, Outlook::NoAddress),
            (Cause::VSwitchExhausted { vswitches: vec!["vsw-1".into()] }, Outlook::NoAddress),
            (Cause::NoVSwitch { zone: "cn-hangzhou-i".into() }, Outlook::NoAddress),
            (Cause::Quota { code: "QuotaExceeded".into() }, Outlook::NoAddress),
            (Cause::Throttled { code: "Throttling".into(), retry_in_ms: 7 }, Outlook::Later),
            (
                Cause::Denied { action: "A".into(), code: "Forbidden".into(), message: "m".into() },
                Outlook::NoAddress,
            ),
            (Cause::CloudUnavailable { action: "A".into(), code: "500".into() }, Outlook::Later),
            (Cause::NotReady { waiting_for: "an ENI".into() }, Outlook::Later),
            (Cause::Cooling { cooling: 2, next_ms: 9 }, Outlook::Later),
            (Cause::AgentStopping { detail: "disk".into() }, Outlook::Later),
        ];
        for (cause, outlook) in causes {
            let refusal = pass(&RpcError::NoAddress(cause.clone()));
            assert!(refusal.word.is_some(), "{}", refusal.text);
            assert_eq!(refusal.outlook(), outlook, "{}", refusal.text);
            assert_eq!(refusal.cause, Some(cause));
        }
    }

    #[test]
    fn the_words_of_an_original_agent_are_understood_without_details() {
        for (name, word) in WORDS {
            assert_eq!(Refusal::read(&format!("{name}: something"), b"").word, Some(word));
        }
        assert_eq!(Refusal::read("InvalidArgs, no such mode", b"").outlook(), Outlook::Rejected);
        assert_eq!(Refusal::read("anything else", b"\x08\x02").outlook(), Outlook::Later);
        assert_eq!(Refusal::read("anything else", b"\x08\x02").word, None);
    }

    #[test]
    fn a_busy_pod_is_asked_for_again() {
        let refusal = pass(&RpcError::PodIsProcessing(PodKey::new("default", "a")));
        assert_eq!(refusal.word, Some(Word::PodIsProcessing));
        assert_eq!(refusal.outlook(), Outlook::Later);
    }
}
