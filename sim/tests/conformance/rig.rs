//! The fake cloud as the suite's site, and its levers.

use std::{sync::Arc, time::Duration};

use ipnet::{Ipv4Net, Ipv6Net};
use terway_conformance::{Lever, site};
use terway_core::id::{InstanceId, VSwitchId};
use terway_sim::cloud::{CloudModel, FakeCloud, FaultKind, FaultWindow, InstanceState, Place, Span};

/// A lever holds until it is healed.
const LONG: Duration = Duration::from_hours(1);

/// A cloud that is quick enough for real time: transitions take at most [`SETTLES`].
pub(crate) fn quick() -> CloudModel {
    let call = Span::new(0, 3);
    let settles = Span::new(10, 30);
    CloudModel {
        create: call,
        attach: call,
        attach_settles: settles,
        detach: call,
        detach_settles: settles,
        delete: call,
        delete_settles: settles,
        assign: call,
        route: call,
        route_settles: settles,
        describe: call,
        metadata_lag: Span::new(0, 0),
        nic_early_ms: 0,
        nic_late_ms: 0,
        refusal: call,
        // Nobody waits ten seconds of real time for an answer that is lost.
        timeout_ms: 300,
        ..unhurried()
    }
}

/// Longest time of a transition in [`quick`], with as much again to spare.
pub(crate) const SETTLES: Duration = Duration::from_millis(100);

/// A cloud that takes the time that the real one takes. Buckets are off and reads do not lag unless a
/// case says so.
pub(crate) fn unhurried() -> CloudModel {
    CloudModel {
        read_lag: Span::new(0, 0),
        history_ms: 120_000,
        action_factor: 0.0,
        account_eni_quota: site::ENI_QUOTA,
        vswitch_count_error: 0.0,
        ..CloudModel::default()
    }
}

/// The site, built. Call it inside the runtime whose clock it shall follow.
pub(crate) fn build(model: CloudModel, seed: u64) -> Arc<FakeCloud> {
    let cloud = FakeCloud::new(model, seed);
    cloud.set_place(Place { region: site::REGION.into(), vpc: site::VPC.into() });
    site::build(&mut Into(&cloud));
    cloud
}

struct Into<'a>(&'a Arc<FakeCloud>);

impl site::Builder for Into<'_> {
    fn route_table(&mut self, id: &str) {
        self.0.add_route_table(id, true, Vec::new());
    }

    fn security_group(&mut self, id: &str, name: &str) {
        self.0.add_security_group(id, name);
    }

    fn vswitch(&mut self, id: &str, zone: &str, cidr: Ipv4Net, ipv6: Option<Ipv6Net>) {
        self.0.add_vswitch(id, zone, cidr, ipv6).expect("blocks are apart");
    }

    fn instance(&mut self, id: &str, kind: &str, zone: &str, vswitch: &str) {
        self.0.add_instance(id, kind, zone, &VSwitchId::from(vswitch)).expect("the type is known");
    }
}

/// Pulls a lever of the suite.
pub(crate) fn pull(cloud: &Arc<FakeCloud>, lever: Lever) {
    let window = |kind| FaultWindow::new(kind, LONG);
    match lever {
        Lever::Throttle(action) => {
            let kind = FaultKind::Throttle { code: "Throttling".to_owned() };
            cloud.add_window(window(kind).on(action));
        }
        Lever::Deny(action) => drop(cloud.add_window(window(FaultKind::Denied).on(action))),
        Lever::LoseAnswers(action) => drop(cloud.add_window(window(FaultKind::AppliedTimeout).on(action))),
        Lever::FailAnswers(action) => drop(cloud.add_window(window(FaultKind::AppliedError).on(action))),
        Lever::StaleReads(lag) => {
            cloud.add_window(window(FaultKind::StaleRead { lag_ms: lag.as_millis() as u64 }));
        }
        Lever::Partial => drop(cloud.add_window(window(FaultKind::Partial))),
        Lever::Stuck(action) => drop(cloud.add_window(window(FaultKind::StuckState).on(action))),
        Lever::Exhaust(vswitch, leave) => drop(cloud.exhaust_vswitch(&vswitch, leave)),
        Lever::Stopping(instance) => drop(cloud.set_instance_state(&instance, InstanceState::Stopping)),
        Lever::Heal => {
            cloud.heal();
            cloud.relieve_vswitch(&site::VSWITCH.into());
            cloud.set_instance_state(&InstanceId::from(site::NODE), InstanceState::Running);
        }
    }
}
