//! The cloud's observer: it passes on to those who watch events, and writes calls and changes into the log.

use std::{net::IpAddr, sync::Arc};

use terway_core::{
    cloud::{Action, CloudError},
    id::{EniId, InstanceId, Mac},
};
use terway_sim::{
    cloud::{CloudObserver, EniEvent, Removal, RequestSummary},
    endpoint::events::Events,
};
use tracing::info;

/// Where the log says that a line is of the cloud.
const TARGET: &str = "cloud";

/// Watchers of events, and the log.
pub(crate) struct Logged(pub(crate) Arc<Events>);

fn who(instance: Option<&InstanceId>) -> &str {
    instance.map_or("operator", InstanceId::as_str)
}

impl CloudObserver for Logged {
    fn call_finished(
        &self,
        instance: Option<&InstanceId>,
        action: Action,
        request: &RequestSummary,
        outcome: Result<(), &CloudError>,
        _wasted: bool,
    ) {
        let eni = request.eni.as_ref().map(EniId::as_str).unwrap_or_default();
        match outcome {
            Ok(()) => info!(target: TARGET, who = who(instance), %action, eni, "done"),
            Err(error) => info!(target: TARGET, who = who(instance), %action, eni, %error, "refused"),
        }
    }

    fn eni_changed(&self, instance: Option<&InstanceId>, eni: &EniId, event: EniEvent) {
        info!(target: TARGET, instance = who(instance), %eni, "{event:?}");
        self.0.eni_changed(instance, eni, event);
    }

    fn addresses_added(&self, eni: &EniId, ips: &[IpAddr]) {
        info!(target: TARGET, %eni, ?ips, "addresses added");
        self.0.addresses_added(eni, ips);
    }

    fn addresses_removed(&self, eni: &EniId, ips: &[IpAddr], why: &Removal) {
        info!(target: TARGET, %eni, ?ips, ?why, "addresses removed");
        self.0.addresses_removed(eni, ips, why);
    }

    fn nic_appeared(&self, instance: &InstanceId, mac: Mac) {
        self.0.nic_appeared(instance, mac);
    }

    fn nic_vanished(&self, instance: &InstanceId, mac: Mac) {
        self.0.nic_vanished(instance, mac);
    }
}
