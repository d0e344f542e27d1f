//! Faults of the vocabulary in the cloud's own words: for a run's schedule and for the endpoint's control API alike.

use terway_chaos::{Fault, FaultKind, Target};
use terway_core::{cloud::Action, id::InstanceId, limits::InstanceLimits};

use crate::cloud::{self, FaultWindow, MetadataFault};

/// The window that a fault opens over the cloud's calls; None for kinds that are not about calls. `instance` is the
/// node's that it is aimed at, if it is aimed at one.
pub fn window(fault: &Fault, instance: Option<&InstanceId>) -> Option<FaultWindow> {
    let mut window = FaultWindow::new(kind(&fault.kind)?, fault.lasts).with_probability(fault.probability);
    match &fault.target {
        Target::CloudAction(name) => window.action = Action::parse(name),
        Target::Node(_) => window.instance = instance.cloned(),
        Target::Cluster | Target::VSwitch(_) | Target::Zone(_) => {}
    }
    Some(window)
}

/// What a fault does to the metadata of an instance; None for kinds that are not about metadata.
pub fn metadata(kind: &FaultKind) -> Option<MetadataFault> {
    Some(match kind {
        FaultKind::MetadataUnreachable => MetadataFault { unreachable: true, ..MetadataFault::default() },
        FaultKind::MetadataEmpty => MetadataFault { empty: true, ..MetadataFault::default() },
        FaultKind::MetadataLag { lag } => MetadataFault { lag: Some(*lag), ..MetadataFault::default() },
        _ => return None,
    })
}

/// What `limit-change` leaves of the limits of an instance.
pub fn one_eni_less(limits: InstanceLimits) -> InstanceLimits {
    InstanceLimits { eni_quantity: limits.eni_quantity.saturating_sub(1).max(1), ..limits }
}

/// The cloud's own name for a fault of its calls.
fn kind(kind: &FaultKind) -> Option<cloud::FaultKind> {
    use cloud::FaultKind as Cloud;
    Some(match kind {
        FaultKind::Throttle { code } => Cloud::Throttle { code: code.clone() },
        FaultKind::Error => Cloud::Error,
        FaultKind::Conflict => Cloud::Conflict,
        FaultKind::Denied => Cloud::Denied,
        FaultKind::Quota { code } => Cloud::Quota { code: code.clone() },
        FaultKind::BadState => Cloud::BadState,
        FaultKind::Slow { factor } => Cloud::Slow { factor: *factor },
        FaultKind::Timeout => Cloud::Timeout,
        FaultKind::AppliedTimeout => Cloud::AppliedTimeout,
        FaultKind::AppliedError => Cloud::AppliedError,
        FaultKind::Partial => Cloud::Partial,
        FaultKind::StaleRead { lag } => Cloud::StaleRead { lag_ms: lag.as_millis() as u64 },
        FaultKind::StuckState => Cloud::StuckState,
        FaultKind::Unreachable => Cloud::Unreachable,
        _ => return None,
    })
}
