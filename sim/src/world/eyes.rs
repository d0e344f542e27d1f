//! What the cloud tells the world: calls, ENIs, addresses and interfaces, for the trace, the oracles and the
//! kernels of the nodes.

use std::{
    net::IpAddr,
    sync::{Weak, atomic::Ordering::Relaxed},
};

use terway_chaos::InvariantId;
use terway_core::{
    cloud::{Action, CloudError, RetryClass},
    id::{EniId, InstanceId, Mac, NodeName},
};

use super::World;
use crate::{
    cloud::{CloudObserver, EniEvent, Removal, RequestSummary},
    figures::CallOutcome,
};

/// What the cloud tells the world.
pub(super) struct Eyes(pub(super) Weak<World>);

impl CloudObserver for Eyes {
    fn call_started(&self, instance: Option<&InstanceId>, action: Action, request: &RequestSummary) {
        let Some(world) = self.0.upgrade() else { return };
        let Some((instance, node)) = instance.and_then(|id| Some((id, world.node_of(id)?))) else { return };
        node.calls.fetch_add(1, Relaxed);
        world.trace.event(
            node.name.as_str(),
            format_args!("{action} called: {:?} asks {}", request.eni, request.addresses_asked),
        );
        let now = world.trace.now();
        let allowance = world.allowance(&node);
        world.oracle.asks(
            now,
            &node.name,
            instance,
            action,
            request.token.as_ref(),
            request.eni.as_ref(),
            request.addresses_asked,
            allowance,
        );
    }

    fn call_finished(
        &self,
        instance: Option<&InstanceId>,
        action: Action,
        request: &RequestSummary,
        outcome: Result<(), &CloudError>,
        wasted: bool,
    ) {
        let Some(world) = self.0.upgrade() else { return };
        let name = instance.and_then(|id| world.node_of(id)).map(|node| node.name.clone());
        let name = name.as_ref().map_or("", NodeName::as_str);
        match outcome {
            Ok(()) => world.trace.event(name, format_args!("{action} ok")),
            Err(error) => world.trace.event(name, format_args!("{action} fails: {}", error.code)),
        }
        let retried =
            |error: &CloudError| matches!(error.class, RetryClass::Throttled | RetryClass::Transient);
        if let Some(instance) = instance
            && !outcome.is_err_and(retried)
        {
            world.oracle.answered(instance, request.token.as_ref());
        }
        let kind = match outcome {
            Err(error) if error.class == RetryClass::Throttled => CallOutcome::Throttled,
            Err(_) => CallOutcome::Failed,
            Ok(()) if wasted => CallOutcome::Wasted,
            Ok(()) => CallOutcome::Ok,
        };
        world.record(|recorder, at| recorder.cloud_call(at, action.name(), kind));
        if let Err(error) = outcome
            && error.code == "EniPerInstanceLimitExceeded"
            && world.limited.load(Relaxed) == 0
        {
            let detail =
                format!("{action} was refused with {}: more was asked than the instance holds", error.code);
            world.oracle.breach(InvariantId::I6, world.trace.now(), Some(name), detail);
        }
    }

    fn eni_changed(&self, instance: Option<&InstanceId>, eni: &EniId, event: EniEvent) {
        let Some(world) = self.0.upgrade() else { return };
        let name = instance.and_then(|id| world.node_of(id)).map(|node| node.name.clone());
        world.trace.event(name.as_ref().map_or("", NodeName::as_str), format_args!("{eni} {event:?}"));
        if event == EniEvent::Detaching
            && let Some(eni) = world.cloud.eni(eni)
        {
            let v4 = eni.addresses.v4.iter().copied();
            let of_prefixes =
                eni.addresses.prefixes.iter().copied().flat_map(terway_agent::pool::addresses_of);
            world.oracle.detaching(world.trace.now(), &eni.id, v4.chain(of_prefixes).map(IpAddr::V4));
        }
    }

    fn addresses_removed(&self, eni: &EniId, ips: &[IpAddr], why: &Removal) {
        let Some(world) = self.0.upgrade() else { return };
        match why {
            Removal::ByInstance(instance) => {
                world.oracle.unassigned(world.trace.now(), instance, eni, ips);
            }
            Removal::InstanceGone | Removal::OutOfBand | Removal::ByOperator => world.oracle.forgotten(ips),
        }
    }

    fn nic_appeared(&self, instance: &InstanceId, mac: Mac) {
        if let Some(node) = self.0.upgrade().and_then(|world| world.node_of(instance)) {
            node.host.plug(mac);
        }
    }

    fn nic_vanished(&self, instance: &InstanceId, mac: Mac) {
        if let Some(node) = self.0.upgrade().and_then(|world| world.node_of(instance)) {
            node.host.unplug(mac);
        }
    }
}
