//! What the API answers when it refuses: code, message and HTTP status.

use std::fmt;

/// A refusal, as documented for the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `Code`
    pub code: String,
    /// `Message`
    pub message: String,
    /// `RequestId`, where the cloud gave one; the endpoint gives its own otherwise.
    pub request_id: Option<String>,
}

impl Fault {
    /// A refusal with a code of the documentation.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), request_id: None }
    }

    /// A parameter that must be there.
    pub fn missing(name: &str) -> Self {
        let message = format!(
            "The input parameter \"{name}\" that is mandatory for processing this request is not supplied."
        );
        Self::new("MissingParameter", message)
    }

    /// A parameter with a value that is not allowed.
    pub fn invalid(name: &str, value: &str, allowed: &str) -> Self {
        let mut value = value.to_owned();
        if value.len() > 100 {
            value = value.chars().take(100).chain("…".chars()).collect();
        }
        Self::new("InvalidParameter", format!("The specified {name} \"{value}\" is not valid: {allowed}."))
    }

    /// HTTP status of the code.
    pub fn status(&self) -> u16 {
        status(&self.code)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// HTTP status of a code: that of the error tables where they state one, 400 elsewhere.
fn status(code: &str) -> u16 {
    match code {
        "InternalError" | "Internal.Error" | "Vpc.Error" => 500,
        "ServiceUnavailable" => 503,
        // Route actions answer 400 for what other actions answer 404 for.
        "InvalidRouteEntry.NotFound" | "InvalidRouteEntryId.NotFound" => 400,
        "IdempotentProcessing"
        | "Operation.Conflict"
        | "InvalidVSwitchId.IpNotEnough"
        | "InvalidVSwitchId.IpInvalid"
        | "InvalidVSwitch.Ipv6NotTurnOn"
        | "InvalidOperation.Ipv4CountExceeded"
        | "InvalidOperation.Ipv6CountExceeded"
        | "InvalidOperation.Ipv6NotSupport"
        | "InvalidOperation.InvalidEniType"
        | "InvalidOperation.EniServiceManaged"
        | "InvalidOperation.AvailabilityZoneMismatch"
        | "InvalidOperation.VpcMismatch"
        | "MaxEniIpv6IpsCountExceeded"
        | "EniPerInstanceLimitExceeded"
        | "MaxEniCountExceeded"
        | "SecurityGroupInstanceLimitExceed"
        | "InvalidIp.IpUnassigned"
        | "InvalidIp.IpAssigned"
        | "InvalidIp.IpRepeated"
        | "InvalidIp.Address"
        | "InvalidSecurityGroupId.NotVpc"
        | "QuotaExceed.Tags"
        | "Forbidden.RAM"
        | "Forbidden.SubUser"
        | "Forbidden.NotSupportRAM"
        | "InvalidSecurityToken.MismatchWithAccessKey" => 403,
        code if code.ends_with(".NotFound") => 404,
        _ => 400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_status_of_the_error_tables() {
        for (code, expected) in [
            ("InvalidEniId.NotFound", 404),
            ("InvalidRouteEntryId.NotFound", 400),
            ("InvalidVSwitchId.IpNotEnough", 403),
            ("Throttling.User", 400),
            ("InternalError", 500),
            ("ServiceUnavailable", 503),
            ("InvalidOperation.InvalidEniState", 400),
        ] {
            assert_eq!(Fault::new(code, "").status(), expected, "{code}");
        }
    }

    #[test]
    fn a_long_value_is_told_in_short() {
        let fault = Fault::invalid("Status", &"ü".repeat(5000), "one of …");
        assert!(fault.message.len() < 300, "{}", fault.message.len());
    }
}
