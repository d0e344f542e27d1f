//! What the cloud refuses, and what to do about it: every documented code has one retry class.

use std::time::Duration;

use super::Action;

/// What a caller does with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Rate limit: back off and call again with the same token.
    Throttled,
    /// Server, transport or state conflict: back off and call again with the same token. The call
    /// may have been applied.
    Transient,
    /// Our view is stale: read, then decide. Nothing was applied.
    Converge,
    /// This vSwitch has no addresses: set it aside, try another. Nothing was applied.
    VSwitchExhausted,
    /// A quota of instance, account or security group: not again for a minute. Nothing was applied.
    Quota,
    /// The wanted state is there already: success.
    AlreadyDone,
    /// Configuration or permission: not again without a change. Nothing was applied.
    Fatal,
}

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

/// Retry class of a documented code; unknown codes are fatal for the call and reported whole.
pub fn classify(action: Action, code: &str) -> RetryClass {
    use RetryClass::{AlreadyDone, Converge, Fatal, Quota, Throttled, Transient, VSwitchExhausted};
    match code {
        _ if code == "Throttling" || code.starts_with("Throttling.") => Throttled,
        "ServiceUnavailable"
        | "InternalError"
        | "Timeout"
        | "Unreachable"
        | "IdempotentProcessing"
        | "Operation.Conflict"
        | "SystemBusy"
        | "TaskConflict"
        | "LastTokenProcessing"
        | "InvalidSecurityToken.Expired"
        | "SignatureNonceUsed" => Transient,
        "InvalidVSwitchId.IpNotEnough" | "QuotaExceeded.PrivateIpAddress" => VSwitchExhausted,
        "EniPerInstanceLimitExceeded" | "MaxEniCountExceeded" | "SecurityGroupInstanceLimitExceed" => Quota,
        "InvalidIp.IpUnassigned" => AlreadyDone,
        "InvalidEniId.NotFound" => match action {
            Action::DetachNetworkInterface
            | Action::DeleteNetworkInterface
            | Action::UnassignPrivateIpAddresses
            | Action::UnassignIpv6Addresses => AlreadyDone,
            _ => Converge,
        },
        "InvalidEcsId.NotFound" if action == Action::DetachNetworkInterface => AlreadyDone,
        "InvalidOperation.InvalidEniState"
        | "InvalidOperation.InvalidEcsState"
        | "InvalidOperation.Ipv4CountExceeded"
        | "InvalidOperation.Ipv6CountExceeded"
        | "MaxEniIpv6IpsCountExceeded"
        | "InvalidIp.IpAssigned"
        | "InvalidPrivateIpAddress.Duplicated"
        | "IdempotentParameterMismatch"
        | "IdempotentFailed"
        | "InvalidInstanceId.NotFound" => Converge,
        _ => Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_throttle_code_is_throttled() {
        for code in ["Throttling", "Throttling.User", "Throttling.Api"] {
            assert_eq!(classify(Action::CreateNetworkInterface, code), RetryClass::Throttled, "{code}");
        }
    }

    #[test]
    fn a_vanished_eni_is_success_only_for_what_removes_it() {
        let class = |action| classify(action, "InvalidEniId.NotFound");
        assert_eq!(class(Action::DeleteNetworkInterface), RetryClass::AlreadyDone);
        assert_eq!(class(Action::AssignPrivateIpAddresses), RetryClass::Converge);
    }

    #[test]
    fn an_unknown_code_is_fatal_for_the_call() {
        assert_eq!(classify(Action::AttachNetworkInterface, "Something.New"), RetryClass::Fatal);
    }
}
