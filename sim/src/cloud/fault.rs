//! Faults of the API as data: what goes wrong, for how long, for whose calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use terway_core::{cloud::Action, id::InstanceId};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum FaultKind {
    /// Refused with this code, `Throttling`, `Throttling.User`, `Throttling.Api` or
    /// `ServiceUnavailable`; takes nothing from the buckets.
    Throttle {
        /// The code.
        code: String,
    },
    /// Refused with `InternalError` or `ServiceUnavailable`, evenly.
    Error,
    /// Refused with `Operation.Conflict`. Without an action: assign and unassign calls.
    Conflict,
    /// Refused with `Forbidden.RAM`.
    Denied,
    /// Refused with this quota code. Without an action: create, attach and assign calls.
    Quota {
        /// The code.
        code: String,
    },
    /// Refused with `InvalidOperation.InvalidEniState`. Without an action: all that change an ENI
    /// which exists.
    BadState,
    /// Latency times this.
    Slow {
        /// At least 1.
        factor: f64,
    },
    /// Lost on its way: not applied, and `Timeout` when the caller gives up.
    Timeout,
    /// Applied, the answer lost: `Timeout` when the caller gives up. Without an action: all that
    /// change something.
    AppliedTimeout,
    /// Applied, answered with `InternalError`. Without an action: all that change something.
    AppliedError,
    /// An assign call gives fewer than asked, at least one.
    Partial,
    /// Describes of ENIs tell what was this long ago, at most as long as history is kept.
    StaleRead {
        /// How long, milliseconds.
        lag_ms: u64,
    },
    /// `Attaching`, `Detaching`, `Deleting` do not end by themselves: they do when the call is made
    /// again, or after the window. The action says which; the instance is the caller of that call.
    StuckState,
    /// No connection: `Unreachable`, at once.
    Unreachable,
}

impl FaultKind {
    /// Kebab-case name, as in schedules.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Throttle { .. } => "throttle",
            Self::Error => "error",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Quota { .. } => "quota",
            Self::BadState => "bad-state",
            Self::Slow { .. } => "slow",
            Self::Timeout => "timeout",
            Self::AppliedTimeout => "applied-timeout",
            Self::AppliedError => "applied-error",
            Self::Partial => "partial",
            Self::StaleRead { .. } => "stale-read",
            Self::StuckState => "stuck-state",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether a window without action means calls of `action`.
    fn concerns(&self, action: Action) -> bool {
        use Action::{
            AssignIpv6Addresses, AssignPrivateIpAddresses, AttachNetworkInterface, CreateNetworkInterface,
            DescribeNetworkInterfaces, UnassignIpv6Addresses, UnassignPrivateIpAddresses,
        };
        match self {
            Self::Conflict => matches!(
                action,
                AssignPrivateIpAddresses
                    | UnassignPrivateIpAddresses
                    | AssignIpv6Addresses
                    | UnassignIpv6Addresses
            ),
            Self::Quota { .. } => matches!(
                action,
                CreateNetworkInterface
                    | AttachNetworkInterface
                    | AssignPrivateIpAddresses
                    | AssignIpv6Addresses
            ),
            Self::BadState => action.mutates() && action != CreateNetworkInterface,
            Self::AppliedTimeout | Self::AppliedError => action.mutates(),
            Self::Partial => matches!(action, AssignPrivateIpAddresses | AssignIpv6Addresses),
            Self::StaleRead { .. } => action == DescribeNetworkInterfaces,
            _ => true,
        }
    }
}

/// A fault from now on for some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultWindow {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// From now for so long, milliseconds.
    pub for_ms: u64,
    /// For this share of the calls.
    pub probability: f64,
    /// Only calls of this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Only calls of this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

impl FaultWindow {
    /// For all calls that the kind concerns.
    pub fn new(kind: FaultKind, lasting: Duration) -> Self {
        Self { kind, for_ms: lasting.as_millis() as u64, probability: 1.0, action: None, instance: None }
    }

    /// Only for calls of `action`.
    #[must_use]
    pub fn on(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Only for calls of `instance`.
    #[must_use]
    pub fn of(mut self, instance: impl Into<InstanceId>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Only for this share of the calls.
    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Whether a call is of those that it is for.
    pub(super) fn meets(&self, action: Action, caller: Option<&InstanceId>) -> bool {
        self.action.map_or_else(|| self.kind.concerns(action), |only| only == action)
            && self.instance.as_ref().is_none_or(|only| Some(only) == caller)
    }
}
