//! What the simulator sees of the cloud: calls, ENI states, ownership of addresses, guest NICs.

use std::net::IpAddr;

use terway_core::{
    cloud::{Action, CloudError},
    id::{ClientToken, EniId, InstanceId, Mac, VSwitchId},
};

/// What a request asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSummary {
    /// The ENI it names.
    pub eni: Option<EniId>,
    /// The vSwitch it names.
    pub vswitch: Option<VSwitchId>,
    /// Its client token.
    pub token: Option<ClientToken>,
    /// Addresses to be added; a prefix counts as its sixteen.
    pub addresses_asked: u32,
}

/// What became of an ENI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EniEvent {
    /// It exists, `Available`.
    Created,
    /// It is `Attaching`.
    Attaching,
    /// It is `InUse`.
    Attached,
    /// It is `Detaching`.
    Detaching,
    /// It is `Available` again.
    Detached,
    /// It is `Deleting`.
    Deleting,
    /// It is gone.
    Deleted,
}

/// Who took addresses away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A call of this instance's client: an unassign, or the deletion of the ENI.
    ByInstance(InstanceId),
    /// A call of an operator client, the leak collector's.
    ByOperator,
    /// Someone outside.
    OutOfBand,
    /// The instance was released and its ENIs with it.
    InstanceGone,
}

/// Told of each change at the instant it is applied, in order, while the cloud holds no lock: an
/// observer may ask the cloud back. A caller without instance is an operator client.
///
/// The primary NIC of an instance is part of the instance: nothing is told of it.
#[expect(unused_variables, reason = "an observer implements what it needs")]
pub trait CloudObserver: Send + Sync {
    /// A request leaves its caller.
    fn call_started(&self, instance: Option<&InstanceId>, action: Action, request: &RequestSummary) {}

    /// Its answer reaches the caller, or would if the caller still waited. `wasted`: it changed
    /// nothing (refused, repeated, replayed by token) or, for a read, told nothing.
    fn call_finished(
        &self,
        instance: Option<&InstanceId>,
        action: Action,
        request: &RequestSummary,
        outcome: Result<(), &CloudError>,
        wasted: bool,
    ) {
    }

    /// An ENI changed. `instance`: what it is attached to or else tagged for.
    fn eni_changed(&self, instance: Option<&InstanceId>, eni: &EniId, event: EniEvent) {}

    /// The ENI has these addresses from now on; a prefix is its sixteen.
    fn addresses_added(&self, eni: &EniId, ips: &[IpAddr]) {}

    /// The ENI has these addresses no more, and others may get them.
    fn addresses_removed(&self, eni: &EniId, ips: &[IpAddr], why: &Removal) {}

    /// The guest sees a link with this hardware address.
    fn nic_appeared(&self, instance: &InstanceId, mac: Mac) {}

    /// The guest sees it no more.
    fn nic_vanished(&self, instance: &InstanceId, mac: Mac) {}
}

/// An observer that does not look.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl CloudObserver for NoObserver {}

/// A change that is still to be told.
#[derive(Clone, Debug)]
pub(super) enum News {
    Eni(Option<InstanceId>, EniId, EniEvent),
    Added(EniId, Vec<IpAddr>),
    Removed(EniId, Vec<IpAddr>, Removal),
    NicAppeared(InstanceId, Mac),
    NicVanished(InstanceId, Mac),
}

impl News {
    pub(super) fn tell(&self, observer: &dyn CloudObserver) {
        match self {
            Self::Eni(instance, eni, event) => observer.eni_changed(instance.as_ref(), eni, *event),
            Self::Added(eni, ips) => observer.addresses_added(eni, ips),
            Self::Removed(eni, ips, why) => observer.addresses_removed(eni, ips, why),
            Self::NicAppeared(instance, mac) => observer.nic_appeared(instance, *mac),
            Self::NicVanished(instance, mac) => observer.nic_vanished(instance, *mac),
        }
    }
}
