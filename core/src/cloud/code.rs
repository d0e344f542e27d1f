//! What to do about each documented code.
//!
//! Source: error tables of the ECS (2014-05-26) and VPC (2016-04-28) API references, and what the
//! original makes of them.

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
    /// A quota of instance, account, security group or route table: not again for a minute. Nothing
    /// was applied.
    Quota,
    /// The wanted state is there already: success.
    AlreadyDone,
    /// Configuration or permission: not again without a change. Nothing was applied.
    Fatal,
}

use RetryClass::{AlreadyDone, Converge, Fatal, Quota, Throttled, Transient, VSwitchExhausted};

/// Every documented code with its class. Three mean something else for the actions that remove what
/// is not there: see [`classify`].
pub const CODES: &[(&str, RetryClass)] = &[
    ("Throttling", Throttled),
    ("Throttling.Api", Throttled),
    ("Throttling.User", Throttled),
    // Servers, transport, and requests that are still under way.
    ("InternalError", Transient),
    ("Internal.Error", Transient),
    ("ServiceUnavailable", Transient),
    ("Vpc.Error", Transient),
    ("Timeout", Transient),
    ("Unreachable", Transient),
    ("IdempotentProcessing", Transient),
    ("LastTokenProcessing", Transient),
    ("Operation.Conflict", Transient),
    ("OperationConflict", Transient),
    ("OperationFailed.DistibuteLock", Transient),
    ("SystemBusy", Transient),
    ("TaskConflict", Transient),
    ("IncorrectRouteEntryStatus", Transient),
    ("IncorrcetRouteEntryStatus", Transient),
    ("IncorrectStatus.VpcRouteEntry", Transient),
    ("IncorrectVpcStatus", Transient),
    ("IncorrectVSwitchStatus", Transient),
    ("IncorrectInstanceStatus", Transient),
    // Mended by the client itself: a new token of the role, a new nonce.
    ("InvalidSecurityToken.Expired", Transient),
    ("SignatureNonceUsed", Transient),
    // The world is not what the caller thought.
    ("IdempotentParameterMismatch", Converge),
    ("IdempotentFailed", Converge),
    ("InvalidEniId.NotFound", Converge),
    ("InvalidInstanceId.NotFound", Converge),
    ("InvalidIp.IpAssigned", Converge),
    ("InvalidOperation.InvalidEniState", Converge),
    ("InvalidOperation.InvalidEcsState", Converge),
    ("InvalidOperation.Ipv4CountExceeded", Converge),
    ("InvalidOperation.Ipv6CountExceeded", Converge),
    ("MaxEniIpv6IpsCountExceeded", Converge),
    ("InvalidPrivateIpAddress.Duplicated", Converge),
    ("RouterEntryConflict.Duplicated", Converge),
    // Limits.
    ("InvalidVSwitchId.IpNotEnough", VSwitchExhausted),
    ("QuotaExceeded.PrivateIpAddress", VSwitchExhausted),
    ("EniPerInstanceLimitExceeded", Quota),
    ("MaxEniCountExceeded", Quota),
    ("SecurityGroupInstanceLimitExceed", Quota),
    ("QuotaExceeded", Quota),
    // Nothing to do.
    ("InvalidIp.IpUnassigned", AlreadyDone),
    ("InvalidRouteEntry.NotFound", AlreadyDone),
    ("InvalidRouteEntryId.NotFound", AlreadyDone),
    ("InvalidRouteEntry", AlreadyDone),
    // Configuration, permission, or a request that can never work.
    ("InvalidOperation.Ipv6NotSupport", Fatal),
    ("InvalidVSwitch.Ipv6NotTurnOn", Fatal),
    ("InvalidOperation.InvalidEniType", Fatal),
    ("InvalidOperation.DetachPrimaryEniNotAllowed", Fatal),
    ("InvalidOperation.EniServiceManaged", Fatal),
    ("InvalidOperation.AvailabilityZoneMismatch", Fatal),
    ("InvalidOperation.VpcMismatch", Fatal),
    ("InvalidEcsId.NotFound", Fatal),
    ("InvalidIp.IpRepeated", Fatal),
    ("InvalidIp.Address", Fatal),
    ("InvalidVSwitchId.NotFound", Fatal),
    ("InvalidVSwitchId.IpInvalid", Fatal),
    ("InvalidSecurityGroupId.NotFound", Fatal),
    ("InvalidSecurityGroupId.NotVpc", Fatal),
    ("InvalidResourceGroup.NotFound", Fatal),
    ("InvalidParameter", Fatal),
    ("InvalidParameter.Conflict", Fatal),
    ("MissingParameter", Fatal),
    ("UnsupportedParameter", Fatal),
    ("InvalidTagKey.Malformed", Fatal),
    ("InvalidTagValue.Malformed", Fatal),
    ("Duplicate.TagKey", Fatal),
    ("QuotaExceed.Tags", Fatal),
    ("Forbidden.RAM", Fatal),
    ("Forbidden.SubUser", Fatal),
    ("Forbidden.NotSupportRAM", Fatal),
    ("InvalidAccessKeyId.NotFound", Fatal),
    ("SignatureDoesNotMatch", Fatal),
    ("InvalidRouteTableId.NotFound", Fatal),
    ("InvalidVpcId.NotFound", Fatal),
    ("InvalidCidrBlock", Fatal),
    ("InvalidCidrBlock.Malformed", Fatal),
    ("OperationDenied", Fatal),
    ("OperationDenied.RouteTableTypeNotPermitted", Fatal),
    ("OperationDenied.DeleteManagedRouteEntry", Fatal),
    ("Forbbiden", Fatal),
];

