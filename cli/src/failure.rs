//! What went wrong, and what to do about it: the text and the exit code.

use std::time::Duration;

use terway_cloud::client::NO_CREDENTIALS;
use terway_core::cloud::{CloudError, RetryClass};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What the user wrote, or did not write.
    #[error("{0}")]
    Input(String),
    /// The API server's answer, or that there was none.
    #[error("{0}")]
    Cluster(String),
    /// What is pinned on this node, or that nothing is.
    #[error("{0}")]
    Node(String),
    /// Policies are not as expected.
    #[error("{failed} of {all} expectations are not met")]
    Unmet {
        /// How many are not.
        failed: usize,
        /// How many there are.
        all: usize,
    },
    /// The cloud's answer.
    #[error("{0}")]
    Cloud(#[from] CloudError),
    /// The cloud said yes, and did not get there in the time that was given.
    #[error("{what} is still {state} after {} s", waited.as_secs())]
    Late {
        /// The object.
        what: String,
        /// Its state, as last seen.
        state: String,
        /// For how long it was watched.
        waited: Duration,
    },
    /// The cloud said yes, and went back.
    #[error("{what} is {state} again: the cloud could not {action} it")]
    Undone {
        /// The object.
        what: String,
        /// Its state.
        state: String,
        /// What was asked for.
        action: &'static str,
    },
}

impl Failure {
    /// Bad input.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            // Without the cluster there is nothing to judge: a CI must not take it for a policy that fails.
            Self::Input(_) | Self::Cluster(_) | Self::Node(_) => 2,
            // No key is something to be given, not something that the cloud said.
            Self::Cloud(error) if error.code == NO_CREDENTIALS => 2,
            Self::Cloud(_) | Self::Late { .. } | Self::Undone { .. } | Self::Unmet { .. } => 1,
        }
    }

    /// What is printed.
    pub(crate) fn text(&self) -> String {
        let hint = match self {
            Self::Input(_) | Self::Cluster(_) | Self::Node(_) | Self::Unmet { .. } => {
                return format!("error: {self}\n");
            }
            Self::Cloud(error) if error.code == NO_CREDENTIALS => {
                return format!(
                    "error: {}\nhint: `terway-cli cloud whoami --help` tells where keys may come from\n",
                    error.message
                );
            }
            Self::Cloud(error) => {
                // Without a request id nobody has answered.
                let how = if error.request_id == "-" { "got no answer" } else { "was refused" };
                return format!(
                    "error: {} {how}: {}\n  code:    {}\n  request: {}\nhint: {}\n",
                    error.action,
                    error.message,
                    error.code,
                    error.request_id,
                    advice(error)
                );
            }
            Self::Late { .. } => {
                "the change goes on without us; look again with describe-enis, or give a longer --wait-for"
            }
            Self::Undone { .. } => {
                "look at zone, VPC and state of the instance: they must fit those of the ENI, and it must run or be stopped"
            }
        };
        format!("error: {self}\nhint: {hint}\n")
    }
}

fn advice(error: &CloudError) -> String {
    let advice = match error.class {
        RetryClass::Throttled => "too many calls of this kind in the account; try again in a minute",
        RetryClass::Transient => {
            "the cloud or the way to it is in trouble and the call may have been applied: look before you try again, \
             and give a create or assign the same --client-token"
        }
        RetryClass::Converge => {
            "things are not as the call assumes; look with describe-enis or describe-route-entries first"
        }
        RetryClass::VSwitchExhausted => "the vSwitch has no free addresses; use another one of the zone",
        RetryClass::Quota => {
            "a quota of instance, account, security group or route table is met; free something or raise it"
        }
        RetryClass::AlreadyDone => "there is nothing to do: it is so already",
        RetryClass::Fatal => match error.code.as_str() {
            code if code.starts_with("Forbidden") => {
                "the key lacks a permission; docs/credentials.md has the policy with all that are needed"
            }
            "SignatureDoesNotMatch" | "InvalidAccessKeyId.NotFound" => {
                "the key is wrong; `terway-cli cloud whoami` tells where it comes from"
            }
            _ => "it will be refused again until the request or the configuration changes",
        },
    };
    match error.retry_after {
        Some(time) => format!("{advice}; the cloud asks to wait {} s", time.as_secs()),
        None => advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use terway_core::cloud::Action;

    use super::*;

    fn refused(code: &str) -> Failure {
        CloudError::from_code(Action::CreateNetworkInterface, code, "because", "r-1").into()
    }

    #[test]
    fn a_refusal_tells_code_message_request_and_what_to_do() {
        let failure = refused("InvalidVSwitchId.IpNotEnough");
        assert_eq!(
            failure.text(),
            "error: CreateNetworkInterface was refused: because\n  code:    InvalidVSwitchId.IpNotEnough\n  \
             request: r-1\nhint: the vSwitch has no free addresses; use another one of the zone\n"
        );
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn advice_is_of_the_class_and_of_the_permission_where_one_is_missing() {
        for (code, says) in [
            ("Throttling.User", "in a minute"),
            ("Timeout", "same --client-token"),
            ("Forbidden.RAM", "lacks a permission"),
            ("SignatureDoesNotMatch", "the key is wrong"),
            ("InvalidParameter", "refused again"),
            ("QuotaExceeded", "quota"),
        ] {
            let text = refused(code).text();
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn a_missing_key_is_bad_input() {
        assert_eq!(refused(NO_CREDENTIALS).code(), 2);
        assert_eq!(Failure::input("no region").code(), 2);
    }
}