/// Retry class of a code; an unknown one is fatal for the call and reported whole.
pub fn classify(action: Action, code: &str) -> RetryClass {
    match code {
        "InvalidEniId.NotFound" if takes_away(action) => return AlreadyDone,
        "InvalidEcsId.NotFound" if action == Action::DetachNetworkInterface => return AlreadyDone,
        // Only deleting what is not there is success.
        "InvalidRouteEntry.NotFound" | "InvalidRouteEntryId.NotFound" | "InvalidRouteEntry"
            if action != Action::DeleteRouteEntry =>
        {
            return Fatal;
        }
        _ => {}
    }
    let known = CODES.iter().find(|(known, _)| *known == code).map(|(_, class)| *class);
    // Families that the documentation leaves open: throttling of a kind, quotas of a thing.
    known.unwrap_or_else(|| match code.split_once('.') {
        Some(("Throttling", _)) => Throttled,
        Some(("QuotaExceeded", _)) => Quota,
        _ => Fatal,
    })
}

fn takes_away(action: Action) -> bool {
    matches!(
        action,
        Action::DetachNetworkInterface
            | Action::DeleteNetworkInterface
            | Action::UnassignPrivateIpAddresses
            | Action::UnassignIpv6Addresses
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stands_in_the_table_once() {
        for (index, (code, _)) in CODES.iter().enumerate() {
            assert!(CODES[..index].iter().all(|(before, _)| before != code), "{code}");
        }
    }

    #[test]
    fn every_throttle_code_is_throttled() {
        for code in ["Throttling", "Throttling.User", "Throttling.Api", "Throttling.Some.Day"] {
            assert_eq!(classify(Action::CreateNetworkInterface, code), Throttled, "{code}");
        }
    }

    #[test]
    fn a_vanished_eni_is_success_only_for_what_removes_it() {
        let class = |action| classify(action, "InvalidEniId.NotFound");
        assert_eq!(class(Action::DeleteNetworkInterface), AlreadyDone);
        assert_eq!(class(Action::AssignPrivateIpAddresses), Converge);
    }

    #[test]
    fn a_vanished_route_is_success_only_for_its_deletion() {
        let class = |action| classify(action, "InvalidRouteEntryId.NotFound");
        assert_eq!(class(Action::DeleteRouteEntry), AlreadyDone);
        assert_eq!(class(Action::DescribeRouteEntryList), Fatal);
    }

    #[test]
    fn an_exhausted_vswitch_is_not_a_quota() {
        let class = |code| classify(Action::AssignPrivateIpAddresses, code);
        assert_eq!(class("QuotaExceeded.PrivateIpAddress"), VSwitchExhausted);
        assert_eq!(class("QuotaExceeded.RouteEntry"), Quota);
    }

    #[test]
    fn an_unknown_code_is_fatal_for_the_call() {
        assert_eq!(classify(Action::AttachNetworkInterface, "Something.New"), Fatal);
    }
}
